//! The fields of a pod that injection reads. The pod itself stays untyped JSON: a typed one would lose fields of
//! newer versions.

use serde_json::Value;

use crate::config::Dialect;
use crate::config::annotations::PREFIX;

use super::names::{PROGRAM_FILE, SIDECAR_NAME, is_injected_name};

/// The annotation that names the container that tools use by default.
pub(super) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// The annotation on the API object that represents a static pod.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";

/// The fields of a pod, or of a pod template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// The annotations that injection reads.
    pub annotations: Annotations,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `spec.serviceAccountName`.
    pub service_account: Option<String>,
    /// `spec.containers`.
    pub containers: Vec<Container>,
    /// `spec.initContainers`.
    pub init_containers: Vec<Container>,
    /// `spec.ephemeralContainers`; a new pod has none.
    pub ephemeral_containers: Vec<Container>,
    /// Names of `spec.volumes`.
    pub volumes: Vec<String>,
    /// Fields about the pod's end.
    pub ending: Ending,
    /// Users, groups and processes.
    pub security: Security,
    /// The operating system that its spec requires, by any field.
    pub os: Option<String>,
}

/// The annotations that injection reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotations {
    /// Those of this project, sorted by key.
    pub own: Vec<(String, String)>,
    /// Those of enabled dialects, sorted by key.
    pub foreign: Vec<(String, String)>,
    /// `kubectl.kubernetes.io/default-container`.
    pub default_container: Option<String>,
    /// What `kubernetes.io/config.mirror` says about the pod.
    pub mirror: Mirror,
}

/// Whether a pod is the mirror of a static pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// It does not say so.
    No,
    /// It says so, and a Node is among its owners, as in every mirror.
    OfNode,
    /// It says so, and no Node owns it.
    Pretended,
}

/// A pod's users, groups and processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// `spec.shareProcessNamespace`.
    pub shares_processes: Option<bool>,
    /// `spec.hostPID`.
    pub uses_host_pid: bool,
    /// `spec.securityContext.supplementalGroups`.
    pub groups: Vec<u64>,
    /// `spec.securityContext.runAsUser`.
    pub user: Option<u64>,
    /// `spec.securityContext.runAsGroup`.
    pub group: Option<u64>,
}

/// Fields about a pod's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// `spec.restartPolicy`.
    pub restart_policy: Option<String>,
    /// Whether `spec.activeDeadlineSeconds` is set.
    pub has_deadline: bool,
    /// `spec.terminationGracePeriodSeconds`, in seconds.
    pub grace: Option<u64>,
}

/// The fields of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// `image`.
    pub image: Option<String>,
    /// `command`; `None` if the image's command is used.
    pub command: Option<Vec<String>>,
    /// `args`; items that are not strings become empty.
    pub args: Vec<String>,
    /// Whether it has `envFrom`, or a variable without a literal value.
    pub has_unknown_variables: bool,
    /// `resources`, unparsed.
    pub resources: Value,
    /// Variables, with their value if it is literal.
    pub env: Vec<(String, Option<String>)>,
    /// Its volume mounts.
    pub mounts: Vec<Mount>,
    /// Whether `restartPolicy` is `Always`: on an init container, a native sidecar.
    pub stays: bool,
    /// The user and group of its own.
    pub ids: Ids,
}

/// The user and group of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// `securityContext.runAsUser`.
    pub user: Option<u64>,
    /// `securityContext.runAsGroup`.
    pub group: Option<u64>,
}

/// A volume mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// `mountPath`.
    pub path: String,
    /// `readOnly`.
    pub is_read_only: bool,
    /// `subPath`.
    pub sub_path: Option<String>,
}

impl Container {
    /// Whether the container mounts the volume with that name.
    pub fn mounts(&self, volume: &str) -> bool {
        self.mounts.iter().any(|mount| mount.volume == volume)
    }

