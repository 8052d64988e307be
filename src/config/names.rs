//! The names of single-valued keys outside the file: variable `SECRET_EXEC_VAULT_AUTH_ROLE`, annotation
//! `vault-auth-role`, flag `--set vault.auth.role`.

use super::check::unknown_key;
use super::keys::ROOT;
use super::shape::Shape;
use super::tree::join;

/// The prefix of our variables.
pub(super) const VARIABLES: &str = "SECRET_EXEC_";

/// A key with a single value.
#[derive(Debug, Clone)]
pub(super) struct Single {
    /// The path from the root.
    pub(super) path: Vec<&'static str>,
}

/// Every key with a single value, in the order of the description.
pub(super) fn singles() -> Vec<Single> {
    /// Collects the paths of all keys with a single value.
    fn walk(shape: &'static Shape, path: &mut Vec<&'static str>, found: &mut Vec<Single>) {
        if shape.is_single() {
            found.push(Single { path: path.clone() });
        }
        for field in shape.fields() {
            path.push(field.name);
            walk(&field.shape, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(&ROOT, &mut Vec::new(), &mut found);
    found
}

impl Single {
    /// The name of its variable: `SECRET_EXEC_VAULT_AUTH_TOKEN_FILE`.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLES}{}", words(&self.path, '_').to_ascii_uppercase())
    }

    /// The name of its flag and annotation: `vault-auth-token-file`.
    pub(super) fn kebab(&self) -> String {
        kebab(&self.path)
    }
}

/// Converts `["vault", "tokenFile"]` to `vault-token-file`.
pub(super) fn kebab(path: &[&str]) -> String {
    words(path, '-')
}

/// Converts `["vault", "tokenFile"]` to lower-case words, separated by `mark`.
fn words(path: &[&str], mark: char) -> String {
    let mut out = String::new();
    for (at, name) in path.iter().enumerate() {
        if at > 0 {
            out.push(mark);
        }
        for c in name.chars() {
            if c.is_ascii_uppercase() {
                out.push(mark);
            }
            out.push(c.to_ascii_lowercase());
        }
    }
    out
}

/// Finds the key of `--set KEY=…`. A name under `files`, `env` or `secrets` may contain dots; quotes can delimit it.
pub(super) fn locate(text: &str) -> Result<(Vec<String>, &'static Shape), String> {
    let mut shape = &ROOT;
    let mut path = Vec::new();
    let mut shown = String::new();
    let mut rest = Some(text);
    while let Some(text) = rest {
        let (key, tail) = match shape {
            Shape::Map { value, .. } => user_name(text, value)?,
            _ if shape.fields().is_empty() => return Err(format!("{shown} is set as a whole; it has no keys")),
            _ => text.split_once('.').map_or((text, None), |(key, tail)| (key, Some(tail))),
        };
        let Some(below) = shape.under(key) else {
            return Err(unknown_key(key, &shape.fields(), &shown));
        };
        shown = join(&shown, key);
        path.push(key.to_owned());
        shape = below;
        rest = tail;
    }
    Ok((path, shape))
}

/// Splits a user-defined name from the field after it, which is the last part if that is a known field.
fn user_name<'a>(text: &'a str, value: &Shape) -> Result<(&'a str, Option<&'a str>), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"').ok_or("a quote that does not end")?;
        return match rest.strip_prefix('.') {
            Some(rest) => Ok((name, Some(rest))),
            None if rest.is_empty() => Ok((name, None)),
            None => Err("expected a dot after the closing quote".to_owned()),
        };
    }
    match text.rsplit_once('.') {
        Some((name, field)) if value.fields().iter().any(|known| known.name == field) => Ok((name, Some(field))),
        _ => Ok((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_has_one_name_of_each_kind() {
        let singles = singles();
        let variables: BTreeSet<_> = singles.iter().map(Single::variable).collect();
        let kebabs: BTreeSet<_> = singles.iter().map(Single::kebab).collect();
        assert_eq!((variables.len(), kebabs.len()), (singles.len(), singles.len()));
        for name in [
            "VAULT_AUTH_ROLE",
            "VAULT_AUTH_TOKEN_FILE",
            "VAULT_CA_FILE",
            "RUN_AS",
            "LEAVE_LEASES",
            "ON_CHANGE",
            "VOLUME",
            "VOLUME_PATH",
            "REFRESH",
            "TIMEOUT",
            "LOG_LEVEL",
            "AWS_ASSUME_ROLE",
        ] {
            assert!(variables.contains(&format!("SECRET_EXEC_{name}")), "{name}: {variables:?}");
        }
        assert!(kebabs.contains("vault-auth-token-file") && kebabs.contains("run-as") && kebabs.contains("volume"));
        assert!(!variables.contains("SECRET_EXEC_PASS_ENV") && !variables.contains("SECRET_EXEC_FILES"));
    }

    #[test]
    fn set_finds_keys_whose_names_have_dots() {
        let path = |text: &str| locate(text).map(|(path, _)| path.join("|"));
        assert_eq!(path("vault.auth.role"), Ok("vault|auth|role".into()));
        assert_eq!(path("files.db.env"), Ok("files|db.env".into()));
        assert_eq!(path("files.db.env.mode"), Ok("files|db.env|mode".into()));
        assert_eq!(path("files.\"a.mode\""), Ok("files|a.mode".into()));
        assert_eq!(path("files.\"a.mode\".mode"), Ok("files|a.mode|mode".into()));
        assert_eq!(path("files"), Ok("files".into()));
        assert_eq!(path("vault.auth.rol"), Err("unknown key \"rol\" in vault.auth; did you mean \"role\"?".into()));
        assert!(path("local").unwrap_err().contains("--local"));
        assert!(path("timeout.x").unwrap_err().contains("no keys"));
        for bad in ["", ".", "vault.", "vault..auth", "files.\"a", "files.\"a\"b"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
