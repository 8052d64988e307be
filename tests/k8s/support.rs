//! Processes that end with the test, a TLS client that can misbehave, and Python for a second opinion.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub const INJECT: &str = env!("CARGO_BIN_EXE_secret-inject");
pub const CONFIG: &str = "image: registry.example.com/secret-exec:1.0
vault: { address: \"https://vault.example.com:8200\", auth: { method: kubernetes } }
";

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `secret-inject` with this on stdin.
pub fn inject(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(INJECT)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Python with the suite's packages; `None`, said by name, where `tests/setup` has not been run.
pub fn python(script: &str, args: &[&str], input: &str) -> Option<Output> {
    let python = root().join(".venv/bin/python");
    if !python.exists() {
        eprintln!("SKIPPED a second opinion by Python (run tests/setup)");
        return None;
    }
    let mut child = Command::new(python)
        .arg("-c")
        .arg(script)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

/// A webhook of its own, on free ports.
pub struct Webhook {
    child: Child,
    pub directory: tempfile::TempDir,
    pub address: String,
    pub metrics: String,
    lines: Mutex<mpsc::Receiver<String>>,
}

impl Webhook {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        std::fs::write(path("config.yaml"), CONFIG).unwrap();
        certs(directory.path());
        let mut child = Command::new(INJECT)
            .args(["webhook", "--config", &path("config.yaml"), "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .args(["--tls-cert", &path("tls.crt"), "--tls-key", &path("tls.key")])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut webhook =
            Self { child, directory, address: String::new(), metrics: String::new(), lines: Mutex::new(lines) };
        webhook.address = webhook.line("https://");
        webhook.metrics = webhook.line("http://");
        webhook
    }

    /// What follows `mark` in the next line that has it.
    pub fn line(&self, mark: &str) -> String {
        loop {
            let line = self
                .lines
                .lock()
                .unwrap()
                .recv_timeout(Duration::from_secs(30))
                .unwrap_or_else(|_| panic!("no line with {mark}"));
            assert!(!line.contains("the sandbox refused"), "{line}");
            if let Some((_, rest)) = line.split_once(mark) {
                return rest.trim().to_owned();
            }
        }
    }

    pub fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        stream
    }

    pub fn ca(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("ca.crt")).unwrap()
    }

    pub fn tls(&self) -> Tls {
        connect(self.tcp(), &self.ca()).unwrap()
    }

    pub fn post(&self, body: &str) -> Reply {
        self.tls().request("POST", "/mutate", "application/json", body.as_bytes()).unwrap()
    }

    pub fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    pub fn pid(&self) -> i32 {
        self.child.id().try_into().unwrap()
    }

    /// A line of the process's status, in KiB.
    pub fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn terminate(&self) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid()), nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said: Vec<String> = self.lines.lock().unwrap().iter().collect();
        assert!(std::thread::panicking() || !said.concat().contains("the sandbox refused"), "{said:?}");
    }
}

pub fn certs(directory: &Path) {
    let output = inject(&["certs", "--out", &directory.display().to_string()], "");
    assert!(output.status.success(), "{}", text(&output.stderr));
}

pub struct Tls(StreamOwned<ClientConnection, TcpStream>);

pub fn connect(tcp: TcpStream, ca: &str) -> Result<Tls, std::io::Error> {
    connect_offering(tcp, ca, &[])
}

/// With these protocols in the handshake (ALPN).
pub fn connect_offering(mut tcp: TcpStream, ca: &str, protocols: &[&str]) -> Result<Tls, std::io::Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("secret-inject.secret-exec.svc").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    Ok(Tls(StreamOwned::new(connection, tcp)))
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    /// `Connection: close`.
    pub is_last: bool,
}

impl Reply {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Tls {
    /// The certificate that the server showed.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// What client and server agreed on by ALPN.
    pub fn protocol(&self) -> Option<&str> {
        self.0.conn.alpn_protocol().map(text)
    }

    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    pub fn request(&mut self, method: &str, path: &str, kind: &str, body: &[u8]) -> std::io::Result<Reply> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        // A server that refuses early may close before it has read all.
        let _ = self.send(head.as_bytes()).and_then(|()| self.send(body));
        self.reply()
    }

    pub fn reply(&mut self) -> std::io::Result<Reply> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        let is_last = head.contains("\r\nconnection: close\r\n");
        Ok(Reply { status, body: String::from_utf8(body).unwrap(), is_last })
    }

    /// Whether the server has ended the conversation.
    pub fn is_over(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

/// A review of a pod with these annotations.
pub fn review(annotations: &serde_json::Value) -> String {
    serde_json::json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "operation": "CREATE",
            "namespace": "team",
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "generateName": "web-", "annotations": annotations },
                "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
            },
        },
    })
    .to_string()
}

pub fn good() -> String {
    review(
        &serde_json::json!({ "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:secret/data/a#b" }),
    )
}
