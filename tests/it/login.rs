//! Proving who we are: every method, the way there (TLS, proxy, namespace), and what a refusal says.

use std::fs;

use serde_json::json;

use support::*;

/// A KV secret `k: value` in a corner of the shared server, and the config that reads it into `X`.
struct Scene<'a> {
    case: Case,
    space: Space<'a>,
    kv: String,
}

impl Scene<'_> {
    fn new() -> Self {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
        Self { case, space, kv }
    }

    fn paths(&self) -> Vec<String> {
        vec![format!("{}/data/*", self.kv)]
    }

    fn approle(&self, settings: serde_json::Value) -> Login {
        let paths = self.paths();
        self.space.approle_with(&self.case, &[&paths[0]], settings)
    }

    fn config(&self, vault: &str) -> Run {
        self.case.with_config(&format!("{vault}env: {{ X: \"vault:{}/data/app#k\" }}\n", self.kv))
    }

    #[track_caller]
    fn works(&self, vault: &str) {
        assert_eq!(self.config(vault).sh("printf %s $X").output().ok(), "value");
    }

    /// One login, one read, one revocation, nothing else.
    #[track_caller]
    fn was_asked_once(&self, login: &Login) {
        let read = format!("read {}/data/app", self.kv);
        let requests = self.space.requests();
        let expected = [format!("update {}", login.path), read, "update auth/token/revoke-self".into()];
        assert_eq!(requests, expected);
        assert!(!self.space.bao.token_lives(self.space.accessors().last().unwrap()));
    }
}

#[test]
fn approle_logs_in_once_reads_once_and_revokes() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    scene.works(&scene.space.vault(&login));
    scene.was_asked_once(&login);
}

#[test]
fn kubernetes_logs_in_with_the_pods_token() {
    let scene = Scene::new();
    let login = scene.space.kubernetes(&[&scene.paths()[0]], "pod.jwt");
    scene.works(&scene.space.vault(&login));
    scene.was_asked_once(&login);
}

#[test]
fn jwt_logs_in() {
    let scene = Scene::new();
    let login = scene.space.jwt(&[&scene.paths()[0]], "web.jwt");
    scene.works(&scene.space.vault(&login));
    scene.was_asked_once(&login);
}

fn with_ca(address: &str, login: &Login, more: &str) -> String {
    let ca = certificates().join("ca.pem");
    format!("vault:\n  address: {address}\n  caFile: {}\n  auth: {}\n{more}", ca.display(), login.auth)
}

#[test]
fn cert_logs_in_with_a_client_certificate() {
    let scene = Scene::new();
    let login = scene.space.cert(&[&scene.paths()[0]], "client");
    for port in [scene.space.bao.tls_port, scene.space.bao.mtls_port] {
        scene.works(&with_ca(&format!("https://127.0.0.1:{port}"), &login, ""));
    }
    assert_eq!(scene.space.accessors().len(), 2);
}

#[test]
fn a_token_file_is_used_and_its_token_is_not_revoked() {
    let scene = Scene::new();
    let (login, accessor) = scene.space.token(&scene.case, &[&scene.paths()[0]], json!({}));
    scene.works(&scene.space.vault(&login));
    assert!(scene.space.bao.token_lives(&accessor));
    assert_eq!(scene.space.requests().iter().filter(|request| request.starts_with("read kv-")).count(), 1);
    assert!(scene.space.requests().iter().all(|request| !request.contains("revoke")), "{:?}", scene.space.requests());
}

#[test]
fn a_token_that_may_not_look_itself_up_is_taken_and_not_called_a_login() {
    let scene = Scene::new();
    let (login, _) = scene.space.token(&scene.case, &[&scene.paths()[0]], json!({ "no_default_policy": true }));
    let outcome = scene.config(&scene.space.vault(&login)).sh("printf %s $X").output();
    assert_eq!(outcome.ok(), "value");
    assert!(outcome.err().contains("its look-up was refused (403)"), "{outcome}");
    assert!(!outcome.err().contains("logged in"), "{outcome}");
}

