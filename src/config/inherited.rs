//! Inherited references: variables whose whole value is a reference, as `docker run -e DB=vault:…` and pod specs have them.
//!
//! A value is never quoted: what is no reference may be a secret. And whoever sets one variable of a pod is not whoever
//! wrote the config: such a reference reads with our identity, and can neither write nor have it take another role.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{EnvName, ReferenceError, SecretRef, Source, VaultOperation};

use super::model::{Content, EnvEntry, Inherit};
use super::place::Place;
use super::tree::Mistakes;
use super::value;

/// The entries that inherited references make. A variable that is `taken` by an explicit entry or passed on is left alone.
pub(super) fn entries(
    environment: &[(String, String)],
    inherit: Inherit,
    pass_env: &[String],
    taken: &[EnvEntry],
    mistakes: &mut Mistakes,
) -> Vec<EnvEntry> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = taken.iter().map(|entry| entry.name.as_str()).collect();
    for (name, value) in environment {
        let is_ours = ["VAULT_", "BAO_", "SECRET_EXEC_"].iter().any(|start| name.starts_with(start));
        let is_passed = pass_env.iter().any(|pattern| value::matches(pattern, name));
        let bare = value.trim_start_matches(is_around);
        if is_ours || is_passed || !is_meant(bare, inherit) || !seen.insert(name) {
            continue;
        }
        let place = Place::Variable(name.clone());
        if let Some(why) = near_miss(name, value, bare) {
            mistakes.add(
                &place,
                format!("its value looks like a reference, but {why}; if it is none, name the variable under passEnv"),
            );
            continue;
        }
        let Some(name) = mistakes.take(EnvName::parse(name), &place, "") else { continue };
        match reference(value) {
            Ok(reference) => match beyond_reading(&reference.source) {
                Some(what) => mistakes.add(
                    &place,
                    format!("its value {what}, which a variable alone may not; put it under `env` in the config"),
                ),
                None => {
                    let content = Content::Secret { reference, format: None, decode: None };
                    found.push(EnvEntry { name, content, place });
                }
            },
            Err(why) => mistakes.add(
                &place,
                format!("its value looks like a reference, but {why}; if it is none, name the variable under passEnv"),
            ),
        }
    }
    found
}

/// What may stand around a reference by accident: blanks, quotes that docker's `--env-file` keeps, a byte order mark,
/// characters of no width, and what stands for bytes that are not UTF-8.
fn is_around(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`“”‘’\u{feff}\u{200b}\u{2060}\u{fffd}".contains(c)
}

/// Why a value would reach the app as it is although it was meant as a reference, and how to spell it; `bare` is the value
/// from its scheme on.
fn near_miss(name: &str, value: &str, bare: &str) -> Option<String> {
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Some("the variable's name is not UTF-8".to_owned());
    }
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Some("it has bytes that are not UTF-8; in a path write them as %XX".to_owned());
    }
    let before = &value[..value.len() - bare.len()];
    let spelling = match bare.split(':').next() {
        Some("vault") => "vault:PATH#KEY",
        Some("aws-sm") => "aws-sm:NAME#KEY",
        _ => "arn:…",
    };
    let what = match before.chars().find(|c| !c.is_whitespace()) {
        None if before.is_empty() => return None,
        None => "a leading blank",
        Some('"' | '\'' | '`' | '“' | '”' | '‘' | '’') => "quotes around it (docker's --env-file keeps them)",
        Some(_) => "characters before it that cannot be seen",
    };
    Some(format!("it has {what}; write {name}={spelling} without"))
}

fn reference(value: &str) -> Result<SecretRef, String> {
    // A config may have blanks in a path. A variable has them by accident: the newline of a file it was made from.
    let path = value.split_once('#').map_or(value, |(path, _)| path);
    if value.ends_with(char::is_whitespace) || path.contains(char::is_whitespace) {
        return Err("it has white space at its end or in its path".to_owned());
    }
    SecretRef::parse(value, &BTreeMap::new()).map_err(|error| without_quotes(&error))
}

/// What a source does besides reading with the identity there is.
fn beyond_reading(source: &Source) -> Option<&'static str> {
    match source {
        Source::Vault(vault) => match vault.operation {
            VaultOperation::Write(_) => Some("is a write"),
            VaultOperation::Read { .. } => None,
        },
        Source::Aws(aws) => aws.role.as_ref().map(|_| "names a role"),
        Source::File(_) => None,
    }
}

/// Whether a value is meant as a reference: right or not, it will not reach the app as it is.
fn is_meant(value: &str, inherit: Inherit) -> bool {
    if let Some(path) = value.strip_prefix("vault:") {
        // Transit ciphertext is `vault:v1:…`, with a higher number after a rotation.
        let is_ciphertext = path
            .strip_prefix('v')
            .and_then(|rest| rest.split_once(':'))
            .is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        return inherit.vault && path.contains('#') && !path.starts_with('/') && !is_ciphertext;
    }
    if value.starts_with("aws-sm:") {
        return inherit.aws_sm;
    }
    let mut fields = value.split(':');
    inherit.arn
        && fields.next() == Some("arn")
        && fields.next().is_some_and(|partition| partition.starts_with("aws"))
        && fields.next() == Some("secretsmanager")
}

/// The error without the parts of the value that some of its texts name.
fn without_quotes(error: &ReferenceError) -> String {
    use ReferenceError as E;
    match error {
        E::UnknownParameter(_) => "it has an unknown parameter; expected stage, version or role".to_owned(),
        E::RepeatedParameter(_) => "a parameter stands twice".to_owned(),
        E::UnknownScheme { .. } | E::UnknownName { .. } | E::KeyOfKey(_) => "it is none we know".to_owned(),
        E::Empty
        | E::EmptyKey
        | E::EmptyPath
        | E::Slash(_)
        | E::Component
        | E::ApiVersion
        | E::Percent(_)
        | E::Character(_)
        | E::Version
        | E::NamelessParameter
        | E::VersionAndWrite
        | E::Arn
        | E::TwoKeys
        | E::RelativeFile => error.to_string(),
    }
}
