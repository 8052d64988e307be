//! Generates the reference of annotations as Markdown from the tables of the code.

use std::fmt::Write;

use crate::config::annotations::PREFIX;
use crate::config::options;
use crate::domain::LIMITS;

/// Annotations that contain a name chosen by the user.
const NAMED: [(&str, &str); 7] = [
    (
        "file.NAME",
        "Write a secret to the file NAME: `vault:secret/data/db#password`, `aws-sm:prod/stripe#key`, or the name of a `secret.NAME`.",
    ),
    ("template.NAME", "Write the file NAME from a template: `user={{ secret('db').username }}`."),
    ("format.NAME", "How `file.NAME` is written: raw, json, yaml, dotenv or properties."),
    ("secret.NAME", "A secret that several files use by name: one fetch, one lease."),
    ("env.NAME", "Set the app's variable NAME to a secret. Modes exec and supervise only."),
    (
        "config",
        "The config file as YAML, for what a key cannot spell: names with `/`, over 63 characters, modes, several actions. A key beside it wins.",
    ),
    ("vault-role", "The Vault role of this pod; short for `vault-auth-role`."),
];

/// Annotations that only the injector reads.
const INJECTOR: [(&str, &str); 5] = [
    ("inject", "`\"false\"` switches injection off. Any other key below the prefix asks for it."),
    (
        "mode",
        "`sidecar` (default): a native sidecar keeps files fresh. `init`: an init container delivers once. `exec`: the app's command is wrapped, and replaced by the app. `supervise`: it is wrapped, and restarted or signalled when secrets change.",
    ),
    (
        "containers",
        "Which containers get the secrets, with commas between. Default: the only one, else `kubectl.kubernetes.io/default-container`, else what has them already.",
    ),
    (
        "command.CONTAINER",
        "What the container's image runs, as a JSON array, where the pod does not say it. Modes exec and supervise only.",
    ),
    (
        "resources",
        "Of the injected container, as JSON or YAML: `{\"limits\":{\"memory\":\"64Mi\"}}`. The limit must hold `volume-size` + 16Mi. It counts instead of the operator's as a whole, so name the memory too.",
    ),
];

/// Options that the injector sets, so that no annotation for them is listed.
const ITS_OWN: [&str; 3] = ["state", "supervise", "vault-auth-token-file"];

/// Options for which an injected pod accepts less than the program: annotation, and what it accepts.
const NARROWER: [(&str, &str); 3] = [
    ("vault-auth-method", "kubernetes, jwt or aws"),
    ("volume-owner", ":GID, a group that the pod gets; where the command is wrapped UID:GID or UID, too"),
    ("run-as", "UID:GID; where the command is wrapped USER[:GROUP]"),
];

/// What stands before the tables.
const OPENING: &str = include_str!("annotation_docs/opening.md");
/// What stands behind them.
const CLOSING: &str = include_str!("annotation_docs/closing.md");

/// The text of `docs/annotations.md`.
pub fn markdown() -> String {
    let mut out = OPENING.to_owned();
    let mut table = |title: &str, text: &str, rows: &mut dyn Iterator<Item = (String, String)>| {
        let _ = writeln!(out, "## {title}\n\n{text}\n\n| annotation | meaning |\n|---|---|");
        for (key, doc) in rows {
            let _ = writeln!(out, "| `{PREFIX}{key}` | {} |", doc.replace('|', "\\|"));
        }
        out.push('\n');
    };
    let fixed = |rows: &'static [(&'static str, &'static str)]| {
        rows.iter().map(|(key, doc)| ((*key).to_owned(), (*doc).to_owned()))
    };
    table("Secrets", "NAME is a file, a variable or a name of your own.", &mut fixed(&NAMED));
    table("How they get into the pod", "Read by the injector.", &mut fixed(&INJECTOR));
    let mut rows = options().into_iter().filter_map(|option| {
        let key = option.annotation.clone().filter(|key| !ITS_OWN.contains(&key.as_str()))?;
        let narrower = NARROWER.iter().find(|(known, _)| *known == key).map(|(_, text)| *text);
        let expected = narrower.unwrap_or(&option.expected).to_owned();
        Some((key, format!("{} Takes {expected}.", option.doc_with_default())))
    });
    table(
        "Options",
        "Every single option of the config under its own name. What the operator says in the injector's config (addresses, \
         CA, mounts, audience) cannot be said otherwise here; `vault-address` takes what `allowAddresses` lists.",
        &mut rows,
    );
    out.push_str("## What a mode cannot do\n\n| option | not in mode | because, and what works |\n|---|---|---|\n");
    for limit in LIMITS {
        let modes: Vec<_> = limit.modes.iter().map(|mode| format!("`{mode}`")).collect();
        let text = limit.pod.replace("{mode}", "`mode`").replace("{file}", "`file.NAME`");
        let text = text.replace(" in mode {name}", " there");
        let _ = writeln!(out, "| `{}` | {} | {text} |", limit.option, modes.join(", "));
    }
    out.push('\n');
    out.push_str(CLOSING);
    out
}
