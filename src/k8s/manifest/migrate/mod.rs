//! Rewrites manifests for other injectors with annotations of this project: those of Vault's and OpenBao's Agent
//! Injector, of bank-vaults, and volumes of the Secrets Store CSI driver. A pod is migrated as a whole, or left
//! unchanged and reported.

mod annotations;
mod classes;
mod jmes;
mod objects;
mod volumes;

#[cfg(test)]
mod tests;

use crate::config::annotations::PREFIX;
use crate::config::{DIALECT_PREFIXES, Dialect, Injector, Text};

use super::super::inject::inject_into;
use super::doc::Doc;
use super::walk::is_pod;
use super::{Segment, called, is_only_directives, read_error, rewritten, segments, separate, shown};
use super::{comments, read};
use classes::Classes;

/// The result of a migration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migration {
    /// The manifests.
    pub text: String,
    /// Pods that were migrated: document and path.
    pub changed: Vec<String>,
    /// What could not be migrated, and why. The pod stays unchanged.
    pub left: Vec<String>,
    /// Warnings, which do not prevent the migration.
    pub warnings: Vec<String>,
}

/// Migrates every document of these files. `injector` is the config that the pods will be injected with; without
/// one, only rules that hold for every config are checked. Returns the parse errors of all documents, with their
/// positions.
pub fn migrate(files: &[Text<'_>], injector: Option<&Injector>) -> Result<Migration, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut documents = Vec::new();
    for file in files {
        for segment in segments(file.text) {
            let body = segment.body.strip_prefix('\u{feff}').unwrap_or(segment.body);
            if is_only_directives(body) {
                documents.push((file, segment, None));
                continue;
            }
            match read::read(body) {
                Ok(found) => documents.push((file, segment, found)),
                Err(error) => mistakes.push(read_error(file.name, &segment, &error)),
            }
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let classes = Classes::find(documents.iter().filter_map(|(_, _, found)| found.as_ref()).map(|(doc, _)| doc));
    let mut made = Migration::default();
    let mut current = None;
    for (file, segment, found) in documents {
        if current != Some(file.name) {
            separate(&mut made.text, file.text);
            current = Some(file.name);
        }
        let mut place = format!("{}: document at line {}", file.name, segment.line);
        let text = found.and_then(|(doc, written)| {
            if let Some(called) = called(&doc) {
                place.push_str(&format!(" ({called})"));
            }
            let after = made.document(&doc, &place, &classes, injector)?;
            let text = rewritten(&segment, &doc, &after, written);
            if written == read::Written::Yaml {
                made.rewritten(file.name, &segment, &place, &text[segment.separator.len()..]);
            }
            Some(text)
        });
        match text {
            Some(text) => made.text.push_str(&text),
            None => made.text.extend([segment.separator, segment.body]),
        }
    }
    Ok(made)
}

impl Migration {
    /// What the new text of a document has lost: comments, and anchors, for which the document is written anew as a whole.
    fn rewritten(&mut self, file: &str, segment: &Segment<'_>, place: &str, after: &str) {
        let is_gone = |_: &usize| comments::first_anchor(after).is_none();
        let anchor = comments::first_anchor(segment.body).filter(is_gone).map(|line| segment.line + line - 1);
        let because = anchor.map(|line| format!(" (because of the anchor in line {line})")).unwrap_or_default();
        if let Some(line) = anchor {
            self.warnings.push(format!(
                "{place}: the document is written anew as a whole, because of the anchor in line {line}: what its aliases stand \
                 for is written out; take the anchor out first to keep the spelling"
            ));
        }
        self.left.extend(comments::lost(segment.body, after).into_iter().map(|(line, comment)| {
            let line = segment.line + line - 1;
            format!("{file}:{line}: a comment, for what it stands at is written anew{because}: {comment}")
        }));
    }

    /// The document with its pods migrated; `None` if nothing changes.
    fn document(&mut self, doc: &Doc, place: &str, classes: &Classes, injector: Option<&Injector>) -> Option<Doc> {
        let mut pods = Vec::new();
        find_pods(doc, &mut Vec::new(), &mut pods);
        if let Some(text) = misplaced(doc, &pods) {
            self.left.push(format!("{place}: {text}"));
        }
        self.left.extend(objects::filled(doc).into_iter().map(|text| format!("{place}{text}")));
        let mut after = doc.clone();
        let mut is_changed = false;
        for path in pods {
            let place = if path.is_empty() { place.to_owned() } else { format!("{place}, {}", shown(&path)) };
            let namespace = namespace(doc, &path);
            let pod = after.at(&path).expect("the path was found in this document");
            match migrated(pod, namespace.as_deref(), classes, injector) {
                Ok(None) => {}
                Ok(Some((new, warnings))) => {
                    *pod = new;
                    is_changed = true;
                    self.warnings.extend(warnings.into_iter().map(|text| format!("{place}: {text}")));
                    self.changed.push(place);
                }
                Err(obstacles) => self.left.extend(obstacles.into_iter().map(|text| format!("{place}: {text}"))),
            }
        }
        is_changed.then_some(after)
    }
}

/// Collects the paths of pods and pod templates.
fn find_pods(doc: &Doc, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    if is_pod(doc) {
        return found.push(path.clone());
    }
    let mut below = |step: String, doc: &Doc| {
        path.push(step);
        find_pods(doc, path, found);
        path.pop();
    };
    match doc {
        Doc::Map(entries) => entries.iter().for_each(|(key, value)| below(key.clone(), value)),
        Doc::List(items) => items.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value)),
        _ => {}
    }
}

/// The namespace of the object that contains a pod template; in a list each object has its own.
fn namespace(doc: &Doc, path: &[String]) -> Option<String> {
    let of = |doc: &Doc| doc.get("metadata").and_then(|metadata| metadata.text("namespace")).map(str::to_owned);
    let mut found = of(doc);
    let mut at = doc;
    for step in path {
        at = match at {
            Doc::List(items) => items.get(step.parse::<usize>().ok()?)?,
            _ => at.get(step)?,
        };
        found = of(at).or(found);
    }
    found
}

/// A message about annotations on an object whose pods are below it: no injector reads them there.
fn misplaced(doc: &Doc, pods: &[Vec<String>]) -> Option<&'static str> {
    let is_elsewhere = !pods.is_empty() && pods.iter().all(|path| !path.is_empty());
    let has = annotations_of(doc).iter().any(|(key, _)| is_theirs(key));
    (is_elsewhere && has).then_some(
        "has annotations of another injector on the object itself, where no injector reads them; move them to its pod template",
    )
}

