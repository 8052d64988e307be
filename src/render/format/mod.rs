//! The output formats: `raw` writes one value unchanged, `json` a value or a map, the others a map.

use std::borrow::Cow;

use crate::config::Format;
use crate::domain::{JsonError, MaybeOwned, SecretBytes, SecretMap, SecretValue};

use super::Part;
use super::error::{NoMap, ValueError};
use super::tree::Json;

pub(super) mod dotenv;
pub(super) mod json;
pub(super) mod properties;
pub(super) mod yaml;

/// Renders a part in a format; without one, a value is `raw` and a map is `json`.
pub(super) fn render(part: &Part<'_>, format: Option<Format>) -> Result<SecretBytes, ValueError> {
    let format = format.unwrap_or(if part.one().is_some() { Format::Raw } else { Format::Json });
    let text = match format {
        Format::Raw => return raw(part),
        Format::Json => json(part)?,
        Format::Yaml => yaml::map(&entries(&*map(part, "yaml")?)?),
        Format::Dotenv => dotenv::map(&entries(&*map(part, "dotenv")?)?)?,
        Format::Properties => properties::map(&entries(&*map(part, "properties")?)?),
    };
    Ok(SecretBytes::from(text))
}

/// One value unchanged.
fn raw(part: &Part<'_>) -> Result<SecretBytes, ValueError> {
    let bytes = part.one().ok_or_else(|| ValueError::RawMap(part.keys()))?;
    Ok(SecretBytes::copy_of(bytes.expose()))
}

/// A map, or one value, as JSON.
fn json(part: &Part<'_>) -> Result<String, ValueError> {
    match (part, part.map()) {
        (_, Ok(map)) => Ok(json::map(&entries(&map)?)),
        (Part::Value(value), Err(_)) => Ok(json::datum(&Datum::of(None, value)?)),
        (Part::Whole(_), Err(why @ NoMap::Json(JsonError::Field { .. } | JsonError::Flaw { .. }))) => {
            Err(ValueError::NotAMap { wanted: "json", why })
        }
        (Part::Whole(bytes), Err(_)) => {
            let text = bytes.expose_text().ok_or(ValueError::NotText(None))?;
            Ok(json::datum(&Datum::Text(text.into())))
        }
        (Part::Map(_), Err(_)) => Err(ValueError::Nested(None)),
    }
}

/// The part as a map. `wanted` names the format in the error.
fn map<'a>(part: &'a Part<'_>, wanted: &'static str) -> Result<MaybeOwned<'a, SecretMap>, ValueError> {
    part.map().map_err(|why| ValueError::NotAMap { wanted, why })
}

/// One value to be quoted: a string, or parsed JSON.
pub(super) enum Datum<'a> {
    Text(Cow<'a, str>),
    Json(Json),
}

impl<'a> Datum<'a> {
    /// Parses a value. `key` names it in errors.
    fn of(key: Option<&str>, value: &'a SecretValue) -> Result<Self, ValueError> {
        let key = || key.map(str::to_owned);
        let text = value.raw().expose_text().ok_or_else(|| ValueError::NotText(key()))?;
        match value {
            SecretValue::Text(_) => Ok(Self::Text(text.into())),
            SecretValue::Json(_) => Json::parse(text).map(Self::Json).map_err(|_| ValueError::Nested(key())),
        }
    }
}

impl From<Json> for Datum<'_> {
    fn from(tree: Json) -> Self {
        match tree {
            Json::Text(text) => Self::Text(text.into()),
            other => Self::Json(other),
        }
    }
}

/// A key of a map and its value.
type Entry<'a> = (&'a str, Datum<'a>);

/// Parses every value of a map.
fn entries(map: &SecretMap) -> Result<Vec<Entry<'_>>, ValueError> {
    map.iter().map(|(key, value)| Ok((key, Datum::of(Some(key), value)?))).collect()
}
