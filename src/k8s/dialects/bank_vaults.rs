//! Annotations of bank-vaults' webhook: the app's command is wrapped, and references in its environment are
//! resolved when it starts (`inherit: bank-vaults`). Unlike that webhook, this one reads no ConfigMaps, Secrets or
//! image registries: `envFrom` variables are resolved in the container, and a command must be in the pod.

use std::collections::BTreeSet;

use crate::config::{Setting, is_token, nearest};
use crate::domain::Mode;

use super::super::denial::{Denial, dedup_and_truncate, refuse_too_many};
use super::super::pod::{Container, Pod};
use super::table::Fate::{self, Denied, Honoured, Ignored};
use super::table::Value::{self, Any, Bool, Duration};
use super::table::{Key, find};
use super::translation::Translation;
use super::words;

/// Builds a row of the table.
const fn key(name: &'static str, value: Value, fate: Fate, own: &'static str) -> Key {
    Key { name, value, fate, own }
}

const PROJECTED: Fate = Ignored("the pod's own token is projected, with its own audience");
const RESOURCES: Fate = Ignored("the init container's resources are the operator's, or secret-exec.dev/resources");
const SECURE: Fate = Ignored("what is injected always runs as Pod Security \"restricted\" expects");
const TEMPLATES: Fate = Denied(
    "an agent's own configuration is not run here; write files with secret-exec.dev/template.NAME instead (docs/coming-from-bank-vaults.md)",
);
const TRANSIT: Fate = Denied(
    "say each decryption as a reference: vault:transit/decrypt/KEY?ciphertext=vault%3Av1%3A…#plaintext (docs/coming-from-bank-vaults.md)",
);
const IMAGE: Fate = Ignored("the operator's image is injected");

