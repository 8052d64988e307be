//! The alert rules and the dashboard name only metrics that a running webhook serves.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use serde_json::Value;

use crate::support::{Webhook, root};

/// The names of a scraped page, and those that a histogram's name stands for.
fn served(webhook: &Webhook) -> BTreeSet<String> {
    let mut stream = std::net::TcpStream::connect(&webhook.metrics).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let lines = page.lines().filter(|line| line.starts_with("secret_inject_"));
    lines.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

fn named(file: &str) -> BTreeSet<String> {
    let content = std::fs::read_to_string(root().join("deploy").join(file)).unwrap();
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = content.match_indices("secret_inject_").map(|(at, _)| &content[at..]);
    starts.map(|rest| rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())].to_owned()).collect()
}

#[test]
fn rules_and_dashboard_name_metrics_that_the_webhook_serves() {
    let webhook = Webhook::start();
    let served = served(&webhook);
    for file in
        ["monitoring/prometheusrule.yaml", "grafana/secret-exec.json", "helm/secret-exec/templates/monitoring.yaml"]
    {
        let named = named(file);
        assert!(named.len() >= 3, "{file}: {named:?}");
        assert!(named.is_subset(&served), "{file}: {:?}", named.difference(&served).collect::<Vec<_>>());
    }
    // Every metric is looked at by somebody.
    let seen = |name: &String| {
        named("grafana/secret-exec.json").contains(name) || ["_sum", "_count"].iter().any(|end| name.ends_with(end))
    };
    assert!(served.iter().all(seen), "{served:?}");
}

/// Grafana loads a dashboard whose panels have ids and places of their own; two on one place hide each other.
#[test]
fn the_dashboards_panels_do_not_cover_each_other() {
    let dashboard = std::fs::read_to_string(root().join("deploy/grafana/secret-exec.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{panel}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{} covers another panel", panel["title"]);
            }
        }
        let is_row = panel["type"] == "row";
        assert_eq!(is_row, panel.get("targets").is_none(), "{panel}");
    }
}
