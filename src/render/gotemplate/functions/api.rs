//! The functions that read secrets, `secret` and `pkiCert`, and the functions `executeTemplate` and `scratch`.

use std::collections::BTreeMap;

use crate::domain::{Fetched, Payload, SecretMap, SecretRef, SecretValue, Source, VaultOperation};

use super::super::super::tree::Json;
use super::super::arguments::Kind::{Any, String as Str};
use super::super::rendering::Rendering;
use super::super::value::{Map, Pem, Secret, Text, Value};
use super::encoding::{Numbers, from_json};
use super::{Call, Function, Outcome};

/// The most secrets that one rendering may name.
const MOST_REFERENCES: usize = 1_000;

pub(super) const TABLE: &[Function] = &[
    Function::with("secret", &[Str], |run, given| {
        fetched(run, "secret", given, |run, source, fetched| {
            run.converted.get_or_convert(source, fetched, secret).map(Value::Secret)
        })
    })
    .rest(Str),
    Function::with("pkiCert", &[Str], |run, given| fetched(run, "pkiCert", given, |_, _, fetched| pem(fetched)))
        .rest(Str),
    Function { name: "executeTemplate", parameters: &[Str], rest: Some(Any), call: Call::ExecuteTemplate, slowness: 1 },
    Function::with("scratch", &[], |run, _| Ok(Value::Scratch(run.scratch.clone()))),
];

/// Whether the function's arguments name a reference.
pub(in super::super) fn is_api(function: &Function) -> bool {
    matches!(function.name, "secret" | "pkiCert")
}

/// The reference named by the arguments of `secret` or `pkiCert`. Parameters make it a write, and `pkiCert` always
/// writes.
pub(in super::super) fn reference(function: &str, given: &[Text]) -> Result<SecretRef, String> {
    let words: Vec<_> = given.iter().map(|text| String::from_utf8_lossy(text)).collect();
    let Some((path, parameters)) = words.split_first() else { return Err("the path is missing".to_owned()) };
    // As in a URL, the fragment is ignored.
    let path = path.trim().split('#').next().unwrap_or_default();
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.trim_matches('/').replace('%', "%25");
    let text = match query.strip_prefix("version=") {
        _ if query.is_empty() => format!("vault:{path}"),
        Some(version) => format!("vault:{path}?version={version}"),
        None => return Err("only version=N may stand behind the \"?\" of a path".to_owned()),
    };
    let mut reference = SecretRef::parse(&text, &BTreeMap::new()).map_err(|why| why.to_string())?;
    let mut sent = BTreeMap::new();
    for parameter in parameters.iter().filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or("a parameter is no \"key=value\" pair")?;
        sent.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    if let Source::Vault(source) = &mut reference.source
        && (!sent.is_empty() || function == "pkiCert")
    {
        source.operation = VaultOperation::Write(sent);
    }
    Ok(reference)
}

/// Builds the result from the fetched source that the arguments name. If it is not fetched, records it and returns a
/// pending value.
fn fetched(
    run: &mut Rendering<'_>,
    function: &str,
    given: &[Value],
    make: fn(&Rendering<'_>, &Source, &Fetched) -> Outcome,
) -> Outcome {
    let texts: Vec<Text> = given.iter().map(|value| Text::from(super::bytes(value))).collect();
    // Errors about literal paths were reported by the parser; for a computed path, they would quote a value.
    let computed = "the path that is computed here is none of a secret, or a parameter is no \"key=value\" pair";
    let source = reference(function, &texts).map_err(|_| computed.to_owned())?.source;
    if run.sources.len() >= MOST_REFERENCES && !run.sources.contains(&source) {
        return Err(format!("it names more than {MOST_REFERENCES} secrets"));
    }
    let outcome = match run.fetches.get(&source) {
        Some(fetched) => make(run, &source, fetched),
        None => {
            run.is_incomplete = true;
            Ok(Value::Pending)
        }
    };
    run.sources.insert(source);
    outcome
}

impl Rendering<'_> {
    /// The value of a reference: the bytes of its key's value, or the map of all keys.
    pub(in super::super) fn data(&mut self, reference: &SecretRef) -> Outcome {
        self.sources.insert(reference.source.clone());
        let Some(fetched) = self.fetches.get(&reference.source) else {
            self.is_incomplete = true;
            return Ok(Value::Pending);
        };
        let value = match (&reference.key, &fetched.payload) {
            (Some(key), payload) => {
                let value = payload.value(key).map_err(|why| why.to_string())?;
                Value::text(value.raw().expose())
            }
            (None, Payload::Map(map)) => Value::map(entries(map)?),
            (None, Payload::Whole(_)) => return Err("the secret has no keys".to_owned()),
        };
        self.grow(value.weight())?;
        Ok(value)
    }
}

