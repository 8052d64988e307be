//! What kubelet does and this podman (4.3) does not: volumes of a node, native sidecars, their probe, the end of a pod.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use crate::engine::{Engine, unmount};
use support::{certificates, unique, wait_for};

/// How long a container has between SIGTERM and SIGKILL.
const GRACE: &str = "--time=20";

/// A pod on podman; deleted when dropped, without asking.
pub struct Pod {
    engine: &'static Engine,
    name: String,
    folder: PathBuf,
    /// Native sidecars, in their order, and what must succeed before the next container starts.
    sidecars: Vec<(String, Vec<String>)>,
    /// The containers of the app.
    containers: Vec<String>,
    /// Init containers that end before the first native sidecar starts.
    first: Vec<String>,
}

impl Pod {
    /// Makes a pod of an injected manifest, without starting it.
    pub fn create(engine: &'static Engine, mut manifest: Value) -> Self {
        let number = unique();
        let name = format!("pod-{number}");
        let (sidecars, containers, first) = (Vec::new(), Vec::new(), Vec::new());
        let mut pod = Self { engine, folder: engine.folder(&name), name, sidecars, containers, first };
        pod.adapt(&mut manifest);
        let file = pod.folder.join("pod.json");
        fs::write(&file, manifest.to_string()).unwrap();
        engine.must(&["play", "kube", "--start=false", file.to_str().unwrap()]);
        // Kubelet makes a `subPath` when the container starts; podman wants to see one when it is created.
        for entry in fs::read_dir(pod.folder.join("volumes")).unwrap().flatten() {
            let _ = fs::remove_dir(entry.path().join("files"));
        }
        pod
    }

