//! A real OpenBao in dev mode, with two TLS listeners beside the plain one, and a tiny client for its administrator.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub(crate) const ROOT: &str = "root";

/// Ends with the last test that uses it.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    pub(crate) plain: u16,
    pub(crate) tls: u16,
    pub(crate) expired: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server all tests share; `None`, said loudly, where there is no `bao`.
pub(crate) fn server() -> Option<Arc<Server>> {
    let bin = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin");
    if !bin.join("bao").exists() {
        assert!(std::env::var_os("CI").is_none(), "no {}: with CI set that is a failure", bin.join("bao").display());
        eprintln!("SKIPPED: no {}; ./tests/run sets it up", bin.join("bao").display());
        return None;
    }
    let mut running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some(server) = running.upgrade() {
        return Some(server);
    }
    let server = Arc::new(start(&bin));
    *running = Arc::downgrade(&server);
    Some(server)
}

fn start(bin: &Path) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vault_provider/parts.py");
    assert!(Command::new(bin.join("python")).arg(script).arg(folder.path()).status().unwrap().success());
    let [plain, tls, expired] = free_ports();
    let listener = |port, stem: &str| {
        let stem = folder.path().join(stem).display().to_string();
        let files = format!("tls_cert_file = \"{stem}.pem\"\n  tls_key_file = \"{stem}.key\"");
        format!("listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  {files}\n}}\n")
    };
    let config = folder.path().join("listeners.hcl");
    std::fs::write(&config, listener(tls, "server") + &listener(expired, "expired")).unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let child = Command::new(bin.join("bao"))
        .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id", ROOT])
        .args(["-dev-listen-address", &format!("127.0.0.1:{plain}"), "-config"])
        .arg(config)
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = Server { child, folder, plain, tls, expired };
    let deadline = Instant::now() + Duration::from_secs(60);
    while server.try_call("GET", "secret/config", ROOT, None, &[]).is_none_or(|(status, _)| status != 200) {
        let log = || std::fs::read_to_string(server.file("log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "no server after a minute: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Server {
    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.plain)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// A request of the administrator, which must succeed.
    pub(crate) fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        self.admin_with(method, path, body, &[])
    }

    /// The same, with more headers.
    pub(crate) fn admin_with(&self, method: &str, path: &str, body: Value, headers: &[(&str, &str)]) -> Value {
        let (status, answer) = self.try_call(method, path, ROOT, Some(body), headers).expect("an answer");
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    /// Whether a token lives.
    pub(crate) fn is_alive(&self, token: &str) -> bool {
        self.try_call("GET", "auth/token/lookup-self", token, None, &[]).unwrap().0 == 200
    }

    /// A token with one policy made of these rules.
    pub(crate) fn token(&self, name: &str, rules: &str, mut options: Value) -> String {
        self.admin("PUT", &format!("sys/policies/acl/{name}"), json!({ "policy": rules }));
        options["policies"] = json!([name]);
        let answer = self.admin("POST", "auth/token/create", options);
        answer["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn try_call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.plain)).ok()?;
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} /v1/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Vault-Token: {token}\r\n{more}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).ok()?;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut chunked = false;
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
            if line.trim().is_empty() {
                break;
            }
        }
        let mut text = String::new();
        if chunked {
            loop {
                line.clear();
                reader.read_line(&mut line).ok()?;
                let length = usize::from_str_radix(line.trim(), 16).ok()?;
                let mut chunk = vec![0; length + 2];
                reader.read_exact(&mut chunk).ok()?;
                if length == 0 {
                    break;
                }
                text += std::str::from_utf8(&chunk[..length]).ok()?;
            }
        } else {
            reader.read_to_string(&mut text).ok()?;
        }
        Some((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
    }
}
