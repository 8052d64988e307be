//! References of Go templates whose path is computed from another secret's value, and is known only when that is
//! fetched.

use crate::domain::{Diagnostic, Fetches, Source};
use crate::sys::clock;

use super::{Filling, Plan, Planned, RenderLimit};

/// Which templates will be rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rendered {
    /// Those of files and of variables.
    All,
    /// Those of files only: the app has its variables already.
    Files,
}

impl Plan {
    /// Whether a template computes the path of a reference.
    pub(crate) fn computes(&self) -> bool {
        self.fillings().any(Filling::computes)
    }

    /// The sources that templates compute from these values.
    pub(crate) fn computed(&self, fetches: &Fetches, rendered: Rendered) -> Vec<Planned> {
        self.computed_within(RenderLimit::NONE, fetches, rendered).expect("there is no limit")
    }

    /// The same; an error when the limit is reached, because the templates are rendered to find that out.
    pub(crate) fn computed_within(
        &self,
        limit: RenderLimit<'_>,
        fetches: &Fetches,
        rendered: Rendered,
    ) -> Result<Vec<Planned>, Diagnostic> {
        let mut found: Vec<Planned> = Vec::new();
        let (mut done, all) = (0, self.fillings().filter(|filling| filling.computes()).count());
        let files = self.files.iter().map(|file| (format!("file {}", file.name), &file.filling));
        let variables = if rendered == Rendered::All { self.variables.as_slice() } else { &[] };
        let variables = variables.iter().map(|variable| (format!("env {}", variable.name), &variable.filling));
        for (user, filling) in files.chain(variables).filter(|(_, filling)| filling.computes()) {
            if let Some(problem) = limit.reached(done, all, "templates that compute a path") {
                return Err(problem);
            }
            done += 1;
            for source in filling.computed_sources(fetches) {
                match found.iter_mut().find(|planned| planned.source == source) {
                    Some(planned) => planned.uses.push(user.clone()),
                    None => {
                        let (shown, uses) = (source.to_string(), vec![user.clone()]);
                        found.push(Planned { shown, source, name: None, uses, is_computed: true })
                    }
                }
            }
        }
        Ok(found)
    }

    /// Adds the sources that templates compute from these values to the plan and to the templates. The index of known
    /// sources does not change; returns the new ones.
    pub(crate) fn adopt_computed(&mut self, fetches: &Fetches, rendered: Rendered) -> Vec<Source> {
        let computed = self.computed(fetches, rendered);
        let fillings = self.files.iter_mut().map(|file| &mut file.filling);
        let variables = if rendered == Rendered::All { self.variables.as_mut_slice() } else { &mut [] };
        for filling in fillings.chain(variables.iter_mut().map(|variable| &mut variable.filling)) {
            let sources = filling.computed_sources(fetches);
            if let Filling::Template(template) = filling {
                sources.into_iter().for_each(|source| template.adopt(source));
            }
        }
        let mut added = Vec::new();
        for planned in computed {
            match self.sources.iter_mut().find(|known| known.source == planned.source) {
                Some(known) => known.uses.extend(planned.uses),
                None => {
                    added.push(planned.source.clone());
                    self.sources.push(planned);
                }
            }
        }
        added
    }

    /// Whether this source's path was computed by a template, and with these values no template computes it any more.
    pub(crate) fn is_abandoned(&self, planned: &Planned, fetches: &Fetches) -> bool {
        let names = |filling: &Filling| match filling {
            Filling::Secret { .. } => false,
            Filling::Template(template) => template.still_names(&planned.source, fetches, clock::unix()),
        };
        planned.is_computed && !self.fillings().any(names)
    }

    /// What every file and variable is made of.
    pub(super) fn fillings(&self) -> impl Iterator<Item = &Filling> {
        let files = self.files.iter().map(|file| &file.filling);
        files.chain(self.variables.iter().map(|variable| &variable.filling))
    }
}

impl Filling {
    /// Whether the content is a template that computes the path of a reference.
    pub(crate) fn computes(&self) -> bool {
        matches!(self, Self::Template(template) if !template.computed().is_empty())
    }

    /// The sources that it computes from these values.
    fn computed_sources(&self, fetches: &Fetches) -> Vec<Source> {
        match self {
            Self::Secret { .. } => Vec::new(),
            Self::Template(template) => template.computed_sources(fetches, clock::unix()),
        }
    }
}
