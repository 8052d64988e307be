//! Merges the layers of configuration, from weak to strong: environment variables of the backends' own tools,
//! annotations, the file, `SECRET_EXEC_…` variables, flags.

use std::fmt;

use super::annotations;
use super::check::{self, Author};
use super::flags::{self, Flag};
use super::home::{self, Home};
use super::keys::ROOT;
use super::layer::{Annotations, Layer, Reading, Text};
use super::merge;
use super::names::{Single, VARIABLES, singles};
use super::nearest::nearest;
use super::pinned;
use super::place::Place;
use super::proxies::{self, Proxies};
use super::tree::{ConfigErrors, Kind, Node};
use super::yaml::{self, Origin};

/// All inputs of the configuration, read once by the caller.
#[derive(Clone, Copy)]
pub struct Layers<'a> {
    /// The inherited variables that are UTF-8.
    pub environment: &'a [(String, String)],
    /// Pod annotations.
    pub annotations: Option<Annotations<'a>>,
    /// The config file.
    pub file: Option<Text<'a>>,
    /// The flags in order.
    pub flags: &'a [Flag],
    /// Whether a command is wrapped.
    pub wraps: Wraps,
}

/// What the mode does with the inherited environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wraps {
    /// A command gets it: inherited references are resolved.
    Command,
    /// Nothing: there is no command.
    Nothing,
}

// Environment and config texts may contain secrets: `Debug` shows names only.

impl fmt::Debug for Layers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Layers")
            .field("environment", &names)
            .field("annotations", &self.annotations)
            .field("file", &self.file)
            .field("flags", &self.flags)
            .field("wraps", &self.wraps)
            .finish()
    }
}

/// The merged tree, and the path of `--local`, which is a flag only.
pub(super) struct Merged<'a> {
    pub(super) tree: Node,
    pub(super) local: Option<&'a str>,
    pub(super) reading: Reading,
    pub(super) proxies: Proxies,
    /// The name of an inherited variable that contains a token, which is ignored.
    pub(super) token_variable: Option<&'static str>,
}

/// Parses, validates and merges the layers.
pub(super) fn merged<'a>(layers: &Layers<'a>, mistakes: &mut ConfigErrors) -> Merged<'a> {
    let mut reading = Reading::Complete;
    let is_pinned = layers.flags.iter().any(|flag| flag.name == flags::PINNED);
    let counts = |(name, value): &&(String, String)| !(is_pinned && pinned::is_steering(name, Some(value)));
    let environment: Vec<&(String, String)> = layers.environment.iter().filter(counts).collect();
    let mut all = Layer::new(Author::Operator);
    for part in gaps(&environment) {
        all.add(part, mistakes);
    }
    let mut tree = all.tree;
    let mut admitted = None;
    if let Some(annotations) = layers.annotations {
        let (mut layer, result) = annotations::layer(annotations, mistakes);
        if is_pinned && let Kind::Map(entries) = &mut layer.kind {
            entries.retain(|entry| !pinned::SECTIONS.contains(&entry.key.as_str()));
        }
        match annotations {
            Annotations::File(_) | Annotations::Pairs(_) => tree = merge::over(tree, layer, &ROOT),
            Annotations::Admitted(..) => admitted = Some(layer),
        }
        reading = worse(reading, result);
    }
    if let Some(file) = layers.file {
        match yaml::parse(file.text, &Origin::File(file.name), mistakes) {
            Some(mut node) => {
                node.drop_schema_key();
                tree = merge::over(tree, check::layer(node, &ROOT, Author::Operator, mistakes), &ROOT);
            }
            None => reading = Reading::Broken,
        }
    }
    tree = merge::over(tree, variables(&environment, mistakes), &ROOT);
    if let Some(layer) = admitted {
        tree = merge::over(tree, layer, &ROOT);
    }
    let (layer, local, result) = flags::layer(layers.flags, mistakes);
    tree = merge::over(tree, layer, &ROOT);
    let variable = |name: &str| {
        let (_, value) = environment.iter().find(|(known, _)| known == name)?;
        Some(value.as_str())
    };
    let home = if is_pinned { Home::Pinned } else { Home::Variable(variable("HOME")) };
    home::expand(&mut tree, home, mistakes);
    let is_set = |name: &&str| variable(name).is_some_and(|value| !value.is_empty());
    let token_variable = ["VAULT_TOKEN", "BAO_TOKEN"].into_iter().find(is_set);
    let proxies = Proxies::read(variable);
    Merged { tree, local, reading: worse(reading, result), proxies, token_variable }
}

/// The worse of two results.
fn worse(a: Reading, b: Reading) -> Reading {
    if a == Reading::Broken { a } else { b }
}

