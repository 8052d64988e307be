//! The containers and volumes that injection adds, as JSON: they satisfy Pod Security "restricted" with the least
//! rights.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::config::Resources;

use super::aws_identity_env::AwsIdentityEnv;
use super::names::{
    API_TOKEN_PATH, ENTRY_POINT, FILES, FILES_PATH, IDENTITY, IDENTITY_PATH, INIT_NAME, LINKS, PROGRAM, PROGRAM_FILE,
    PROGRAM_PATH, SIDECAR_NAME, STATE, STATE_OWN, STATE_PATH, TLS, TLS_PATH, VOLUME_PATH,
};
use super::pod::{Container, Pod};
use super::quantity;
use super::request::{FileOwner, InjectionRequest, OWN_MEMORY, is_own_container};
use crate::domain::Mode;

/// The uid and gid of the image. Set only where the pod's own securityContext would override them: a platform that
/// assigns uids per namespace (OpenShift) must stay free to do so.
const OWN_ID: u32 = 65532;
/// Size of the state volume: a socket, a few hundred bytes of bookkeeping, and the values that a restart during an
/// outage delivers.
const STATE_SIZE: &str = "2Mi";
/// Size of the volume that holds the program.
const PROGRAM_SIZE: &str = "32Mi";
/// The shortest lifetime that the API accepts for a projected token.
const TOKEN_SECONDS: u32 = 600;

/// Practically unlimited: the program ends a failing start itself, with a reason (`timeout`). Kubelet does not
/// reset the probe's count when a container restarts, so with a small number every later start in a long outage would
/// be killed without a message.
const STARTUP_FAILURES: u32 = 1_000_000;
/// CPU of an injected container in a Guaranteed pod, unless more is requested: enough for a login in half a second.
const GUARANTEED_CPU: &str = "50m";
/// The same for memory, in bytes, unless the files need more.
const GUARANTEED_MEMORY: u64 = 32 << 20;

/// What an injected container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Delivers before the app starts, and keeps running.
    NativeSidecar,
    /// Delivers once and ends.
    Init,
    /// Delivers first, and leaves login and leases to the sidecar.
    InitFetch,
    /// Takes over from `InitFetch` and keeps running, as an ordinary container.
    ContainerSidecar,
    /// Copies the program for wrapped containers.
    Install,
}

/// Builds an injected container.
pub(super) fn container(
    role: Role,
    request: &InjectionRequest,
    pod: &Pod,
    image: &str,
    aws_identity_env: &AwsIdentityEnv,
) -> Value {
    let mut container = Map::new();
    let mut set = |key: &str, value: Value| drop(container.insert(key.to_owned(), value));
    set("name", json!(if role == Role::InitFetch { INIT_NAME } else { SIDECAR_NAME }));
    set("image", json!(image));
    set("args", json!(arguments(role, request)));
    set("securityContext", security(request, pod));
    let amounts = if is_guaranteed(pod) { guaranteed(request) } else { request.resources.clone() };
    set("resources", resources(&amounts));
    // The reason of a failed start is shown by `kubectl describe pod`.
    set("terminationMessagePolicy", json!("FallbackToLogsOnError"));
    if role == Role::NativeSidecar {
        set("restartPolicy", json!("Always"));
        // No readiness or liveness probe: an unreachable backend must not remove a pod from a Service or end one
        // that has its secrets.
        set(
            "startupProbe",
            json!({
                "exec": { "command": [ENTRY_POINT, "status", "--ready"] },
                "periodSeconds": 1,
                "timeoutSeconds": 2,
                "failureThreshold": STARTUP_FAILURES,
            }),
        );
    }
    if matches!(role, Role::NativeSidecar | Role::ContainerSidecar)
        && let Some(port) = metrics_port(request)
    {
        set("ports", json!([{ "name": SIDECAR_NAME, "containerPort": port, "protocol": "TCP" }]));
    }
    let mut mounts = own_mounts(role, request);
    let mut env = Vec::new();
    if role != Role::Install {
        if role != Role::Init {
            env.push(json!({ "name": "SECRET_EXEC_STATE", "value": STATE_OWN }));
        }
        env.extend(aws_identity_env.env.iter().map(|(_, value)| value.clone()));
        mounts.extend(aws_identity_env.mounts.iter().map(|(_, value)| value.clone()));
    }
    if !env.is_empty() {
        set("env", Value::Array(env));
    }
    set("volumeMounts", Value::Array(mounts));
    Value::Object(container)
}

