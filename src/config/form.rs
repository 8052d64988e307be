//! The forms of single values: how each is validated and described. `patterns` converts them to JSON Schema.

use crate::domain::{FileMode, Owner, RunAs};

use super::tree::{Style, Text};
use super::{action, net, value};

/// The syntax of a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A short string without control characters.
    Plain,
    /// Any string, such as a template.
    Any,
    /// An argument of a command.
    Argument,
    /// PEM certificates.
    Certificates,
    /// `true` or `false`.
    Bool,
    /// `5m`.
    Duration,
    /// A percentage of a lifetime, from 30% to 80%.
    RenewalAt,
    /// A percentage of a lifetime, from 5% to 20%.
    RenewalJitter,
    /// A duration from 10 s to 1 h.
    HandOver,
    /// `8Mi`.
    Size,
    /// `"0440"`.
    Mode,
    /// A reference. It is parsed in the merged tree, where the names of `secrets` are known.
    Reference,
    /// `USER[:GROUP]`.
    RunAs,
    /// `UID:GID`, `UID` or `:GID`.
    Owner,
    /// A gid other than 0.
    Gid,
    /// A Kubernetes quantity.
    Amount,
    /// A path.
    Path,
    /// An absolute path of a directory.
    Directory,
    /// `https://HOST:PORT`.
    Address,
    /// `http://HOST:PORT`.
    Proxy,
    /// A host name.
    Host,
    /// `HOST[:PORT],HOST[:PORT]`.
    Hosts,
    /// `HOST:PORT`.
    Listen,
    /// A URL to notify.
    Url,
    /// A Vault namespace.
    Namespace,
    /// An auth mount.
    Mount,
    /// An AWS region.
    Region,
    /// The ARN of a role.
    RoleArn,
    /// One of these words.
    Words(&'static [&'static str]),
    /// `vault,aws-sm,arn` or `none`.
    Inherit,
    /// The short form of an action.
    Action,
    /// `HUP`.
    Signal,
    /// The name of a process.
    Process,
    /// A variable's name, or `PREFIX*`.
    Pattern,
    /// The prefix of variable names.
    Prefix,
}

impl Form {
    /// Validates a value. The message does not quote it, unless it is a mode.
    pub(super) fn check(self, text: &Text) -> Result<(), String> {
        let is_plain_word = text.style == Style::Plain;
        match self {
            Self::Prefix if text.text.is_empty() => {}
            _ if text.is_null() || (text.text.is_empty() && !matches!(self, Self::Any | Self::Argument)) => {
                return Err(format!("is empty; expected {}, or leave the key out", self.expected()));
            }
            Self::Bool if text.style == Style::Quoted => {
                return Err("expected true or false, without quotes".to_owned());
            }
            Self::Mode if is_plain_word => return Err(unquoted_mode(&text.text)),
            Self::Plain | Self::Any | Self::Argument
                if is_plain_word && matches!(text.text.as_str(), "true" | "false") =>
            {
                return Err("expected a text, not true or false; if it is meant, put it in quotes".to_owned());
            }
            _ => {}
        }
        self.check_text(&text.text)
    }

    /// Validates the text of a value.
    fn check_text(self, text: &str) -> Result<(), String> {
        match self {
            Self::Plain | Self::Amount => value::plain(text).map(drop),
            Self::Any | Self::Argument | Self::Reference => Ok(()),
            Self::Certificates => value::certificates(text).map(drop),
            Self::Bool => value::boolean(text).map(drop),
            Self::Duration => value::duration(text).map(drop),
            Self::RenewalAt => value::renewal_at(text).map(drop),
            Self::RenewalJitter => value::renewal_jitter(text).map(drop),
            Self::HandOver => value::hand_over(text).map(drop),
            Self::Size => value::size(text).map(drop),
            Self::Mode => FileMode::parse(text).map(drop).map_err(|error| error.to_string()),
            Self::RunAs => RunAs::parse(text).map(drop).map_err(|error| error.to_string()),
            Self::Owner => Owner::parse(text).map(drop).map_err(|error| error.to_string()),
            Self::Gid => value::gid(text).map(drop),
            Self::Path => value::path(text).map(drop),
            Self::Directory => value::directory(text).map(drop),
            Self::Address => net::address(text).map(drop),
            Self::Proxy => net::proxy(text).map(drop),
            Self::Host => net::host(text).map(drop),
            Self::Hosts => net::hosts(text).map(drop),
            Self::Listen => net::listen(text).map(drop),
            Self::Url => net::notify(text).map(drop),
            Self::Namespace => value::namespace(text).map(drop),
            Self::Mount => value::mount(text).map(drop),
            Self::Region => value::region(text).map(drop),
            Self::RoleArn => value::role_arn(text).map(drop),
            Self::Words(words) if words.contains(&text) => Ok(()),
            Self::Words(_) => Err(format!("expected {}", self.expected())),
            Self::Inherit => value::inherit(text).map(drop),
            Self::Action => action::action(text).map(drop),
            Self::Signal => action::signal(text).map(drop),
            Self::Process => action::process(text).map(drop),
            Self::Pattern => value::pattern(text).map(drop),
            Self::Prefix => value::prefix(text).map(drop),
        }
    }

