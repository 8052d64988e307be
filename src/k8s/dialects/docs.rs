//! Generates the Markdown tables that document how each annotation of another injector is treated.

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

/// The names of all annotations in the table; `NAME` stands for a part that the author chooses.
pub fn vault_agent_injector_keys() -> Vec<&'static str> {
    vault::keys::KEYS.iter().map(|key| key.name).collect()
}

/// The treatment of an annotation, as a table cell.
fn fate(key: &Key) -> String {
    match key.fate {
        Fate::Honoured(text) => format!("honoured: {text}"),
        Fate::Ignored(text) => format!("ignored, with a warning: {text}"),
        Fate::Denied(text) => format!("denied: {text}"),
    }
}
