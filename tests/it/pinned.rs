//! Under `--pinned` nobody who writes the environment moves the login: a stranger listens, and hears nothing.

use std::net::{TcpListener, TcpStream};

use serde_json::json;

use support::*;

/// Listens on loopback, never says a word, and knows who came: the kernel takes connections for it.
struct Stranger(TcpListener);

impl Stranger {
    fn listens() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// How many connections there were since the last time.
    fn heard(&self) -> usize {
        std::iter::from_fn(|| self.0.accept().ok()).count()
    }
}

/// Name and value.
type Variable<'a> = (&'a str, &'a str);

/// A secret in a server that speaks TLS, and a login for it.
struct Scene<'a> {
    case: Case,
    space: Space<'a>,
    reference: String,
    login: Login,
}

impl Scene<'_> {
    fn new() -> Self {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
        let login = space.approle(&case, &[&format!("{kv}/data/*")]);
        Self { case, space, reference: format!("vault:{kv}/data/app#k"), login }
    }

    /// Everything about the backend by flags, as injection writes it, but for what tells true servers from others.
    fn run(&self, mode: &str, port: u16, more: &[String]) -> Run {
        let mut run = self.case.run().args(&["--set", &format!("vault.address=https://127.0.0.1:{port}")]);
        for pair in self.login.auth.trim_matches(['{', '}', ' ']).split(", ") {
            let (key, value) = pair.split_once(": ").unwrap();
            run = run.args(&["--set", &format!("vault.auth.{key}={value}")]);
        }
        run = run.args(&["--timeout", "2s"]).args(more);
        match mode {
            "init" => {
                let file = format!("x={}", self.reference);
                run.args(&["--volume", self.case.volume().to_str().unwrap(), "--file", &file]).command("init")
            }
            _ => {
                let run = if mode == "supervise" { run.arg("--supervise") } else { run };
                run.args(&["--env", &format!("X={}", self.reference)]).sh("printf %s $X")
            }
        }
    }

    fn trusted(&self) -> Vec<String> {
        vec!["--set".into(), format!("vault.caFile={}", certificates().join("ca.pem").display())]
    }

    fn logins(&self) -> usize {
        self.space.requests().iter().filter(|request| request.contains("login")).count()
    }
}

fn pinned(mut args: Vec<String>) -> Vec<String> {
    args.push("--pinned".into());
    args
}

#[test]
fn no_variable_leads_the_login_to_a_stranger() {
    let (scene, stranger) = (Scene::new(), Stranger::listens());
    let there = stranger.address();
    let config = format!("vault: {{ address: \"{there}\", auth: {{ method: token-file, path: /etc/hostname }} }}\n");
    let config = scene.case.write("strangers.yaml", config).display().to_string();
    let annotations =
        format!("secret-exec.dev/vault-address=\"{there}\"\nsecret-exec.dev/on-change=\"http:{there}\"\n");
    let annotations = scene.case.write("strangers-annotations", annotations).display().to_string();
    let all = [
        ("VAULT_ADDR", &there),
        ("BAO_ADDR", &there),
        ("VAULT_PROXY_ADDR", &there),
        ("SECRET_EXEC_VAULT_ADDRESS", &there),
        ("SECRET_EXEC_VAULT_PROXY", &there),
        ("HTTP_PROXY", &there),
        ("HTTPS_PROXY", &there),
        ("https_proxy", &there),
        ("ALL_PROXY", &there),
        ("SECRET_EXEC_CONFIG", &config),
        ("SECRET_EXEC_ANNOTATIONS", &annotations),
    ];
    for mode in ["exec", "supervise", "init"] {
        let mut run = scene.run(mode, scene.space.bao.tls_port, &pinned(scene.trusted()));
        for (name, value) in all {
            let alone = scene.run(mode, scene.space.bao.tls_port, &pinned(scene.trusted())).env(name, value);
            let outcome = alone.output();
            assert!(outcome.err().contains(name), "{name} is ignored in silence\n{outcome}");
            outcome.ok();
            run = run.env(name, value);
        }
        run.output().ok();
    }
    assert_eq!((stranger.heard(), scene.logins()), (0, 3 * (all.len() + 1)));
    // Without it, they do: so this test would notice.
    for (name, value) in [("SECRET_EXEC_VAULT_PROXY", &there), ("SECRET_EXEC_VAULT_ADDRESS", &there)] {
        let args = scene.trusted();
        let mut run = scene.run("exec", scene.space.bao.tls_port, &args).env(name, value);
        if name.ends_with("ADDRESS") {
            // A flag wins over a variable, so it has to be missing.
            run = scene.case.with_config("").args(&["--env", &format!("X={}", scene.reference), "--timeout", "2s"]);
            run = run.args(&["--set", "vault.auth.method=token-file", "--set", "vault.auth.path=/etc/hostname"]);
            run = run.sh("true").env(name, value);
        }
        assert!(run.output().code() != Some(0) && stranger.heard() > 0, "{name} led nowhere");
    }
}

