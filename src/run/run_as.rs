//! The user and groups that the app runs as and the owner of its files, as numbers: resolved before anything else is
//! done.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::config::{Config, VaultAuth};
use crate::deliver::Ownership;
use crate::deliver::environ::Home;
use crate::domain::{Account, Diagnostic, Exit, Mode, Owner, RunAs};
use crate::sys::accounts::{self, Accounts};
use crate::sys::privilege::{self, Groups, Identity, State};
use tracing::warn;

/// The identity to switch to, and what follows from it.
#[derive(Debug)]
pub(super) struct RunAsPlan {
    /// The privilege drop. Capabilities and new privileges are dropped whatever the identity.
    pub(super) drop: privilege::Plan,
    /// The owner of the files.
    pub(super) owner: Ownership,
    /// `HOME`, `USER`, `LOGNAME`; `None` keeps the inherited ones.
    pub(super) home: Option<Home>,
}

impl RunAsPlan {
    /// Resolves `runAs` and `volume.owner` with the container's passwd and group files. Root without `runAs` is a
    /// problem, unless `mode` is `None` (nothing will run).
    pub(super) fn plan(config: &Config, mode: Option<Mode>) -> Result<Self, Vec<Diagnostic>> {
        let broken = |error: privilege::PrivilegeError| vec![Diagnostic::from_error(Exit::Privileges, &error)];
        let state = State::read().map_err(broken)?;
        let accounts = match Accounts::read() {
            // Only numbers are configured: an unreadable file is not needed.
            Err(_) if needs_no_lookup(config, &state) => Accounts::default(),
            accounts => accounts.map_err(|error| vec![usage(&error)])?,
        };
        if mode.is_some() && state.uid() == 0 && config.app.run_as.is_none() {
            let who = if mode.is_some_and(Mode::wraps) { "whom the app runs as" } else { "whom to become" };
            let text = format!(
                "running as root, and nothing says {who}: set runAs (--run-as USER[:GROUP]), or --run-as 0 if root is meant"
            );
            return Err(vec![Diagnostic::new(Exit::Usage, text)]);
        }
        let wanted = config.app.run_as.as_ref().map(|run_as| identity(run_as, &accounts, &state)).transpose()?;
        let (drop, wanted) = match privilege::plan(wanted.as_ref(), &state) {
            Ok(drop) => (drop, wanted),
            Err(error) if config.backends.local.is_some() => {
                warn!("--local: the app runs as yourself ({}:{}): {error}", state.uid(), state.gid());
                (privilege::plan(None, &state).map_err(broken)?, None)
            }
            Err(error) => return Err(broken(error)),
        };
        check_kept_groups(&drop, config, mode)?;
        let owner = match &config.volume.owner {
            Some(owner) => {
                let named = ownership(owner, config, &accounts)?;
                // `:GID` names no user: that is `runAs`, as everywhere.
                Ownership { uid: named.uid.or_else(|| wanted.as_ref().map(|_| drop.uid())), ..named }
            }
            None if wanted.is_some() => {
                Ownership { uid: Some(drop.uid()), gid: Some(drop.gid()), ..Ownership::default() }
            }
            None => Ownership::default(),
        };
        let home =
            wanted.map(|identity| Home { path: identity.home.unwrap_or_else(|| "/".into()), user: identity.name });
        Ok(Self { drop, owner, home })
    }

    /// For a mode that delivers once and runs no app: if `runAs` could not create files of `volume.owner`, switch to
    /// that owner instead, so that no file has to change its owner after the drop. `runAs` stays if we may not switch.
    pub(super) fn switch_to_owner(mut self) -> Result<Self, Vec<Diagnostic>> {
        if !self.can_create_as_owner() {
            let state = State::read().map_err(|error| vec![Diagnostic::from_error(Exit::Privileges, &error)])?;
            let owner = Identity {
                uid: self.owner.uid.unwrap_or(self.drop.uid()),
                gid: self.drop.gid(),
                groups: self.owner.gid.map_or(Groups::PrimaryOnly, |gid| Groups::Exactly(vec![gid])),
                name: None,
                home: None,
            };
            if let Ok(drop) = privilege::plan(Some(&owner), &state) {
                self.drop = drop;
            }
        }
        Ok(self)
    }

    /// Whether the identity we switch to can create files of the owner: the same user, and one of its groups.
    pub(super) fn can_create_as_owner(&self) -> bool {
        let drop = &self.drop;
        let is_member = |gid| gid == drop.gid() || drop.groups().contains(&gid);
        self.owner.uid.is_none_or(|uid| uid == drop.uid()) && self.owner.gid.is_none_or(is_member)
    }

    /// Returns a problem (64) for a foreign file owner in a mode that rotates: rotated files are created by us, without
    /// a change of owner.
    pub(super) fn refuse_foreign_owner(&self, config: &Config) -> Result<(), Vec<Diagnostic>> {
        if self.can_create_as_owner() {
            return Ok(());
        }
        let text = format!(
            "{}: volume.owner is another user than runAs ({}), or a group that it is not in ({}), and has no right to \
             give files away; leave volume.owner out, or use :GID of one of its groups (supplementalGroups)",
            config.volume.place,
            self.drop.uid(),
            [self.drop.gid()].iter().chain(self.drop.groups()).map(ToString::to_string).collect::<Vec<_>>().join(" ")
        );
        Err(vec![Diagnostic::new(Exit::Usage, text)])
    }

