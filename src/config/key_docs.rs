//! Generates the Markdown reference of the configuration from the description that also validates it.

use std::fmt::Write;

use super::form::alternatives;
use super::keys::ROOT;
use super::options::{ConfigOption, options};
use super::shape::{DefaultValue, Field, Names, Object, Presence, Shape};

const HEAD: &str = "# Configuration reference

Every key of the config file, written by the program from the table that checks it (`secret-exec schema` prints the same for editors).
All keys exist since 0.1.0. A key of one value has a variable and `--set KEY=VALUE`, and many have an annotation
(`secret-exec.dev/…`) or a flag of their own. What each does, with examples: [README](../README.md#configuration).

Layers, the later wins: defaults, `VAULT_*`, `BAO_*` and `AWS_REGION`, annotations, the file, `SECRET_EXEC_*`, flags. `NAME` is a name
of yours, `[]` an item of a list. `vault.auth` has other keys for each method: see [logging in](auth.md).

| key | value | default | also set by | meaning |
|---|---|---|---|---|
";

/// The content of `docs/configuration.md`.
pub fn markdown() -> String {
    let mut page = Page { text: HEAD.to_owned(), options: options() };
    page.children(&ROOT, "", "");
    page.text
}

struct Page {
    text: String,
    options: Vec<ConfigOption>,
}

impl Page {
    /// Appends the rows of the keys below a key; `variant` names the auth method they belong to.
    fn children(&mut self, shape: &Shape, path: &str, variant: &str) {
        match shape {
            Shape::Single(_) => {}
            Shape::Short { long, .. } => self.fields(long, path, variant),
            Shape::Object(object) => self.fields(object, path, variant),
            Shape::List { item, .. } => self.children(item, &format!("{path}[]"), variant),
            Shape::Map { value, .. } => self.children(value, &format!("{path}.NAME"), variant),
            Shape::Tagged(tagged) => {
                self.row(
                    tagged.tag,
                    path,
                    variant,
                    &alternatives(&tagged.variants.iter().map(|v| v.name).collect::<Vec<_>>()),
                );
                for variant in tagged.variants {
                    self.fields(&variant.object, path, variant.name);
                }
            }
        }
    }

    /// Appends the rows of an object's fields.
    fn fields(&mut self, object: &Object, path: &str, variant: &str) {
        for field in object.fields {
            self.row(field, path, variant, &value(&field.shape));
            let below = joined(path, field.name);
            self.children(&field.shape, &below, variant);
        }
    }

    /// Appends the row of a field.
    fn row(&mut self, field: &Field, path: &str, variant: &str, value: &str) {
        let key = joined(path, field.name);
        let mut of = if variant.is_empty() { String::new() } else { format!(" ({variant})") };
        if field.presence == Presence::Required {
            of.push_str(", required");
        }
        let default = match field.default {
            DefaultValue::None => String::new(),
            DefaultValue::Value(text) => format!("`{text}`"),
            DefaultValue::Described(text) => text.to_owned(),
        };
        let others = self.options.iter().find(|option| option.key == key).map_or_else(String::new, other_names);
        let cells = [&format!("`{key}`{of}"), value, &default, &others, field.doc].map(|cell| cell.replace('|', "\\|"));
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("writing to a String cannot fail");
    }
}

/// Joins a dotted path and a name.
fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The flag, the variable and the annotation of an option.
fn other_names(option: &ConfigOption) -> String {
    let flag = option.flag.as_ref().map(|flag| match flag.value {
        Some(value) => format!("`--{} {value}`", flag.name),
        None => format!("`--{}`", flag.name),
    });
    let annotation = option.annotation.as_ref().map(|name| format!("`…/{name}`"));
    let names = [flag, Some(format!("`{}`", option.variable)), annotation];
    names.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The expected value of a key.
fn value(shape: &Shape) -> String {
    match shape {
        Shape::Single(form) => form.expected(),
        Shape::Short { form, .. } => format!("{}, or a map", form.expected()),
        Shape::List { item, .. } => format!("a list; each {}", value(item)),
        Shape::Map { names, value: each } => {
            let name = match names {
                Names::Secrets => "names of letters, digits, `.`, `_`, `-`",
                Names::Files => "file names, which may have `/`",
                Names::Variables => "names of variables",
            };
            format!("a map from {name}; each {}", value(each))
        }
        Shape::Object(_) | Shape::Tagged(_) => "a map".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_row_with_its_range_its_default_and_its_other_names() {
        let page = markdown();
        for option in options() {
            assert!(page.contains(&format!("| `{}`", option.key)), "{}", option.key);
        }
        let row = |key: &str| page.lines().find(|line| line.starts_with(&format!("| `{key}`"))).unwrap().to_owned();
        assert!(row("renewal.at").contains("from 30% to 80%"), "{}", row("renewal.at"));
        assert!(row("timeout").contains("`60s` | `--timeout"), "{}", row("timeout"));
        assert!(row("runAs").contains("`--run-as USER[:GROUP]`, `SECRET_EXEC_RUN_AS`, `…/run-as`"), "{}", row("runAs"));
        assert!(row("vault.auth.secretIdFile").contains("(approle)"), "{}", row("vault.auth.secretIdFile"));
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        assert!(page.lines().filter(|line| line.starts_with('|')).all(|line| cells(line) == 6), "{page}");
    }
}
