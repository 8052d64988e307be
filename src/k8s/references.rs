//! Every reference of a configuration, those in templates too: a template is compiled here so that its author hears of a
//! mistake when the pod is admitted, not when it starts.

use std::collections::BTreeMap;

use crate::config::{Config, Content, Place, Template};
use crate::domain::{SecretRef, Source};
use crate::render;

use super::arguments::MAX_ARGUMENT;
use super::denial::Denial;

/// References, each with the place that says it.
#[derive(Debug)]
pub(super) struct References<'a> {
    known: Vec<(SecretRef, &'a Place)>,
    /// A template that stands in a file of the app's image may say anything.
    others: bool,
    /// A template computes paths of Vault.
    computes: bool,
}

impl References<'_> {
    /// Those that are known, with their place.
    pub(super) fn known(&self) -> impl Iterator<Item = (&SecretRef, &Place)> {
        self.known.iter().map(|(reference, place)| (reference, *place))
    }

    /// Whether any may go to such a source.
    pub(super) fn reach(&self, is_meant: impl Fn(&Source) -> bool) -> bool {
        let any = || SecretRef::parse("vault:any", &BTreeMap::new()).is_ok_and(|any| is_meant(&any.source));
        self.others || (self.computes && any()) || self.known.iter().any(|(reference, _)| is_meant(&reference.source))
    }
}

/// Finds them all. What is wrong in a template is said with its line and column.
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
            // It is an argument of the container, and nothing is compiled that no argument can hold.
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
