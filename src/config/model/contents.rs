//! What is written from secrets: files and environment variables.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::{EnvName, FileMode, FileName, SecretRef, Source};

use super::super::language::Language;
use super::super::place::Place;

/// An entry of `secrets`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedSecret {
    /// The reference.
    pub reference: SecretRef,
    /// Its own read interval.
    pub refresh: Option<Duration>,
    /// Where it was set.
    pub place: Place,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// The path below the volume.
    pub name: FileName,
    /// The content.
    pub content: Content,
    /// The mode; by default 0400, or 0440 with a group.
    pub mode: Option<FileMode>,
    /// Its own read interval.
    pub refresh: Option<Duration>,
    /// Where it was set.
    pub place: Place,
}

impl FileEntry {
    /// A warning about a map without a format under a name that promises another one than JSON.
    pub fn doubt(&self) -> Option<String> {
        let Content::Secret { reference, format: None, .. } = &self.content else { return None };
        // A value of Secrets Manager is written as it was stored.
        let is_map = reference.key.is_none() && matches!(reference.source, Source::Vault(_));
        let name = self.name.as_str();
        let last = name.rsplit('/').next().unwrap_or_default();
        let (format, what) = match last.rsplit_once('.').map(|(_, extension)| extension) {
            Some("properties") => (Format::Properties, "Java properties"),
            Some("env") => (Format::Dotenv, "NAME='value' lines"),
            _ if last.starts_with(".env.") => (Format::Dotenv, "NAME='value' lines"),
            _ => return None,
        };
        is_map.then(|| {
            format!(
                "file {name}: no format is set, so it is written as JSON; set format {format} for {what}, or json if JSON is meant"
            )
        })
    }
}

/// An environment variable to set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// Its name.
    pub name: EnvName,
    /// Its value.
    pub content: Content,
    /// Where it was set; [`Place::Variable`] for an inherited reference.
    pub place: Place,
}

/// A map whose every key becomes a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFrom {
    /// The map.
    pub reference: SecretRef,
    /// The prefix of the variable names.
    pub prefix: String,
    /// Where it was set.
    pub place: Place,
}

/// What a file or variable is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// One reference.
    Secret {
        /// The reference.
        reference: SecretRef,
        /// By default `raw` for one value, `json` for a map.
        format: Option<Format>,
        /// Applied to a single value before it is written.
        decode: Option<Decode>,
    },
    /// A template over secrets.
    Template(Template, Language),
}

/// The text of a template, or its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Template {
    /// In the config.
    Text(String),
    /// In a file, which is read at the start.
    File(PathBuf),
}

/// The output format of a map or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The exact bytes of one value.
    Raw,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// `KEY='value'` lines, as read by shells and dotenv libraries.
    Dotenv,
    /// Java properties.
    Properties,
}

impl fmt::Display for Format {
    /// The name in the config.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Dotenv => "dotenv",
            Self::Properties => "properties",
        })
    }
}

/// An encoding to be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decode {
    /// RFC 4648, standard or URL-safe alphabet, padding optional.
    Base64,
}
