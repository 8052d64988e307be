//! The text format, read back as a scraper does; and the alert rules, which name nothing that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;

use secret_exec::serve::{Action, Backend, Counters, ErrorClass, Operation, Report, SecretState};

use crate::fake::{self, Served, memory};

type Labels = BTreeMap<String, String>;

/// A page as a scraper sees it.
#[derive(Default)]
struct Scraped {
    kinds: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Scraped {
    fn of(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        *self.samples.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("no {name}"))
    }
}

/// Prometheus' text format 0.0.4, and its conventions; panics at what is wrong.
fn scraped(text: &str) -> Scraped {
    let mut page = Scraped::default();
    let mut family = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!page.kinds.contains_key(name), "{name} stands there twice");
            assert!(help.ends_with('.') && !help.contains('\\'), "{line}");
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            page.kinds.insert(name.to_owned(), kind.to_owned());
        } else {
            let (name, labels, value) = sample(line);
            assert_eq!(name, family, "{line}");
            assert!(page.kinds.contains_key(&name), "{line} has no type");
            assert!(page.samples.insert((name, labels), value).is_none(), "{line} stands there twice");
        }
    }
    page
}

fn sample(line: &str) -> (String, Labels, f64) {
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name) && name.starts_with("secret_exec_"), "{line}");
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(label) && !label.starts_with("__"), "{line}");
            let (text, after) = unquoted(after);
            assert!(labels.insert(label.to_owned(), text).is_none(), "{line}");
            match after.strip_prefix(',') {
                Some(more) => inside = more,
                None => {
                    rest = after.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
                    break;
                }
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

/// Up to the closing quote, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let mut out = String::new();
    let mut letters = text.char_indices();
    while let Some((at, c)) = letters.next() {
        match c {
            '"' => return (out, &text[at + 1..]),
            '\\' => out.push(match letters.next().unwrap().1 {
                'n' => '\n',
                same @ ('"' | '\\') => same,
                other => panic!("\\{other}"),
            }),
            c => out.push(c),
        }
    }
    panic!("no closing quote: {text}")
}

fn page(report: Report) -> Scraped {
    let dir = memory();
    let served = Served::with(&dir.path().join("s"), report);
    let mut stream = TcpStream::connect(served.http).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    scraped(text.split_once("\r\n\r\n").unwrap().1)
}

const ODD: &str = "vault:secret/data/q\"uote\\d\nline";

#[test]
fn a_scraper_reads_back_what_the_report_says() {
    let page = page(fake::report());
    let db = [("name", "db"), ("reference", "vault:database/creds/web")];
    let odd = [("name", ""), ("reference", ODD)];
    let with = |labels: [(&'static str, &'static str); 2], state| [labels[0], labels[1], ("state", state)];
    assert_eq!(page.of("secret_exec_build_info", &[("version", "0.1.0"), ("mode", "supervise")]), 1.0);
    assert_eq!(page.of("secret_exec_ready", &[]), 1.0);
    assert_eq!(page.of("secret_exec_undelivered", &[]), 0.0);
    assert_eq!(page.of("secret_exec_start_timestamp_seconds", &[]), 1_700_000_000.0);
    assert_eq!(page.of("secret_exec_secret_expiry_timestamp_seconds", &db), 1_700_003_000.0);
    assert_eq!(page.of("secret_exec_secret_last_success_timestamp_seconds", &odd), 1_700_000_060.0);
    assert_eq!(page.of("secret_exec_secret_state", &with(db, "fresh")), 1.0);
    assert_eq!(page.of("secret_exec_secret_state", &with(db, "expired")), 0.0);
    assert_eq!(page.of("secret_exec_secret_state", &with(odd, "stale")), 1.0);
    let login = [("backend", "vault"), ("login", "kubernetes (role web, mount kubernetes)")];
    assert_eq!(page.of("secret_exec_token_expiry_timestamp_seconds", &login), 1_700_003_600.0);
    let read = [("backend", "vault"), ("operation", "read")];
    assert_eq!(page.of("secret_exec_requests_total", &read), 2.0);
    let failed = [read[0], read[1], ("class", "transient")];
    assert_eq!(page.of("secret_exec_request_failures_total", &failed), 1.0);
    for (name, number) in [("renewals", 3.0), ("logins", 1.0), ("issued", 2.0), ("generations", 4.0)] {
        assert_eq!(page.of(&format!("secret_exec_{name}_total"), &[]), number);
    }
    assert_eq!(page.of("secret_exec_notifications_total", &[("action", "signal")]), 1.0);
    assert_eq!(page.of("secret_exec_notification_failures_total", &[("action", "http")]), 1.0);
}

