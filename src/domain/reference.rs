//! References: where a secret is. The grammar of the contract, parsed once, without I/O.
//!
//! Cut at the first `#` (the rest is one top-level key, verbatim), then at the first `?`. Parameters are
//! percent-decoded and `+` stays; in a path only `%3F`, `%23` and `%25` stand for their characters.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Where one fetch goes, and which key of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRef {
    /// One fetch, and at most one lease. Equal sources are the same fetch.
    pub source: Source,
    /// One top-level key; `None` means the whole.
    pub key: Option<String>,
}

/// One fetch: provider, path and sorted parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Vault or OpenBao, by logical API path.
    Vault(VaultSource),
    /// AWS Secrets Manager.
    Aws(AwsSource),
    /// A file already mounted.
    File(PathBuf),
}

/// A logical path, as in `vault read` or `vault write`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VaultSource {
    /// Decoded, without `v1/`, without slashes at its ends.
    pub path: String,
    /// What is asked of the path.
    pub operation: VaultOperation,
}

/// A read, or a write with parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VaultOperation {
    /// GET; `version` is KV v2's.
    Read {
        /// The KV v2 version asked for; `None` is the newest.
        version: Option<u32>,
    },
    /// PUT with these parameters: sent once per start, and again only at its own end.
    Write(BTreeMap<String, String>),
}

/// A Secrets Manager secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AwsSource {
    /// Name or ARN, as `SecretId`.
    pub id: String,
    /// The ARN's region; `None` for a name.
    pub region: Option<String>,
    /// `VersionStage`; `None` is AWSCURRENT.
    pub stage: Option<String>,
    /// `VersionId`.
    pub version: Option<String>,
    /// A role to assume for this secret.
    pub role: Option<String>,
}

/// Why a reference is refused: what is wrong and what was expected. Quotes only what the config says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing there.
    #[error("is empty; expected vault:PATH, aws-sm:NAME, arn:aws…, file:PATH or a name from `secrets`")]
    Empty,
    /// `xyz:…`.
    #[error("unknown scheme {scheme:?}; expected vault:, aws-sm:, arn:aws… or file:{}", did_you_mean(.nearest))]
    UnknownScheme {
        /// What stood before the first colon.
        scheme: String,
        /// The scheme that is meant, if one is near.
        nearest: Option<&'static str>,
    },
    /// A bare name that `secrets` does not have.
    #[error("no entry {name:?} under `secrets`{}", known_names(.known))]
    UnknownName {
        /// The name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A named secret that already picks a key, and a key again.
    #[error("{0:?} under `secrets` already names a key, so it has no key of its own")]
    KeyOfKey(String),
    /// `#` with nothing behind it.
    #[error("nothing after \"#\"; expected a key, or leave the \"#\" out for the whole secret")]
    EmptyKey,
    /// `vault:` with nothing behind it.
    #[error("the path is empty")]
    EmptyPath,
    /// `/` at an end of the path.
    #[error("the path has a \"/\" at its {0}; leave it out")]
    Slash(&'static str),
    /// `//`, `.` or `..` inside the path.
    #[error("the path has a component that is empty, \".\" or \"..\"")]
    Component,
    /// A path that starts with `v1/`.
    #[error("the path starts with \"v1/\"; give the logical path, as in `vault read`")]
    ApiVersion,
    /// A stray percent sign.
    #[error(
        "a \"%\" in the {0} that is no percent-encoding; in a path only %3F, %23 and %25 are, anything else is written as it is"
    )]
    Percent(&'static str),
    /// A control character or white space at an end.
    #[error("has a control character, or white space at its {0}")]
    Character(&'static str),
    /// `version=` that is no number.
    #[error("version must be a number from 1 up")]
    Version,
    /// A parameter twice.
    #[error("parameter {0:?} stands twice")]
    RepeatedParameter(String),
    /// A parameter without a name.
    #[error("a parameter without a name; expected name=value")]
    NamelessParameter,
    /// `version` next to write parameters.
    #[error("version reads an old version and cannot stand with other parameters, which would make it a write")]
    VersionAndWrite,
    /// A parameter Secrets Manager references do not have.
    #[error("unknown parameter {0:?}; expected stage, version or role")]
    UnknownParameter(String),
    /// An ARN of something else, or cut short.
    #[error(
        "not the ARN of a secret; expected arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key:stage:version]"
    )]
    Arn,
    /// A key in the ARN and one after `#`.
    #[error("names a key twice: in the ARN and after \"#\"")]
    TwoKeys,
    /// `file:` with a relative path.
    #[error("a file: reference needs an absolute path")]
    RelativeFile,
}

