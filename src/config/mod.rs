//! Configuration: text, environment, annotations and flags become one tree with places, the tree becomes a [`Config`].
//!
//! No I/O and no clock: the caller reads the files. All mistakes come back at once, each with its place.

mod model;
mod place;

pub use model::{
    Action, AssumeRole, Aws, Ca, Config, Content, Decode, EnvEntry, EnvFrom, FileEntry, Format, Inherit, LogFormat,
    LogLevel, NamedSecret, OnExpired, Refresh, RoleId, Template, Vault, VaultAuth, Volume,
};
pub use place::{Mistake, Place};
