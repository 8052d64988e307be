//! Jinja templates: minijinja with `secret('…')`, strict, with every reference known before anything is fetched.
//!
//! A template is limited in its expressions and branches at compile time ([`scan`]), and in instructions, values
//! ([`bound`]), what operations look at ([`work`]) and output when it is rendered. minijinja's error texts can quote
//! values, so only kind and place are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::machinery::{eval, make_string_output};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

use crate::config::annotations::PREFIX;
use crate::config::{OptionBehind, option_behind};
use crate::domain::{Exit, Fetches, PickError, ReferenceError, SecretBytes, SecretRef};

use super::error::{Location, RenderError, TemplateRenderError, ValueError};
use super::limits::{FUEL, WORK};
use super::step::Step;
use super::{Part, gotemplate};

mod bound;
mod builtins;
mod chains;
mod filters;
mod go_syntax;
mod hints;
mod made;
mod objects;
mod pick;
mod read;
mod scan;
mod trail;
mod value;
mod work;

use trail::{MissingKey, Trail};
use value::Answer;

/// A compiled template, checked as far as possible without its values.
#[derive(Debug)]
pub struct Template {
    text: String,
    calls: Vec<Call>,
    /// The offset of the first `b64decode`, which can produce bytes that are not text.
    b64decode: usize,
    chains: chains::Chains,
    optional: scan::Optional,
    /// What the text picks from each reference, by its literal.
    picks: Vec<pick::Pick>,
    /// Keys that an error may quote. Any other key was computed, perhaps from a secret value.
    written: BTreeSet<String>,
}

/// One distinct `secret('…')`.
#[derive(Debug)]
struct Call {
    literal: String,
    reference: SecretRef,
    /// Byte offset of its first use.
    offset: usize,
}

/// Why a template cannot be compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("template {at}: {why}")]
pub struct TemplateError {
    /// The place.
    pub at: Location,
    /// The reason.
    pub why: TemplateErrorKind,
}

impl TemplateError {
    /// The exit code: 65.
    pub fn exit(&self) -> Exit {
        Exit::Data
    }

    /// The message for a template in an annotation, which names annotations instead of settings.
    pub fn in_annotation(&self) -> String {
        match self.why {
            TemplateErrorKind::GoTemplate => {
                let setting = format!("{PREFIX}template-language: go");
                format!("template {}: {}", self.at, go_template(&setting))
            }
            _ => self.to_string(),
        }
    }
}

/// What is wrong in a template's text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateErrorKind {
    /// A syntax error, or an unsupported statement (include, import, extends, block, macro).
    #[error("{0}")]
    Syntax(String),
    /// The template is in Go's language.
    #[error("{}", go_template("templateLanguage: go or language: go"))]
    GoTemplate,
    /// The name `secret` used in any way other than `secret('literal')`.
    #[error("{0}")]
    Secret(SecretCallError),
    /// A literal that is not a valid reference.
    #[error("secret() names a reference: {0}")]
    Reference(ReferenceError),
    /// A literal with an option after its reference.
    #[error("{}", .0.in_template())]
    Option(OptionBehind),
    /// A name that nothing defines.
    #[error("unknown name {name:?}; {}", known_names(.entry))]
    UnknownName {
        /// The name.
        name: String,
        /// The entry of `secrets` that has this name.
        entry: Option<String>,
    },
    /// An unknown filter.
    #[error("unknown filter {name:?}{}{}", if *.is_go { ", which is consul-template's" } else { "" }, did_you_mean(.meant))]
    UnknownFilter {
        /// The name.
        name: String,
        /// Whether it is a function of Go templates.
        is_go: bool,
        /// The filter that was probably meant.
        meant: Option<&'static str>,
    },
    /// An unknown test.
    #[error("unknown test {name:?}{}", did_you_mean(.meant))]
    UnknownTest {
        /// The name.
        name: String,
        /// The test that was probably meant.
        meant: Option<&'static str>,
    },
    /// A method of Python's.
    #[error("values have no methods such as .{name}() here; write {instead}")]
    Method {
        /// The name.
        name: String,
        /// The equivalent here.
        instead: &'static str,
    },
    /// The template exceeds a limit of the parser.
    #[error("{0}")]
    TooComplex(&'static str),
}

/// The message about a template in Go's language; `setting` is the setting that selects that language.
fn go_template(setting: &str) -> String {
    format!(
        "this is consul-template's language (Go templates), and the template is read as Jinja: say {setting}, or write \
         {{{{ secret('REFERENCE').KEY }}}} (docs/go-templates.md)"
    )
}

/// A hint for an unknown name.
fn known_names(entry: &Option<String>) -> String {
    match entry {
        Some(entry) => format!("the entry of `secrets` is secret('{entry}')"),
        None => "a template knows secret('…'), range, dict, namespace and what it sets itself".to_owned(),
    }
}

