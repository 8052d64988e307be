//! Dropping privileges: identity and capabilities are planned (pure), dropped in a fixed order, and proven dropped.
//!
//! The order follows capabilities(7) and setresuid(2): whatever a step needs is given up only after it. The proof
//! that nothing can be regained comes after the capabilities are gone: before that, a start with ambient CAP_SETUID, or
//! with the NO_SETUID_FIXUP bit, could still become root.

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

/// Drop and proof for a forked child, which has one thread: system calls only, without allocation or locks.
pub(in crate::sys) fn drop_in_child(plan: &Plan) -> Result<(), (Step, StepError)> {
    drop_all(plan)?;
    read_back(plan)?;
    try_to_regain(plan)
}
