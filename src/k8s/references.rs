//! Collects every reference of a configuration, including those in templates: templates are compiled here so that a
//! mistake is reported when the pod is admitted, not when it starts.

use std::collections::BTreeMap;

use crate::config::{Config, Content, Place, Template};
use crate::domain::{SecretRef, Source};
use crate::render;

use super::arguments::MAX_ARGUMENT;
use super::denial::Denial;

/// References, each with the place in the configuration that names it.
#[derive(Debug)]
pub(super) struct References<'a> {
    known: Vec<(SecretRef, &'a Place)>,
    /// Whether there is a template in a file of the app's image, which may contain any reference.
    others: bool,
    /// Whether a template computes Vault paths.
    computes: bool,
}

impl References<'_> {
    /// The references that are known, with their places.
    pub(super) fn known(&self) -> impl Iterator<Item = (&SecretRef, &Place)> {
        self.known.iter().map(|(reference, place)| (reference, *place))
    }

    /// Whether any reference, known or not, may have a source for which `is_meant` is true.
    pub(super) fn reach(&self, is_meant: impl Fn(&Source) -> bool) -> bool {
        let any = || SecretRef::parse("vault:any", &BTreeMap::new()).is_ok_and(|any| is_meant(&any.source));
        self.others || (self.computes && any()) || self.known.iter().any(|(reference, _)| is_meant(&reference.source))
    }
}

/// Collects them. Returns the mistakes in templates, with line and column.
pub(super) fn references(config: &Config) -> Result<References<'_>, Denial> {
    let named: BTreeMap<String, SecretRef> =
        config.secrets.iter().map(|(name, secret)| (name.clone(), secret.reference.clone())).collect();
    let mut found = References { known: Vec::new(), others: false, computes: false };
    let mut denial = Denial::new();
    let files = config.files.iter().map(|entry| (entry.name.to_string(), &entry.content, &entry.place));
    let variables = config.env.iter().map(|entry| (entry.name.to_string(), &entry.content, &entry.place));
    for (name, content, place) in files.chain(variables) {
        match content {
            Content::Secret { reference, .. } => found.known.push((reference.clone(), place)),
            Content::Template(Template::File(_), _) => found.others = true,
            // The text is one argument of the container; a template longer than an argument can be is not compiled.
            Content::Template(Template::Text(text), _) if text.len() >= MAX_ARGUMENT => {
                let size = text.len();
                denial.push(format!(
                    "{place}: the template has {size} bytes, and one argument of a container holds less than {MAX_ARGUMENT}; say \
                     it in several files, or mount a file of the image's own"
                ));
            }
            Content::Template(Template::Text(text), language) => {
                match render::AnyTemplate::compile(&name, text, language, &named) {
                    Ok(template) => {
                        found.computes |= !template.computed().is_empty();
                        found.known.extend(template.references().map(|reference| (reference.clone(), place)));
                    }
                    Err(error) => denial.push(format!("{place}: {}", error.at(place))),
                }
            }
        }
    }
    found.known.extend(config.secrets.values().map(|entry| (entry.reference.clone(), &entry.place)));
    found.known.extend(config.env_from.iter().map(|entry| (entry.reference.clone(), &entry.place)));
    if denial.is_empty() { Ok(found) } else { Err(denial) }
}
