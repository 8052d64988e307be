//! Generates a `--local` file for a plan: every reference with the keys that are used of it, to be filled in with
//! made-up values. Values that look like certificates are generated ones, so that a server on a laptop can use them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::domain::{Source, VaultOperation};
use crate::render::Step;

use super::Plan;

/// How long a generated certificate is valid.
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The names in a generated certificate.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// A placeholder for a random value, which is made up at each fetch.
const RANDOM: &str = "{{random}}";

/// The text of the file. The certificates are valid from `now`.
pub(crate) fn local_file(plan: &Plan, now: SystemTime) -> String {
    let mut out = String::from(
        "# Stands for the servers: what each reference answers. Made-up values only; for a laptop.\n\
         # Add `ttl: 10s` (and `renewable: true`) to make one a lease.\n",
    );
    for planned in &plan.sources {
        let source = &planned.source;
        let mut sketch = Sketch::Value;
        plan.used_of(source).iter().for_each(|path| sketch.add(path));
        let certificates = Certificates::needed(source, &sketch).then(|| Certificates::make(source, now)).flatten();
        let value = |key: &str, sketch: &Sketch| sketched(key, sketch, certificates.as_ref());
        let answer = match (source, &sketch) {
            (Source::Vault(_), Sketch::Map(keys)) => {
                data(keys.iter().map(|(key, sketch)| (&**key, value(key, sketch))))
            }
            (Source::Vault(vault), _) if is_raw(&vault.path) => {
                let text = certificates.as_ref().map_or(RANDOM, |made| made.text(Role::Authority));
                format!("value: {}", quoted(text))
            }
            (Source::Vault(_), _) => match &certificates {
                // The whole response is used: generate every key that a PKI engine returns.
                Some(_) => data(ISSUED.map(|key| (key, value(key, &Sketch::Value)))),
                None => "data: { KEY: \"{{random}}\" }".to_owned(),
            },
            (_, Sketch::Map(keys)) => {
                let object: serde_json::Map<_, _> =
                    keys.iter().map(|(key, sketch)| (key.clone(), value(key, sketch))).collect();
                let text = serde_json::to_string(&object).expect("a JSON object prints");
                format!("value: {}", quoted(&text))
            }
            (_, Sketch::Value | Sketch::Number | Sketch::List(_)) => "value: \"{{random}}\"".to_owned(),
        };
        out.push_str(&format!("{}: {{ {answer} }}\n", quoted(&source.written())));
    }
    out
}

/// The keys of an issued certificate (`pki/issue`).
const ISSUED: [&str; 5] = ["certificate", "issuing_ca", "ca_chain", "private_key", "private_key_type"];

/// The structure that a value must have for the parts that are used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sketch {
    /// A string.
    Value,
    /// A number.
    Number,
    /// A map with these keys.
    Map(BTreeMap<String, Sketch>),
    /// A list with items of this structure.
    List(Box<Sketch>),
}

impl Sketch {
    /// Adds the steps to a part that is used. Steps that contradict earlier ones are ignored, because only one of both
    /// can work.
    fn add(&mut self, path: &[Step]) {
        match (&mut *self, path) {
            (Self::Value, [Step::Key(_), ..]) => {
                *self = Self::Map(BTreeMap::new());
                self.add(path);
            }
            (Self::Value, [Step::Item, ..]) => {
                *self = Self::List(Box::new(Self::Value));
                self.add(path);
            }
            (Self::Value, [Step::Number, ..]) => *self = Self::Number,
            (Self::Map(keys), [Step::Key(key), rest @ ..]) => keys.entry(key.clone()).or_insert(Self::Value).add(rest),
            (Self::List(item), [Step::Item, rest @ ..]) => item.add(rest),
            (_, [])
            | (Self::Number, _)
            | (Self::Map(_), [Step::Item | Step::Number, ..])
            | (Self::List(_), [Step::Key(_) | Step::Number, ..]) => {}
        }
    }

    /// Every key in it, at any depth.
    fn keys(&self) -> BTreeSet<&str> {
        match self {
            Self::Value | Self::Number => BTreeSet::new(),
            Self::Map(keys) => {
                keys.iter().flat_map(|(key, sketch)| sketch.keys().into_iter().chain([&**key])).collect()
            }
            Self::List(item) => item.keys(),
        }
    }
}

/// Whether a Vault path returns a text that is not JSON: the CA of `pki`, the public key of `ssh`.
fn is_raw(path: &str) -> bool {
    ["/ca", "/ca/pem", "/ca_chain", "/crl", "/crl/pem", "/public_key"].iter().any(|end| path.ends_with(end))
}

