//! Go's `text/template` with consul-template's functions, as OpenBao's agent renders them.
//!
//! Lexer, parser and evaluator are ports of Go's; the functions are consul-template's. A rendering is limited in
//! steps, bytes and depth. References with a literal path are known before anything is fetched; one with a path
//! computed from a fetched value is returned by [`Template::render`], to be fetched in another round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use crate::config::{GoOptions, MissingKey};
use crate::domain::{Fetches, SecretBytes, SecretRef, Source};

use super::error::{Location, RenderError, TemplateRenderError};
use super::step::Step;

mod arguments;
mod ast;
mod bank_vaults;
mod converted;
mod defined;
mod error;
mod eval;
mod fields;
mod float;
mod functions;
mod jinja;
mod json;
mod key;
mod lexer;
mod literal;
mod parser;
mod picks;
mod print;
mod printf;
mod quote;
mod references;
mod rendering;
mod time;
mod tokens;
mod toml;
mod value;
mod yaml;

pub use converted::ConvertedSecrets;
pub use error::{SyntaxError, TemplateError};
pub(super) use functions::is_function;
pub use jinja::{Simpler, simpler};

use eval::Evaluator;
use rendering::Rendering;
use value::Value;

/// The name of the main template, as in consul-template.
const MAIN: &str = "";

/// A parsed template, checked as far as possible without its values.
#[derive(Debug)]
pub struct Template {
    name: String,
    text: String,
    missing_key: MissingKey,
    templates: ast::Templates,
    references: Vec<SecretRef>,
    /// The references of calls, by the call's byte offset.
    calls: BTreeMap<usize, SecretRef>,
    picks: OnceLock<Vec<picks::Pick>>,
    computed: Vec<Location>,
}

/// The result of a rendering.
#[derive(Debug)]
pub enum Rendered {
    /// The output.
    Done(SecretBytes),
    /// Sources that the template names and that are not fetched yet.
    Incomplete(Vec<Source>),
}

impl Template {
    /// Parses a template; `name` names it in errors.
    pub fn parse(name: &str, text: &str, options: &GoOptions) -> Result<Self, TemplateError> {
        let templates = parser::parse(MAIN, text, 0, options.into());
        Self::new(name, text, options.missing_key, templates)
    }

    /// A template of this tree, or of the error that parsing returned.
    fn new(
        name: &str,
        text: &str,
        missing_key: MissingKey,
        parsed: Result<ast::Templates, (usize, SyntaxError)>,
    ) -> Result<Self, TemplateError> {
        let fault = |(offset, why)| TemplateError { name: name.to_owned(), at: Location::of(text, offset), why };
        let templates = parsed.map_err(fault)?;
        defined::check(&templates, MAIN).map_err(fault)?;
        let found = references::find(&templates).map_err(fault)?;
        let mut places: BTreeSet<usize> = found.computed.into_iter().collect();
        let computed = std::iter::from_fn(|| places.pop_first()).map(|offset| Location::of(text, offset)).collect();
        Ok(Self {
            name: name.to_owned(),
            text: text.to_owned(),
            missing_key,
            templates,
            references: found.known,
            calls: found.calls,
            picks: OnceLock::new(),
            computed,
        })
    }

    /// Every reference with a literal path, each once, then the [adopted](Self::adopt) ones.
    pub fn references(&self) -> impl Iterator<Item = &SecretRef> {
        self.references.iter()
    }

    /// The parts of each secret that the template uses, as far as its text tells.
    pub fn picks(&self) -> impl Iterator<Item = (&SecretRef, &[Step])> {
        let picks = self.picks.get_or_init(|| picks::find(&self.templates, &self.calls, MAIN));
        picks.iter().map(|(reference, path)| (reference, &**path))
    }

    /// The places of references whose path is computed when the template is rendered.
    pub fn computed(&self) -> &[Location] {
        &self.computed
    }

    /// The sources that the template names when rendered with these values, without those of its references.
    pub fn computed_sources(&self, fetches: &Fetches, now: u64) -> Vec<Source> {
        if self.computed.is_empty() {
            return Vec::new();
        }
        let converted = ConvertedSecrets::default();
        let rendering = Rendering::new(fetches, &converted, self.missing_key, now);
        let mut evaluator = Evaluator::new(&self.templates, rendering);
        // An error is reported by `render`.
        let _stopped = evaluator.run(MAIN, &Value::Invalid, 0).is_err();
        let is_known = |source: &Source| self.references.iter().any(|known| known.source == *source);
        evaluator.rendering.sources.into_iter().filter(|source| !is_known(source)).collect()
    }

    /// Whether the template, rendered with these values, still names a source that was [adopted](Self::adopt). True
    /// also if the rendering stops early.
    pub fn still_names(&self, source: &Source, fetches: &Fetches, now: u64) -> bool {
        let converted = ConvertedSecrets::default();
        let rendering = Rendering::new(fetches, &converted, self.missing_key, now);
        let mut evaluator = Evaluator::new(&self.templates, rendering);
        let is_stopped = evaluator.run(MAIN, &Value::Invalid, 0).is_err();
        is_stopped
            || evaluator.rendering.is_incomplete
            || evaluator.rendering.sources.iter().any(|named| named == source)
    }

    /// Adds a source to the template's references.
    pub fn adopt(&mut self, source: Source) {
        self.references.push(SecretRef { source, key: None });
    }

    /// Renders the template; `now` is in seconds since 1970.
    pub fn render(&self, fetches: &Fetches, now: u64) -> Result<Rendered, RenderError> {
        self.render_among(&ConvertedSecrets::default(), fetches, now)
    }

    /// The same as one of several templates, all of them with `fetches`.
    pub fn render_among(
        &self,
        converted: &ConvertedSecrets,
        fetches: &Fetches,
        now: u64,
    ) -> Result<Rendered, RenderError> {
        let rendering = Rendering::new(fetches, converted, self.missing_key, now);
        let mut evaluator = Evaluator::new(&self.templates, rendering);
        match evaluator.run(MAIN, &Value::Invalid, 0) {
            Ok(_) if evaluator.rendering.is_incomplete => {
                let named = evaluator.rendering.sources.into_iter();
                Ok(Rendered::Incomplete(named.filter(|source| !fetches.contains_key(source)).collect()))
            }
            Ok(out) => Ok(Rendered::Done(SecretBytes::new(out))),
            Err(stop) => {
                let at = Location::of(&self.text, stop.at);
                Err(RenderError::Template {
                    at,
                    why: TemplateRenderError::Go { name: self.name.clone(), why: stop.why },
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
