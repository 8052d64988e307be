//! Checks whether a pod has the injected containers already: each is compared with what injection would write now,
//! not only by name.
//!
//! Everything that injection writes must be present unchanged. Additions that the API server and other webhooks
//! make to every container are accepted (defaults, a service account's mount, AWS identities, SELinux options); any
//! other difference is reported.

mod fields;

use std::collections::BTreeSet;
use std::path::{Component, Path};

use serde_json::Value;

use crate::config::{Flag, Injector, check_as_annotations};

pub(super) use fields::APPARMOR_ANNOTATION;
use fields::{contains, list_of, list_of_container, text};

use super::containers::{identity_mount, in_place_of_api_token};
use super::denial::Denial;
use super::names::{API_TOKEN_PATH, ENTRY_POINT, IDENTITY, PROGRAM, SIDECAR_NAME, STATE, is_injected_name};
use super::request::InjectionRequest;

/// The most differing arguments that are accepted as those of other annotations.
const MAX_OLD_ARGUMENTS: usize = 256;
/// Variables that only select the AWS endpoint within a partition, and may differ between containers.
const REGIONAL: [&str; 5] = [
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_USE_FIPS_ENDPOINT",
];
/// Paths where a mount would replace the program or files that it reads.
const SHADOWED: [&str; 5] = [ENTRY_POINT, "/etc", "/proc", "/sys", "/dev"];

/// A container that injection writes, and the list of the pod it belongs to.
pub(super) struct Expected {
    /// `initContainers` or `containers`.
    pub(super) list: &'static str,
    /// The container as injection would write it now.
    pub(super) container: Value,
}

