//! Landlock: restricts which files this thread and its later threads and children may open (landlock(7)).

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::plan::{Files, Profile};

/// The newest ABI whose rights are used; an older kernel applies those it knows.
const NEWEST: ABI = ABI::V6;

/// A static program reads these where getrandom(2) is not available.
const SOURCES_OF_RANDOM: [&str; 2] = ["/dev/urandom", "/dev/random"];

/// Applies the rules to this thread. The error says why nothing is restricted.
pub(super) fn restrict(files: &Files, profile: Profile) -> Result<(), String> {
    match try_restrict(files, profile) {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => Ok(()),
        Ok(RulesetStatus::NotEnforced) => Err("the kernel, or the container runtime, offers no Landlock".to_owned()),
        Err(error) => Err(format!("Landlock is refused here ({error})")),
    }
}

/// Builds and applies the ruleset.
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

/// All rights on a directory of this program: files, directories, links and a socket, but no devices, fifos or
/// execution.
fn changes() -> BitFlags<AccessFs> {
    let never = AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeFifo | AccessFs::IoctlDev;
    AccessFs::from_all(NEWEST) & !never
}

/// The TCP operations that are refused for every port. Profiles other than the webhook have bound their ports
/// before; the webhook makes no connections.
fn network(profile: Profile) -> AccessNet {
    match profile {
        Profile::Sidecar | Profile::SignallingSidecar | Profile::Supervisor => AccessNet::BindTcp,
        Profile::Webhook => AccessNet::ConnectTcp,
    }
}

/// Which scopes are restricted: abstract Unix sockets always, signals to processes outside for profiles that send
/// none.
fn scopes(profile: Profile) -> BitFlags<Scope> {
    match profile {
        // The app is outside the scope: it runs in another container, or was started before.
        Profile::SignallingSidecar | Profile::Supervisor => Scope::AbstractUnixSocket.into(),
        Profile::Sidecar | Profile::Webhook => Scope::AbstractUnixSocket | Scope::Signal,
    }
}
