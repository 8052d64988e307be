//! Secrets stay fresh: the sidecar and the supervisor against real servers, and what they do when those misbehave.
//!
//! The rules of rotation, and what holds each. Here against real servers, in `src/schedule/tests` over simulated days
//! (`properties`: days with anything in them; `stories`: one fault at a time; `moves`: by hand).
//!
//! | rule | here | simulated |
//! |---|---|---|
//! | 1 one login, one lease per secret, per start | `sidecar::a_lease_is_renewed_…` (audit log) | `one_login_and_one_lease_…` |
//! | 2 no second credential while the first can be renewed | `faults::an_outage_costs_…`, `faults::a_renewal_that_fails_with_…` | every property, by the server's accusations |
//! | … two live side by side only in the window | `sidecar::at_max_ttl_…`, `lives::lives_of_a_few_seconds_…` | `a_lease_is_replaced_in_its_window_…`, `lives_of_a_few_seconds_…` |
//! | … issues are bounded; lost answers are counted | `takeup::a_kill_at_any_moment_of_the_first_round_…` | `on_a_calm_day_…`, `answers_lost_on_the_way_…`, `an_issue_without_an_answer_is_counted` |
//! | 3 a class per failure, `Retry-After`, back-off | `faults::*`, `tests/vault_provider` | `retry_after_is_honoured_…`, `src/schedule/backoff.rs` |
//! | … a minute of 503 costs at most 20 requests | `faults::an_outage_costs_…` | `a_minute_of_outage_…` (1 and 100 leases) |
//! | 4 isolation of what is the secret's own | `faults::one_denied_of_five_…` | `whatever_befalls_one_secret_…`, `one_denied_secret_of_five_…` |
//! | … a local error never causes a fetch | `faults::a_full_volume_…` | – |
//! | … one breaker per backend; on recovery token first, then by expiry | – | `on_recovery_…`, `src/schedule/breaker.rs` |
//! | 4 … an answer of a server that works is the mount's own; a request that hangs costs nobody its life | `partial::*` (two databases), `hangs::one_request_…`, `answers::a_server_that_never_answers_…` | `partial`: a database down, stopped, slow (1, 2, 3, 50 roles); `one_request_that_hangs_…` |
//! | … what one path answers (502, 503, 472, a proxy's page, a cut) is its own while the health is good | `paths::what_one_path_…` | `partial::what_one_mount_answers_…`, `an_outage_is_over_with_it_…` |
//! | … what has expired or is about to is probed every 10 s, whatever refused it; no storm of logins | `recovery::*` | `recovery`: refused, unusable, tokens that nothing accepts (1 and 50 roles) |
//! | … after a repair what did not expire is read soon, and clients do not return together | `examples/fleet.rs` | `comeback` |
//! | 2 … a renewal that keeps failing is replaced in the window | – | `partial::a_renewal_that_keeps_failing_…`, `a_token_whose_renewal_…` |
//! | 3 … `Retry-After` never beyond what expires nor five minutes | `answers::whoever_is_asked_for_patience_…`, `hangs::an_hour_of_patience_…` | `partial::an_absurd_wish_…`, `a_refresh_asks_at_once_…` |
//! | 5 the token before the leases, the old one revoked after the hand-over | `sidecar::a_new_token_takes_over_…` | `a_token_is_handed_over_…`, `an_old_token_lives_until_…` |
//! | … tokens that are not ours, and batch tokens | `lives::a_token_file_…`, `lives::credentials_under_batch_tokens_…` | `a_token_file_that_changed_…` |
//! | 6 stale beats nothing, visibly: keep, remove, stop | `lives::what_has_expired_is_kept_…`, `supervise::an_expired_secret_…` | `expiry_is_told_once_…` |
//! | … what is delivered decides what has expired, not what was issued | `full::*` | `undelivered` |
//! | 7 spread: two thirds less up to a tenth; replicas go apart | – | `a_thousand_replicas_…`, `every_threshold_…`, `src/schedule/term.rs` |
//! | 8 no change, no noise | `sidecar::a_change_is_delivered_…` | – |
//! | 9 one generation, one notification | `supervise::the_app_is_told_once_…`, `others::two_hundred_secrets_…` | – |
//! | 10 leave nothing behind; `revokeDelay` | `sidecar::a_lease_is_renewed_and_revoked_…`, `sidecar::revoke_delay_…`, `others::a_signal_in_any_phase_…`, `tests/it/fetch.rs` | – |
//! | 11 a restarted sidecar takes up what it had, but the answers under way | `takeup::*` | – |
//! | … in an outage it is ready with values that have no lease too; another configuration is not | `takeup::a_restart_while_the_server_is_stopped_…`, `takeup::values_of_a_token_file_…` | – |
//! | … a start that fails revokes nothing that the earlier run had | `takeup::a_restart_that_fails_…` | – |
//! | what is issued without a lease is replaced before its own end | `issued::*` | `src/provider/vault/{ends,validity}.rs` |
//! | a retired generation goes after a second, or when its readers have gone | `watch::*`, `pair::*` | `src/deliver/tests.rs` |
//! | a life that a server states wrongly costs no life and no storm, nor after a restart | `misstated::*` | `misstated` |
//! | logins whose answers are lost are few, for each leaves a token | `answers::a_start_whose_logins_…`, `answers::…_cost_few_logins_…` | `logins_whose_answers_are_lost_…` |
//! | 12 time: suspend, and no sleep over 30 s | – | `an_hour_of_suspend_…`, `restarts_and_jumps_…`, `on_a_calm_day_…` |
//! | what has a life of its own: static roles, certificates, rotation dates | `lives::a_static_role_…`, `lives::a_certificate_…`, `others::a_new_version_…`, `others::the_first_description_…` | `a_static_role_…`, `a_certificate_…`, `the_interval_is_shorter_…` |

