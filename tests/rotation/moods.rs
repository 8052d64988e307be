//! Two minutes of `examples/bench/long-run`, and what a sidecar that runs serves to Prometheus.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::Command;

use serde_json::Value;

use crate::Stage;
use support::*;

/// The script judges: nothing mixed, missed, refused or issued beyond the rules; memory, descriptors and threads flat.
#[test]
fn two_minutes_of_a_server_that_changes_its_mood_leave_nothing_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(python())
        .arg(repository().join("examples/bench/long-run"))
        .args(["--minutes", "2", "--program"])
        .arg(program())
        .arg("--plot")
        .arg(folder.path().join("plot.svg"))
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let plot = std::fs::read_to_string(folder.path().join("plot.svg")).unwrap();
    assert_eq!(plot.matches("<polyline").count(), 3, "memory, descriptors, threads");
    eprintln!("{said}");
}

/// The metrics of ours that a file of `deploy/` names.
fn named(file: &str) -> BTreeSet<String> {
    let content = std::fs::read_to_string(repository().join("deploy").join(file)).unwrap();
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = content.match_indices("secret_exec_").map(|(at, _)| &content[at..]);
    starts.map(|rest| rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())].to_owned()).collect()
}

#[test]
fn a_running_sidecar_serves_every_metric_of_the_alerts_and_the_dashboard() {
    let stage = Stage::new("1h", "24h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
    let port = free_port();
    let run = stage.case.with_files(&config).arg("--metrics").arg(format!("127.0.0.1:{port}")).command("sidecar");
    let mut running = run.start();
    running.until("the credential", || Some(stage.file("db.json")).filter(|text| !text.is_empty()));
    let page = running.until("the metrics", || {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).ok()?;
        page.contains("\nsecret_exec_ready 1\n").then_some(page)
    });
    // Samples, not only heads: an alert on a series that is not there never fires.
    let samples = page.lines().filter(|line| line.starts_with("secret_exec_"));
    let served: BTreeSet<String> = samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect();
    for (file, least) in [("alerts.yaml", 8), ("grafana/secret-exec.json", 16)] {
        let named = named(file);
        assert!(named.len() >= least, "{file}: {named:?}");
        let missing: Vec<_> = named.difference(&served).collect();
        assert!(missing.is_empty(), "{file}: {missing:?} is in none of {served:?}");
    }
    let status = stage.case.with_files(&config).command("status").arg("--json").output();
    let status: Value = status.out().parse().unwrap();
    let reference = status["secrets"][0]["reference"].as_str().unwrap();
    assert!(page.contains(&format!("reference=\"{reference}\"")), "{page}");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
