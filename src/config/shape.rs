//! The shape of the configuration as data: one description for validation, merging of layers, JSON Schema, and the
//! names of flags, variables and annotations.

use super::form::Form;

/// What a key may contain.
#[derive(Debug)]
pub(super) enum Shape {
    /// A single value.
    Single(Form),
    /// A single value or a map. With `into`, the value is short for a map with that field.
    Short {
        /// The form of the single value.
        form: Form,
        /// The field that the single value sets.
        into: Option<&'static str>,
        /// The fields of the map.
        long: &'static Object,
    },
    /// A list.
    List {
        /// The shape of each item.
        item: &'static Shape,
        /// Whether a single item may be written without the list.
        single_item: SingleItem,
    },
    /// A map with user-defined names.
    Map {
        /// The kind of names.
        names: Names,
        /// The shape of each value.
        value: &'static Shape,
    },
    /// A map with these fields.
    Object(&'static Object),
    /// A map whose other fields depend on one of them.
    Tagged(&'static Tagged),
}

/// Whether a single item may be written instead of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SingleItem {
    /// `restart` for `[restart]`.
    Allowed,
    /// A list must be written as one.
    Refused,
}

/// The kind of names in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Entries of `secrets`.
    Secrets,
    /// Files below the volume.
    Files,
    /// Environment variables.
    Variables,
}

/// A map with known fields.
#[derive(Debug)]
pub(super) struct Object {
    /// Its fields.
    pub(super) fields: &'static [Field],
    /// Fields that exclude each other.
    pub(super) choice: Option<Choice>,
}

/// Alternatives of which one is used. Each is a list of fields: the first identifies the alternative, the others may
/// accompany it.
#[derive(Debug)]
pub(super) struct Choice {
    /// The alternatives.
    pub(super) ways: &'static [&'static [&'static str]],
    /// Whether one of them is required.
    pub(super) presence: Presence,
}

/// Whether something is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It is.
    Required,
    /// It may be left out.
    Optional,
}

/// A field of a map.
#[derive(Debug)]
pub(super) struct Field {
    /// The key.
    pub(super) name: &'static str,
    /// The description.
    pub(super) doc: &'static str,
    /// The shape of the value.
    pub(super) shape: Shape,
    /// Whether it is required in the merged tree.
    pub(super) presence: Presence,
    /// Who may set it.
    pub(super) source: Source,
    /// The value that applies when no layer sets it.
    pub(super) default: DefaultValue,
    /// Whether the key has a command-line flag of its own.
    pub(super) flag: FlagKind,
}

/// The value that applies when no layer sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefaultValue {
    /// Nothing.
    None,
    /// This value, in its written form.
    Value(&'static str),
    /// A value that this phrase describes.
    Described(&'static str),
}

/// The command-line flag of a key. Its name is the key in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagKind {
    /// Only `--set KEY=VALUE`.
    None,
    /// `--name`, which means `true`.
    Switch,
    /// `--name VALUE`; the word is the placeholder in help texts.
    Value(&'static str),
}

/// Who may set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Everyone.
    Any,
    /// Everyone but pod annotations, which must not weaken the operator's settings.
    NeverAnnotation,
}

/// A map whose fields depend on `tag`.
#[derive(Debug)]
pub(super) struct Tagged {
    /// The field that decides.
    pub(super) tag: &'static Field,
    /// Its possible values.
    pub(super) variants: &'static [Variant],
}

/// One value of the tag, with its fields.
#[derive(Debug)]
pub(super) struct Variant {
    /// The value.
    pub(super) name: &'static str,
    /// The description.
    pub(super) doc: &'static str,
    /// The other fields.
    pub(super) object: Object,
}

impl Field {
    /// The description, followed by the default if there is one.
    pub(super) fn doc_with_default(&self) -> String {
        match self.default {
            DefaultValue::None => self.doc.to_owned(),
            DefaultValue::Value(text) | DefaultValue::Described(text) => format!("{} Default: {text}.", self.doc),
        }
    }

    /// An optional field that everyone may set.
    pub(super) const fn new(name: &'static str, shape: Shape, doc: &'static str) -> Self {
        Self {
            name,
            doc,
            shape,
            presence: Presence::Optional,
            source: Source::Any,
            default: DefaultValue::None,
            flag: FlagKind::None,
        }
    }

    /// A field with a single value.
    pub(super) const fn single(name: &'static str, form: Form, doc: &'static str) -> Self {
        Self::new(name, Shape::Single(form), doc)
    }

    /// Makes the field required.
    pub(super) const fn required(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }

    /// Sets the default value.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = DefaultValue::Value(value);
        self
    }

    /// Sets a phrase that describes the default.
    pub(super) const fn default_is(mut self, phrase: &'static str) -> Self {
        self.default = DefaultValue::Described(phrase);
        self
    }

    /// Adds a flag `--name VALUE`.
    pub(super) const fn flag(mut self, value: &'static str) -> Self {
        self.flag = FlagKind::Value(value);
        self
    }

    /// Adds a flag `--name` that means `true`.
    pub(super) const fn switch(mut self) -> Self {
        self.flag = FlagKind::Switch;
        self
    }

    /// Refuses the field in annotations.
    pub(super) const fn never_by_annotation(mut self) -> Self {
        self.source = Source::NeverAnnotation;
        self
    }
}

impl Tagged {
    /// The tag and the fields of all variants, without duplicates.
    pub(super) fn fields(&self) -> Vec<&'static Field> {
        let mut fields = vec![self.tag];
        for field in self.variants.iter().flat_map(|variant| variant.object.fields) {
            if !fields.iter().any(|known| known.name == field.name) {
                fields.push(field);
            }
        }
        fields
    }

    /// The variant with this name.
    pub(super) fn variant(&self, name: &str) -> Option<&'static Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }
}

impl Shape {
    /// The fields that a map of this shape may have; empty if there are none, or for user-defined names.
    pub(super) fn fields(&self) -> Vec<&'static Field> {
        match self {
            Self::Short { long, .. } => long.fields.iter().collect(),
            Self::Object(object) => object.fields.iter().collect(),
            Self::Tagged(tagged) => tagged.fields(),
            Self::Single(_) | Self::List { .. } | Self::Map { .. } => Vec::new(),
        }
    }

    /// The shape of the value under `key`.
    pub(super) fn under(&self, key: &str) -> Option<&'static Shape> {
        match self {
            Self::Map { value, .. } => Some(value),
            _ => self.fields().into_iter().find(|field| field.name == key).map(|field| &field.shape),
        }
    }

    /// Whether a single value is permitted.
    pub(super) fn is_single(&self) -> bool {
        matches!(self, Self::Single(_) | Self::Short { .. } | Self::List { single_item: SingleItem::Allowed, .. })
    }

    /// The choice between fields, if there is one. (Of the variants of a tagged map only one has a choice.)
    pub(super) fn choice(&self) -> Option<&'static Choice> {
        match self {
            Self::Short { long, .. } => long.choice.as_ref(),
            Self::Object(object) => object.choice.as_ref(),
            Self::Tagged(tagged) => tagged.variants.iter().find_map(|variant| variant.object.choice.as_ref()),
            Self::Single(_) | Self::List { .. } | Self::Map { .. } => None,
        }
    }
}
