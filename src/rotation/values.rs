//! The values that are kept in memory, and a keyed digest of every value.
//!
//! After a delivery the volume contains the only copy of a value. It stays in memory only where later rendering needs
//! it together with another one: in a file of several sources, or in the environment of an app that is restarted.

use std::collections::BTreeMap;

use ring::hmac;

use crate::domain::{Fetched, Fetches, Payload, SecretValue, Source};
use crate::plan::Plan;

/// Whether the app's environment may be rendered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Environment {
    /// The app is restarted with new values.
    Again,
    /// The environment is set once, or there is no app.
    Once,
}

/// Kept values, and digests.
#[derive(Debug)]
pub(super) struct Values {
    key: hmac::Key,
    digests: BTreeMap<Source, hmac::Tag>,
    /// Values that are kept, or not delivered yet.
    pub(super) fetches: Fetches,
    /// The sources whose values are kept after delivery.
    kept: Vec<Source>,
    /// Whether the app is restarted with new values.
    pub(super) environment: Environment,
}

impl Values {
    /// A store without values. `None` if the kernel returns no random key.
    pub(super) fn new(plan: &Plan, environment: Environment) -> Option<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new()).ok()?;
        Some(Self {
            key,
            digests: BTreeMap::new(),
            fetches: Fetches::new(),
            kept: kept(plan, environment),
            environment,
        })
    }

    /// Whether this value equals the one that was stored last.
    pub(super) fn is_known(&self, source: &Source, payload: &Payload) -> bool {
        self.digests.get(source).is_some_and(|known| known.as_ref() == digest(&self.key, payload).as_ref())
    }

    /// A keyed digest of `parts`, each with its length.
    pub(super) fn tag(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            context.update(part);
        }
        context.sign()
    }

    /// Stores a value; returns the one it replaces, if that was still kept.
    pub(super) fn store(&mut self, source: &Source, fetched: Fetched) -> Option<Fetched> {
        self.digests.insert(source.clone(), digest(&self.key, &fetched.payload));
        self.fetches.insert(source.clone(), fetched)
    }

    /// Keeps the values of this source from now on.
    pub(super) fn keep(&mut self, source: &Source) {
        self.kept.push(source.clone());
    }

    /// Undoes [`Self::store`], which returned `before`.
    pub(super) fn restore(&mut self, source: &Source, before: Option<Fetched>) {
        self.digests.remove(source);
        self.fetches.remove(source);
        if let Some(before) = before {
            self.store(source, before);
        }
    }

    /// Drops the values that are delivered and not needed again.
    pub(super) fn delivered(&mut self) {
        let kept = &self.kept;
        self.fetches.retain(|source, _| kept.contains(source));
    }
}

/// The sources whose values are needed for later rendering.
fn kept(plan: &Plan, environment: Environment) -> Vec<Source> {
    let mut kept: Vec<Source> = Vec::new();
    for file in &plan.files {
        let mut sources: Vec<&Source> = file.filling.references().into_iter().map(|r| &r.source).collect();
        sources.sort();
        sources.dedup();
        if sources.len() > 1 || file.filling.computes() {
            kept.extend(sources.into_iter().cloned());
        }
    }
    if environment == Environment::Again {
        kept.extend(plan.environment_sources().into_iter().cloned());
    }
    kept.sort();
    kept.dedup();
    kept
}

/// The keyed digest of a value. The key keeps a memory image from revealing guessable values.
fn digest(key: &hmac::Key, payload: &Payload) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    let mut part = |kind: u8, bytes: &[u8]| {
        context.update(&[kind]);
        context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        context.update(bytes);
    };
    match payload {
        Payload::Whole(bytes) => part(0, bytes.expose()),
        Payload::Map(map) => {
            for (name, value) in map.iter() {
                part(1, name.as_bytes());
                match value {
                    SecretValue::Text(text) => part(2, text.expose()),
                    SecretValue::Json(json) => part(3, json.expose()),
                }
            }
        }
    }
    context.sign()
}