/// The mounts of the injected volumes in an injected container.
fn own_mounts(role: Role, request: &InjectionRequest) -> Vec<Value> {
    if role == Role::Install {
        return vec![json!({ "name": PROGRAM, "mountPath": PROGRAM_PATH }), in_place_of_api_token(PROGRAM)];
    }
    let mut mounts = vec![json!({ "name": SIDECAR_NAME, "mountPath": VOLUME_PATH })];
    if role != Role::Init {
        mounts.push(json!({ "name": STATE, "mountPath": STATE_PATH }));
    }
    mounts.extend(request.identity.audience.iter().map(|_| identity_mount()));
    // One that holds few files: the program compares each file that it reads with those of this directory.
    let smallest = match (&request.identity.audience, role) {
        (Some(_), _) => IDENTITY,
        (None, Role::Init) => SIDECAR_NAME,
        (None, _) => STATE,
    };
    mounts.push(in_place_of_api_token(smallest));
    let tls = json!({ "name": TLS, "mountPath": TLS_PATH, "readOnly": true });
    mounts.extend(request.dialect.tls.iter().map(|_| tls.clone()));
    mounts
}

/// A mount that keeps the token of the Kubernetes API, which no injected container uses, out of it: the API server
/// leaves containers alone that mount something there. `volume` is one that the container has anyway.
pub(super) fn in_place_of_api_token(volume: &str) -> Value {
    json!({ "name": volume, "mountPath": API_TOKEN_PATH, "readOnly": true })
}

/// The metrics port, which a PodMonitor finds by its name; `None` if metrics listen on loopback only.
fn metrics_port(request: &InjectionRequest) -> Option<u16> {
    let (host, port) = request.admitted.config.process.metrics.as_deref()?.rsplit_once(':')?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    port.parse().ok().filter(|port| *port > 0 && !is_local)
}

/// The mount of the identity token.
pub(super) fn identity_mount() -> Value {
    json!({ "name": IDENTITY, "mountPath": IDENTITY_PATH, "readOnly": true })
}

/// The arguments of an injected container.
fn arguments(role: Role, request: &InjectionRequest) -> Vec<String> {
    let words: &[&str] = match role {
        // The copy has mode 0111, so the process is not dumpable from the start, and no process of the app's uid can
        // read its memory.
        Role::Install => return vec!["install".to_owned(), PROGRAM_FILE.to_owned()],
        Role::Init => &["init"],
        Role::InitFetch => &["init", "--leave-leases"],
        Role::NativeSidecar | Role::ContainerSidecar => &["sidecar"],
    };
    let mut arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    arguments.extend(settings(request, FILES_PATH));
    arguments
}

/// The options `--pinned` and `--volume`, and the whole admitted configuration: container arguments cannot be
/// changed in a running pod.
fn settings(request: &InjectionRequest, volume: &str) -> Vec<String> {
    let mut words = vec!["--pinned".to_owned(), "--volume".to_owned(), volume.to_owned()];
    for flag in &request.admitted.arguments {
        words.extend([flag.name.clone(), flag.value.clone()]);
    }
    // Kubelet replaces $(NAME) in arguments, and `$$` with `$`.
    words.into_iter().map(|word| word.replace('$', "$$")).collect()
}

/// The command of a wrapped container: the program, its options, `--`, and the app's command.
pub(super) fn wrapped(command: &[String], request: &InjectionRequest) -> Value {
    let mut words = vec![PROGRAM_FILE.to_owned()];
    if request.mode == Mode::Supervise {
        words.push("--supervise".to_owned());
    }
    words.extend(settings(request, &request.admitted.config.volume.path.to_string_lossy()));
    words.push("--".to_owned());
    words.extend(command.iter().cloned());
    json!(words)
}

/// The securityContext of an injected container.
fn security(request: &InjectionRequest, pod: &Pod) -> Value {
    let mut context = json!({
        "runAsNonRoot": true,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
        "seccompProfile": { "type": "RuntimeDefault" },
    });
    let ids = match request.file_owner {
        FileOwner::User(user, group) => Some((user, group)),
        FileOwner::Group(_) if request.dialect.user.is_some() => request.dialect.user,
        FileOwner::Group(_) | FileOwner::App => {
            (pod.security.user.is_some() || pod.security.group.is_some()).then_some((OWN_ID, OWN_ID))
        }
    };
    if let (Some((user, group)), Some(map)) = (ids, context.as_object_mut()) {
        map.insert("runAsUser".to_owned(), json!(user));
        map.insert("runAsGroup".to_owned(), json!(group));
    }
    context
}

/// Whether the pod without injected containers has the quality of service Guaranteed: every container limits CPU
/// and memory, and its requests equal the limits (kubernetes.io, Pod Quality of Service Classes).
fn is_guaranteed(pod: &Pod) -> bool {
    let mut all = pod.containers.iter().chain(&pod.init_containers).filter(|c| !is_own_container(c)).peekable();
    all.peek().is_some() && all.all(has_guarantee)
}

/// Whether a container limits CPU and memory and requests no other amount.
fn has_guarantee(container: &Container) -> bool {
    ["cpu", "memory"].iter().all(|name| {
        let amount = |list: &str| container.resources.get(list)?.get(name).map(amount);
        amount("limits").is_some_and(|limit| amount("requests").is_none_or(|request| request == limit))
    })
}

