//! One request that hangs, renewals that fail, one absurd `Retry-After`, two changes a moment apart: each costs no more than itself.
//! `FAULTS_TABLE` names a file to which the first three add a row.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, generation, stays};
use support::*;

/// A sidecar behind a proxy: a credential of 12 s, a token of 14 s, two KV secrets that are read every second.
pub struct Life {
    pub stage: Stage,
    pub kv: String,
    pub login: Login,
    pub proxy: Proxy,
    config: String,
    figures: Figures,
}

/// What was seen of a life.
#[derive(Default)]
struct Figures {
    logins: u32,
    refused: u32,
    /// What was written to `b` last, and when, until it is on disk.
    change: Option<(String, Instant)>,
    changes: u32,
    latest_kv: Duration,
}

impl Life {
    pub fn new() -> Self {
        let stage = Stage::new("12s", "1h");
        let kv = stage.space.kv2(&[("a", json!({ "k": "0" })), ("b", json!({ "k": "0" }))]);
        let paths = [&*stage.creds(), &*format!("{kv}/data/*")];
        let login = stage.space.approle_with(&stage.case, &paths, json!({ "token_ttl": "14s" }));
        let proxy = Proxy::before(stage.space.bao.port);
        let config = format!(
            "{}refresh: 1s\nfiles: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\" }}\n",
            stage.space.vault_at(&proxy.address(), &login),
            stage.creds()
        );
        Self { stage, kv, login, proxy, config, figures: Figures::default() }
    }

    pub fn start(&self) -> Running {
        let mut running = self.stage.case.with_files(&self.config).command("sidecar").start();
        running.until("first delivery", || (self.stage.file("b") == "0").then_some(()));
        running
    }

    fn write(&self, name: &str, value: &str) {
        self.stage.space.bao.write(&format!("{}/data/{name}", self.kv), json!({ "data": { "k": value } }));
    }

    /// The next request to this path meets that plan, the others are forwarded.
    fn once(&mut self, running: &mut Running, path: &str, plan: Plan) {
        let before = self.proxy.count(path);
        self.proxy.on(path, plan);
        running.until(path, || {
            // A change that was written before is looked for all the time, or its delivery would seem late.
            self.see_b();
            (self.proxy.count(path) > before).then_some(())
        });
        self.proxy.on_nothing();
    }

