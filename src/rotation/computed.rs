//! Secrets whose path a Go template computes from another secret's value: each becomes one more source of the same
//! backend.

use std::rc::Rc;
use std::time::Duration;

use tracing::info;

use crate::backend::{Backend, Kind};
use crate::domain::{Source, VaultOperation};
use crate::plan::computed::Rendered;
use crate::plan::{Filling, RenderLimit};
use crate::provider::{Class, Failure};
use crate::schedule::{MountId, Plan};

use super::begin::operation;
use super::values::Environment;
use super::{Rotation, SourceId};

/// The largest number of sources of one run, including those that templates no longer name.
const MOST: usize = 2_000;

impl Rotation<'_> {
    /// Adds every source that the current values name through a template and that is not read yet. Fails if there is
    /// one: the new value is then refused until its computed sources are read.
    pub(super) fn adopt_computed(&mut self, limit: RenderLimit<'_>) -> Result<(), Failure> {
        if !self.plan.computes() {
            return Ok(());
        }
        let computed = self.plan.computed(limit, &self.values.fetches, self.rendered());
        let computed = computed.map_err(|problem| Failure::new(Class::Malformed, problem.text))?;
        let is_new = |source: &Source| self.plan.sources.iter().all(|known| known.source != *source);
        if self.plan.sources.len() >= MOST && computed.planned.iter().any(|planned| is_new(&planned.source)) {
            return Err(Failure::new(Class::Malformed, "templates have computed too many paths; start again"));
        }
        let added = self.plan.adopt(computed);
        let Some(first) = added.first() else { return Ok(()) };
        // Templates compute paths of Vault only, whatever store the value came from.
        let reads_them = |backend: &Backend| matches!(backend.kind, Kind::Vault(_) | Kind::Local(_));
        let backend = self.schedules.driver.backends().find(|(.., backend)| reads_them(backend)).map(|(id, ..)| id);
        let Some(backend) = backend else {
            return Err(Failure::new(
                Class::Misconfigured,
                format!("a template names {first} with it, and vault is not set"),
            ));
        };
        let why = format!("a template names {first} with it, which is read first");
        let executor: Rc<Backend> = Rc::clone(self.schedules.driver.executor(backend));
        for source in added {
            info!(event = "read", reference = %source, "a template names {source} now");
            let refresh = self.general_interval(self.schedules.places.len());
            let id = self.schedules.driver.schedule(backend).add(Plan {
                operation: operation(&source),
                refresh,
                mount: MountId(0),
            });
            self.schedules.places.push((backend, id));
            self.values.keep(&source);
            executor.add(source);
        }
        Err(Failure::new(Class::Malformed, why))
    }

    /// Called when a computed source has its first value: reads those sources again whose new value waited for it.
    /// Sources that issue credentials keep their back-off, because each issue would name another path.
    pub(super) fn read_waiting(&mut self, index: SourceId, now: Duration) {
        let source = self.plan.sources[index].source.clone();
        let uses = |filling: &Filling, source: &Source| {
            filling.computes() && filling.references().iter().any(|reference| reference.source == *source)
        };
        let variables = if self.rendered() == Rendered::All { self.plan.variables.as_slice() } else { &[] };
        let variables = variables.iter().map(|variable| &variable.filling);
        let fillings: Vec<&Filling> = self.plan.files.iter().map(|file| &file.filling).chain(variables).collect();
        let others: Vec<SourceId> = (0..self.plan.sources.len())
            .filter(|other| {
                let other = &self.plan.sources[*other].source;
                *other != source
                    && !self.is_issued(other)
                    && fillings.iter().any(|filling| uses(filling, &source) && uses(filling, other))
            })
            .collect();
        for other in others {
            let (backend, id) = self.schedules.places[other];
            self.schedules.driver.schedule(backend).read_again(id, now);
        }
    }

    /// Which outputs are rendered again on a change: also the app's environment, if the app is restarted.
    fn rendered(&self) -> Rendered {
        match self.values.environment {
            Environment::Again => Rendered::All,
            Environment::Once => Rendered::Files,
        }
    }

    /// Whether reading it creates something: a write, or a value with a lease.
    fn is_issued(&self, source: &Source) -> bool {
        let is_write = matches!(source, Source::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)));
        is_write || self.values.fetches.get(source).is_some_and(|fetched| fetched.lease.is_some())
    }
}
