//! Secrets stay fresh: the sidecar and the supervisor against real servers, and what they do when those misbehave.

#![allow(
    clippy::disallowed_methods,
    reason = "the suite is the outside world: it has an environment, a clock, processes"
)]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, missing_debug_implementations, reason = "this is a test")]
#![allow(clippy::print_stderr, reason = "skips are said on stderr, by name")]
#![allow(dead_code, unused_imports, reason = "the support is shared with a larger suite")]

#[path = "../it/support/mod.rs"]
mod support;

mod answers; // answers that are none: patience asked for, not ours to read, cut, never there
mod ends; // an app that does not listen or is killed; asked to end at any moment
mod faults; // outages, revocations by an operator, denials, no room
mod others; // the other backends, many at once, ends in bad moments, memory
mod pair; // files that belong together, read as the docs show
mod server; // the real server killed, sealed, without its storage; its certificate replaced
mod sidecar; // renewal, hand-over, changes, the end
mod supervise; // an app of our own: told, started anew, stopped
mod takeup; // killed, and started again
mod time; // an hour that passed between two breaths

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

    /// Whether `db.json` is a credential the database takes.
    pub fn credential_works(&self) -> bool {
        let credential: Value = serde_json::from_str(&self.file("db.json")).unwrap();
        let text = |key: &str| credential[key].as_str().unwrap().to_owned();
        // The superuser needs no password on loopback and neither do others, so it is asked whether the role is there.
        Postgres::shared().sql(&format!("SELECT count(*) FROM pg_roles WHERE rolname = '{}'", text("username"))) == "1"
            && !text("password").is_empty()
    }
}

/// A file as a reader finds it; empty while it is not there.
pub fn delivered(volume: &Path, name: &str) -> String {
    fs::read_to_string(volume.join(name)).unwrap_or_default()
}

/// What a running one says of itself.
#[track_caller]
pub fn status(case: &Case) -> Value {
    let outcome = case.run().command("status").arg("--json").output();
    serde_json::from_str(&outcome.out()).unwrap_or_else(|_| panic!("{outcome}"))
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