#[test]
fn a_secret_id_of_one_use_and_a_wrapped_one_suffice() {
    let scene = Scene::new();
    let login = scene.approle(json!({ "secret_id_num_uses": 1 }));
    scene.works(&scene.space.vault(&login));
    scene.was_asked_once(&login);

    let login = scene.approle(json!({ "secret_id_num_uses": 1 }));
    let role = login.path.replace("/login", "/role/web/secret-id");
    let headers = [("X-Vault-Token", "root"), ("X-Vault-Wrap-TTL", "60s")];
    let made = request(scene.space.bao.port, "POST", &format!("/v1/{role}"), &headers, b"{}").unwrap();
    let wrapping = made.json["wrap_info"]["token"].as_str().unwrap();
    let file = scene.case.write("wrapped", format!("{wrapping}\n"));
    let start = login.auth.split("secretIdFile").next().unwrap();
    let auth = format!("{start}secretIdFile: {}, secretIdWrapped: true }}", file.display());
    let login = Login { auth, path: login.path };
    scene.works(&scene.space.vault(&login));
    // Unwrapped a second time, it says so and does not guess.
    let outcome = scene.case.refused(
        scene.config(&scene.space.vault(&login)),
        77,
        &["wrapping token", "issue a new one|new one"],
    );
    assert!(!outcome.err().contains(wrapping), "{outcome}");
}

#[test]
fn a_role_id_can_come_from_a_file() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let (before, rest) = login.auth.split_once("roleId: ").unwrap();
    let (role_id, after) = rest.split_once(',').unwrap();
    let file = scene.case.write("role-id", format!("{role_id}\n"));
    let login = Login { auth: format!("{before}roleIdFile: {},{after}", file.display()), path: login.path };
    scene.works(&scene.space.vault(&login));
}

#[test]
fn a_refused_login_names_method_mount_and_role() {
    let scene = Scene::new();
    let path = &scene.paths()[0];
    for (login, says) in [
        (scene.space.kubernetes(&[path], "pod-other-audience.jwt"), ["kubernetes", "web"]),
        (scene.space.kubernetes(&[path], "pod-other-account.jwt"), ["kubernetes", "web"]),
        (scene.space.jwt(&[path], "expired.jwt"), ["jwt", "web"]),
        (scene.space.jwt(&[path], "foreign.jwt"), ["jwt", "web"]),
    ] {
        let outcome = scene.case.refused(scene.config(&scene.space.vault(&login)), 77, &says);
        let token = fs::read_to_string(certificates().join("pod.jwt")).unwrap();
        assert!(!outcome.err().contains(token.trim()), "{outcome}");
        assert!(outcome.err().contains(login.path.split('/').nth(1).unwrap()), "the mount is not named\n{outcome}");
    }
    let login = scene.approle(json!({}));
    scene.case.write(&format!("{}.secret-id", login.path.split('/').nth(1).unwrap()), "canary-not-a-secret-id");
    let outcome = scene.case.refused(scene.config(&scene.space.vault(&login)), 77, &["approle"]);
    assert!(!outcome.err().contains("canary"), "{outcome}");
}

#[test]
fn a_refused_login_is_tried_once() {
    let scene = Scene::new();
    let login = scene.space.jwt(&[&scene.paths()[0]], "foreign.jwt");
    scene.case.refused(scene.config(&scene.space.vault(&login)), 77, &[]);
    assert_eq!(scene.space.requests(), [format!("update {}", login.path)]);
}

#[test]
fn an_identity_file_that_is_missing_or_empty_is_named() {
    let scene = Scene::new();
    for (name, text) in [("none", None), ("empty", Some(""))] {
        let file = scene.case.path(name);
        if let Some(text) = text {
            scene.case.write(name, text);
        }
        let login = Login { auth: format!("{{ method: token-file, path: {} }}", file.display()), path: String::new() };
        scene.case.refused(scene.config(&scene.space.vault(&login)), 77, &[file.to_str().unwrap()]);
    }
}

