//! In a user namespace most ids have no meaning: on a laptop that is worked around, elsewhere it is said before anything is done.

use support::*;

const LOCAL: &str = "vault:secret/data/a: { data: { k: value } }\n";

/// Whether this machine lets us make one, as this user.
fn may_unshare(run: Run) -> bool {
    run.within(&["unshare", "-U", "-r"]).output().code() == Some(0)
}

macro_rules! needs_namespace {
    ($user:ident) => {
        if !may_unshare(Run::new("/bin/true".as_ref()).$user()) {
            return skip("needs user namespaces (unshare -U)");
        }
    };
}

trait As {
    fn ordinary(self) -> Self;
}

impl As for Run {
    fn ordinary(self) -> Self {
        self.user(APP, APP)
    }
}

/// A start with `--local` and a file, below a volume of the test's.
fn local(case: &Case, prefix: &[&str], more: &[&str]) -> Run {
    let local = case.write("local.yaml", LOCAL);
    std::fs::set_permissions(&local, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let config = case.write("config.yaml", "env: { X: \"vault:secret/data/a#k\" }\n");
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    case.run_bare().arg("--local").arg(local).arg("--config").arg(config).args(more).within(prefix)
}

#[test]
fn on_a_laptop_an_id_that_is_not_there_becomes_yourself() {
    needs_root!();
    needs_namespace!(root);
    let case = Case::new();
    for prefix in [&["unshare", "-U", "-r"][..], &["unshare", "-U"]] {
        for mode in [&[][..], &["--supervise"]] {
            // A state directory of somebody else's.
            let state = case.memory.join("others");
            std::fs::create_dir_all(&state).unwrap();
            own(&state, STRANGER);
            let mut more = vec!["--run-as", "1000:1000", "--state", state.to_str().unwrap()];
            more.extend(mode);
            let outcome = local(&case, prefix, &more).root().sh("printf %s:%s $X $(id -u)").output();
            let said = outcome.ok();
            let expected = if prefix.len() == 3 { "value:0" } else { "value:65534" };
            assert_eq!(said, expected, "{outcome}");
            assert!(outcome.err().contains("runs as yourself"), "{outcome}");
        }
    }
}

#[test]
fn an_id_that_is_not_there_is_refused_before_anything_is_asked() {
    needs_root!();
    needs_namespace!(root);
    let case = Case::new();
    let secret = case.secret("s", "value");
    for more in [&[][..], &["--supervise"]] {
        let run = case.run_bare().args(&["--env", &format!("X={secret}"), "--run-as", "1000:1000"]).args(more);
        let run = run.within(&["unshare", "-U", "-r"]).root();
        case.refused(run, 71, &["1000", "this user namespace does not have"]);
    }
}

#[test]
fn an_ordinary_user_in_a_namespace_of_its_own_runs_and_is_told_where_files_cannot_go() {
    needs_namespace!(ordinary);
    let case = Case::new();
    let prefix = ["unshare", "-U", "-r"];
    let outcome = local(&case, &prefix, &["--run-as", "0"]).sh("printf %s $X").output();
    assert_eq!(outcome.ok(), "value");
    if !is_root() {
        return; // nobody else's ids are needed below
    }
    let volume = case.volume().display().to_string();
    let more = ["--run-as", "0", "--file", "f=vault:secret/data/a#k", "--volume", &volume];
    // The way there belongs to root, who is nobody here.
    local(&case, &prefix, &more).app(&["true"]).output().refused(73, &["65534 stands for everybody outside"]);
}