/// The value of a key in the generated file. A key whose name denotes a certificate gets one.
fn sketched(key: &str, sketch: &Sketch, certificates: Option<&Certificates>) -> serde_json::Value {
    match sketch {
        Sketch::Map(keys) => {
            let entries = keys.iter().map(|(key, sketch)| (key.clone(), sketched(key, sketch, certificates)));
            serde_json::Value::Object(entries.collect())
        }
        Sketch::List(item) if **item == Sketch::Value && key == "ca_chain" => sketched(key, item, certificates),
        Sketch::List(item) => vec![sketched(key, item, certificates)].into(),
        // A number, as most stores have it: a template may count with it.
        Sketch::Value | Sketch::Number if key == "port" || key.ends_with("_port") || key.ends_with("Port") => {
            5432.into()
        }
        Sketch::Number => 1.into(),
        Sketch::Value => {
            let value = match (role(key), certificates) {
                (Some(role), Some(certificates)) => certificates.text(role).to_owned(),
                _ if key == "private_key_type" => "ec".to_owned(),
                _ => RANDOM.to_owned(),
            };
            if key == "ca_chain" { vec![value].into() } else { value.into() }
        }
    }
}

/// A `data` map in YAML flow style.
fn data<'a>(pairs: impl IntoIterator<Item = (&'a str, serde_json::Value)>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{}: {value}", quoted(key))).collect();
    format!("data: {{ {} }}", pairs.join(", "))
}

/// A JSON string, which is a YAML double-quoted scalar too.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string prints as JSON")
}

/// The kind of a PEM text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Certificate,
    Key,
    Authority,
}

/// The kind of PEM text that a key's name denotes, by the names that `pki/issue`, Kubernetes TLS Secrets and common use
/// have for it.
fn role(key: &str) -> Option<Role> {
    let name: String = key.to_lowercase().chars().map(|c| if matches!(c, '-' | '_' | ' ') { '.' } else { c }).collect();
    let is_one_of = |names: &[&str]| names.contains(&name.as_str());
    if is_one_of(&["issuing.ca", "ca.chain", "ca.crt", "ca.pem", "ca.cert", "ca.bundle", "ca", "cacert"]) {
        Some(Role::Authority)
    } else if is_one_of(&["private.key", "tls.key", "key.pem", "server.key", "client.key", "cert.key", "ssl.key"]) {
        Some(Role::Key)
    } else if is_one_of(&[
        "certificate",
        "tls.crt",
        "tls.cert",
        "cert",
        "cert.pem",
        "server.crt",
        "client.crt",
        "crt",
        "ssl.crt",
    ]) {
        Some(Role::Certificate)
    } else {
        None
    }
}

/// A CA, a certificate of it for this machine, and its key, as PEM. The keys protect nothing.
struct Certificates {
    certificate: String,
    key: String,
    authority: String,
}

impl Certificates {
    /// Whether a certificate is needed: for one of the keys, or because the whole response is one.
    fn needed(source: &Source, sketch: &Sketch) -> bool {
        let keys = sketch.keys();
        let is_issue = |path: &str| path.split('/').rev().nth(1) == Some("issue");
        let is_issued = matches!(source, Source::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)) && is_issue(&vault.path));
        let is_ca =
            matches!(source, Source::Vault(vault) if is_raw(&vault.path) && !vault.path.ends_with("/public_key"));
        (keys.is_empty() && (is_issued || is_ca)) || keys.iter().any(|key| role(key).is_some())
    }

    /// Generates the certificates. `None` if a requested name is not valid in a certificate; then the values are
    /// random.
    fn make(source: &Source, now: SystemTime) -> Option<Self> {
        let mut names: Vec<String> = NAMES.map(str::to_owned).into();
        if let Source::Vault(vault) = source
            && let VaultOperation::Write(parameters) = &vault.operation
        {
            let wanted = ["common_name", "alt_names", "ip_sans"].into_iter().filter_map(|name| parameters.get(name));
            names.extend(wanted.flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()));
        }
        names.retain(|name| !name.is_empty());
        let (from, until) = (now, now + LIFE);
        let mut ca = CertificateParams::new(Vec::new()).ok()?;
        ca.distinguished_name.push(DnType::CommonName, "made up for a laptop");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        (ca.not_before, ca.not_after) = (from.into(), until.into());
        let authority = KeyPair::generate().ok()?;
        let root = ca.self_signed(&authority).ok()?.pem();
        let issuer = Issuer::new(ca, authority);
        let mut leaf = CertificateParams::new(names).ok()?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        (leaf.not_before, leaf.not_after) = (from.into(), until.into());
        leaf.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().ok()?;
        let certificate = leaf.signed_by(&key, &issuer).ok()?.pem();
        Some(Self { certificate, key: key.serialize_pem(), authority: root })
    }

    /// The PEM text of this kind.
    fn text(&self, role: Role) -> &str {
        match role {
            Role::Certificate => &self.certificate,
            Role::Key => &self.key,
            Role::Authority => &self.authority,
        }
    }
}
