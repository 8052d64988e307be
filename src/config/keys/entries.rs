//! The keys of `secrets`, `files`, `env` and `envFrom`.

use super::super::form::Form;
use super::super::shape::{Choice, Field, Object, Presence, Shape};

const FROM: Field = Field::single("from", Form::Reference, "Where the secret is.");
const OWN_REFRESH: Field = Field::single("refresh", Form::Duration, "Its own interval, when it has no lease.");

pub(super) static SECRET: Shape = Shape::Short {
    form: Form::Reference,
    into: Some("from"),
    long: &Object { fields: &[FROM.required(), OWN_REFRESH], choice: None },
};

const FORMAT: Field =
    Field::single("format", Form::Words(&["raw", "json", "yaml", "dotenv", "properties"]), "How it is written.")
        .default_is("raw for one value, json for a map");
const DECODE: Field = Field::single("decode", Form::Words(&["base64"]), "An encoding to undo first.");
const TEMPLATE: Field = Field::single("template", Form::Any, "A template over secret().");
const TEMPLATE_FILE: Field =
    Field::single("templateFile", Form::Path, "The file that holds the template.").never_by_annotation();
const LANGUAGE: Field =
    Field::single("language", Form::Words(&["jinja", "go"]), "The template's language.").default_is("templateLanguage");
const LEFT: Field = Field::single("leftDelimiter", Form::Plain, "What opens an action of a Go template.").default("{{");
const RIGHT: Field =
    Field::single("rightDelimiter", Form::Plain, "What closes an action of a Go template.").default("}}");
const ON_MISSING: Field = Field::single(
    "errorOnMissingKey",
    Form::Bool,
    "A key that is not there is an error in a Go template, and not the text `<no value>`.",
)
.default("false");
const CONTENT: Option<Choice> = Some(Choice {
    ways: &[
        &["from", "format", "decode"],
        &["template", "language", "leftDelimiter", "rightDelimiter", "errorOnMissingKey"],
        &["templateFile", "language", "leftDelimiter", "rightDelimiter", "errorOnMissingKey"],
    ],
    presence: Presence::Required,
});

pub(super) static FILE: Shape = Shape::Short {
    form: Form::Reference,
    into: Some("from"),
    long: &Object {
        fields: &[
            FROM,
            FORMAT,
            DECODE,
            TEMPLATE,
            TEMPLATE_FILE,
            LANGUAGE,
            LEFT,
            RIGHT,
            ON_MISSING,
            Field::single("mode", Form::Mode, "Octal, in quotes.").default_is("\"0400\", with a group \"0440\""),
            OWN_REFRESH,
        ],
        choice: CONTENT,
    },
};

pub(super) static VARIABLE: Shape = Shape::Short {
    form: Form::Reference,
    into: Some("from"),
    long: &Object {
        fields: &[FROM, FORMAT, DECODE, TEMPLATE, TEMPLATE_FILE, LANGUAGE, LEFT, RIGHT, ON_MISSING],
        choice: CONTENT,
    },
};

pub(super) static ENV_FROM: Shape = Shape::Object(&Object {
    fields: &[FROM.required(), Field::single("prefix", Form::Prefix, "In front of every key.").default_is("nothing")],
    choice: None,
});
