//! Each cause of a failure is named for what it is: produced with the real parts, and looked for in the message.

use serde_json::json;

use support::*;

/// A KV secret in a corner of the shared server.
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

    fn paths(&self) -> String {
        format!("{}/data/*", self.kv)
    }

    /// Reads `reference` with this login.
    fn run(&self, login: &Login, reference: &str) -> Run {
        self.run_at(&self.space.bao.address(), login, reference)
    }

    fn run_at(&self, address: &str, login: &Login, reference: &str) -> Run {
        let vault = self.space.vault_at(address, login);
        self.case.with_config(&format!("{vault}env: {{ X: \"{reference}\" }}\n")).args(&["--timeout", "2s"])
    }

    fn app(&self) -> String {
        format!("vault:{}/data/app#k", self.kv)
    }
}

#[test]
fn a_token_that_is_refused_at_once_is_not_called_expired() {
    let scene = Scene::new();
    let bound = json!({ "token_bound_cidrs": ["10.99.99.99/32"] });
    let login = scene.space.approle_with(&scene.case, &[&scene.paths()], bound);
    let outcome = scene.case.refused(scene.run(&login, &scene.app()), 77, &["token_bound_cidrs", "addresses"]);
    assert!(!outcome.err().contains("expired"), "{outcome}");
}

#[test]
fn an_entity_that_is_disabled_is_among_the_reasons() {
    let scene = Scene::new();
    let login = scene.space.approle(&scene.case, &[&scene.paths()]);
    assert_eq!(scene.run(&login, &scene.app()).sh("printf %s $X").output().ok(), "value");
    let words: Vec<&str> = login.auth.split([' ', ',', '}']).collect();
    let behind = |key: &str| words[words.iter().position(|word| *word == key).unwrap() + 1];
    let secret_id = std::fs::read_to_string(behind("secretIdFile:")).unwrap();
    let granted = scene.space.bao.write(&login.path, json!({ "role_id": behind("roleId:"), "secret_id": secret_id }));
    let entity = granted["auth"]["entity_id"].as_str().unwrap();
    scene.space.bao.write(&format!("identity/entity/id/{entity}"), json!({ "disabled": true }));
    let outcome = scene.case.refused(scene.run(&login, &scene.app()), 77, &["entity is disabled"]);
    assert!(!outcome.err().contains("ended"), "{outcome}");
}

#[test]
fn what_the_engine_says_is_passed_on() {
    let scene = Scene::new();
    let bao = scene.space.bao;
    for (name, kind) in [("ssh", "ssh"), ("totp", "totp"), ("transit", "transit"), ("pki", "pki")] {
        bao.write(&format!("sys/mounts/{name}-{}", scene.space.id), json!({ "type": kind }));
    }
    let id = &scene.space.id;
    bao.write(&format!("ssh-{id}/config/ca"), json!({ "generate_signing_key": true }));
    bao.write(&format!("transit-{id}/keys/derived"), json!({ "derived": true }));
    let login = scene.space.approle(&scene.case, &["*"]);
    for (reference, says) in [
        (
            format!("vault:ssh-{id}/sign/nope?public_key=canary#signed_key"),
            "the role does not exist|Unknown role: nope",
        ),
        (format!("vault:totp-{id}/code/nope#code"), "unknown key: nope"),
        (format!("vault:transit-{id}/encrypt/derived?plaintext=Y2FuYXJ5#ciphertext"), "missing 'context'"),
        (format!("vault:pki-{id}/issue/nope?common_name=canary.test#certificate"), "the role does not exist"),
    ] {
        let outcome = scene.case.refused(scene.run(&login, &reference), 65, &[says, "(400)"]);
        assert!(!outcome.err().contains("calls the request wrong"), "{outcome}");
        assert!(!outcome.last_line().contains("canary"), "{outcome}");
    }
}

#[test]
fn a_path_that_is_written_and_not_read_is_said_so() {
    let scene = Scene::new();
    let bao = scene.space.bao;
    let name = format!("writer-{}", scene.space.id);
    let rules = "path \"+/sign/web\" { capabilities = [\"update\"] } path \"+/data/app\" { capabilities = [\"read\"] }";
    bao.write(&format!("sys/policies/acl/{name}"), json!({ "policy": rules }));
    let (login, _) = scene.space.token(&scene.case, &["none"], json!({ "policies": [name, "default"] }));
    scene.case.refused(scene.run(&login, "vault:ssh-x/sign/web#signed_key"), 77, &["put ? and the parameters"]);
    let written = format!("vault:{}/data/app?#k", scene.kv);
    scene.case.refused(scene.run(&login, &written), 77, &["leave out the ?"]);
    let outcome = scene.case.refused(scene.run(&login, "vault:ssh-x/other#k"), 77, &["the policy needs read on"]);
    assert!(!outcome.err().contains("put ?"), "{outcome}");
}