/// The table of annotations, with the names of the older and the newer webhook.
pub(super) static KEYS: &[Key] = &[
    key("mutate", Any, Honoured("`skip` leaves the pod alone"), ""),
    key("mutate-containers", Any, Honoured("these containers only, with commas between"), ""),
    key(
        "mutate-probes",
        Bool,
        Denied(
            "a probe is a process of its own, without the app's environment; give it a file, with secret-exec.dev/file.NAME",
        ),
        "",
    ),
    key("provider", Any, Ignored("every reference says whose it is"), ""),
    key("vault-addr", Any, Honoured("the operator's address, or one that `allowAddresses` lists"), ""),
    key("vault-role", Any, Honoured("the same; the service account's name by default"), ""),
    key("vault-path", Any, Honoured("the mount, unless the operator sets another"), ""),
    key("vault-auth-method", Any, Honoured("`jwt` and `kubernetes` are kubernetes, `aws-iam` is aws"), ""),
    key("vault-namespace", Any, Honoured("the same, unless the operator sets `vault.namespace`"), ""),
    key(
        "vault-skip-verify",
        Bool,
        Ignored("certificates are verified; only the operator may switch that off (vault.skipVerify)"),
        "",
    ),
    key("vault-tls-secret", Any, Ignored("the operator's vault.ca counts"), ""),
    key("vault-client-timeout", Duration, Ignored("secret-exec.dev/timeout bounds a start"), ""),
    key("vault-serviceaccount", Any, PROJECTED, ""),
    key("token-auth-mount", Any, PROJECTED, ""),
    key("vault-token-auth-mount", Any, PROJECTED, ""),
    key("service-account-token-volume-name", Any, PROJECTED, ""),
    key("vault-service-account-token-volume-name", Any, PROJECTED, ""),
    key("vault-ignore-missing-secrets", Bool, Ignored("an app never starts without its secrets"), ""),
    key("transit-key-id", Any, TRANSIT, ""),
    key("vault-transit-key-id", Any, TRANSIT, ""),
    key("transit-path", Any, Ignored("it says nothing without transit-key-id"), ""),
    key("vault-transit-path", Any, Ignored("it says nothing without vault-transit-key-id"), ""),
    key("transit-batch-size", Any, Ignored("it says nothing without transit-key-id"), ""),
    key("vault-transit-batch-size", Any, Ignored("it says nothing without vault-transit-key-id"), ""),
    key("vault-env-daemon", Bool, Honoured("mode supervise"), ""),
    key("secret-init-daemon", Bool, Honoured("mode supervise"), ""),
    key("vault-env-delay", Duration, Ignored("a start tries again until secret-exec.dev/timeout"), ""),
    key("secret-init-delay", Duration, Ignored("a start tries again until secret-exec.dev/timeout"), ""),
    key(
        "vault-env-from-path",
        Any,
        Honoured("every key of these secrets becomes a variable, PATH or PATH#VERSION, with commas between"),
        "",
    ),
    key("vault-from-path", Any, Honoured("the same"), ""),
    key("vault-env-passthrough", Any, Honoured("these variables stay, with commas between"), ""),
    key("vault-passthrough", Any, Honoured("the same"), ""),
    key("vault-env-image", Any, IMAGE, ""),
    key("vault-env-image-pull-policy", Any, IMAGE, ""),
    key("secret-init-image", Any, IMAGE, ""),
    key("secret-init-image-pull-policy", Any, IMAGE, ""),
    key("vault-image", Any, IMAGE, ""),
    key("vault-image-pull-policy", Any, IMAGE, ""),
    key("log-level", Any, Honoured("trace, debug, info, warn or error"), ""),
    key("vault-log-level", Any, Honoured("the same"), ""),
    key("enable-json-log", Bool, Honoured("log format json"), ""),
    key("secret-init-json-log", Bool, Honoured("log format json"), ""),
    key("vault-agent", Bool, TEMPLATES, ""),
    key("vault-agent-configmap", Any, TEMPLATES, ""),
    key("vault-configfile-path", Any, TEMPLATES, ""),
    key("vault-ct-configmap", Any, TEMPLATES, ""),
    key("vault-agent-once", Bool, Ignored("it says nothing without vault-agent"), ""),
    key("vault-ct-once", Bool, Ignored("it says nothing without vault-ct-configmap"), ""),
    key("vault-ct-secrets-mount-path", Any, Ignored("it says nothing without vault-ct-configmap"), ""),
    key("vault-ct-inject-in-initcontainers", Bool, Ignored("it says nothing without vault-ct-configmap"), ""),
    key("vault-agent-share-process-namespace", Bool, Ignored("no process of another container is signalled"), ""),
    key("vault-ct-share-process-namespace", Bool, Ignored("no process of another container is signalled"), ""),
    key("vault-agent-cpu", Any, RESOURCES, ""),
    key("vault-agent-cpu-limit", Any, RESOURCES, ""),
    key("vault-agent-cpu-request", Any, RESOURCES, ""),
    key("vault-agent-memory", Any, RESOURCES, ""),
    key("vault-agent-memory-limit", Any, RESOURCES, ""),
    key("vault-agent-memory-request", Any, RESOURCES, ""),
    key("vault-ct-cpu", Any, RESOURCES, ""),
    key("vault-ct-memory", Any, RESOURCES, ""),
    key("vault-agent-env-variables", Any, Ignored("nothing reads the variables of the injected container"), ""),
    key("vault-ct-image", Any, IMAGE, ""),
    key("vault-ct-pull-policy", Any, IMAGE, ""),
    key("run-as-user", Any, SECURE, ""),
    key("run-as-group", Any, SECURE, ""),
    key("run-as-non-root", Any, SECURE, ""),
    key("readonly-root-fs", Any, SECURE, ""),
    key("psp-allow-privilege-escalation", Any, SECURE, ""),
    key("registry-skip-verify", Any, Ignored("no image registry is contacted"), ""),
];

/// How many unknown annotations get a suggestion.
const MAX_SUGGESTIONS: usize = 20;

/// Whether the pod has annotations of this webhook, without `mutate: skip`.
pub(super) fn asks(pod: &Pod, prefix: &str) -> bool {
    let mut own =
        pod.annotations.foreign.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())));
    own.clone().next().is_some() && !own.any(|(key, value)| key == "mutate" && value == "skip")
}

