//! A template in either language, behind one type.

use std::collections::BTreeMap;

use crate::config::{Language, Place};
use crate::domain::{Fetches, SecretBytes, SecretRef, Source};

use super::error::{Location, RenderError, ValueError};
use super::gotemplate::{self, Rendered};
use super::template::{self, Step};

/// A compiled template, whatever its language.
#[derive(Debug)]
pub enum AnyTemplate {
    /// Jinja.
    Jinja(template::Template),
    /// Go's.
    Go(gotemplate::Template),
}

/// A template that cannot be compiled.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// Jinja.
    #[error(transparent)]
    Jinja(#[from] template::TemplateError),
    /// Go's.
    #[error(transparent)]
    Go(#[from] gotemplate::TemplateError),
}

impl CompileError {
    /// The text for whoever wrote the template at this place.
    pub fn at(&self, place: &Place) -> String {
        match (self, place) {
            (Self::Jinja(error), Place::Annotation(_)) => error.in_annotation(),
            _ => self.to_string(),
        }
    }
}

impl AnyTemplate {
    /// Compiles the text. Errors of a Go template call it `name`; `named` is what the config has under `secrets`.
    pub fn compile(
        name: &str,
        text: &str,
        language: &Language,
        named: &BTreeMap<String, SecretRef>,
    ) -> Result<Self, CompileError> {
        Ok(match language {
            Language::Jinja => Self::Jinja(template::Template::compile(text, named)?),
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

    /// What the text picks by name of each reference, as far as that is known without its values.
    pub fn picks(&self) -> Box<dyn Iterator<Item = (&SecretRef, &[Step])> + '_> {
        match self {
            Self::Jinja(template) => Box::new(template.picks()),
            Self::Go(_) => Box::new(std::iter::empty()),
        }
    }

    /// The text with its values; `now` is in seconds since 1970.
    pub fn render(&self, fetches: &Fetches, now: u64) -> Result<SecretBytes, RenderError> {
        match self {
            Self::Jinja(template) => template.render(fetches),
            Self::Go(template) => match template.render(fetches, now)? {
                Rendered::Done(bytes) => Ok(bytes),
                Rendered::Incomplete(sources) => {
                    let reference = sources.first().map(ToString::to_string).unwrap_or_default();
                    Err(RenderError::Reference { reference, why: ValueError::NotFetched })
                }
            },
        }
    }

    /// Where references stand whose path is known only when the template is rendered.
    pub fn computed(&self) -> &[Location] {
        match self {
            Self::Jinja(_) => &[],
            Self::Go(template) => template.computed(),
        }
    }

    /// What the text names with these values, and is not among its references.
    pub fn computed_sources(&self, fetches: &Fetches, now: u64) -> Vec<Source> {
        match self {
            Self::Jinja(_) => Vec::new(),
            Self::Go(template) => template.computed_sources(fetches, now),
        }
    }

    /// Whether it names a source that it was made to [adopt](Self::adopt) with these values too.
    pub fn still_names(&self, source: &Source, fetches: &Fetches, now: u64) -> bool {
        match self {
            Self::Jinja(_) => false,
            Self::Go(template) => template.still_names(source, fetches, now),
        }
    }

    /// From now on this source is among its references.
    pub fn adopt(&mut self, source: Source) {
        match self {
            Self::Jinja(_) => {}
            Self::Go(template) => template.adopt(source),
        }
    }
}
