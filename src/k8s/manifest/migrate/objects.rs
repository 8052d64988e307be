//! Reports Secrets and ConfigMaps whose values bank-vaults fills in when they are created: this project never
//! writes secrets into the API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::config::{BANK_VAULTS_PREFIX, SECRETS_WEBHOOK_PREFIX};

use super::super::doc::Doc;
use super::annotations_of;

/// A message about each such object in a document, to append to the document's name.
pub(super) fn filled(doc: &Doc) -> Vec<String> {
    match (doc.get("items"), doc.text("kind")) {
        (Some(Doc::List(items)), Some(kind)) if kind.ends_with("List") => {
            let each = items
                .iter()
                .enumerate()
                .flat_map(|(at, item)| filled(item).into_iter().map(move |text| format!(", items[{at}]{text}")));
            each.collect()
        }
        (_, Some(kind @ ("Secret" | "ConfigMap"))) => one(doc, kind).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The message about one object, if bank-vaults fills it in.
fn one(doc: &Doc, kind: &str) -> Option<String> {
    let prefixes = [BANK_VAULTS_PREFIX, SECRETS_WEBHOOK_PREFIX];
    let is_annotated = annotations_of(doc).iter().any(|(key, _)| prefixes.iter().any(|prefix| key.starts_with(prefix)));
    let keys: Vec<&str> = ["data", "stringData"].into_iter().flat_map(|list| keys(doc, kind, list)).collect();
    (is_annotated || !keys.is_empty()).then(|| {
        let what = if keys.is_empty() { "its annotations are".to_owned() } else { format!("{} is", keys.join(", ")) };
        format!(
            ": {what} for bank-vaults, which writes secrets into the {kind}; nothing here does: a pod gets them by \
             secret-exec.dev/env.NAME or secret-exec.dev/file.NAME, and the {kind} goes"
        )
    })
}

/// The keys whose values are bank-vaults references.
fn keys<'a>(doc: &'a Doc, kind: &'a str, list: &'a str) -> impl Iterator<Item = &'a str> {
    let entries = match doc.get(list) {
        Some(Doc::Map(entries)) => entries.as_slice(),
        _ => &[],
    };
    let is_reference = move |value: &Doc| {
        let Doc::Text(text) = value else { return false };
        let decoded = (kind == "Secret" && list == "data").then(|| STANDARD.decode(text).ok()).flatten();
        let text = decoded.map_or_else(|| text.clone(), |bytes| String::from_utf8_lossy(&bytes).into_owned());
        let starts = ["vault:", "bao:", ">>vault:", ">>bao:"].iter().any(|scheme| text.starts_with(scheme));
        (starts && text.contains('#'))
            || text.contains("${vault:")
            || text.contains("${bao:")
            || text.contains("${>>vault:")
    };
    entries.iter().filter(move |(_, value)| is_reference(value)).map(|(key, _)| key.as_str())
}
