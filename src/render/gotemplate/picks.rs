//! Finds the parts of each secret that a template uses, as far as its text tells: fields, `index` with literals, and the
//! bodies of `with` and `range`.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{SecretRef, Source};

use super::super::step::Step;
use super::ast::{Branch, Command, Fields, List, Node, Pipe, Templates, Term, Word};

/// A part of a secret that a template uses: its reference, and the steps into its value.
pub(super) type Pick = (SecretRef, Vec<Step>);

/// The most nodes, operands and steps of paths that are looked at; templates can call each other.
const MOST_STEPS: usize = 200_000;
/// The longest path into a value. A `--local` file may be nested 64 levels deep, which its own two levels are part of.
const LONGEST_PATH: usize = 60;
/// The longest name in such a path, in bytes.
const LONGEST_NAME: usize = 256;
/// The deepest nesting of calls of templates.
const DEPTH: usize = 50;

/// The parts that the template `main` uses. `calls` are the references of its calls of `secret` and `pkiCert`, by place.
pub(super) fn find(templates: &Templates, calls: &BTreeMap<usize, SecretRef>, main: &str) -> Vec<Pick> {
    let root = vec![("$".into(), Part::Other)];
    let mut walk = Walk { templates, calls, variables: root, picks: BTreeSet::new(), steps: MOST_STEPS, depth: DEPTH };
    walk.template(main, &Part::Other);
    walk.picks.into_iter().collect()
}

/// What an operand stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// The result of `secret`.
    Response(SecretRef),
    /// `.Data` of a KV v2 secret, which has the data and the metadata.
    Envelope(SecretRef),
    /// The result of `pkiCert`.
    Certificate(SecretRef),
    /// The data, or a part of it.
    Inside(SecretRef, Vec<Step>),
    /// Anything else.
    Other,
}

struct Walk<'a> {
    templates: &'a Templates,
    calls: &'a BTreeMap<usize, SecretRef>,
    variables: Vec<(Box<str>, Part)>,
    picks: BTreeSet<Pick>,
    steps: usize,
    depth: usize,
}

