//! The modes: each a page that reads like the house's first sentence. The only place that builds a runtime.
//!
//! `prepare` plans and does what needs privilege, `session` asks the backends and gives back, `plan` says what is made of
//! the answers; `rotation` keeps it fresh; `exec`, `supervise`, `init` and `sidecar` put them in order.

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
