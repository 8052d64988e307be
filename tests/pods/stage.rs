//! A corner of the server that pods log in to, an injector's config that says so, and pods that ask.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::{APP_IMAGE, Engine, OUR_IMAGE};
use crate::node::{Pod, within};
use support::{APP, Login, OpenBao, Space};

/// How long anything that was issued may live after its pod.
const BOUND: Duration = Duration::from_secs(10);

/// What an app does first: it says who it is, and what it should not be able to do. (Text that begins with a line
/// break does not survive podman's reader of YAML.)
const SURVEY: &str = r#"trap 'echo ended; exit 0' TERM
echo "user $(id -u):$(id -g)"
echo "privileges $(grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs)' /proc/self/status | tr -d '\n\t')"
touch /mark 2>/dev/null && echo "may write the root"
ls /run/secret-exec-state 2>/dev/null && echo "sees our state"
"#;
/// What [`SURVEY`] says of privileges when there are none.
const NONE: &str = "CapInh:0000000000000000CapPrm:0000000000000000CapEff:0000000000000000CapBnd:0000000000000000\
                    CapAmb:0000000000000000NoNewPrivs:1";

/// Says `MARK VALUE` each time the value of a command is another one, for ever.
pub fn watch(mark: &str, command: &str) -> String {
    format!(
        "last=; while :; do now=$({command}); [ \"$now\" = \"$last\" ] || echo \"{mark} $now\"; last=$now; sleep 0.1; done"
    )
}

/// Everything of one test outside its pod.
pub struct Stage {
    engine: &'static Engine,
    pub space: Space<'static>,
    login: Login,
}

impl Stage {
    /// Pods of service account `web` may use what `make` names.
    pub fn new(engine: &'static Engine, make: impl FnOnce(&Space<'static>) -> Vec<String>) -> Self {
        let space = Space::new(OpenBao::shared());
        let paths = make(&space);
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let login = space.kubernetes(&paths, "pod.jwt");
        Self { engine, space, login }
    }

    /// A plain pod with these annotations (without their prefix) whose app surveys itself and goes on with `script`; its
    /// `author` may say more, and an operator, too. Injected.
    fn inject(
        &self,
        annotations: &Value,
        script: &str,
        operator: &str,
        restarts: &str,
        author: impl FnOnce(&mut Value),
    ) -> Value {
        let annotations = annotations.as_object().unwrap().iter();
        let mut annotations: Value =
            annotations.map(|(key, value)| (format!("secret-exec.dev/{key}"), value.clone())).collect();
        annotations["secret-exec.dev/vault-role"] = json!("web");
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "web", "annotations": annotations },
            "spec": {
                "restartPolicy": restarts,
                "containers": [{
                    "name": "app", "image": APP_IMAGE, "command": ["/bin/sh", "-c", format!("{SURVEY}{script}")],
                    "securityContext": {
                        "runAsUser": APP, "runAsGroup": APP, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
                        "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                    },
                }],
            },
        });
        author(&mut pod);
        let mount = self.login.path.split('/').nth(1).unwrap();
        let config = self.engine.folder(&format!("injector-{}", self.space.id)).join("injector.yaml");
        let vault = format!("{{ address: \"{}\", auth: {{ mount: {mount} }} }}", self.space.bao.address());
        std::fs::write(&config, format!("image: {OUR_IMAGE}\nvault: {vault}\n{operator}")).unwrap();
        let mut injector = Command::new(env!("CARGO_BIN_EXE_secret-inject"));
        injector.args(["manifest", "--config"]).arg(config).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = injector.spawn().unwrap();
        child.stdin.take().unwrap().write_all(pod.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "secret-inject refused {pod}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The same as a pod that does not run yet, and never restarts.
    pub fn pod(&self, annotations: &Value, script: &str) -> Pod {
        Pod::create(self.engine, self.inject(annotations, script, "", "Never", |_| ()))
    }

    /// The same as a pod of a Deployment: the sidecar is restarted until it starts.
    pub fn staying_pod(&self, annotations: &Value, script: &str) -> Pod {
        Pod::create(self.engine, self.inject(annotations, script, "", "Always", |_| ()))
    }

    /// A pod of which its author says more, and which its platform changes after injection.
    pub fn pod_on(
        &self,
        annotations: &Value,
        script: &str,
        author: impl FnOnce(&mut Value),
        platform: impl FnOnce(&mut Value),
    ) -> Pod {
        let mut injected = self.inject(annotations, script, "", "Never", author);
        platform(&mut injected);
        Pod::create(self.engine, injected)
    }

    /// The same where there are no native sidecars.
    pub fn old_pod(&self, annotations: &Value, script: &str) -> Pod {
        Pod::create(self.engine, self.inject(annotations, script, "nativeSidecar: false\n", "Always", |_| ()))
    }

    /// How often pods logged in.
    pub fn logins(&self) -> usize {
        let login = format!("update {}", self.login.path);
        self.space.requests().iter().filter(|said| **said == login).count()
    }

    /// No token of a pod lives.
    #[track_caller]
    pub fn tokens_end(&self) {
        let accessors = self.space.accessors();
        assert!(!accessors.is_empty(), "nobody logged in");
        within(BOUND, "tokens end", || !accessors.iter().any(|accessor| self.space.bao.token_lives(accessor)));
    }

    /// No lease of a database role lives.
    #[track_caller]
    pub fn leases_end(&self, database: &str, role: &str) {
        within(BOUND, "leases end", || self.space.leases(database, role) == 0);
    }
}

/// The app is its own user with no privilege at all, on a root it cannot write.
#[track_caller]
pub fn is_only_itself(pod: &Pod) {
    is_only(pod, &format!("{APP}:{APP}"));
}

/// The app is this user with no privilege at all, on a root it cannot write.
#[track_caller]
pub fn is_only(pod: &Pod, user: &str) {
    assert_eq!(pod.line("user "), user);
    assert_eq!(pod.line("privileges "), NONE);
    let said = pod.logs("app");
    assert!(!said.contains("may write the root") && !said.contains("sees our state"), "{said}");
}
