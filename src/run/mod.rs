//! The modes of the program, one file each. Runtimes are built only in `start`.
//!
//! `prepare` makes the plan and does what needs privilege; `start` fetches everything and `rotation` keeps it fresh;
//! `exec`, `supervise`, `init` and `sidecar` call these in order. `check`, `status` and `install` are the other
//! commands.

mod app;
mod caller;
mod check;
mod confinement;
mod exec;
mod explanation;
mod exposure;
mod init;
mod install;
mod log;
mod modes;
mod notify;
mod prepare;
mod ready;
mod run_as;
mod running;
mod sidecar;
mod status;
mod supervise;
mod table;

pub use caller::{ProcessContext, Settings};
pub use check::{Check, CheckOutput, check};
pub use exec::exec;
pub use explanation::problems_as_json;
pub use exposure::{refuse_few_files, refuse_small_stack, refuse_tracer};
pub use init::init;
pub use install::install;
pub use log::{ALWAYS, Program, start as start_log};
pub use sidecar::sidecar;
pub use status::{Refresh, Shown, refresh, status};
pub use supervise::supervise;
pub use table::Style;
