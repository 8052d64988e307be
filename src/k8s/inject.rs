//! Injection: a pod and the operator's config in, RFC 6902 operations or a denial out. Pure and deterministic.

use serde_json::{Value, json};

use crate::config::{Action, Injector, Sidecar};

use super::arguments;
use super::aws_identity_env;
use super::containers::{self, Role};
use super::denial::{Denial, dedup_and_truncate};
use super::injected::{self, Expected, is_same_kind};
use super::mount_path::place;
use super::names::{IDENTITY, PROGRAM, SIDECAR_NAME, STATE};
use super::patch::Op;
use super::pod::{Container, MIRROR, Mirror, Pod, asks};
use super::quantity;
use super::request::{self, FileOwner, InjectionRequest};
use crate::domain::Mode;

/// The result of an injection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Injected {
    /// The operations in order; none if the pod does not ask for injection or is complete.
    pub ops: Vec<Op>,
    /// Warnings, which do not prevent the injection.
    pub warnings: Vec<String>,
}

/// Plans the injection. Idempotent: a second injection changes nothing, except for containers added in between.
pub fn inject(pod: &Value, injector: &Injector) -> Result<Injected, Denial> {
    inject_into(pod, None, injector)
}

/// Plans the injection into a pod like [`inject`]. `namespace` is used if the pod does not name its own.
pub fn inject_into(pod: &Value, namespace: Option<&str>, injector: &Injector) -> Result<Injected, Denial> {
    let mut warnings = Vec::new();
    let ops = planned(pod, namespace, injector, &mut warnings)?;
    Ok(Injected { ops, warnings })
}

/// Plans the operations. `warnings` get what does not prevent the injection, of a pod that is denied too.
pub(super) fn planned(
    pod: &Value,
    namespace: Option<&str>,
    injector: &Injector,
    warnings: &mut Vec<String>,
) -> Result<Vec<Op>, Denial> {
    if !asks(pod, &injector.dialects) {
        return Ok(Vec::new());
    }
    let mut read = Pod::read(pod, &injector.dialects).map_err(|error| vec![error])?;
    read.namespace = read.namespace.or_else(|| namespace.map(str::to_owned));
    if read.annotations.mirror == Mirror::OfNode {
        let text = "a mirror of a static pod: kubelet runs what its file says, so nothing is injected; inject into the file \
                    with secret-inject manifest";
        warnings.push(text.to_owned());
        return Ok(Vec::new());
    }
    let Some(request) = request::parse(&read, injector, warnings)? else { return Ok(Vec::new()) };
    if read.annotations.mirror == Mirror::Pretended {
        // The API server refuses the token of an injected pod with it, and kubelet runs no such pod without a file.
        return Err(vec![format!(
            "annotation {MIRROR}: this pod is no mirror of a static pod, because no Node is among its ownerReferences; \
             remove it, or say secret-exec.dev/inject: \"false\""
        )]);
    }
    let mut plan =
        Plan { value: pod, pod: &read, injector, request: &request, ops: Vec::new(), denial: Vec::new(), warnings };
    plan.make();
    if plan.denial.is_empty() { Ok(plan.ops) } else { Err(dedup_and_truncate(plan.denial)) }
}

/// The app's command within a wrapped command.
fn unwrapped(command: &[String]) -> &[String] {
    command.iter().position(|word| word == "--").map_or(&[], |at| &command[at + 1..])
}

/// The state while the injection is planned.
struct Plan<'a> {
    value: &'a Value,
    pod: &'a Pod,
    injector: &'a Injector,
    request: &'a InjectionRequest,
    ops: Vec<Op>,
    denial: Denial,
    warnings: &'a mut Vec<String>,
}

