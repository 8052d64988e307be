//! Nobody of our uid looks into us while we start, where the program file may be run and not read; nobody traces us.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::*;

const PYTHON: &str = "/usr/bin/python3";
const TOKEN: &str = "s.canary-of-the-race";

/// A sidecar's arguments: its login has a token, and its server accepts and never answers.
fn sidecar(case: &Case, server: &std::net::TcpListener) -> Vec<String> {
    let token = case.write("token", TOKEN);
    let config = format!(
        "vault: {{ address: \"http://{}\", auth: {{ method: token-file, path: {} }} }}\nfiles: {{ s: \"vault:kv/a#k\" }}\n\
         volume: {{ path: {} }}\nstate: {}\n",
        server.local_addr().unwrap(),
        token.display(),
        case.volume().display(),
        case.memory.join("state").display()
    );
    let config = case.write("config.yaml", config);
    ["sidecar", "--timeout", "60s", "--config", config.to_str().unwrap()].map(str::to_owned).into()
}

/// A copy of the program with this mode, of the app's own.
fn copy(case: &Case, name: &str, mode: u32) -> PathBuf {
    let path = case.path(name);
    copy_program(program(), &path);
    own(&path, APP);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

/// How many starts of `program` a process of the same uid won, and read the token from.
fn race(program: &Path, arguments: &[String], tries: u32, until: &str) -> u32 {
    let code = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/born.py");
    let code = fs::read_to_string(code).unwrap();
    let run = Run::new(PYTHON.as_ref()).args(&["-c", &code, &tries.to_string(), TOKEN]).arg(program).args(arguments);
    let outcome = run.user(APP, APP).env("RACE", until).output();
    outcome.ok().trim().parse().unwrap()
}

#[test]
fn a_process_of_its_uid_cannot_open_the_memory_of_a_program_it_may_not_read() {
    if !Path::new(PYTHON).exists() {
        return skip("needs /usr/bin/python3, which every user may run");
    }
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let case = Case::new();
    let arguments = sidecar(&case, &server);
    let readable = race(&copy(&case, "readable", 0o755), &arguments, 30, "--once");
    let installed = case.path("bin");
    fs::create_dir(&installed).unwrap();
    own(&installed, APP);
    let installed = installed.join("secret-exec");
    case.run_bare().arg("install").arg(&installed).output().ok();
    assert_eq!(race(&installed, &arguments, 15, ""), 0, "the memory of an installed program was opened");
    if readable == 0 {
        skip("nobody won the race against a readable program either, so nothing is shown");
    }
}

#[test]
fn a_readable_program_is_told_where_the_app_has_our_uid() {
    needs_root!();
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let case = Case::new();
    let arguments = sidecar(&case, &server);
    let config = &arguments[1..];
    let app = format!("{APP}:{APP}");
    let programs = [(copy(&case, "readable", 0o755), 1), (copy(&case, "closed", 0o111), 0)];
    for (program, expected) in &programs {
        let start = || Run::new(program).args(&config[2..]).args(&["--timeout", "100ms"]);
        let count = |run: Run| run.output().err().matches("may read this program's file").count();
        let start_as = |run: Run| run.user(APP, APP).args(&["--run-as", app.as_str()]);
        assert_eq!(count(start_as(start()).app(&["true"])), *expected);
        assert_eq!(count(start().user(APP, APP).arg("--supervise").app(&["true"])), *expected, "without runAs too");
        assert_eq!(count(start_as(start().command("sidecar"))), *expected);
        assert_eq!(count(start().user(APP, APP).command("sidecar")), 0, "whose uid the app has is not known");
        own(&case.memory, 0);
        assert_eq!(count(start().root().args(&["--run-as", &app]).app(&["true"])), 0, "the app's uid is another");
        own(&case.memory, APP);
        let said = Run::new(program).command("check").args(&config[2..]).args(&["--run-as", app.as_str()]);
        let said = said.user(APP, APP).output().ok();
        assert_eq!(said.matches("may read this program's file").count(), *expected, "{said}");
    }
}

#[test]
fn a_start_that_is_traced_is_refused() {
    if !Path::new("/usr/bin/strace").exists() {
        return skip("needs strace");
    }
    let case = Case::new();
    let config = case.write("config.yaml", format!("env: {{ X: \"{}\" }}\n", case.secret("s", "value")));
    let within = ["/usr/bin/strace", "-f", "-o", "/dev/null"];
    let config = config.to_str().unwrap();
    for arguments in [
        &["--config", config, "--", "/bin/echo", "ran"][..],
        &["--supervise", "--config", config, "--", "/bin/echo", "ran"],
        &["init", "--config", config],
        &["sidecar", "--config", config],
        &["check", "--config", config],
    ] {
        let outcome = case.run_bare().args(arguments).within(&within).output();
        outcome.refused(71, &["traces this one", "strace"]);
    }
    let version = case.run_bare().arg("version").within(&within).output();
    version.ok();
}
