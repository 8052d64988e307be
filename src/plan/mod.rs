//! The plan: which sources are read, and what each file and variable is made of. Made before the first request.

pub(crate) mod access;
pub(crate) mod computed;
mod limit;
pub(crate) mod local_file;
pub(crate) mod policy;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Content, Decode, EnvFrom, FileEntry, Format, Place, Template as TemplateSource};
use crate::deliver::{Artifact, GroupAccess};
use crate::domain::{
    Diagnostic, EnvName, Exit, Fetches, FileMode, FileName, SecretBytes, SecretRef, Source, VaultOperation, VaultSource,
};
use crate::identity::file::{self, FileError};
use crate::identity::protected::ProtectedFiles;
use crate::render::gotemplate::ConvertedSecrets;
use crate::render::{self, Step};
use crate::sys::clock;

pub(crate) use limit::RenderLimit;

/// What a start will do. Making a plan has no effect, except that template files are read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Every distinct source, with what uses it.
    pub(crate) sources: Vec<Planned>,
    /// Files, in the order of the config.
    pub(crate) files: Vec<PlannedFile>,
    /// Variables, in the order of the config.
    pub(crate) variables: Vec<PlannedVariable>,
    /// Maps whose keys become variables.
    pub(crate) maps: Vec<EnvFrom>,
}

/// One source to be read.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    /// The source.
    pub(crate) source: Source,
    /// The reference for messages: with its key when only that key is used.
    pub(crate) shown: String,
    /// Its name under `secrets`, if it has one.
    pub(crate) name: Option<String>,
    /// What uses it: `file NAME`, `env NAME`, in the order of the config.
    pub(crate) uses: Vec<String>,
    /// Whether its path is computed by templates, and no other reference names it.
    pub(crate) is_computed: bool,
}

/// A file and what it is made of.
#[derive(Debug)]
pub(crate) struct PlannedFile {
    pub(crate) name: FileName,
    pub(crate) mode: Option<FileMode>,
    pub(crate) filling: Filling,
}

/// A variable and what it is made of.
#[derive(Debug)]
pub(crate) struct PlannedVariable {
    pub(crate) name: EnvName,
    pub(crate) filling: Filling,
}

impl PlannedVariable {
    /// The problem of a value with a NUL byte, at which the kernel would end the variable.
    fn nul(&self) -> Diagnostic {
        let what = match &self.filling {
            Filling::Secret { reference, .. } => reference.to_string(),
            Filling::Template(_) => "what its template writes".to_owned(),
        };
        let text = format!(
            "cannot set env {}: {what} holds a NUL byte, which no variable can; deliver it as a file",
            self.name
        );
        Diagnostic::new(Exit::Data, text)
    }
}

/// What one file or variable is made of.
#[derive(Debug)]
pub(crate) enum Filling {
    /// One reference.
    Secret { reference: SecretRef, format: Option<Format>, decode: Option<Decode> },
    /// A compiled template.
    Template(render::AnyTemplate),
}

impl Filling {
    /// The references it contains.
    pub(crate) fn references(&self) -> Vec<&SecretRef> {
        match self {
            Self::Secret { reference, .. } => vec![reference],
            Self::Template(template) => template.references().collect(),
        }
    }

    /// Whether the content is a Go template.
    fn is_go(&self) -> bool {
        matches!(self, Self::Template(render::AnyTemplate::Go(_)))
    }

    /// Renders it with the fetched values.
    pub(crate) fn render(&self, fetches: &Fetches) -> Result<SecretBytes, render::RenderError> {
        self.render_among(&ConvertedSecrets::default(), fetches)
    }

    /// The same as one of several, all of them with `fetches`.
    pub(crate) fn render_among(
        &self,
        converted: &ConvertedSecrets,
        fetches: &Fetches,
    ) -> Result<SecretBytes, render::RenderError> {
        match self {
            Self::Secret { reference, format, decode } => render::secret(reference, *format, *decode, fetches),
            Self::Template(template) => template.render(fetches, converted, clock::unix()),
        }
    }
}

