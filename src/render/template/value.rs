//! Secrets as values of minijinja. These objects know their origin, record keys that are missing, and refuse to become
//! text when they are not text.

use std::fmt;
use std::sync::{Arc, OnceLock};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

use crate::domain::{JsonError, PickError, SecretBytes, SecretMap, SecretRef, SecretValue};

use super::super::Part;
use super::super::error::{TemplateRenderError, ValueError};
use super::super::tree::Json;
use super::trail::{MissingKey, Origin, Trail};

/// The work for one value besides the bytes of its text.
pub(super) const NODE: usize = 8;

/// The result of `secret('…')`.
pub(super) enum Answer {
    Value(Value),
    /// An undefined value, which `default` replaces; any other use is an error.
    Missing(MissingKey),
}

impl Answer {
    /// The value of a part; `offset` is that of the call.
    pub(super) fn of(
        part: &Part<'_>,
        reference: &SecretRef,
        offset: usize,
        trail: &Arc<Trail>,
    ) -> Result<Self, ValueError> {
        let origin = Arc::new(Origin { reference: reference.to_string(), offset, trail: Arc::clone(trail) });
        let value = match part {
            Part::Map(map) => keyed(map, Vec::new(), None, &origin),
            Part::Value(value) => one(None, value, &origin)?,
            Part::Whole(bytes) => {
                let object = SecretMap::from_faulty_json(bytes.expose()).ok().zip(bytes.expose_text());
                let keyed = object.map(|((map, faults), whole)| {
                    let faults = faults.into_iter().map(|(key, fault)| (key, Some(fault))).collect();
                    keyed(&map, faults, Some(whole), &origin)
                });
                keyed.unwrap_or_else(|| text(bytes, &origin))
            }
        };
        Ok(Self::Value(value))
    }

    /// The result for a part that could not be picked: a missing key or null is not an error yet, everything else is.
    pub(super) fn missing(
        reference: &SecretRef,
        offset: usize,
        why: ValueError,
        trail: &Arc<Trail>,
    ) -> Result<Self, ValueError> {
        let reference = reference.to_string();
        match why {
            ValueError::Pick(PickError::NoKey { key, known }) => {
                Ok(Self::Missing(MissingKey { reference, offset, key, known: known.into() }))
            }
            ValueError::Pick(PickError::Null(key)) => {
                let origin = Arc::new(Origin { reference, offset, trail: Arc::clone(trail) });
                Ok(Self::Value(Value::from_object(Null { key: Some(key), origin })))
            }
            why => Err(why),
        }
    }
}

/// A map. Values that cannot be parsed are added to `faults`.
fn keyed(
    map: &SecretMap,
    mut faults: Vec<(String, Option<JsonError>)>,
    whole: Option<&str>,
    origin: &Arc<Origin>,
) -> Value {
    let mut entries = Vec::new();
    for (key, value) in map.iter() {
        match one(Some(key), value, origin) {
            Ok(value) => entries.push((key.to_owned(), value)),
            Err(_) => faults.push((key.to_owned(), None)),
        }
    }
    Value::from_object(Keyed::new(entries, faults, whole.map(str::to_owned), origin))
}

/// One value; `key` names it in errors.
fn one(key: Option<&str>, value: &SecretValue, origin: &Arc<Origin>) -> Result<Value, ValueError> {
    let unreadable = || ValueError::Nested(key.map(str::to_owned));
    match value {
        SecretValue::Text(bytes) => Ok(text(bytes, origin)),
        SecretValue::Json(json) => {
            let json = json.expose_text().and_then(|json| Json::parse(json).ok()).ok_or_else(unreadable)?;
            Ok(nested(key, json, origin))
        }
    }
}

/// A string, or bytes if it is not UTF-8.
fn text(bytes: &SecretBytes, origin: &Arc<Origin>) -> Value {
    match bytes.expose_text() {
        Some(text) => Value::from(text),
        None => Value::from_object(Binary { bytes: bytes.expose().to_owned(), origin: Arc::clone(origin) }),
    }
}

/// Parsed JSON as a value.
fn nested(key: Option<&str>, json: Json, origin: &Arc<Origin>) -> Value {
    match json {
        Json::Null => Value::from_object(Null { key: key.map(str::to_owned), origin: Arc::clone(origin) }),
        Json::Bool(value) => Value::from(value),
        Json::Number(written) => number(written),
        Json::Text(text) => Value::from(text),
        Json::List(items) => {
            let items: Vec<_> = items.into_iter().map(|item| nested(None, item, origin)).collect();
            let size = items.iter().map(size).sum();
            Value::from_object(Listed { items, size, origin: Arc::clone(origin) })
        }
        Json::Map(entries) => {
            let entry = |(key, value): (String, Json)| {
                let value = nested(Some(&key), value, origin);
                (key, value)
            };
            let entries = entries.into_iter().map(entry).collect();
            Value::from_object(Keyed::new(entries, Vec::new(), None, origin))
        }
    }
}

/// A number of minijinja's if it prints as written; otherwise (`1.50`, `1e3`) an object that does.
fn number(written: String) -> Value {
    let integer = written.parse::<i64>().map(Value::from);
    let native = integer.or_else(|_| written.parse::<f64>().map(Value::from));
    match native {
        Ok(value) if value.to_string() == written => value,
        _ => Value::from_object(Written(written)),
    }
}

macro_rules! without_value {
    ($($name:ident),*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[secret]")
            }
        }
    )* };
}
without_value!(Keyed, Listed, Written, Binary, Null);

