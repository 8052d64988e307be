//! Other injectors' annotations, read into the same configuration that ours make, so that a dialect can do nothing that an
//! annotation of ours may not do.
//!
//! `vault` reads Vault's and OpenBao's Agent Injector, `bank_vaults` the secrets-webhook; `words` are the single values as Go
//! reads them; `docs` writes the pages.

mod bank_vaults;
pub mod docs;
mod table;
mod translation;
mod vault;
mod words;

#[cfg(test)]
mod tests;

use crate::config::{Dialect, Injector, OPENBAO_PREFIX, VAULT_PREFIX};

use super::denial::Denial;
use super::pod::Pod;

pub(super) use translation::Translation;

/// Reads what the pod says in a dialect; `None` when it says nothing that injects.
pub(super) fn read(pod: &Pod, injector: &Injector) -> Result<Option<Translation>, Denial> {
    if pod.foreign.is_empty() {
        return Ok(None);
    }
    let has = |prefix: &str| pod.foreign.iter().any(|(key, _)| key.starts_with(prefix));
    let agents: Vec<&str> = [OPENBAO_PREFIX, VAULT_PREFIX].into_iter().filter(|prefix| has(prefix)).collect();
    let banks: Vec<&str> = Dialect::BankVaults.prefixes().iter().copied().filter(|prefix| has(prefix)).collect();
    let asking: Vec<&str> = agents
        .iter()
        .filter(|prefix| vault::mentions_injection(pod, prefix))
        .chain(banks.iter().filter(|prefix| bank_vaults::asks(pod, prefix)))
        .copied()
        .collect();
    if let [first, second, ..] = asking.as_slice() {
        return Err(vec![format!(
            "annotations of {first} and of {second} in one pod; keep those of one injector and leave the others out"
        )]);
    }
    match asking.first() {
        None => Ok(None),
        Some(prefix) if agents.contains(prefix) => vault::read(pod, prefix, injector),
        Some(prefix) => bank_vaults::read(pod, prefix),
    }
}
