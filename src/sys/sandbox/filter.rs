//! Builds the seccomp filter of a profile and installs it (seccomp(2)).

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule, TargetArch};

use super::plan::{Enforcement, Profile};
use super::syscalls;

/// Filters the system calls of this thread and of threads it starts later.
pub(super) fn install(profile: Profile, enforcement: Enforcement) -> Result<(), String> {
    let (allowed, unsupported) = programs(profile, enforcement)?;
    // The stricter result of the two counts (seccomp(2)). The allow-list is installed last: it does not permit
    // installing another.
    for program in [&unsupported, &allowed] {
        seccompiler::apply_filter(program).map_err(|error| format!("seccomp is refused here ({error})"))?;
    }
    Ok(())
}

/// Two programs: the allow-list, and the few calls that fail with ENOSYS, for which libc uses older calls whose
/// arguments can be checked.
fn programs(profile: Profile, enforcement: Enforcement) -> Result<(BpfProgram, BpfProgram), String> {
    let violation = match enforcement {
        Enforcement::Log => SeccompAction::Log,
        Enforcement::On => SeccompAction::Trap,
    };
    let allowed = compile(syscalls::allowed(profile), violation, SeccompAction::Allow)?;
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let unsupported = syscalls::UNSUPPORTED.iter().map(|number| (*number, Vec::new())).collect();
    Ok((allowed, compile(unsupported, SeccompAction::Allow, missing)?))
}

/// Compiles rules to a BPF program: `matched` for calls that match a rule, `otherwise` for all others.
fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, String> {
    let broken = |error: &dyn std::fmt::Display| format!("there is no filter for this machine ({error})");
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| broken(&error))?;
    let filter = SeccompFilter::new(rules, otherwise, matched, machine).map_err(|error| broken(&error))?;
    filter.try_into().map_err(|error| broken(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_fits_into_a_filter_of_the_kernel() {
        const MOST_INSTRUCTIONS: usize = 4096; // BPF_MAXINSNS
        for profile in [Profile::Sidecar, Profile::SignallingSidecar, Profile::Supervisor, Profile::Webhook] {
            for enforcement in [Enforcement::Log, Enforcement::On] {
                let (allowed, unsupported) = programs(profile, enforcement).unwrap();
                assert!(allowed.len() + unsupported.len() < MOST_INSTRUCTIONS, "{profile:?}");
            }
        }
    }
}
