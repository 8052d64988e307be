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

mod faults; // outages, revocations by an operator, denials, no room
mod others; // the other backends, many at once, ends in bad moments, memory
mod pair; // files that belong together, read as the docs show
mod sidecar; // renewal, hand-over, changes, the end
mod supervise; // an app of our own: told, started anew, stopped
mod takeup; // killed, and started again

use std::fs;
use std::path::Path;

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
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
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

/// The generation everybody reads.
pub fn generation(volume: &Path) -> String {
    fs::read_link(volume.join("..data")).map(|path| path.display().to_string()).unwrap_or_default()
}