impl Walk<'_> {
    /// Takes from the steps that are left; false if there are too few.
    fn take(&mut self, count: usize) -> bool {
        let left = self.steps.checked_sub(count);
        self.steps = left.unwrap_or(0);
        left.is_some()
    }

    fn template(&mut self, name: &str, dot: &Part) {
        let Some(list) = self.templates.get(name).filter(|_| self.depth > 0) else { return };
        if !self.take(1) {
            return;
        }
        self.depth -= 1;
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        self.list(list, dot);
        self.variables = outer;
        self.depth += 1;
    }

    fn list(&mut self, list: &List, dot: &Part) {
        for node in list {
            if !self.take(1) {
                return;
            }
            match node {
                Node::Action(pipe) => {
                    self.pipe(pipe, dot);
                }
                Node::If(branch) => self.branch(branch, dot, |_, _, _| dot.clone()),
                Node::With(branch) => self.branch(branch, dot, |_, part, _| part),
                Node::Range(branch) => self.branch(branch, dot, Self::element),
                Node::Template { name, pipe, .. } => {
                    let dot = pipe.as_ref().map_or(Part::Other, |pipe| self.pipe(pipe, dot));
                    self.template(name, &dot);
                }
                Node::Text(_) | Node::Break | Node::Continue => {}
            }
        }
    }

    /// Walks through a branch; `inner` gives what `.` stands for in it.
    fn branch(&mut self, branch: &Branch, dot: &Part, inner: impl Fn(&mut Self, Part, &[Box<str>]) -> Part) {
        let outer = self.variables.len();
        let part = self.pipe(&branch.pipe, dot);
        let inner = inner(self, part, &branch.pipe.variables);
        if let [.., last] = &*branch.pipe.variables {
            self.assign(last, inner.clone());
        }
        self.list(&branch.then, &inner);
        self.variables.truncate(outer);
        if let Some(list) = &branch.otherwise {
            self.list(list, dot);
            self.variables.truncate(outer);
        }
    }

    /// An element of what a `range` goes over. Whether that is a list or a map is in its variables' names, if anywhere.
    fn element(&mut self, part: Part, variables: &[Box<str>]) -> Part {
        let Part::Inside(reference, path) = part else { return Part::Other };
        let of_map = |name: &str| ["k", "key", "name"].contains(&name.trim_start_matches('$'));
        let is_map = path.is_empty() || matches!(variables, [index, _] if of_map(index));
        let is_whole = path.is_empty();
        let step = if is_map { Step::Key("KEY".to_owned()) } else { Step::Item };
        if is_whole { Part::Inside(reference, vec![step]) } else { self.inside(reference, path, step) }
    }

    fn assign(&mut self, name: &str, part: Part) {
        match self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
            Some((_, known)) => *known = part,
            None => self.variables.push((name.into(), part)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Part) -> Part {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, dot, last));
        }
        let part = last.unwrap_or(Part::Other);
        for name in &pipe.variables {
            if pipe.is_assignment {
                self.assign(name, part.clone());
            } else {
                self.variables.push((name.clone(), part.clone()));
            }
        }
        part
    }

    /// One stage; `last` is what the stage before gives.
    fn command(&mut self, command: &Command, dot: &Part, last: Option<Part>) -> Part {
        let Some((first, rest)) = command.words.split_first() else { return Part::Other };
        let Term::Function(function) = first.term else {
            rest.iter().for_each(|word| {
                self.word(word, dot);
            });
            return self.word(first, dot);
        };
        let mut given: Vec<Part> = rest.iter().map(|word| self.word(word, dot)).collect();
        given.extend(last);
        let of = |place: Option<&Part>| place.cloned().unwrap_or(Part::Other);
        match function.name {
            "secret" | "pkiCert" => self.called(first.at, function.name),
            "index" => self.index(of(given.first()), &rest[1.min(rest.len())..]),
            "sprig_get" => self.index(of(given.first()), rest.get(1..).unwrap_or_default()),
            "sprig_join" | "sprig_first" | "sprig_last" => self.item(of(given.last())),
            // What is left of a list is a list, and of a map a map.
            "sprig_rest" | "sprig_initial" | "sprig_reverse" | "sprig_compact" | "sprig_uniq" | "sprig_without"
            | "sprig_slice" | "sprig_pick" | "sprig_omit" | "sprig_deepCopy" => of(given.first()),
            "sprig_sortAlpha" | "sprig_toStrings" => {
                let list = of(given.first());
                self.item(list.clone());
                list
            }
            // The first that is not empty.
            "or" | "sprig_coalesce" => of(given.first()),
            "and" | "sprig_default" => of(given.last()),
            "executeTemplate" => {
                if let Some(Word { term: Term::String(name), .. }) = rest.first() {
                    self.template(&String::from_utf8_lossy(name), &of(given.get(1)));
                }
                Part::Other
            }
            _ => Part::Other,
        }
    }

    fn word(&mut self, word: &Word, dot: &Part) -> Part {
        if !self.take(1) {
            return Part::Other;
        }
        match &word.term {
            Term::Function(function) => self.called(word.at, function.name),
            Term::Dot => dot.clone(),
            Term::Field(fields) => self.fields(dot.clone(), fields),
            Term::Variable { name, fields } => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let part = known.map_or(Part::Other, |(_, part)| part.clone());
                self.fields(part, fields)
            }
            Term::Chain { term, fields } => {
                let part = self.word(term, dot);
                self.fields(part, fields)
            }
            Term::Pipe(pipe) => self.pipe(pipe, dot),
            Term::Data(reference) => {
                let whole = SecretRef { source: reference.source.clone(), key: None };
                match &reference.key {
                    Some(key) => self.inside(whole, Vec::new(), Step::Key(key.clone())),
                    None => Part::Inside(whole, Vec::new()),
                }
            }
            Term::Nil | Term::Bool(_) | Term::Int(_) | Term::Float(_) | Term::String(_) => Part::Other,
        }
    }

    /// The result of a call of `secret` or `pkiCert`.
    fn called(&mut self, at: usize, function: &str) -> Part {
        match self.calls.get(&at) {
            Some(reference) if function == "pkiCert" => {
                // Without a certificate it is an error.
                self.picks.insert((reference.clone(), vec![Step::Key("certificate".to_owned())]));
                Part::Certificate(reference.clone())
            }
            Some(reference) => Part::Response(reference.clone()),
            None => Part::Other,
        }
    }

    /// Follows field names.
    fn fields(&mut self, mut part: Part, fields: &Fields) -> Part {
        for name in fields.names() {
            if part == Part::Other || !self.take(1) {
                return Part::Other;
            }
            part = self.field(part, name);
        }
        part
    }

    fn field(&mut self, part: Part, name: &str) -> Part {
        match (part, name) {
            (Part::Response(reference), "Data") if is_kv2(&reference) => Part::Envelope(reference),
            (Part::Response(reference), "Data") => Part::Inside(reference, Vec::new()),
            (Part::Envelope(reference), "data") => Part::Inside(reference, Vec::new()),
            (Part::Certificate(reference), "Data") => Part::Certificate(reference),
            (Part::Certificate(reference), name) => match name {
                "Cert" => self.inside(reference, Vec::new(), Step::Key("certificate".to_owned())),
                "Key" => self.inside(reference, Vec::new(), Step::Key("private_key".to_owned())),
                "CA" => self.inside(reference, Vec::new(), Step::Key("issuing_ca".to_owned())),
                "CAChain" => self.inside(reference, Vec::new(), Step::Key("ca_chain".to_owned())),
                _ => Part::Other,
            },
            (Part::Inside(reference, path), name) => self.inside(reference, path, Step::Key(name.to_owned())),
            _ => Part::Other,
        }
    }

    /// Goes a step further, which is recorded. What is too deep or has too long a name is left out.
    fn inside(&mut self, reference: SecretRef, mut path: Vec<Step>, step: Step) -> Part {
        let is_too_long = matches!(&step, Step::Key(name) if name.len() > LONGEST_NAME);
        if is_too_long || path.len() == LONGEST_PATH || !self.take(path.len()) {
            return Part::Other;
        }
        path.push(step);
        self.picks.insert((reference.clone(), path.clone()));
        Part::Inside(reference, path)
    }

    /// One item of a list.
    fn item(&mut self, part: Part) -> Part {
        match part {
            Part::Inside(reference, path) if !path.is_empty() => self.inside(reference, path, Step::Item),
            _ => Part::Other,
        }
    }

    /// Follows the keys and places of `index`.
    fn index(&mut self, mut part: Part, places: &[Word]) -> Part {
        for place in places {
            part = match &place.term {
                Term::String(key) => self.field(part, &String::from_utf8_lossy(key)),
                Term::Int(_) => self.item(part),
                _ => Part::Other,
            };
        }
        part
    }
}

/// Whether `.Data` of a secret is the envelope of KV v2, as `--local` decides it.
fn is_kv2(reference: &SecretRef) -> bool {
    matches!(&reference.source, Source::Vault(source) if source.path.contains("/data/"))
}
