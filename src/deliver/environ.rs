//! The app's environment: the inherited variables without credentials that are not for the app, and the variables that
//! the config sets.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::domain::{EnvName, Exit, SecretBytes};

/// Variables with these prefixes configure this program or the backend, and are not passed to the app.
const OWN_PREFIXES: &[&str] = &["VAULT_", "BAO_", "SECRET_EXEC_"];

/// Variables that lead an AWS SDK to credentials; a trailing `*` stands for any suffix.
const AWS_CREDENTIALS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_CREDENTIALS_*",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN*",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CREDENTIAL_FILE",
    "AWS_CONFIG_FILE",
];

/// The variable that tells the app the volume's path.
const DIR: &str = "SECRET_EXEC_DIR";

/// Whether AWS credentials in the inherited environment are passed to the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsCredentials {
    /// They are passed on.
    Keep,
    /// They are removed (`scrubAws: true`).
    Scrub,
}

/// The home directory and name of the user that the app runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// `HOME`.
    pub path: PathBuf,
    /// `USER` and `LOGNAME`. `None` for a number without a passwd entry; then the inherited ones, which name another
    /// user, are removed.
    pub user: Option<String>,
}

/// What the app's environment is built from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// Names and values as inherited, in order.
    pub inherited: &'a [(Vec<u8>, Vec<u8>)],
    /// Patterns (`NAME` or `PREFIX*`) of variables that are never removed.
    pub pass_env: &'a [String],
    /// Whether AWS credentials are passed on.
    pub aws: AwsCredentials,
    /// The new user's home and name; `None` when the user does not change.
    pub home: Option<&'a Home>,
    /// The variables that the config sets, including resolved inherited references.
    pub set: Vec<(EnvName, SecretBytes)>,
    /// The volume's path, when there are files.
    pub dir: Option<&'a Path>,
}

/// Why the environment cannot be built. Names the variable, never the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvironError {
    /// The value contains a NUL byte, at which the kernel would end the variable.
    #[error("the value for environment variable {0} holds a NUL byte, which no variable can: deliver it as a file")]
    Nul(EnvName),
    /// The config sets a name twice.
    #[error("environment variable {0} is set twice")]
    Twice(EnvName),
    /// The config sets a name that this program sets.
    #[error("environment variable {0} is set by secret-exec, to the volume's path: choose another name")]
    Reserved(EnvName),
}

impl EnvironError {
    /// The exit code of this error.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Nul(_) => Exit::Data,
            Self::Twice(_) | Self::Reserved(_) => Exit::Usage,
        }
    }
}

/// Builds the app's environment, in order: the inherited variables that are passed on, those of the new user, those
/// that the config sets, and `SECRET_EXEC_DIR`. No name appears twice.
///
/// Of a name that is inherited twice the first value is used, as getenv(3) does.
pub fn plan(sources: Sources<'_>) -> Result<Vec<(Vec<u8>, SecretBytes)>, EnvironError> {
    let Sources { inherited, pass_env, aws, home, set, dir } = sources;
    let mut names: HashSet<&[u8]> = HashSet::with_capacity(set.len());
    for (name, value) in &set {
        if value.expose().contains(&0) {
            return Err(EnvironError::Nul(name.clone()));
        }
        if dir.is_some() && name.as_str() == DIR {
            return Err(EnvironError::Reserved(name.clone()));
        }
        if !names.insert(name.as_str().as_bytes()) {
            return Err(EnvironError::Twice(name.clone()));
        }
    }

    let is_passed = |name: &[u8]| pass_env.iter().any(|pattern| is_match(pattern, name));
    let is_set = |name: &[u8]| names.contains(name);
    let mut added: Vec<(Vec<u8>, SecretBytes)> = Vec::new();
    let mut of_the_old_user: &[&str] = &[];
    if let Some(Home { path, user }) = home {
        of_the_old_user = &["HOME", "USER", "LOGNAME"];
        let values =
            [Some(path.as_os_str().as_bytes()), user.as_deref().map(str::as_bytes), user.as_deref().map(str::as_bytes)];
        for (name, value) in of_the_old_user.iter().zip(values) {
            if let Some(value) = value.filter(|_| !is_passed(name.as_bytes()) && !is_set(name.as_bytes())) {
                added.push((name.as_bytes().to_vec(), SecretBytes::copy_of(value)));
            }
        }
    }

    let is_scrubbed = |name: &[u8]| {
        OWN_PREFIXES.iter().any(|start| name.starts_with(start.as_bytes()))
            || (aws == AwsCredentials::Scrub && AWS_CREDENTIALS.iter().any(|pattern| is_match(pattern, name)))
            || of_the_old_user.iter().any(|other| other.as_bytes() == name)
    };
    let mut environment: Vec<(Vec<u8>, SecretBytes)> = Vec::new();
    let mut kept: HashSet<&[u8]> = HashSet::with_capacity(inherited.len());
    for (name, value) in inherited {
        let is_replaced = is_set(name) || (dir.is_some() && name == DIR.as_bytes());
        let stays = is_passed(name) || !is_scrubbed(name);
        if stays && !name.is_empty() && !is_replaced && kept.insert(name) {
            environment.push((name.clone(), SecretBytes::copy_of(value)));
        }
    }
    environment.append(&mut added);
    environment.extend(set.into_iter().map(|(name, value)| (name.as_str().as_bytes().to_vec(), value)));
    if let Some(dir) = dir {
        environment.push((DIR.as_bytes().to_vec(), SecretBytes::copy_of(dir.as_os_str().as_bytes())));
    }
    Ok(environment)
}