    /// Whether a variable of that name is set.
    pub fn has_variable(&self, name: &str) -> bool {
        self.env.iter().any(|(known, _)| known == name)
    }

    /// Whether the container is an injected one, by its name.
    pub(super) fn is_own(&self) -> bool {
        is_injected_name(&self.name)
    }

    /// Whether its command is wrapped already.
    pub(super) fn is_wrapped(&self) -> bool {
        self.command.as_ref().is_some_and(|words| words.first().is_some_and(|word| word == PROGRAM_FILE))
    }

    /// Whether the container was injected into already: it mounts the volume, or its command is wrapped.
    pub(super) fn is_injected(&self) -> bool {
        self.mounts(SIDECAR_NAME) || self.is_wrapped()
    }
}

/// Whether the pod has any annotation of this project or of these dialects: cheap, and also true for annotations
/// that cannot be parsed.
pub fn asks(pod: &Value, dialects: &[Dialect]) -> bool {
    let annotations = pod.get("metadata").and_then(|metadata| metadata.get("annotations"));
    annotations.and_then(Value::as_object).is_some_and(|all| all.keys().any(|key| counts(key, dialects)))
}

/// Whether an annotation is one of this project or of these dialects.
pub(super) fn counts(key: &str, dialects: &[Dialect]) -> bool {
    key.starts_with(PREFIX) || dialects.iter().any(|dialect| speaks(key, *dialect))
}

/// Whether an annotation is one of that dialect.
fn speaks(key: &str, dialect: Dialect) -> bool {
    dialect.prefixes().iter().any(|prefix| key.starts_with(prefix))
}

impl Annotations {
    /// Reads the annotations of this project and of these dialects.
    fn read(annotations: &Value, mirror: Mirror, dialects: &[Dialect]) -> Result<Self, String> {
        let mut own = Vec::new();
        let mut foreign = Vec::new();
        let mut default_container = None;
        for (key, value) in annotations.as_object().into_iter().flatten() {
            let list = if key.starts_with(PREFIX) {
                Some(&mut own)
            } else {
                dialects.iter().any(|dialect| speaks(key, *dialect)).then_some(&mut foreign)
            };
            if let Some(list) = list {
                let text =
                    value.as_str().ok_or_else(|| format!("annotation {key}: expected a text; put it in quotes"))?;
                list.push((key.clone(), text.to_owned()));
            } else if key == DEFAULT_CONTAINER {
                default_container = value.as_str().map(str::to_owned);
            }
        }
        own.sort();
        foreign.sort();
        Ok(Self { own, foreign, default_container, mirror })
    }
}

impl Pod {
    /// Reads a pod with the annotations of these dialects. The error names a field with an unexpected type.
    pub fn read(pod: &Value, dialects: &[Dialect]) -> Result<Self, String> {
        let metadata = member(pod, "metadata", "")?;
        let annotations = member(metadata, "annotations", "metadata")?;
        let spec = member(pod, "spec", "")?;
        let security = member(spec, "securityContext", "spec")?;
        let groups = items(security, "supplementalGroups", "spec.securityContext")?;
        let volumes = items(spec, "volumes", "spec")?;
        Ok(Self {
            annotations: Annotations::read(annotations, mirror(metadata, annotations), dialects)?,
            namespace: text(metadata, "namespace"),
            service_account: text(spec, "serviceAccountName"),
            containers: containers(spec, "containers")?,
            init_containers: containers(spec, "initContainers")?,
            ephemeral_containers: containers(spec, "ephemeralContainers")?,
            volumes: volumes.iter().filter_map(|volume| text(volume, "name")).collect(),
            ending: Ending {
                restart_policy: text(spec, "restartPolicy"),
                has_deadline: spec.get("activeDeadlineSeconds").is_some_and(Value::is_number),
                grace: spec.get("terminationGracePeriodSeconds").and_then(Value::as_u64),
            },
            security: Security {
                shares_processes: spec.get("shareProcessNamespace").and_then(Value::as_bool),
                uses_host_pid: spec.get("hostPID").and_then(Value::as_bool) == Some(true),
                groups: groups.iter().filter_map(Value::as_u64).collect(),
                user: security.get("runAsUser").and_then(Value::as_u64),
                group: security.get("runAsGroup").and_then(Value::as_u64),
            },
            os: os(spec),
        })
    }
}

