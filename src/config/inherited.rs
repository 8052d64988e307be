//! Inherited references: environment variables whose whole value is a reference, as set by `docker run -e DB=vault:…`
//! or in pod specs.
//!
//! Values are never quoted in messages: one that is no reference may be a secret. Someone who may set a pod's variable
//! did not write the config: such a reference reads with our identity, so it can neither write nor assume a role.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{EnvName, SecretRef, Source, VaultOperation, with_clause};

use super::annotations::PREFIX;
use super::bank_vaults;
use super::behind::option_behind;
use super::flags::PINNED;
use super::layer::Annotations;
use super::layers::Layers;
use super::loose::{is_around, without_quotes};
use super::model::{Content, EnvEntry, Inherit};
use super::place::{ConfigError, Place};
use super::tree::ConfigErrors;
use super::value;

/// The entries for inherited references. Variables that the config sets (`taken`) or passes on unchanged are skipped.
pub(super) fn entries(
    environment: &[(String, String)],
    inherit: Inherit,
    pass_env: &[String],
    taken: &[EnvEntry],
    mistakes: &mut ConfigErrors,
) -> Vec<EnvEntry> {
    let mut found = Vec::new();
    let mut seen: BTreeSet<&str> = taken.iter().map(|entry| entry.name.as_str()).collect();
    for (name, value) in environment {
        let is_token = inherit.bank_vaults && bank_vaults::is_token(name, value);
        if (is_own_name(name) && !is_token) || pass_env.iter().any(|pattern| value::matches(pattern, name)) {
            continue;
        }
        if value.len() >= MOST_VALUE_BYTES {
            if let Some(why) = too_long(value, inherit) {
                mistakes.add(&Place::Variable(name.clone()), why);
            }
            continue;
        }
        let bare = value.trim_start_matches(is_around);
        if is_sentence(bare) {
            continue;
        }
        let foreign = if inherit.vault { bank_vaults::form(value) } else { None };
        let misspelled = misspelled(value, inherit);
        let is_template = is_template(value, inherit);
        let is_meant = is_meant(bare, inherit) || foreign.is_some() || misspelled.is_some() || is_template;
        if !is_meant || !seen.insert(name) {
            continue;
        }
        let place = Place::Variable(name.clone());
        let why = if is_template { Some(misplaced_template(name)) } else { misspelled.map(as_misspelled) };
        if let Some(why) = why {
            mistakes.add(&place, looks_like(why));
            continue;
        }
        if let (true, Some(made)) = (inherit.bank_vaults, bank_vaults::content(value)) {
            let made = made.map_err(|why| looks_like(why.replace("as NAME: {", &format!("as {name}: {{"))));
            let name = mistakes.take(EnvName::parse(name), &place, "");
            if let (Some(name), Some(content)) = (name, mistakes.take(made, &place, "")) {
                found.push(EnvEntry { name, content, place });
            }
            continue;
        }
        if let (Some(spelling), false) = (foreign, value.contains(char::REPLACEMENT_CHARACTER)) {
            mistakes.add(&place, looks_like(format!("it is spelled as bank-vaults does; write {spelling}")));
            continue;
        }
        if let Some(why) = near_miss(name, value, bare) {
            mistakes.add(&place, looks_like(why));
            continue;
        }
        let Some(name) = mistakes.take(EnvName::parse(name), &place, "") else { continue };
        if let Some(reference) = mistakes.take(parse_read_only(&name, value), &place, "") {
            found.push(EnvEntry { name, content: Content::Secret { reference, format: None, decode: None }, place });
        }
    }
    found
}

/// Parses a reference that a variable may have: one that only reads.
fn parse_read_only(name: &EnvName, value: &str) -> Result<SecretRef, String> {
    if let Some(option) = option_behind(value) {
        let entry = format!("{name}: {{ from: REF, {} }}", option.field());
        return Err(looks_like(format!(
            "{option} stands behind it, which belongs under `env` in the config, as {entry}"
        )));
    }
    let reference = reference(name, value).map_err(looks_like)?;
    match extra_effect(&reference.source) {
        Some(what) => {
            Err(format!("its value {what}, which a variable alone may not; put it under `env` in the config"))
        }
        None => Ok(reference),
    }
}

/// The limit of the kernel for a variable with its name (`MAX_ARG_STRLEN`, execve(2)). Larger values exist in manifests
/// only.
const MOST_VALUE_BYTES: usize = 128 << 10;

