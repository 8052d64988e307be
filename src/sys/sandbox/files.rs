//! Landlock: which files this thread, and what it starts, may open (landlock(7)).

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::plan::{Files, Profile};

/// The newest version whose rights are used; on an older kernel those that it knows.
const NEWEST: ABI = ABI::V6;

/// A static program reads these where others find getrandom(2) in libc.
const SOURCES_OF_RANDOM: [&str; 2] = ["/dev/urandom", "/dev/random"];

/// Applies the rules to this thread.
pub(super) fn restrict(files: &Files, profile: Profile) -> Result<(), String> {
    match try_restrict(files, profile) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => Err("the kernel, or the container runtime, offers no Landlock".to_owned()),
        Err(error) => Err(format!("Landlock is refused here ({error})")),
    }
}

fn try_restrict(files: &Files, profile: Profile) -> Result<RulesetStatus, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(network(profile))?
        .scope(scopes(profile))?;
    let created = ruleset
        .create()?
        .add_rules(path_beneath_rules(&files.read, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(SOURCES_OF_RANDOM, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(&files.write, changes()))?;
    Ok(created.restrict_self()?.ruleset)
}

/// Everything a directory of our own needs: regular files, directories, links and one socket. No devices, no programs.
fn changes() -> BitFlags<AccessFs> {
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo | AccessFs::IoctlDev;
    AccessFs::from_all(NEWEST) & !never
}

/// What is refused of TCP, to every port. Who listens has bound before, except for the webhook; that one calls nobody.
fn network(profile: Profile) -> AccessNet {
    match profile {
        Profile::Sidecar | Profile::SignallingSidecar | Profile::Supervisor => AccessNet::BindTcp,
        Profile::Webhook => AccessNet::ConnectTcp,
    }
}

/// Nobody is reached through an abstract socket. Signals leave only those who have somebody to signal.
fn scopes(profile: Profile) -> BitFlags<Scope> {
    match profile {
        // The app is outside: it runs in another container, or was started before.
        Profile::SignallingSidecar | Profile::Supervisor => Scope::AbstractUnixSocket.into(),
        Profile::Sidecar | Profile::Webhook => Scope::AbstractUnixSocket | Scope::Signal,
    }
}