#[test]
fn what_may_happen_stands_there_as_zero_before_it_does() {
    let mut report = fake::report();
    report.counters = Counters::default();
    let page = page(report);
    for class in ErrorClass::ALL {
        let labels = [("backend", "vault"), ("operation", "login"), ("class", class.word())];
        assert_eq!(page.of("secret_exec_request_failures_total", &labels), 0.0);
    }
    assert_eq!(page.of("secret_exec_notifications_total", &[("action", "restart")]), 0.0);
}

#[test]
fn one_secret_under_two_names_and_two_tokens_of_one_login_leave_the_page_valid() {
    let mut report = fake::report();
    let (token, secret) = (report.tokens[0].clone(), report.secrets[1].clone());
    report.tokens.push(token);
    report.secrets.push(secret);
    page(report);
}

#[test]
fn a_report_without_anything_is_a_valid_page() {
    let mut report = fake::report();
    (report.tokens, report.secrets, report.counters) = (vec![], vec![], Counters::default());
    page(report);
}

#[test]
fn alert_rules_name_only_metrics_and_words_that_exist() {
    names_only_what_is_served("alerts.yaml", 8);
}

#[test]
fn the_dashboard_names_only_metrics_and_words_that_exist() {
    names_only_what_is_served("grafana/secret-exec.json", 3);
}

/// The queries of a file of `deploy/`, and how many words they match on at least.
fn names_only_what_is_served(file: &str, least: usize) {
    let rules = std::fs::read_to_string(format!("{}/deploy/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let rules = rules.replace("\\\"", "\""); // JSON's quotes
    let known: BTreeSet<String> = page(fake::report()).kinds.into_keys().collect();
    let mut named = BTreeSet::new();
    for (at, _) in rules.match_indices("secret_exec_") {
        let end = rules[at..].find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap();
        named.insert(rules[at..at + end].to_owned());
    }
    assert!(named.len() >= 6, "{named:?}");
    assert!(named.is_subset(&known), "not served: {:?}", named.difference(&known).collect::<Vec<_>>());

    let mut words = 0;
    for (at, quote) in rules.match_indices(['=', '~']).filter(|(at, _)| rules[at + 1..].starts_with('"')) {
        let label: String =
            rules[..at].chars().rev().skip_while(|c| *c == '=').take_while(|c| c.is_alphabetic()).collect();
        let label: String = label.chars().rev().collect();
        for word in rules[at + 2..].split('"').next().unwrap().split('|') {
            let all: Vec<&str> = match label.as_str() {
                "state" => SecretState::ALL.iter().map(|word| word.word()).collect(),
                "operation" => Operation::ALL.iter().map(|word| word.word()).collect(),
                "class" => ErrorClass::ALL.iter().map(|word| word.word()).collect(),
                "backend" => Backend::ALL.iter().map(|word| word.word()).collect(),
                "action" => Action::ALL.iter().map(|word| word.word()).collect(),
                "namespace" | "pod" => vec!["$namespace", "$pod"], // of Prometheus, chosen in the dashboard
                other => panic!("the rules match on {other:?} ({quote})"),
            };
            assert!(all.contains(&word), "{label} is never {word}");
            words += 1;
        }
    }
    assert!(words >= least, "{words}");
}
