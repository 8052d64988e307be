//! A process of ours that stays confines itself, and the app does not inherit it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use support::*;

const LOCAL: &str =
    "vault:database/creds/web: { data: { username: app, password: \"{{random}}\" }, ttl: 2s, renewable: false }\n";
const CONFIG: &str = "files: { db: \"vault:database/creds/web#password\" }\n";
/// Seccomp: 0 is nothing, 2 a filter (proc(5)).
const FREE: &str = "0";
const FILTERED: &str = "2";

fn local(case: &Case, config: &str) -> Run {
    let file = case.write("local.yaml", LOCAL);
    case.with_files(&format!("{CONFIG}{config}")).arg("--local").arg(file)
}

fn status(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/status")).unwrap()
}

fn seccomp(pid: i32) -> String {
    status_field(&status(pid), "Seccomp")
}

fn rotates(case: &Case, running: &mut Running) {
    let path = case.volume().join("db");
    let first = running.until("a first delivery", || fs::read(&path).ok());
    running.until("a second delivery", || fs::read(&path).ok().filter(|now| *now != first));
}

/// Whether this process inherited a filter itself (a container's default profile): then everything has one.
fn is_filtered_ourselves() -> bool {
    seccomp(std::process::id().cast_signed()) != FREE
}

#[test]
fn a_sidecar_confines_itself_and_rotates() {
    let case = Case::new();
    let mut running = local(&case, "").command("sidecar").start();
    rotates(&case, &mut running);
    assert_eq!(seccomp(running.pid()), FILTERED);
    assert_eq!(status_field(&status(running.pid()), "NoNewPrivs"), "1");
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(!outcome.err().contains("sandbox"), "{outcome}");
}

#[test]
fn a_supervisor_confines_itself_after_the_app_has_started() {
    if is_filtered_ourselves() {
        return skip("this process has a filter itself, which the app inherits");
    }
    let case = Case::new();
    let script = "grep -E ^Seccomp: /proc/self/status; unshare --user true 2>/dev/null; read end; exit 7";
    let mut running = local(&case, "supervise: true\nonChange: [\"signal:URG\"]\n").sh(script).pty().start();
    let said = running.says("Seccomp");
    assert!(said.contains("Seccomp:\t0"), "the app inherits no filter: {said}");
    let pid = running.pid();
    running.until("the supervisor's filter", || (seccomp(pid) == FILTERED).then_some(()));
    rotates(&case, &mut running);
    running.types(b"\n");
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(7), "{outcome}");
}

#[test]
fn what_starts_commands_later_says_that_it_is_not_confined() {
    let case = Case::new();
    for (config, setting) in [
        ("supervise: true\nonChange: [restart]\n", "onChange: restart"),
        ("supervise: true\nonChange: [{ run: [/bin/true] }]\n", "onChange: run"),
    ] {
        let mut running = local(&case, config).sh("echo ready; sleep 60").start();
        running.says("ready");
        let line = format!("running without a sandbox: {setting} starts commands, which would inherit it");
        wait_for("the line", || running.stderr().contains(&line).then_some(()));
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.err().matches("without a sandbox").count(), 1, "{outcome}");
    }
}

#[test]
fn off_and_log_refuse_nothing() {
    let case = Case::new();
    for (sandbox, expected) in [("off", FREE), ("log", FILTERED)] {
        if sandbox == "off" && is_filtered_ourselves() {
            continue;
        }
        let mut running = local(&case, "").command("sidecar").env("SECRET_EXEC_SANDBOX", sandbox).start();
        rotates(&case, &mut running);
        assert_eq!(seccomp(running.pid()), expected, "{sandbox}");
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.err().contains("sandbox: log: nothing is refused"), sandbox == "log", "{outcome}");
    }
    let outcome = local(&case, "").command("sidecar").args(&["--sandbox", "maybe"]).output();
    outcome.refused(64, &["--sandbox", "off, log or on"]);
}

#[test]
fn check_shows_what_stays_allowed() {
    let case = Case::new();
    let shown = local(&case, "").command("check").output().ok();
    let section = shown.split_once("Confines itself\n").unwrap_or_else(|| panic!("{shown}")).1;
    assert!(section.contains(case.volume().to_str().unwrap()), "{section}");
    assert!(section.contains("/etc/ssl") && section.contains("never execve"), "{section}");
    let shown = local(&case, "").command("check").args(&["--sandbox", "off"]).output().ok();
    assert!(shown.contains("sandbox is off"), "{shown}");
    let shown = local(&case, "onChange: [{ run: [/bin/true] }]\n").command("check").output().ok();
    assert!(shown.contains("onChange: run starts commands"), "{shown}");
}

