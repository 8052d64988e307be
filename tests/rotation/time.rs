//! An hour that passed between two breaths: the sidecar ends in one time namespace and begins in another, whose clock since
//! boot is an hour ahead, while the boot is the same. (That of a running process nobody can move; the schedule is tested
//! with jumps.)

use std::process::Command;

use serde_json::json;

use crate::Stage;
use support::*;

struct Life {
    stage: Stage,
    login: Login,
    config: String,
}

/// Whether there are time namespaces here.
fn has_time_namespaces() -> bool {
    let within = Command::new("unshare").args(["--time", "--boottime", "3600", "setpriv", "--help"]).output();
    is_root() && within.is_ok_and(|output| output.status.success())
}

impl Life {
    fn new(lease: &str, token: &str) -> Self {
        let stage = Stage::new(lease, "24h");
        let login = stage.space.approle_with(&stage.case, &[&stage.creds()], json!({ "token_ttl": token }));
        let config = format!("{}files: {{ db.json: \"vault:{}\" }}\n", stage.space.vault(&login), stage.creds());
        Self { stage, login, config }
    }

    /// A sidecar whose clock since boot is so many seconds ahead.
    fn at(&self, ahead: u32) -> Running {
        let ids = [format!("--reuid={APP}"), format!("--regid={APP}")];
        let ahead = ahead.to_string();
        let prefix = ["unshare", "--time", "--boottime", &ahead, "setpriv", &ids[0], &ids[1], "--clear-groups", "--"];
        self.stage.case.with_files(&self.config).command("sidecar").root().within(&prefix).start()
    }

    /// Starts it, and kills it once what it has is written down.
    fn killed(&self, ahead: u32) -> String {
        let mut running = self.at(ahead);
        let state = self.stage.case.memory.join("state/state.json");
        let accessor = || self.stage.space.accessors().last().cloned();
        running.until("state", || {
            let text = std::fs::read_to_string(&state).ok()?;
            (text.contains(&accessor()?) && text.contains("\"under_way\":[]") && text.contains("state.value-"))
                .then_some(())
        });
        running.until("delivery", || (!self.stage.file("db.json").is_empty()).then_some(()));
        running.signal(libc::SIGKILL);
        running.end();
        self.stage.file("db.json")
    }

    fn cost(&self) -> (usize, usize) {
        (self.stage.logins(&self.login), self.stage.issued())
    }

    fn end(self, running: Running) {
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        self.stage.nothing_is_left();
    }
}

macro_rules! needs_time_namespaces {
    () => {
        if !has_time_namespaces() {
            return skip("needs root, time namespaces, and unshare and setpriv of util-linux");
        }
    };
}

#[test]
fn what_outlived_the_hour_is_taken_up_and_what_is_overdue_renewed_at_once() {
    needs_time_namespaces!();
    let life = Life::new("80m", "80m");
    let first = life.killed(0);
    let mut running = life.at(3600);
    running.until("both renewals", || {
        let renewed = |path: &str| life.stage.count(path) >= 1;
        (renewed("update sys/leases/renew") && renewed("update auth/token/renew-self")).then_some(())
    });
    assert_eq!(life.cost(), (1, 1), "{}", running.stderr());
    assert_eq!(life.stage.file("db.json"), first);
    life.end(running);
}

#[test]
fn what_ended_within_the_hour_is_issued_once_more() {
    needs_time_namespaces!();
    let life = Life::new("30m", "4h");
    let first = life.killed(0);
    let mut running = life.at(3600);
    running.until("another credential", || (life.stage.file("db.json") != first).then_some(()));
    assert_eq!(life.cost(), (1, 2), "{}", running.stderr());
    life.end(running);
}

#[test]
fn a_token_that_ended_within_the_hour_costs_one_login() {
    needs_time_namespaces!();
    let life = Life::new("30m", "30m");
    let first = life.killed(0);
    let mut running = life.at(3600);
    running.until("another credential", || (life.stage.file("db.json") != first).then_some(()));
    assert_eq!(life.cost(), (2, 2), "{}", running.stderr());
    life.end(running);
}

#[test]
fn what_was_written_down_in_the_future_is_not_believed() {
    needs_time_namespaces!();
    let life = Life::new("2h", "2h");
    let first = life.killed(3600);
    let mut running = life.at(0);
    running.until("another credential", || (life.stage.file("db.json") != first).then_some(()));
    assert_eq!(life.cost(), (2, 2), "a clock that ran backwards says nothing about lives\n{}", running.stderr());
    assert!(running.stderr().contains("of another clock"), "{}", running.stderr());
    life.end(running);
}