/// The result of `secret`; the data of KV v2 is in its envelope.
fn secret(fetched: &Fetched) -> Result<Secret, String> {
    let mut data = match &fetched.payload {
        Payload::Map(map) => entries(map)?,
        Payload::Whole(bytes) => Map::from([(Text::from(&b"data"[..]), Value::text(bytes.expose()))]),
    };
    if let Some(metadata) = &fetched.metadata {
        let metadata = parsed(metadata.expose())?;
        let inner = Value::map(std::mem::take(&mut data));
        data.insert(Text::from(&b"data"[..]), inner);
        data.insert(Text::from(&b"metadata"[..]), metadata);
    }
    let lease = fetched.lease.as_ref();
    Ok(Secret {
        lease_id: lease.map(|lease| lease.id.as_str().to_owned()).unwrap_or_default(),
        lease_duration: lease.map_or(0, |lease| i64::try_from(lease.ttl.as_secs()).unwrap_or(i64::MAX)),
        renewable: lease.is_some_and(|lease| lease.renewable),
        data: Value::map(data),
    })
}

/// The entries of a secret map as template values.
fn entries(map: &SecretMap) -> Result<Map, String> {
    map.iter().map(|(key, value)| Ok((Text::from(key.as_bytes()), decoded(value)?))).collect()
}

/// A secret value as a template value.
fn decoded(value: &SecretValue) -> Outcome {
    match value {
        SecretValue::Text(text) => Ok(Value::text(text.expose())),
        SecretValue::Json(json) => parsed(json.expose()),
    }
}

/// Parses JSON to a template value.
fn parsed(json: &[u8]) -> Outcome {
    let text = std::str::from_utf8(json).map_err(|_| "the answer is no UTF-8")?;
    let json = Json::parse(text).ok().and_then(|json| from_json(&json, Numbers::AsWritten));
    json.ok_or_else(|| "the answer's data is too large, too deep or repeats a key".to_owned())
}

/// The result of `pkiCert`.
fn pem(fetched: &Fetched) -> Outcome {
    let Payload::Map(map) = &fetched.payload else { return Err("the answer is no certificate".to_owned()) };
    let text = |key: &str| {
        let value = map.value(key).map(|value| value.raw().expose()).unwrap_or_default();
        let mut text = value.trim_ascii_end().to_vec();
        if !text.is_empty() {
            text.push(b'\n');
        }
        Text::from(text)
    };
    let (cert, key, ca) = (text("certificate"), text("private_key"), text("issuing_ca"));
    if cert.is_empty() {
        return Err("the answer is no certificate".to_owned());
    }
    let chain = match map.value("ca_chain").map(decoded).transpose()? {
        Some(Value::List(items, _)) => {
            Value::strings(items.iter().map(|item| [super::bytes(item).trim_ascii_end(), b"\n"].concat()))
        }
        _ => Value::strings([""; 0]),
    };
    let data = [("Cert", &cert), ("Key", &key), ("CA", &ca)];
    let mut data: Map =
        data.into_iter().map(|(name, text)| (Text::from(name.as_bytes()), Value::String(text.clone()))).collect();
    data.insert(Text::from(&b"CAChain"[..]), chain.clone());
    Ok(Value::Pem(Pem { cert, key, ca, chain, data: Value::map(data) }.into()))
}
