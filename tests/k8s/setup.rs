//! The commands that set Vault up run against a real OpenBao.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{root, text};

struct Bao {
    child: std::process::Child,
    address: String,
    directory: tempfile::TempDir,
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bao {
    fn start() -> Option<Self> {
        let bao = root().join(".venv/bin/bao");
        if !bao.exists() {
            eprintln!("SKIPPED vault-setup against OpenBao (run tests/setup)");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let child = Command::new(&bao)
            .args(["server", "-dev", "-dev-no-store-token", "-dev-root-token-id=root"])
            .arg(format!("-dev-listen-address={listen}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        crate::support::certs(directory.path()); // any authority stands in for the cluster's
        let server = Self { child, address: format!("http://{listen}"), directory };
        let until = Instant::now() + Duration::from_secs(60);
        while !server.run(&bao.display().to_string(), &["status"]).status.success() {
            assert!(Instant::now() < until, "OpenBao does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        let bin = root().join(".venv/bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command.args(args).env("PATH", path).env("CLI", "bao").env("NAMESPACE", "shop");
        command.env("CLUSTER_CA", self.directory.path().join("ca.crt"));
        for name in ["VAULT", "BAO"] {
            command.env(format!("{name}_ADDR"), &self.address).env(format!("{name}_TOKEN"), "root");
        }
        command.output().unwrap()
    }
}

#[test]
fn vault_is_set_up_by_the_commands_of_the_example() {
    let Some(bao) = Bao::start() else { return };
    let script = root().join("examples/kubernetes/vault-setup").display().to_string();
    for _ in 0..2 {
        let output = bao.run(&script, &[]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let role = bao.run("bao", &["read", "-format=json", "auth/kubernetes/role/web"]);
    let role: serde_json::Value = serde_json::from_slice(&role.stdout).unwrap();
    assert_eq!(role["data"]["audience"], "vault");
    assert_eq!(role["data"]["bound_service_account_namespaces"], serde_json::json!(["shop"]));
    assert_eq!(role["data"]["token_policies"], serde_json::json!(["web"]));
    // The policy gives what the annotated Deployment reads.
    let policy = bao.run("bao", &["policy", "read", "web"]);
    let deployment = std::fs::read_to_string(root().join("examples/kubernetes/deployment.yaml")).unwrap();
    for path in ["secret/data/api", "database/creds/web"] {
        assert!(text(&policy.stdout).contains(path) && deployment.contains(&format!("vault:{path}")), "{path}");
    }
}
