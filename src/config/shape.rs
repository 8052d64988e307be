//! The shape of the configuration as data: one description drives the checks, the merging of layers, the JSON Schema
//! and the names in flags, variables and annotations.

use super::form::Form;

/// What may stand under a key.
#[derive(Debug)]
pub(super) enum Shape {
    /// A single value.
    Single(Form),
    /// A single value or a map. With `into`, the value is short for a map of that one field.
    Short {
        /// The single value.
        form: Form,
        /// The field it stands for.
        into: Option<&'static str>,
        /// The long form.
        long: &'static Object,
    },
    /// Values in order.
    List {
        /// Each of them.
        item: &'static Shape,
        /// Whether one value may stand without the list.
        single_item: SingleItem,
    },
    /// A map with names of the user's.
    Map {
        /// What the names are.
        names: Names,
        /// Each value.
        value: &'static Shape,
    },
    /// A map with these fields.
    Object(&'static Object),
    /// A map whose other fields depend on one of them.
    Tagged(&'static Tagged),
}

/// Whether one item may stand for a list of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SingleItem {
    /// `restart` for `[restart]`.
    Allowed,
    /// A list must be written as one.
    Refused,
}

/// What the names of a map are.
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

/// Ways to say one thing, of which one is taken: each is a field that decides (the first), and fields that go with it, or
/// with a few of them.
#[derive(Debug)]
pub(super) struct Choice {
    /// The ways.
    pub(super) ways: &'static [&'static [&'static str]],
    /// Whether one must be there.
    pub(super) presence: Presence,
}

/// Whether something must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// It must.
    Required,
    /// It may be left out.
    Optional,
}

/// One key.
#[derive(Debug)]
pub(super) struct Field {
    /// As it is written.
    pub(super) name: &'static str,
    /// A sentence for people.
    pub(super) doc: &'static str,
    /// What stands there.
    pub(super) shape: Shape,
    /// Whether it must be there once all layers are one.
    pub(super) presence: Presence,
    /// Who may say it.
    pub(super) source: Source,
    /// What counts when no layer says anything.
    pub(super) default: DefaultValue,
    /// Whether the key has a command-line flag of its own.
    pub(super) flag: FlagKind,
}

/// What counts when no layer sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DefaultValue {
    /// Nothing.
    None,
    /// This value, as it would be written.
    Value(&'static str),
    /// What this phrase describes.
    Described(&'static str),
}

/// The command-line flag of a key. Its name is the key's, in kebab case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FlagKind {
    /// Only `--set KEY=VALUE`.
    None,
    /// `--name`, which means `true`.
    Switch,
    /// `--name VALUE`; the word names the value in help texts.
    Value(&'static str),
}

/// Who may say a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Everybody.
    Any,
    /// Never a pod annotation: it would weaken what the operator decided.
    NeverAnnotation,
}

/// A map whose fields depend on `tag`.
#[derive(Debug)]
pub(super) struct Tagged {
    /// The field that decides.
    pub(super) tag: &'static Field,
    /// What it may be.
    pub(super) variants: &'static [Variant],
}

/// One value of the tag.
#[derive(Debug)]
pub(super) struct Variant {
    /// As it is written.
    pub(super) name: &'static str,
    /// A sentence for people.
    pub(super) doc: &'static str,
    /// The other fields.
    pub(super) object: Object,
}

impl Field {
    /// The sentence, and the default where there is one.
    pub(super) fn doc_with_default(&self) -> String {
        match self.default {
            DefaultValue::None => self.doc.to_owned(),
            DefaultValue::Value(text) | DefaultValue::Described(text) => format!("{} Default: {text}.", self.doc),
        }
    }

    /// A field that everybody may set and nobody must.
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

    /// A single value.
    pub(super) const fn single(name: &'static str, form: Form, doc: &'static str) -> Self {
        Self::new(name, Shape::Single(form), doc)
    }

    /// The same, but it must be there.
    pub(super) const fn required(mut self) -> Self {
        self.presence = Presence::Required;
        self
    }

    /// The same, with the value that counts when no layer sets it.
    pub(super) const fn default(mut self, value: &'static str) -> Self {
        self.default = DefaultValue::Value(value);
        self
    }

    /// The same, with a phrase for what counts when no layer sets it.
    pub(super) const fn default_is(mut self, phrase: &'static str) -> Self {
        self.default = DefaultValue::Described(phrase);
        self
    }

    /// The same, with a flag `--name VALUE`.
    pub(super) const fn flag(mut self, value: &'static str) -> Self {
        self.flag = FlagKind::Value(value);
        self
    }

    /// The same, with a flag `--name` that means `true`.
    pub(super) const fn switch(mut self) -> Self {
        self.flag = FlagKind::Switch;
        self
    }

    /// The same, but no annotation may set it.
    pub(super) const fn never_by_annotation(mut self) -> Self {
        self.source = Source::NeverAnnotation;
        self
    }
}

impl Tagged {
    /// The tag, and the fields of every variant; a name that several have stands once.
    pub(super) fn fields(&self) -> Vec<&'static Field> {
        let mut fields = vec![self.tag];
        for field in self.variants.iter().flat_map(|variant| variant.object.fields) {
            if !fields.iter().any(|known| known.name == field.name) {
                fields.push(field);
            }
        }
        fields
    }

    /// The variant of that name.
    pub(super) fn variant(&self, name: &str) -> Option<&'static Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }
}

impl Shape {
    /// The fields a map here can have; nothing where names are the user's or no map can stand.
    pub(super) fn fields(&self) -> Vec<&'static Field> {
        match self {
            Self::Short { long, .. } => long.fields.iter().collect(),
            Self::Object(object) => object.fields.iter().collect(),
            Self::Tagged(tagged) => tagged.fields(),
            Self::Single(_) | Self::List { .. } | Self::Map { .. } => Vec::new(),
        }
    }

    /// The shape under one key of a map here.
    pub(super) fn under(&self, key: &str) -> Option<&'static Shape> {
        match self {
            Self::Map { value, .. } => Some(value),
            _ => self.fields().into_iter().find(|field| field.name == key).map(|field| &field.shape),
        }
    }

    /// Whether a single value can stand here.
    pub(super) fn is_single(&self) -> bool {
        matches!(self, Self::Single(_) | Self::Short { .. } | Self::List { single_item: SingleItem::Allowed, .. })
    }

    /// The choice of a map here.
    pub(super) fn choice(&self) -> Option<&'static Choice> {
        match self {
            Self::Short { long, .. } => long.choice.as_ref(),
            Self::Object(object) => object.choice.as_ref(),
            _ => None,
        }
    }
}
