//! Secrets Manager: what a description says of a version, and when the value is read instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::status;
use support::*;

/// A sidecar with these secrets, read every second from this server.
fn sidecar(case: &Case, server: &Script, references: &[&str]) -> Running {
    let files: String = references.iter().enumerate().map(|(n, it)| format!("  f{n}: \"aws-sm:{it}\"\n")).collect();
    let run = case.with_files(&format!("refresh: {{ aws: 1s }}\nfiles:\n{files}"));
    let run = run.env("AWS_ENDPOINT_URL", server.address()).env("AWS_REGION", "eu-west-1");
    let run = run.env("AWS_ACCESS_KEY_ID", "AKIASUITE").env("AWS_SECRET_ACCESS_KEY", "suite-key");
    let mut running = run.command("sidecar").start();
    running.until("first delivery", || case.volume().join("f0").exists().then_some(()));
    running
}

/// The names of what is asked, in order: operation and secret.
fn operation(head: &str, body: &str) -> (String, String) {
    let target =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-amz-target: ").map(str::to_owned));
    let operation = target.unwrap_or_default().trim_start_matches("secretsmanager.").to_owned();
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    (operation, body["SecretId"].as_str().unwrap_or_default().to_owned())
}

/// The answer to a read of this secret's only version.
fn value(id: &str) -> String {
    format!("{{\"Name\":\"{id}\",\"VersionId\":\"v\",\"VersionStages\":[\"AWSCURRENT\"],\"SecretString\":\"{id}\"}}")
}

/// The answer to a description in which this version is the current one.
fn described(version: &str) -> String {
    format!("{{\"VersionIdsToStages\":{{\"{version}\":[\"AWSCURRENT\"]}}}}")
}

#[test]
fn a_version_without_a_label_is_read_by_its_id_and_is_no_missing_one() {
    let server = Script::start(|head, body, stream| match operation(head, body) {
        (op, _) if op == "describesecret" => say(stream, "200 OK", "", &described("the-next")),
        (_, id) => say(stream, "200 OK", "", &value(&id)),
    });
    let case = Case::new();
    let mut running = sidecar(&case, &server, &["a?version=v"]);
    running.until("descriptions", || (server.count("DescribeSecret") >= 3).then_some(()));
    let told = status(&case);
    assert_eq!(
        (&told["secrets"][0]["state"], &told["secrets"][0]["lastError"]),
        (&"fresh".into(), &().into()),
        "{told}"
    );
    assert_eq!(told["counters"]["generations"], 1, "{told}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn only_a_secret_that_may_be_read_and_not_described_is_read_each_time() {
    let is_sick = Arc::new(AtomicBool::new(false));
    let sick = Arc::clone(&is_sick);
    let denied = "{\"__type\":\"AccessDeniedException\",\"Message\":\"\"}";
    let server = Script::start(move |head, body, stream| match operation(head, body) {
        _ if sick.load(Ordering::Relaxed) => say(stream, "400 Bad Request", "", denied),
        (op, id) if op == "describesecret" && id == "b" => say(stream, "400 Bad Request", "", denied),
        (op, _) if op == "describesecret" => say(stream, "200 OK", "", &described("v")),
        (op, _) if op == "batchgetsecretvalue" => {
            say(stream, "200 OK", "", &format!("{{\"SecretValues\":[{},{}]}}", value("a"), value("b")))
        }
        (_, id) => say(stream, "200 OK", "", &value(&id)),
    });
    let case = Case::new();
    let mut running = sidecar(&case, &server, &["a", "b"]);
    // Everything is denied for a moment, as when a policy is replaced.
    running.until("descriptions", || (server.count("DescribeSecret") >= 3).then_some(()));
    is_sick.store(true, Ordering::Relaxed);
    let is_stale = |n: usize| status(&case)["secrets"][n]["state"] == "stale";
    running.until("denials", || (is_stale(0) && is_stale(1)).then_some(()));
    is_sick.store(false, Ordering::Relaxed);
    case.run().command("refresh").output().ok();
    running.until("recovery", || (!is_stale(0) && !is_stale(1)).then_some(()));
    let (reads, descriptions) = (server.count("GetSecretValue"), server.count("DescribeSecret"));
    running.until("descriptions of one", || (server.count("DescribeSecret") >= descriptions + 4).then_some(()));
    let read = server.count("GetSecretValue") - reads;
    assert!((1..=7).contains(&read), "{read} reads beside 4 descriptions");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