#[test]
fn an_expired_token_is_told_from_a_missing_policy() {
    let scene = Scene::new();
    let (login, accessor) = scene.space.token(&scene.case, &["something/else"], json!({}));
    let path = format!("{}/data/app", scene.kv);
    let vault = scene.space.vault(&login);
    let outcome = scene.case.refused(scene.config(&vault), 77, &[&format!("vault:{path}#k"), "403", "policy", "read"]);
    assert!(!outcome.err().contains("expired"), "{outcome}");
    scene.space.bao.write("auth/token/revoke-accessor", json!({ "accessor": accessor }));
    scene.case.refused(scene.config(&vault), 77, &["token", "expired|revoked|not valid|no longer"]);
}

#[test]
fn a_batch_token_works_and_is_not_revoked() {
    let scene = Scene::new();
    let login = scene.approle(json!({ "token_type": "batch" }));
    scene.works(&scene.space.vault(&login));
    let all = scene.space.bao.audit();
    let tries = all.iter().filter(|line| line.path.contains("revoke-self") && !line.error.is_empty()).count();
    assert_eq!(tries, 0, "a batch token cannot be revoked, so it is not tried");
}

#[test]
fn a_token_with_too_few_uses_is_refused_at_login() {
    let scene = Scene::new();
    let login = scene.approle(json!({ "token_num_uses": 1 }));
    let kv = &scene.kv;
    let config =
        format!("{}env: {{ X: \"vault:{kv}/data/app#k\", Y: \"vault:{kv}/data/b#k\" }}\n", scene.space.vault(&login));
    scene.case.refused(scene.case.with_config(&config), 77, &["uses"]);
    let reads = scene.space.requests().into_iter().filter(|request| request.starts_with("read")).count();
    assert_eq!(reads, 0, "{:?}", scene.space.requests());
}

#[test]
fn a_token_with_a_number_of_uses_is_refused_where_somebody_stays() {
    let scene = Scene::new();
    let login = scene.approle(json!({ "token_num_uses": 1000 }));
    let config = format!("{}files: {{ x: \"vault:{}/data/app#k\" }}\n", scene.space.vault(&login), scene.kv);
    let says = ["good for 1000 requests only", "token_num_uses"];
    scene.case.with_files(&config).command("sidecar").output().refused(77, &says);
    scene.case.refused(scene.case.with_files(&config).arg("--supervise"), 77, &says);
    scene.case.with_files(&config).command("init").output().ok();
    assert!(scene.space.accessors().iter().all(|accessor| !scene.space.bao.token_lives(accessor)));
}

#[test]
fn a_namespace_is_asked_and_a_wrong_one_is_denied() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let namespace = format!("team-{}", space.id);
    space.bao.write(&format!("sys/namespaces/{namespace}"), json!({}));
    space.bao.write_in(&namespace, "sys/mounts/kv", json!({ "type": "kv" }));
    space.bao.write_in(&namespace, "kv/app", json!({ "k": "value" }));
    let policy = json!({ "policy": "path \"kv/*\" { capabilities = [\"read\"] }" });
    space.bao.write_in(&namespace, "sys/policies/acl/p", policy);
    space.bao.write_in(&namespace, "sys/auth/approle", json!({ "type": "approle" }));
    space.bao.write_in(&namespace, "auth/approle/role/web", json!({ "token_policies": ["p"] }));
    let role = space.bao.ask(&namespace, "root", "GET", "auth/approle/role/web/role-id", &json!(null)).json;
    let secret = space.bao.write_in(&namespace, "auth/approle/role/web/secret-id", json!({}));
    let file = case.write("secret-id", secret["data"]["secret_id"].as_str().unwrap());
    let config = |namespace: &str| {
        let auth = format!(
            "{{ method: approle, roleId: {}, secretIdFile: {} }}",
            role["data"]["role_id"].as_str().unwrap(),
            file.display()
        );
        let address = space.bao.address();
        format!(
            "vault: {{ address: \"{address}\", namespace: {namespace}, auth: {auth} }}\nenv: {{ X: \"vault:kv/app#k\" }}\n"
        )
    };
    assert_eq!(case.with_config(&config(&namespace)).sh("printf %s $X").output().ok(), "value");
    case.refused(case.with_config(&config("nobody")), 77, &["nobody|namespace"]);
}