/// Whether the pod is the mirror of a static pod, by its annotations and owners.
fn mirror(metadata: &Value, annotations: &Value) -> Mirror {
    let owners = metadata.get("ownerReferences").and_then(Value::as_array);
    let mut kinds = owners.into_iter().flatten().filter_map(|owner| owner.get("kind").and_then(Value::as_str));
    match annotations.get(MIRROR) {
        None => Mirror::No,
        Some(_) if kinds.any(|kind| kind == "Node") => Mirror::OfNode,
        Some(_) => Mirror::Pretended,
    }
}

const OS_LABELS: [&str; 2] = ["kubernetes.io/os", "beta.kubernetes.io/os"];
/// A label that only Windows nodes have.
const WINDOWS_LABEL: &str = "node.kubernetes.io/windows-build";

/// The operating system of the nodes that the pod requires, if it does: by `os`, by node labels, or by options that
/// only Windows has.
fn os(spec: &Value) -> Option<String> {
    let windows = || "windows".to_owned();
    let by_label = || {
        let selector = spec.get("nodeSelector")?;
        let os = OS_LABELS.iter().find_map(|label| text(selector, label));
        os.or_else(|| selector.get(WINDOWS_LABEL).is_some().then(windows))
    };
    let by_affinity = || {
        let terms = spec
            .pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms")?
            .as_array()?;
        // The terms are alternatives, so each must require another system.
        let all: Option<Vec<String>> = terms.iter().map(other_os).collect();
        all?.into_iter().next()
    };
    let is_windows = |holder: &Value| {
        let options = holder.pointer("/securityContext/windowsOptions").and_then(Value::as_object);
        options.is_some_and(|options| !options.is_empty())
    };
    let by_options = || {
        let lists = ["containers", "initContainers"].into_iter().filter_map(|list| spec.get(list)?.as_array());
        (is_windows(spec) || lists.flatten().any(is_windows)).then(windows)
    };
    let by_name = spec.get("os").and_then(|os| text(os, "name"));
    by_name.or_else(by_label).or_else(by_affinity).or_else(by_options)
}

/// The operating system that a term of a node affinity requires, if it is not Linux.
fn other_os(term: &Value) -> Option<String> {
    term.get("matchExpressions")?.as_array()?.iter().find_map(|expression| {
        let (key, operator) = (text(expression, "key")?, text(expression, "operator")?);
        let values = expression.get("values").and_then(Value::as_array);
        let values: Vec<&str> = values.into_iter().flatten().filter_map(Value::as_str).collect();
        let has_linux = values.contains(&"linux");
        match operator.as_str() {
            "In" if OS_LABELS.contains(&key.as_str()) && !has_linux => values.first().map(|os| (*os).to_owned()),
            "NotIn" if OS_LABELS.contains(&key.as_str()) && has_linux => Some("another system than linux".to_owned()),
            "In" | "Exists" | "Gt" if key == WINDOWS_LABEL => Some("windows".to_owned()),
            _ => None,
        }
    })
}

/// Reads a list of containers.
fn containers(spec: &Value, list: &str) -> Result<Vec<Container>, String> {
    let all = items(spec, list, "spec")?;
    all.iter().enumerate().map(|(at, value)| container(value, &format!("spec.{list}[{at}]"))).collect()
}