#[test]
fn no_variable_makes_a_strangers_certificate_a_trusted_one() {
    let scene = Scene::new();
    let ca = certificates().join("ca.pem").display().to_string();
    let pem = std::fs::read_to_string(&ca).unwrap();
    let (expired, unknown) = (scene.space.bao.expired_port, scene.space.bao.tls_port);
    let unverified: &[Variable] = &[
        ("SECRET_EXEC_VAULT_SKIP_VERIFY", "true"),
        ("SECRET_EXEC_VAULT_ALLOW_INSECURE", "true"),
        ("VAULT_SKIP_VERIFY", "true"),
        ("BAO_SKIP_VERIFY", "true"),
    ];
    let cases: [(u16, bool, &[Variable]); 6] = [
        (expired, true, unverified),
        (unknown, false, &[("VAULT_CACERT", &ca)]),
        (unknown, false, &[("VAULT_CACERT_BYTES", &pem)]),
        (unknown, false, &[("SECRET_EXEC_VAULT_CA_FILE", &ca)]),
        (unknown, false, &[("SECRET_EXEC_VAULT_CA", &pem)]),
        (unknown, false, &[("SSL_CERT_FILE", &ca)]),
    ];
    for (port, has_ca, variables) in cases {
        let args = if has_ca { scene.trusted() } else { Vec::new() };
        for mode in ["exec", "supervise", "init"] {
            let run = scene.run(mode, port, &pinned(args.clone()));
            let outcome = variables.iter().fold(run, |run, (name, value)| run.env(name, value)).output();
            outcome.refused(69, &["certificate"]);
            assert_eq!(scene.logins(), 0, "{variables:?} in mode {mode}");
        }
    }
    // Without it, they do.
    let (mut logins, mut tried) = (0, 0);
    for (port, has_ca, variables) in cases {
        let args = if has_ca { scene.trusted() } else { Vec::new() };
        let run = scene.run("exec", port, &args);
        variables.iter().fold(run, |run, (name, value)| run.env(name, value)).output().ok();
        (logins, tried) = (scene.logins(), tried + 1);
    }
    assert_eq!(logins, tried);
}