#[test]
fn a_private_ca_as_text_or_file_is_trusted_and_nothing_else_is() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let address = format!("https://127.0.0.1:{}", scene.space.bao.tls_port);
    scene.works(&with_ca(&address, &login, ""));
    let pem = indented(&fs::read_to_string(certificates().join("ca.pem")).unwrap(), 4);
    scene.works(&format!("vault:\n  address: {address}\n  ca: |\n{pem}  auth: {}\n", login.auth));
    let before = scene.space.requests().len();
    let other = certificates().join("other-ca.pem");
    for ca in [format!("  caFile: {}\n", other.display()), String::new()] {
        let config = format!("vault:\n  address: {address}\n{ca}  auth: {}\n", login.auth);
        let run = scene.config(&config).args(&["--timeout", "2s"]);
        scene.case.refused(run, 69, &[&address, "certificate", "vault.ca|caFile"]);
    }
    assert_eq!(scene.space.requests().len(), before);
}

#[test]
fn a_wrong_ca_is_told_soon_with_the_file_that_lacks_the_issuer_and_a_sidecar_keeps_trying() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let other = certificates().join("other-ca.pem");
    let address = format!("https://127.0.0.1:{}", scene.space.bao.tls_port);
    let vault = format!("vault:\n  address: {address}\n  caFile: {}\n  auth: {}\n", other.display(), login.auth);
    let config = format!("{vault}files: {{ s: \"vault:{}/data/app#k\" }}\n", scene.kv);
    let says = [other.to_str().unwrap(), "unknown issuer", "vault.caFile"];
    // Until the deadline it would be five minutes.
    for mode in [&["--timeout", "5m"][..], &["--timeout", "5m", "--supervise"]] {
        let begun = std::time::Instant::now();
        scene.case.refused(scene.case.with_files(&config).args(mode), 69, &says);
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
    for command in ["init", "check"] {
        let more = if command == "check" { &["--online", "--timeout", "5m"][..] } else { &["--timeout", "5m"] };
        scene.case.with_files(&config).command(command).args(more).output().refused(69, &says);
    }
    let outcome = scene.case.with_files(&config).command("sidecar").args(&["--timeout", "12s"]).output();
    outcome.refused(69, &says);
    assert!(outcome.err().matches("trying again").count() > 3, "{outcome}");
}

#[test]
fn vault_cacert_fills_the_gap() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let config = format!("vault:\n  auth: {}\n", login.auth);
    let run = scene.config(&config).env("VAULT_ADDR", format!("https://localhost:{}", scene.space.bao.tls_port));
    assert_eq!(run.env("VAULT_CACERT", certificates().join("ca.pem")).sh("printf %s $X").output().ok(), "value");
}

#[test]
fn the_servers_name_is_checked_and_can_be_given() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let address = format!("https://127.0.0.1:{}", scene.space.bao.named_port);
    scene.works(&with_ca(&address, &login, "  tlsServerName: bao.test\n"));
    for (port, says) in [(scene.space.bao.named_port, "name|tlsServerName"), (scene.space.bao.expired_port, "expired")]
    {
        let run = scene.config(&with_ca(&format!("https://127.0.0.1:{port}"), &login, ""));
        scene.case.refused(run.args(&["--timeout", "2s"]), 69, &[says]);
    }
}

