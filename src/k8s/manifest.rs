//! Injection offline: manifests in, manifests out. What is not injected is copied byte for byte.
//!
//! A pod template is found by its shape, annotations beside a `spec` with `containers`, so custom kinds have theirs too.

mod doc;
mod layout;
pub mod migrate;
mod read;
mod scalar;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::config::annotations::PREFIX;
use crate::config::{Dialect, Injector, Text};

use super::inject::inject_into;
use super::pod::counts;
use doc::Doc;
use read::{ReadError, Written};

/// What came of the manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The manifests.
    pub text: String,
    /// Pods that were injected: document and path.
    pub changed: Vec<String>,
    /// What should be known, though nothing is wrong.
    pub warnings: Vec<String>,
}

/// Injects into every document of these files. All mistakes at once, each with its document and path.
pub fn manifest(files: &[Text<'_>], injector: &Injector) -> Result<Output, Vec<String>> {
    let mut output = Output::default();
    let mut mistakes = Vec::new();
    for file in files {
        separate(&mut output.text, file.text);
        for segment in segments(file.text) {
            let mut name = format!("{}: document at line {}", file.name, segment.line);
            match document(&segment, injector, &mut name, &mut output) {
                Ok(Some(text)) => output.text.push_str(&text),
                Ok(None) => {
                    output.text.push_str(segment.separator);
                    output.text.push_str(segment.body);
                }
                Err(more) => mistakes.extend(more),
            }
        }
    }
    if mistakes.is_empty() { Ok(output) } else { Err(mistakes) }
}

/// What a KRM function is told in its own input: the `spec` of `functionConfig`, as an injector's config.
pub fn function_config(text: &str) -> Option<String> {
    if !text.contains("ResourceList") {
        return None;
    }
    segments(text).into_iter().find_map(|segment| {
        let (doc, _) = read::read(segment.body).ok()??;
        (doc.text("kind") == Some("ResourceList")).then_some(())?;
        Some(write::yaml(doc.get("functionConfig")?.get("spec")?))
    })
}

/// Between two files stands a separator, unless the second begins with one.
fn separate(out: &mut String, next: &str) {
    if out.is_empty() {
        return;
    }
    if !out.ends_with('\n') {
        out.push('\n');
    }
    if separator(next).is_none() {
        out.push_str("---\n");
    }
}

/// A document and what stands before it.
struct Segment<'a> {
    /// One-based, of the body.
    line: usize,
    /// `---`, with what follows on its line when that is nothing or a comment.
    separator: &'a str,
    body: &'a str,
}

/// Cuts at `---`; a stream of JSON values at the end of each.
fn segments(text: &str) -> Vec<Segment<'_>> {
    if let Some(values) = json_values(text) {
        return values;
    }
    let mut found = Vec::new();
    let (mut start, mut separator_end, mut line) = (0, 0, 1);
    let mut first_line = 1;
    let mut at = 0;
    for row in text.split_inclusive('\n') {
        if let Some(length) = separator(row) {
            if at > 0 {
                found.push(Segment {
                    line: first_line,
                    separator: &text[start..separator_end],
                    body: &text[separator_end..at],
                });
            }
            let rest = row[length..].trim();
            let is_bare = rest.is_empty() || rest.starts_with('#');
            (start, separator_end) = (at, at + if is_bare { row.len() } else { length });
            first_line = if is_bare { line + 1 } else { line };
        }
        at += row.len();
        line += 1;
    }
    found.push(Segment { line: first_line, separator: &text[start..separator_end], body: &text[separator_end..] });
    found
}

/// The length of a separator that a line begins with.
fn separator(row: &str) -> Option<usize> {
    let rest = row.strip_prefix("---")?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(3)
}

fn json_values(text: &str) -> Option<Vec<Segment<'_>>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(value) = stream.next() {
        value.ok()?;
        let end = stream.byte_offset();
        let line = text[..start].matches('\n').count() + 1;
        found.push(Segment { line, separator: "", body: &text[start..end] });
        start = end;
    }
    // Blanks after the last one.
    found.push(Segment { line: 1, separator: "", body: &text[start..] });
    Some(found)
}

