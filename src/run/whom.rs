//! Whom the app runs as and whom its files belong to, in numbers, planned before anything happens.

use crate::config::Config;
use crate::deliver::Ownership;
use crate::deliver::environ::Home;
use crate::domain::{Account, Exit, Owner, Problem, RunAs};
use crate::sys::accounts::{self, Accounts};
use crate::sys::privilege::{self, Identity, State};
use tracing::warn;

/// Whether the process will run somebody's app, or only ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// `-- COMMAND`: root must be meant.
    App,
    /// init: nobody else starts in this container.
    Ourselves,
    /// The same, but we stay.
    Sidecar,
}

/// The identity to take, and what follows from it.
#[derive(Debug)]
pub(super) struct Whom {
    /// The drop; whatever the identity, capabilities and new privileges go.
    pub(super) drop: privilege::Plan,
    /// Whom the files belong to.
    pub(super) owner: Ownership,
    /// `HOME`, `USER`, `LOGNAME`; `None` leaves them.
    pub(super) home: Option<Home>,
}

impl Whom {
    /// Resolves `runAs` and `volume.owner` against the container's own accounts.
    pub(super) fn plan(config: &Config, purpose: For) -> Result<Self, Vec<Problem>> {
        let broken = |error: privilege::PrivilegeError| vec![Problem::new(Exit::Privileges, error.to_string())];
        let state = State::read().map_err(broken)?;
        let accounts = Accounts::read().map_err(|error| vec![usage(&error)])?;
        if purpose == For::App && state.uid() == 0 && config.run_as.is_none() {
            let text = "running as root, and nothing says whom the app runs as: set runAs (--run-as USER[:GROUP]), \
                        or --run-as 0 if root is meant";
            return Err(vec![Problem::new(Exit::Usage, text)]);
        }
        let wanted = config.run_as.as_ref().map(|run_as| identity(run_as, &accounts, &state)).transpose()?;
        let (drop, wanted) = match privilege::plan(wanted.as_ref(), &state) {
            Ok(drop) => (drop, wanted),
            Err(error) if config.local.is_some() => {
                warn!("--local: the app runs as yourself ({}:{}), because we {error}", state.uid(), state.gid());
                (privilege::plan(None, &state).map_err(broken)?, None)
            }
            Err(error) => return Err(broken(error)),
        };
        let owner = match &config.volume.owner {
            Some(owner) => {
                let named = ownership(owner, config, &accounts)?;
                // `:GID` says nothing of the user, who is `runAs` as everywhere.
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

    /// Whether the identity we take can make the files' owner: it is the same user, and one of its groups.
    pub(super) fn writes_as_itself(&self) -> bool {
        let drop = &self.drop;
        let is_ours = |gid| gid == drop.gid() || drop.groups().contains(&gid);
        self.owner.uid.is_none_or(|uid| uid == drop.uid()) && self.owner.gid.is_none_or(is_ours)
    }

    /// Rotated files are born with their owner, so a process that stays must be that owner.
    pub(super) fn refuse_foreign_owner(&self, config: &Config) -> Result<(), Vec<Problem>> {
        if self.writes_as_itself() {
            return Ok(());
        }
        let text = format!(
            "{}: volume.owner is another user than runAs ({}), or a group that it is not in ({}), and has no right to \
             give files away; leave volume.owner out, or use :GID of one of its groups (supplementalGroups)",
            config.volume.place,
            self.drop.uid(),
            [self.drop.gid()].iter().chain(self.drop.groups()).map(ToString::to_string).collect::<Vec<_>>().join(" ")
        );
        Err(vec![Problem::new(Exit::Usage, text)])
    }

    /// As `check` shows it.
    pub(super) fn shown(&self) -> String {
        let groups: Vec<String> = self.drop.groups().iter().map(ToString::to_string).collect();
        let others =
            if groups.is_empty() { "no other groups".to_owned() } else { format!("groups {}", groups.join(" ")) };
        format!("{}:{}, {others}, no capabilities, no new privileges", self.drop.uid(), self.drop.gid())
    }
}

fn usage(error: &accounts::AccountsError) -> Problem {
    Problem::new(Exit::Usage, error.to_string())
}

fn identity(run_as: &RunAs, accounts: &Accounts, state: &State) -> Result<Identity, Vec<Problem>> {
    let group = run_as.group.as_ref().map(account);
    accounts
        .identity(account(&run_as.user), group, state)
        .map_err(|error| vec![Problem::new(Exit::Usage, format!("runAs {run_as}: {error}"))])
}

fn ownership(owner: &Owner, config: &Config, accounts: &Accounts) -> Result<Ownership, Vec<Problem>> {
    let wrong = |error: accounts::AccountsError| {
        vec![Problem::new(Exit::Usage, format!("{}: volume.owner: {error}", config.volume.place))]
    };
    let uid = owner.user.as_ref().map(|user| accounts.uid(account(user))).transpose().map_err(wrong)?;
    let gid = owner.group.as_ref().map(|group| accounts.gid(account(group))).transpose().map_err(wrong)?;
    Ok(Ownership { uid, gid, ..Ownership::default() })
}

fn account(account: &Account) -> accounts::Account<'_> {
    match account {
        Account::Id(id) => accounts::Account::Id(*id),
        Account::Name(name) => accounts::Account::Name(name),
    }
}