#![allow(
    clippy::disallowed_methods,
    reason = "the suite is the outside world: it has an environment, a clock, processes"
)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, missing_debug_implementations, reason = "this is a test")]
#![allow(clippy::print_stderr, reason = "skips are said on stderr, by name")]

mod answers; // answers that are none: patience asked for, not ours to read, cut, never there
mod ends; // an app that does not listen or is killed; asked to end at any moment
mod faults; // outages, revocations by an operator, denials, no room
mod full; // no room for a new credential: what is delivered decides
mod hangs; // one request that hangs, an absurd Retry-After, two changes a moment apart
mod incident; // the emergency page: what its commands revoke, rotate and find
mod issued; // what is issued without a lease and says itself when it ends: signed keys, secret ids, tokens
mod lives; // what ends in its own way, and lives of a few seconds
mod misstated; // lives that are not true, and leases that are not meant
mod moods; // a server that changes its mood for two minutes; the metrics of a sidecar that runs
mod others; // the other backends, many at once, ends in bad moments, memory
mod pair; // files that belong together, read as the docs show
mod paths; // one path that answers as if nobody did
mod partial; // one database down, stopped or slow behind a server that works
mod recovery; // what has expired, and how soon it is tried again
mod server; // the real server killed, sealed, without its storage; its certificate replaced
mod sidecar; // renewal, hand-over, changes, the end
mod supervise; // an app of our own: told, started anew, stopped
mod takeup; // killed, and started again
mod time; // an hour that passed between two breaths
mod versions; // Secrets Manager: descriptions, and versions without a label
mod watch; // inotify on a file, on a link, on the directory

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use support::*;

/// A case, a corner of the server, and a database with a role of these lives.
pub struct Stage {
    pub case: Case,
    pub space: Space<'static>,
    pub database: String,
}

impl Stage {
    /// Role `brief` lives `ttl`, at most `max`.
    pub fn new(ttl: &str, max: &str) -> Self {
        Self::on(OpenBao::shared(), ttl, max)
    }

