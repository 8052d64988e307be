//! The messages of a denial: sentences that a developer can act on.

use std::collections::BTreeSet;

use crate::config::annotations::PREFIX;
use crate::config::{ConfigError, Place};

/// Sentences that say why a pod is refused.
pub type Denial = Vec<String>;

/// The most sentences in one denial.
const MAX_SENTENCES: usize = 20;

/// The most annotations below one prefix; more are an error or an attack.
const MAX_ANNOTATIONS: usize = 1000;

/// Refuses a pod with more than [`MAX_ANNOTATIONS`] annotations below `prefix`.
pub(super) fn refuse_too_many(annotations: usize, prefix: &str) -> Result<(), Denial> {
    match annotations > MAX_ANNOTATIONS {
        true => Err(vec![format!("{annotations} annotations below {prefix}; expected at most {MAX_ANNOTATIONS}")]),
        false => Ok(()),
    }
}

/// The full key of an annotation of this project.
pub(super) fn annotation_key(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// A config error as a sentence for the developer, who sees annotations; flags are the operator's part.
fn sentence(mistake: &ConfigError) -> String {
    match &mistake.place {
        Place::Flag(flag) => match flag.strip_prefix("--set ") {
            Some(_) if mistake.text.starts_with("vault.auth.role: is missing") => missing_role(),
            _ => format!("the operator's part ({flag}): {}", mistake.text),
        },
        // The config's own message names an environment variable, which an injected pod does not read.
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

/// Config errors as sentences.
pub(super) fn sentences(mistakes: &[ConfigError]) -> Denial {
    mistakes.iter().map(sentence).collect()
}

/// The sentence about a missing Vault role.
pub(super) fn missing_role() -> String {
    format!("the Vault role is missing; say it with {}", annotation_key("vault-role"))
}

/// How an app that runs as root can be notified of a change: injected containers are never root, so they may not
/// signal it.
pub(super) fn alternatives_for_root() -> String {
    format!(
        "an app that is root is reached otherwise: {on_change}: http:URL; or {mode}: supervise with {run_as}: \"0\" and \
         {on_change}: signal:HUP, where it has no capabilities; or let the app be another user",
        on_change = annotation_key("on-change"),
        mode = annotation_key("mode"),
        run_as = annotation_key("run-as"),
    )
}

/// Removes repeated sentences and cuts the list to [`MAX_SENTENCES`].
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