impl Plan<'_> {
    /// Plans all operations, or collects the reasons of a denial.
    fn make(&mut self) {
        let expected = self.expected();
        let found = match injected::find(self.value, &expected, self.request, self.injector) {
            Ok(found) => found,
            Err(denial) => return self.denial.extend(denial),
        };
        let is_injected = found.is_some();
        self.check_volumes(is_injected);
        self.check_mounts();
        // Right after the last native sidecar in the pod, else first, so that every later container finds its
        // secrets.
        let at = self.pod.init_containers.iter().rposition(|c| c.stays).map_or(0, |last| last + 1);
        self.volumes();
        self.pod_wide();
        for (list, containers) in [("containers", &self.pod.containers), ("initContainers", &self.pod.init_containers)]
        {
            for (index, container) in containers.iter().enumerate() {
                if self.request.targets.contains(&container.name) && !request::is_own_container(container) {
                    if !is_injected && list == "initContainers" && index < at {
                        let name = &container.name;
                        self.denial.push(format!(
                            "init container {name} runs before {SIDECAR_NAME} and cannot have its secrets"
                        ));
                    }
                    self.inject_container(container, &format!("spec/{list}/{index}"));
                }
            }
        }
        match found {
            Some(places) => self.update(&expected, &places),
            None => self.containers(at, expected),
        }
        self.denial.extend(arguments::refused(&self.ops));
    }

    /// Refuses a volume with an injected volume's name that is not the injected one, and updates the sizes of
    /// injected volumes.
    fn check_volumes(&mut self, is_injected: bool) {
        let volumes = self.value.pointer("/spec/volumes").and_then(Value::as_array);
        for (name, expected) in containers::volumes(self.request) {
            let known = volumes.into_iter().flatten().enumerate().filter(|(_, volume)| text(volume, "name") == name);
            for (count, (index, volume)) in known.enumerate() {
                if !is_injected || count > 0 || !is_same_kind(volume, &expected) {
                    let found = if is_injected { ", which is not the injected one" } else { "" };
                    self.denial.push(format!(
                        "the pod already has a volume {name}{found}; rename it, or leave the annotations out"
                    ));
                    continue;
                }
                let size = |volume: &Value| volume.pointer("/emptyDir/sizeLimit").cloned().unwrap_or_default();
                let bytes = |volume: &Value| size(volume).as_str().and_then(quantity::bytes);
                if bytes(volume) != bytes(&expected) {
                    self.ops.push(Op::add(&format!("spec/volumes/{index}/emptyDir/sizeLimit"), size(&expected)));
                }
            }
        }
    }

    /// Refuses mounts of injected volumes in other containers: state and token permit a login, and a writer could
    /// change what is delivered to the app.
    fn check_mounts(&mut self) {
        let pod = self.pod;
        let volumes: Vec<&str> = containers::volumes(self.request).into_iter().map(|(name, _)| name).collect();
        let all = pod.containers.iter().chain(&pod.init_containers).chain(&pod.ephemeral_containers);
        for container in all.filter(|container| !request::is_own_container(container)) {
            let is_wrapped = self.request.mode.wraps() && self.request.targets.contains(&container.name);
            for mount in container.mounts.iter().filter(|mount| volumes.contains(&mount.volume.as_str())) {
                let why = match mount.volume.as_str() {
                    STATE => "which holds the login of the injected container",
                    IDENTITY if !is_wrapped => "which is for the injected container only",
                    SIDECAR_NAME if self.request.mode.wraps() && !is_wrapped => {
                        "whose files are for the wrapped container only"
                    }
                    SIDECAR_NAME if !is_wrapped && !mount.is_read_only => "writable: expected readOnly: true",
                    PROGRAM if !mount.is_read_only => "writable: expected readOnly: true",
                    _ => continue,
                };
                self.denial.push(format!(
                    "container {} mounts volume {}, {why}; leave this mount out",
                    container.name, mount.volume
                ));
            }
        }
    }

    /// Adds the missing volumes.
    fn volumes(&mut self) {
        let missing = containers::volumes(self.request)
            .into_iter()
            .filter(|(name, _)| !self.pod.volumes.iter().any(|v| v == name));
        let missing: Vec<Value> = missing.map(|(_, volume)| volume).collect();
        self.append("spec", "volumes", missing);
    }

    /// Adds the files' group and a shared process namespace to the pod, where needed.
    fn pod_wide(&mut self) {
        if let FileOwner::Group(gid) = self.request.file_owner
            && !self.pod.security.groups.contains(&u64::from(gid))
        {
            if !self.is_there("spec/securityContext") {
                self.ops.push(Op::add("spec/securityContext", json!({})));
            }
            self.append("spec/securityContext", "supplementalGroups", vec![json!(gid)]);
        }
        let names_a_process = self
            .request
            .admitted
            .config
            .rotation
            .on_change
            .iter()
            .any(|action| matches!(action, Action::Signal { process: Some(_), .. }));
        let is_shared =
            (names_a_process && self.request.mode == Mode::Sidecar) || self.request.dialect.shares_processes;
        if is_shared && self.pod.security.shares_processes != Some(true) {
            self.ops.push(Op::add("spec/shareProcessNamespace", json!(true)));
        }
    }

    /// Wraps a container's command, if the mode wraps, and adds its missing mounts.
    fn inject_container(&mut self, container: &Container, path: &str) {
        if self.request.mode.wraps() {
            let said = self.request.commands.get(&container.name).map(Vec::as_slice);
            let own = container.command.as_deref();
            let own = if container.is_wrapped() { own.map(unwrapped) } else { own };
            match said.or(own).filter(|command| !command.is_empty()) {
                Some(command) => {
                    let command = containers::wrapped(command, self.request);
                    if container.command.as_ref().is_none_or(|known| json!(known) != command) {
                        self.ops.push(Op::add(&format!("{path}/command"), command));
                    }
                }
                None => self.denial.push(format!(
                    "container {} has no command, and what its image runs is not known here; say it with the container's \
                     command, or with secret-exec.dev/command.{}: '[\"/app/server\"]'",
                    container.name, container.name
                )),
            }
        }
        let mut missing = Vec::new();
        for mount in containers::mounts(self.request) {
            let text = |key| mount.get(key).and_then(Value::as_str).unwrap_or_default();
            let at_path = container.mounts.iter().find(|known| place(&known.path) == place(text("mountPath")));
            if at_path
                .is_some_and(|known| known.volume == text("name") && known.sub_path.as_deref() == sub_path(&mount))
            {
                continue;
            }
            if let Some(other) = at_path {
                self.denial.push(format!(
                    "container {} already mounts volume {} at {}, where its secrets belong",
                    container.name, other.volume, other.path
                ));
            }
            missing.push(mount);
        }
        self.append(path, "volumeMounts", missing);
    }

    /// The injected containers of this pod, in the order they start.
    fn expected(&self) -> Vec<Expected> {
        let aws_identity_env = aws_identity_env::find(self.value, self.pod, self.request);
        let make = |list, role| Expected {
            list,
            container: containers::container(role, self.request, self.pod, &self.injector.image, &aws_identity_env),
        };
        let first = |role| make("initContainers", role);
        match (self.request.mode, self.injector.sidecar) {
            // Kubelet restarts a native sidecar forever, so such a pod would never fail; a failing init container
            // makes it fail. With OnFailure an init container is restarted too, and the Job controller counts restarts
            // of both kinds, so it would make no difference.
            (Mode::Sidecar, Sidecar::Native) if self.pod.ending.restart_policy.as_deref() == Some("Never") => {
                vec![first(Role::InitFetch), first(Role::NativeSidecar)]
            }
            (Mode::Sidecar, Sidecar::Native) => vec![first(Role::NativeSidecar)],
            (Mode::Sidecar, Sidecar::Container) => {
                vec![first(Role::InitFetch), make("containers", Role::ContainerSidecar)]
            }
            (Mode::Init, _) => vec![first(Role::Init)],
            (Mode::Exec | Mode::Supervise, _) => vec![first(Role::Install)],
        }
    }

    /// Adds the injected containers to a pod that has none; init containers go to index `at`.
    fn containers(&mut self, at: usize, expected: Vec<Expected>) {
        let (first, beside): (Vec<_>, Vec<_>) =
            expected.into_iter().partition(|expected| expected.list == "initContainers");
        let first: Vec<Value> = first.into_iter().map(|expected| expected.container).collect();
        if self.pod.init_containers.is_empty() {
            self.ops.push(Op::add("spec/initContainers", Value::Array(first)));
        } else {
            let places = (at..).map(|place| format!("spec/initContainers/{place}"));
            self.ops.extend(places.zip(first).map(|(place, container)| Op::add(&place, container)));
        }
        self.append("spec", "containers", beside.into_iter().map(|expected| expected.container).collect());
    }

    /// Updates the injected containers to annotations and identities added later, when the webhook is called again.
    fn update(&mut self, expected: &[Expected], places: &[usize]) {
        for (expected, index) in expected.iter().zip(places) {
            let containers =
                if expected.list == "containers" { &self.pod.containers } else { &self.pod.init_containers };
            let container = &containers[*index];
            let path = format!("spec/{}/{index}", expected.list);
            let list = |key: &str| expected.container.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            if json!(container.args) != expected.container["args"] {
                self.warnings.push(format!(
                    "container {} had the arguments of other annotations; they are written anew",
                    container.name
                ));
                // The port depends on the arguments.
                for key in ["args", "ports"] {
                    let path = format!("{path}/{key}");
                    let value = expected.container.get(key).cloned();
                    let value = value.or_else(|| self.is_there(&path).then(|| json!([])));
                    self.ops.extend(value.map(|value| Op::add(&path, value)));
                }
            }
            if containers::breaks_guarantee(container, self.pod) {
                self.ops.push(Op::add(&format!("{path}/resources"), expected.container["resources"].clone()));
            }
            let env = list("env").into_iter().filter(|variable| !container.has_variable(text(variable, "name")));
            let is_there = |mount: &Value| container.mounts.iter().any(|known| known.path == text(mount, "mountPath"));
            let mounts = list("volumeMounts").into_iter().filter(|mount| !is_there(mount));
            let (env, mounts) = (env.collect(), mounts.collect());
            for (key, found) in [("runAsUser", container.ids.user), ("runAsGroup", container.ids.group)] {
                let id = expected.container.pointer(&format!("/securityContext/{key}"));
                if let Some(id) = id.filter(|id| id.as_u64() != found) {
                    self.ops.push(Op::add(&format!("{path}/securityContext/{key}"), id.clone()));
                }
            }
            self.append(&path, "env", env);
            self.append(&path, "volumeMounts", mounts);
        }
    }

    /// Appends to a list, which is created if it does not exist.
    fn append(&mut self, path: &str, list: &str, values: Vec<Value>) {
        if values.is_empty() {
            return;
        }
        let path = format!("{path}/{list}");
        if self.is_there(&path) {
            self.ops.extend(values.into_iter().map(|value| Op::add(&format!("{path}/-"), value)));
        } else {
            self.ops.push(Op::add(&path, Value::Array(values)));
        }
    }

    /// Whether a value exists at the path and is not null.
    fn is_there(&self, path: &str) -> bool {
        self.value.pointer(&format!("/{path}")).is_some_and(|value| !value.is_null())
    }
}

/// A string member; empty if it is missing.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The `subPath` of a mount.
fn sub_path(mount: &Value) -> Option<&str> {
    mount.get("subPath").and_then(Value::as_str)
}