#[test]
fn skip_verify_needs_a_second_word() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let address = format!("https://127.0.0.1:{}", scene.space.bao.expired_port);
    let config =
        |more: &str| format!("vault:\n  address: {address}\n  skipVerify: true\n{more}  auth: {}\n", login.auth);
    scene.case.refused(scene.config(&config("")), 64, &["skipVerify", "allowInsecure"]);
    scene.works(&config("  allowInsecure: true\n"));
}

#[test]
fn a_server_that_wants_a_client_certificate_refuses_without_one() {
    let scene = Scene::new();
    let address = format!("https://127.0.0.1:{}", scene.space.bao.mtls_port);
    let login = scene.approle(json!({}));
    let run = scene.config(&with_ca(&address, &login, "")).args(&["--timeout", "2s"]);
    scene.case.refused(run, 69, &[&address, "certificate"]);
    let foreign = scene.space.cert(&[&scene.paths()[0]], "foreign-client");
    let tls = format!("https://127.0.0.1:{}", scene.space.bao.tls_port);
    scene.case.refused(scene.config(&with_ca(&tls, &foreign, "")), 77, &["cert"]);
}

/// Accepts connections and hands each to `serve`, until the test ends.
fn bridge<C: Send + 'static>(incoming: impl Iterator<Item = C> + Send + 'static, serve: fn(C, u16), port: u16) {
    std::thread::spawn(move || incoming.for_each(|client| drop(std::thread::spawn(move || serve(client, port)))));
}

#[test]
fn a_server_behind_a_path_is_reached_by_it() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://127.0.0.1:{}/in-front/vault/", listener.local_addr().unwrap().port());
    // An ingress: takes the prefix off, refuses everything else, one request per connection.
    let serve = |mut client: std::net::TcpStream, port: u16| {
        use std::io::{Read, Write};
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|count| count == 1) {
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        if !head.contains(" /in-front/vault/v1/") {
            let _ = client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            return;
        }
        let head = head.replacen("/in-front/vault", "", 1).replacen("\r\n", "\r\nconnection: close\r\n", 1);
        let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        server.write_all(head.as_bytes()).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(std::net::Shutdown::Both);
    };
    bridge(std::iter::from_fn(move || Some(listener.accept().ok()?.0)), serve, scene.space.bao.port);
    scene.works(&format!("vault:\n  address: {address}\n  auth: {}\n", login.auth));
    scene.was_asked_once(&login);
}

#[test]
fn a_socket_of_this_machine_is_an_address() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let path = scene.case.path("vault.sock");
    let vault = format!("vault:\n  address: unix://{}\n  auth: {}\n", path.display(), login.auth);
    let says = [&format!("unix://{}", path.display()), "there is no such socket"];
    scene.case.refused(scene.config(&vault).args(&["--timeout", "1s"]), 69, &says);
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let serve = |mut client: std::os::unix::net::UnixStream, port: u16| {
        let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut server, &mut client);
    };
    bridge(std::iter::from_fn(move || Some(listener.accept().ok()?.0)), serve, scene.space.bao.port);
    // A proxy of the environment is never used for it.
    let run = scene.config(&vault).env("HTTP_PROXY", "http://127.0.0.1:1");
    let outcome = run.sh("printf %s $X").output();
    assert!(!outcome.err().contains("plain http"), "{outcome}");
    assert_eq!(outcome.ok(), "value");
    scene.was_asked_once(&login);
}

