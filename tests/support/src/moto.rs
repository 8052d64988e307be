//! Secrets Manager and STS, played by moto.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::{Run, Server, free_port, keep, request, venv, wait_for};

/// A running moto. All tests share it; each uses names of its own.
pub struct Moto {
    /// Where it listens.
    pub port: u16,
    _server: Server,
}

impl Moto {
    /// The one of this suite.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<&Moto> = OnceLock::new();
        SHARED.get_or_init(|| {
            keep(|| {
                let port = free_port();
                let mut command = Command::new(venv().join("bin/moto_server"));
                command.args(["-H", "127.0.0.1", "-p"]).arg(port.to_string());
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                let mut server = Server::start(command, None, libc::SIGKILL);
                wait_for("moto", || {
                    assert!(!server.has_ended(), "moto ended");
                    request(port, "GET", "/moto-api/data.json", &[], b"").filter(|answer| answer.status == 200)
                });
                Moto { port, _server: server }
            })
        })
    }

    /// One call of Secrets Manager in a region; it must work.
    #[track_caller]
    pub fn call(&self, region: &str, action: &str, body: Value) -> Value {
        let target = format!("secretsmanager.{action}");
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=suite/20260101/{region}/secretsmanager/aws4_request, SignedHeaders=host, Signature=0"
        );
        let headers =
            [("X-Amz-Target", &*target), ("Authorization", &*scope), ("Content-Type", "application/x-amz-json-1.1")];
        let answer =
            request(self.port, "POST", "/", &headers, &serde_json::to_vec(&body).unwrap()).expect("moto answers");
        assert_eq!(answer.status, 200, "{action}: {:?}", answer.json);
        answer.json
    }

    /// A string secret in eu-west-1; its ARN.
    pub fn create(&self, name: &str, value: &str) -> String {
        let made = self.call("eu-west-1", "CreateSecret", json!({ "Name": name, "SecretString": value }));
        made["ARN"].as_str().unwrap().to_owned()
    }

    /// Points a program at it, with credentials and a region.
    pub fn env(&self, run: Run) -> Run {
        self.env_at(self.port, run)
    }

    /// The same through another port, such as a proxy's.
    pub fn env_at(&self, port: u16, run: Run) -> Run {
        run.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"))
            .env("AWS_ACCESS_KEY_ID", "AKIASUITE")
            .env("AWS_SECRET_ACCESS_KEY", "suite-key")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }
}
