//! The formats: `raw` is one value byte for byte, `json` either, the others write a map.

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

/// The part in a format; `None` is `raw` for one value and `json` for a map.
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

fn raw(part: &Part<'_>) -> Result<SecretBytes, ValueError> {
    let bytes = part.one().ok_or_else(|| ValueError::RawMap(part.keys()))?;
    Ok(SecretBytes::copy_of(bytes.expose()))
}

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

fn map<'a>(part: &'a Part<'_>, wanted: &'static str) -> Result<MaybeOwned<'a, SecretMap>, ValueError> {
    part.map().map_err(|why| ValueError::NotAMap { wanted, why })
}

/// One value, ready to be quoted: text as it is, anything else as a tree.
pub(super) enum Datum<'a> {
    Text(Cow<'a, str>),
    Json(Json),
}

impl<'a> Datum<'a> {
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

type Entry<'a> = (&'a str, Datum<'a>);

fn entries(map: &SecretMap) -> Result<Vec<Entry<'_>>, ValueError> {
    map.iter().map(|(key, value)| Ok((key, Datum::of(Some(key), value)?))).collect()
}
