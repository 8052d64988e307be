//! The parsers of each scheme.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::ReferenceError;
use super::{AwsSource, SecretRef, Source, VaultOperation, VaultSource};

/// What to write instead of bank-vaults syntax that is not a reference; `None` for other text.
pub(super) fn bank_vaults(text: &str) -> Option<&'static str> {
    let is_vault = |text: &str| ["vault:", "bao:"].iter().any(|scheme| text.starts_with(scheme));
    if text.strip_prefix(">>").is_some_and(is_vault) {
        return Some("a write is vault:PATH?name=value#KEY");
    }
    if text.match_indices("${").any(|(at, _)| text.get(at.saturating_add(2)..).is_some_and(is_vault)) {
        return Some("a value inside of text is a template with {{ secret('vault:PATH#KEY') }}");
    }
    if is_vault(text) && text.split_once('#').is_some_and(|(_, key)| key.contains("${.")) {
        return Some("a key that is put together is a template with {{ secret('vault:PATH').KEY }}");
    }
    if text.strip_prefix("vault:").or(text.strip_prefix("bao:")) == Some("login") {
        return Some("the login's token is no secret of a path; `vault.auth` in the config says how to log in");
    }
    None
}

/// The scheme that a misspelled or foreign one probably means.
pub(super) fn near_scheme(scheme: &str) -> Option<&'static str> {
    let lower = scheme.to_ascii_lowercase();
    [
        ("vault:", &["vault", "bao", "openbao", "vlt", "hashicorp", "valut", "vault-kv"][..]),
        ("aws-sm:", &["aws", "awssm", "sm", "secretsmanager", "aws-secretsmanager", "aws_sm", "asm"]),
        ("file:", &["files", "path", "local"]),
    ]
    .into_iter()
    .find(|(_, names)| names.contains(&lower.as_str()))
    .map(|(meant, _)| meant)
}

/// Resolves a bare name through the entries of `secrets`. An entry that has a key takes no other.
pub(super) fn by_name(
    name: &str,
    key: Option<String>,
    named: &BTreeMap<String, SecretRef>,
) -> Result<SecretRef, ReferenceError> {
    let Some(entry) = named.get(name) else {
        return Err(ReferenceError::UnknownName { name: name.to_owned(), known: named.keys().cloned().collect() });
    };
    match (&entry.key, key) {
        (Some(_), Some(_)) => Err(ReferenceError::KeyOfKey(name.to_owned())),
        (Some(key), None) => Ok(SecretRef { source: entry.source.clone(), key: Some(key.clone()) }),
        (None, key) => Ok(SecretRef { source: entry.source.clone(), key }),
    }
}

/// Parses the text after `vault:`: a path, and `?version=N` or write parameters.
pub(super) fn vault(text: &str) -> Result<VaultSource, ReferenceError> {
    let (path, parameters) = match text.split_once('?') {
        Some((path, parameters)) => (path, Some(parameters)),
        None => (text, None),
    };
    let path = vault_path(path)?;
    let Some(parameters) = parameters else {
        return Ok(VaultSource { path, operation: VaultOperation::Read { version: None } });
    };
    let mut parameters = query(parameters)?;
    let operation = match parameters.remove("version") {
        None => match near_version(&parameters) {
            Some(name) => return Err(ReferenceError::NearVersion(name.clone())),
            None => VaultOperation::Write(parameters),
        },
        Some(_) if !parameters.is_empty() => return Err(ReferenceError::VersionAndWrite),
        Some(version) => VaultOperation::Read { version: Some(version_number(&version)?) },
    };
    Ok(VaultSource { path, operation })
}

/// A parameter that is probably a misspelled `version`; alone, also `v=1`.
fn near_version(parameters: &BTreeMap<String, String>) -> Option<&String> {
    let alone = parameters.first_key_value().filter(|_| parameters.len() == 1);
    let short = alone.filter(|(name, value)| matches!(name.as_str(), "v" | "V") && version_number(value).is_ok());
    parameters.keys().find(|name| is_near_version(name)).or(short.map(|(name, _)| name))
}

/// Whether a name is probably a misspelled `version`: as a write parameter it would overwrite the secret.
fn is_near_version(name: &str) -> bool {
    let bare: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    ["version", "versions", "ver", "vers", "versionid", "versionnumber", "verison", "vesion", "versoin"]
        .contains(&bare.as_str())
}