impl Plan {
    /// Compiles the templates and collects the sources. Returns all problems at once.
    pub(crate) fn make(config: &Config, protected: &ProtectedFiles) -> Result<Self, Vec<Diagnostic>> {
        let named: BTreeMap<String, SecretRef> =
            config.secrets.iter().map(|(name, entry)| (name.clone(), entry.reference.clone())).collect();
        let mut problems = Vec::new();
        let protected = &protected.for_one_pass();
        let mut filling =
            |content: &Content, place: &Place, what: &str| match compile(content, place, what, &named, protected) {
                Ok(filling) => Some(filling),
                Err(problem) => {
                    problems.push(problem);
                    None
                }
            };
        let files: Vec<_> = config
            .files
            .iter()
            .filter_map(|entry| {
                let filling = filling(&entry.content, &entry.place, &format!("file {}", entry.name))?;
                Some(PlannedFile { name: entry.name.clone(), mode: entry.mode, filling })
            })
            .collect();
        let variables: Vec<_> = config
            .env
            .iter()
            .filter_map(|entry| {
                let filling = filling(&entry.content, &entry.place, &format!("env {}", entry.name))?;
                Some(PlannedVariable { name: entry.name.clone(), filling })
            })
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut plan = Self { sources: Vec::new(), files, variables, maps: config.env_from.clone() };
        plan.sources = plan.distinct_sources(&named);
        Ok(plan)
    }

    /// The distinct sources of all references, in the order of their first use.
    fn distinct_sources(&self, named: &BTreeMap<String, SecretRef>) -> Vec<Planned> {
        let files = self.files.iter().map(|file| (format!("file {}", file.name), file.filling.references()));
        let variables = self.variables.iter().map(|var| (format!("env {}", var.name), var.filling.references()));
        let maps = self.maps.iter().map(|map| (format!("env {}*", map.prefix), vec![&map.reference]));
        let mut found: Vec<(Planned, Vec<Option<&str>>)> = Vec::new();
        let mut places: BTreeMap<&Source, usize> = BTreeMap::new();
        for (user, references) in files.chain(variables).chain(maps) {
            for reference in references {
                let place = *places.entry(&reference.source).or_insert_with(|| {
                    found.push((Planned::new(&reference.source, named), Vec::new()));
                    found.len() - 1
                });
                let (planned, keys) = &mut found[place];
                if planned.uses.last() != Some(&user) {
                    planned.uses.push(user.clone());
                }
                keys.push(reference.key.as_deref());
            }
        }
        found
            .into_iter()
            .map(|(mut planned, keys)| {
                if let [Some(key), rest @ ..] = keys.as_slice()
                    && rest.iter().all(|other| *other == Some(key))
                {
                    planned.shown = format!("{}#{key}", planned.source);
                }
                planned
            })
            .collect()
    }

    /// Warnings about references and files that probably mean something else, without duplicates.
    pub(crate) fn doubts(&self, config: &Config) -> BTreeSet<String> {
        let fillings = self.files.iter().map(|file| &file.filling);
        let fillings = fillings.chain(self.variables.iter().map(|variable| &variable.filling));
        let references = fillings.flat_map(Filling::references).filter_map(SecretRef::doubt);
        references.chain(config.files.iter().filter_map(FileEntry::doubt)).collect()
    }

    /// What the group may do with the files: read all of them if the owner is `:GID`, or those whose configured mode
    /// allows it.
    pub(crate) fn group_access(&self, config: &Config) -> GroupAccess {
        let is_group_only = config.volume.owner.as_ref().is_some_and(|owner| owner.user.is_none());
        let own_mode_opens = |file: &PlannedFile| file.mode.is_some_and(|mode| mode.bits() & 0o070 != 0);
        match () {
            () if is_group_only => GroupAccess::Reads,
            () if self.files.iter().any(own_mode_opens) => GroupAccess::Passes,
            () => GroupAccess::None,
        }
    }