/// A map.
pub(super) struct Keyed {
    pub(super) entries: Vec<(String, Value)>,
    /// Keys whose value cannot be used, and why; `None` means nested too deep, or a repeated key in it.
    pub(super) faults: Vec<(String, Option<JsonError>)>,
    /// The original text, if the reference is to one value that is a JSON object: it prints unchanged.
    pub(super) whole: Option<String>,
    /// The work of looking at all of it.
    pub(super) size: usize,
    /// The entries in the order of their keys, if there are more than a few.
    sorted: OnceLock<Vec<usize>>,
    /// The keys, for errors.
    names: OnceLock<Arc<[String]>>,
    origin: Arc<Origin>,
}

impl Keyed {
    fn new(
        entries: Vec<(String, Value)>,
        faults: Vec<(String, Option<JsonError>)>,
        whole: Option<String>,
        origin: &Arc<Origin>,
    ) -> Self {
        let size = entries.iter().map(|(key, value)| NODE + key.len() + size(value)).sum::<usize>();
        let size = size + whole.as_ref().map_or(0, String::len);
        let (sorted, names) = Default::default();
        Self { entries, faults, whole, size, sorted, names, origin: Arc::clone(origin) }
    }

    /// The value of a key: a loop looks up each of thousands.
    fn entry(&self, key: &str) -> Option<&Value> {
        const FEW: usize = 16;
        if self.entries.len() <= FEW {
            return self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        }
        let name = |index: &usize| self.entries[*index].0.as_str();
        let sorted = self.sorted.get_or_init(|| {
            let mut sorted: Vec<usize> = (0..self.entries.len()).collect();
            sorted.sort_by_key(name);
            sorted
        });
        let found = sorted.partition_point(|index| name(index) < key);
        let (name, value) = &self.entries[*sorted.get(found)?];
        (name == key).then_some(value)
    }

    /// The error of a faulty key.
    pub(super) fn faulty(&self, key: &str, fault: Option<&JsonError>) -> TemplateRenderError {
        let why = match fault {
            Some(fault) => ValueError::Pick(PickError::Faulty(fault.clone())),
            None => ValueError::Nested(Some(key.to_owned())),
        };
        TemplateRenderError::Reference { reference: self.origin.reference.clone(), why }
    }
}

impl Object for Keyed {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(value) = self.entry(key) {
            return Some(value.clone());
        }
        if let Some((key, fault)) = self.faults.iter().find(|(name, _)| name == key) {
            _ = self.origin.misused(self.faulty(key, fault.as_ref()));
            return None;
        }
        let known = self.names.get_or_init(|| self.entries.iter().map(|(name, _)| name.clone()).collect());
        let known = Arc::clone(known);
        let reference = self.origin.reference.clone();
        self.origin.trail.missed(MissingKey { reference, offset: self.origin.offset, key: key.to_owned(), known });
        None
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let faulty = self.faults.iter().map(|(key, _)| key);
        Enumerator::Values(
            self.entries.iter().map(|(key, _)| key).chain(faulty).map(|key| Value::from(key.as_str())).collect(),
        )
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len() + self.faults.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whole {
            Some(text) => f.write_str(text),
            None => self.origin.misused(TemplateRenderError::Collection),
        }
    }
}

/// The work of looking at a value that is part of a secret.
pub(super) fn size(value: &Value) -> usize {
    let object = value.downcast_object_ref::<Keyed>().map(|map| map.size);
    let object = object.or_else(|| value.downcast_object_ref::<Listed>().map(|list| list.size));
    let object = object.or_else(|| value.downcast_object_ref::<Written>().map(|number| number.0.len()));
    let object = object.or_else(|| value.downcast_object_ref::<Binary>().map(|binary| binary.bytes.len()));
    NODE + object.unwrap_or_else(|| value.as_str().map_or(0, str::len))
}

/// Whether a value is one of the objects of this module that have parts or text.
pub(super) fn is_secret(value: &Value) -> bool {
    value.downcast_object_ref::<Keyed>().is_some()
        || value.downcast_object_ref::<Listed>().is_some()
        || value.downcast_object_ref::<Written>().is_some()
        || value.downcast_object_ref::<Binary>().is_some()
}

/// A list.
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    /// The work of looking at all of it.
    pub(super) size: usize,
    origin: Arc<Origin>,
}

impl Object for Listed {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.items.get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.items.len())
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.misused(TemplateRenderError::Collection)
    }
}

/// A number that minijinja would print differently than it was written. In arithmetic and comparisons it is not a
/// number.
pub(super) struct Written(pub(super) String);

impl Object for Written {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.split(['e', 'E']).next().is_some_and(|mantissa| mantissa.contains(|c| ('1'..='9').contains(&c)))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Bytes that are not text.
pub(super) struct Binary {
    pub(super) bytes: Vec<u8>,
    pub(super) origin: Arc<Origin>,
}

impl Object for Binary {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.misused(TemplateRenderError::Binary)
    }
}

/// JSON null: false, equal to `none`, and never text.
pub(super) struct Null {
    /// Its key; `None` in a list.
    key: Option<String>,
    origin: Arc<Origin>,
}

impl Null {
    /// The error of using null as text.
    pub(super) fn trouble(&self) -> TemplateRenderError {
        match &self.key {
            Some(key) => TemplateRenderError::Reference {
                reference: self.origin.reference.clone(),
                why: ValueError::Pick(PickError::Null(key.clone())),
            },
            None => TemplateRenderError::Null,
        }
    }
}

impl Object for Null {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.misused(self.trouble())
    }
}

/// Whether the value is JSON null or the template's own `none`.
pub(super) fn is_null(value: &Value) -> bool {
    value.is_none() || value.downcast_object_ref::<Null>().is_some()
}
