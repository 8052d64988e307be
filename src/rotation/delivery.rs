//! Decides when changed values are written and which files are written together, and retries when writing fails.

use std::collections::BTreeSet;
use std::time::Duration;

use ring::hmac;
use tracing::{info, warn};

use crate::deliver::{Artifact, Volume};
use crate::domain::{Diagnostic, Exit, Source, scaled};
use crate::plan::{Filling, Plan, RenderLimit};
use crate::render::gotemplate::ConvertedSecrets;

use super::SourceId;
use super::render_time::RenderTime;
use super::values::{Environment, Values};

/// Changes that arrive close together become one generation: it is written after no further change for this long …
const QUIET: Duration = Duration::from_millis(50);
/// … or when the first change has waited this long.
const LONGEST: Duration = Duration::from_millis(200);
/// The first retry after a local failure comes after this time, doubling …
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// … up to this …
const RETRY_LAST: Duration = Duration::from_secs(30);
/// … or this, where what is delivered expires, or has expired.
const RETRY_LAST_URGENT: Duration = Duration::from_secs(5);

/// Whether a delivery waits for related changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// It does not wait: the value replaces one that expires.
    AtOnce,
    /// It waits: the value that it replaces stays valid.
    Waits,
}

/// What is written, and where.
pub(super) struct Files {
    /// `None` when no file is written.
    pub(super) volume: Option<Volume>,
    pub(super) delivery: Delivery,
    pub(super) render_time: RenderTime,
}

/// The values that wait to be written.
#[derive(Debug)]
pub(super) struct Delivery {
    waiting: BTreeSet<SourceId>,
    /// Sources that expired under `onExpired: remove`: files that use them are not written.
    removed: BTreeSet<SourceId>,
    /// Sources whose delivered value expired under `onExpired: remove` while a newer one waited: if that cannot be
    /// written, their files are removed.
    expired: BTreeSet<SourceId>,
    /// When the first and when the last of the waiting changes arrived.
    since: Option<(Duration, Duration)>,
    /// Whether a waiting value replaces one that expires.
    is_urgent: bool,
    trouble: Option<DeliveryFailure>,
    /// A keyed digest of each variable, then of each `envFrom` map, as the app last received it.
    environment: Vec<Option<hmac::Tag>>,
    /// The name of the current generation.
    pub(super) generation: Option<String>,
}

/// A delivery that failed locally, to be retried.
#[derive(Debug)]
struct DeliveryFailure {
    problem: Diagnostic,
    count: u32,
    retry_at: Duration,
}