#[test]
fn a_directory_of_cas_and_a_client_certificate_come_from_the_variables_of_vaults_own_clients() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let folder = scene.case.path("cas");
    fs::create_dir(&folder).unwrap();
    fs::copy(certificates().join("ca.pem"), folder.join("b.crt")).unwrap();
    fs::write(folder.join("README"), "no certificate").unwrap();
    let vault = format!("vault:\n  address: https://127.0.0.1:{}\n  auth: {}\n", scene.space.bao.mtls_port, login.auth);
    let run = |cas: &std::path::Path| {
        let run = scene.config(&vault).env("VAULT_CAPATH", cas);
        run.env("VAULT_CLIENT_CERT", certificates().join("client.pem"))
            .env("VAULT_CLIENT_KEY", certificates().join("client.key"))
    };
    assert_eq!(run(&folder).sh("printf %s $X").output().ok(), "value");
    scene.was_asked_once(&login);
    let empty = scene.case.path("none");
    scene.case.refused(run(&empty), 64, &["CA directory", "no such file"]);
    fs::create_dir(&empty).unwrap();
    scene.case.refused(run(&empty), 64, &["CA directory", "no valid PEM certificate"]);
    let pem = fs::read_to_string(certificates().join("ca.pem")).unwrap();
    let named =
        format!("vault:\n  address: https://127.0.0.1:{}\n  auth: {}\n", scene.space.bao.named_port, login.auth);
    let run = scene.config(&named).env("BAO_CACERT_BYTES", pem).env("VAULT_TLS_SERVER_NAME", "bao.test");
    let outcome = run.env("HTTPS_PROXY", "http://127.0.0.1:1").sh("printf %s $X").output();
    assert!(outcome.err().contains("HTTPS_PROXY is not used"), "{outcome}");
    assert_eq!(outcome.ok(), "value");
}

#[test]
fn variables_that_are_not_read_are_named_with_what_to_write() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let run = scene.config(&scene.space.vault(&login));
    let run =
        run.env("VAULT_SKIP_VERIFY", "1").env("BAO_TOKEN", "canary").env("VAULT_PROXY_ADDR", "http://127.0.0.1:1");
    let outcome = run.env("BAO_SKIP_VERIFY", "false").sh("printf %s $X").output();
    for says in
        ["VAULT_SKIP_VERIFY is not read", "BAO_TOKEN is not read", "VAULT_PROXY_ADDR is not read", "vault.proxy"]
    {
        assert!(outcome.err().contains(says), "{says}\n{outcome}");
    }
    assert!(!outcome.err().contains("canary") && !outcome.err().contains("BAO_SKIP_VERIFY"), "{outcome}");
    assert_eq!(outcome.ok(), "value");
}

#[test]
fn on_a_laptop_the_token_of_vault_login_is_used_by_saying_so() {
    let scene = Scene::new();
    let (login, _) = scene.space.token(&scene.case, &[&format!("{}/data/*", scene.kv)], json!({}));
    let words: Vec<&str> = login.auth.split([' ', ',', '}']).collect();
    let token = words[words.iter().position(|word| *word == "path:").unwrap() + 1];
    let home = scene.case.path("home");
    fs::create_dir(&home).unwrap();
    own(&home, APP);
    fs::copy(token.trim_matches('"'), home.join(".vault-token")).unwrap();
    own(&home.join(".vault-token"), APP);
    let address = scene.space.bao.address();
    let env = format!("X=vault:{}/data/app#k", scene.kv);
    let run = || scene.case.run().args(&["--env", &env]).env("HOME", &home).env("VAULT_TOKEN", "canary");
    // Nothing says how: the message does.
    let outcome = scene.case.refused(run().env("VAULT_ADDR", &address), 64, &["VAULT_TOKEN is set", "~/.vault-token"]);
    assert!(!outcome.err().contains("canary"), "{outcome}");
    let said = ["--set", "vault.auth.method=token-file", "--set", "vault.auth.path=~/.vault-token"];
    let outcome = run().env("VAULT_ADDR", &address).args(&said).sh("printf %s $X").output();
    assert_eq!(outcome.ok(), "value");
    assert!(outcome.err().contains("VAULT_TOKEN is not read"), "{outcome}");
    // Another address and namespace in the environment are said to be overruled.
    let named = ["--set", &format!("vault.address={address}")];
    let run = run().args(&said).args(&named).env("VAULT_ADDR", "https://other.test").env("VAULT_NAMESPACE", "team-b");
    let outcome = run.args(&["--set", "vault.namespace=/"]).sh("printf %s $X").output();
    assert_eq!(outcome.ok(), "value");
    for says in ["VAULT_ADDR (https://other.test) does not count", "VAULT_NAMESPACE (team-b) does not count"] {
        assert!(outcome.err().contains(says), "{outcome}");
    }
}