/// Reads the annotations below `prefix`; `None` if no container has anything to resolve. `warnings` get those of a pod that is
/// refused.
pub(super) fn read(pod: &Pod, prefix: &'static str, warnings: &mut Vec<String>) -> Result<Option<Translation>, Denial> {
    let pairs: Vec<(&str, &str)> = pod
        .annotations
        .foreign
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
        .collect();
    refuse_too_many(pairs.len(), prefix)?;
    let mut reader = Reader { pod, prefix, pairs, made: Translation::default(), denial: Denial::new() };
    reader.check_values();
    reader.login();
    reader.environment();
    if !reader.denial.is_empty() {
        warnings.append(&mut reader.made.warnings);
        return Err(dedup_and_truncate(reader.denial));
    }
    let has_work = reader.made.containers.as_ref().is_some_and(|names| !names.is_empty());
    Ok(has_work.then_some(reader.made))
}

/// The state while annotations are translated.
struct Reader<'a> {
    pod: &'a Pod,
    prefix: &'static str,
    pairs: Vec<(&'a str, &'a str)>,
    made: Translation,
    denial: Denial,
}

impl<'a> Reader<'a> {
    /// The first of these annotations that is not empty: its name and value.
    fn filled(&self, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
        names.iter().find_map(|name| {
            let (_, value) = self.pairs.iter().find(|(key, value)| key == name && !value.trim().is_empty())?;
            Some((*name, *value))
        })
    }

