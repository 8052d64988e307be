//! Secrets whose path a Go template computes from a value that rotates: each is one more source of the same backend.

use std::rc::Rc;
use std::time::Duration;

use tracing::info;

use crate::backend::Backend;
use crate::domain::Source;
use crate::plan::Filling;
use crate::provider::{Class, Failure};
use crate::schedule::{BackendId, MountId, Plan};

use super::begin::operation;
use super::{Rotation, SourceId};

/// Most sources that one run reads because templates computed their paths at some time.
const MOST: usize = 2_000;

impl Rotation<'_> {
    /// What the values at hand name and nothing reads yet becomes a source. A failure says that the new value waits for it.
    pub(super) fn adopt_computed(&mut self, backend: BackendId) -> Result<(), Failure> {
        if !self.plan.computes() {
            return Ok(());
        }
        if self.plan.sources.len() >= MOST {
            return Err(Failure::new(Class::Malformed, "templates have computed too many paths; start again"));
        }
        let added = self.plan.adopt_computed(&self.values.fetches);
        let Some(first) = added.first() else { return Ok(()) };
        let why = format!("a template names {first} with it, which is read first");
        let executor: Rc<Backend> = Rc::clone(self.driver.executor(backend));
        for source in added {
            info!(event = "read", reference = %source, "a template names {source} now");
            let refresh = self.general_interval(self.places.len());
            let id =
                self.driver.schedule(backend).add(Plan { operation: operation(&source), refresh, mount: MountId(0) });
            self.places.push((backend, id));
            self.values.keep(&source);
            executor.add(source);
        }
        Err(Failure::new(Class::Malformed, why))
    }

    /// A computed source has its value: what may have waited for it is read again.
    pub(super) fn read_waiting(&mut self, index: SourceId, now: Duration) {
        let source = self.plan.sources[index].source.clone();
        let uses = |filling: &Filling, source: &Source| {
            filling.computes() && filling.references().iter().any(|reference| reference.source == *source)
        };
        let others: Vec<SourceId> = (0..self.plan.sources.len())
            .filter(|other| {
                let other = &self.plan.sources[*other].source;
                let mut files = self.plan.files.iter();
                *other != source && files.any(|file| uses(&file.filling, &source) && uses(&file.filling, other))
            })
            .collect();
        for other in others {
            let (backend, id) = self.places[other];
            self.driver.schedule(backend).read_again(id, now);
        }
    }
}
