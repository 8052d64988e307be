//! Whether a pod has our containers already: proven by their image, command, arguments and mounts, never by a name alone.

use serde_json::Value;

use super::denial::Denial;
use super::pod::{Container, Pod};
use super::wish;

/// A container that injection makes, and the list of the pod it belongs to.
pub(super) struct Expected {
    /// `initContainers` or `containers`.
    pub(super) list: &'static str,
    /// As it would be added now.
    pub(super) container: Value,
}

/// Where the expected containers stand in their lists, in their order; `None` when the pod has none of them. One that has
/// our name and was not made by injection is refused.
pub(super) fn find(pod: &Pod, expected: &[Expected]) -> Result<Option<Vec<usize>>, Denial> {
    let lists = [("initContainers", &pod.init_containers), ("containers", &pod.containers)];
    let mut found = vec![None; expected.len()];
    let mut denial = Denial::new();
    for (list, containers) in lists {
        for (index, container) in containers.iter().enumerate().filter(|(_, container)| wish::is_ours(container)) {
            let at = expected.iter().position(|known| {
                known.list == list && known.container.get("name").and_then(Value::as_str) == Some(&container.name)
            });
            let difference = at.map_or(Some("where it stands"), |at| difference(container, &expected[at].container));
            match (at, difference) {
                (Some(at), None) => found[at] = Some(index),
                (_, difference) => denial.push(format!(
                    "the pod already has a container {}, which is not the injected one ({} differs); rename it, or leave \
                     the annotations out",
                    container.name,
                    difference.unwrap_or("its place")
                )),
            }
        }
    }
    if !denial.is_empty() {
        return Err(denial);
    }
    if found.iter().all(Option::is_none) {
        return Ok(None);
    }
    let missing = expected.iter().zip(&found).filter(|(_, found)| found.is_none());
    let missing: Denial = missing
        .filter_map(|(known, _)| known.container.get("name").and_then(Value::as_str))
        .map(|name| {
            format!("the pod has a part of what is injected, but no container {name}; start from the pod without it")
        })
        .collect();
    if missing.is_empty() { Ok(Some(found.into_iter().flatten().collect())) } else { Err(missing) }
}

/// What shows that a container of our name is not ours. The other arguments may be older than the pod's annotations, and
/// are brought up to date.
fn difference(container: &Container, expected: &Value) -> Option<&'static str> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    if container.image.as_deref().is_none_or(|image| !is_same_image(image, &text(expected, "image"))) {
        return Some("its image");
    }
    if container.command.is_some() {
        return Some("its command");
    }
    let first = expected.pointer("/args/0").and_then(Value::as_str);
    if container.args.first().map(String::as_str) != first {
        return Some("its first argument");
    }
    if container.stays != (text(expected, "restartPolicy") == "Always") {
        return Some("its restartPolicy");
    }
    // The first is the volume of the files, or of the program; the rest depends on the annotations.
    let mount = expected.pointer("/volumeMounts/0")?;
    let is_mounted = container
        .mounts
        .iter()
        .any(|known| known.volume == text(mount, "name") && known.path == text(mount, "mountPath"));
    (!is_mounted).then_some("its volumeMounts")
}

/// Whether two names mean the same image: a webhook that rewrites them for a mirror changes what is before the last `/`.
fn is_same_image(found: &str, expected: &str) -> bool {
    let last = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    found == expected || (found.contains('/') && last(found) == last(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_keeps_the_name_and_the_tag_of_an_image() {
        let same = |found| is_same_image(found, "registry.example.com/team/secret-exec:1.0");
        assert!(same("registry.example.com/team/secret-exec:1.0"));
        assert!(same("mirror.local/proxy/registry.example.com/secret-exec:1.0"));
        for other in ["mirror.local/secret-exec:1.1", "secret-exec:1.0", "mirror.local/other:1.0", "", "busybox"] {
            assert!(!same(other), "{other}");
        }
    }
}
