//! What only root may read is read before root becomes the app, whatever the mode; afterwards the app's rights are all there is.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::json;

use support::*;

/// A folder that nobody but root may enter, with one file in it.
fn private(case: &Case, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let folder = case.path("private");
    fs::create_dir_all(&folder).unwrap();
    chown(&folder, Some(0), Some(0)).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    only_roots(&folder.join(name), bytes)
}

/// A file that nobody but root may read.
fn only_roots(path: &Path, bytes: impl AsRef<[u8]>) -> PathBuf {
    fs::write(path, bytes).unwrap();
    chown(path, Some(0), Some(0)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

fn run_as() -> String {
    format!("runAs: \"{APP}:{APP}\"\n")
}

/// Started by root in a mode, the file is delivered to the app; then it is asked to end, where it does not end by itself.
#[track_caller]
fn delivers(case: &Case, mode: &str, config: &str, more: &[&str], name: &str, expected: &str) {
    let run = case.with_files(&format!("{}{config}", run_as())).args(more).root();
    let delivered = || {
        let path = case.volume().join(name).canonicalize().ok()?;
        Some((fs::read_to_string(&path).ok()?, owner_of(&path)))
    };
    let expected = Some((expected.to_owned(), (APP, APP)));
    match mode {
        "exec" | "init" => {
            let run = if mode == "init" { run.command("init") } else { run.app(&["true"]) };
            run.output().ok();
            assert_eq!(delivered(), expected, "{mode}");
        }
        _ => {
            let run =
                if mode == "sidecar" { run.command("sidecar") } else { run.arg("--supervise").app(&["sleep", "1000"]) };
            let mut running = run.start();
            let found = running.until("the file", delivered);
            assert_eq!(Some(found), expected, "{mode}");
            running.signal(libc::SIGTERM);
            let outcome = running.end();
            assert!(matches!(outcome.code(), Some(0 | 143)), "{mode}: {outcome}");
        }
    }
}

const MODES: [&str; 4] = ["exec", "init", "sidecar", "supervise"];

#[test]
fn a_file_source_is_read_before_the_drop_in_every_mode() {
    needs_root!();
    for mode in MODES {
        let case = Case::new();
        let secret = private(&case, "s", "roots own");
        delivers(&case, mode, &format!("files: {{ s: \"file:{}\" }}\n", secret.display()), &[], "s", "roots own");
    }
}

#[test]
fn the_local_file_is_read_before_the_drop_in_every_mode() {
    needs_root!();
    for mode in MODES {
        let case = Case::new();
        let local = private(&case, "local.yaml", "vault:secret/data/a: { data: { k: local } }\n");
        let more = ["--local", local.to_str().unwrap()];
        delivers(&case, mode, "files: { s: \"vault:secret/data/a#k\" }\n", &more, "s", "local");
    }
}

#[test]
fn the_ca_and_the_client_certificate_are_read_before_the_drop_in_every_mode() {
    needs_root!();
    let space = Space::new(OpenBao::shared());
    let kv = space.kv2(&[("a", json!({ "k": "over TLS" }))]);
    let login = space.cert(&[&format!("{kv}/data/*")], "client");
    let mount = login.path.split('/').nth(1).unwrap();
    for mode in MODES {
        let case = Case::new();
        let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"]
            .map(|name| private(&case, name, fs::read(certificates().join(name)).unwrap()));
        let config = format!(
            "vault:\n  address: https://127.0.0.1:{}\n  caFile: {}\n  auth: {{ method: cert, mount: {mount}, role: web, certFile: {}, keyFile: {} }}\nfiles: {{ s: \"vault:{kv}/data/a#k\" }}\n",
            space.bao.tls_port,
            ca.display(),
            cert.display(),
            key.display()
        );
        delivers(&case, mode, &config, &[], "s", "over TLS");
    }
}

#[test]
fn a_change_that_only_root_may_read_is_told_and_the_value_of_the_start_stays() {
    needs_root!();
    let case = Case::new();
    let secret = only_roots(&case.path("mounted"), "first");
    let config = format!("{}refresh: 1s\nfiles: {{ s: \"file:{}\" }}\n", run_as(), secret.display());
    let mut running = case.with_files(&config).command("sidecar").root().start();
    let delivered = || fs::read_to_string(case.volume().join("s")).unwrap_or_default();
    running.until("the first value", || (delivered() == "first").then_some(()));
    only_roots(&secret, "second");
    let refused = format!("permission denied for uid {APP}");
    wait_for("the refusal", || running.stderr().contains(&refused).then_some(()));
    assert_eq!(delivered(), "first");
    chown(&secret, Some(APP), Some(APP)).unwrap();
    let pid = running.pid();
    running.until("the change", || {
        // Asked too soon, it says so and does nothing.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGHUP);
        std::thread::sleep(std::time::Duration::from_millis(200));
        (delivered() == "second").then_some(())
    });
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_later_login_trusts_the_ca_that_only_root_could_read() {
    needs_root!();
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "value" }))]);
    let login =
        space.approle_with(&case, &[&format!("{kv}/data/*")], json!({ "token_ttl": "4s", "token_max_ttl": "4s" }));
    let ca = private(&case, "ca.pem", fs::read(certificates().join("ca.pem")).unwrap());
    let config = format!(
        "{}vault:\n  address: https://127.0.0.1:{}\n  caFile: {}\n  auth: {}\nfiles: {{ s: \"vault:{kv}/data/a#k\" }}\n",
        run_as(),
        space.bao.tls_port,
        ca.display(),
        login.auth
    );
    let mut running = case.with_files(&config).command("sidecar").root().start();
    let logins = || space.requests().iter().filter(|said| **said == format!("update {}", login.path)).count();
    running.until("a second login", || (logins() >= 2).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
