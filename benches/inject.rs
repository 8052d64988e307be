//! What an admission costs: `inject` alone, a whole review, and the webhook over kept-alive TLS, as one table.
//!
//! `cargo bench --bench inject [-- ADMISSIONS]` (100,000 by default; a minute or so). The server runs on two processors; the
//! clients have the others, where there are others, and share those two where there are not.

#![allow(clippy::disallowed_methods, reason = "a benchmark has a clock, processes and arguments")]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "this is a benchmark")]
#![allow(dead_code, unused_imports, reason = "the support is shared with a test suite")]
#![allow(unreachable_pub, missing_debug_implementations, clippy::print_stderr, reason = "so is this")]

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use secret_exec::config::{Injector, Text};
use secret_exec::k8s::admission::{Verdict, admission};
use secret_exec::k8s::inject::inject;
use serde_json::{Value, json};

#[path = "../tests/k8s/support.rs"]
mod support;

#[path = "../tests/k8s/shapes.rs"]
mod shapes;

use support::{CONFIG, Webhook, review};

const ADMISSIONS: usize = 100_000;
const CONNECTIONS: [usize; 3] = [1, 8, 64];

fn main() {
    // cargo adds --bench.
    let said = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let admissions = said.unwrap_or(ADMISSIONS);
    pure();
    growing();
    largest();
    served(admissions);
}

/// Pods as they come, by name.
fn pods() -> Vec<(&'static str, Value)> {
    let typical = json!({
        "secret-exec.dev/vault-role": "web",
        "secret-exec.dev/secret.db": "vault:database/creds/web",
        "secret-exec.dev/template.app.conf": "user={{ secret('db').username }}\npassword={{ secret('db').password }}\n",
        "secret-exec.dev/file.api-token": "vault:secret/data/api#token",
        "secret-exec.dev/run-as": "1000:1000",
        "secret-exec.dev/on-change": "signal:HUP@nginx",
    });
    let many = (0..200).map(|n| (format!("secret-exec.dev/file.f{n}"), json!(format!("vault:secret/data/a{n}#b"))));
    let many: serde_json::Map<_, _> = many.chain([("secret-exec.dev/vault-role".to_owned(), json!("web"))]).collect();
    vec![
        ("asks for nothing", json!({})),
        ("one file", json!({ "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:secret/data/a#b" })),
        ("a typical one (database, template, signal)", typical),
        ("200 files", many.into()),
        (
            "a typing error (denied)",
            json!({ "secret-exec.dev/vault-role": "web", "secret-exec.dev/fiel.a": "vault:a#b" }),
        ),
    ]
}

fn pure() {
    let injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    println!("{:46} {:>12} {:>12}", "one pod, one processor; medians, µs", "inject", "whole review");
    for (name, annotations) in pods() {
        let body = review(&annotations);
        let parsed: Value = serde_json::from_str(&body).unwrap();
        let pod = &parsed["request"]["object"];
        let alone = median(|| drop(black_box(inject(black_box(pod), &injector))));
        let whole = median(|| drop(black_box(admission(black_box(body.as_bytes()), &injector))));
        println!("{name:46} {alone:>12.1} {whole:>12.1}");
    }
    println!();
}

