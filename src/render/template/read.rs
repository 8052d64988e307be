//! Values as text and as JSON.

use minijinja::value::{ObjectRepr, Value};
use minijinja::{Error, ErrorKind};

use super::super::error::TemplateRenderError;
use super::super::tree::Json;
use super::trail::Trail;
use super::value::{Binary, Keyed, Listed, Null, Written, is_null};

/// A value as text. Fails for undefined, null, maps, lists and bytes.
pub(super) fn scalar(value: &Value, trail: &Trail) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    if value.is_none() {
        return Err(trail.refuse(TemplateRenderError::Null));
    }
    if value.is_number() {
        return Ok(value.to_string());
    }
    if let Ok(value) = bool::try_from(value.clone()) {
        return Ok(if value { "true" } else { "false" }.to_owned());
    }
    if let Some(null) = value.downcast_object_ref::<Null>() {
        return Err(trail.refuse(null.trouble()));
    }
    if let Some(Written(written)) = value.downcast_object_ref() {
        return Ok(written.clone());
    }
    if let Some(Keyed { whole: Some(whole), .. }) = value.downcast_object_ref() {
        return Ok(whole.clone());
    }
    let is_binary = value.as_bytes().is_some() || value.downcast_object_ref::<Binary>().is_some();
    Err(trail.refuse(if is_binary { TemplateRenderError::Binary } else { TemplateRenderError::Collection }))
}

/// A value as JSON.
pub(super) fn tree(value: &Value, depth: usize, trail: &Trail) -> Result<Json, Error> {
    let depth = depth.checked_sub(1).ok_or_else(|| trail.refuse(TemplateRenderError::TooDeep))?;
    if let Some(map @ Keyed { entries, .. }) = value.downcast_object_ref() {
        if let Some((key, fault)) = map.faults.first() {
            return Err(trail.refuse(map.faulty(key, fault.as_ref())));
        }
        let entry = |(key, value): &(String, Value)| Ok((key.clone(), tree(value, depth, trail)?));
        return entries.iter().map(entry).collect::<Result<_, Error>>().map(Json::Map);
    }
    if let Some(Listed { items, .. }) = value.downcast_object_ref() {
        return items.iter().map(|item| tree(item, depth, trail)).collect::<Result<_, Error>>().map(Json::List);
    }
    if let Some(Written(written)) = value.downcast_object_ref() {
        return Ok(Json::Number(written.clone()));
    }
    if is_null(value) {
        return Ok(Json::Null);
    }
    if value.is_number() {
        let text = value.to_string();
        let is_json = text.bytes().last().is_some_and(|byte| byte.is_ascii_digit());
        return if is_json { Ok(Json::Number(text)) } else { Err(trail.refuse(TemplateRenderError::NoDatum)) };
    }
    if let Ok(value) = bool::try_from(value.clone()) {
        return Ok(Json::Bool(value));
    }
    match value.as_object().map(|object| object.repr()) {
        Some(ObjectRepr::Map) => {
            let entry = |key: Value| Ok((scalar(&key, trail)?, tree(&value.get_item(&key)?, depth, trail)?));
            value.try_iter()?.checked().map(|key| entry(key?)).collect::<Result<_, Error>>().map(Json::Map)
        }
        Some(ObjectRepr::Seq | ObjectRepr::Iterable) => {
            let items = value.try_iter()?.checked();
            items.map(|item| tree(&item?, depth, trail)).collect::<Result<_, Error>>().map(Json::List)
        }
        _ => scalar(value, trail).map(Json::Text),
    }
}