    /// Starts what is injected, then the app, in kubelet's order. The error is why the app did not start.
    pub fn start(&self) -> Result<(), String> {
        for first in &self.first {
            self.engine.must(&["start", &self.container(first)]);
            match wait_for("an init container to end", || self.exit_code(first)) {
                0 => {}
                code => return Err(format!("{first} ended with {code}: {}", self.logs(first))),
            }
        }
        for (sidecar, probe) in &self.sidecars {
            let id = self.container(sidecar);
            self.engine.must(&["start", &id]);
            let probe: Vec<&str> = probe.iter().map(String::as_str).collect();
            wait_for("the startup probe", || {
                if self.succeeds(sidecar, &probe) {
                    return Some(Ok(()));
                }
                self.exit_code(sidecar).map(|code| Err(format!("{sidecar} ended with {code}: {}", self.logs(sidecar))))
            })?;
        }
        if self.sidecars.is_empty() {
            let started = self.engine.podman(&["pod", "start", &self.name]);
            return match started.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&started.stderr).into_owned()),
            };
        }
        for container in &self.containers {
            self.engine.must(&["start", &self.container(container)]);
        }
        Ok(())
    }

    /// Waits until the app has ended by itself, then ends native sidecars as kubelet does; all exit codes, the app's first.
    pub fn completed(&self) -> Vec<i32> {
        let codes = self.containers.iter().map(|name| wait_for("the app to end", || self.exit_code(name)));
        let codes: Vec<i32> = codes.collect();
        codes.into_iter().chain(self.end_sidecars()).collect()
    }

    /// Deletes the pod as kubelet does: SIGTERM to the app, then to native sidecars, the last first. All exit codes, the app's first.
    pub fn delete(self) -> Vec<i32> {
        for container in &self.containers {
            self.engine.must(&["stop", GRACE, &self.container(container)]);
        }
        let codes: Vec<i32> = self.containers.iter().filter_map(|name| self.exit_code(name)).collect();
        codes.into_iter().chain(self.end_sidecars()).collect()
    }

    fn end_sidecars(&self) -> Vec<i32> {
        let ends = self.sidecars.iter().rev().map(|(name, _)| {
            self.engine.must(&["stop", GRACE, &self.container(name)]);
            wait_for("a sidecar to end", || self.exit_code(name))
        });
        ends.collect()
    }

    /// What a container said, on both streams.
    pub fn logs(&self, container: &str) -> String {
        let output = self.engine.podman(&["logs", &self.container(container)]);
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    }

    /// Waits for a line of the app; what follows `mark` in it.
    #[track_caller]
    pub fn line(&self, mark: &str) -> String {
        wait_for(mark, || {
            let code = self.exit_code("app"); // first: what it says afterwards is not missed
            let said = self.logs("app");
            assert!(code.is_none() || said.contains(mark), "no line with {mark}; the app said:\n{said}");
            said.lines().find_map(|line| line.strip_prefix(mark).map(str::to_owned))
        })
    }

    /// Whether a command in a container succeeds.
    pub fn succeeds(&self, container: &str, command: &[&str]) -> bool {
        let id = self.container(container);
        self.engine.podman(&[&["exec", id.as_str()], command].concat()).status.success()
    }

    /// How a container ended; nothing while it runs, or if it never did.
    pub fn exit_code(&self, container: &str) -> Option<i32> {
        let format = "--format={{.State.Status}} {{.State.ExitCode}}";
        let state = self.engine.must(&["container", "inspect", format, &self.container(container)]);
        state.trim().strip_prefix("exited ").map(|code| code.parse().unwrap())
    }

    /// Whether a container has ever been started.
    pub fn has_started(&self, container: &str) -> bool {
        let words = ["container", "inspect", "--format={{.State.Status}}", &self.container(container)];
        !matches!(self.engine.must(&words).trim(), "created" | "configured" | "initialized")
    }

    fn container(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Of the injected manifest only this is changed for podman, all else is played as it is:
    /// 1. the pod has the node's network, where the suite's servers listen on loopback;
    /// 2. volumes are made as kubelet makes them and given as `hostPath`, a mount's `subPath` as one more of them;
    /// 3. native sidecars, and init containers before them, are ordinary containers: [`Pod::start`] starts these first, and waits
    ///    for the end of an init container and the startup probe of a sidecar;
    /// 4. nothing is started again when it has ended (podman would do that with init containers, too), and init containers
    ///    are kept, so that a test can read what they said.
    fn adapt(&mut self, manifest: &mut Value) {
        manifest["metadata"]["name"] = json!(self.name);
        manifest["metadata"]["annotations"] = json!({ "io.podman.annotations.init.container.type": "always" });
        let spec = manifest["spec"].as_object_mut().unwrap();
        spec.insert("hostNetwork".into(), json!(true));
        spec.insert("restartPolicy".into(), json!("Never"));

        fs::create_dir(self.folder.join("volumes")).unwrap();
        // Kubelet puts every process into this group and gives it the pod's volumes; podman does not know it.
        let mut context = spec.get_mut("securityContext").and_then(Value::as_object_mut);
        let group = context.as_mut().and_then(|context| context.remove("fsGroup"));
        if let (Some(context), Some(group)) = (context, &group) {
            let groups = context.entry("supplementalGroups").or_insert(json!([]));
            groups.as_array_mut().unwrap().push(group.clone());
        }
        let mut paths = BTreeMap::new();
        for volume in spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = volume["name"].as_str().unwrap().to_owned();
            let path = self.volume(&name, volume, group.as_ref().and_then(Value::as_u64));
            *volume = json!({ "name": name, "hostPath": { "path": path, "type": "Directory" } });
            paths.insert(name, path);
        }

        let (staying, mut first): (Vec<Value>, Vec<Value>) =
            list(spec, "initContainers").into_iter().partition(|container| container["restartPolicy"] == "Always");
        let mut containers = list(spec, "containers");
        self.containers = containers.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect();
        for mut sidecar in staying {
            let probe = sidecar["startupProbe"]["exec"]["command"].as_array().unwrap();
            let probe = probe.iter().map(|word| word.as_str().unwrap().to_owned()).collect();
            self.sidecars.push((sidecar["name"].as_str().unwrap().to_owned(), probe));
            let parts = sidecar.as_object_mut().unwrap();
            parts.remove("restartPolicy");
            parts.remove("startupProbe");
            containers.push(sidecar);
        }
        if !self.sidecars.is_empty() {
            self.first = first.iter().map(|container| container["name"].as_str().unwrap().to_owned()).collect();
            containers.append(&mut first);
        }
        for mount in containers.iter_mut().flat_map(|c| c["volumeMounts"].as_array_mut().into_iter().flatten()) {
            let Some(below) = mount.as_object_mut().unwrap().remove("subPath") else { continue };
            let path = paths[mount["name"].as_str().unwrap()].join(below.as_str().unwrap());
            fs::create_dir_all(&path).unwrap();
            let name = format!("{}-{}", mount["name"].as_str().unwrap(), below.as_str().unwrap());
            mount["name"] = json!(name);
            let volume = json!({ "name": name, "hostPath": { "path": path, "type": "Directory" } });
            spec["volumes"].as_array_mut().unwrap().push(volume);
        }
        spec.insert("containers".into(), json!(containers));
        spec.insert("initContainers".into(), json!(first));
    }

    /// A volume as it is on a node: memory is a tmpfs of its own, 1777; disk 0777; projections are files. With a group of the
    /// pod, memory and disk are that group's and hand it on.
    fn volume(&self, name: &str, volume: &Value, group: Option<u64>) -> PathBuf {
        let path = self.folder.join("volumes").join(name);
        fs::create_dir(&path).unwrap();
        if let Some(empty) = volume.get("emptyDir") {
            if empty["medium"] == "Memory" {
                let size = empty["sizeLimit"].as_str().unwrap().trim_end_matches('i').to_lowercase();
                let options = match group {
                    Some(group) => format!("mode=3777,gid={group},size={size}"),
                    None => format!("mode=1777,size={size}"),
                };
                let flags = MsFlags::empty();
                mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some(options.as_str())).unwrap();
            } else {
                let id = |group| u32::try_from(group).unwrap();
                std::os::unix::fs::chown(&path, None, group.map(id)).unwrap();
                let mode = if group.is_some() { 0o2777 } else { 0o777 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
            return path;
        }
        for source in volume["projected"]["sources"].as_array().unwrap() {
            let token = &source["serviceAccountToken"];
            let said = match token["audience"].as_str() {
                Some("vault") => fs::read(certificates().join("pod.jwt")).unwrap(),
                Some("sts.amazonaws.com") => b"a token that moto believes".to_vec(),
                other => panic!("nobody here believes a token for {other:?}"),
            };
            write(&path.join(token["path"].as_str().unwrap()), &said);
        }
        path
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in self.first.iter().chain(self.sidecars.iter().map(|(name, _)| name)).chain(&self.containers) {
                eprintln!("--- {name}\n{}", self.logs(name));
            }
        }
        for (name, _) in &self.sidecars {
            let said = self.logs(name);
            assert!(std::thread::panicking() || !said.contains("the sandbox refused"), "{said}");
        }
        let removed = self.engine.podman(&["pod", "rm", "--force", "--time=0", &self.name]);
        unmount(&self.folder);
        let _ = fs::remove_dir_all(&self.folder);
        if !removed.status.success() && !std::thread::panicking() {
            panic!("{} was not removed: {}", self.name, String::from_utf8_lossy(&removed.stderr));
        }
    }
}

fn list(spec: &mut serde_json::Map<String, Value>, key: &str) -> Vec<Value> {
    spec.remove(key).and_then(|value| value.as_array().cloned()).unwrap_or_default()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
}

/// Waits until `probe` holds, and no longer than `bound`.
#[track_caller]
pub fn within(bound: Duration, what: &str, mut probe: impl FnMut() -> bool) {
    let start = Instant::now();
    while !probe() {
        assert!(start.elapsed() < bound, "not within {bound:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
