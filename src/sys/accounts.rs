//! Users and groups parsed from the container's own `/etc/passwd` and `/etc/group`: a static program has no NSS.
//!
//! Malformed lines are skipped. Of two lines for the same name or number, the first counts.

use std::io;
use std::path::{Path, PathBuf};

use super::privilege::{Groups, Identity, State};

/// A line of `/etc/passwd` (passwd(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
}

/// A line of `/etc/group` (group(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Names of the listed members; users whose primary group it is need not be among them.
    pub members: Vec<String>,
}

/// A user or group as the config names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account<'a> {
    /// By number.
    Id(u32),
    /// By name.
    Name(&'a str),
}

/// Why a user or group cannot be resolved.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// The file exists and cannot be read.
    #[error("cannot read {}, which says who a name or a number without a group is: write numbers (UID:GID)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// The user's line in `/etc/passwd` is malformed.
    #[error(
        "user {0:?} stands in /etc/passwd in a line that is none: expected NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL; mend it, \
         or write numbers (UID:GID)"
    )]
    BadLine(String),
    /// No user of that name.
    #[error("there is no user {0:?} in /etc/passwd: write its number and group (UID:GID)")]
    NoUser(String),
    /// No group of that name.
    #[error("there is no group {0:?} in /etc/group: write its number")]
    NoGroup(String),
    /// A uid that is not in `/etc/passwd`, without a group.
    #[error("user {0} is not in /etc/passwd, so its group is unknown: write {0}:GID")]
    NoGroupOf(u32),
}

/// The container's users and groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accounts {
    users: Vec<User>,
    groups: Vec<Group>,
    /// Names at the start of malformed lines of `/etc/passwd`.
    broken: Vec<String>,
}

impl Accounts {
    /// Reads `/etc/passwd` and `/etc/group`; a missing file counts as empty.
    pub fn read() -> Result<Self, AccountsError> {
        Ok(Self::parse(&read(Path::new("/etc/passwd"))?, &read(Path::new("/etc/group"))?))
    }

    /// Parses the texts of both files.
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(user).collect(),
            groups: group.lines().filter_map(self::group).collect(),
            broken: passwd.lines().filter(|line| user(line).is_none()).filter_map(head).collect(),
        }
    }

    /// The user with that name.
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name)
    }

    /// The user with that uid.
    pub fn user_with(&self, uid: u32) -> Option<&User> {
        self.users.iter().find(|user| user.uid == uid)
    }

    /// The group with that name.
    pub fn group_named(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The groups that list the user, and its primary group; sorted.
    pub fn groups_of(&self, user: &User) -> Vec<u32> {
        let listing = self.groups.iter().filter(|group| group.members.contains(&user.name));
        let mut gids: Vec<u32> = listing.map(|group| group.gid).chain([user.gid]).collect();
        gids.sort_unstable();
        gids.dedup();
        gids
    }

    /// The gid of a group; a number need not exist in `/etc/group`.
    pub fn gid(&self, group: Account<'_>) -> Result<u32, AccountsError> {
        match group {
            Account::Id(gid) => Ok(gid),
            Account::Name(name) => {
                self.group_named(name).map(|group| group.gid).ok_or_else(|| AccountsError::NoGroup(name.to_owned()))
            }
        }
    }

    /// The uid of a user; a number need not exist in `/etc/passwd`.
    pub fn uid(&self, user: Account<'_>) -> Result<u32, AccountsError> {
        match user {
            Account::Id(uid) => Ok(uid),
            Account::Name(name) => self.user_named(name).map(|user| user.uid).ok_or_else(|| self.no_user(name)),
        }
    }

    /// The error for an unknown user name, which may stand in a malformed line.
    fn no_user(&self, name: &str) -> AccountsError {
        let is_there = self.broken.iter().any(|broken| broken == name);
        let error = if is_there { AccountsError::BadLine } else { AccountsError::NoUser };
        error(name.to_owned())
    }

    /// Resolves `USER[:GROUP]`. With a group, the identity has that group only; without one, the user's own groups.
    ///
    /// A uid that is not in `/etc/passwd` needs a group, unless it is that of `state`: then the groups stay
    /// unchanged.
    pub fn identity(
        &self,
        user: Account<'_>,
        group: Option<Account<'_>>,
        state: &State,
    ) -> Result<Identity, AccountsError> {
        let uid = self.uid(user)?;
        let known = match user {
            Account::Id(uid) => self.user_with(uid),
            Account::Name(name) => self.user_named(name),
        };
        let (gid, groups) = match (group, known) {
            (Some(group), _) => (self.gid(group)?, Groups::PrimaryOnly),
            (None, Some(known)) => (known.gid, Groups::Exactly(self.groups_of(known))),
            (None, None) if uid == state.uid() => (state.gid(), Groups::Unchanged),
            (None, None) => return Err(AccountsError::NoGroupOf(uid)),
        };
        Ok(Identity {
            uid,
            gid,
            groups,
            name: known.map(|user| user.name.clone()),
            home: known.map(|user| user.home.clone()),
        })
    }
}