/// Whether the variable configures this program or Vault's clients.
fn is_own_name(name: &str) -> bool {
    ["VAULT_", "BAO_", "SECRET_EXEC_"].iter().any(|start| name.starts_with(start))
}

/// The message about a value that is too long for a variable, if it may be meant as a reference.
fn too_long(value: &str, inherit: Inherit) -> Option<String> {
    let is_meant = (inherit.vault || inherit.bank_vaults) && (value.contains("vault:") || value.contains("bao:"));
    let why = || format!("it has {} bytes, and a variable holds less than {MOST_VALUE_BYTES}", value.len());
    is_meant.then(|| looks_like(why()))
}

/// The message about a value that resembles a reference.
fn looks_like(why: String) -> String {
    let text = format!("its value looks like a reference, but {why}");
    with_clause(&text, "if it is none, name the variable under passEnv")
}

/// A mistake about a variable in the words of whoever can mend it. A pod's author has no command line and no config file: at
/// admission the hints name annotations, and in a container that may be an injected one (`--pinned`) they name both.
pub(super) fn hinted(mistake: &ConfigError, layers: &Layers<'_>) -> String {
    let name = match &mistake.place {
        Place::Variable(name) if !name.contains(char::REPLACEMENT_CHARACTER) => name,
        _ => "NAME",
    };
    let hints = [
        ("name the variable under passEnv", format!("{PREFIX}config: \"passEnv: [{name}]\"")),
        ("--inherit bank-vaults", format!("{PREFIX}inherit: bank-vaults")),
    ];
    let is_admission = matches!(layers.annotations, Some(Annotations::Admitted(..)));
    let may_be_injected = layers.flags.iter().any(|flag| flag.name == PINNED);
    let mut text = mistake.text.clone();
    for (hint, annotation) in hints {
        if is_admission {
            text = text.replace(hint, &format!("say {annotation}"));
        } else if may_be_injected {
            text = text.replace(hint, &format!("{hint} (as an annotation, {annotation})"));
        }
    }
    if is_admission {
        text = text.replace("under `env` in the config", "under `env`");
        text = text.replace("under `env`", &format!("under `env` in {PREFIX}config"));
    }
    text
}

/// Whether a value is a reference in any supported form, or was probably meant as one.
pub fn is_near_reference(value: &str) -> bool {
    let bare = value.trim_start_matches(is_around);
    if is_sentence(bare) {
        return false;
    }
    let inherit = Inherit { vault: true, aws_sm: true, arn: true, bank_vaults: false };
    is_meant(bare, inherit)
        || bank_vaults::form(value).is_some()
        || misspelled(value, inherit).is_some()
        || is_template(value, inherit)
}

/// Whether a value that begins like a reference is a sentence: `vault: fix the login (#12)`, `vault:fix#12`. A path may
/// contain a blank by accident; a sentence has several words, begins after a blank, or names an issue: a number or a
/// bracket, which no key of a path without a slash is (Vault has no secret there).
fn is_sentence(bare: &str) -> bool {
    let Some((scheme, rest)) = bare.split_once(':') else { return false };
    let (path, key) = rest.split_once('#').unwrap_or((rest, ""));
    let words = path.split_whitespace().count();
    let begins_behind_blank = path.starts_with(char::is_whitespace);
    let is_in_bracket = rest.contains('#') && path.ends_with(['(', '[', '{']);
    let scheme = scheme.trim_start_matches(|c: char| c == '>' || c.is_whitespace()).trim_end();
    match scheme.to_ascii_lowercase().as_str() {
        "aws-sm" => {
            let is_issue = is_in_bracket || (path.ends_with(char::is_whitespace) && is_number(key));
            words > 2 || (words == 2 && (begins_behind_blank || is_issue))
        }
        "vault" | "bao" => {
            let is_issue = !path.contains('/') && (is_in_bracket || is_number(key));
            let is_text = words > 2 && !first_word(path).contains('/');
            let goes_on = begins_behind_blank && key.trim().contains(char::is_whitespace) && !path.contains('/');
            is_issue || goes_on || (words > 1 && (begins_behind_blank || is_in_bracket || is_text))
        }
        _ => false,
    }
}

/// Whether a text begins with a number as prose has it: `12`, `12)`, `3, #4`.
fn is_number(text: &str) -> bool {
    let behind = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let ends = |c: char| c.is_whitespace() || ",.;:!?)]}".contains(c) || is_around(c);
    behind.len() < text.len() && (behind.is_empty() || behind.starts_with(ends))
}

