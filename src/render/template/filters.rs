//! The filters added to minijinja's own: encodings, quoting, and printing that refuses ambiguous values.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, ErrorKind, State, filters};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use super::super::decode;
use super::super::error::TemplateRenderError;
use super::super::format::{Datum, dotenv, json, properties, yaml};
use super::super::tree::DEPTH;
use super::objects::{flat, groups};
use super::read::{scalar, tree};
use super::trail::{Origin, Trail};
use super::value::{Binary, is_null};
use super::work::{Cost, Counting};

/// Everything except RFC 3986's unreserved characters (2.3) is encoded, the slash too.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Adds the filters and the formatter. `b64decode` is the offset of the template's first use of that filter, for
/// errors.
pub(super) fn add(environment: &mut Environment<'static>, trail: &Arc<Trail>, b64decode: usize) {
    add_stricter(environment, trail);
    add_for_null(environment);
    let own = || Arc::clone(trail);

    let emitted = own();
    environment.set_formatter(move |out, state, value| {
        if let Some(text) = value.as_str() {
            emitted.emit(text)?;
            return minijinja::escape_formatter(out, state, value);
        }
        let text = scalar(value, &emitted)?;
        emitted.emit(&text)?;
        out.write_str(&text).map_err(Error::from)
    });

    let mut counting = Counting { environment, trail };
    let trail = own();
    counting.filter("urlencode", Cost::Items, move |value: &Value| {
        bytes(value, &trail).map(|bytes| percent_encode(&bytes, RESERVED).to_string())
    });
    let trail = own();
    counting.filter("b64encode", Cost::Items, move |value: &Value| {
        bytes(value, &trail).map(|bytes| STANDARD.encode(bytes))
    });
    let trail = own();
    counting.filter("b64decode", Cost::Items, move |value: &Value| {
        let text = scalar(value, &trail)?;
        let decoded = decode::base64(text.as_bytes()).map_err(|_| trail.refuse(TemplateRenderError::Base64))?;
        if let Some(text) = decoded.expose_text() {
            return Ok(Value::from(text));
        }
        let origin = Origin { reference: String::new(), offset: b64decode, trail: Arc::clone(&trail) };
        Ok(Value::from_object(Binary { bytes: decoded.expose().to_owned(), origin: Arc::new(origin) }))
    });
    let trail = own();
    counting.filter("join", Cost::Each, move |value: &Value, between: Rest<Value>| {
        let between = match between.as_slice() {
            [] => String::new(),
            [between] => scalar(between, &trail)?,
            [_, _, ..] => return Err(Error::from(ErrorKind::TooManyArguments)),
        };
        let items = defined(value)?.try_iter()?.checked().map(|item| {
            let item = scalar(&item?, &trail)?;
            trail.grow(item.len() + between.len())?;
            Ok(item)
        });
        items.collect::<Result<Vec<_>, Error>>().map(|items| items.join(&between))
    });
    add_formats(&mut counting);
}

/// The filters that quote one value.
fn add_formats(counting: &mut Counting<'_>) {
    let trail = counting.trail;
    let own = || Arc::clone(trail);
    let trail = own();
    counting.filter("json", Cost::Writing, move |value: &Value| datum(value, &trail).map(|datum| json::datum(&datum)));
    let trail = own();
    counting.filter("yaml", Cost::Writing, move |value: &Value| datum(value, &trail).map(|datum| yaml::datum(&datum)));
    let trail = own();
    counting.filter("dotenv", Cost::Writing, move |value: &Value| {
        dotenv::datum(&datum(value, &trail)?).map_err(|why| trail.refuse(TemplateRenderError::Unquotable(why)))
    });
    let trail = own();
    counting.filter("properties", Cost::Writing, move |value: &Value| {
        properties::datum(&datum(value, &trail)?).ok_or_else(|| trail.refuse(TemplateRenderError::Null))
    });
}

/// Replaces those of minijinja's filters that treat an undefined value as an empty one.
fn add_stricter(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    let mut counting = Counting { environment, trail };
    for name in ["escape", "e"] {
        let trail = Arc::clone(trail);
        counting.filter(name, Cost::Items, move |state: &mut State<'_, '_>, value: &Value| {
            if value.is_safe() {
                return Ok(value.clone());
            }
            filters::escape(state, &Value::from(scalar(value, &trail)?))
        });
    }
    counting.filter("chain", Cost::Items, |state: &State<'_, '_>, value: &Value, others: Rest<Value>| {
        others.iter().try_for_each(|other| defined(other).map(drop))?;
        filters::chain(state, defined(value)?.clone(), others).and_then(|chain| flat(&chain))
    });
    counting.filter("zip", Cost::Items, |state: &State<'_, '_>, value: &Value, others: Rest<Value>| {
        others.iter().try_for_each(|other| defined(other).map(drop))?;
        filters::zip(state, defined(value)?.clone(), others)
    });
    counting.filter("groupby", Cost::Sort, |value: &Value, attribute: Option<&str>, more: Kwargs| {
        groups(&filters::groupby(defined(value)?.clone(), attribute, more)?)
    });
}

/// Makes JSON null count as `none`, and lets `default` replace it like a missing value.
fn add_for_null(environment: &mut Environment<'static>) {
    environment.add_test("none", |value: &Value| is_null(value));
    for name in ["default", "d"] {
        environment.add_filter(name, |state: &State<'_, '_>, value: &Value, others: Rest<Value>| {
            let is_absent = is_null(value) && !value.is_none();
            filters::default(state, if is_absent { &Value::UNDEFINED } else { value }, others)
        });
    }
}

/// The value, or the error of an undefined one.
fn defined(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() { Err(Error::from(ErrorKind::UndefinedError)) } else { Ok(value) }
}

/// A value to be quoted.
fn datum(value: &Value, trail: &Trail) -> Result<Datum<'static>, Error> {
    tree(value, DEPTH, trail).map(Datum::from)
}

/// A value as bytes.
fn bytes(value: &Value, trail: &Trail) -> Result<Vec<u8>, Error> {
    match value.downcast_object_ref::<Binary>() {
        Some(binary) => Ok(binary.bytes.clone()),
        None => scalar(value, trail).map(String::into_bytes),
    }
}
