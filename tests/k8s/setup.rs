//! What an administrator types: the commands that set Vault up run against a real OpenBao, the quick start of the README in a
//! copy of what it works on.

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

    /// A `kubectl` that stands for a cluster with a service account for reviews; its folder.
    fn kubectl(&self) -> String {
        let bin = self.directory.path().join("fake");
        std::fs::create_dir_all(&bin).unwrap();
        let script = "#!/bin/sh\ncase \"$*\" in\n    'apply -f -') cat > \"$APPLIED/reviewer.yaml\" ;;\n    \
                      *'get secret vault-reviewer '*) base64 -w0 \"$APPLIED/reviewer.jwt\" ;;\n    *) exit 1 ;;\nesac\n";
        std::fs::write(bin.join("kubectl"), script).unwrap();
        if !self.directory.path().join("reviewer.jwt").exists() {
            std::fs::write(self.directory.path().join("reviewer.jwt"), "a.b.c\n").unwrap();
        }
        assert!(Command::new("chmod").arg("755").arg(bin.join("kubectl")).status().unwrap().success());
        bin.display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) -> Output {
        self.run_with(program, args, &[])
    }

    fn run_with(&self, program: &str, args: &[&str], variables: &[(&str, &str)]) -> Output {
        let bin = root().join(".venv/bin");
        let path = format!("{}:{}:{}", self.kubectl(), bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(program);
        command.args(args).env("PATH", path).env("CLI", "bao").env("NAMESPACE", "shop");
        command.env("CLUSTER_CA", self.directory.path().join("ca.crt")).env("APPLIED", self.directory.path());
        command.envs(variables.iter().copied());
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

/// Vault outside the cluster: a TokenReview endpoint that checks who asks, and for which audience, as the API server does.
#[test]
fn vault_outside_the_cluster_reviews_with_a_token_of_its_own() {
    let Some(bao) = Bao::start() else { return };
    let folder = bao.directory.path().join("certificates");
    std::fs::create_dir(&folder).unwrap();
    let python = root().join(".venv/bin/python");
    let part = |name: &str| root().join("tests/parts").join(name);
    assert!(Command::new(&python).arg(part("certificates.py")).arg(&folder).status().unwrap().success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut review = Command::new(&python)
        .arg(part("token_review.py"))
        .arg(&folder)
        .arg(port.to_string())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "the TokenReview server does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::copy(folder.join("reviewer.jwt"), bao.directory.path().join("reviewer.jwt")).unwrap();
    let cluster = format!("https://127.0.0.1:{port}");
    let ca = folder.join("ca.pem").display().to_string();
    let variables = [("CLUSTER", cluster.as_str()), ("CLUSTER_CA", ca.as_str()), ("NAMESPACE", "default")];
    let script = root().join("examples/kubernetes/vault-setup").display().to_string();
    let output = bao.run_with(&script, &[], &variables);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let applied = std::fs::read_to_string(bao.directory.path().join("reviewer.yaml")).unwrap();
    assert!(applied.contains("system:auth-delegator") && applied.contains("kubernetes.io/service-account-token"));
    let jwt = format!("jwt=@{}", folder.join("pod.jwt").display());
    let login = || bao.run("bao", &["write", "auth/kubernetes/login", "role=web", &jwt]);
    let output = login();
    assert!(output.status.success(), "{}", text(&output.stderr));
    // As it was before: the pod's own token is presented.
    let config = ["write", "auth/kubernetes/config", "disable_local_ca_jwt=true", "token_reviewer_jwt="];
    let (host, ca) = (format!("kubernetes_host={cluster}"), format!("kubernetes_ca_cert=@{ca}"));
    let output = bao.run("bao", &[&config[..], &[&host, &ca]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = login();
    assert!(text(&output.stderr).contains("permission denied"), "{}", text(&output.stderr));
    let program = env!("CARGO_BIN_EXE_secret-exec");
    let token = format!("tokenFile: {}", folder.join("pod.jwt").display());
    let auth = format!("vault.auth={{ method: kubernetes, role: web, {token} }}");
    let address = format!("vault.address={}", bao.address);
    let arguments = ["check", "--online", "--set", &address, "--set", &auth, "--file", "a=vault:secret/data/api#token"];
    let output = bao.run(program, &[&arguments[..], &["--run-as", "1000:1000"]].concat());
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    for expected in ["permission denied", "auth/kubernetes/config", "token_reviewer_jwt", "system:auth-delegator"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let _ = review.kill();
    let _ = review.wait();
}

/// The commands of the README's section about clusters: the five lines, and the pipe.
fn quick_start() -> Vec<String> {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = readme.split("\n## In a cluster\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(|block| block.lines().map(|line| line.strip_prefix("$ ").unwrap()).collect::<Vec<_>>().join("\n"))
        .collect()
}

#[test]
fn the_quick_start_of_the_readme_runs_as_it_stands() {
    let blocks = quick_start();
    assert_eq!(blocks.iter().map(|block| block.lines().count()).collect::<Vec<_>>(), [6, 1]);
    let Some(bao) = Bao::start() else { return };
    let place = bao.directory.path().join("repository");
    let bin = bao.directory.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::create_dir(&place).unwrap();
    for folder in ["deploy", "examples"] {
        let copied = Command::new("cp").arg("-r").arg(root().join(folder)).arg(&place).status().unwrap();
        assert!(copied.success());
    }
    // Stands for a cluster: takes what is applied, with the real kubectl's kustomize where there is one.
    let kubectl = r#"#!/bin/sh
set -eu
for last; do :; done
case "$*" in
    "apply -k "*) [ -z "$KUBECTL" ] || "$KUBECTL" kustomize "$last" > "$APPLIED/webhook.yaml" ;;
    "-n shop apply -f -") cat > "$APPLIED/pipe.yaml" ;;
    "apply -f -") cat > "$APPLIED/reviewer.yaml" ;;
    "create namespace shop") ;;
    *"get secret vault-reviewer "*) printf YS5iLmM= ;;
    "-n shop apply -f "*) cp "$last" "$APPLIED/app.yaml" ;;
    *) exit 1 ;;
esac
"#;
    std::fs::write(bin.join("kubectl"), kubectl).unwrap();
    std::os::unix::fs::symlink(crate::support::INJECT, bin.join("secret-inject")).unwrap();
    assert!(Command::new("chmod").arg("755").arg(bin.join("kubectl")).status().unwrap().success());
    let path = std::env::var("PATH").unwrap();
    let folders = std::env::split_paths(&path).chain([root().join(".venv/bin")]);
    let real = folders.map(|folder| folder.join("kubectl")).find(|file| file.exists());
    for block in &blocks {
        let mut shell = Command::new("sh");
        shell.args(["-euc", block]).current_dir(&place);
        shell.env("PATH", format!("{}:{}:{path}", bin.display(), root().join(".venv/bin").display()));
        shell.env("IMAGE", "mirror.example.com/tools/secret-exec:7").env("CLI", "bao");
        shell.env("KUBECTL", real.as_deref().map_or("", |file| file.to_str().unwrap()));
        shell.env("APPLIED", &bin).env("CLUSTER_CA", place.join("deploy/self-signed/certs/ca.crt"));
        for name in ["VAULT", "BAO"] {
            shell.env(format!("{name}_ADDR"), &bao.address).env(format!("{name}_TOKEN"), "root");
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{block}\n{}", text(&output.stderr));
    }
    let applied = |name: &str| std::fs::read_to_string(bin.join(name)).unwrap();
    assert_eq!(
        applied("app.yaml"),
        std::fs::read_to_string(root().join("examples/kubernetes/deployment.yaml")).unwrap()
    );
    let injected = applied("pipe.yaml");
    for expected in ["image: mirror.example.com/tools/secret-exec:7", &format!("vault.address={}", bao.address)] {
        assert!(injected.contains(expected), "{expected}\n{injected}");
    }
    if real.is_none() {
        return eprintln!("LEFT OUT the overlay of the quick start (no kubectl here)");
    }
    let webhook = applied("webhook.yaml");
    let images: Vec<_> = webhook.lines().filter(|line| line.trim().starts_with("image: ")).map(str::trim).collect();
    assert_eq!(
        images, ["image: mirror.example.com/tools/secret-exec:7"; 2],
        "one for the webhook, one that it injects"
    );
    assert!(webhook.contains("caBundle: ") && webhook.contains(&bao.address), "{webhook}");
}