/// The first word of a text; empty if there is none.
fn first_word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// The correct spelling of a reference whose scheme is misspelled, in other letter case or followed by slashes, or that
/// stands in another tool's brackets.
fn misspelled(value: &str, inherit: Inherit) -> Option<&'static str> {
    let bare = value.trim_matches(is_around);
    if let Some(spelling) = bank_vaults::misspelled(bare, inherit.bank_vaults).filter(|_| inherit.vault) {
        return Some(spelling);
    }
    if let Some(spelling) = wrapped(bare, inherit) {
        return Some(spelling);
    }
    let (scheme, rest) = bare.split_once(':')?;
    let exact = scheme;
    let scheme = scheme.trim_end().to_ascii_lowercase();
    let is_path = rest.contains('#') && !bank_vaults::is_ciphertext(rest);
    // Behind a blank there may be prose or a value of the app's own.
    let is_other = exact != scheme && (!rest.starts_with(char::is_whitespace) || is_path_with_key(rest.trim()));
    match (scheme.as_str(), rest.strip_prefix('/')) {
        ("aws-sm", Some(rest)) => {
            let is_url = inherit.aws_sm && rest.starts_with('/') && rest.len() > 1;
            is_url.then_some("aws-sm:NAME#KEY, without the slashes")
        }
        ("vault" | "bao", Some(rest)) => {
            (inherit.vault && rest.starts_with('/') && is_path).then_some("vault:PATH#KEY, without the slashes")
        }
        ("vault" | "bao", None) if is_other => (inherit.vault && is_path).then_some("vault:PATH#KEY"),
        ("aws-sm", None) if is_other => (inherit.aws_sm && !rest.trim().is_empty()).then_some("aws-sm:NAME#KEY"),
        ("arn", _) if exact != scheme => is_meant(&format!("arn:{rest}"), inherit).then_some("arn:… in small letters"),
        // Other names are another tool's, unless they are followed by all that a reference of ours has.
        ("valut" | "vualt" | "vautl" | "valt" | "vlt" | "openbao", None) => {
            let is_whole = is_path && rest.contains('/') && !rest.contains(char::is_whitespace);
            (inherit.vault && is_whole).then_some("vault:PATH#KEY")
        }
        ("awssm" | "aws_sm" | "asw-sm" | "aws-ms", None) => {
            let is_whole = is_path && !rest.contains(char::is_whitespace);
            (inherit.aws_sm && is_whole).then_some("aws-sm:NAME#KEY")
        }
        _ => None,
    }
}

/// Whether a text is one word `X/Y#KEY` and no URL.
fn is_path_with_key(text: &str) -> bool {
    let Some((path, key)) = text.split_once('#') else { return false };
    let is_path = path.contains('/') && !path.contains("//") && !path.ends_with('/');
    is_path && !key.is_empty() && !text.contains(char::is_whitespace)
}

/// Why a template in the variable is a mistake.
fn misplaced_template(name: &str) -> String {
    format!("it is a template, which belongs under `env` in the config, as {name}: {{ template: … }}")
}

/// Why a reference with another spelling is a mistake.
fn as_misspelled(spelling: &str) -> String {
    format!("it is misspelled; write {spelling}")
}

/// Whether a value is a template of ours with references; a sentence about one is none.
fn is_template(value: &str, inherit: Inherit) -> bool {
    let mut calls = value.match_indices("secret(").map(|(at, call)| value[at + call.len()..].trim_start());
    value.contains("{{")
        && calls.any(|argument| {
            let argument = argument.strip_prefix(['"', '\'']).unwrap_or_default();
            (inherit.vault && argument.starts_with("vault:")) || (inherit.aws_sm && argument.starts_with("aws-sm:"))
        })
        && !has_prose(value.trim_matches(is_around))
}

/// Whether a template has words and blanks beside its tags; text without blanks may be glued to them.
fn has_prose(template: &str) -> bool {
    let closing = |tag: &str| match tag.as_bytes().get(1)? {
        b'{' => Some("}}"),
        b'%' => Some("%}"),
        b'#' => Some("#}"),
        _ => None,
    };
    let is_prose = |text: &str| !text.trim().is_empty() && text.contains(char::is_whitespace);
    let mut rest = template;
    loop {
        let mut tags = rest.match_indices('{').map(|(at, _)| at);
        let next = tags.find_map(|at| Some((at, closing(&rest[at..])?)));
        let Some((at, close)) = next else { return is_prose(rest) };
        if is_prose(&rest[..at]) {
            return true;
        }
        let Some(end) = rest[at + 2..].find(close) else { return false };
        rest = &rest[at + 2 + end + 2..];
    }
}

