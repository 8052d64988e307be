//! A canary value is in no log at any level, no error, no command line, no environment of ours, no file on disk.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use support::*;

const CANARY: &str = "canary-4f1c9a7e2b";

/// Everything a start may say, with the secret delivered in every way.
fn everything(case: &Case, space: &Space, address: &str) -> (String, Login) {
    let kv = space.kv2(&[("a", json!({ "k": CANARY, "url": format!("https://{CANARY}") }))]);
    let login = space.approle(case, &[&format!("{kv}/data/*")]);
    let config = format!(
        "{}secrets: {{ a: \"vault:{kv}/data/a\" }}\n\
         env: {{ X: a#k, Y: {{ template: \"{{{{ secret('a').url | urlencode }}}}\" }} }}\n\
         envFrom: [ {{ from: a, prefix: ALL_ }} ]\n\
         files: {{ raw: a#k, a.json: a, a.yaml: {{ from: a, format: yaml }}, t: {{ template: \"{{{{ secret('a').k }}}}\" }} }}\n",
        space.vault_at(address, &login)
    );
    (config, login)
}

#[test]
fn no_log_of_any_level_or_format_shows_it() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (config, login) = everything(&case, &space, &space.bao.address());
    let secret_id =
        fs::read_to_string(case.path(&format!("{}.secret-id", login.path.split('/').nth(1).unwrap()))).unwrap();
    for level in ["error", "warn", "info", "debug", "trace"] {
        for format in ["text", "json"] {
            for mode in [&[][..], &["--supervise"]] {
                let run = case.with_files(&config).args(&["--log-level", level, "--log-format", format]).args(mode);
                // What other crates and a debugging operator would switch on.
                let run = run.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").app(&["true"]);
                let outcome = run.output();
                outcome.ok();
                let said = format!("{}{}", outcome.out(), outcome.err());
                assert!(!said.contains(CANARY), "{level} {format}: {said}");
                assert!(!said.contains(secret_id.trim()), "{level} {format}: the secret id is in {said}");
                assert_eq!(issued_tokens(&said).next(), None, "{level} {format}: a token is in {said}");
            }
        }
    }
}

/// OpenBao's tokens look like `s.` and 24 letters and digits.
fn issued_tokens(said: &str) -> impl Iterator<Item = &str> {
    let words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.filter(|word| word.len() == 26 && word.starts_with("s."))
}

#[test]
fn no_error_shows_it() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let proxy = Proxy::before(space.bao.port);
    let (config, _) = everything(&case, &space, &proxy.address());
    // The answer to the read, spoilt in many ways; serde messages and bodies quote what they saw.
    for body in [
        format!("{{\"data\":\"{CANARY}\"}}"),
        format!("{{\"data\":{{\"data\":[\"{CANARY}\"],\"metadata\":\"{CANARY}\"}}}}"),
        format!("{{\"lease_duration\":\"{CANARY}\",\"data\":{{}}}}"),
        format!("{{\"data\":{{\"data\":{{\"k\":\"{CANARY}\","),
        CANARY.to_owned(),
        format!("{{\"{CANARY}\":1}}"),
    ] {
        proxy.next([Plan::Forward, Plan::Answer(200, String::new(), body.clone())]);
        let outcome = case
            .with_files(&config)
            .args(&["--log-level", "trace", "--timeout", "3s"])
            .app(&case.marking_app())
            .output();
        assert!(!case.ran());
        assert!(!matches!(outcome.code(), Some(0) | None), "{outcome}");
        assert!(!outcome.err().contains(CANARY), "{body}: {outcome}");
    }
    for status in [400, 403, 404, 500] {
        let body = format!("{{\"errors\":[\"{CANARY}\"]}}");
        proxy.next([Plan::Forward]);
        proxy.always(Plan::Answer(status, String::new(), body));
        let outcome = case
            .with_files(&config)
            .args(&["--log-level", "trace", "--timeout", "1s"])
            .app(&case.marking_app())
            .output();
        assert!(!case.ran());
        assert!(!outcome.err().contains(CANARY), "{status}: {outcome}");
        proxy.always(Plan::Forward);
    }
}

#[test]
fn the_supervisor_shows_it_to_nobody() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (config, _) = everything(&case, &space, &space.bao.address());
    let mut running = case.with_files(&config).arg("--supervise").sh("echo ready; exec sleep 1000").start();
    running.says("ready");
    let ours = format!("/proc/{}", running.pid());
    // As root these can be read although the process is not dumpable.
    for file in ["cmdline", "environ"] {
        let bytes = fs::read(format!("{ours}/{file}")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{file}");
    }
    if is_root() {
        let app = format!("/proc/{}/environ", running.only_child());
        running.until("value in the app's environment, where it belongs", || {
            let environment = fs::read(&app).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(CANARY).then_some(())
        });
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn nothing_on_disk_has_it() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (config, _) = everything(&case, &space, &space.bao.address());
    case.with_files(&config).env("TMPDIR", &case.dir).app(&["true"]).output().ok();
    fn search(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                search(&entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(CANARY), "{}", entry.path().display());
            }
        }
    }
    search(&case.dir);
}