/// Parses a version number, at least 1.
pub(super) fn version_number(text: &str) -> Result<u32, ReferenceError> {
    match text.parse() {
        Ok(number @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(ReferenceError::Version),
    }
}

/// Parses and decodes a logical path.
pub(super) fn vault_path(text: &str) -> Result<String, ReferenceError> {
    if text.is_empty() {
        return Err(ReferenceError::EmptyPath);
    }
    if text.starts_with('/') {
        return Err(ReferenceError::Slash("start"));
    }
    if text.ends_with('/') {
        return Err(ReferenceError::Slash("end"));
    }
    if text.starts_with("v1/") {
        return Err(ReferenceError::ApiVersion);
    }
    if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(ReferenceError::Component);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find('%') {
        out.push_str(&rest[..place]);
        let character = match rest.get(place..place + 3) {
            Some("%3F" | "%3f") => '?',
            Some("%23") => '#',
            Some("%25") => '%',
            _ => return Err(ReferenceError::Percent("path")),
        };
        out.push(character);
        rest = &rest[place + 3..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Parses `a=b&c=d`, percent-decoded; `+` stays (transit ciphertexts contain it). An empty text has no parameters.
pub(super) fn query(text: &str) -> Result<BTreeMap<String, String>, ReferenceError> {
    let mut out = BTreeMap::new();
    if text.is_empty() {
        return Ok(out);
    }
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = percent_decoded(name)?;
        if name.is_empty() {
            return Err(ReferenceError::NamelessParameter);
        }
        let value = percent_decoded(value)?;
        if out.insert(name.clone(), value).is_some() {
            return Err(ReferenceError::RepeatedParameter(name));
        }
    }
    Ok(out)
}

/// Percent-decodes a parameter's name or value; refuses a stray `%` and bytes that are not UTF-8.
pub(super) fn percent_decoded(text: &str) -> Result<String, ReferenceError> {
    const PARAMETERS: ReferenceError = ReferenceError::Percent("parameters");
    let bytes = text.as_bytes();
    for (place, _) in text.match_indices('%') {
        let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        if !is_hex(place + 1) || !is_hex(place + 2) {
            return Err(PARAMETERS);
        }
    }
    let decoded = percent_encoding::percent_decode_str(text);
    decoded.decode_utf8().map(|text| text.into_owned()).map_err(|_| PARAMETERS)
}

/// The parameters of a Secrets Manager reference.
#[derive(Default)]
pub(super) struct AwsParameters {
    pub(super) stage: Option<String>,
    pub(super) version: Option<String>,
    pub(super) role: Option<String>,
}

/// Parses the text after `aws-sm:`: a name or an ARN, with `?stage=`, `?version=` and `?role=`.
pub(super) fn aws(text: &str, key: Option<String>) -> Result<SecretRef, ReferenceError> {
    let (id, parameters) = text.split_once('?').unwrap_or((text, ""));
    let mut found = AwsParameters::default();
    for (name, value) in query(parameters)? {
        match name.as_str() {
            "stage" => found.stage = Some(value),
            "version" => found.version = Some(value),
            "role" => found.role = Some(value),
            _ => return Err(ReferenceError::UnknownParameter(name)),
        }
    }
    if id.starts_with("arn:") {
        return arn(id, found, key);
    }
    if id.is_empty() {
        return Err(ReferenceError::EmptyPath);
    }
    // A secret that is really called so has an ARN.
    if id.starts_with("//") {
        return Err(ReferenceError::Url);
    }
    let id = id.to_owned();
    // Version ids have 32 characters or more, so none of them is one of these words.
    let is_stage = |version: &String| ["AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"].contains(&version.as_str());
    if found.stage.is_none() && found.version.as_ref().is_some_and(is_stage) {
        found.stage = found.version.take();
    }
    let AwsParameters { stage, version, role } = found;
    Ok(SecretRef { source: Source::Aws(AwsSource { id, region: None, stage, version, role }), key })
}

/// Parses `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key:stage:version]`, the syntax of ECS
/// task definitions (docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html).
pub(super) fn arn(text: &str, parameters: AwsParameters, key: Option<String>) -> Result<SecretRef, ReferenceError> {
    // No part of an ARN has white space or `?`; stage and version have fields of their own.
    if text.contains(|c: char| c == '?' || c.is_whitespace()) {
        return Err(ReferenceError::Arn);
    }
    let fields: Vec<&str> = text.split(':').collect();
    let (head, tail) = match fields.as_slice() {
        ["arn", partition, "secretsmanager", region, account, "secret", name, tail @ ..]
            if partition.starts_with("aws")
                && !region.is_empty()
                && !account.is_empty()
                && !name.is_empty()
                && tail.len() <= 3 =>
        {
            ((partition, region, account, name), tail)
        }
        _ => return Err(ReferenceError::Arn),
    };
    let (partition, region, account, name) = head;
    let field = |place: usize| tail.get(place).filter(|text| !text.is_empty()).map(|text| (*text).to_owned());
    let key = match (field(0), key) {
        (Some(_), Some(_)) => return Err(ReferenceError::TwoKeys),
        (inner, outer) => inner.or(outer),
    };
    let once = |name: &str, inner: Option<String>, outer: Option<String>| match (inner, outer) {
        (Some(_), Some(_)) => Err(ReferenceError::RepeatedParameter(name.to_owned())),
        (inner, outer) => Ok(inner.or(outer)),
    };
    Ok(SecretRef {
        source: Source::Aws(AwsSource {
            id: format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{name}"),
            region: Some((*region).to_owned()),
            stage: once("stage", field(1), parameters.stage)?,
            version: once("version", field(2), parameters.version)?,
            role: parameters.role,
        }),
        key,
    })
}

/// Parses the text after `file:`: an absolute path.
pub(super) fn file(text: &str, key: Option<String>) -> Result<SecretRef, ReferenceError> {
    if !text.starts_with('/') {
        return Err(if text.is_empty() { ReferenceError::EmptyPath } else { ReferenceError::RelativeFile });
    }
    Ok(SecretRef { source: Source::File(PathBuf::from(text)), key })
}
