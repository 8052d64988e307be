//! Answers that state a life which is not true, or are about something else: with a credential of 12 s and a token of
//! 14 s behind them, a wrong belief is seen within seconds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::hangs::Life;
use support::*;

const RENEWALS: [&str; 2] = ["/v1/sys/leases/renew", "/v1/auth/token/renew-self"];

/// The body with other fields, in the envelope and in `auth`.
fn with(body: &str, fields: &Value) -> String {
    let Ok(mut answer) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    for (name, value) in fields.as_object().unwrap() {
        match answer.get_mut("auth").filter(|auth| auth.is_object()) {
            Some(auth) => auth[name] = value.clone(),
            None => answer[name] = value.clone(),
        }
    }
    answer.to_string()
}

/// Renewals are answered like this for two lives of the credential, or not at all after the first of each.
fn renewals_are(edit: fn(&str) -> String, most: usize, most_logins: usize) {
    let mut life = Life::new();
    let running = life.start();
    RENEWALS.iter().for_each(|path| life.proxy.on(path, Plan::Edit(edit)));
    life.log_in_for(Duration::from_secs(26));
    let renewals: usize = RENEWALS.iter().map(|path| life.proxy.count(path)).sum();
    assert!(renewals <= 30, "{renewals} renewals\n{}", running.stderr());
    life.end("", running, most, most_logins);
}

#[test]
fn a_renewal_that_states_a_life_without_end_costs_nothing() {
    renewals_are(|body| with(body, &json!({ "lease_duration": 1_u64 << 63 })), 1, 1);
}

#[test]
fn a_renewal_that_states_hours_costs_nothing() {
    renewals_are(|body| with(body, &json!({ "lease_duration": 36_000 })), 1, 1);
}

// A life is 12 s less a window of 2 s, 14 s less the same; one may end as it begins.

#[test]
fn a_renewal_that_states_no_life_is_the_last() {
    renewals_are(|body| with(body, &json!({ "lease_duration": 0 })), 4, 3);
}

#[test]
fn a_renewal_that_ends_the_renewals_is_believed() {
    renewals_are(|body| with(body, &json!({ "renewable": false })), 3, 3);
}

#[test]
fn the_answer_to_the_renewal_of_another_lease_is_none() {
    let mut life = Life::new();
    let running = life.start();
    life.proxy.on(RENEWALS[0], Plan::Edit(|body| with(body, &json!({ "lease_id": "database/creds/other/1" }))));
    life.log_in_for(Duration::from_secs(26));
    // What is not renewed as far as we know is replaced in its window.
    life.end("", running, 4, 1);
}

#[test]
fn a_first_answer_that_states_a_life_without_end_costs_nothing() {
    let mut life = Life::new();
    let endless = || Plan::Edit(|body| with(body, &json!({ "lease_duration": 1_u64 << 63 })));
    for path in [life.stage.creds(), life.login.path.clone()] {
        life.proxy.on(&path, endless());
    }
    let running = life.start();
    life.log_in_for(Duration::from_secs(26));
    life.end("", running, 1, 1);
}

/// Killed after such renewals, and started again: what the schedule did not believe, the next run does not either.
fn renewals_before_a_kill_are(edit: fn(&str) -> String, most: usize, most_logins: usize) {
    let mut life = Life::new();
    let mut running = life.start();
    RENEWALS.iter().for_each(|path| life.proxy.on(path, Plan::Edit(edit)));
    running.until("both renewals", || RENEWALS.iter().all(|path| life.proxy.count(path) > 0).then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    running.signal(libc::SIGKILL);
    running.end();
    let running = life.start();
    life.log_in_for(Duration::from_secs(20));
    life.end("", running, most, most_logins);
}

#[test]
fn a_renewal_that_states_hours_is_not_believed_by_a_restart_either() {
    renewals_before_a_kill_are(|body| with(body, &json!({ "lease_duration": 36_000 })), 1, 1);
}

#[test]
fn a_renewal_that_states_no_life_leaves_a_restart_what_was_known() {
    // In these thirty seconds the token is replaced with each credential, every ten.
    renewals_before_a_kill_are(|body| with(body, &json!({ "lease_duration": 0 })), 4, 4);
}