/// An end that comes soon: ten seconds before it, the SDK asks again.
fn soon() -> String {
    let date = Command::new("date").args(["-u", "-d", "+12 seconds", "+%FT%TZ"]).output().unwrap();
    String::from_utf8(date.stdout).unwrap().trim().to_owned()
}

/// Answers of the three who give AWS credentials.
fn gives_credentials(agent: &Proxy) {
    let end = soon();
    let container = json!({ "AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "t", "Expiration": end });
    agent.on("/container", Plan::Answer(200, String::new(), container.to_string()));
    let instance = json!({
        "Code": "Success", "LastUpdated": "2026-01-01T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": "ASIA1",
        "SecretAccessKey": "s", "Token": "t", "Expiration": end, "AccountId": "123456789012",
    });
    let lives = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\n".to_owned();
    agent.on("/latest/api/token", Plan::Answer(200, lives, "session-token".into()));
    agent.on("/web-role", Plan::Answer(200, String::new(), instance.to_string()));
    agent.on("/security-credentials", Plan::Answer(200, String::new(), "web-role".into()));
    agent.on("POST /", Plan::Answer(200, "Content-Type: text/xml\r\n".into(), format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIA1</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
         <SessionToken>t</SessionToken><Expiration>{end}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    )));
}

#[test]
fn a_confined_sidecar_asks_for_every_identity_of_aws_again() {
    let moto = Moto::shared();
    for (variable, file, mark) in [
        ("AWS_ENDPOINT_URL_STS", "AWS_WEB_IDENTITY_TOKEN_FILE", "second-token"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "second-token"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "NONE", "/web-role"),
    ] {
        let (case, agent, name) = (Case::new(), Proxy::before(1), format!("sandbox-{}", unique()));
        moto.create(&name, "one");
        gives_credentials(&agent);
        let token = case.write("token", "first-token");
        let place = if variable.ends_with("URI") { "/container" } else { "" };
        // Names are looked up while it is confined.
        let address = |port, place| format!("http://localhost:{port}{place}");
        let config = format!("refresh: {{ aws: 1s }}\nfiles: {{ x: \"aws-sm:{name}\" }}\n");
        let mut running = case
            .with_files(&config)
            .env("AWS_ENDPOINT_URL", address(moto.port, ""))
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod")
            .env(variable, address(agent.port, place))
            .env(file, &token)
            .command("sidecar")
            .start();
        let read = || fs::read_to_string(case.volume().join("x")).unwrap_or_default();
        running.until("a first delivery", || (read() == "one").then_some(()));
        assert_eq!(seccomp(running.pid()), FILTERED, "{variable}");
        // Kubelet replaces the file.
        fs::rename(case.write("next", "second-token"), &token).unwrap();
        let before = agent.count(mark);
        moto.call("eu-west-1", "PutSecretValue", json!({ "SecretId": name, "SecretString": "two" }));
        running.until("a second delivery", || (read() == "two").then_some(()));
        running.until("credentials from the new token", || {
            gives_credentials(&agent);
            (agent.count(mark) > before + 1).then_some(())
        });
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.code(), Some(0), "{variable}: {outcome}");
        assert!(!outcome.err().contains("warning: cannot"), "{variable}: {outcome}");
    }
}

#[test]
fn a_file_that_the_sandbox_refuses_is_told_as_that() {
    let case = Case::new();
    let folder = case.path("certificates");
    fs::create_dir(&folder).unwrap();
    let write = |text: &str| {
        fs::write(folder.join("a"), text).unwrap();
        for (path, mode) in [(&folder, 0o755), (&folder.join("a"), 0o644)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    write("one");
    let config = format!("refresh: 1s\nfiles: {{ a: \"file:{}\" }}\n", folder.join("a").display());
    let mut running = case.with_files(&config).command("sidecar").start();
    let read = || fs::read_to_string(case.volume().join("a")).unwrap_or_default();
    running.until("a first delivery", || (read() == "one").then_some(()));
    write("two");
    running.until("a second delivery", || (read() == "two").then_some(()));
    // Another directory of the same name.
    fs::rename(&folder, case.path("old")).unwrap();
    fs::create_dir(&folder).unwrap();
    write("three");
    wait_for("the reason", || running.stderr().contains("the sandbox refuses what is in a directory").then_some(()));
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
}