#[test]
fn no_variable_leads_an_aws_identity_to_a_stranger() {
    let (case, stranger) = (Case::new(), Stranger::listens());
    let there = stranger.address();
    // The SDK takes any host with https. This one is loopback under a name that is none of the platform's.
    let mapped = format!("https://[::ffff:127.0.0.1]:{}/", stranger.port());
    let profile = format!("[default]\nendpoint_url = {there}\naws_access_key_id = x\naws_secret_access_key = y\n");
    let profile = case.write("home/.aws/config", profile);
    let home = case.path("home").display().to_string();
    let (profile, token) = (profile.display().to_string(), case.write("token", "a-token").display().to_string());
    let keys = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "y")];
    let role = [("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x"), ("AWS_WEB_IDENTITY_TOKEN_FILE", token.as_str())];
    let token = [("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.as_str())];
    let cases: [(&[Variable], &str, &str); 9] = [
        (&keys, "AWS_ENDPOINT_URL", &there),
        (&keys, "AWS_ENDPOINT_URL_SECRETS_MANAGER", &there),
        (&keys, "HTTPS_PROXY", &there),
        (&keys, "AWS_CONFIG_FILE", &profile),
        (&[], "AWS_SHARED_CREDENTIALS_FILE", &profile),
        (&[], "HOME", &home),
        (&role, "AWS_ENDPOINT_URL_STS", &there),
        (&role, "SECRET_EXEC_AWS_ASSUME_ROLE", "arn:aws:iam::123456789012:role/theirs"),
        (&token, "AWS_CONTAINER_CREDENTIALS_FULL_URI", &mapped),
    ];
    let run = |identity: &[Variable], name: &str, value: &str, args: &[&str]| {
        // A region without any host.
        let args: Vec<&str> =
            ["--timeout", "2s", "--set", "aws.region=xx-nowhere-1"].iter().chain(args).copied().collect();
        let run = case.run().args(&args).args(&["--env", "X=aws-sm:app"]).sh("true");
        let run = run.env("AWS_EC2_METADATA_DISABLED", "true").env(name, value);
        identity.iter().fold(run, |run, (name, value)| run.env(name, value)).output()
    };
    for mode in [&["--pinned"][..], &["--pinned", "--supervise"]] {
        for (identity, name, value) in cases {
            let outcome = run(identity, name, value, mode);
            assert!([Some(69), Some(77)].contains(&outcome.code()), "{name}\n{outcome}");
            assert_eq!(stranger.heard(), 0, "{name} led to the stranger\n{outcome}");
        }
    }
    // Without it, they do, but for what only names another role.
    for (identity, name, value) in cases.into_iter().filter(|(_, name, _)| !name.ends_with("ROLE")) {
        if name.ends_with("FULL_URI") && TcpStream::connect(format!("[::ffff:127.0.0.1]:{}", stranger.port())).is_err()
        {
            skip("needs IPv6 for an address that is loopback and is not called so");
            continue;
        }
        let outcome = run(identity, name, value, &[]);
        assert!(stranger.heard() > 0, "{name} led nowhere\n{outcome}");
    }
}

/// The SDK reads the domains of AWS's partitions from a file that a variable names, and sends a token of STS there.
#[test]
fn no_variable_gives_the_partitions_of_aws_to_a_stranger() {
    let case = Case::new();
    let outputs = r#"{"dnsSuffix":"strangers.invalid","dualStackDnsSuffix":"strangers.invalid","implicitGlobalRegion":"r",
        "name":"aws","supportsDualStack":false,"supportsFIPS":false}"#;
    let partition = format!(r#"{{"id":"aws","outputs":{outputs},"regionRegex":"^.*$","regions":{{}}}}"#);
    let file = case.write("partitions.json", format!(r#"{{"partitions":[{partition}],"version":"1.1"}}"#));
    let (nowhere, endless) = ("/nonexistent".to_owned(), "/dev/zero".to_owned());
    let token = case.write("token", "a-token").display().to_string();
    for path in [file.display().to_string(), nowhere, endless] {
        for args in [&["--pinned"][..], &[]] {
            let run = case.run().args(args).args(&["--timeout", "2s", "--set", "aws.region=xx-nowhere-1"]);
            let run = run.args(&["--env", "X=aws-sm:app"]).env("AWS_EC2_METADATA_DISABLED", "true").sh("true");
            let run = run.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x");
            let run = run.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
            let outcome = run.env("SMITHY_CLIENT_SDK_CUSTOM_PARTITION", &path).output();
            assert!([Some(69), Some(77)].contains(&outcome.code()), "{path}\n{outcome}");
            assert!(!outcome.err().contains("strangers.invalid"), "{path}\n{outcome}");
        }
    }
}

#[test]
fn an_unverified_server_is_a_warning_line_whatever_the_mode_and_level() {
    let case = Case::new();
    let stranger = free_port();
    let config = format!(
        "vault: {{ address: \"https://127.0.0.1:{stranger}\", skipVerify: true, allowInsecure: true, auth: {{ method: token-file, \
         path: {} }} }}\ntimeout: 300ms\n",
        case.write("token", "x").display()
    );
    for level in ["error", "trace"] {
        for format in ["text", "json"] {
            for mode in ["exec", "supervise", "init", "sidecar", "check"] {
                let files = ["init", "sidecar", "check"].contains(&mode);
                let what = if files { "files: { x: \"vault:a/b#c\" }\n" } else { "env: { X: \"vault:a/b#c\" }\n" };
                let run = case.with_files(&format!("{config}{what}"));
                let run = run.args(&["--log-level", level, "--log-format", format]);
                let run = match mode {
                    "exec" => run.sh("true"),
                    "supervise" => run.arg("--supervise").sh("true"),
                    "check" => run.args(&["--online"]).command(mode),
                    _ => run.command(mode),
                };
                let outcome = run.output();
                let lines = outcome.err().lines().filter(|line| line.contains("certificate is not verified")).count();
                assert_eq!(lines, 1, "{mode}, {level}, {format}\n{outcome}");
                let mark = if format == "json" { "\"level\":\"WARN\"" } else { "secret-exec: warning: " };
                let has_mark = |line: &str| line.contains("not verified") && line.contains(mark);
                assert!(outcome.err().lines().any(has_mark), "{mode}, {level}, {format}\n{outcome}");
            }
        }
    }
}

/// A container credentials endpoint on loopback is the platform's by its address, and whoever of the pod listens there is sent
/// what the token file holds.
#[test]
fn no_variable_hands_the_login_of_vault_to_what_listens_on_loopback() {
    let (case, stranger) = (Case::new(), Stranger::listens());
    let token = case.write("token", "a-token");
    let link = case.path("link");
    std::os::unix::fs::symlink(&token, &link).unwrap();
    let vault = format!(
        "vault: {{ address: \"http://127.0.0.1:1\", auth: {{ method: jwt, role: r, tokenFile: {} }} }}\naws: {{ region: \
         xx-nowhere-1 }}\nenv: {{ X: \"aws-sm:app\" }}\n",
        token.display()
    );
    let (state, volume) = (case.memory.join("state/state.json"), case.volume().join("token"));
    let is_login = "which proves who this workload is";
    for mode in [&["--pinned"][..], &["--pinned", "--supervise"]] {
        for name in ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"] {
            for (path, why) in [
                (&token, is_login),
                (&link, is_login),
                (&state, "in the state directory"),
                (&volume, "in the volume"),
                (&"/proc/self/environ".into(), "/proc, /sys"),
            ] {
                let path = path.to_str().unwrap();
                let config = format!("volume: {{ path: {} }}\n{vault}", case.volume().display());
                let run = case.with_config(&config).args(mode).args(&["--timeout", "2s"]).env(name, path);
                let run = run.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/", stranger.address()));
                let run = run.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/strangers");
                case.refused(run, 64, &[name, path, why]);
                assert_eq!(stranger.heard(), 0, "{path}");
            }
        }
    }
}