/// The indexes of the expected containers in their lists, in order; `None` if the pod has none of them. Refuses a
/// container with an injected one's name that differs from it, naming the difference.
pub(super) fn find(
    pod: &Value,
    expected: &[Expected],
    request: &InjectionRequest,
    injector: &Injector,
) -> Result<Option<Vec<usize>>, Denial> {
    let mut found = vec![None; expected.len()];
    let mut denial: Denial = fields::apparmor_annotation(pod).into_iter().collect();
    let name = |container: &Value| text(container, "name").to_owned();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for (index, container) in
            list_of(pod, list).iter().enumerate().filter(|(_, c)| is_injected_name(text(c, "name")))
        {
            let at = expected.iter().position(|known| known.list == list && name(&known.container) == name(container));
            let difference = match at {
                None => Some(format!("the injected one does not stand in {list}")),
                Some(at) if found[at].is_some() => Some("it occurs twice".to_owned()),
                Some(at) => {
                    found[at] = Some(index);
                    Comparison { pod, request, injector }.difference(container, &expected[at].container)
                }
            };
            if let Some(difference) = difference {
                denial.push(format!(
                    "the pod already has a container {}, which is not the injected one: {difference}; rename or remove it, \
                     or leave the annotations out",
                    name(container)
                ));
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
        .map(|(known, _)| {
            let name = name(&known.container);
            format!("the pod has a part of what is injected, but no container {name}; start from the pod without it")
        })
        .collect();
    if missing.is_empty() { Ok(Some(found.into_iter().flatten().collect())) } else { Err(missing) }
}

/// The context of a comparison.
struct Comparison<'a> {
    pod: &'a Value,
    request: &'a InjectionRequest,
    injector: &'a Injector,
}

impl Comparison<'_> {
    /// The first difference that shows that a container is not the injected one; `None` if it is.
    fn difference(&self, found: &Value, expected: &Value) -> Option<String> {
        let image = text(found, "image");
        if image != text(expected, "image") && !self.injector.image_mirrors.iter().any(|mirror| mirror == image) {
            let mut shown: String = image.chars().take(200).collect();
            if shown.is_empty() {
                "missing".clone_into(&mut shown);
            }
            let expected = text(expected, "image");
            let is_mirrored = image.rsplit('/').next() == expected.rsplit('/').next();
            let advice = if is_mirrored {
                " (where a webhook rewrites image names, the operator adds this one to imageMirrors)"
            } else {
                ""
            };
            return Some(format!("its image is {shown}, expected {expected}{advice}"));
        }
        fields::never_injected(found)
            .or_else(|| arguments(found, expected).map_or_else(Some, |old| self.other_annotations(&old)))
            .or_else(|| self.variables(found, expected))
            .or_else(|| self.mounts(found, expected))
            .or_else(|| fields::difference(self.pod, found, expected))
    }

    /// Checks arguments that injection would not write now: they must be possible results of other annotations.
    /// Returns what is wrong.
    fn other_annotations(&self, old: &[Flag]) -> Option<String> {
        if old.len() > MAX_OLD_ARGUMENTS {
            return Some("its arguments differ".to_owned());
        }
        let mut said = Vec::new();
        for flag in old {
            let pinned = flag.value.split_once('=').filter(|_| flag.name == "--set").and_then(|(key, value)| {
                let (_, pin) = self.request.admitted.fixed.iter().find(|(known, _)| known == key)?;
                Some((key, pin == value || (key == "vault.address" && self.injector.may_name(value))))
            });
            match pinned {
                Some((_, true)) => {}
                Some((key, false)) => return Some(format!("its argument --set {key} differs")),
                None => said.push(flag.clone()),
            }
        }
        let mistakes = check_as_annotations(&said);
        mistakes.first().map(|mistake| format!("its argument {} ({})", mistake.place, mistake.text))
    }

    /// A variable that is neither written by injection nor accepted as an addition to all containers, or one that is
    /// missing.
    fn variables(&self, found: &Value, expected: &Value) -> Option<String> {
        let (known, written) = (list_of_container(found, "env"), list_of_container(expected, "env"));
        let mut elsewhere = None;
        for variable in known {
            let name = text(variable, "name");
            let is_same = written.iter().filter(|own| text(own, "name") == name).any(|own| own == variable);
            if is_same || (REGIONAL.contains(&name) && variable.get("valueFrom").is_none()) {
                continue;
            }
            let is_own_container =
                name.starts_with("SECRET_EXEC_") || written.iter().any(|own| text(own, "name") == name);
            let elsewhere = elsewhere.get_or_insert_with(|| self.of_other_containers("env"));
            if is_own_container || !elsewhere.contains(&variable.to_string()) {
                return Some(format!("its variable {name} is not the injector's, and no other container has the same"));
            }
        }
        let is_there = |own: &Value| known.iter().any(|variable| text(variable, "name") == text(own, "name"));
        let missing = written.iter().find(|own| text(own, "name").starts_with("SECRET_EXEC_") && !is_there(own));
        missing.map(|own| format!("its variable {} is missing", text(own, "name")))
    }

    /// A mount that is neither written by injection nor accepted as an addition to all containers, or one that is
    /// missing.
    fn mounts(&self, found: &Value, expected: &Value) -> Option<String> {
        let (known, written) = (list_of_container(found, "volumeMounts"), list_of_container(expected, "volumeMounts"));
        let is_login = !written.iter().any(|own| text(own, "name") == PROGRAM);
        let plain: Vec<Value> = written.iter().map(plain_mount).collect();
        let mut elsewhere = None;
        for mount in known {
            let (name, path) = (text(mount, "name"), text(mount, "mountPath"));
            let mount = &plain_mount(mount);
            let is_written = plain.contains(mount);
            // The token's mount, when the present annotations need no login.
            let is_token = is_login && *mount == identity_mount();
            // Which volume keeps the API token out depends on the login.
            let is_in_place_of_api_token =
                path == API_TOKEN_PATH && is_injected_volume(name) && *mount == in_place_of_api_token(name);
            if is_written || is_token || is_in_place_of_api_token {
                continue;
            }
            let elsewhere = elsewhere.get_or_insert_with(|| self.of_other_containers("volumeMounts"));
            let is_given_to_all = elsewhere.contains(&mount.to_string());
            // A copy of a pod that an earlier version injected has the API token there.
            let own = || written.iter().map(|own| text(own, "mountPath")).filter(|own| *own != API_TOKEN_PATH);
            if is_injected_volume(name)
                || !is_given_to_all
                || SHADOWED.into_iter().chain(own()).any(|own| overlap(own, path))
            {
                return Some(format!("it mounts volume {name} at {path}"));
            }
        }
        let is_there = |own: &Value| known.iter().any(|mount| plain_mount(mount) == plain_mount(own));
        let needed = |own: &&Value| {
            [SIDECAR_NAME, STATE, PROGRAM].contains(&text(own, "name")) && text(own, "mountPath") != API_TOKEN_PATH
        };
        let missing = written.iter().filter(needed).find(|own| !is_there(own));
        missing.map(|own| format!("it does not mount volume {} at {}", text(own, "name"), text(own, "mountPath")))
    }

    /// The items of a list in every other container, as JSON.
    fn of_other_containers(&self, member: &str) -> BTreeSet<String> {
        let all = list_of(self.pod, "containers").iter().chain(list_of(self.pod, "initContainers"));
        let others = all.filter(|container| !is_injected_name(text(container, "name")));
        let items = others.flat_map(|container| list_of_container(container, member));
        items.map(|item| if member == "env" { item.to_string() } else { plain_mount(item).to_string() }).collect()
    }
}