/// The correct spelling of a reference in brackets or behind a sign, such as `{{ vault:PATH#KEY }}`, `$(vault:PATH#KEY)` or
/// `@vault:PATH#KEY`.
fn wrapped(bare: &str, inherit: Inherit) -> Option<&'static str> {
    const BRACKETS: [(char, char); 4] = [('{', '}'), ('(', ')'), ('<', '>'), ('[', ']')];
    let mut inner = bare.trim_start_matches(['$', '%', '@', '#', '!', '&']);
    while let Some((_, close)) = BRACKETS.into_iter().find(|(open, _)| inner.starts_with(*open)) {
        inner = inner[1..].strip_suffix(close)?.trim();
    }
    // Without a key, `@aws-sm:team` may be anything.
    let is_whole = inner.len() < bare.len()
        && (!inner.starts_with("aws-sm:") || inner.contains('#'))
        && !inner.contains(char::is_whitespace)
        && !is_sentence(inner);
    if !is_whole || bank_vaults::form(bare).is_some() || !is_meant(inner, inherit) {
        return None;
    }
    match inner.split(':').next() {
        Some("aws-sm") => Some("aws-sm:NAME#KEY, without what stands around it"),
        Some("arn") => Some("arn:…, without what stands around it"),
        _ => Some("vault:PATH#KEY, without what stands around it"),
    }
}

/// The form of a reference with the scheme of this text.
fn spelling(text: &str) -> &'static str {
    match text.split(':').next() {
        Some("vault") => "vault:PATH#KEY",
        Some("aws-sm") => "aws-sm:NAME#KEY",
        _ => "arn:…",
    }
}

/// Why a value would be passed to the app unchanged although it was meant as a reference, and how to write it; `bare`
/// is the value from its scheme on.
fn near_miss(name: &str, value: &str, bare: &str) -> Option<String> {
    if name.contains(char::REPLACEMENT_CHARACTER) {
        return Some("the variable's name is not UTF-8".to_owned());
    }
    if value.contains(char::REPLACEMENT_CHARACTER) {
        return Some("it has bytes that are not UTF-8, which no reference has".to_owned());
    }
    let before = &value[..value.len() - bare.len()];
    let spelling = spelling(bare);
    let what = match before.chars().find(|c| !c.is_whitespace()) {
        None if before.is_empty() => return None,
        None => "a leading blank",
        Some('"' | '\'' | '`' | '“' | '”' | '‘' | '’') => "quotes around it (docker's --env-file keeps them)",
        Some(_) => "characters before it that cannot be seen",
    };
    Some(format!("it has {what}; write {name}={spelling} without"))
}

/// Parses the value of a variable as a reference.
fn reference(name: &EnvName, value: &str) -> Result<SecretRef, String> {
    // White space in a path is valid in a config, but in a variable it is probably accidental, such as the final
    // newline of a file.
    let path = value.split_once('#').map_or(value, |(path, _)| path);
    let spelling = spelling(value);
    if path.trim_end().contains(char::is_whitespace) {
        return Err(format!(
            "it has white space in its path; write {name}={spelling} without (a path that has a blank belongs under `env` in the \
             config)"
        ));
    }
    if value.ends_with(char::is_whitespace) || path.ends_with(char::is_whitespace) {
        let place = if value.ends_with(char::is_whitespace) { "at its end" } else { "before its \"#\"" };
        return Err(format!("it has white space {place}; write {name}={spelling} without"));
    }
    SecretRef::parse(value, &BTreeMap::new()).map_err(|error| without_quotes(&error))
}

/// What a source does besides reading with our own identity.
fn extra_effect(source: &Source) -> Option<&'static str> {
    match source {
        Source::Vault(vault) => match vault.operation {
            VaultOperation::Write(_) => Some("is a write"),
            VaultOperation::Read { .. } => None,
        },
        Source::Aws(aws) => aws.role.as_ref().map(|_| "names a role"),
        Source::File(_) => None,
    }
}

/// Whether a value is meant as a reference, valid or not, and must not be passed to the app unchanged.
fn is_meant(value: &str, inherit: Inherit) -> bool {
    if let Some(path) = value.strip_prefix("vault:") {
        return inherit.vault && path.contains('#') && !path.starts_with('/') && !bank_vaults::is_ciphertext(path);
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