/// Whether an injected container that is already in the pod makes a Guaranteed pod Burstable: possible if the pod
/// became Guaranteed after the injection.
pub(super) fn breaks_guarantee(container: &Container, pod: &Pod) -> bool {
    !has_guarantee(container) && is_guaranteed(pod)
}

/// An amount in thousandths, for comparison: `1` and `1000m` are equal.
fn amount(value: &Value) -> Option<u64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    quantity::thousandths(&text)
}

/// The resources of an injected container in a Guaranteed pod: limits for CPU and memory, and equal requests. A
/// missing limit is the larger of the request and what the container needs.
fn guaranteed(request: &InjectionRequest) -> Resources {
    let memory = request.admitted.config.volume.size.saturating_add(OWN_MEMORY).max(GUARANTEED_MEMORY);
    let Resources { mut requests, mut limits } = request.resources.clone();
    for (name, least) in [("cpu", GUARANTEED_CPU.to_owned()), ("memory", size(memory))] {
        let more = requests.get(name).filter(|text| quantity::thousandths(text) > quantity::thousandths(&least));
        let limit = limits.entry(name.to_owned()).or_insert_with(|| more.cloned().unwrap_or(least));
        requests.insert(name.to_owned(), limit.clone());
    }
    Resources { requests, limits }
}

/// The `resources` of a container; empty lists are left out.
fn resources(resources: &Resources) -> Value {
    let mut container = Map::new();
    for (name, amounts) in [("requests", &resources.requests), ("limits", &resources.limits)] {
        if !amounts.is_empty() {
            container.insert(name.to_owned(), json!(amounts));
        }
    }
    Value::Object(container)
}

/// The volumes to add, by name.
pub(super) fn volumes(request: &InjectionRequest) -> Vec<(&'static str, Value)> {
    let memory =
        |name: &str, size: &str| json!({ "name": name, "emptyDir": { "medium": "Memory", "sizeLimit": size } });
    let mut volumes = Vec::new();
    if !request.mode.wraps() || !request.admitted.config.files.is_empty() {
        volumes.push((SIDECAR_NAME, memory(SIDECAR_NAME, &size(request.admitted.config.volume.size))));
    }
    if request.mode == Mode::Sidecar {
        volumes.push((STATE, memory(STATE, STATE_SIZE)));
    }
    if let Some(audience) = &request.identity.audience {
        let token = json!({ "path": "token", "audience": audience, "expirationSeconds": TOKEN_SECONDS });
        let sources = json!([{ "serviceAccountToken": token }]);
        volumes.push((IDENTITY, json!({ "name": IDENTITY, "projected": { "sources": sources } })));
    }
    if let Some(secret) = &request.dialect.tls {
        let items: Vec<Value> = secret.keys.iter().map(|key| json!({ "key": key, "path": key })).collect();
        volumes.push((TLS, json!({ "name": TLS, "secret": { "secretName": secret.name, "items": items } })));
    }
    if request.mode.wraps() {
        volumes.push((PROGRAM, json!({ "name": PROGRAM, "emptyDir": { "sizeLimit": PROGRAM_SIZE } })));
    }
    volumes
}

/// Bytes in the largest unit that expresses them exactly.
fn size(bytes: u64) -> String {
    for (name, unit) in [("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// The volume mounts to add to a container that gets secrets.
pub(super) fn mounts(request: &InjectionRequest) -> Vec<Value> {
    let path = request.admitted.config.volume.path.to_string_lossy();
    match request.mode {
        Mode::Sidecar | Mode::Init if path == FILES_PATH => {
            let mut mounts = vec![json!({ "name": SIDECAR_NAME, "mountPath": VOLUME_PATH, "readOnly": true })];
            let directories = &request.dialect.directories;
            mounts.extend(directories.iter().enumerate().map(|(at, directory)| {
                let below = if directories.len() == 1 { FILES.to_owned() } else { format!("{LINKS}/{at}") };
                json!({ "name": SIDECAR_NAME, "mountPath": directory, "subPath": below, "readOnly": true })
            }));
            mounts
        }
        Mode::Sidecar | Mode::Init => {
            vec![json!({ "name": SIDECAR_NAME, "mountPath": path, "subPath": FILES, "readOnly": true })]
        }
        Mode::Exec | Mode::Supervise => {
            let mut mounts = vec![json!({ "name": PROGRAM, "mountPath": PROGRAM_PATH, "readOnly": true })];
            mounts.extend(request.identity.audience.iter().map(|_| identity_mount()));
            if !request.admitted.config.files.is_empty() {
                mounts.push(json!({ "name": SIDECAR_NAME, "mountPath": VOLUME_PATH }));
            }
            mounts
        }
    }
}