/// The arguments of `found` that injection would not write now; an error if those that never change differ.
fn arguments(found: &Value, expected: &Value) -> Result<Vec<Flag>, String> {
    let words = |value: &Value| -> Option<Vec<String>> {
        list_of_container(value, "args").iter().map(|word| word.as_str().map(|word| word.replace("$$", "$"))).collect()
    };
    let differ = || "its arguments differ".to_owned();
    let (found, written) = (words(found).ok_or_else(differ)?, words(expected).unwrap_or_default());
    // The part that never changes: command, switches and the volume's path, or everything for `install`.
    let head = written.iter().position(|word| word == "--volume").map_or(written.len(), |at| at + 2);
    if let Some(at) = (0..head.max(1)).find(|at| found.get(*at) != written.get(*at)) {
        let shown =
            |words: &[String]| words.get(at).map_or("missing".to_owned(), |word| word.chars().take(100).collect());
        return Err(format!("its argument {} is {}, expected {}", at + 1, shown(&found), shown(&written)));
    }
    if head == written.len() && found.len() != head {
        return Err(differ());
    }
    let pairs = |words: &[String]| -> Vec<(String, String)> {
        words[head..].chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned().unwrap_or_default())).collect()
    };
    let now: BTreeSet<_> = pairs(&written).into_iter().collect();
    Ok(pairs(&found)
        .into_iter()
        .filter(|pair| !now.contains(pair))
        .map(|(name, value)| Flag::new(name, value))
        .collect())
}

/// Whether the name is one of an injected volume.
pub(super) fn is_injected_volume(name: &str) -> bool {
    [SIDECAR_NAME, STATE, IDENTITY, PROGRAM].contains(&name)
}

/// Whether a volume with an injected one's name has the same type, and the same Secret. Its size may come from other
/// annotations, and defaults are ignored.
pub(super) fn is_same_kind(volume: &Value, expected: &Value) -> bool {
    let kinds = |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<BTreeSet<_>>());
    let medium = |value: &Value| value.pointer("/emptyDir/medium").filter(|medium| *medium != "").cloned();
    kinds(volume) == kinds(expected)
        && medium(volume) == medium(expected)
        && volume.pointer("/projected/sources").map(Value::to_string)
            == expected.pointer("/projected/sources").map(Value::to_string)
        && expected.get("secret").is_none_or(|secret| contains(&volume["secret"], secret))
}

/// A mount without members that have their default value.
fn plain_mount(mount: &Value) -> Value {
    let said = |(_, value): &(&String, &Value)| !value.is_null() && *value != false && *value != "" && *value != "None";
    let members = mount.as_object().into_iter().flatten().filter(said);
    Value::Object(members.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// Whether one of two paths is equal to or below the other; true for paths that are not plain.
fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (Path::new(one), Path::new(other));
    let is_plain = |path: &Path| path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    !is_plain(one) || !is_plain(other) || one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests;
