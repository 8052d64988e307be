//! The fields of an injected container beside its image, arguments, variables and mounts: which values injection
//! writes, and which the API server and its admission plugins are known to add.
//!
//! Together with [`super`] it compares all fields of a core/v1 Container as of Kubernetes 1.36.

use serde_json::{Map, Value};

use crate::k8s::names::{INIT_NAME, SIDECAR_NAME, is_injected_name};
use crate::k8s::quantity;

/// Fields that injection never writes to a container, and that would run or open something in it.
const NEVER_INJECTED: [&str; 11] = [
    "command",
    "envFrom",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "restartPolicyRules",
    "stdin",
    "stdinOnce",
    "tty",
    "volumeDevices",
    "workingDir",
];
/// The file of the termination message that the API server writes to every container. Kubelet creates the named
/// file in the container and publishes its end in the pod's status, so another path could show a secret.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// The SELinux types of containers that Pod Security "baseline" allows.
const SELINUX_TYPES: [&str; 4] = ["container_t", "container_init_t", "container_kvm_t", "container_engine_t"];
/// The start of the annotation that names the AppArmor profile of a container, whose name follows.
pub(in crate::k8s) const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// A field that the container has and injection never writes.
pub(super) fn never_injected(found: &Value) -> Option<String> {
    NEVER_INJECTED.iter().find(|member| is_said(found.get(**member))).map(|member| format!("it has {member}"))
}

/// The first field whose value is neither that of injection nor a known addition.
pub(super) fn difference(pod: &Value, found: &Value, expected: &Value) -> Option<String> {
    let others = Others(pod);
    security(&others, found.get("securityContext"), &expected["securityContext"])
        .or_else(|| restart_and_startup(found, expected))
        .or_else(|| resources(&others, found, expected))
        .or_else(|| {
            let is_differing = |key: &&str| match *key {
                "terminationMessagePath" => !is_default_text(found.get(*key), &[TERMINATION_LOG]),
                "terminationMessagePolicy" => found.get(*key) != expected.get(*key) && !others.any_has(found, key),
                // The defaults, and what the plugin AlwaysPullImages writes.
                "imagePullPolicy" => {
                    !is_default_text(found.get(*key), &["IfNotPresent", "Always"]) && !others.any_has(found, key)
                }
                "resizePolicy" => !is_default_resize(found) && !others.any_has(found, key),
                _ => !are_own_ports(pod, found, expected),
            };
            ["terminationMessagePath", "terminationMessagePolicy", "imagePullPolicy", "resizePolicy", "ports"]
                .into_iter()
                .find(is_differing)
                .map(|key| if key == "ports" { "its ports differ".to_owned() } else { differs(key) })
        })
}

/// An annotation that would weaken the AppArmor profile of an injected container. The API server reads it where the
/// container itself names no profile.
pub(super) fn apparmor_annotation(pod: &Value) -> Option<String> {
    let annotations = pod.pointer("/metadata/annotations")?;
    let keys = [SIDECAR_NAME, INIT_NAME].map(|name| format!("{APPARMOR_ANNOTATION}{name}"));
    let key = keys.into_iter().find(|key| {
        annotations.get(key).is_some_and(|profile| !matches!(profile.as_str(), Some("" | "runtime/default")))
    })?;
    Some(format!(
        "annotation {key} changes the AppArmor profile of the injected container; leave it out, or say runtime/default"
    ))
}

/// The containers of the pod that are not injected, by which an addition to all containers is recognised.
struct Others<'a>(&'a Value);

impl<'a> Others<'a> {
    fn list(&self) -> impl Iterator<Item = &'a Value> {
        let all = list_of(self.0, "containers").iter().chain(list_of(self.0, "initContainers"));
        all.filter(|container| !is_injected_name(text(container, "name")))
    }

    /// Whether one of them has the same value in this field.
    fn any_has(&self, found: &Value, field: &str) -> bool {
        let value = found.get(field);
        value.is_some() && self.list().any(|container| container.get(field) == value)
    }

    /// Whether each of them has this value at a path.
    fn all_have(&self, path: &[&str], value: &Value) -> bool {
        self.list().next().is_some() && self.list().all(|container| at(container, path) == Some(value))
    }
}

/// The first difference of the securityContext: what injection writes must be there, and nothing else may give
/// rights. Ids and labels that platforms add are accepted.
fn security(others: &Others<'_>, found: Option<&Value>, expected: &Value) -> Option<String> {
    let empty = Map::new();
    let found = found.and_then(Value::as_object).unwrap_or(&empty);
    let differs = |key: &str| Some(differs(&format!("securityContext.{key}")));
    for (key, written) in expected.as_object().into_iter().flatten() {
        let is_same = match (key.as_str(), found.get(key)) {
            // Updated by the injection.
            ("runAsUser" | "runAsGroup", _) => true,
            ("capabilities", Some(capabilities)) => drops_all(capabilities),
            (_, Some(value)) => contains(value, written),
            (_, None) => false,
        };
        if !is_same {
            return differs(key);
        }
    }
    let is_harmless = |(key, value): &(&String, &Value)| match key.as_str() {
        _ if value.is_null() => true,
        "runAsUser" | "runAsGroup" => value.as_u64() != Some(0),
        "seLinuxOptions" => is_plain_selinux(value) || others.all_have(&["securityContext", key], value),
        "appArmorProfile" => match text(value, "type") {
            "RuntimeDefault" => true,
            "Localhost" => others.all_have(&["securityContext", key], value),
            _ => false,
        },
        "privileged" => value.as_bool() == Some(false),
        "procMount" => value.as_str() == Some("Default"),
        _ => expected.get(key.as_str()).is_some(),
    };
    found.iter().find(|member| !is_harmless(member)).and_then(|(key, _)| differs(key))
}

