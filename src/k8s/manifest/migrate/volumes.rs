//! The volumes of a pod and their mounts.

use super::super::doc::Doc;

/// The items of a list; empty if it is not a list.
pub(super) fn items(doc: Option<&Doc>) -> &[Doc] {
    match doc {
        Some(Doc::List(items)) => items,
        _ => &[],
    }
}

/// Every container and init container of a pod.
pub(super) fn containers(pod: &Doc) -> impl Iterator<Item = &Doc> {
    let spec = pod.get("spec");
    ["containers", "initContainers"].into_iter().flat_map(move |list| items(spec.and_then(|spec| spec.get(list))))
}

/// The pod without the volume and its mounts.
pub(super) fn without(pod: &Doc, volume: &str) -> Doc {
    let mut pod = pod.clone();
    let is_other = |item: &Doc| item.text("name") != Some(volume);
    let strip = |owner: &mut Doc, list: &str| {
        let Doc::Map(entries) = owner else { return };
        if let Some((_, Doc::List(items))) = entries.iter_mut().find(|(key, _)| key == list) {
            items.retain(is_other);
        }
        entries.retain(|(key, value)| key != list || *value != Doc::List(Vec::new()));
    };
    let Some(spec) = pod.at(&["spec".to_owned()]) else { return pod };
    strip(spec, "volumes");
    for list in ["containers", "initContainers"] {
        if let Some(Doc::List(containers)) = spec.at(&[list.to_owned()]) {
            containers.iter_mut().for_each(|container| strip(container, "volumeMounts"));
        }
    }
    pod
}
