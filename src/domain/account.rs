//! Users and groups as a config writes them: `USER`, `USER:GROUP`, `UID:GID`, `:GID`. Text of digits only is always
//! a number.
//!
//! Numbers are parsed strictly, unlike elsewhere: `su-exec 4294967296` runs as uid 0, and `-2` becomes 4294967294.
//! Here both are errors.

use std::fmt;

/// A user or group: by number, or by its name in the container's `/etc/passwd` or `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// A uid or gid, at most 2^32−2 (2^32−1 means "unchanged" to the kernel).
    Id(u32),
    /// A name to look up.
    Name(String),
}

/// Why a user or group is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The text is empty.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// A number above 2^32−2.
    #[error("the {kind} {text:?} is above 4294967294")]
    TooLarge {
        /// `user` or `group`.
        kind: &'static str,
        /// As written.
        text: String,
    },
    /// Neither a name nor a plain decimal number.
    #[error("the {kind} {text:?} is neither a name nor a plain decimal number")]
    Malformed {
        /// `user` or `group`.
        kind: &'static str,
        /// As written.
        text: String,
    },
}

impl Account {
    /// Parses a number or a name. `kind` is `user` or `group`, for messages.
    fn parse(text: &str, kind: &'static str) -> Result<Self, AccountError> {
        if text.is_empty() {
            return Err(AccountError::Empty(kind));
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse::<u32>() {
                Ok(id) if id < u32::MAX => Ok(Self::Id(id)),
                _ => Err(AccountError::TooLarge { kind, text: text.to_owned() }),
            };
        }
        // A name may begin with a digit. Whether it exists is found out in /etc/passwd.
        let starts_like_a_name = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-$@\\".contains(&b));
        if starts_like_a_name && is_name {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(AccountError::Malformed { kind, text: text.to_owned() })
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// `runAs`: the user and group that the app runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// The user.
    pub user: Account,
    /// The only group (`u:g`); `None` means the user's own groups.
    pub group: Option<Account>,
}

impl RunAs {
    /// Parses `USER[:GROUP]`.
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(Account::parse(group, "group")?)),
            None => (text, None),
        };
        Ok(Self { user: Account::parse(user, "user")?, group })
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.user)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

/// `volume.owner`: user and group of the files; at least one of the two is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The user; `None` keeps that of the writing process.
    pub user: Option<Account>,
    /// The group; if given, it may read the files.
    pub group: Option<Account>,
}

impl Owner {
    /// Parses `UID:GID`, `UID` or `:GID` (names too).
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        if let Some(group) = text.strip_prefix(':') {
            return Ok(Self { user: None, group: Some(Account::parse(group, "group")?) });
        }
        let RunAs { user, group } = RunAs::parse(text)?;
        Ok(Self { user: Some(user), group })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names() {
        let both = RunAs { user: Account::Id(1000), group: Some(Account::Name("web".into())) };
        assert_eq!(RunAs::parse("1000:web"), Ok(both));
        assert_eq!(RunAs::parse("4294967294").unwrap().user, Account::Id(4_294_967_294));
        assert_eq!(Owner::parse(":7"), Ok(Owner { user: None, group: Some(Account::Id(7)) }));
    }

    #[test]
    fn nothing_is_guessed() {
        for text in [
            "",
            ":",
            "1000:",
            "4294967295",
            "4294967296",
            "18446744073709551616",
            "-2",
            "+5",
            " 5",
            "5 ",
            "1000:-1",
            "1000:1000:1000",
            "a b",
            "1000:+5",
            "-",
        ] {
            assert!(RunAs::parse(text).is_err(), "{text:?}");
        }
        for name in ["7app", "0x10", "1e3"] {
            // No number: a name that nobody has, or somebody.
            assert_eq!(RunAs::parse(name).unwrap().user, Account::Name(name.into()));
        }
        assert!(RunAs::parse(":5").is_err());
        assert!(Owner::parse(":").is_err());
    }
}
