//! What is issued without a lease and says itself when it ends: signed keys, secret ids, identity tokens, tokens.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::{Stage, delivered, status};
use support::*;

/// A sidecar that delivers the whole answer to one reference, read again every second where that would help.
struct Issued<'a> {
    case: Case,
    space: Space<'a>,
    reference: String,
    login: Login,
    config: String,
}

impl<'a> Issued<'a> {
    fn new(space: Space<'a>, path: &str, reference: &str) -> Self {
        let case = Case::new();
        let login = space.approle(&case, &[path]);
        let config = format!("{}refresh: 1s\nfiles: {{ it.json: \"vault:{reference}\" }}\n", space.vault(&login));
        Self { case, space, reference: reference.to_owned(), login, config }
    }

    fn value(&self) -> Option<Value> {
        delivered(&self.case.volume(), "it.json").parse().ok()
    }

    fn requests(&self, operation: &str) -> usize {
        let path = self.reference.split('?').next().unwrap();
        self.space.requests().iter().filter(|said| **said == format!("{operation} {path}")).count()
    }

    /// Runs over two lives of 12 s; `works` is asked all the time whether what is delivered does.
    #[track_caller]
    fn never_dies(&self, operation: &str, mut works: impl FnMut(&Value) -> bool) {
        let mut running = self.case.with_files(&self.config).command("sidecar").start();
        let first = running.until("first delivery", || self.value());
        let told = status(&self.case);
        assert!(told["secrets"][0]["expires"].is_string(), "{told}");
        assert_eq!(told["secrets"][0]["next"]["action"], "issue", "{told}");
        let started = Instant::now();
        let mut last = first.clone();
        while started.elapsed() < Duration::from_secs(22) {
            let value = self.value().unwrap();
            // One that was replaced while we asked may have died since.
            assert!(works(&value) || self.value() != Some(value), "a dead one is delivered\n{}", running.stderr());
            last = self.value().unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_ne!(last, first);
        // Again after 6.8 to 8 s of the 12.
        let (requests, most) = (self.requests(operation), started.elapsed().as_millis() / 6800 + 1);
        assert!(requests >= 2 && requests as u128 <= most, "{requests} of {most} requests\n{}", running.stderr());
        let logins =
            self.space.requests().iter().filter(|said| **said == format!("update {}", self.login.path)).count();
        assert_eq!(logins, 1, "{}", running.stderr());
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code(), Some(0));
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_signed_key_is_signed_again_before_it_ends() {
    let space = Space::new(OpenBao::shared());
    let ssh = format!("ssh-{}", space.id);
    space.bao.write(&format!("sys/mounts/{ssh}"), json!({ "type": "ssh" }));
    space.bao.write(&format!("{ssh}/config/ca"), json!({ "generate_signing_key": true, "key_type": "ed25519" }));
    let role = json!({
        "key_type": "ca", "allow_user_certificates": true, "allowed_users": "*", "default_user": "app", "ttl": "12s",
        "not_before_duration": "1s",
    });
    space.bao.write(&format!("{ssh}/roles/web"), role);
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIJ5Jj2mVn0MJmNnYAoqTMsRnsAdzQp0kz1dWLHXdQXT";
    let reference = format!("{ssh}/sign/web?public_key={}", key.replace(' ', "%20"));
    let issued = Issued::new(space, &format!("{ssh}/sign/web"), &reference);
    // A signed key has its own end inside, so when the file was written says enough here: never longer ago than it lives.
    let mut last = (Value::Null, Instant::now());
    issued.never_dies("update", |value| {
        if last.0 != *value {
            last = (value.clone(), Instant::now());
        }
        last.1.elapsed() < Duration::from_secs(11)
    });
}

#[test]
fn a_secret_id_is_made_again_before_it_ends() {
    let space = Space::new(OpenBao::shared());
    let mount = format!("for-others-{}", space.id);
    space.bao.write(&format!("sys/auth/{mount}"), json!({ "type": "approle" }));
    space.bao.write(&format!("auth/{mount}/role/x"), json!({ "secret_id_ttl": "12s" }));
    let path = format!("auth/{mount}/role/x/secret-id");
    let issued = Issued::new(space, &path, &format!("{path}?"));
    let role_id = issued.space.bao.read(&format!("auth/{mount}/role/x/role-id"))["data"]["role_id"].clone();
    issued.never_dies("update", |value| {
        let body = json!({ "role_id": role_id, "secret_id": value["secret_id"] }).to_string();
        let answer =
            request(issued.space.bao.port, "PUT", &format!("/v1/auth/{mount}/login"), &[], body.as_bytes()).unwrap();
        answer.status == 200
    });
}

#[test]
fn an_identity_token_is_replaced_before_it_ends_and_not_at_every_interval() {
    let space = Space::new(OpenBao::shared());
    let name = format!("key-{}", space.id);
    space.bao.write(&format!("identity/oidc/key/{name}"), json!({ "allowed_client_ids": "*", "algorithm": "ES256" }));
    space.bao.write(&format!("identity/oidc/role/{name}"), json!({ "key": name, "ttl": "12s" }));
    let path = format!("identity/oidc/token/{name}");
    let issued = Issued::new(space, &path, &path);
    let mut end = (Value::Null, 0);
    issued.never_dies("read", |value| {
        if end.0 != value["token"] {
            end = (value["token"].clone(), now() + value["ttl"].as_u64().unwrap());
        }
        now() <= end.1
    });
}

#[test]
fn a_token_made_by_a_write_is_delivered_replaced_and_gone_with_ours() {
    let space = Space::new(OpenBao::shared());
    let issued = Issued::new(space, "auth/token/create", "auth/token/create?ttl=12s");
    let bao = issued.space.bao;
    let mut accessors = Vec::new();
    issued.never_dies("update", |value| {
        let accessor = value["accessor"].as_str().unwrap().to_owned();
        let lives = bao.token_lives(&accessor);
        if !accessors.contains(&accessor) {
            accessors.push(accessor);
        }
        lives
    });
    wait_for("the end of the tokens", || accessors.iter().all(|one| !bao.token_lives(one)).then_some(()));
}

#[test]
fn an_interval_of_its_own_issues_a_write_again_whatever_its_end() {
    let space = Space::new(OpenBao::shared());
    let mount = format!("transit-{}", space.id);
    space.bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "transit" }));
    space.bao.write(&format!("{mount}/keys/k"), json!({}));
    let path = format!("{mount}/encrypt/k");
    let case = Case::new();
    let login = space.approle(&case, &[&path]);
    let config = |refresh: &str| {
        format!(
            "{}refresh: 1s\nsecrets: {{ c: {{ from: \"vault:{path}?plaintext=eA==\"{refresh} }} }}\n\
             files: {{ c: \"c#ciphertext\" }}\n",
            space.vault(&login)
        )
    };
    let asked = || space.requests().iter().filter(|said| **said == format!("update {path}")).count();
    let config_without = config("");
    let mut running = case.with_files(&config_without).command("sidecar").start();
    running.until("first delivery", || (!delivered(&case.volume(), "c").is_empty()).then_some(()));
    assert!(crate::stays(Duration::from_secs(3), || asked() == 1), "{}", running.stderr());
    let told = status(&case);
    assert_eq!((&told["secrets"][0]["expires"], &told["secrets"][0]["next"]), (&Value::Null, &Value::Null), "{told}");
    let table = case.with_files(&config_without).command("status").output();
    assert!(table.out().contains("no end that we know"), "{table}");
    let refreshed = case.with_files(&config_without).command("refresh").output();
    assert!(refreshed.out().contains("not read again") && refreshed.out().contains(&path), "{refreshed}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));

    let config = config(", refresh: 1s");
    let mut running = case.with_files(&config).command("sidecar").start();
    let first =
        running.until("first delivery", || Some(delivered(&case.volume(), "c")).filter(|text| !text.is_empty()));
    running.until("the next one", || (delivered(&case.volume(), "c") != first).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

/// Each new credential names another path, so it waits for a value, and cannot be kept for it.
#[test]
fn a_path_computed_from_a_credential_makes_no_storm_of_credentials() {
    let stage = Stage::new("6s", "6s");
    let names: Vec<String> =
        ('a'..='z').chain('A'..='Z').chain('0'..='9').chain(['-']).map(|c| format!("u{c}")).collect();
    let entries: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), json!({ "k": "v" }))).collect();
    let kv = stage.space.kv2(&entries);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let template = format!(
        "{{{{ with secret \"{}\" }}}}{{{{ .Data.username }}}} {{{{ with secret (printf \"{kv}/data/u%s\" (slice .Data.password 8 9)) \
         }}}}{{{{ .Data.data.k }}}}{{{{ end }}}}{{{{ end }}}}",
        stage.creds()
    );
    let config =
        format!("{}templateLanguage: go\nfiles: {{ a: {{ template: '{template}' }} }}\n", stage.space.vault(&login));
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || stage.file("a").ends_with(" v").then_some(()));
    running.until("a second credential", || (stage.issued() >= 2).then_some(()));
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(12) {
        assert!(stage.issued() <= 8, "{} credentials issued\n{}", stage.issued(), running.stderr());
        std::thread::sleep(Duration::from_millis(100));
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}
