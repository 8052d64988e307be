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

/// What templates compute from a set of values.
#[derive(Debug, Default)]
pub(crate) struct Computed {
    /// Each source once, with what names it.
    pub(crate) planned: Vec<Planned>,
    /// The sources by the place of the file, or of the variable after the files, that names them.
    of_filling: Vec<(usize, Vec<Source>)>,
}

impl Plan {
    /// Whether a template computes the path of a reference.
    pub(crate) fn computes(&self) -> bool {
        self.fillings().any(Filling::computes)
    }

    /// The sources that templates compute from these values; an error when the limit is reached, because the templates
    /// are rendered to find that out.
    pub(crate) fn computed(
        &self,
        limit: RenderLimit<'_>,
        fetches: &Fetches,
        rendered: Rendered,
    ) -> Result<Computed, Diagnostic> {
        let mut found = Computed::default();
        let all = self.fillings().filter(|filling| filling.computes()).count();
        let mut pace = limit.over("templates that compute a path", all);
        let files = self.files.iter().map(|file| (format!("file {}", file.name), &file.filling));
        let variables = if rendered == Rendered::All { self.variables.as_slice() } else { &[] };
        let variables = variables.iter().map(|variable| (format!("env {}", variable.name), &variable.filling));
        for (index, (user, filling)) in
            files.chain(variables).enumerate().filter(|(_, (_, filling))| filling.computes())
        {
            pace.next(&user)?;
            let sources = filling.computed_sources(fetches);
            for source in &sources {
                match found.planned.iter_mut().find(|planned| planned.source == *source) {
                    Some(planned) => planned.uses.push(user.clone()),
                    None => {
                        let (shown, uses) = (source.to_string(), vec![user.clone()]);
                        let source = source.clone();
                        found.planned.push(Planned { shown, source, name: None, uses, is_computed: true })
                    }
                }
            }
            found.of_filling.push((index, sources));
        }
        Ok(found)
    }

    /// Adds computed sources to the plan and to the templates that compute them. The index of known sources does not
    /// change; returns the new ones.
    pub(crate) fn adopt(&mut self, computed: Computed) -> Vec<Source> {
        let Computed { planned, mut of_filling } = computed;
        let fillings = self.files.iter_mut().map(|file| &mut file.filling);
        let fillings = fillings.chain(self.variables.iter_mut().map(|variable| &mut variable.filling));
        for (index, filling) in fillings.enumerate() {
            let Some(place) = of_filling.iter().position(|(of, _)| *of == index) else { continue };
            let (_, sources) = of_filling.swap_remove(place);
            if let Filling::Template(template) = filling {
                sources.into_iter().for_each(|source| template.adopt(source));
            }
        }
        let mut added = Vec::new();
        for planned in planned {
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

    /// Whether this source's path was computed by a template, and with these values no template computes it any more;
    /// `false` if the limit is reached before that is known.
    pub(crate) fn is_abandoned(&self, planned: &Planned, fetches: &Fetches, limit: RenderLimit<'_>) -> bool {
        if !planned.is_computed {
            return false;
        }
        let mut templates = self.fillings().filter_map(|filling| match filling {
            Filling::Secret { .. } => None,
            Filling::Template(template) => Some(template),
        });
        templates.all(|template| !limit.is_over() && !template.still_names(&planned.source, fetches, clock::unix()))
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