/// A suffix with a suggestion, or nothing.
fn did_you_mean(meant: &Option<&'static str>) -> String {
    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}

/// How `secret` is misused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretCallError {
    /// The argument is not exactly one string literal.
    #[error("secret() takes exactly one string literal, so that every reference is known before anything is fetched")]
    Argument,
    /// It is not called.
    #[error("`secret` is only ever called: secret('REFERENCE')")]
    NotCalled,
    /// The name is assigned to.
    #[error("`secret` is a function's name and cannot be set")]
    Shadowed,
}

impl Template {
    /// Compiles the text. `named` are the entries of the config's `secrets`.
    pub fn compile(text: &str, named: &BTreeMap<String, SecretRef>) -> Result<Self, TemplateError> {
        let fault = |offset: usize, why| TemplateError { at: Location::of(text, offset), why };
        let found = scan::scan(text, &syntax()).map_err(|(offset, why)| match (go_syntax::go_template(text), why) {
            (Some(offset), _) => fault(offset, TemplateErrorKind::GoTemplate),
            (None, TemplateErrorKind::UnknownName { name, .. }) => {
                let entry = named.contains_key(&name).then(|| name.clone());
                fault(offset, TemplateErrorKind::UnknownName { name, entry })
            }
            (None, why) => fault(offset, why),
        })?;
        refuse_unknown(text, &found.used).map_err(|(offset, why)| fault(offset, why))?;
        let mut calls: Vec<Call> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (offset, literal) in found.calls {
            if let Some(place) = places.get(&literal) {
                let call = &mut calls[*place];
                call.offset = call.offset.min(offset);
                continue;
            }
            if let Some(option) = option_behind(&literal) {
                return Err(fault(offset, TemplateErrorKind::Option(option)));
            }
            let reference = SecretRef::parse(&literal, named);
            let reference = reference.map_err(|why| fault(offset, TemplateErrorKind::Reference(why)))?;
            places.insert(literal.clone(), calls.len());
            calls.push(Call { literal, reference, offset });
        }
        let b64decode =
            found.used.filters.iter().find(|(_, name)| name == "b64decode").map_or(0, |(offset, _)| *offset);
        let mut optional = found.optional;
        let mut written = found.written;
        written.extend(calls.iter().filter_map(|call| call.reference.key.clone()));
        let keys = calls.iter().filter(|call| optional.literals.contains(&call.literal));
        optional.keys.extend(keys.filter_map(|call| call.reference.key.clone()));
        Ok(Self {
            text: text.to_owned(),
            calls,
            b64decode,
            chains: found.chains,
            optional,
            picks: found.picks,
            written,
        })
    }

    /// Every reference in the template, in the order of first use.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        self.calls.iter().map(|call| &call.reference)
    }

    /// What the text picks by key or item, each with its reference: `secret('db').username`.
    pub fn picks(&self) -> impl Iterator<Item = (&SecretRef, &[Step])> {
        self.picks.iter().filter_map(|pick| {
            let call = self.calls.iter().find(|call| call.literal == pick.literal)?;
            Some((&call.reference, pick.path.as_slice()))
        })
    }

    /// Renders the template. Intermediate copies are wiped by the allocator.
    pub fn render(&self, fetches: &Fetches) -> Result<SecretBytes, RenderError> {
        self.render_within(WORK, fetches)
    }

    /// Renders the template with operations that look at no more than `work`.
    fn render_within(&self, work: usize, fetches: &Fetches) -> Result<SecretBytes, RenderError> {
        let trail = Arc::new(Trail::new(work));
        let mut answers = BTreeMap::new();
        for call in &self.calls {
            let answer = Part::of(&call.reference, fetches)
                .and_then(|part| Answer::of(&part, &call.reference, call.offset, &trail))
                .or_else(|why| Answer::missing(&call.reference, call.offset, why, &trail))
                .map_err(|why| {
                    self.trouble(
                        call.offset,
                        TemplateRenderError::Reference { reference: call.reference.to_string(), why },
                    )
                })?;
            answers.insert(call.literal.clone(), answer);
        }
        let environment = environment(&trail, answers, self.b64decode);
        let mut output = String::new();
        let rendered = bound::compile(&self.text).and_then(|instructions| {
            let (root, blocks) = (Value::from(()), BTreeMap::new());
            let mut out = make_string_output(&mut output);
            eval(&environment, &instructions, root, &blocks, &mut out, AutoEscape::None).map(drop)
        });
        if let Some((offset, trouble)) = trail.misused() {
            return Err(self.trouble(offset, trouble));
        }
        if let Err(error) = rendered {
            return Err(self.explained(&error, &trail));
        }
        // Some filters, tests and functions silently accept an undefined argument.
        if let Some(miss) = trail.unexpected(|miss| self.optional.anything || self.optional.keys.contains(&miss.key)) {
            return Err(self.trouble(miss.offset, self.missing(miss)));
        }
        Ok(SecretBytes::from(output))
    }

    /// An error at a byte offset.
    fn trouble(&self, offset: usize, why: TemplateRenderError) -> RenderError {
        RenderError::Template { at: Location::of(&self.text, offset), why }
    }

    /// The error of a missing key. A key that the template does not contain literally is not quoted.
    fn missing(&self, miss: MissingKey) -> TemplateRenderError {
        let MissingKey { reference, key, known, .. } = miss;
        let why = match known {
            _ if !self.written.contains(&key) => return TemplateRenderError::ComputedKey { reference },
            known => PickError::NoKey { key, known: known.to_vec() },
        };
        TemplateRenderError::Reference { reference, why: ValueError::Pick(why) }
    }

    /// Translates an error of minijinja: keeps kind and place, and drops its text.
    fn explained(&self, error: &minijinja::Error, trail: &Trail) -> RenderError {
        let range = error.range().unwrap_or_default();
        let expression = self.text.get(range.clone()).unwrap_or_default();
        let at = match (error.range(), error.line()) {
            (None, Some(line)) => Location { line, column: 1 },
            _ => Location::of(&self.text, self.chains.start(&range)),
        };
        let why = match error.kind() {
            ErrorKind::OutOfFuel => TemplateRenderError::TooMuchWork,
            _ if trail::is_refusal(error) => trail.refused().unwrap_or(TemplateRenderError::Undefined),
            kind => match trail.miss(expression, kind) {
                Some(miss) => self.missing(miss),
                None if kind == ErrorKind::UndefinedError => TemplateRenderError::Undefined,
                None if kind == ErrorKind::CannotUnpack => TemplateRenderError::Unpack,
                None if let Some(what) = hints::without_items(error.detail()) => TemplateRenderError::NoItems(what),
                None => TemplateRenderError::Engine(kind.to_string()),
            },
        };
        RenderError::Template { at, why }
    }
}