    /// Whether the first non-empty one of these annotations is true.
    fn is_set(&self, names: &[&'static str]) -> bool {
        self.filled(names).is_some_and(|(_, value)| words::boolean(value) == Ok(true))
    }

    /// Adds a reason to refuse the pod.
    fn deny(&mut self, name: &str, text: &str) {
        self.denial.push(format!("annotation {}{name}: {text}", self.prefix));
    }

    /// Adds a warning.
    fn warn(&mut self, name: &str, text: &str) {
        self.made.warnings.push(format!("annotation {}{name}: {text}", self.prefix));
    }

    /// Adds a setting of the config at `path`.
    fn set(&mut self, annotation: &str, path: &[&str], values: Vec<String>) {
        self.made.settings.push(Setting {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            values,
            annotation: format!("{}{annotation}", self.prefix),
        });
    }

    /// Checks every annotation against the table: malformed values, ignored and denied annotations, unknown ones.
    fn check_values(&mut self) {
        let mut unknown = 0;
        for (key, value) in self.pairs.clone() {
            let bare = key.strip_prefix("bao-").map(|rest| format!("vault-{rest}"));
            let Some((row, _)) = find(KEYS, bare.as_deref().unwrap_or(key)) else {
                unknown += 1;
                if unknown <= MAX_SUGGESTIONS {
                    let meant = nearest(key, KEYS.iter().map(|row| row.name));
                    let meant = meant.map(|name| format!("; did you mean {}{name}?", self.prefix));
                    self.warn(key, &format!("unknown, and ignored{}", meant.unwrap_or_default()));
                }
                continue;
            };
            let checked = match row.value {
                Value::Bool => words::boolean(value).map(drop),
                Value::Duration if !value.is_empty() => words::duration(value).map(drop),
                _ => Ok(()),
            };
            if let Err(expected) = checked {
                self.deny(key, &expected);
                continue;
            }
            let says_something = match row.value {
                Value::Bool => words::boolean(value) == Ok(true),
                _ => !value.trim().is_empty(),
            };
            match row.fate {
                Fate::Denied(why) if says_something => self.deny(key, why),
                Fate::Ignored(why) if says_something => self.warn(key, &format!("ignored: {why}")),
                Fate::Honoured(_) | Fate::Denied(_) | Fate::Ignored(_) => {}
            }
        }
    }

    /// Translates role, address, namespace, mount and method of the login, and logging.
    fn login(&mut self) {
        let account = self.pod.service_account.as_deref().unwrap_or("default");
        let (name, role) = self.filled(&["vault-role", "bao-role"]).unwrap_or(("vault-role", account));
        self.set(name, &["vault", "auth", "role"], vec![role.to_owned()]);
        for (names, field) in [
            (["vault-addr", "bao-addr"], ["address"].as_slice()),
            (["vault-namespace", "bao-namespace"], &["namespace"]),
            (["vault-path", "bao-path"], &["auth", "mount"]),
        ] {
            if let Some((name, value)) = self.filled(&names) {
                let path: Vec<&str> = ["vault"].iter().chain(field).copied().collect();
                let value = if field == ["address"] { value } else { value.trim_matches('/') };
                self.set(name, &path, vec![value.to_owned()]);
            }
        }
        if let Some((name, method)) = self.filled(&["vault-auth-method", "bao-auth-method"]) {
            match method {
                "jwt" | "kubernetes" => {}
                "aws-iam" => self.set(name, &["vault", "auth", "method"], vec!["aws".to_owned()]),
                _ => self
                    .deny(name, "expected jwt, kubernetes or aws-iam: an injected pod logs in with its own identity"),
            }
        }
        if let Some((name, level)) = self.filled(&["vault-log-level", "log-level"]) {
            self.set(name, &["logLevel"], vec![level.to_ascii_lowercase()]);
        }
        if self.is_set(&["enable-json-log", "secret-init-json-log"]) {
            self.set("enable-json-log", &["logFormat"], vec!["json".to_owned()]);
        }
    }

    /// Translates the mode, the settings of the app's environment, and the containers to wrap.
    fn environment(&mut self) {
        self.set("mutate", &["inherit"], vec!["bank-vaults".to_owned()]);
        let from = self.filled(&["vault-env-from-path", "vault-from-path", "bao-env-from-path", "bao-from-path"]);
        if let Some((name, paths)) = from {
            let references = list(paths).map(|path| match path.split_once('#') {
                Some((path, version)) => format!("vault:{path}?version={version}"),
                None => format!("vault:{path}"),
            });
            self.set(name, &["envFrom", "[]", "from"], references.collect());
        }
        let passed =
            self.filled(&["vault-env-passthrough", "vault-passthrough", "bao-env-passthrough", "bao-passthrough"]);
        if let Some((name, names)) = passed {
            self.set(name, &["passEnv", "[]"], list(names).map(str::to_owned).collect());
        }
        let named: Option<BTreeSet<&str>> = self.filled(&["mutate-containers"]).map(|(_, names)| list(names).collect());
        let is_meant = |container: &&Container| match &named {
            Some(named) => named.contains(container.name.as_str()),
            None => from.is_some() || container.is_wrapped() || has_reference(container),
        };
        let all = self.pod.containers.iter().chain(&self.pod.init_containers).filter(|c| !c.is_own());
        let is_daemon = self.is_set(&["vault-env-daemon", "bao-env-daemon", "secret-init-daemon"]);
        // The token would be revoked before the app has it if nothing stayed beside the app.
        let has_token = all.clone().filter(is_meant).any(has_token);
        self.made.mode = Some(if is_daemon || has_token { Mode::Supervise } else { Mode::Exec });
        let known: BTreeSet<&str> = all.clone().map(|c| c.name.as_str()).collect();
        self.made.containers = Some(all.filter(is_meant).map(|c| c.name.clone()).collect());
        let named = named.unwrap_or_default();
        for name in named.difference(&known).take(MAX_SUGGESTIONS) {
            self.warn("mutate-containers", &format!("this pod has no container {name}"));
        }
        if has_token && !is_daemon {
            self.warn("vault-env-daemon", "a variable is vault:login, so the pod gets mode supervise");
        }
    }
}

/// Whether a variable of the container gets the token of the login.
fn has_token(container: &Container) -> bool {
    let forms = ["${vault:login}", "${bao:login}"];
    let is_meant = |value: &str| is_token("VAULT_TOKEN", value) || forms.iter().any(|form| value.contains(form));
    container.env.iter().any(|(_, value)| value.as_deref().is_some_and(is_meant))
}

/// The comma-separated parts of a text, trimmed, without empty ones.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// Whether a variable of the container may hold a reference: by its value, or because only the container sees the
/// value.
fn has_reference(container: &Container) -> bool {
    let is_reference = |value: &String| crate::config::is_near_reference(value);
    container.has_unknown_variables || container.env.iter().any(|(_, value)| value.as_ref().is_some_and(is_reference))
}