impl Delivery {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            waiting: BTreeSet::new(),
            removed: BTreeSet::new(),
            expired: BTreeSet::new(),
            since: None,
            is_urgent: false,
            trouble: None,
            environment: vec![None; plan.variables.len() + plan.maps.len()],
            generation: None,
        }
    }

    /// Records what the app received with the first delivery, as far as the limit allows.
    pub(super) fn first(&mut self, plan: &Plan, values: &mut Values, limit: RenderLimit<'_>) {
        let mut pace = limit.over("variables", self.environment.len());
        for index in 0..self.environment.len() {
            self.environment[index] = pace.next(index).ok().and_then(|()| variable(plan, index, values));
        }
    }

    /// Records that a source has a new value to deliver.
    pub(super) fn changed(&mut self, index: SourceId, urgency: Urgency, now: Duration) {
        self.is_urgent |= urgency == Urgency::AtOnce;
        if self.removed.remove(&index) && self.waiting.contains(&index) {
            // The removal has not been written yet.
            self.expired.insert(index);
        }
        self.waiting.insert(index);
        self.since = Some((self.since.map_or(now, |(first, _)| first), now));
    }

    /// Records that the delivered value of a source has expired and its files are to be removed, unless a newer value
    /// that waits can be written.
    pub(super) fn remove(&mut self, index: SourceId, now: Duration) {
        if self.waiting.contains(&index) && !self.removed.contains(&index) {
            self.expired.insert(index);
            self.trouble.iter_mut().for_each(|trouble| trouble.retry_at = now);
        } else {
            self.changed(index, Urgency::AtOnce, now);
            self.removed.insert(index);
        }
    }

    /// Whether a waiting value replaces one that expires.
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent
    }

    /// Whether the source has a value that is not delivered yet.
    pub(super) fn is_waiting(&self, index: SourceId) -> bool {
        self.waiting.contains(&index)
    }

    /// The sources with a value that is not delivered yet.
    pub(super) fn waiting(&self) -> Vec<SourceId> {
        self.waiting.iter().copied().collect()
    }

    /// Whether the files of this source are removed.
    pub(super) fn is_removed(&self, index: SourceId) -> bool {
        self.removed.contains(&index)
    }

    /// Why the last delivery failed, if it is to be retried.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| trouble.problem.text.as_str())
    }

    /// When the delivery is due; `None` if nothing waits.
    fn due(&self) -> Option<Duration> {
        let (first, last) = self.since?;
        let quiet = last.saturating_add(QUIET).min(first.saturating_add(LONGEST));
        Some(self.trouble.as_ref().map_or(quiet, |trouble| trouble.retry_at.max(quiet)))
    }

    /// Whether a delivery is due.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// The time until a delivery is due.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.due().map_or(Duration::MAX, |due| due.saturating_sub(now))
    }

    /// Renders everything that uses this source, to find out whether it can be rendered within the limit; the app's
    /// environment only where the app is restarted.
    pub(super) fn try_render(
        &self,
        index: SourceId,
        plan: &Plan,
        values: &Values,
        limit: RenderLimit<'_>,
    ) -> Result<(), Diagnostic> {
        let source = &plan.sources[index].source;
        if values.environment == Environment::Again && plan.environment_sources().contains(&source) {
            let rendered = plan.environment(&values.fetches, limit);
            rendered.map_err(|mut problems| problems.swap_remove(0))?;
        }
        let files: Vec<_> = plan.files.iter().filter(|file| uses(&file.filling, source)).collect();
        let (mut pace, converted) = (limit.over("files", files.len()), ConvertedSecrets::default());
        for file in files {
            pace.next(format_args!("file {}", file.name))?;
            if let Err(error) = file.filling.render_among(&converted, &values.fetches) {
                return Err(Diagnostic::new(error.exit(), format!("file {}: {error}", file.name)));
            }
        }
        Ok(())
    }

    /// The files of the next generation: those of changed sources rendered, the others read from the volume.
    pub(super) fn compose(
        &self,
        plan: &Plan,
        values: &Values,
        volume: Option<&Volume>,
        limit: RenderLimit<'_>,
    ) -> Result<Vec<Artifact>, Diagnostic> {
        let Some(volume) = volume else { return Ok(Vec::new()) };
        let is_in = |set: &BTreeSet<SourceId>, filling: &Filling| {
            set.iter().any(|index| uses(filling, &plan.sources[*index].source))
        };
        let mut artifacts = Vec::with_capacity(plan.files.len());
        let (mut pace, converted) = (limit.over("files", plan.files.len()), ConvertedSecrets::default());
        for file in &plan.files {
            if is_in(&self.removed, &file.filling) {
                continue;
            }
            pace.next(format_args!("file {}", file.name))?;
            let bytes = if is_in(&self.waiting, &file.filling) {
                let rendered = file.filling.render_among(&converted, &values.fetches);
                rendered.map_err(|error| {
                    Diagnostic::new(error.exit(), format!("cannot write file {}: {error}", file.name))
                })?
            } else {
                match volume.read(&file.name).map_err(|error| Diagnostic::new(error.exit(), error.to_string()))? {
                    Some(bytes) => bytes,
                    None => {
                        warn!("file {} was removed from the volume by another process", file.name);
                        continue;
                    }
                }
            };
            artifacts.push(Artifact { name: file.name.clone(), bytes, mode: file.mode });
        }
        Ok(artifacts)
    }

    /// The files of the next generation where nothing that waits can be written: the delivered ones, without those
    /// whose values have expired and are to be removed. `None` if there are none of these.
    pub(super) fn compose_remaining(
        &self,
        plan: &Plan,
        volume: Option<&Volume>,
    ) -> Option<Result<Vec<Artifact>, Diagnostic>> {
        let volume = volume.filter(|_| !self.expired.is_empty())?;
        let gone = |filling: &Filling| {
            let mut gone = self.expired.iter().chain(&self.removed);
            gone.any(|index| uses(filling, &plan.sources[*index].source))
        };
        let remaining = plan.files.iter().filter(|file| !gone(&file.filling)).filter_map(|file| {
            let bytes = volume.read(&file.name).transpose()?;
            let bytes = bytes.map_err(|error| Diagnostic::new(error.exit(), error.to_string()));
            Some(bytes.map(|bytes| Artifact { name: file.name.clone(), bytes, mode: file.mode }))
        });
        Some(remaining.collect())
    }

    /// Records that the files of [`Self::compose_remaining`] are visible as this generation.
    pub(super) fn expired_removed(&mut self, generation: String) {
        self.expired.clear();
        self.generation = Some(generation);
    }

    /// Records that the volume could not be written, and schedules the retry.
    pub(super) fn failed(&mut self, problem: Diagnostic, now: Duration, jitter: f64) {
        let count = self.trouble.as_ref().map_or(0, |trouble| trouble.count);
        let last = if self.is_urgent { RETRY_LAST_URGENT } else { RETRY_LAST };
        let wait = scaled(RETRY_FIRST.saturating_mul(1 << count.min(5)).min(last), 1.0 - jitter / 4.0);
        // Which template took most of the time differs from try to try.
        let is_same = |known: &Diagnostic| {
            known.exit == problem.exit && (problem.exit == Exit::Unavailable || known.text == problem.text)
        };
        if !self.trouble.as_ref().is_some_and(|trouble| is_same(&trouble.problem)) {
            warn!("cannot deliver, trying again (what was delivered before stands): {}", problem.text);
        }
        self.trouble =
            Some(DeliveryFailure { problem, count: count.saturating_add(1), retry_at: now.saturating_add(wait) });
    }

    /// Records that everything that waited is visible to the app; returns the sources that were delivered (not the
    /// removed ones).
    pub(super) fn delivered(&mut self, generation: Option<String>) -> Vec<SourceId> {
        if self.trouble.take().is_some() {
            info!("delivering works again");
        }
        if let Some(name) = generation {
            self.generation = Some(name);
        }
        (self.since, self.is_urgent) = (None, false);
        self.expired.clear();
        std::mem::take(&mut self.waiting).into_iter().filter(|index| !self.removed.contains(index)).collect()
    }

    /// The names of the app's variables whose value changes with the waiting sources.
    pub(super) fn environment_changed(
        &mut self,
        plan: &Plan,
        values: &mut Values,
        limit: RenderLimit<'_>,
    ) -> Vec<String> {
        let (mut changed, mut pace) = (Vec::new(), limit.over("variables", self.environment.len()));
        for index in 0..self.environment.len() {
            let touched = self.waiting.difference(&self.removed);
            let mut touched = touched.map(|waiting| &plan.sources[*waiting].source);
            let references = match plan.variables.get(index) {
                Some(variable) => variable.filling.references(),
                None => vec![&plan.maps[index - plan.variables.len()].reference],
            };
            if !touched.any(|source| references.iter().any(|reference| reference.source == *source)) {
                continue;
            }
            // A variable that can no longer be rendered, because not all of its values are kept or in the time that
            // is left, counts as changed.
            let tag = pace.next(index).ok().and_then(|()| variable(plan, index, values));
            let is_same = matches!((&tag, &self.environment[index]), (Some(a), Some(b)) if a.as_ref() == b.as_ref());
            if !is_same {
                changed.push(match plan.variables.get(index) {
                    Some(variable) => variable.name.to_string(),
                    None => format!("{}*", plan.maps[index - plan.variables.len()].prefix),
                });
            }
            self.environment[index] = tag;
        }
        changed
    }
}

