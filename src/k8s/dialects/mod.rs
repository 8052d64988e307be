//! Translates the annotations of other injectors into the same configuration as this project's annotations, so that
//! a dialect can do nothing more than those.
//!
//! `vault` translates Vault's and OpenBao's Agent Injector, `bank_vaults` the secrets-webhook; `words` parses
//! single values as Go does; `docs` generates the documentation.

mod bank_vaults;
pub mod docs;
mod table;
mod translation;
mod vault;
mod words;

#[cfg(test)]
mod tests;

use crate::config::{Dialect, Injector, OPENBAO_PREFIX, VAULT_PREFIX};

use super::denial::{Denial, annotation_key};
use super::pod::Pod;

pub(super) use translation::Translation;

/// Translates the pod's annotations of a dialect; `None` if they ask for no injection. Refuses annotations of two
/// injectors. `warnings` get those of a pod that is refused.
pub(super) fn read(pod: &Pod, injector: &Injector, warnings: &mut Vec<String>) -> Result<Option<Translation>, Denial> {
    if pod.annotations.foreign.is_empty() {
        return Ok(None);
    }
    let has = |prefix: &str| pod.annotations.foreign.iter().any(|(key, _)| key.starts_with(prefix));
    let agents: Vec<&str> = [OPENBAO_PREFIX, VAULT_PREFIX].into_iter().filter(|prefix| has(prefix)).collect();
    let banks: Vec<&str> = Dialect::BankVaults.prefixes().iter().copied().filter(|prefix| has(prefix)).collect();
    let asking: Vec<&str> = agents
        .iter()
        .filter(|prefix| vault::mentions_injection(pod, prefix))
        .chain(banks.iter().filter(|prefix| bank_vaults::asks(pod, prefix)))
        .copied()
        .collect();
    let is_off = |prefix: &&str| {
        pod.annotations
            .foreign
            .iter()
            .any(|(key, value)| key.strip_prefix(prefix) == Some("agent-inject") && value == "false")
    };
    if !agents.is_empty() && asking.iter().all(is_off) {
        return Ok(None);
    }
    let both = if asking.iter().any(|prefix| agents.contains(prefix)) { &agents } else { &asking };
    if let [first, second, ..] = if asking.len() > 1 { asking.as_slice() } else { both.as_slice() } {
        return Err(vec![format!(
            "annotations of {first} and of {second} in one pod; keep those of one injector and leave the others out"
        )]);
    }
    match asking.first() {
        None => Ok(None),
        Some(prefix) if agents.contains(prefix) => vault::read(pod, prefix, injector, warnings),
        Some(prefix) => bank_vaults::read(pod, prefix, warnings),
    }
}

/// Replaces keys of this project in the sentences with the dialect's keys, if the pod has annotations of a dialect
/// only.
pub(super) fn with_dialect_keys(denial: Denial, pod: &Pod) -> Denial {
    let key = pod.annotations.foreign.first().filter(|_| pod.annotations.own.is_empty());
    let Some(prefix) = key.and_then(|(key, _)| key.split_inclusive('/').next()) else { return denial };
    let words: &[(&str, &str)] = match prefix {
        VAULT_PREFIX | OPENBAO_PREFIX => &[
            ("vault-role", "role"),
            ("file.NAME", "agent-inject-secret-NAME"),
            ("on-change: a signal", "agent-inject-command-NAME: a signal"),
            ("run-as: \"UID:GID\"", "agent-run-as-user"),
        ],
        _ => &[("vault-role", "vault-role")],
    };
    let translate = |sentence: String| {
        let each = words.iter();
        each.fold(sentence, |sentence, (own, theirs)| {
            sentence.replace(&annotation_key(own), &format!("{prefix}{theirs}"))
        })
    };
    denial.into_iter().map(translate).collect()
}