/// Every shape of a pod that could be expensive, from 1 to 10,000 of it.
fn growing() {
    const SIZES: [usize; 5] = [1, 10, 100, 1000, 10_000];
    let injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    println!("{:46} {}", "a whole review by n, milliseconds (D: denied)", SIZES.map(|n| format!("{n:>10}")).concat());
    for (name, shape) in shapes::SHAPES {
        let cost = |n: usize| {
            let body = shapes::body(shape(n));
            let verdict = admission(&body, &injector).unwrap().verdict;
            let mut times: Vec<f64> = (0..5)
                .map(|_| {
                    let start = Instant::now();
                    drop(black_box(admission(black_box(&body), &injector)));
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            format!("{:>8.2}{:2}", times[2], if verdict == Verdict::Denied { " D" } else { "" })
        };
        println!("{name:46} {}", SIZES.map(cost).concat());
    }
    println!();
}

/// The largest bodies that are taken, whatever is in them.
fn largest() {
    let injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    println!("{:46} {:>12}", "a review of 3 MiB that repeats", "milliseconds");
    for (name, body) in shapes::largest_bodies() {
        let took = median(|| drop(black_box(admission(black_box(&body), &injector)))) / 1e3;
        println!("{name:46} {took:>12.2}");
    }
    println!();
}

/// Microseconds, the median of batches that each take a few milliseconds.
fn median(mut what: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut warm = 0_u32;
    while start.elapsed() < Duration::from_millis(100) {
        what();
        warm += 1;
    }
    let batch = (warm / 20).max(1);
    let mut times: Vec<f64> = (0..101)
        .map(|_| {
            let start = Instant::now();
            (0..batch).for_each(|_| what());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(batch)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn served(admissions: usize) {
    let webhook = Webhook::start();
    let clients = separate(&webhook);
    let body = review(&pods()[2].1);
    println!("the webhook, kept-alive TLS 1.3, a typical pod; {clients}");
    println!(
        "{:>11} {:>11} {:>13} {:>9} {:>9} {:>9} {:>19} {:>14}",
        "connections", "admissions", "admissions/s", "p50 ms", "p99 ms", "max ms", "processor µs each", "resident KiB"
    );
    let before = resident(&webhook, "VmRSS");
    println!("{:>11} {:>11} {:>13} {:>9} {:>9} {:>9} {:>19} {before:>14}", 0, 0, "", "", "", "", "");
    for connections in CONNECTIONS {
        let each = admissions / CONNECTIONS.len() / connections + 1;
        let used = processor(&webhook);
        let start = Instant::now();
        let mut times = load(&webhook, connections, each, body.as_bytes());
        let took = start.elapsed().as_secs_f64();
        let used = (processor(&webhook) - used) * 1e6 / times.len() as f64;
        times.sort_unstable();
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        println!(
            "{connections:>11} {:>11} {:>13.0} {:>9.2} {:>9.2} {:>9.2} {used:>19.0} {:>14}",
            times.len(),
            times.len() as f64 / took,
            at(0.5),
            at(0.99),
            at(1.0),
            resident(&webhook, "VmRSS"),
        );
    }
    let injected = webhook.metric("secret_inject_admissions_total{result=\"injected\"}");
    println!(
        "\nafter {injected:.0} admissions: {} KiB resident, {} at most",
        resident(&webhook, "VmRSS"),
        resident(&webhook, "VmHWM")
    );
}

/// How long each admission took.
fn load(webhook: &Webhook, connections: usize, each: usize, body: &[u8]) -> Vec<Duration> {
    let ready = std::sync::Barrier::new(connections);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                let (mut tls, ready) = (webhook.tls(), &ready);
                scope.spawn(move || {
                    ready.wait();
                    let one = |_| {
                        let start = Instant::now();
                        let reply = tls.request("POST", "/mutate", "application/json", body).unwrap();
                        let took = start.elapsed();
                        assert!(reply.status == 200 && reply.body.contains("JSONPatch"), "{reply:?}");
                        took
                    };
                    (0..each).map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// Puts the server on two processors and us on the others, if there are others.
fn separate(webhook: &Webhook) -> String {
    let all = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let ours: Vec<usize> = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap()).collect();
    let set = |cpus: &[usize]| {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu).unwrap());
        set
    };
    let (server, clients) = ours.split_at(ours.len().min(2));
    for task in fs::read_dir(format!("/proc/{}/task", webhook.pid())).unwrap().flatten() {
        let task = task.file_name().to_str().unwrap().parse().unwrap();
        sched_setaffinity(Pid::from_raw(task), &set(server)).unwrap();
    }
    if clients.is_empty() {
        return format!("server and clients share {} processors", server.len());
    }
    sched_setaffinity(Pid::from_raw(0), &set(clients)).unwrap();
    format!("the server on {} processors, the clients on {} others", server.len(), clients.len())
}

/// Seconds of processor time so far.
fn processor(webhook: &Webhook) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", webhook.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    let hertz = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).unwrap().unwrap();
    ticks / hertz as f64
}

fn resident(webhook: &Webhook, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", webhook.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':')).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