/// Whether SELinux options name only a level, and a type that a container usually has.
fn is_plain_selinux(options: &Value) -> bool {
    options.as_object().is_some_and(|options| {
        options.iter().all(|(key, value)| {
            key == "level" || !is_said(Some(value)) || (key == "type" && is_default_text(Some(value), &SELINUX_TYPES))
        })
    })
}

/// Whether the capabilities drop ALL and add none.
fn drops_all(capabilities: &Value) -> bool {
    let list = |key: &str| capabilities.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    list("add").is_empty() && list("drop").iter().any(|name| name == "ALL")
}

/// A difference of `restartPolicy` or `startupProbe`.
fn restart_and_startup(found: &Value, expected: &Value) -> Option<String> {
    let is_differing = |key: &&str| match (found.get(*key), expected.get(*key)) {
        (found, None) => is_said(found),
        (found, Some(expected)) => {
            found.is_none_or(|found| !contains(found, expected) || !is_default_probe(found, expected))
        }
    };
    ["restartPolicy", "startupProbe"].into_iter().find(is_differing).map(|key| match (key, found.get(key)) {
        // An API server before 1.28 drops the field, and asks again.
        ("restartPolicy", None) => {
            format!("its {key} differs (before Kubernetes 1.29 the operator says nativeSidecar: false)")
        }
        _ => differs(key),
    })
}

/// Whether the members of a probe that injection does not write have their defaults.
fn is_default_probe(found: &Value, expected: &Value) -> bool {
    found.as_object().into_iter().flatten().all(|(key, value)| {
        expected.get(key).is_some() || value.is_null() || *value == 0 || (key == "successThreshold" && *value == 1)
    })
}

/// A difference of the resources. Every amount of CPU, memory and storage is accepted, because other plugins write
/// them (limits of the namespace, autoscalers); a device is not.
fn resources(others: &Others<'_>, found: &Value, expected: &Value) -> Option<String> {
    let resources = found.get("resources")?;
    let is_amount =
        |name: &str| matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    for list in ["requests", "limits"] {
        let amounts = resources.get(list).and_then(Value::as_object).into_iter().flatten();
        for (name, amount) in amounts {
            let path = ["resources", list, name];
            let is_none =
                amount.is_null() || *amount == 0 || amount.as_str().and_then(quantity::thousandths) == Some(0);
            let is_known = is_amount(name) || at(expected, &path).is_some() || others.all_have(&path, amount);
            if !is_none && !is_known {
                return Some(format!("its resources.{list} name {name}"));
            }
        }
    }
    is_said(resources.get("claims")).then(|| "it has resources.claims".to_owned())
}

/// Whether the policies of a resize are those that the API server writes.
fn is_default_resize(found: &Value) -> bool {
    list_of_container(found, "resizePolicy").iter().all(|rule| text(rule, "restartPolicy") == "NotRequired")
}

/// Whether the ports are those of injection, or those of other annotations where the arguments are, too. None is
/// opened on the node, unless the pod has the network of the node, where the API server writes each as `hostPort`.
fn are_own_ports(pod: &Value, found: &Value, expected: &Value) -> bool {
    let (ports, written) = (list_of_container(found, "ports"), list_of_container(expected, "ports"));
    let is_host = pod.pointer("/spec/hostNetwork").and_then(Value::as_bool) == Some(true);
    let has_old_arguments = found.get("args") != expected.get("args");
    let is_own = |port: &Value| {
        let Some(members) = port.as_object() else { return false };
        let number = port.get("containerPort");
        let is_member = |(key, value): (&String, &Value)| match key.as_str() {
            "name" => value == SIDECAR_NAME,
            "protocol" => value == "TCP",
            "containerPort" => has_old_arguments || written.iter().any(|own| own.get("containerPort") == number),
            "hostPort" => !is_said(Some(value)) || *value == 0 || (is_host && Some(value) == number),
            _ => !is_said(Some(value)),
        };
        port.get("name").is_some() && members.iter().all(is_member)
    };
    ports.iter().all(is_own) && (has_old_arguments || ports.len() == written.len())
}

/// Says that a field differs.
fn differs(key: &str) -> String {
    format!("its {key} differs")
}

/// Whether a field is missing, empty or one of these defaults.
fn is_default_text(value: Option<&Value>, defaults: &[&str]) -> bool {
    !is_said(value) || value.and_then(Value::as_str).is_some_and(|value| defaults.contains(&value))
}

/// Whether `found` contains all of `expected`: maps may have more keys (defaults of the API server), lists must be
/// equal.
pub(super) fn contains(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| contains(found, value)))
        }
        _ => found == expected,
    }
}

/// Whether the value is present and neither null, false nor an empty string or list.
pub(super) fn is_said(value: Option<&Value>) -> bool {
    value.is_some_and(|value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    })
}

/// The value at a path of members.
fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(*key))
}

/// A string member; empty if it is missing.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A list of containers in the pod's spec; empty if it is missing.
pub(super) fn list_of<'a>(pod: &'a Value, list: &str) -> &'a [Value] {
    pod.get("spec").map_or(&[], |spec| list_of_container(spec, list))
}

/// A list member; empty if it is missing.
pub(super) fn list_of_container<'a>(container: &'a Value, member: &str) -> &'a [Value] {
    container.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
