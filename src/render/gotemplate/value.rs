//! The values of a template, with the Go types that determine how they print, compare and are passed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::time::Moment;

/// The bytes of a Go string, which need not be UTF-8.
pub(super) type Text = Rc<[u8]>;
/// A map with string keys, in the order of Go's output.
pub(super) type Map = BTreeMap<Text, Value>;

/// A value. No `Debug`, because it may be a secret.
///
/// With a tag of a byte, everything behind it would be moved as bytes that are not aligned, which processors do slowly.
#[derive(Clone)]
#[repr(u64)]
pub(super) enum Value {
    /// No value: a field of nothing.
    Invalid,
    /// A nil interface.
    Nil,
    /// A nil pointer of this type.
    NilPointer(&'static str),
    /// It depends on a secret that is not fetched yet, so it is known only in a later round.
    Pending,
    Bool(bool),
    Int(i64, Int),
    Uint(u64, Uint),
    Float(f64),
    /// A `json.Number`, as written.
    Number(Text),
    String(Text),
    List(Rc<Vec<Value>>, Elements),
    Map(Rc<Map>, Elements),
    /// The numbers of `loop`: from the first, up to but not including the second.
    Loop(i64, i64),
    Secret(Rc<Secret>),
    Pem(Rc<Pem>),
    Scratch(Scratch),
    Time(Moment),
}

/// The type of a signed integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Int {
    Int,
    Int64,
}

/// The type of an unsigned integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Uint {
    Uint64,
    Byte,
}

/// The element type of a list or map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Elements {
    Any,
    Strings,
    /// As `Any`, in a map whose keys may be of any type to Go, as `parseYAML` returns them.
    AnyKeys,
}

/// The result of `secret`: `*dependency.Secret`.
pub(super) struct Secret {
    pub(super) lease_id: String,
    pub(super) lease_duration: i64,
    pub(super) renewable: bool,
    pub(super) data: Value,
}

/// The result of `pkiCert`.
pub(super) struct Pem {
    pub(super) cert: Text,
    pub(super) key: Text,
    pub(super) ca: Text,
    pub(super) chain: Value,
    pub(super) data: Value,
}

/// The result of `scratch`; all uses in one rendering share it.
#[derive(Clone, Default)]
pub(super) struct Scratch(pub(super) Rc<RefCell<BTreeMap<Text, Value>>>);

impl Elements {
    /// The value of a missing key.
    pub(super) fn zero(self) -> Value {
        match self {
            Self::Any | Self::AnyKeys => Value::Nil,
            Self::Strings => Value::text(""),
        }
    }
}

impl Value {
    /// A string.
    pub(super) fn text(text: impl AsRef<[u8]>) -> Self {
        Self::String(Text::from(text.as_ref()))
    }

    /// An `int`.
    pub(super) fn int(value: i64) -> Self {
        Self::Int(value, Int::Int)
    }

    /// A list of any values.
    pub(super) fn list(items: Vec<Value>) -> Self {
        Self::List(Rc::new(items), Elements::Any)
    }

    /// A list of strings.
    pub(super) fn strings(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        Self::List(Rc::new(items.into_iter().map(Self::text).collect()), Elements::Strings)
    }

    /// A map of any values.
    pub(super) fn map(map: Map) -> Self {
        Self::Map(Rc::new(map), Elements::Any)
    }

    /// The type's name in Go.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Invalid | Self::Nil | Self::Pending => "<nil>",
            Self::NilPointer(name) => name,
            Self::Bool(_) => "bool",
            Self::Int(_, Int::Int) => "int",
            Self::Int(_, Int::Int64) => "int64",
            Self::Uint(_, Uint::Uint64) => "uint64",
            Self::Uint(_, Uint::Byte) => "uint8",
            Self::Float(_) => "float64",
            Self::Number(_) => "json.Number",
            Self::String(_) => "string",
            Self::List(_, Elements::Any | Elements::AnyKeys) => "[]interface {}",
            Self::List(_, Elements::Strings) => "[]string",
            Self::Map(_, Elements::Any) => "map[string]interface {}",
            Self::Map(_, Elements::Strings) => "map[string]string",
            Self::Map(_, Elements::AnyKeys) => "map[interface {}]interface {}",
            Self::Loop(..) => "<-chan int64",
            Self::Secret(_) => "*dependency.Secret",
            Self::Pem(_) => "dependency.PemEncoded",
            Self::Scratch(_) => "*template.Scratch",
            Self::Time(_) => "time.Time",
        }
    }

    /// Whether the value counts as true in `if`.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Invalid | Self::Nil | Self::NilPointer(_) | Self::Pending => false,
            Self::Bool(value) => *value,
            Self::Int(value, _) => *value != 0,
            Self::Uint(value, _) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Number(text) | Self::String(text) => !text.is_empty(),
            Self::List(list, _) => !list.is_empty(),
            Self::Map(map, _) => !map.is_empty(),
            Self::Loop(..) | Self::Secret(_) | Self::Pem(_) | Self::Scratch(_) | Self::Time(_) => true,
        }
    }

    /// Whether the value is nil or no value at all.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Invalid | Self::Nil)
    }

    /// The value's size without nested values, in bytes, for the limit of one rendering.
    pub(super) fn weight(&self) -> usize {
        const NODE: usize = 32;
        match self {
            Self::Number(text) | Self::String(text) => NODE + text.len(),
            Self::List(list, _) => NODE * (1 + list.len()),
            Self::Map(map, _) => NODE * (1 + 2 * map.len()),
            _ => NODE,
        }
    }
}