#[test]
fn the_supervisors_memory_keeps_no_copy_of_a_variable() {
    needs_root!();
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": CANARY }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}env: {{ X: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    let mut running = case.with_config(&config).arg("--supervise").sh("echo ready; exec sleep 1000").start();
    running.says("ready");
    // The app may run before its parent has wiped what it was started with.
    let pid = running.pid();
    running.until("supervisor without a copy of the value", || {
        let copies = memory_of(pid).windows(CANARY.len()).filter(|bytes| *bytes == CANARY.as_bytes()).count();
        (copies == 0).then_some(())
    });
    running.signal(libc::SIGTERM);
    running.end();
}

/// The newest token of a sidecar, from what it writes down for a restart.
fn saved_token(case: &Case) -> Option<String> {
    let state = fs::read_to_string(case.memory.join("state/state.json")).ok()?;
    let state: serde_json::Value = serde_json::from_str(&state).ok()?;
    state["token"]["secret"].as_str().map(str::to_owned)
}

/// How often `secret`, or most of it, stands in the memory of a process.
fn copies(pid: i32, secret: &str) -> usize {
    // What a buffer was reused for overwrites its beginning.
    let end = &secret.as_bytes()[secret.len() / 3..];
    memory_of(pid).windows(end.len()).filter(|bytes| *bytes == end).count()
}

#[test]
fn a_sidecar_at_rest_holds_no_jwt_and_no_dead_token() {
    needs_root!();
    for user in [0, APP] {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let kv = space.kv2(&[("a", json!({ "k": CANARY }))]);
        let login = space.jwt(&[&format!("{kv}/data/*")], "web.jwt");
        let role = login.path.replace("/login", "/role/web");
        let life = json!({
            "role_type": "jwt", "bound_audiences": ["vault"], "bound_subject": "web", "user_claim": "sub",
            "token_policies": [space.policy(&[&format!("{kv}/data/*")])], "token_ttl": "6s", "token_max_ttl": "6s",
        });
        space.bao.write(&role, life);
        let config = format!("{}files: {{ s: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
        let jwt = fs::read_to_string(certificates().join("web.jwt")).unwrap();
        let run = case.with_files(&config).command("sidecar");
        let run = if user == 0 { run.root().args(&["--run-as", &format!("{APP}:{APP}")]) } else { run.user(APP, APP) };
        let mut running = run.start();
        let pid = running.pid();
        let first = running.until("a token", || saved_token(&case));
        assert!(copies(pid, &first) > 0, "the search finds what is there");
        running.until("no JWT in memory", || (copies(pid, jwt.trim()) == 0).then_some(()));
        running.until("another token", || saved_token(&case).filter(|token| *token != first));
        running.until("no dead token in memory", || (copies(pid, &first) == 0).then_some(()));
        running.until("no JWT in memory", || (copies(pid, jwt.trim()) == 0).then_some(()));
        running.signal(libc::SIGTERM);
        running.end();
    }
}

/// A replaced token is revoked half a minute after its leases are replaced. One that ends before that is dropped by then.
#[test]
fn a_token_that_ends_before_its_turn_to_be_revoked_is_dropped() {
    needs_root!();
    let case = Case::new();
    let (logins, issued) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let script = Script::start(move |head, _, stream| {
        let body = match () {
            () if head.contains("/login") => {
                let number = logins.fetch_add(1, Ordering::Relaxed);
                json!({ "auth": {
                    "client_token": format!("hvs.a-token-of-a-script-{number}"), "lease_duration": 5, "renewable": false,
                    "token_type": "service",
                } })
            }
            () if head.contains("/creds/") => {
                let number = issued.fetch_add(1, Ordering::Relaxed);
                json!({ "lease_id": format!("db/creds/web/{number}"), "lease_duration": 4, "renewable": false, "data": { "p": "x" } })
            }
            () => json!({}),
        };
        say(stream, "200 OK", "", &body.to_string())
    });
    let jwt = case.write("jwt", "a.b.c");
    let config = format!(
        "vault: {{ address: \"{}\", auth: {{ method: jwt, role: r, tokenFile: {} }} }}\nfiles: {{ p: \"vault:db/creds/web#p\" }}\n",
        script.address(),
        jwt.display()
    );
    let mut running = case.with_files(&config).command("sidecar").user(APP, APP).start();
    let pid = running.pid();
    running.until("four logins", || (script.count("/login") >= 4).then_some(()));
    for number in 0..2 {
        let token = format!("hvs.a-token-of-a-script-{number}");
        running.until("no ended token in memory", || (copies(pid, &token) == 0).then_some(()));
    }
    running.signal(libc::SIGTERM);
    running.end();
    let (revoked, logins) = (script.count("/revoke-self"), script.count("/login"));
    assert!(revoked >= 1 && revoked + 2 <= logins, "{revoked} of {logins} logins");
}

/// All writable memory of a process, as root reads it.
fn memory_of(pid: i32) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut part = vec![0; usize::try_from(end - start).unwrap()];
        if memory.read_exact_at(&mut part, start).is_ok() {
            all.append(&mut part);
        }
    }
    assert!(!all.is_empty(), "nothing could be read, so nothing is proven");
    all
}