#[test]
fn a_proxy_that_is_no_url_never_means_a_direct_connection() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let vault = with_ca(&format!("https://vault.test:{}", scene.space.bao.tls_port), &login, "");
    for wrong in ["http://", "http://127.0.0.1:1\n", "socks5://127.0.0.1:1"] {
        scene.case.refused(scene.config(&vault).env("HTTPS_PROXY", wrong), 64, &["HTTPS_PROXY"]);
    }
}

#[test]
fn a_proxy_is_used_from_the_config_and_from_the_environment() {
    let scene = Scene::new();
    let login = scene.approle(json!({}));
    let port = scene.space.bao.tls_port;
    // Only the proxy knows where bao.test is.
    let address = format!("https://bao.test:{port}");
    let proxy = Proxy::before(port);
    scene.works(&with_ca(&address, &login, &format!("  proxy: {}\n", proxy.address())));
    assert!(proxy.count(&format!("CONNECT bao.test:{port} ")) >= 1);
    let count = proxy.requests().len();
    let vault = with_ca(&address, &login, "");
    let run = scene.config(&vault).env("HTTPS_PROXY", proxy.address());
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    assert!(proxy.requests().len() > count);
    let count = proxy.requests().len();
    let vault = with_ca(&format!("https://localhost:{port}"), &login, "");
    let run = scene.config(&vault).env("HTTPS_PROXY", proxy.address()).env("NO_PROXY", "localhost");
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    assert_eq!(proxy.requests().len(), count);
}

#[test]
fn aws_sends_a_signed_get_caller_identity() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
    let policy = space.policy(&[&format!("{kv}/data/*")]);
    let made = space.bao.write("auth/token/create", json!({ "policies": [policy], "ttl": "10m" }));
    let proxy = Proxy::before(space.bao.port);
    // OpenBao has no aws method: the answer is recorded, the token in it is real.
    let answer = json!({ "auth": made["auth"] }).to_string();
    proxy.next([Plan::Answer(200, String::new(), answer)]);
    let config = format!(
        "vault: {{ address: \"{}\", auth: {{ method: aws, role: web, serverId: vault.example.com, region: eu-west-1 }} }}\n\
         env: {{ X: \"vault:{kv}/data/app#k\" }}\n",
        proxy.address()
    );
    let run =
        case.with_config(&config).env("AWS_ACCESS_KEY_ID", "AKIASUITE").env("AWS_SECRET_ACCESS_KEY", "canary-key");
    assert_eq!(run.sh("printf %s $X").output().ok(), "value");
    let requests = proxy.requests();
    let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
    assert!(head.lines().next().unwrap().contains("/v1/auth/aws/login"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let decoded = |name: &str| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(body[name].as_str().unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(body["role"], "web");
    assert_eq!(body["iam_http_request_method"], "POST");
    assert_eq!(decoded("iam_request_url").trim_end_matches('/'), "https://sts.eu-west-1.amazonaws.com");
    assert_eq!(decoded("iam_request_body"), "Action=GetCallerIdentity&Version=2011-06-15");
    let headers = decoded("iam_request_headers").to_ascii_lowercase();
    assert!(headers.contains("x-vault-aws-iam-server-id") && headers.contains("vault.example.com"), "{headers}");
    assert!(headers.contains("credential=akiasuite/") && headers.contains("/eu-west-1/sts/aws4_request"), "{headers}");
    assert!(!headers.contains("canary-key"));
}
