//! Walks over a manifest: finds pods and pod templates, and those that ask for injection.

use crate::config::Dialect;
use crate::k8s::pod::counts;

use super::doc::Doc;

/// Collects the paths of pods and pod templates that ask for injection.
pub(super) fn find(doc: &Doc, dialects: &[Dialect], path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    if is_pod(doc) {
        if asks(doc, dialects) {
            found.push(path.clone());
        }
        return;
    }
    match doc {
        Doc::Map(entries) => {
            for (key, value) in entries {
                path.push(key.clone());
                find(value, dialects, path, found);
                path.pop();
            }
        }
        Doc::List(items) => {
            for (at, value) in items.iter().enumerate() {
                path.push(at.to_string());
                find(value, dialects, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Whether the value is a pod or a pod template: a map with `spec.containers`, or an object of kind `Pod` with a
/// `spec`.
pub(super) fn is_pod(doc: &Doc) -> bool {
    let has_containers = matches!(doc.get("spec").and_then(|spec| spec.get("containers")), Some(Doc::List(_)));
    has_containers || (doc.text("kind") == Some("Pod") && doc.get("spec").is_some())
}

/// Whether the pod has an annotation of this project or of an enabled dialect.
fn asks(doc: &Doc, dialects: &[Dialect]) -> bool {
    annotations(doc).any(|key| counts(key, dialects))
}

/// The keys of an object's or a template's annotations.
pub(super) fn annotations(doc: &Doc) -> impl Iterator<Item = &str> {
    keys(doc.get("metadata").and_then(|metadata| metadata.get("annotations")))
}

/// The keys of a map.
pub(super) fn keys(map: Option<&Doc>) -> impl Iterator<Item = &str> {
    let entries = match map {
        Some(Doc::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().map(|(key, _)| key.as_str())
}

/// Whether any key anywhere in it is an annotation of this project or of an enabled dialect.
pub(super) fn mentions(doc: &Doc, dialects: &[Dialect]) -> bool {
    let mut found = false;
    every(doc, &mut Vec::new(), &mut |doc, _| found |= keys(Some(doc)).any(|key| counts(key, dialects)));
    found
}

/// Calls `see` for a document and every value in it, with its path.
pub(super) fn every<'a>(doc: &'a Doc, path: &mut Vec<String>, see: &mut impl FnMut(&'a Doc, &[String])) {
    see(doc, path);
    let mut below = |step: String, doc: &'a Doc, path: &mut Vec<String>| {
        path.push(step);
        every(doc, path, see);
        path.pop();
    };
    match doc {
        Doc::Map(entries) => entries.iter().for_each(|(key, value)| below(key.clone(), value, path)),
        Doc::List(items) => items.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value, path)),
        _ => {}
    }
}

/// A path as text: `spec.template`, `items[0].spec.template`.
pub(super) fn shown(path: &[String]) -> String {
    let mut out = String::new();
    for step in path {
        match step.parse::<usize>() {
            Ok(at) => out.push_str(&format!("[{at}]")),
            Err(_) if out.is_empty() => out.push_str(step),
            Err(_) => out.push_str(&format!(".{step}")),
        }
    }
    out
}