/// Reads a container; `path` is its place for messages.
fn container(value: &Value, path: &str) -> Result<Container, String> {
    if !value.is_object() {
        return Err(format!("{path}: expected a container, found {}", kind(value)));
    }
    let name = text(value, "name").ok_or_else(|| format!("{path}.name: expected the container's name"))?;
    let command = items(value, "command", path)?;
    let words: Option<Vec<String>> = command.iter().map(|word| word.as_str().map(str::to_owned)).collect();
    let words = words.ok_or_else(|| format!("{path}.command: expected a list of texts"))?;
    let args = items(value, "args", path)?;
    let mounts = items(value, "volumeMounts", path)?
        .iter()
        .filter_map(|mount| Some(self::mount(mount, text(mount, "name")?, text(mount, "mountPath")?)));
    let security = member(value, "securityContext", path)?;
    let env = items(value, "env", path)?;
    let is_unknown = |variable: &Value| text(variable, "value").is_none_or(|value| value.contains("$("));
    Ok(Container {
        name,
        image: text(value, "image"),
        args: args.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect(),
        has_unknown_variables: !items(value, "envFrom", path)?.is_empty() || env.iter().any(is_unknown),
        resources: value.get("resources").cloned().unwrap_or_default(),
        command: (!words.is_empty()).then_some(words),
        env: env.iter().filter_map(|variable| Some((text(variable, "name")?, text(variable, "value")))).collect(),
        mounts: mounts.collect(),
        stays: value.get("restartPolicy").and_then(Value::as_str) == Some("Always"),
        ids: Ids {
            user: security.get("runAsUser").and_then(Value::as_u64),
            group: security.get("runAsGroup").and_then(Value::as_u64),
        },
    })
}

/// Reads a volume mount.
fn mount(value: &Value, volume: String, path: String) -> Mount {
    let is_read_only = value.get("readOnly").and_then(Value::as_bool) == Some(true);
    Mount { volume, path, is_read_only, sub_path: text(value, "subPath").filter(|path| !path.is_empty()) }
}

/// A string member.
fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// A member that is a map; missing or `null` counts as empty.
fn member<'a>(value: &'a Value, key: &str, path: &str) -> Result<&'a Value, String> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(&Value::Null),
        Some(map) if map.is_object() => Ok(map),
        Some(other) => Err(format!("{}: expected a map, found {}", join(path, key), kind(other))),
    }
}

/// A member that is a list; missing or `null` counts as empty.
fn items<'a>(value: &'a Value, key: &str, path: &str) -> Result<&'a [Value], String> {
    match value.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(format!("{}: expected a list, found {}", join(path, key), kind(other))),
    }
}

/// A path with one more key.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The type of a JSON value, for messages.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_our_annotations_are_read() {
        let pod =
            json!({ "metadata": { "annotations": { "b": 1, "secret-exec.dev/b": "2", "secret-exec.dev/a": "1" } } });
        assert!(asks(&pod, &[]));
        let read = Pod::read(&pod, &[]).unwrap();
        let keys: Vec<_> = read.annotations.own.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["secret-exec.dev/a", "secret-exec.dev/b"]);
        assert!(!asks(&json!({ "metadata": { "annotations": { "secret-exec.development": "" } } }), &[]));
    }

    #[test]
    fn what_is_no_pod_is_named() {
        for (pod, expected) in [
            (json!({ "spec": [] }), "spec: expected a map, found a list"),
            (json!({ "spec": { "containers": {} } }), "spec.containers: expected a list, found a map"),
            (json!({ "spec": { "containers": [1] } }), "spec.containers[0]: expected a container, found a number"),
            (json!({ "spec": { "containers": [{}] } }), "spec.containers[0].name: expected the container's name"),
            (
                json!({ "spec": { "containers": [{ "name": "a", "command": [1] }] } }),
                "spec.containers[0].command: expected a list of texts",
            ),
            (
                json!({ "metadata": { "annotations": { "secret-exec.dev/inject": true } } }),
                "annotation secret-exec.dev/inject: expected a text; put it in quotes",
            ),
        ] {
            assert_eq!(Pod::read(&pod, &[]).unwrap_err(), expected);
        }
    }
}
