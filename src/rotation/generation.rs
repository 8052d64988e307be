//! Writes what waits as one generation, and reports to the schedules what the app has.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{debug, info};

use crate::deliver::{Artifact, Moment, Written};
use crate::domain::Diagnostic;
use crate::schedule::{BackendId, SecretId, Settings};
use crate::sys::{clock, random};

use super::{Change, Rotation, SourceId};

impl Rotation<'_> {
    /// Writes the waiting changes as one generation. A failure is local, and is retried later without a request to a
    /// backend. Returns what the app has to be notified of, if anything.
    pub(super) fn deliver(&mut self, now: Duration) -> Option<Change> {
        let limit = self.files.render_time.limit(now);
        let composed = self.files.delivery.compose(&self.plan, &self.values, self.files.volume.as_ref(), limit);
        self.files.render_time.ended(limit, now);
        let (generation, count) = match composed.map(|artifacts| (self.write(&artifacts), artifacts.len())) {
            Ok((Ok(generation), count)) => (generation, count),
            Err(problem) => return self.delivery_failed(problem, clock::boottime()),
            Ok((Err(problem), _)) => {
                self.statistics.counters.delivery_failures += 1;
                return self.delivery_failed(problem, now);
            }
        };
        if let Some(name) = &generation {
            let noun = if count == 1 { "file" } else { "files" };
            info!(event = "deliver", generation = name.as_str(), "delivered {count} {noun} (generation {name})");
        }
        let environment =
            self.files.delivery.environment_changed(&self.plan, &mut self.values, self.files.render_time.full_limit());
        let changed = self.files.delivery.delivered(generation.clone());
        for (backend, ids) in self.by_backend(changed) {
            self.schedules.driver.schedule(backend).delivered(&ids, now);
            self.schedules.driver.executor(backend).delivered(Settings::default().settle, now);
        }
        self.statistics.delivered();
        self.values.delivered();
        let change = Change { files: generation.is_some(), environment };
        (change.files || !change.environment.is_empty()).then_some(change)
    }

    /// Writes these files; returns the new generation, or `None` if they were the same as before.
    fn write(&mut self, artifacts: &[Artifact]) -> Result<Option<String>, Diagnostic> {
        let written = match &mut self.files.volume {
            None => Ok(Written::Unchanged),
            Some(volume) => volume.write(artifacts, Moment::now()),
        };
        match written.map_err(|error| Diagnostic::new(error.exit(), error.to_string()))? {
            Written::Unchanged => Ok(None),
            Written::Generation(name) => {
                self.statistics.counters.generations += 1;
                Ok(Some(name))
            }
        }
    }

    /// Records that what waits could not be delivered, and removes the files whose delivered values have expired, if
    /// they are to be removed.
    fn delivery_failed(&mut self, problem: Diagnostic, now: Duration) -> Option<Change> {
        self.files.delivery.failed(problem, now, random::unit());
        let waiting = self.files.delivery.waiting();
        for (backend, ids) in self.by_backend(waiting) {
            self.schedules.driver.schedule(backend).not_delivered(&ids);
        }
        let remaining = self.files.delivery.compose_remaining(&self.plan, self.files.volume.as_ref())?;
        match remaining.and_then(|artifacts| self.write(&artifacts)) {
            Ok(Some(name)) => {
                info!(event = "deliver", generation = name.as_str(), "removed what has expired (generation {name})");
                self.files.delivery.expired_removed(name);
                Some(Change { files: true, environment: Vec::new() })
            }
            Ok(None) => None,
            Err(problem) => {
                debug!("cannot remove what has expired, trying again: {}", problem.text);
                None
            }
        }
    }

    /// The secrets of these sources, by backend.
    fn by_backend(&self, sources: Vec<SourceId>) -> BTreeMap<BackendId, Vec<SecretId>> {
        let mut by_backend: BTreeMap<BackendId, Vec<SecretId>> = BTreeMap::new();
        for index in sources {
            let (backend, id) = self.schedules.places[index];
            by_backend.entry(backend).or_default().push(id);
        }
        by_backend
    }
}