    /// Whether this source is read with `data/` inserted after the mount if the mount is KV version 2: Go templates
    /// omit it, as for Vault Agent.
    pub(crate) fn may_lack_data(&self, planned: &Planned) -> bool {
        let Source::Vault(VaultSource { path, operation: VaultOperation::Read { .. } }) = &planned.source else {
            return false;
        };
        let is_whole = path.split('/').nth(1).is_some_and(|part| matches!(part, "data" | "metadata" | "subkeys"));
        let names = |filling: &Filling| filling.references().iter().any(|reference| reference.source == planned.source);
        !is_whole && self.fillings().filter(|filling| filling.is_go()).any(names)
    }

    /// The Vault paths that are read exactly as written.
    pub(crate) fn paths_as_written(&self) -> BTreeSet<String> {
        let as_written = self.sources.iter().filter(|planned| !self.may_lack_data(planned));
        let paths = as_written.filter_map(|planned| match &planned.source {
            Source::Vault(source) => Some(source.path.clone()),
            Source::Aws(_) | Source::File(_) => None,
        });
        paths.collect()
    }

    /// The sources that the app's environment uses.
    pub(crate) fn environment_sources(&self) -> Vec<&Source> {
        let single = self.variables.iter().flat_map(|variable| variable.filling.references());
        single.chain(self.maps.iter().map(|map| &map.reference)).map(|reference| &reference.source).collect()
    }

    /// Which parts of a source's value are used: the steps into the value, for each use.
    pub(crate) fn used_of(&self, source: &Source) -> Vec<Vec<Step>> {
        let fillings = self.files.iter().map(|file| &file.filling);
        let fillings = fillings.chain(self.variables.iter().map(|variable| &variable.filling));
        let key = |reference: &SecretRef| reference.key.iter().cloned().map(Step::Key).collect::<Vec<_>>();
        let mut used = Vec::new();
        for filling in fillings {
            used.extend(filling.references().into_iter().filter(|of| of.source == *source).map(key));
            if let Filling::Template(template) = filling {
                let picks = template.picks().filter(|(of, _)| of.source == *source);
                used.extend(picks.map(|(of, path)| [&key(of), path].concat()));
            }
        }
        used
    }

    /// The problems of the values that were fetched, when others are missing.
    pub(crate) fn unusable(&self, fetches: &Fetches, limit: RenderLimit<'_>) -> Vec<Diagnostic> {
        let files = self.artifacts(fetches, limit).err().unwrap_or_default();
        let variables = self.environment(fetches, limit).err().unwrap_or_default();
        // Rendering reports a missing value as a bug.
        files.into_iter().chain(variables).filter(|problem| problem.exit != Exit::Bug).collect()
    }

    /// Renders every file, until the limit is reached. Returns all problems at once.
    pub(crate) fn artifacts(
        &self,
        fetches: &Fetches,
        limit: RenderLimit<'_>,
    ) -> Result<Vec<Artifact>, Vec<Diagnostic>> {
        let (mut problems, mut artifacts) = (Vec::new(), Vec::with_capacity(self.files.len()));
        let converted = ConvertedSecrets::default();
        let mut pace = limit.over("files", self.files.len());
        for file in &self.files {
            if let Err(problem) = pace.next(format_args!("file {}", file.name)) {
                problems.push(problem);
                break;
            }
            match file.filling.render_among(&converted, fetches) {
                Ok(bytes) => artifacts.push(Artifact { name: file.name.clone(), bytes, mode: file.mode }),
                Err(error) => {
                    problems.push(Diagnostic::new(error.exit(), format!("cannot write file {}: {error}", file.name)));
                }
            }
        }
        if problems.is_empty() { Ok(artifacts) } else { Err(problems) }
    }