    /// Logs in every half second with what is on disk, and changes `b` again and again.
    pub fn log_in_for(&mut self, time: Duration) {
        let (begin, mut next) = (Instant::now(), Instant::now());
        while begin.elapsed() < time {
            if Instant::now() >= next {
                self.figures.logins += 1;
                self.figures.refused += u32::from(!self.stage.credential_works());
                next += Duration::from_millis(500);
            }
            self.see_b();
            if self.figures.change.is_none() {
                self.change_b();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn change_b(&mut self) {
        self.figures.changes += 1;
        let value = self.figures.changes.to_string();
        self.write("b", &value);
        self.figures.change = Some((value, Instant::now()));
    }

    /// Notes the time that the change of `b` took, if it is on disk.
    fn see_b(&mut self) {
        if let Some((_, at)) = self.figures.change.take_if(|(value, _)| self.stage.file("b") == *value) {
            self.figures.latest_kv = self.figures.latest_kv.max(at.elapsed());
        }
    }

    /// Ends it; at most so many credentials were issued, with at most so many logins. Adds it to the table under that name.
    pub fn end(self, name: &str, running: Running, most: usize, most_logins: usize) {
        let (issued, logins) = (self.stage.issued(), self.stage.logins(&self.login));
        let Figures { logins: tried, refused, latest_kv, change, .. } = &self.figures;
        // What is on disk came while nobody looked.
        let waiting = change.iter().filter(|(value, _)| self.stage.file("b") != *value);
        let latest_kv = waiting.map(|(_, at)| at.elapsed()).fold(*latest_kv, Duration::max);
        let row = format!(
            "{name}|–|–|{refused} of {tried}|{issued} (at most {most})|–|{} (at most {})|{:.1} s|–\n",
            logins - 1,
            most_logins - 1,
            latest_kv.as_secs_f64()
        );
        if let Some(table) = std::env::var_os("FAULTS_TABLE").filter(|_| *tried > 0) {
            fs::File::options().create(true).append(true).open(table).unwrap().write_all(row.as_bytes()).unwrap();
        }
        let said = running.stderr();
        assert!(*refused == 0 && issued <= most && logins <= most_logins, "{row}\n{said}");
        // The interval and two seconds, and as much again on a busy machine.
        assert!(latest_kv < Duration::from_secs(6), "{row}\n{said}");
        running.signal(libc::SIGTERM);
        assert_eq!(running.end().code(), Some(0));
    }
}

#[test]
fn one_request_that_hangs_costs_neither_credential_nor_token_nor_a_change() {
    let mut life = Life::new();
    let mut running = life.start();
    for path in ["/v1/sys/leases/renew", "/v1/auth/token/renew-self"] {
        life.once(&mut running, path, Plan::Hang);
        life.log_in_for(Duration::from_secs(10));
    }
    life.once(&mut running, "/data/a", Plan::Hang);
    life.write("a", "1");
    let written = Instant::now();
    running.until("the change", || {
        life.see_b();
        (life.stage.file("a") == "1").then_some(())
    });
    // The interval and two seconds, and as much again three times on a busy machine.
    assert!(written.elapsed() < Duration::from_secs(12), "{:?}\n{}", written.elapsed(), running.stderr());
    // Each of its reads hangs, and what is read beside it comes in time.
    life.proxy.on("/data/a", Plan::Hang);
    life.log_in_for(Duration::from_secs(12));
    life.proxy.on_nothing();
    life.end("Hangs", running, 1, 1);
}

#[test]
fn renewals_that_fail_to_the_end_cost_one_credential_and_one_login_a_life() {
    let mut life = Life::new();
    let running = life.start();
    for path in ["/v1/sys/leases/renew", "/v1/auth/token/renew-self"] {
        let internal = "{\"errors\":[\"internal error\"]}";
        life.proxy.on(path, Plan::Answer(500, String::new(), internal.into()));
    }
    // A life is 12 s less a window of 2 s, 14 s less the same; one may end as it begins.
    life.log_in_for(Duration::from_secs(19));
    life.end("Unrenewed", running, 3, 3);
}

#[test]
fn an_hour_of_patience_lets_nothing_expire_and_a_refresh_does_not_wait_for_it() {
    let mut life = Life::new();
    let mut running = life.start();
    let plan = || Plan::Answer(429, "Retry-After: 3600\r\n".into(), "{\"errors\":[]}".into());
    life.once(&mut running, "/v1/sys/leases/renew", plan());
    life.once(&mut running, "/v1/auth/token/renew-self", plan());
    life.log_in_for(Duration::from_secs(14));
    life.once(&mut running, "/data/a", plan());
    life.write("a", "1");
    assert!(stays(Duration::from_secs(3), || life.stage.file("a") == "0"), "it did not wait");
    let outcome = life.stage.case.with_files(&life.config).command("refresh").output();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    running.until("the change", || (life.stage.file("a") == "1").then_some(()));
    // What was sent away, lease and token, is renewed before the window opens in which it would be replaced.
    life.end("Patience", running, 1, 1);
}

#[test]
fn two_changes_a_third_of_a_second_apart_are_one_generation() {
    let life = Life::new();
    let mut running = life.start();
    let mut rounds = 0;
    for value in 1..20 {
        let value = value.to_string();
        let (before, mut seen) = (generation(&life.stage.case.volume()), BTreeSet::new());
        let begun = Instant::now();
        life.write("a", &value);
        std::thread::sleep(Duration::from_millis(300));
        life.write("b", &value);
        let apart = begun.elapsed();
        running.until("both", || {
            seen.insert(generation(&life.stage.case.volume()));
            (life.stage.file("a") == value && life.stage.file("b") == value).then_some(())
        });
        seen.insert(generation(&life.stage.case.volume()));
        seen.remove(&before);
        // A machine that is too busy wrote them further apart.
        if apart < Duration::from_millis(430) {
            assert_eq!(seen.len(), 1, "{apart:?} {seen:?}\n{}", running.stderr());
            rounds += 1;
        }
        if rounds == 4 {
            break;
        }
    }
    life.end("", running, 1, 1);
}