    /// The expected syntax, to follow the word "expected".
    pub(super) fn expected(self) -> String {
        let text = match self {
            Self::Plain | Self::Any | Self::Argument => "a text",
            Self::Certificates => "PEM text",
            Self::Bool => "true or false",
            Self::Duration => "a duration, such as 60s or 5m",
            Self::RenewalAt => "a share of a life from 30% to 80%",
            Self::RenewalJitter => "a share of a life from 5% to 20%",
            Self::HandOver => "a duration from 10s to 1h",
            Self::Size => "a size, such as 8Mi",
            Self::Mode => "a mode in quotes, such as \"0440\"",
            Self::Reference => "a reference, such as vault:PATH#KEY",
            Self::RunAs => "USER[:GROUP], such as \"1000:1000\"",
            Self::Owner => "UID:GID, UID or :GID, such as \"1000:1000\"",
            Self::Gid => "a gid that is not 0, such as 64123",
            Self::Amount => "an amount, such as 32Mi",
            Self::Path => "a path",
            Self::Directory => "an absolute path",
            Self::Address => "an address, such as https://vault.example.com:8200",
            Self::Proxy => "an address, such as http://proxy.example.com:3128",
            Self::Host => "the name of a host",
            Self::Hosts => "hosts, such as vault-0.vault-internal:8200, vault-1.vault-internal:8200",
            Self::Listen => "HOST:PORT",
            Self::Url => "a URL",
            Self::Namespace => "a namespace",
            Self::Mount => "an auth mount, such as kubernetes",
            Self::Region => "an AWS region, such as eu-west-1",
            Self::RoleArn => "the ARN of a role",
            Self::Words(words) => return alternatives(words),
            Self::Inherit => "none, or some of vault,aws-sm,arn,bank-vaults",
            Self::Action => return action::EXPECTED.trim_start_matches("expected ").to_owned(),
            Self::Signal => "a signal, such as HUP",
            Self::Process => "the name of a process",
            Self::Pattern => "the name of a variable, or PREFIX*",
            Self::Prefix => "a prefix, such as APP_",
        };
        text.to_owned()
    }

    /// Example values; empty where every string is valid, or for a list of words.
    pub(super) fn examples(self) -> &'static [&'static str] {
        match self {
            Self::Duration => &["60s", "5m", "1h30m"],
            Self::RenewalAt => &["66%"],
            Self::RenewalJitter => &["10%"],
            Self::HandOver => &["5m"],
            Self::Size => &["8Mi"],
            Self::Mode => &["0440"],
            Self::Reference => &[
                "vault:secret/data/db#password",
                "vault:database/creds/web",
                "aws-sm:prod/stripe#key",
                "file:/run/secrets/token",
            ],
            Self::RunAs => &["1000:1000", "app"],
            Self::Owner => &["1000:1000", ":64123"],
            Self::Gid => &["64123"],
            Self::Amount => &["5m", "32Mi"],
            Self::Directory => &["/run/secret-exec/files"],
            Self::Address => &["https://vault.example.com:8200"],
            Self::Proxy => &["http://proxy.example.com:3128"],
            Self::Host => &["vault.example.com"],
            Self::Hosts => &["vault-0.vault-internal:8200, vault-1.vault-internal:8200"],
            Self::Listen => &["0.0.0.0:9102"],
            Self::Url => &["http://127.0.0.1:8080/reload"],
            Self::Namespace => &["team-a"],
            Self::Mount => &["kubernetes"],
            Self::Region => &["eu-west-1"],
            Self::RoleArn => &["arn:aws:iam::123456789012:role/reader"],
            Self::Inherit => &["vault,aws-sm", "none"],
            Self::Action => &["signal:HUP", "restart"],
            Self::Signal => &["HUP"],
            Self::Process => &["nginx"],
            Self::Pattern => &["VAULT_*"],
            Self::Prefix => &["APP_"],
            Self::Plain
            | Self::Any
            | Self::Argument
            | Self::Certificates
            | Self::Bool
            | Self::Path
            | Self::Words(_) => &[],
        }
    }
}

/// The message about a mode without quotes.
fn unquoted_mode(text: &str) -> String {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let shown = match is_number {
        true if text.len() == 3 => format!("0{text}"),
        true => text.to_owned(),
        false => "0440".to_owned(),
    };
    format!("a bare number is read differently by different YAML readers; expected quotes: mode: \"{shown}\"")
}

/// Joins words as `a, b or c`.
pub(super) fn alternatives(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