    /// Renders every variable until the limit is reached, those of `envFrom` last. A name that two of them set is a
    /// problem.
    pub(crate) fn environment(
        &self,
        fetches: &Fetches,
        limit: RenderLimit<'_>,
    ) -> Result<Vec<(EnvName, SecretBytes)>, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let converted = ConvertedSecrets::default();
        let mut set: Vec<(EnvName, SecretBytes)> = Vec::new();
        let mut names: BTreeSet<EnvName> = self.variables.iter().map(|variable| variable.name.clone()).collect();
        let mut pace = limit.over("variables", self.variables.len());
        for variable in &self.variables {
            if let Err(problem) = pace.next(format_args!("env {}", variable.name)) {
                problems.push(problem);
                break;
            }
            match variable.filling.render_among(&converted, fetches) {
                Ok(value) if value.expose().contains(&0) => problems.push(variable.nul()),
                Ok(value) => set.push((variable.name.clone(), value)),
                Err(error) => {
                    problems.push(Diagnostic::new(error.exit(), format!("cannot set env {}: {error}", variable.name)));
                }
            }
        }
        for map in &self.maps {
            match self.spread(map, fetches) {
                Err(error) => problems.push(Diagnostic::new(error.exit(), format!("cannot set variables: {error}"))),
                Ok(variables) => {
                    for (name, value) in variables {
                        if !names.insert(name.clone()) {
                            let text = format!(
                                "{}: envFrom {} gives {name}, which is set already; use another prefix",
                                map.place, map.reference
                            );
                            problems.push(Diagnostic::new(Exit::Usage, text));
                        }
                        set.push((name, value));
                    }
                }
            }
        }
        if problems.is_empty() { Ok(set) } else { Err(problems) }
    }

    /// The variables of a map, without those of its names that no backend may give and that `env` sets.
    pub(crate) fn spread(
        &self,
        map: &EnvFrom,
        fetches: &Fetches,
    ) -> Result<Vec<(EnvName, SecretBytes)>, render::RenderError> {
        let is_set = |name: &str| self.variables.iter().any(|variable| variable.name.as_str() == name);
        render::variables(&map.reference, &map.prefix, is_set, fetches)
    }
}

impl Planned {
    fn new(source: &Source, named: &BTreeMap<String, SecretRef>) -> Self {
        let name = named.iter().find(|(_, reference)| reference.source == *source).map(|(name, _)| name.clone());
        Self { source: source.clone(), shown: source.to_string(), name, uses: Vec::new(), is_computed: false }
    }
}

/// Compiles the content of one file or variable, reading its template file if it has one.
fn compile(
    content: &Content,
    place: &Place,
    what: &str,
    named: &BTreeMap<String, SecretRef>,
    protected: &ProtectedFiles,
) -> Result<Filling, Diagnostic> {
    let data = |text: String| Diagnostic::new(Exit::Data, format!("{}: {text}", place.of(what)));
    let (template, language) = match content {
        Content::Secret { reference, format, decode } => {
            return Ok(Filling::Secret { reference: reference.clone(), format: *format, decode: *decode });
        }
        Content::Template(template, language) => (template, language),
    };
    let name = what.split_once(' ').map_or(what, |(_, name)| name);
    let compiled = match template {
        TemplateSource::Text(text) => render::AnyTemplate::compile(name, text, language, named),
        TemplateSource::File(path) => {
            let text = file::read_unprotected_text(path, protected).map_err(|error| {
                let text = format!("{}: cannot read templateFile {}: {error}", place.of(what), path.display());
                Diagnostic::new(if matches!(error, FileError::Protected(_)) { Exit::Usage } else { Exit::Data }, text)
            })?;
            render::AnyTemplate::compile(name, &text, language, named)
        }
    };
    compiled.map(Filling::Template).map_err(|error| data(error.at(place)))
}
