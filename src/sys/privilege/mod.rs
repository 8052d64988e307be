//! Becoming less: identity and capabilities planned (pure), dropped in one order, and proven dropped.
//!
//! The order is that of capabilities(7) and setresuid(2): what a step needs is given up only after it. The proof that
//! nothing can be regained comes after the capabilities are gone: a start with ambient CAP_SETUID, or with the
//! NO_SETUID_FIXUP bit, would still become root before.

mod apply;
mod error;
mod plan;
mod state;
#[cfg(test)]
mod tests;
mod verify;

use apply::drop_all;
use verify::{read_back, try_to_regain};

pub use apply::apply;
pub(in crate::sys) use error::StepError;
pub use error::{Obstacle, PrivilegeError, Step};
pub use plan::{Plan, plan};
pub use state::{Groups, Identity, State};
pub use verify::{alone, verify};

/// Both for a forked child, which has one thread: system calls only, nothing that allocates or locks.
pub(in crate::sys) fn drop_in_child(plan: &Plan) -> Result<(), (Step, StepError)> {
    drop_all(plan)?;
    read_back(plan)?;
    try_to_regain(plan)
}
