//! Configuration: files, environment, annotations and flags are parsed into one tree with places, and the tree into a
//! [`Config`].
//!
//! No I/O and no clock: the caller reads the files. All mistakes are returned at once, each with its place.
//!
//! In the order of processing: `yaml`, `annotations` and `flags` build trees; `check` validates each against the one
//! description of all keys (`keys`, built from `shape` and `form`); `layers` and `merge` merge them; `resolve` reads
//! the [`Config`] from the result; `arguments` writes a layer as flags again, for the arguments of an injected
//! container.

mod action;
pub mod annotations;
mod arguments;
mod backends;
mod bank_vaults;
mod behind;
mod check;
mod contradiction;
mod dialect;
pub(crate) mod document;
mod entries;
mod flags;
mod form;
mod home;
mod inherited;
mod injector;
pub mod key_docs;
mod keys;
mod language;
mod layer;
mod layers;
mod loose;
mod merge;
mod model;
mod names;
mod nearest;
mod net;
mod options;
mod overruled;
mod patterns;
mod pinned;
mod place;
mod proxies;
mod reader;
mod resolve;
mod schema;
mod shape;
mod tree;
mod value;
mod yaml;

#[cfg(test)]
mod tests;

pub use bank_vaults::is_token;
pub use behind::{OptionBehind, option_behind};
pub use dialect::{
    BANK_VAULTS_PREFIX, DIALECT_PREFIXES, Dialect, OPENBAO_PREFIX, SECRETS_WEBHOOK_PREFIX, Setting, VAULT_PREFIX,
};
pub use flags::{Flag, PINNED, check_as_annotations};
pub use inherited::is_near_reference;
pub use injector::{Addresses, Injector, RequestedConfig, Resources, Sidecar};
pub use language::{GoOptions, Language, MissingKey, Piece};
pub use layer::{Annotations, Text};
pub use layers::{Layers, Wraps, is_setting};
pub use model::{
    Action, AppSettings, AssumeRole, Aws, Backends, Ca, CertificateFiles, Config, Content, Decode, EnvEntry, EnvFrom,
    FileEntry, Format, Inherit, LogFormat, LogLevel, NamedSecret, OnExpired, ProcessSettings, Refresh, Renewal, RoleId,
    RotationSettings, Sandbox, Template, Vault, VaultAuth, Volume,
};
pub use nearest::nearest;
pub use net::listen;
pub use options::{ConfigOption, OptionFlag, options};
pub use overruled::overruled;
pub use pinned::{is_always_hidden, is_hidden, is_steering};
pub use place::{ConfigError, Place};
pub use proxies::{Proxies, ProxyError, without_userinfo};
pub use resolve::{log_level, mistakes_of_flags, resolve, resolve_without_requests, sandbox};
pub use schema::{injector_schema, schema};
pub use value::duration;

impl Config {
    /// Whether `passEnv` matches this inherited variable, which is then neither removed nor resolved.
    pub fn passes(&self, name: &str) -> bool {
        self.app.pass_env.iter().any(|pattern| value::matches(pattern, name))
    }
}