/// Whether a file or variable uses the source.
fn uses(filling: &Filling, source: &Source) -> bool {
    filling.references().iter().any(|reference| reference.source == *source)
}

/// The keyed digest of a variable or `envFrom` map; `None` if it cannot be rendered.
fn variable(plan: &Plan, index: usize, values: &Values) -> Option<hmac::Tag> {
    match plan.variables.get(index) {
        Some(variable) => Some(values.tag(&[variable.filling.render(&values.fetches).ok()?.expose()])),
        None => {
            let map = &plan.maps[index - plan.variables.len()];
            let variables = plan.spread(map, &values.fetches).ok()?;
            let parts: Vec<&[u8]> =
                variables.iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.expose()]).collect();
            Some(values.tag(&parts))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{plan_of, source_of, value_of};

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn no_space() -> Diagnostic {
        Diagnostic::new(Exit::Volume, "no space")
    }

    /// More time than a test takes.
    fn long() -> RenderLimit<'static> {
        RenderLimit::of_change(Duration::from_secs(600))
    }

    fn delivery() -> (Plan, Values, Delivery) {
        let plan = plan_of(&[("--file", "a=vault:secret/data/x#k"), ("--env", "B=vault:secret/data/y#k")]);
        let values = Values::new(&plan, Environment::Again).unwrap();
        let delivery = Delivery::new(&plan);
        (plan, values, delivery)
    }

    #[test]
    fn a_change_waits_for_others_but_not_for_long() {
        let (_, _, mut delivery) = delivery();
        assert_eq!(delivery.wait(millis(0)), Duration::MAX);
        delivery.changed(0, Urgency::Waits, millis(0));
        assert!(!delivery.is_due(millis(49)) && delivery.is_due(millis(50)));
        for now in [40, 80, 120, 160, 199] {
            delivery.changed(1, Urgency::Waits, millis(now));
        }
        assert!(!delivery.is_due(millis(199)) && delivery.is_due(LONGEST), "the first one has waited long enough");
        assert_eq!(delivery.delivered(Some("1".to_owned())), [0, 1]);
        assert!(!delivery.is_due(Duration::MAX) && !delivery.is_urgent());
        assert_eq!(delivery.generation.as_deref(), Some("1"));
    }

    #[test]
    fn a_failure_is_repeated_with_a_pause_that_doubles_and_is_over_with_the_next_success() {
        let (_, _, mut delivery) = delivery();
        delivery.changed(0, Urgency::Waits, millis(0));
        for (tries, wait) in [1, 2, 4, 8, 16, 30, 30].into_iter().enumerate() {
            delivery.failed(no_space(), millis(0), 0.0);
            assert_eq!(delivery.wait(millis(0)), Duration::from_secs(wait), "after {} tries", tries + 1);
        }
        assert_eq!(delivery.trouble(), Some("no space"));
        delivery.changed(1, Urgency::AtOnce, millis(0));
        assert!(delivery.is_urgent());
        delivery.failed(no_space(), millis(0), 0.0);
        assert_eq!(delivery.wait(millis(0)), Duration::from_secs(5), "what expires waits less");
        delivery.delivered(None);
        assert_eq!(delivery.trouble(), None);
    }

    #[test]
    fn what_is_removed_is_not_delivered_until_it_changes_again() {
        let (_, _, mut delivery) = delivery();
        delivery.remove(0, millis(0));
        delivery.changed(1, Urgency::AtOnce, millis(0));
        assert!(delivery.is_removed(0));
        assert_eq!(delivery.delivered(None), [1]);
        delivery.changed(0, Urgency::AtOnce, millis(1));
        assert_eq!(delivery.delivered(None), [0]);
    }

    #[test]
    fn what_expires_while_a_newer_value_waits_is_removed_only_where_that_cannot_be_written() {
        let (_, _, mut delivery) = delivery();
        delivery.changed(0, Urgency::AtOnce, millis(0));
        delivery.failed(no_space(), millis(0), 0.0);
        delivery.remove(0, millis(10));
        assert!(!delivery.is_removed(0) && delivery.is_due(millis(60)), "the newer value is tried at once");
        assert_eq!(delivery.expired.iter().collect::<Vec<_>>(), [&0]);
        delivery.expired_removed("2".to_owned());
        assert!(delivery.is_waiting(0) && delivery.expired.is_empty());
        assert_eq!(delivery.delivered(Some("3".to_owned())), [0]);
        // A removal that could not be written is still due when a newer value waits.
        delivery.remove(0, millis(0));
        delivery.failed(no_space(), millis(0), 0.0);
        delivery.changed(0, Urgency::AtOnce, millis(0));
        assert!(!delivery.is_removed(0) && delivery.expired.contains(&0));
        assert_eq!(delivery.delivered(None), [0]);
        assert!(delivery.expired.is_empty());
    }

    #[test]
    fn a_variable_has_changed_when_its_value_is_another_one() {
        let (plan, mut values, mut delivery) = delivery();
        let source = source_of("vault:secret/data/y");
        values.store(&source, value_of(r#"{"k":"one"}"#));
        delivery.first(&plan, &mut values, long());
        values.store(&source, value_of(r#"{"k":"one","new":"x"}"#));
        let index = plan.sources.iter().position(|planned| planned.source == source).unwrap();
        delivery.changed(index, Urgency::Waits, millis(0));
        assert!(
            delivery.environment_changed(&plan, &mut values, long()).is_empty(),
            "the key that is used stays the same"
        );
        values.store(&source, value_of(r#"{"k":"two"}"#));
        assert_eq!(delivery.environment_changed(&plan, &mut values, long()), ["B"]);
        values.store(&source, value_of(r#"{"other":"canary"}"#));
        let why = delivery.try_render(index, &plan, &values, long()).unwrap_err().text;
        assert!(!why.contains("canary"), "{why}");
    }
}
