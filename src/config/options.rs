//! Every single-valued option with all its names: config key, flag, variable, annotation. Help texts, completions, man
//! pages and the reference of annotations are generated from this list.

use super::keys::ROOT;
use super::names::{Single, singles};
use super::shape::{DefaultValue, Field, FlagKind, Shape, Source};

/// An option with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigOption {
    /// The key of the config file, dotted: `vault.auth.role`.
    pub key: String,
    /// Its own command-line flag, if it has one.
    pub flag: Option<OptionFlag>,
    /// The environment variable: `SECRET_EXEC_VAULT_AUTH_ROLE`.
    pub variable: String,
    /// The annotation key without the prefix: `vault-auth-role`. `None` if no annotation may set it.
    pub annotation: Option<String>,
    /// The expected value: `true or false`.
    pub expected: String,
    /// A sentence on what it does.
    pub doc: &'static str,
    /// The default: a value, or a phrase.
    pub default: Option<&'static str>,
}

/// The command-line flag of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionFlag {
    /// Without the dashes: `run-as`.
    pub name: String,
    /// The placeholder of its value in help texts; `None` for a switch.
    pub value: Option<&'static str>,
}

impl ConfigOption {
    /// The sentence, followed by the default if there is one.
    pub fn doc_with_default(&self) -> String {
        match self.default {
            Some(default) => format!("{} Default: {default}.", self.doc),
            None => self.doc.to_owned(),
        }
    }
}

/// Every single-valued option, in the order of the config's description.
pub fn options() -> Vec<ConfigOption> {
    singles().iter().filter_map(option).collect()
}

/// The option for a key.
fn option(single: &Single) -> Option<ConfigOption> {
    let fields = fields(single);
    let field = fields.last()?;
    let flag = match field.flag {
        FlagKind::None => None,
        FlagKind::Switch => Some(OptionFlag { name: single.kebab(), value: None }),
        FlagKind::Value(value) => Some(OptionFlag { name: single.kebab(), value: Some(value) }),
    };
    Some(ConfigOption {
        key: single.path.join("."),
        flag,
        variable: single.variable(),
        annotation: fields.iter().all(|field| field.source == Source::Any).then(|| single.kebab()),
        expected: expected(&field.shape),
        doc: field.doc,
        default: match field.default {
            DefaultValue::None => None,
            DefaultValue::Value(text) | DefaultValue::Described(text) => Some(text),
        },
    })
}

/// The expected value.
fn expected(shape: &Shape) -> String {
    match shape {
        Shape::Single(form) | Shape::Short { form, .. } => form.expected(),
        Shape::List { item, .. } => expected(item),
        Shape::Map { .. } | Shape::Object(_) | Shape::Tagged(_) => String::new(),
    }
}

/// The fields from the root to the option.
fn fields(single: &Single) -> Vec<&'static Field> {
    let mut shape: &Shape = &ROOT;
    let mut fields = Vec::new();
    for name in &single.path {
        let field = shape.fields().into_iter().find(|field| field.name == *name).expect("a path of the description");
        fields.push(field);
        shape = &field.shape;
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_has_all_its_names_in_one_place() {
        let options = options();
        let run_as = options.iter().find(|option| option.key == "runAs").unwrap();
        assert_eq!(run_as.variable, "SECRET_EXEC_RUN_AS");
        assert_eq!(run_as.annotation.as_deref(), Some("run-as"));
        assert_eq!(run_as.flag, Some(OptionFlag { name: "run-as".to_owned(), value: Some("USER[:GROUP]") }));
        let proxy = options.iter().find(|option| option.key == "vault.proxy").unwrap();
        assert_eq!((proxy.annotation.as_deref(), &proxy.flag), (None, &None));
        let timeout = options.iter().find(|option| option.key == "timeout").unwrap();
        assert_eq!(timeout.default, Some("60s"));
        let on_expired = options.iter().find(|option| option.key == "onExpired").unwrap();
        assert_eq!(on_expired.expected, "keep, remove or stop");
        assert!(timeout.doc_with_default().ends_with(" Default: 60s."));
    }

    #[test]
    fn only_keys_of_the_first_level_have_flags_of_their_own() {
        for option in options() {
            assert!(option.flag.is_none() || !option.key.contains('.'), "{}", option.key);
        }
    }
}
