//! Injection: a pod and the operator's config in, RFC 6902 operations or a denial out. Pure, and the same every time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::config::{Action, Injector, Sidecar};

use super::denial::{Denial, told};
use super::names::{IDENTITY, OURS, PROGRAM};
use super::parts::{self, Plumbing, Role};
use super::patch::Op;
use super::pod::{Container, Pod, asks};
use super::wish::{self, Mode, Reader, Wish};

/// What is to be done with a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Injected {
    /// Operations in their order; none when the pod does not ask or has everything.
    pub ops: Vec<Op>,
    /// What should be known, though nothing is wrong.
    pub warnings: Vec<String>,
}

/// Plans the injection. Injecting again into the result changes nothing; containers that came later get their part.
pub fn inject(pod: &Value, injector: &Injector) -> Result<Injected, Denial> {
    if !asks(pod) {
        return Ok(Injected::default());
    }
    let read = Pod::read(pod).map_err(|error| vec![error])?;
    let Some(wish) = wish::wish(&read, injector)? else { return Ok(Injected::default()) };
    let mut plan = Plan { value: pod, pod: &read, injector, wish: &wish, ops: Vec::new(), denial: Vec::new() };
    plan.make();
    if plan.denial.is_empty() {
        Ok(Injected { ops: plan.ops, warnings: wish.warnings })
    } else {
        Err(told(plan.denial))
    }
}

/// Whether our container is there, and by us: it has a volume that nobody else would mount under that name.
fn is_injected(pod: &Pod) -> bool {
    let all = || pod.init_containers.iter().chain(&pod.containers);
    all().any(|c| c.name == OURS && (c.mounts(IDENTITY) || c.mounts(PROGRAM)))
}

/// The last of those with the same name, in their order: what kubelet takes.
fn last_of_each(named: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<_> = named.into_iter().rev().filter(|(name, _)| seen.insert(name.clone())).collect();
    kept.reverse();
    kept
}

struct Plan<'a> {
    value: &'a Value,
    pod: &'a Pod,
    injector: &'a Injector,
    wish: &'a Wish,
    ops: Vec<Op>,
    denial: Denial,
}