/// Refuses unknown filters and tests, and methods.
fn refuse_unknown(text: &str, used: &scan::Used) -> Result<(), (usize, TemplateErrorKind)> {
    let known = environment(&Arc::new(Trail::new(WORK)), BTreeMap::new(), 0);
    let mut judged = BTreeSet::new(); // each name once: a template may use one a thousand times
    for (offset, name) in &used.filters {
        if judged.insert(name) && !holds(&known, "name is filter", name) {
            if let Some(offset) = go_syntax::go_template(text) {
                return Err((offset, TemplateErrorKind::GoTemplate));
            }
            let (is_go, meant) = (gotemplate::is_function(name), hints::filter(name));
            return Err((*offset, TemplateErrorKind::UnknownFilter { name: name.clone(), is_go, meant }));
        }
    }
    judged.clear();
    for (offset, name) in &used.tests {
        if judged.insert(name) && !holds(&known, "name is test", name) {
            return Err((*offset, TemplateErrorKind::UnknownTest { name: name.clone(), meant: hints::test(name) }));
        }
    }
    let method = used.methods.iter().find_map(|(offset, name)| Some((*offset, name, hints::method(name)?)));
    match method {
        Some((offset, name, instead)) => Err((offset, TemplateErrorKind::Method { name: name.clone(), instead })),
        None => Ok(()),
    }
}

/// The default syntax, except that a final newline is kept.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder().keep_trailing_newline(true).build().expect("the default delimiters are valid")
}

/// The environment of a rendering: filters, limits, and the function `secret`.
fn environment(trail: &Arc<Trail>, answers: BTreeMap<String, Answer>, b64decode: usize) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_syntax(syntax());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(3 * FUEL)); // each with its checks
    environment.remove_global("debug"); // prints everything there is
    environment.remove_filter("pprint"); // prints values in Rust's spelling
    builtins::add(&mut environment, trail);
    filters::add(&mut environment, trail, b64decode);
    bound::add(&mut environment, trail);
    let trail = Arc::clone(trail);
    environment.add_function("secret", move |literal: &str| match answers.get(literal) {
        Some(Answer::Value(value)) => value.clone(),
        Some(Answer::Missing(miss)) => {
            trail.missed(miss.clone());
            Value::UNDEFINED
        }
        None => Value::UNDEFINED,
    });
    environment
}

/// Whether an expression over the variable `name` is true.
fn holds(environment: &Environment<'_>, expression: &str, name: &str) -> bool {
    let answer = environment
        .compile_expression_owned(expression)
        .and_then(|compiled| compiled.eval(Value::from_pairs([("name", name)])));
    answer.is_ok_and(|value| value.is_true())
}

#[cfg(test)]
mod tests;