/// Environment variables of the backends' own tools, and the key that each sets. The first one that is set takes
/// precedence: `VAULT_…` before `BAO_…`, whatever the server is.
///
/// A later entry replaces an earlier one that it excludes: like Vault's own clients, the CA file takes precedence over
/// the text, and that over the directory.
const GAPS: [(&[&str], &[&str]); 9] = [
    (&["VAULT_ADDR", "BAO_ADDR"], &["vault", "address"]),
    (&["VAULT_NAMESPACE", "BAO_NAMESPACE"], &["vault", "namespace"]),
    (&["VAULT_CAPATH", "BAO_CAPATH"], &["vault", "caPath"]),
    (&["VAULT_CACERT_BYTES", "BAO_CACERT_BYTES"], &["vault", "ca"]),
    (&["VAULT_CACERT", "BAO_CACERT"], &["vault", "caFile"]),
    (&["VAULT_TLS_SERVER_NAME", "BAO_TLS_SERVER_NAME"], &["vault", "tlsServerName"]),
    (&["VAULT_CLIENT_CERT", "BAO_CLIENT_CERT"], &["vault", "clientCertFile"]),
    (&["VAULT_CLIENT_KEY", "BAO_CLIENT_KEY"], &["vault", "clientKeyFile"]),
    (&["AWS_REGION", "AWS_DEFAULT_REGION"], &["aws", "region"]),
];

/// The key that a variable of a backend's own tools sets.
pub(super) fn gap(place: &Place) -> Option<&'static [&'static str]> {
    let Place::Variable(name) = place else { return None };
    GAPS.iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, path)| *path)
}

/// Variables with our prefix that are no settings: the volume of an outer wrapper, and paths that the caller has read.
const NO_SETTINGS: [&str; 3] = ["DIR", "CONFIG", "ANNOTATIONS"];

/// Whether a variable of this name is a setting, and therefore has to be UTF-8.
pub fn is_setting(name: &str) -> bool {
    let fills_a_gap = || proxies::is_variable(name) || GAPS.iter().any(|(names, _)| names.contains(&name));
    name.strip_prefix(VARIABLES).map_or_else(fills_a_gap, |rest| !NO_SETTINGS.contains(&rest))
}

/// The settings of the backends' own variables.
fn gaps<'a>(environment: &'a [&'a (String, String)]) -> impl Iterator<Item = Node> + 'a {
    GAPS.iter().filter_map(|(names, path)| {
        names.iter().find_map(|name| {
            let (_, value) = environment.iter().find(|(known, value)| known == name && !value.is_empty())?;
            Some(Node::given(value, &Place::Variable((*name).to_owned())).under(path))
        })
    })
}

/// Settings that have a flag but no variable.
const FLAGS_ONLY: [(&str, &str); 12] = [
    ("ENV", "--env NAME=REFERENCE"),
    ("ENV_FROM", "--set envFrom=[REFERENCE]"),
    ("FILE", "--file NAME=REFERENCE"),
    ("FILES", "--file NAME=REFERENCE"),
    ("JSON", "--json"),
    ("LOCAL", "--local FILE"),
    ("ONLINE", "--online"),
    ("PASS_ENV", "--set passEnv=[NAME]"),
    ("PINNED", "--pinned"),
    ("SECRETS", "--set secrets.NAME=REFERENCE"),
    ("SET", "--set KEY=VALUE"),
    ("SUPERVISE", "--supervise"),
];

/// Reads `SECRET_EXEC_…` variables, one for each single-valued key. An unknown one is a mistake, because a typo would
/// otherwise be ignored.
fn variables(environment: &[&(String, String)], mistakes: &mut ConfigErrors) -> Node {
    let known: Vec<(String, Single)> = singles().into_iter().map(|single| (single.variable(), single)).collect();
    let mut found: Vec<(&Single, &String, &String)> = Vec::new();
    for (name, value) in environment.iter().copied() {
        let Some(rest) = name.strip_prefix(VARIABLES) else { continue };
        if NO_SETTINGS.contains(&rest) || is_service_link(rest, value) {
            continue; // the last: kubelet's
        }
        if let Some((_, single)) = known.iter().find(|(known, _)| known == name) {
            found.push((single, name, value));
            continue;
        }
        let text = match nearest(name, known.iter().map(|(known, _)| known.as_str())) {
            _ if let Some((_, flag)) = FLAGS_ONLY.iter().find(|(name, _)| *name == rest) => {
                format!("is not a variable; it is a flag only: {flag}")
            }
            Some(meant) => format!("unknown; did you mean {meant}?"),
            None => {
                "unknown; after SECRET_EXEC_ comes a key of the config, such as RUN_AS or VAULT_AUTH_ROLE".to_owned()
            }
        };
        mistakes.add(&Place::Variable(name.clone()), text);
    }
    found.sort_by(|(a, ..), (b, ..)| a.path.cmp(&b.path)); // messages that do not depend on the environment's order
    let mut layer = Layer::new(Author::Operator);
    for (single, name, value) in found {
        layer.add_consistent(Node::given(value, &Place::Variable(name.clone())).under(&single.path), mistakes);
    }
    layer.tree
}

/// Whether the variable is one that the kubelet sets for a Service whose name begins with `secret-exec`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let port_of_protocol = |rest: &str| {
        ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
            rest.split_once(protocol).is_some_and(|(before, after)| {
                before.ends_with(|c: char| c.is_ascii_digit()) && matches!(after, "" | "_PROTO" | "_PORT" | "_ADDR")
            })
        })
    };
    let is_part = |part: &str| rest == part || rest.ends_with(&format!("_{part}"));
    is_part("SERVICE_HOST")
        || is_part("SERVICE_PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.contains("_SERVICE_PORT_")
        || (is_part("PORT") && ["tcp://", "udp://", "sctp://"].iter().any(|start| value.starts_with(start)))
        || port_of_protocol(rest)
}