/// The annotations of an object.
fn annotations_of(pod: &Doc) -> &[(String, Doc)] {
    match pod.get("metadata").and_then(|metadata| metadata.get("annotations")) {
        Some(Doc::Map(entries)) => entries,
        _ => &[],
    }
}

/// Whether the annotation is one of another injector.
fn is_theirs(key: &str) -> bool {
    DIALECT_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// A migrated pod, and warnings.
type Migrated = (Doc, Vec<String>);

/// The pod with annotations of this project; `None` if no other injector would change it. Returns every obstacle as
/// an error.
fn migrated(
    pod: &Doc,
    namespace: Option<&str>,
    classes: &Classes,
    injector: Option<&Injector>,
) -> Result<Option<Migrated>, Vec<String>> {
    let mut dialects = injector.cloned().unwrap_or_else(Injector::placeholder);
    dialects.dialects = Dialect::ALL.to_vec();
    let by_annotations = annotations::read(pod, namespace, &dialects)?;
    let by_volumes = classes.read(pod, namespace)?;
    let (mut made, mut after) = match (by_annotations, by_volumes) {
        (None, None) => return Ok(None),
        (Some(made), None) => (made, pod.clone()),
        (None, Some((made, after))) => (made, after),
        (Some(_), Some(_)) => {
            let text = "has annotations of another injector and a volume of the Secrets Store CSI driver; ours puts all files of a \
                        pod into one directory, so change one of the two by hand first";
            return Err(vec![text.to_owned()]);
        }
    };
    let obstacles = remove_present(pod, &mut made.annotations);
    if !obstacles.is_empty() {
        return Err(obstacles);
    }
    write_annotations(&mut after, &made.annotations);
    if made.shares_processes {
        set(&mut after, &["spec", "shareProcessNamespace"], Doc::Bool(true));
    }
    let mut check = injector.cloned().unwrap_or_else(Injector::placeholder);
    check.dialects.clear();
    let checked = inject_into(&after.to_json(), namespace, &check);
    // Mistakes are reported about the annotations that the author wrote.
    let of_theirs = |denial| inject_into(&pod.to_json(), namespace, &dialects).err().unwrap_or(denial);
    let checked = checked.map_err(of_theirs)?;
    made.warnings.extend(checked.warnings);
    Ok(Some((after, made.warnings)))
}

/// Removes annotations that the pod has already, which take precedence at injection too. Returns those whose values
/// would have to be merged by hand.
fn remove_present(pod: &Doc, made: &mut Vec<(String, String)>) -> Vec<String> {
    const MERGED: [&str; 2] = ["config", "template-language"];
    let own = |key: &str| {
        let key = format!("{PREFIX}{key}");
        annotations_of(pod).iter().find(|(known, _)| *known == key).map(|(_, value)| value)
    };
    let is_other = |(key, value): &&(String, String)| {
        MERGED.contains(&key.as_str()) && own(key).is_some_and(|own| *own != Doc::Text(value.clone()))
    };
    let obstacles = made.iter().filter(is_other).map(|(key, value)| {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("has {PREFIX}{key} already, and this would have to stand there too: {value}; put both together by hand first")
    });
    let obstacles = obstacles.collect();
    made.retain(|(key, _)| own(key).is_none());
    obstacles
}

/// Puts the new annotations in the place of the first one of another injector, and removes all of those.
fn write_annotations(pod: &mut Doc, annotations: &[(String, String)]) {
    let mut new: Vec<(String, Doc)> =
        annotations.iter().map(|(key, value)| (format!("{PREFIX}{key}"), Doc::Text(value.clone()))).collect();
    let mut all = Vec::new();
    for (key, value) in annotations_of(pod) {
        if is_theirs(key) {
            all.append(&mut new);
        } else {
            all.push((key.clone(), value.clone()));
        }
    }
    all.append(&mut new);
    set(pod, &["metadata", "annotations"], Doc::Map(all));
}

/// Sets a value at a path of maps; a new `metadata` goes to the front.
fn set(doc: &mut Doc, path: &[&str], value: Doc) {
    let Doc::Map(entries) = doc else { return };
    let (first, rest) = path.split_first().expect("a path has a step");
    let at = match entries.iter().position(|(key, _)| key == first) {
        Some(at) => at,
        None => {
            let at = if *first == "metadata" { 0 } else { entries.len() };
            entries.insert(at, ((*first).to_owned(), Doc::Map(Vec::new())));
            at
        }
    };
    let here = &mut entries[at].1;
    if rest.is_empty() {
        *here = value;
    } else {
        if !matches!(here, Doc::Map(_)) {
            *here = Doc::Map(Vec::new());
        }
        set(here, rest, value);
    }
}
