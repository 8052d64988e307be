//! Finds annotations where nothing reads them, and says where they would be read. The manifest is valid, so each is
//! a warning.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::annotations::PREFIX;
use crate::config::{DIALECT_PREFIXES, Dialect};
use crate::k8s::pod::counts;

use super::doc::Doc;
use super::walk::{annotations, every, is_pod, keys, shown};

/// Kinds whose controller creates pods without a pod template, and the field for their annotations (Argo
/// Workflows).
const MAKERS: [(&str, &str); 4] = [
    ("Workflow", "spec.podMetadata.annotations"),
    ("WorkflowTemplate", "spec.podMetadata.annotations"),
    ("ClusterWorkflowTemplate", "spec.podMetadata.annotations"),
    ("CronWorkflow", "spec.workflowSpec.podMetadata.annotations"),
];

/// Kinds whose annotations other injectors apply to pods.
const INHERITED: [&str; 2] = ["Namespace", "ServiceAccount"];

/// The label by which `deploy/policies` finds pods.
const SECRETS: &str = "secrets";
/// The label that a pod with annotations needs before Kubernetes 1.30. Alone, or with another value than `true`, it does
/// nothing.
const INJECT: &str = "inject";

/// The path of a part of a document, and the warning about it.
pub(super) type Stray = (Vec<String>, String);

/// A warning for every map of annotations that is not read. Annotations of an object without pods, and those that
/// its template has too, are accepted: tools add the same annotations to all objects.
pub(super) fn stray(doc: &Doc, templates: &[Vec<String>], dialects: &[Dialect]) -> Vec<Stray> {
    let mut found = Vec::new();
    if doc.text("kind") == Some("Kustomization") {
        return found;
    }
    let mut parts: Vec<(Vec<String>, &Doc)> = Vec::new();
    every(doc, &mut Vec::new(), &mut |part, path| parts.push((path.to_vec(), part)));
    let by_path: BTreeMap<&[String], &Doc> = parts.iter().map(|(path, part)| (path.as_slice(), *part)).collect();
    let templates: BTreeSet<&[String]> = templates.iter().map(Vec::as_slice).collect();
    for (path, part) in &parts {
        let counted: Vec<&str> = keys(Some(part)).filter(|key| counts(key, dialects)).collect();
        if counted.is_empty() || path.last().is_none_or(|last| last == "labels" || last == "matchLabels") {
            continue;
        }
        let is_metadata = path.ends_with(&["metadata".to_owned(), "annotations".to_owned()]);
        let owner = &path[..path.len() - if is_metadata { 2 } else { 1 }];
        if is_metadata && templates.contains(owner) {
            continue;
        }
        let Some(holder) = by_path.get(owner) else { continue };
        if let Some(text) = explained(holder, owner, &counted, &by_path) {
            found.push((owner.to_vec(), text));
        }
    }
    found.extend(labels(&parts, dialects));
    found.extend(unread(&parts, dialects));
    found
}

/// The warning about annotations of `holder`, if there is one.
fn explained(holder: &Doc, owner: &[String], counted: &[&str], parts: &BTreeMap<&[String], &Doc>) -> Option<String> {
    let below = parts.range(owner..).take_while(|(path, _)| path.starts_with(owner));
    let pods: Vec<(&[String], &Doc)> =
        below.filter(|(_, part)| is_pod(part)).map(|(path, part)| (*path, *part)).collect();
    if let [(first, _), ..] = pods.as_slice() {
        let there: BTreeSet<&str> = pods.iter().flat_map(|(_, pod)| annotations(pod)).collect();
        let missing: Vec<&str> = counted.iter().copied().filter(|key| !there.contains(key)).collect();
        return (!missing.is_empty()).then(|| {
            format!(
                "has annotations of its own ({}), which count on its pod template only ({})",
                listed(&missing),
                shown(&[*first, &["metadata".to_owned(), "annotations".to_owned()]].concat())
            )
        });
    }
    let Some(kind) = holder.text("kind") else {
        return Some(
            "has annotations, but no spec.containers beside them: nothing is injected there; of pods that a controller \
             makes with these annotations the webhook injects each when it is created"
                .to_owned(),
        );
    };
    if INHERITED.contains(&kind) {
        return Some(format!(
            "has annotations of its own ({}), which no pod inherits; say them in each pod template",
            listed(counted)
        ));
    }
    let (_, place) = MAKERS.iter().find(|(maker, _)| *maker == kind)?;
    Some(format!("has annotations of its own ({}), which do not reach its pods; say them in {place}", listed(counted)))
}

/// Warnings about labels of a pod that should be annotations.
fn labels(parts: &[(Vec<String>, &Doc)], dialects: &[Dialect]) -> Vec<Stray> {
    let pods = parts.iter().filter(|(_, part)| is_pod(part));
    let stray = pods.filter_map(|(path, pod)| {
        let labels = pod.get("metadata").and_then(|metadata| metadata.get("labels"));
        let has_annotations = annotations(pod).any(|key| counts(key, dialects));
        let is_stray = |key: &&str| {
            key.strip_prefix(PREFIX).is_some_and(|name| match name {
                SECRETS => false,
                INJECT => !has_annotations || labels.and_then(|labels| labels.text(key)) != Some("true"),
                _ => true,
            })
        };
        let stray: Vec<&str> = keys(labels).filter(is_stray).collect();
        (!stray.is_empty())
            .then(|| (path.clone(), format!("has labels that count as annotations only: {}", listed(&stray))))
    });
    stray.collect()
}

/// Warnings about annotations of other injectors whose dialect is not enabled; one for each prefix.
fn unread(parts: &[(Vec<String>, &Doc)], dialects: &[Dialect]) -> Vec<Stray> {
    let mut found: Vec<Stray> = Vec::new();
    let read: BTreeSet<&str> = dialects.iter().flat_map(|dialect| dialect.prefixes()).copied().collect();
    for prefix in DIALECT_PREFIXES.into_iter().filter(|prefix| !read.contains(prefix)) {
        let names: Vec<&str> = Dialect::ALL
            .into_iter()
            .filter(|dialect| dialect.prefixes().contains(&prefix))
            .map(Dialect::name)
            .collect();
        let mut holders = parts.iter().filter(|(path, part)| {
            path.last().is_some_and(|last| last.to_lowercase().ends_with("annotations"))
                && keys(Some(part)).any(|key| key.starts_with(prefix))
        });
        if let Some((path, _)) = holders.next() {
            let end =
                path.len() - if path.ends_with(&["metadata".to_owned(), "annotations".to_owned()]) { 2 } else { 1 };
            let text = format!(
                "has annotations below {prefix}, which are another injector's and not read here; to have them read, list \
                 its dialect in the injector's config (dialects: [{}])",
                names.join("] or [")
            );
            found.push((path[..end].to_vec(), text));
        }
    }
    found
}

/// The first names, for a message, and how many more there are.
fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