impl Plan<'_> {
    fn make(&mut self) {
        let is_injected = is_injected(self.pod);
        if !is_injected {
            self.refuse_namesakes();
        }
        // Right after the last native sidecar already there, else first: everything later finds its secrets.
        let at = self.pod.init_containers.iter().rposition(|c| c.stays).map_or(0, |last| last + 1);
        self.volumes();
        self.pod_wide();
        for (list, containers) in [("containers", &self.pod.containers), ("initContainers", &self.pod.init_containers)]
        {
            for (index, container) in containers.iter().enumerate() {
                if self.wish.targets.contains(&container.name) && !wish::is_ours(container) {
                    if !is_injected && list == "initContainers" && index < at {
                        let name = &container.name;
                        self.denial
                            .push(format!("init container {name} runs before {OURS} and cannot have its secrets"));
                    }
                    self.serve(container, &format!("spec/{list}/{index}"));
                }
            }
        }
        if is_injected {
            self.plumb_again();
        } else {
            self.containers(at);
        }
    }

    /// What has our names and is not ours would be mistaken for it.
    fn refuse_namesakes(&mut self) {
        let containers = self.pod.init_containers.iter().chain(&self.pod.containers);
        for container in containers.filter(|c| wish::is_ours(c)) {
            self.denial.push(format!(
                "the pod already has a container {}; rename it, or leave the annotations out",
                container.name
            ));
        }
        for (name, _) in parts::volumes(self.wish) {
            if self.pod.volumes.iter().any(|known| known == name) {
                self.denial
                    .push(format!("the pod already has a volume {name}; rename it, or leave the annotations out"));
            }
        }
    }

    fn volumes(&mut self) {
        let missing =
            parts::volumes(self.wish).into_iter().filter(|(name, _)| !self.pod.volumes.iter().any(|v| v == name));
        let missing: Vec<Value> = missing.map(|(_, volume)| volume).collect();
        self.append("spec", "volumes", missing);
    }

    fn pod_wide(&mut self) {
        if let Reader::Group(gid) = self.wish.reader
            && !self.pod.groups.contains(&u64::from(gid))
        {
            if !self.is_there("spec/securityContext") {
                self.ops.push(Op::add("spec/securityContext", json!({})));
            }
            self.append("spec/securityContext", "supplementalGroups", vec![json!(gid)]);
        }
        let names_a_process =
            self.wish.config.on_change.iter().any(|action| matches!(action, Action::Signal { process: Some(_), .. }));
        if names_a_process && self.wish.mode == Mode::Sidecar && self.pod.shares_processes != Some(true) {
            self.ops.push(Op::add("spec/shareProcessNamespace", json!(true)));
        }
    }

    fn serve(&mut self, container: &Container, path: &str) {
        if self.wish.mode.wraps() && !container.is_wrapped() {
            let said = self.wish.commands.get(&container.name).or(container.command.as_ref());
            match said {
                Some(command) => {
                    let command = parts::wrapped(command, self.wish);
                    self.ops.push(Op::add(&format!("{path}/command"), command));
                }
                None => self.denial.push(format!(
                    "container {} has no command, and what its image runs is not known here; say it with the container's \
                     command, or with secret-exec.dev/command.{}: '[\"/app/server\"]'",
                    container.name, container.name
                )),
            }
        }
        let mut missing = Vec::new();
        for mount in parts::mounts(self.wish) {
            let text = |key| mount.get(key).and_then(Value::as_str).unwrap_or_default();
            if container.mounts(text("name")) {
                continue;
            }
            if let Some(other) = container.mounts.iter().find(|known| known.path == text("mountPath")) {
                self.denial.push(format!(
                    "container {} already mounts volume {} at {}, where its secrets belong",
                    container.name, other.volume, other.path
                ));
            }
            missing.push(mount);
        }
        self.append(path, "volumeMounts", missing);
    }

    fn containers(&mut self, at: usize) {
        let plumbing = self.plumbing();
        let make = |role| parts::container(role, self.wish, self.pod, &self.injector.image, &plumbing);
        let (first, beside) = match (self.wish.mode, self.injector.sidecar) {
            (Mode::Sidecar, Sidecar::Native) => (make(Role::NativeSidecar), None),
            (Mode::Sidecar, Sidecar::Container) => (make(Role::Predecessor), Some(make(Role::Successor))),
            (Mode::Init, _) => (make(Role::Init), None),
            (Mode::Exec | Mode::Supervise, _) => (make(Role::Install), None),
        };
        if self.pod.init_containers.is_empty() {
            self.ops.push(Op::add("spec/initContainers", json!([first])));
        } else {
            self.ops.push(Op::add(&format!("spec/initContainers/{at}"), first));
        }
        self.append("spec", "containers", beside.into_iter().collect());
    }

    /// Adds to a list that may not be there.
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

    fn is_there(&self, path: &str) -> bool {
        self.value.pointer(&format!("/{path}")).is_some_and(|value| !value.is_null())
    }

    /// Identities of AWS that another webhook, or the author, gave an app container: IRSA and EKS Pod Identity.
    fn plumbing(&self) -> Plumbing {
        const VARIABLES: [&str; 10] = [
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_DEFAULT_REGION",
            "AWS_REGION",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_STS_REGIONAL_ENDPOINTS",
            "AWS_USE_DUALSTACK_ENDPOINT",
            "AWS_USE_FIPS_ENDPOINT",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        ];
        const TOKENS: [&str; 2] = ["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"];
        if !self.wish.needs_aws || self.wish.mode.wraps() {
            return Plumbing::default();
        }
        let identified = |c: &&(usize, &Container)| TOKENS.iter().any(|name| c.1.has_variable(name));
        let apps: Vec<(usize, &Container)> = self.pod.containers.iter().enumerate().collect();
        let named = apps.iter().find(|c| identified(c) && self.wish.targets.contains(&c.1.name));
        let Some((index, _)) = named.or_else(|| apps.iter().find(identified)) else {
            return Plumbing::default();
        };
        let list = |key: &str| {
            let found = self.value.pointer(&format!("/spec/containers/{index}/{key}"));
            found.and_then(Value::as_array).cloned().unwrap_or_default()
        };
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let env = list("env").into_iter().map(|variable| (text(&variable, "name"), variable));
        let env = last_of_each(env.filter(|(name, _)| VARIABLES.contains(&name.as_str())).collect());
        let files: Vec<&str> = env
            .iter()
            .filter(|(name, _)| TOKENS.contains(&name.as_str()))
            .filter_map(|(_, variable)| variable.get("value").and_then(Value::as_str))
            .collect();
        // One without a name is none, and would be carried over again each time.
        let mounts = list("volumeMounts").into_iter().filter(|mount| !text(mount, "name").is_empty());
        let mounts = mounts.map(|mount| (text(&mount, "mountPath"), mount));
        let holds = |path: &str| {
            let below =
                |file: &&str| file.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
            path.len() > 1 && files.iter().any(below)
        };
        let mounts = last_of_each(mounts.filter(|(path, _)| holds(path)).collect());
        Plumbing { env, mounts }
    }

    /// Identities that came after us, on reinvocation.
    fn plumb_again(&mut self) {
        let plumbing = self.plumbing();
        for (list, containers) in [("initContainers", &self.pod.init_containers), ("containers", &self.pod.containers)]
        {
            for (index, container) in
                containers.iter().enumerate().filter(|(_, c)| wish::is_ours(c) && c.mounts(IDENTITY))
            {
                let path = format!("spec/{list}/{index}");
                let env = plumbing.env.iter().filter(|(name, _)| !container.has_variable(name));
                let env: Vec<Value> = env.map(|(_, value)| value.clone()).collect();
                let mounts =
                    plumbing.mounts.iter().filter(|(path, _)| !container.mounts.iter().any(|m| m.path == *path));
                let mounts: Vec<Value> = mounts.map(|(_, value)| value.clone()).collect();
                self.append(&path, "env", env);
                self.append(&path, "volumeMounts", mounts);
            }
        }
    }
}
