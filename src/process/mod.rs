//! The app as a process: found before anything is fetched, and looked after when its parent stays.

pub mod lookup;
pub mod supervise;
mod supervisor;

pub use supervise::{Options, SuperviseError, Supervision, run};
pub use supervisor::Forward;
