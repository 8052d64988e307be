//! Rendering: turns fetched values into the bytes of a file or variable. Pure: no I/O, no environment, no clock.
//!
//! A single reference is written in a [`Format`]; an [`AnyTemplate`] is text with references in it; [`variables`] turns
//! a map into variables.

use crate::config::{Decode, Format};
use crate::domain::{
    EnvName, Fetches, MaybeOwned, Payload, SecretBytes, SecretMap, SecretRef, SecretValue, is_forbidden_from_backend,
};

mod any;
mod decode;
mod error;
mod format;
pub mod gotemplate;
mod limits;
mod step;
mod template;
mod tree;

pub use any::{AnyTemplate, CompileError};
pub use error::{Expanding, InnerQuote, Location, NoMap, RenderError, TemplateRenderError, Unquotable, ValueError};
pub use step::Step;
pub use template::{SecretCallError, Template, TemplateError, TemplateErrorKind};

/// Renders one reference. The default format is `raw` for one value, `json` for a map. `decode` is applied first; its
/// result is one value, which may be a JSON object.
pub fn secret(
    reference: &SecretRef,
    format: Option<Format>,
    decode: Option<Decode>,
    fetches: &Fetches,
) -> Result<SecretBytes, RenderError> {
    let render = || {
        let part = Part::of(reference, fetches)?;
        match decode {
            None => format::render(&part, format),
            Some(Decode::Base64) => {
                let Some(text) = part.one() else { return Err(ValueError::DecodeMap(part.keys())) };
                format::render(&Part::Whole(&decode::base64(text.expose())?), format)
            }
        }
    };
    render().map_err(|why| RenderError::of(reference, why))
}

/// The variables of `envFrom`: every key of the map with `prefix` before it, and its value. A key with a null value is
/// left out. A name that affects loaders, shells or interpreters is refused, because the backend chose it, or left out where
/// the configuration sets it itself (`is_set`).
pub fn variables(
    reference: &SecretRef,
    prefix: &str,
    is_set: impl Fn(&str) -> bool,
    fetches: &Fetches,
) -> Result<Vec<(EnvName, SecretBytes)>, RenderError> {
    let render = || {
        let part = Part::of(reference, fetches)?;
        let map = part.map().map_err(|why| ValueError::NotAMap { wanted: error::ENV_FROM, why })?;
        let given = map.iter().filter(|(_, value)| !value.is_null());
        let given = given.map(|(key, value)| (format!("{prefix}{key}"), value));
        let (forbidden, given): (Vec<_>, Vec<_>) = given.partition(|(name, _)| is_forbidden_from_backend(name));
        let names: Vec<String> = forbidden.into_iter().map(|(name, _)| name).filter(|name| !is_set(name)).collect();
        if !names.is_empty() {
            return Err(ValueError::ForbiddenNames { names, is_prefixed: !prefix.is_empty() });
        }
        let variable = |(name, value): (String, &SecretValue)| {
            let name = EnvName::parse(&name).map_err(|why| ValueError::EnvName { name, why })?;
            if value.raw().expose().contains(&0) {
                let key = name.as_str().strip_prefix(prefix).unwrap_or(name.as_str());
                return Err(ValueError::NulVariable(key.to_owned()));
            }
            Ok((name, SecretBytes::copy_of(value.raw().expose())))
        };
        given.into_iter().map(variable).collect::<Result<Vec<_>, _>>()
    };
    render().map_err(|why| RenderError::of(reference, why))
}

/// The part of a fetched value that a reference refers to.
enum Part<'a> {
    /// A map: the reference has no key, and the backend has keys.
    Map(&'a SecretMap),
    /// The value of a key.
    Value(MaybeOwned<'a, SecretValue>),
    /// A value without keys; it may still be a JSON object.
    Whole(&'a SecretBytes),
}

impl<'a> Part<'a> {
    /// Picks the part from the fetched values.
    fn of(reference: &SecretRef, fetches: &'a Fetches) -> Result<Self, ValueError> {
        let fetched = fetches.get(&reference.source).ok_or(ValueError::NotFetched)?;
        match (&reference.key, &fetched.payload) {
            (Some(key), payload) => payload.value(key).map(Self::Value).map_err(ValueError::Pick),
            (None, Payload::Map(map)) => Ok(Self::Map(map)),
            (None, Payload::Whole(bytes)) => Ok(Self::Whole(bytes)),
        }
    }

    /// The bytes of one value; `None` for a map.
    fn one(&self) -> Option<&SecretBytes> {
        match self {
            Self::Map(_) => None,
            Self::Value(value) => Some(value.raw()),
            Self::Whole(bytes) => Some(bytes),
        }
    }

    /// The part as a map: a whole value or the value of a key must be a JSON object.
    fn map(&self) -> Result<MaybeOwned<'_, SecretMap>, NoMap> {
        match self {
            Self::Map(map) => Ok(MaybeOwned::Borrowed(map)),
            Self::Value(value) => match &**value {
                SecretValue::Text(_) => Err(NoMap::Text),
                SecretValue::Json(json) => {
                    SecretMap::from_json(json.expose()).map(MaybeOwned::Owned).map_err(Into::into)
                }
            },
            Self::Whole(bytes) => SecretMap::from_json(bytes.expose()).map(MaybeOwned::Owned).map_err(Into::into),
        }
    }

    /// The keys of a map; empty for other parts.
    fn keys(&self) -> Vec<String> {
        match self {
            Self::Map(map) => map.keys().map(str::to_owned).collect(),
            Self::Value(_) | Self::Whole(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
