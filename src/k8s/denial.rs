//! Why a pod is refused: sentences a developer can act on.

use std::collections::BTreeSet;

use crate::config::annotations::PREFIX;
use crate::config::{ConfigError, Place};

/// Sentences for the developer: why the pod is refused.
pub type Denial = Vec<String>;

/// How many mistakes are told at once.
const MAX_SENTENCES: usize = 20;

/// More annotations below one prefix than a pod has by intention.
const MAX_ANNOTATIONS: usize = 1000;

/// Denies a pod with more annotations below `prefix` than are worth reading.
pub(super) fn refuse_too_many(annotations: usize, prefix: &str) -> Result<(), Denial> {
    match annotations > MAX_ANNOTATIONS {
        true => Err(vec![format!("{annotations} annotations below {prefix}; expected at most {MAX_ANNOTATIONS}")]),
        false => Ok(()),
    }
}

/// An annotation of ours by its whole key.
pub(super) fn annotation_key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// A mistake as a sentence. Flags are the operator's; the developer sees annotations.
fn sentence(mistake: &ConfigError) -> String {
    match &mistake.place {
        Place::Flag(flag) => match flag.strip_prefix("--set ") {
            Some(_) if mistake.text.starts_with("vault.auth.role: is missing") => missing_role(),
            _ => format!("the operator's part ({flag}): {}", mistake.text),
        },
        // The program's own words name a variable, which no injected pod reads.
        Place::Missing if mistake.text.starts_with("vault.address is missing") => {
            let what = mistake.text.split(';').next().unwrap_or_default();
            format!(
                "{what}; the operator sets it in the injector's config, or lists it in allowAddresses there for {}",
                annotation_key("vault-address")
            )
        }
        place => format!("{place}: {}", mistake.text),
    }
}

pub(super) fn sentences(mistakes: &[ConfigError]) -> Denial {
    mistakes.iter().map(sentence).collect()
}

pub(super) fn missing_role() -> String {
    format!("the Vault role is missing; say it with {}", annotation_key("vault-role"))
}

/// How an app that is root is notified of a change: no container of ours is root, so none may signal it.
pub(super) fn way_for_root() -> String {
    format!(
        "an app that is root is reached otherwise: {on_change}: http:URL; or {mode}: supervise with {run_as}: \"0\" and \
         {on_change}: signal:HUP, where it has no capabilities; or let the app be another user",
        on_change = annotation_key("on-change"),
        mode = annotation_key("mode"),
        run_as = annotation_key("run-as"),
    )
}

/// Few enough to be read, each once.
pub(super) fn dedup_and_truncate(mut denial: Denial) -> Denial {
    let mut seen = BTreeSet::new();
    denial.retain(|sentence| seen.insert(sentence.clone()));
    let more = denial.len().saturating_sub(MAX_SENTENCES);
    denial.truncate(MAX_SENTENCES);
    if more > 0 {
        denial.push(format!("and {more} more"));
    }
    denial
}