    /// The same on a server of one's own.
    pub fn on(bao: &'static OpenBao, ttl: &str, max: &str) -> Self {
        let (case, space) = (Case::new(), Space::new(bao));
        let database = space.database();
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        let role = json!({ "db_name": "main", "default_ttl": ttl, "max_ttl": max, "creation_statements": [create] });
        space.bao.write(&format!("{database}/roles/brief"), role);
        Self { case, space, database }
    }

    /// The lease's path.
    pub fn creds(&self) -> String {
        format!("{}/creds/brief", self.database)
    }

    /// A sidecar with this `vault:` section that has delivered the credential as `db.json`.
    #[track_caller]
    pub fn delivering(&self, vault: &str) -> Running {
        let config = format!("{vault}files: {{ db.json: \"vault:{}\" }}\n", self.creds());
        let mut running = self.case.with_files(&config).command("sidecar").start();
        running.until("credential", || (!self.file("db.json").is_empty()).then_some(()));
        running
    }

    /// How often the audit log has this request.
    pub fn count(&self, request: &str) -> usize {
        self.space.requests().iter().filter(|said| *said == request).count()
    }

    /// How many credentials were issued.
    pub fn issued(&self) -> usize {
        self.count(&format!("read {}", self.creds()))
    }

    /// How often somebody logged in.
    pub fn logins(&self, login: &Login) -> usize {
        self.count(&format!("update {}", login.path))
    }

    /// How many leases of the role live on the server.
    pub fn leases(&self) -> usize {
        self.space.leases(&self.database, "brief")
    }

    /// Nothing of ours lives on the server: no token, no lease.
    #[track_caller]
    pub fn nothing_is_left(&self) {
        let alive =
            || self.space.accessors().into_iter().filter(|accessor| self.space.bao.token_lives(accessor)).count();
        assert_eq!(alive(), 0, "tokens live on");
        // The server ends the leases of a token behind its answer.
        wait_for("the end of the leases", || (self.leases() == 0).then_some(()));
    }

    /// A delivered file.
    pub fn file(&self, name: &str) -> String {
        delivered(&self.case.volume(), name)
    }

    /// Whether `db.json` is a credential the database takes: asked by logging in with it.
    pub fn credential_works(&self) -> bool {
        loop {
            let read = self.file("db.json");
            if read.parse().is_ok_and(|credential: Value| self.is_let_in(&credential).is_ok()) {
                return true;
            }
            // One that was replaced while we asked may have died since.
            if self.file("db.json") == read {
                return false;
            }
        }
    }

    /// Logs in to the database; the error is its own.
    pub fn is_let_in(&self, credential: &Value) -> Result<(), String> {
        let text = |key: &str| credential[key].as_str().unwrap_or_default();
        let said = Postgres::shared().sql_as(text("username"), text("password"), "SELECT current_user")?;
        assert_eq!(said, text("username"));
        Ok(())
    }
}

/// A file as a reader finds it; empty while it is not there.
pub fn delivered(volume: &Path, name: &str) -> String {
    fs::read_to_string(volume.join(name)).unwrap_or_default()
}

/// What a running one says of itself. It listens only after the first files are there.
#[track_caller]
pub fn status(case: &Case) -> Value {
    wait_for("a status", || serde_json::from_str(&case.run().command("status").arg("--json").output().out()).ok())
}

/// State and class of the last error of the secret whose reference ends so.
#[track_caller]
pub fn standing(status: &Value, reference: &str) -> (String, String) {
    let secrets = status["secrets"].as_array().unwrap();
    let is_it = |secret: &&Value| secret["reference"].as_str().unwrap().ends_with(reference);
    let secret = secrets.iter().find(is_it).unwrap_or_else(|| panic!("no {reference} in {status}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&secret["state"]), text(&secret["lastError"]["class"]))
}

/// Stays as it is for so long.
pub fn stays(time: Duration, mut is: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < time {
        if !is() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// The generation everybody reads.
pub fn generation(volume: &Path) -> String {
    fs::read_link(volume.join("..data")).map(|path| path.display().to_string()).unwrap_or_default()
}
