//! A `--local` file for a plan: every reference with the keys that are used of it, to be filled with made-up values. What
//! looks like a certificate is one, so that a server on a laptop can use it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::domain::{Source, VaultOperation};

use super::Plan;

/// How long a made-up certificate is valid.
const LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Names that a server of a laptop is reached by.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Made up at each fetch.
const RANDOM: &str = "{{random}}";

/// The file's text; `now` is when its certificates begin.
pub(crate) fn local_file(plan: &Plan, now: SystemTime) -> String {
    let mut out = String::from(
        "# Stands for the servers: what each reference answers. Made-up values only; for a laptop.\n\
         # Add `ttl: 10s` (and `renewable: true`) to make one a lease.\n",
    );
    for planned in &plan.sources {
        let source = &planned.source;
        let keys: BTreeSet<&str> = plan.keys_of(source).collect();
        let lists: BTreeSet<&str> = plan.lists_of(source).collect();
        let certificates = Certificates::needed(source, &keys).then(|| Certificates::make(source, now)).flatten();
        let value = |key: &str| sketched(key, lists.contains(key), certificates.as_ref());
        let answer = match (source, keys.is_empty()) {
            (Source::Vault(_), false) => data(keys.iter().map(|key| (*key, value(key)))),
            (Source::Vault(_), true) => match &certificates {
                // The whole answer is used: everything that such an engine says.
                Some(_) => data(ISSUED.map(|key| (key, value(key)))),
                None => "data: { KEY: \"{{random}}\" }".to_owned(),
            },
            (_, true) => "value: \"{{random}}\"".to_owned(),
            (_, false) => {
                let object: serde_json::Map<_, _> = keys.iter().map(|key| ((*key).to_owned(), value(key))).collect();
                let text = serde_json::to_string(&object).expect("a JSON object prints");
                format!("value: {}", quoted(&text))
            }
        };
        out.push_str(&format!("{}: {{ {answer} }}\n", quoted(&source.written())));
    }
    out
}

/// The keys of an issued certificate (`pki/issue`).
const ISSUED: [&str; 5] = ["certificate", "issuing_ca", "ca_chain", "private_key", "private_key_type"];

/// What a key's value looks like. Its name says whether it is a certificate; templates, whether it is a list.
fn sketched(key: &str, is_list: bool, certificates: Option<&Certificates>) -> serde_json::Value {
    let value = match (role(key), certificates) {
        (Some(role), Some(certificates)) => certificates.text(role).to_owned(),
        _ if key == "private_key_type" => "ec".to_owned(),
        _ => RANDOM.to_owned(),
    };
    if is_list || key == "ca_chain" { vec![value].into() } else { value.into() }
}

fn data<'a>(pairs: impl IntoIterator<Item = (&'a str, serde_json::Value)>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{}: {value}", quoted(key))).collect();
    format!("data: {{ {} }}", pairs.join(", "))
}

/// A JSON string is a YAML double-quoted scalar.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string prints as JSON")
}

/// What a PEM text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Certificate,
    Key,
    Authority,
}

/// What people, `pki/issue` and a TLS Secret of Kubernetes call the three.
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

/// An authority, a certificate of it for this machine, and the key, as PEM. Their keys are nobody's secrets.
struct Certificates {
    certificate: String,
    key: String,
    authority: String,
}

impl Certificates {
    /// Whether one of the keys is a certificate, or the whole answer is.
    fn needed(source: &Source, keys: &BTreeSet<&str>) -> bool {
        let is_issue = |path: &str| path.split('/').rev().nth(1) == Some("issue");
        let is_issued = matches!(source, Source::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)) && is_issue(&vault.path));
        (keys.is_empty() && is_issued) || keys.iter().any(|key| role(key).is_some())
    }

    /// `None` where a name that is asked for cannot stand in a certificate: then the values are random.
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

    fn text(&self, role: Role) -> &str {
        match role {
            Role::Certificate => &self.certificate,
            Role::Key => &self.key,
            Role::Authority => &self.authority,
        }
    }
}