/// One document: its new text, or `None` when it stays as it is.
fn document(
    segment: &Segment<'_>,
    injector: &Injector,
    name: &mut String,
    output: &mut Output,
) -> Result<Option<String>, Vec<String>> {
    let body = segment.body.strip_prefix('\u{feff}').unwrap_or(segment.body);
    let broken = |error: ReadError, name: &str| {
        let file = name.rsplit_once(": document").map_or(name, |(file, _)| file);
        vec![read_error(file, segment, &error)]
    };
    if is_only_directives(body) {
        return Ok(None);
    }
    let dialects = injector.dialects.as_slice();
    let prefixes = dialects.iter().flat_map(|dialect| dialect.prefixes());
    if !prefixes.chain([&PREFIX]).any(|prefix| body.contains(prefix)) {
        // Any character of a key may be escaped.
        let hides = body.contains('\\')
            && read::read(body).is_ok_and(|read| read.is_some_and(|(doc, _)| mentions(&doc, dialects)));
        if !hides {
            return read::check(body).map(|()| None).map_err(|error| broken(error, name));
        }
    }
    let Some((mut doc, written)) = read::read(body).map_err(|error| broken(error, name))? else { return Ok(None) };
    if let Some(called) = called(&doc) {
        name.push_str(&format!(" ({called})"));
    }
    let mut templates = Vec::new();
    find(&doc, dialects, &mut Vec::new(), &mut templates);
    let namespace = doc.get("metadata").and_then(|metadata| metadata.text("namespace")).map(str::to_owned);
    for (path, text) in stray(&doc, &templates, dialects) {
        let place = if path.is_empty() { name.clone() } else { format!("{name}, {}", shown(&path)) };
        output.warnings.push(format!("{place}: {text}"));
    }
    let mut mistakes = Vec::new();
    let mut is_changed = false;
    let before = doc.clone();
    for path in templates {
        let place = if path.is_empty() { name.clone() } else { format!("{name}, {}", shown(&path)) };
        let template = doc.at(&path).expect("the path was found in this document");
        match inject_into(&template.to_json(), namespace.as_deref(), injector) {
            Ok(injected) => {
                output.warnings.extend(injected.warnings.into_iter().map(|text| format!("{place}: {text}")));
                if !injected.ops.is_empty() {
                    template.apply(&injected.ops);
                    is_changed = true;
                    output.changed.push(place);
                }
            }
            Err(denial) => mistakes.extend(denial.into_iter().map(|text| format!("{place}: {text}"))),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(is_changed.then(|| rewritten(segment, &before, &doc, written)))
}

fn read_error(file: &str, segment: &Segment<'_>, error: &ReadError) -> String {
    format!("{file}:{}: {}", segment.line + error.line - 1, error.text)
}

/// A document that was changed: over its own text where that is possible, so that comments stay; else what people wrote above
/// it stays (Helm says there where it came from).
fn rewritten(segment: &Segment<'_>, before: &Doc, doc: &Doc, written: Written) -> String {
    let mut text = segment.separator.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let is_crlf = segment.body.contains("\r\n") && !segment.body.replace("\r\n", "").contains('\n');
    let body = if is_crlf { Cow::Owned(segment.body.replace("\r\n", "\n")) } else { Cow::Borrowed(segment.body) };
    let written = match written {
        Written::Json => {
            let json = serde_json::to_string_pretty(doc).expect("a document is JSON");
            let (start, end) = (body.len() - body.trim_start().len(), body.trim_end().len());
            format!("{}{json}{}", &body[..start], &body[end..])
        }
        Written::Yaml => {
            let over = layout::rewrite(&body, before, doc);
            let is_right = |text: &String| matches!(read::read(text), Ok(Some((found, _))) if found == *doc);
            over.filter(is_right).unwrap_or_else(|| {
                let is_head = |row: &&str| row.trim().is_empty() || row.trim_start().starts_with('#');
                let head: String = body.split_inclusive('\n').take_while(is_head).collect();
                head + &write::yaml(doc)
            })
        }
    };
    text.push_str(&if is_crlf { written.replace('\n', "\r\n") } else { written });
    text
}

/// `Deployment team/web`.
fn called(doc: &Doc) -> Option<String> {
    let metadata = doc.get("metadata");
    let of = |key| metadata.and_then(|metadata| metadata.text(key));
    let name = of("name").or_else(|| of("generateName"));
    let name = match (of("namespace"), name) {
        (Some(namespace), Some(name)) => format!(" {namespace}/{name}"),
        (None, Some(name)) => format!(" {name}"),
        (_, None) => String::new(),
    };
    doc.text("kind").map(|kind| format!("{kind}{name}"))
}

/// `spec.template`, `items[0].spec.template`.
fn shown(path: &[String]) -> String {
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

/// Pods and pod templates that ask.
fn find(doc: &Doc, dialects: &[Dialect], path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
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

/// A map with `spec.containers`.
fn is_pod(doc: &Doc) -> bool {
    let has_containers = matches!(doc.get("spec").and_then(|spec| spec.get("containers")), Some(Doc::List(_)));
    has_containers || (doc.text("kind") == Some("Pod") && doc.get("spec").is_some())
}

fn asks(doc: &Doc, dialects: &[Dialect]) -> bool {
    let annotations = doc.get("metadata").and_then(|metadata| metadata.get("annotations"));
    matches!(annotations, Some(Doc::Map(entries)) if entries.iter().any(|(key, _)| counts(key, dialects)))
}

/// Annotations of ours where nobody looks, and why. An object without a pod, and one whose template asks, may have them
/// by a rule for all objects: that is nobody's mistake.
fn stray(doc: &Doc, templates: &[Vec<String>], dialects: &[Dialect]) -> Vec<(Vec<String>, &'static str)> {
    let has_template = |spec: &Doc| spec.get("template").is_some_and(is_pod) || spec.get("jobTemplate").is_some();
    let mut found = Vec::new();
    every(doc, &mut Vec::new(), &mut |doc, path| {
        if !asks(doc, dialects) || templates.iter().any(|template| template.starts_with(path)) {
            return;
        }
        if doc.text("kind").is_none() {
            found.push((
                path.to_vec(),
                "has annotations, but no spec.containers beside them: nothing is injected there",
            ));
        } else if doc.get("spec").is_some_and(has_template) {
            let text =
                "has annotations of its own, which count on its pod template only (spec.template.metadata.annotations)";
            found.push((path.to_vec(), text));
        }
    });
    found
}

/// Whether any key is one of ours.
fn mentions(doc: &Doc, dialects: &[Dialect]) -> bool {
    let mut found = false;
    every(doc, &mut Vec::new(), &mut |doc, _| {
        found |= matches!(doc, Doc::Map(entries) if entries.iter().any(|(key, _)| counts(key, dialects)));
    });
    found
}

/// A document and everything in it, each with its path.
fn every(doc: &Doc, path: &mut Vec<String>, see: &mut impl FnMut(&Doc, &[String])) {
    see(doc, path);
    let mut below = |step: String, doc: &Doc, path: &mut Vec<String>| {
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

/// `%YAML 1.1` before the `---` of the document it is about.
fn is_only_directives(body: &str) -> bool {
    body.contains('%') && body.lines().all(|line| line.trim().is_empty() || line.starts_with(['%', '#']))
}