/// The text of a file; empty if it does not exist.
fn read(path: &Path) -> Result<String, AccountsError> {
    match std::fs::read(path) {
        // Names are compared as strings; one that is not UTF-8 matches none.
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(source) => Err(AccountsError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Parses `name:password:UID:GID:comment:home:shell`; as in the C library, the fields after GID may be missing.
fn user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let ([name, _, uid, gid] | [name, _, uid, gid, ..]) = fields[..] else { return None };
    let home = match fields[4..] {
        [] | [_] => "",
        [_, home] | [_, home, _] => home,
        [..] => return None,
    };
    let home = if home.is_empty() { "/" } else { home };
    Some(User { name: name_of(name)?, uid: id(uid)?, gid: id(gid)?, home: home.into() })
}

/// The name at the start of a line; `None` for a comment.
fn head(line: &str) -> Option<String> {
    line.split_once(':').map(|(name, _)| name.to_owned()).filter(|name| !name.is_empty() && !name.starts_with('#'))
}

/// Parses `name:password:GID:member,member`; the members may be missing.
fn group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let (name, gid, members) = match fields[..] {
        [name, _, gid] => (name, gid, ""),
        [name, _, gid, members] => (name, gid, members),
        _ => return None,
    };
    let members = members.split(',').map(str::trim).filter(|member| !member.is_empty());
    Some(Group { name: name_of(name)?, gid: id(gid)?, members: members.map(str::to_owned).collect() })
}

/// A valid name. Refuses those that begin with `+` or `-` (NIS entries), `#` (comments) or white space.
fn name_of(text: &str) -> Option<String> {
    let is_name = !text.is_empty() && !text.starts_with(['+', '-', '#', ' ', '\t']);
    is_name.then(|| text.to_owned())
}

/// A uid or gid: digits only, at most 2^32−2 (some parsers read 4294967296 as 0, root).
fn id(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| is_plain && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000::/srv/web:/bin/false\n\
        web:x:0:0::/:/bin/sh\nghost:x:4294967296:1::/:/x\nminus:x:-2:1::/:/x\nplus:x:+5:5::/:/x\n\
        short:x:7:7\nlong:x:7:7:::/:/x\n+nis:x:8:8::/:/x\n:x:9:9::/:/x\nempty:x::9::/:/x\nlast:x:4294967295:1::/:/x\n";
    const GROUP: &str = "root:x:0:root\nweb:x:1000:\nlogs:x:20:web,root\nbroken:x:30\nbig:x:4294967296:web\n\
        ssl:x:10: web ,\nlogs:x:0:web2\n";

    fn accounts() -> Accounts {
        Accounts::parse(PASSWD, GROUP)
    }

    fn identity(user: Account<'_>, group: Option<Account<'_>>) -> Result<Identity, AccountsError> {
        accounts().identity(user, group, &State::read().unwrap())
    }

    #[test]
    fn lines_that_are_not_well_formed_are_nobody() {
        let accounts = accounts();
        for name in ["ghost", "minus", "plus", "long", "+nis", "nis", "", "empty", "last"] {
            assert_eq!(accounts.user_named(name), None, "{name}");
        }
        assert_eq!(accounts.users.len(), 4);
        assert_eq!(accounts.group_named("big"), None);
    }

    #[test]
    fn a_line_may_end_behind_its_numbers() {
        let accounts = accounts();
        let short = accounts.user_named("short").unwrap();
        assert_eq!((short.uid, short.gid, short.home.to_str()), (7, 7, Some("/")));
        assert_eq!(accounts.group_named("broken").unwrap().gid, 30);
        let broken = Accounts::parse("a:x:1\nb:x\nc:x:abc:1\n# d:x\n", "g:x\n");
        assert!(broken.users.is_empty() && broken.groups.is_empty());
        for name in ["a", "b", "c"] {
            let error = broken.uid(Account::Name(name)).unwrap_err();
            assert!(matches!(error, AccountsError::BadLine(_)), "{error}");
        }
        assert!(matches!(broken.uid(Account::Name("d")), Err(AccountsError::NoUser(_))));
    }

    #[test]
    fn the_first_of_two_equal_names_counts() {
        assert_eq!(accounts().user_named("web").unwrap().uid, 1000);
        assert_eq!(accounts().group_named("logs").unwrap().gid, 20);
    }

    #[test]
    fn a_user_alone_gets_its_own_groups_and_a_group_exactly_that_one() {
        let web = identity(Account::Name("web"), None).unwrap();
        assert_eq!((web.uid, web.gid, web.groups), (1000, 1000, Groups::Exactly(vec![10, 20, 1000])));
        assert_eq!((web.name.as_deref(), web.home), (Some("web"), Some("/srv/web".into())));
        let web = identity(Account::Id(1000), Some(Account::Name("logs"))).unwrap();
        assert_eq!((web.uid, web.gid, web.groups), (1000, 20, Groups::PrimaryOnly));
        assert_eq!(web.name.as_deref(), Some("web"));
    }

    #[test]
    fn who_is_not_known_is_an_error() {
        assert!(matches!(identity(Account::Name("nobody"), None), Err(AccountsError::NoUser(_))));
        assert!(matches!(identity(Account::Id(1), Some(Account::Name("x"))), Err(AccountsError::NoGroup(_))));
        assert!(matches!(identity(Account::Id(4242), None), Err(AccountsError::NoGroupOf(4242))));
    }

    #[test]
    fn a_number_nobody_knows_may_be_ours_already() {
        let state = State::read().unwrap();
        let unchanged = Accounts::default().identity(Account::Id(state.uid()), None, &state).unwrap();
        assert_eq!((unchanged.gid, unchanged.groups, unchanged.name), (state.gid(), Groups::Unchanged, None));
    }

    #[test]
    fn a_missing_file_is_an_empty_one() {
        assert_eq!(read(Path::new("/nonexistent/passwd")).unwrap(), "");
        assert!(matches!(read(Path::new("/proc")), Err(AccountsError::Unreadable { .. })));
    }
}