fn did_you_mean(scheme: &Option<&'static str>) -> String {
    scheme.map(|scheme| format!(" (did you mean {scheme}?)")).unwrap_or_default()
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() { ", which is empty".to_owned() } else { format!("; it has {}", known.join(", ")) }
}

impl SecretRef {
    /// Parses a reference. `named` answers what the config has under `secrets`; pass an empty map where names are not allowed.
    pub fn parse(text: &str, named: &BTreeMap<String, SecretRef>) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.starts_with(char::is_whitespace) {
            return Err(ReferenceError::Character("start"));
        }
        if text.contains(|c: char| c.is_control()) {
            return Err(ReferenceError::Character("middle"));
        }
        let (place, key) = match text.split_once('#') {
            Some((_, "")) => return Err(ReferenceError::EmptyKey),
            Some((place, key)) => (place, Some(key.to_owned())),
            None => (text, None),
        };
        if place.ends_with(char::is_whitespace) {
            return Err(ReferenceError::Character("end"));
        }
        match place.split_once(':') {
            Some(("vault", rest)) => Ok(Self { source: Source::Vault(vault(rest)?), key }),
            Some(("aws-sm", rest)) => aws(rest, key),
            Some(("arn", _)) => arn(place, AwsParameters::default(), key),
            Some(("file", rest)) => file(rest, key),
            Some((scheme, _)) => {
                Err(ReferenceError::UnknownScheme { scheme: scheme.to_owned(), nearest: near_scheme(scheme) })
            }
            None => by_name(place, key, named),
        }
    }
}

fn near_scheme(scheme: &str) -> Option<&'static str> {
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

fn by_name(name: &str, key: Option<String>, named: &BTreeMap<String, SecretRef>) -> Result<SecretRef, ReferenceError> {
    let Some(entry) = named.get(name) else {
        return Err(ReferenceError::UnknownName { name: name.to_owned(), known: named.keys().cloned().collect() });
    };
    match (&entry.key, key) {
        (Some(_), Some(_)) => Err(ReferenceError::KeyOfKey(name.to_owned())),
        (Some(key), None) => Ok(SecretRef { source: entry.source.clone(), key: Some(key.clone()) }),
        (None, key) => Ok(SecretRef { source: entry.source.clone(), key }),
    }
}

fn vault(text: &str) -> Result<VaultSource, ReferenceError> {
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
        None => VaultOperation::Write(parameters),
        Some(_) if !parameters.is_empty() => return Err(ReferenceError::VersionAndWrite),
        Some(version) => VaultOperation::Read { version: Some(version_number(&version)?) },
    };
    Ok(VaultSource { path, operation })
}

fn version_number(text: &str) -> Result<u32, ReferenceError> {
    match text.parse() {
        Ok(number @ 1..) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(number),
        _ => Err(ReferenceError::Version),
    }
}