    /// The identity in words, as `check` shows it.
    pub(super) fn shown(&self) -> String {
        let groups: Vec<String> = self.drop.groups().iter().map(ToString::to_string).collect();
        let others =
            if groups.is_empty() { "no other groups".to_owned() } else { format!("groups {}", groups.join(" ")) };
        format!("{}:{}, {others}, no capabilities, no new privileges", self.drop.uid(), self.drop.gid())
    }
}

/// Whether no look-up is needed: every user and group of the config is a number with its group, or our own.
fn needs_no_lookup(config: &Config, state: &State) -> bool {
    let is_id = |account: Option<&Account>| matches!(account, None | Some(Account::Id(_)));
    let run_as = config.app.run_as.as_ref();
    let has_numbers = |run_as: &RunAs| match (&run_as.user, &run_as.group) {
        (Account::Id(uid), None) => *uid == state.uid(),
        (user, group) => is_id(Some(user)) && is_id(group.as_ref()),
    };
    let owner = config.volume.owner.as_ref();
    run_as.is_none_or(has_numbers)
        && owner.is_none_or(|owner| is_id(owner.user.as_ref()) && is_id(owner.group.as_ref()))
}

/// Checks supplementary groups that `runAs` does not list but that cannot be dropped: a problem (71) if one of them
/// lets the app read the login's files or the state directory, otherwise a warning.
///
/// Without an app, as in a pod's sidecar, an `fsGroup` is what lets us read our own token: then it is only a warning.
fn check_kept_groups(drop: &privilege::Plan, config: &Config, mode: Option<Mode>) -> Result<(), Vec<Diagnostic>> {
    let [first, more @ ..] = drop.kept_groups() else { return Ok(()) };
    let opened = |path: &&Path| {
        let found = std::fs::metadata(path).ok()?;
        let is_open = found.mode() & 0o070 != 0 && drop.kept_groups().contains(&found.gid());
        is_open.then(|| found.gid())
    };
    let opened =
        login_files(config).chain([config.process.state.as_path()]).find_map(|path| Some((path, opened(&path)?)));
    if let (true, Some((path, gid))) = (mode.is_some_and(Mode::wraps), opened) {
        let text = format!(
            "cannot drop the supplementary group {gid}, which opens {} to the app: start without it \
             (supplementalGroups, fsGroup, --group-add), start as root, or leave runAs out, which keeps every group",
            path.display()
        );
        return Err(vec![Diagnostic::new(Exit::Privileges, text)]);
    }
    let groups = more.iter().fold(first.to_string(), |list, group| format!("{list} {group}"));
    warn!(
        "runAs does not list the supplementary groups {groups}, which stay: without the right to change groups (CAP_SETGID) they cannot be dropped"
    );
    Ok(())
}

/// The files that prove the login.
fn login_files(config: &Config) -> impl Iterator<Item = &Path> {
    let auth = config
        .backends
        .vault
        .as_ref()
        .and_then(|vault| vault.auth.as_ref())
        .filter(|_| config.backends.local.is_none());
    auth.into_iter().flat_map(VaultAuth::secret_files)
}

/// Drops the privileges and verifies the drop, after checking that this is the only thread. Irreversible.
pub(super) fn drop_privileges(plan: &privilege::Plan) -> Result<(), Vec<Diagnostic>> {
    privilege::alone()
        .and_then(|()| privilege::apply(plan))
        .and_then(|()| privilege::verify(plan))
        .map_err(|error| vec![Diagnostic::from_error(Exit::Privileges, &error)])
}

/// The problem of accounts that cannot be resolved.
fn usage(error: &accounts::AccountsError) -> Diagnostic {
    Diagnostic::from_error(Exit::Usage, error)
}

/// Resolves `runAs`.
fn identity(run_as: &RunAs, accounts: &Accounts, state: &State) -> Result<Identity, Vec<Diagnostic>> {
    let group = run_as.group.as_ref().map(account);
    accounts
        .identity(account(&run_as.user), group, state)
        .map_err(|error| vec![Diagnostic::new(Exit::Usage, format!("runAs {run_as}: {error}"))])
}

/// Resolves `volume.owner`.
fn ownership(owner: &Owner, config: &Config, accounts: &Accounts) -> Result<Ownership, Vec<Diagnostic>> {
    let wrong = |error: accounts::AccountsError| {
        vec![Diagnostic::new(Exit::Usage, format!("{}: volume.owner: {error}", config.volume.place))]
    };
    let uid = owner.user.as_ref().map(|user| accounts.uid(account(user))).transpose().map_err(wrong)?;
    let gid = owner.group.as_ref().map(|group| accounts.gid(account(group))).transpose().map_err(wrong)?;
    Ok(Ownership { uid, gid, ..Ownership::default() })
}

/// Converts an account of the configuration.
fn account(account: &Account) -> accounts::Account<'_> {
    match account {
        Account::Id(id) => accounts::Account::Id(*id),
        Account::Name(name) => accounts::Account::Name(name),
    }
}
