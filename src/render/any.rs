//! A template in either language, behind one type.

use std::collections::BTreeMap;

use crate::config::{Language, Place};
use crate::domain::{Fetches, SecretBytes, SecretRef, Source};

use super::error::{Location, RenderError, ValueError};
use super::gotemplate::{self, ConvertedSecrets, Rendered};
use super::step::Step;
use super::template;

/// A compiled template in either language.
#[derive(Debug)]
pub enum AnyTemplate {
    /// Jinja.
    Jinja(template::Template),
    /// A Go template.
    Go(gotemplate::Template),
}

/// Why a template cannot be compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// A Jinja template.
    #[error(transparent)]
    Jinja(#[from] template::TemplateError),
    /// A Go template.
    #[error(transparent)]
    Go(#[from] gotemplate::TemplateError),
}

impl CompileError {
    /// The message for the author of the template at this place.
    pub fn at(&self, place: &Place) -> String {
        match (self, place) {
            (Self::Jinja(error), Place::Annotation(_)) => error.in_annotation(),
            _ => self.to_string(),
        }
    }
}

impl AnyTemplate {
    /// Compiles the text. `name` names a Go template in errors; `named` are the entries of the config's `secrets`.
    pub fn compile(
        name: &str,
        text: &str,
        language: &Language,
        named: &BTreeMap<String, SecretRef>,
    ) -> Result<Self, CompileError> {
        Ok(match language {
            Language::Jinja => Self::Jinja(template::Template::compile(text, named)?),
            Language::BankVaults(pieces) => Self::Go(gotemplate::Template::of_pieces(name, text, pieces)?),
            Language::Go(options) => Self::Go(gotemplate::Template::parse(name, text, options)?),
        })
    }

    /// Every reference that is known before anything is fetched, each once.
    pub fn references(&self) -> Box<dyn Iterator<Item = &SecretRef> + '_> {
        match self {
            Self::Jinja(template) => Box::new(template.references()),
            Self::Go(template) => Box::new(template.references()),
        }
    }

    /// The members that the text picks by name from each reference, as far as known without the values.
    pub fn picks(&self) -> Box<dyn Iterator<Item = (&SecretRef, &[Step])> + '_> {
        match self {
            Self::Jinja(template) => Box::new(template.picks()),
            Self::Go(template) => Box::new(template.picks()),
        }
    }

    /// Renders the template with the fetched values; `now` is in seconds since 1970. Templates that are rendered with the
    /// same `fetches` share `converted`.
    pub fn render(
        &self,
        fetches: &Fetches,
        converted: &ConvertedSecrets,
        now: u64,
    ) -> Result<SecretBytes, RenderError> {
        match self {
            Self::Jinja(template) => template.render(fetches),
            Self::Go(template) => match template.render_among(converted, fetches, now)? {
                Rendered::Done(bytes) => Ok(bytes),
                Rendered::Incomplete(sources) => {
                    let reference = sources.first().map(ToString::to_string).unwrap_or_default();
                    Err(RenderError::Reference { reference, why: ValueError::NotFetched })
                }
            },
        }
    }

    /// The places of references whose path is computed when the template is rendered.
    pub fn computed(&self) -> &[Location] {
        match self {
            Self::Jinja(_) => &[],
            Self::Go(template) => template.computed(),
        }
    }

    /// The sources that the template names when rendered with these values, without those of its known references.
    pub fn computed_sources(&self, fetches: &Fetches, now: u64) -> Vec<Source> {
        match self {
            Self::Jinja(_) => Vec::new(),
            Self::Go(template) => template.computed_sources(fetches, now),
        }
    }

    /// Whether the template, rendered with these values, still names a source that was [adopted](Self::adopt).
    pub fn still_names(&self, source: &Source, fetches: &Fetches, now: u64) -> bool {
        match self {
            Self::Jinja(_) => false,
            Self::Go(template) => template.still_names(source, fetches, now),
        }
    }

    /// Adds a source to the template's references.
    pub fn adopt(&mut self, source: Source) {
        match self {
            Self::Jinja(_) => {}
            Self::Go(template) => template.adopt(source),
        }
    }
}
