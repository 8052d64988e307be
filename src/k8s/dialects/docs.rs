//! What becomes of each annotation of another injector, for people, as tables of Markdown: written from what the code knows.

use std::fmt::Write;

use super::table::{Fate, Key};
use super::{bank_vaults, vault};

/// The table of `docs/coming-from-vault-agent-injector.md`.
pub fn vault_agent_injector() -> String {
    let mut out = String::from("| theirs | with `dialects: [vault]` | ours |\n|---|---|---|\n");
    for key in vault::keys::KEYS {
        let _ = writeln!(out, "| `{}` | {} | {} |", key.name, fate(key), key.own);
    }
    out
}

/// The table of `docs/coming-from-bank-vaults.md`.
pub fn bank_vaults() -> String {
    let mut out = String::from("| theirs | with `dialects: [bank-vaults]` |\n|---|---|\n");
    for key in bank_vaults::KEYS {
        let _ = writeln!(out, "| `{}` | {} |", key.name, fate(key));
    }
    out
}

/// The names of every annotation in a table, `NAME` for a part of the author's.
pub fn vault_agent_injector_keys() -> Vec<&'static str> {
    vault::keys::KEYS.iter().map(|key| key.name).collect()
}

fn fate(key: &Key) -> String {
    match key.fate {
        Fate::Honoured(text) => format!("honoured: {text}"),
        Fate::Ignored(text) => format!("ignored, with a warning: {text}"),
        Fate::Denied(text) => format!("denied: {text}"),
    }
}
