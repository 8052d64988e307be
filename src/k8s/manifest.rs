//! Offline injection: manifests in, manifests out. Documents without changes are copied byte for byte.
//!
//! A pod template is recognized by its shape, annotations beside a `spec` with `containers`, so those of custom
//! kinds are found too.

mod comments;
mod counterparts;
mod doc;
mod layout;
mod ranges;
pub mod migrate;
mod read;
mod scalar;
mod stray;
mod walk;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::config::annotations::PREFIX;
use crate::config::{DIALECT_PREFIXES, Injector, Text};

use super::inject::planned;
use doc::Doc;
use read::{ReadError, Written};
use stray::stray;
use walk::{find, mentions, shown};

/// The result of processing manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The manifests.
    pub text: String,
    /// Pods that were injected: document and path.
    pub changed: Vec<String>,
    /// Warnings, which do not prevent the injection.
    pub warnings: Vec<String>,
}

/// Injects into every document of the files. On failure returns every mistake, with its document and path.
pub fn manifest(files: &[Text<'_>], injector: &Injector) -> Result<Output, Vec<String>> {
    let (output, mistakes) = manifest_or_mistakes(files, injector);
    if mistakes.is_empty() { Ok(output) } else { Err(mistakes) }
}

/// Injects into every document of the files. Returns every mistake, with its document and path: then the manifests are
/// incomplete, and only the warnings count.
pub fn manifest_or_mistakes(files: &[Text<'_>], injector: &Injector) -> (Output, Vec<String>) {
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
    (output, mistakes)
}

/// The injector's config within a KRM function's input, the `spec` of `functionConfig`, as YAML; `None` for other
/// input.
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

/// Adds a document separator between two files, unless the second begins with one.
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

/// A document with its separator.
struct Segment<'a> {
    /// One-based line of the body.
    line: usize,
    /// `---`, with the rest of its line if that is empty or a comment.
    separator: &'a str,
    body: &'a str,
}

/// Splits a YAML stream at `---`, or a stream of JSON values after each value.
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

/// The length of the separator at the start of a line; `None` if the line is not one.
fn separator(row: &str) -> Option<usize> {
    let rest = row.strip_prefix("---")?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(3)
}

/// The values of a text that is a stream of JSON objects; `None` for other text.
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
    // White space after the last value.
    found.push(Segment { line: 1, separator: "", body: &text[start..] });
    Some(found)
}

/// Processes one document: its new text, or `None` if it stays unchanged.
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
        // A key may be written with escapes.
        let hides = body.contains('\\')
            && read::read(body).is_ok_and(|read| read.is_some_and(|(doc, _)| mentions(&doc, dialects)));
        if !hides {
            read::check(body).map_err(|error| broken(error, name))?;
            warn_of_others(body, injector, name, output);
            return Ok(None);
        }
    }
    let Some((mut doc, written)) = read::read(body).map_err(|error| broken(error, name))? else { return Ok(None) };
    if let Some(called) = called(&doc) {
        name.push_str(&format!(" ({called})"));
    }
    let mut templates = Vec::new();
    find(&doc, dialects, &mut Vec::new(), &mut templates);
    let namespace = doc.get("metadata").and_then(|metadata| metadata.text("namespace")).map(str::to_owned);
    warn(&doc, &templates, injector, name, output);
    let before = doc.clone();
    let is_changed = inject_templates(&mut doc, templates, namespace.as_deref(), injector, name, output)?;
    Ok(is_changed.then(|| rewritten(segment, &before, &doc, written)))
}

/// Injects into the templates at these paths; returns whether anything changed.
fn inject_templates(
    doc: &mut Doc,
    templates: Vec<Vec<String>>,
    namespace: Option<&str>,
    injector: &Injector,
    name: &str,
    output: &mut Output,
) -> Result<bool, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut is_changed = false;
    for path in templates {
        let place = place(name, &path);
        let template = doc.at(&path).expect("the path was found in this document");
        let mut warnings = Vec::new();
        let planned = planned(&template.to_json(), namespace, injector, &mut warnings);
        output.warnings.extend(warnings.into_iter().map(|text| format!("{place}: {text}")));
        match planned {
            Ok(ops) if ops.is_empty() => {}
            Ok(ops) => {
                template.apply(&ops);
                is_changed = true;
                output.changed.push(place);
            }
            Err(denial) => mistakes.extend(denial.into_iter().map(|text| format!("{place}: {text}"))),
        }
    }
    if mistakes.is_empty() { Ok(is_changed) } else { Err(mistakes) }
}

/// A parse error with file and line.
fn read_error(file: &str, segment: &Segment<'_>, error: &ReadError) -> String {
    format!("{file}:{}: {}", segment.line + error.line - 1, error.text)
}

/// Warns about annotations of another injector in a document that is not read otherwise. A parse error is ignored
/// here.
fn warn_of_others(body: &str, injector: &Injector, name: &mut String, output: &mut Output) {
    if DIALECT_PREFIXES.iter().any(|prefix| body.contains(prefix))
        && let Ok(Some((doc, _))) = read::read(body)
    {
        called(&doc).into_iter().for_each(|called| name.push_str(&format!(" ({called})")));
        warn(&doc, &[], injector, name, output);
    }
}

/// Warns about annotations that nothing reads.
fn warn(doc: &Doc, templates: &[Vec<String>], injector: &Injector, name: &str, output: &mut Output) {
    let found = stray(doc, templates, &injector.dialects);
    output.warnings.extend(found.into_iter().map(|(path, text)| format!("{}: {text}", place(name, &path))));
}

/// The document's name, with the path of a template in it.
fn place(name: &str, path: &[String]) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{name}, {}", shown(path)) }
}

/// The text of a changed document: the original text with edits where possible, so that comments stay; otherwise
/// written anew below its leading comments (Helm names the source there).
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

/// A document's kind and name, for messages: `Deployment team/web`.
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

/// Whether the body consists of directives, such as `%YAML 1.1` before the document's `---`.
fn is_only_directives(body: &str) -> bool {
    body.contains('%') && body.lines().all(|line| line.trim().is_empty() || line.starts_with(['%', '#']))
}