fn vault_path(text: &str) -> Result<String, ReferenceError> {
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

/// `a=b&c=d`, percent-decoded; `+` stays (transit ciphertexts are full of it). An empty text has no parameters.
fn query(text: &str) -> Result<BTreeMap<String, String>, ReferenceError> {
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

fn percent_decoded(text: &str) -> Result<String, ReferenceError> {
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

#[derive(Default)]
struct AwsParameters {
    stage: Option<String>,
    version: Option<String>,
    role: Option<String>,
}

fn aws(text: &str, key: Option<String>) -> Result<SecretRef, ReferenceError> {
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
    let id = id.to_owned();
    let AwsParameters { stage, version, role } = found;
    Ok(SecretRef { source: Source::Aws(AwsSource { id, region: None, stage, version, role }), key })
}

/// `arn:PARTITION:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key:stage:version]`, the spelling of an ECS task
/// definition (docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html).
fn arn(text: &str, parameters: AwsParameters, key: Option<String>) -> Result<SecretRef, ReferenceError> {
    // No part of it has white space, and its stage and version have places of their own.
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

fn file(text: &str, key: Option<String>) -> Result<SecretRef, ReferenceError> {
    if !text.starts_with('/') {
        return Err(if text.is_empty() { ReferenceError::EmptyPath } else { ReferenceError::RelativeFile });
    }
    Ok(SecretRef { source: Source::File(PathBuf::from(text)), key })
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        match &self.key {
            Some(key) => write!(f, "#{key}"),
            None => Ok(()),
        }
    }
}

impl Source {
    /// Whether reading it is a write in Vault, which issues something each time.
    pub fn is_write(&self) -> bool {
        matches!(self, Self::Vault(vault) if matches!(vault.operation, VaultOperation::Write(_)))
    }

    /// The whole reference, write parameters included, so that parsing it gives this source again. A ciphertext may
    /// stand in it: for files a person asked for, not for messages ([`fmt::Display`] is).
    pub fn written(&self) -> String {
        let Self::Vault(VaultSource { operation: VaultOperation::Write(parameters), path }) = self else {
            return self.to_string();
        };
        let pairs: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        format!("vault:{}?{}", encoded_path(path), pairs.join("&"))
    }
}

/// What would end a parameter, or is not visible.
const PARAMETER: &percent_encoding::AsciiSet =
    &percent_encoding::CONTROLS.add(b' ').add(b'%').add(b'&').add(b'=').add(b'#').add(b'?');

fn encoded(parameter: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(parameter, PARAMETER)
}

fn encoded_path(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

/// As it is written in a config, parameters sorted. The values of write parameters can be ciphertext, so they are left out.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vault(source) => {
                write!(f, "vault:{}", encoded_path(&source.path))?;
                match &source.operation {
                    VaultOperation::Read { version: None } => Ok(()),
                    VaultOperation::Read { version: Some(version) } => write!(f, "?version={version}"),
                    VaultOperation::Write(parameters) => {
                        let names: Vec<_> = parameters.keys().map(|name| format!("{}=…", encoded(name))).collect();
                        write!(f, "?{}", names.join("&"))
                    }
                }
            }
            Self::Aws(source) => {
                write!(f, "aws-sm:{}", source.id)?;
                let mut mark = '?';
                for (name, value) in [("stage", &source.stage), ("version", &source.version), ("role", &source.role)] {
                    if let Some(value) = value {
                        write!(f, "{mark}{name}={}", encoded(value))?;
                        mark = '&';
                    }
                }
                Ok(())
            }
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SecretRef, ReferenceError> {
        SecretRef::parse(text, &BTreeMap::new())
    }

    #[test]
    fn a_vault_path_and_its_key() {
        let reference = parse("vault:secret/data/api#a.b#c").unwrap();
        assert_eq!(reference.key.as_deref(), Some("a.b#c"));
        assert_eq!(
            reference.source,
            Source::Vault(VaultSource {
                path: "secret/data/api".into(),
                operation: VaultOperation::Read { version: None }
            })
        );
        assert_eq!(parse("vault:kv/a%3Fb%23c%25d").unwrap().to_string(), "vault:kv/a%3Fb%23c%25d");
    }

    #[test]
    fn parameters_make_a_write_but_version_a_read() {
        let operation = |text| match parse(text).unwrap().source {
            Source::Vault(source) => source.operation,
            _ => panic!("not vault"),
        };
        assert_eq!(operation("vault:secret/data/x?version=3"), VaultOperation::Read { version: Some(3) });
        assert_eq!(operation("vault:pki/issue/web?"), VaultOperation::Write(BTreeMap::new()));
        assert_eq!(
            operation("vault:transit/decrypt/k?ciphertext=vault:v1:a+b/c%3D="),
            VaultOperation::Write(BTreeMap::from([("ciphertext".into(), "vault:v1:a+b/c==".into())]))
        );
        assert_eq!(operation("vault:p?b=1&a=2"), operation("vault:p?a=2&b=1"));
    }

    #[test]
    fn the_display_of_a_write_hides_its_parameters() {
        let text = parse("vault:transit/decrypt/k?ciphertext=vault:v1:canary#plaintext").unwrap().to_string();
        assert_eq!(text, "vault:transit/decrypt/k?ciphertext=…#plaintext");
    }

    #[test]
    fn a_written_source_parses_back() {
        for text in [
            "vault:transit/decrypt/k?ciphertext=vault:v1:a+b/c%3D%26%25",
            "vault:pki/issue/web?",
            "vault:a%3Fb?version=2",
            "aws-sm:x?stage=a%26version%3Db",
            "aws-sm:x?role=arn:aws:iam::1:role/%25%0a",
        ] {
            let source = parse(text).unwrap().source;
            assert_eq!(parse(&source.written()).unwrap().source, source, "{text}");
        }
    }

    #[test]
    fn a_parameter_cannot_break_the_line_it_is_shown_in() {
        let shown = |text: &str| parse(text).unwrap().to_string();
        assert_eq!(shown("vault:p?a%0Aerror:%20b%25=1#k"), "vault:p?a%0Aerror:%20b%25=…#k");
        assert_eq!(shown("aws-sm:x?stage=a%0A%26b"), "aws-sm:x?stage=a%0A%26b");
        let role = "aws-sm:x?role=arn:aws:iam::123456789012:role/reader";
        assert_eq!(shown(role), role);
    }

    #[test]
    fn every_spelling_of_a_secrets_manager_secret() {
        let aws = |text: &str| match parse(text).unwrap() {
            SecretRef { source: Source::Aws(source), key } => (source, key),
            _ => panic!("not aws"),
        };
        let (source, key) = aws("aws-sm:prod/stripe?stage=AWSPREVIOUS#key");
        assert_eq!(
            (source.id.as_str(), source.stage.as_deref(), key.as_deref()),
            ("prod/stripe", Some("AWSPREVIOUS"), Some("key"))
        );
        let arn = "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:app-AbCdEf";
        let (source, key) = aws(&format!("{arn}:user::v1"));
        assert_eq!((source.id.as_str(), source.region.as_deref()), (arn, Some("cn-north-1")));
        assert_eq!((source.version.as_deref(), source.stage, key.as_deref()), (Some("v1"), None, Some("user")));
        assert_eq!(aws(arn), aws(&format!("{arn}:::")));
        assert_eq!(aws(arn), aws(&format!("aws-sm:{arn}")));
    }

    #[test]
    fn names_are_looked_up_under_secrets() {
        let named = BTreeMap::from([
            ("db".to_owned(), parse("vault:database/creds/web").unwrap()),
            ("pw".to_owned(), parse("vault:secret/data/x#password").unwrap()),
        ]);
        let by_name = |text| SecretRef::parse(text, &named);
        assert_eq!(by_name("db#username").unwrap().to_string(), "vault:database/creds/web#username");
        assert_eq!(by_name("pw").unwrap().to_string(), "vault:secret/data/x#password");
        assert_eq!(by_name("pw#x").unwrap_err(), ReferenceError::KeyOfKey("pw".into()));
        assert_eq!(by_name("dbx").unwrap_err().to_string(), "no entry \"dbx\" under `secrets`; it has db, pw");
    }

    #[test]
    fn what_is_wrong_is_said() {
        use ReferenceError as E;
        for (text, error) in [
            ("", E::Empty),
            ("vault:", E::EmptyPath),
            ("vault:/secret", E::Slash("start")),
            ("vault:secret/", E::Slash("end")),
            ("vault:v1/secret/data/x", E::ApiVersion),
            ("vault:a/../b", E::Component),
            ("vault:a#", E::EmptyKey),
            ("vault:a%20b", E::Percent("path")),
            ("vault:a?b=%zz", E::Percent("parameters")),
            ("vault:a?version=0", E::Version),
            ("vault:a?version=+1", E::Version),
            ("vault:a?version=1&x=2", E::VersionAndWrite),
            ("vault:a?x=1&x=2", E::RepeatedParameter("x".into())),
            ("vault:a?=1", E::NamelessParameter),
            ("aws-sm:x?region=y", E::UnknownParameter("region".into())),
            ("arn:aws:s3:::bucket", E::Arn),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:x:k#k", E::TwoKeys),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:x?stage=AWSPREVIOUS", E::Arn),
            ("arn:aws:secretsmanager:eu-west-1:1:secret:x :k", E::Arn),
            ("file:relative", E::RelativeFile),
            (" vault:a", E::Character("start")),
            ("vault:a\n", E::Character("middle")),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        let text = parse("openbao:secret/data/x").unwrap_err().to_string();
        assert!(text.ends_with("(did you mean vault:?)"), "{text}");
    }
}