/// Whether `name` matches the pattern `NAME` or `PREFIX*`.
fn is_match(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        text.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    }

    fn nothing(inherited: &[(Vec<u8>, Vec<u8>)]) -> Sources<'_> {
        Sources { inherited, pass_env: &[], aws: AwsCredentials::Keep, home: None, set: Vec::new(), dir: None }
    }

    fn set(pairs: &[(&str, &str)]) -> Vec<(EnvName, SecretBytes)> {
        pairs
            .iter()
            .map(|(name, value)| (EnvName::parse(name).unwrap(), SecretBytes::copy_of(value.as_bytes())))
            .collect()
    }

    fn lines(sources: Sources<'_>) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        plan(sources).unwrap().iter().map(|(name, value)| format!("{}={}", text(name), text(value.expose()))).collect()
    }

    #[test]
    fn credentials_that_are_not_the_apps_are_scrubbed() {
        let inherited = pairs(&[
            ("PATH", "/bin"),
            ("VAULT_TOKEN", "t"),
            ("BAO_ADDR", "a"),
            ("SECRET_EXEC_CONFIG", "c"),
            ("MY_VAULT_TOKEN", "mine"),
            ("VAULT", "v"),
            ("AWS_SECRET_ACCESS_KEY", "k"),
        ]);
        assert_eq!(
            lines(nothing(&inherited)),
            ["PATH=/bin", "MY_VAULT_TOKEN=mine", "VAULT=v", "AWS_SECRET_ACCESS_KEY=k"]
        );
    }

    #[test]
    fn aws_credentials_are_scrubbed_when_they_were_for_us() {
        let inherited = pairs(&[
            ("AWS_ACCESS_KEY_ID", ""),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("AWS_SESSION_TOKEN", ""),
            ("AWS_SECURITY_TOKEN", ""),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", ""),
            ("AWS_ROLE_ARN", ""),
            ("AWS_ROLE_SESSION_NAME", ""),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ""),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", ""),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", ""),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", ""),
            ("AWS_PROFILE", "kept"),
            ("AWS_SHARED_CREDENTIALS_FILE", ""),
            ("AWS_CONFIG_FILE", ""),
            ("AWS_REGION", "eu-west-1"),
        ]);
        let sources = Sources { aws: AwsCredentials::Scrub, pass_env: &["AWS_PROFILE".into()], ..nothing(&inherited) };
        assert_eq!(lines(sources), ["AWS_PROFILE=kept", "AWS_REGION=eu-west-1"]);
    }

    #[test]
    fn what_the_config_passes_is_not_scrubbed() {
        let inherited = pairs(&[("VAULT_ADDR", "a"), ("VAULT_TOKEN", "t"), ("BAO_ADDR", "b")]);
        let sources = Sources { pass_env: &["VAULT_A*".into(), "BAO_ADDR".into()], ..nothing(&inherited) };
        assert_eq!(lines(sources), ["VAULT_ADDR=a", "BAO_ADDR=b"]);
    }

    #[test]
    fn what_the_config_sets_replaces_and_the_volume_comes_last() {
        let inherited = pairs(&[("A", "old"), ("SECRET_EXEC_DIR", "elsewhere"), ("B", "b")]);
        let sources = Sources {
            pass_env: &["*".into()],
            set: set(&[("A", "new"), ("VAULT_TOKEN", "asked for")]),
            dir: Some(Path::new("/v")),
            ..nothing(&inherited)
        };
        assert_eq!(lines(sources), ["B=b", "A=new", "VAULT_TOKEN=asked for", "SECRET_EXEC_DIR=/v"]);
    }

    #[test]
    fn home_and_name_are_the_new_users_unless_told_otherwise() {
        let home = Home { path: "/home/web".into(), user: Some("web".into()) };
        let inherited = pairs(&[("HOME", "/root"), ("USER", "root"), ("LOGNAME", "root")]);
        let web = ["HOME=/home/web", "USER=web", "LOGNAME=web"];
        assert_eq!(lines(Sources { home: Some(&home), ..nothing(&inherited) }), web);
        assert_eq!(lines(Sources { home: Some(&home), ..nothing(&[]) }), web);

        let sources = Sources {
            home: Some(&home),
            pass_env: &["HOME".into()],
            set: set(&[("USER", "me")]),
            ..nothing(&inherited)
        };
        assert_eq!(lines(sources), ["HOME=/root", "LOGNAME=web", "USER=me"]);

        let number = Home { path: "/".into(), user: None };
        assert_eq!(lines(Sources { home: Some(&number), ..nothing(&inherited) }), ["HOME=/"]);
    }

    #[test]
    fn of_a_repeated_name_the_first_value_stays() {
        let inherited = pairs(&[("A", "1"), ("", "nameless"), ("A", "2")]);
        assert_eq!(lines(nothing(&inherited)), ["A=1"]);
    }

    #[test]
    fn values_and_names_that_cannot_be_set_are_refused_by_name() {
        let refused = |set, dir| plan(Sources { set, dir, ..nothing(&[]) }).unwrap_err();
        let nul = refused(set(&[("KEY", "hunter2\0")]), None);
        assert_eq!((nul.exit(), nul.to_string().contains("KEY")), (Exit::Data, true));
        assert!(!format!("{nul} {nul:?}").contains("hunter2"));
        assert_eq!(refused(set(&[("A", "1"), ("A", "2")]), None).exit(), Exit::Usage);
        assert_eq!(refused(set(&[(DIR, "x")]), Some(Path::new("/v"))).exit(), Exit::Usage);
    }
}