#[test]
fn a_token_file_with_few_uses_is_counted() {
    let scene = Scene::new();
    let (login, _) = scene.space.token(&scene.case, &[&scene.paths()], json!({ "num_uses": 1 }));
    scene.case.refused(scene.run(&login, &scene.app()), 77, &["0 more requests (num_uses"]);
}

#[test]
fn a_proxy_that_is_not_there_or_refuses_is_named() {
    let scene = Scene::new();
    let login = scene.space.approle(&scene.case, &[&scene.paths()]);
    let ca = format!("vault.caFile={}", certificates().join("ca.pem").display());
    let nobody = format!("http://user:canary@127.0.0.1:{}", free_port());
    let shown = nobody.replace("user:canary@", "");
    for (address, variable) in [("https://bao.test:8200", "HTTPS_PROXY"), ("http://bao.test:8200", "HTTP_PROXY")] {
        let run = scene.run_at(address, &login, &scene.app()).args(&["--set", &ca]).env(variable, &nobody);
        let outcome = scene.case.refused(run, 69, &[&shown, variable, "is the proxy running?"]);
        assert!(!outcome.err().contains("canary") && !outcome.err().contains("is the server running"), "{outcome}");
    }
    for (address, variable) in [("https://bao.test:8200", "HTTPS_PROXY"), ("http://bao.test:8200", "HTTP_PROXY")] {
        let run = scene.run_at(address, &login, &scene.app()).args(&["--set", &ca]);
        let run = run.env(variable, "http://proxy.invalid:3128");
        scene.case.refused(run, 69, &["http://proxy.invalid:3128", variable, "has a name that does not resolve"]);
    }
    for (status, says) in
        [(407, "user name and password"), (403, "does not connect us to"), (502, "does not connect us to")]
    {
        let proxy = Proxy::before(1);
        proxy.always(Plan::Answer(status, String::new(), "<html>canary</html>".to_owned()));
        let run = scene.run_at("https://bao.test:8200", &login, &scene.app()).args(&["--set", &ca]);
        scene.case.refused(run.env("HTTPS_PROXY", proxy.address()), 69, &[&proxy.address(), says]);
        let run = scene.run_at("http://bao.test:8200", &login, &scene.app()).env("HTTP_PROXY", proxy.address());
        let (code, says) = match status {
            407 => (77, "user name and password"),
            403 => (77, "something else answers in the server's place"),
            _ => (69, "a proxy or load balancer found no server behind it"),
        };
        let outcome = scene.case.refused(run, code, &[says, &format!("({status})")]);
        assert!(!outcome.err().contains("policy needs") && !outcome.err().contains("canary"), "{outcome}");
    }
}

#[test]
fn an_answer_of_somebody_else_is_not_taken_for_the_servers() {
    let scene = Scene::new();
    let login = scene.space.approle(&scene.case, &[&scene.paths()]);
    let (token, _) = scene.space.token(&scene.case, &[&scene.paths()], json!({}));
    for body in ["<html>not here</html>", "{\"message\":\"no route\"}"] {
        let proxy = Proxy::before(1);
        for (status, code) in [(404, 65), (403, 77), (400, 65), (501, 69)] {
            proxy.always(Plan::Answer(status, String::new(), body.to_owned()));
            for login in [&login, &token] {
                let run = scene.run_at(&proxy.address(), login, &scene.app());
                let says = ["something else answers", "is vault.address right?", &format!("({status})")];
                scene.case.refused(run, code, &says);
            }
        }
        proxy.always(Plan::Answer(307, "Location: http://[nowhere\r\n".to_owned(), String::new()));
        scene.case.refused(
            scene.run_at(&proxy.address(), &login, &scene.app()),
            65,
            &["redirects to", "is this a Vault"],
        );
    }
}

#[test]
fn a_limit_on_processes_is_named() {
    needs_root!();
    let case = Case::new();
    // The limit counts every process of the user, so the user is one that has none.
    let run = case.run_bare().user(61_234, 61_234).limit(libc::RLIMIT_NPROC, 1).arg("--supervise");
    let outcome = run.app(&["true"]).output();
    assert!(outcome.err().contains("limit on processes"), "{outcome}");
}

#[test]
fn a_login_is_named_once_in_its_own_refusal() {
    let scene = Scene::new();
    let mut login = scene.space.approle(&scene.case, &[&scene.paths()]);
    let words: Vec<&str> = login.auth.split([' ', ',', '}']).collect();
    let role = words[words.iter().position(|word| *word == "roleId:").unwrap() + 1].to_owned();
    login.auth = login.auth.replace(&role, "none");
    let outcome = scene.case.refused(scene.run(&login, &scene.app()), 77, &["it was refused (400)"]);
    assert_eq!(outcome.err().matches("approle login").count(), 0, "{outcome}");
    let token = scene.case.path("token");
    std::fs::write(&token, "\n").unwrap();
    login.auth = format!("{{ method: token-file, path: {} }}", token.display());
    let outcome = scene.case.refused(scene.run(&login, &scene.app()), 77, &["token in"]);
    assert_eq!(outcome.err().matches(&*token.to_string_lossy()).count(), 1, "{outcome}");
}
