//! Injection as a function: what is added, where, what is refused, and that it is the same every time.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::denial::Denial;
use super::inject::{Injected, inject};
use super::patch::apply;
use crate::config::{Injector, Text};

const CONFIG: &str = "\
image: registry.example.com/secret-exec:1.0
vault:
  address: https://vault.example.com:8200
  auth: { method: kubernetes, mount: kubernetes }
aws: { region: eu-west-1 }
";

pub(super) fn injector(more: &str) -> Injector {
    let text = format!("{CONFIG}{more}");
    Injector::parse(Text { name: "injector.yaml", text: &text }).unwrap()
}

pub(super) fn pod(annotations: &[(&str, &str)], spec: Value) -> Value {
    let annotations: serde_json::Map<String, Value> =
        annotations.iter().map(|(key, value)| (format!("secret-exec.dev/{key}"), json!(value))).collect();
    json!({ "metadata": { "annotations": annotations }, "spec": spec })
}

pub(super) fn app() -> Value {
    json!({ "containers": [{ "name": "app", "image": "app:1" }] })
}

fn wrapped() -> Value {
    json!({ "containers": [{ "name": "app", "command": ["/app"] }] })
}

pub(super) const FILE: (&str, &str) = ("file.db", "vault:secret/data/db#password");
pub(super) const ROLE: (&str, &str) = ("vault-role", "web");

/// The same for the whole pod and for what the webhook keeps of it: a field that is read stands in `review`'s list.
#[track_caller]
fn inject_both(pod: &Value, injector: &Injector) -> Result<Injected, Denial> {
    let plan = inject(pod, injector);
    let kept = super::review::read_pod(pod.to_string().as_bytes()).unwrap().value;
    assert_eq!(inject(&kept, injector), plan, "src/k8s/review.rs leaves out a field that injection reads");
    plan
}

#[track_caller]
pub(super) fn injected_by(pod: &Value, injector: &Injector) -> Value {
    let plan = inject_both(pod, injector).unwrap_or_else(|denial| panic!("{denial:#?}"));
    let mut patched = pod.clone();
    apply(&mut patched, &plan.ops);
    let again = inject_both(&patched, injector).unwrap_or_else(|denial| panic!("again: {denial:#?}"));
    assert_eq!(again.ops, [], "injecting twice changes nothing");
    patched
}

#[track_caller]
pub(super) fn injected(pod: &Value) -> Value {
    injected_by(pod, &injector(""))
}

#[track_caller]
pub(super) fn denied_by(pod: &Value, injector: &Injector) -> String {
    inject_both(pod, injector).expect_err("should be denied").join("\n")
}

#[track_caller]
pub(super) fn denied(annotations: &[(&str, &str)], spec: Value, expected: &str) {
    let text = denied_by(&pod(annotations, spec), &injector(""));
    assert!(text.contains(expected), "{text}");
}

pub(super) fn injected_container(pod: &Value) -> &Value {
    let all = pod["spec"]["initContainers"].as_array().unwrap();
    all.iter().find(|c| c["name"] == "secret-exec").unwrap()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

pub(super) fn words(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap()).collect()
}

#[test]
fn a_pod_that_does_not_ask_is_left_alone() {
    for pod in [json!({}), json!({ "spec": 1 }), app(), pod(&[("inject", "false"), ("nonsense", "x")], app())] {
        assert_eq!(inject(&pod, &injector("")).unwrap().ops, []);
    }
}

#[test]
fn a_native_sidecar_comes_first_and_its_probe_holds_the_app_back() {
    let pod = injected(&pod(&[FILE, ROLE], app()));
    let injected_container = injected_container(&pod);
    assert_eq!(injected_container["restartPolicy"], "Always");
    assert_eq!(injected_container["image"], "registry.example.com/secret-exec:1.0");
    assert_eq!(injected_container["startupProbe"]["exec"]["command"], json!(["/secret-exec", "status", "--ready"]));
    assert!(
        injected_container.get("readinessProbe").is_none()
            && injected_container.get("livenessProbe").is_none()
            && injected_container.get("command").is_none()
    );
    assert_eq!(
        words(&injected_container["args"]),
        [
            "sidecar",
            "--pinned",
            "--volume",
            "/run/secret-exec/files",
            "--set",
            "aws.region=eu-west-1",
            "--set",
            "vault.address=https://vault.example.com:8200",
            "--set",
            "vault.auth.audience=vault",
            "--set",
            "vault.auth.method=kubernetes",
            "--set",
            "vault.auth.mount=kubernetes",
            "--set",
            "vault.auth.role=web",
            "--set",
            "vault.auth.tokenFile=/run/secret-exec-identity/token",
            "--set",
            "volume.owner=:64123",
            "--file",
            "db=vault:secret/data/db#password",
        ]
    );
    assert_eq!(
        injected_container["resources"],
        json!({ "requests": { "cpu": "5m", "memory": "24Mi" }, "limits": { "memory": "32Mi" } })
    );
    assert_eq!(
        injected_container["securityContext"],
        json!({
            "runAsNonRoot": true,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        })
    );
    assert_eq!(pod["spec"]["securityContext"]["supplementalGroups"], json!([64123]));
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"],
        json!([{ "name": "secret-exec", "mountPath": "/run/secret-exec", "readOnly": true }])
    );
    assert_eq!(names(&pod["spec"]["volumes"]), ["secret-exec", "secret-exec-state", "secret-exec-identity"]);
    assert_eq!(pod["spec"]["volumes"][0]["emptyDir"], json!({ "medium": "Memory", "sizeLimit": "8Mi" }));
    assert_eq!(
        pod["spec"]["volumes"][2]["projected"]["sources"],
        json!([{ "serviceAccountToken": { "path": "token", "audience": "vault", "expirationSeconds": 600 } }])
    );
    assert!(pod["spec"].get("shareProcessNamespace").is_none());
}

#[test]
fn the_sidecar_stands_right_after_the_last_one_that_stays() {
    let spec = json!({
        "containers": [{ "name": "app" }],
        "initContainers": [
            { "name": "migrate-1" },
            { "name": "proxy", "restartPolicy": "Always" },
            { "name": "migrate-2" },
        ],
    });
    let pod = injected(&pod(&[FILE, ROLE], spec));
    assert_eq!(names(&pod["spec"]["initContainers"]), ["migrate-1", "proxy", "secret-exec", "migrate-2"]);
}

#[test]
fn an_init_container_that_runs_too_early_is_refused_its_secrets() {
    let spec = json!({
        "containers": [{ "name": "app" }],
        "initContainers": [{ "name": "early" }, { "name": "proxy", "restartPolicy": "Always" }, { "name": "late" }],
    });
    denied(&[FILE, ROLE, ("containers", "early")], spec.clone(), "init container early runs before secret-exec");
    let pod = injected(&pod(&[FILE, ROLE, ("containers", "late, app")], spec));
    assert_eq!(names(&pod["spec"]["initContainers"][3]["volumeMounts"]), ["secret-exec"]);
}

#[test]
fn before_native_sidecars_an_init_container_hands_over_to_a_container() {
    let old = injector("nativeSidecar: false\n");
    let pod = injected_by(&pod(&[FILE, ROLE], app()), &old);
    let (first, then) = (&pod["spec"]["initContainers"][0], &pod["spec"]["containers"][1]);
    assert_eq!((first["name"].as_str(), then["name"].as_str()), (Some("secret-exec-init"), Some("secret-exec")));
    assert_eq!(&words(&first["args"])[..2], ["init", "--leave-leases"]);
    assert_eq!(words(&then["args"])[0], "sidecar");
    for container in [first, then] {
        assert!(container.get("restartPolicy").is_none() && container.get("startupProbe").is_none());
        let expected = ["secret-exec", "secret-exec-state", "secret-exec-identity", "secret-exec-identity"];
        assert_eq!(names(&container["volumeMounts"]), expected);
    }
    let mut job = app();
    job["restartPolicy"] = json!("Never");
    let text = denied_by(&super::tests::pod(&[FILE, ROLE], job), &old);
    assert!(text.contains("would wait for its sidecar forever"), "{text}");
}

/// Kubelet restarts native sidecars for ever, so only an init container that fails makes such a pod fail.
#[test]
fn in_a_pod_that_never_restarts_an_init_container_hands_over_to_the_sidecar() {
    let mut job = app();
    job["restartPolicy"] = json!("Never");
    let pod = injected(&pod(&[FILE, ROLE], job.clone()));
    let all = &pod["spec"]["initContainers"];
    assert_eq!(names(all), ["secret-exec-init", "secret-exec"]);
    assert_eq!(&words(&all[0]["args"])[..2], ["init", "--leave-leases"]);
    assert_eq!(words(&all[1]["args"])[0], "sidecar");
    assert_eq!(words(&all[0]["args"])[2..], words(&all[1]["args"])[1..], "the same configuration, so it is taken over");
    assert!(all[0].get("restartPolicy").is_none() && all[0].get("startupProbe").is_none());
    assert_eq!((&all[1]["restartPolicy"], &all[0]["volumeMounts"]), (&json!("Always"), &all[1]["volumeMounts"]));
    job["initContainers"] = json!([{ "name": "proxy", "restartPolicy": "Always" }, { "name": "migrate" }]);
    let behind = injected(&super::tests::pod(&[FILE, ROLE], job.clone()));
    assert_eq!(names(&behind["spec"]["initContainers"]), ["proxy", "secret-exec-init", "secret-exec", "migrate"]);
    for policy in ["OnFailure", "Always"] {
        job["restartPolicy"] = json!(policy);
        let pod = injected(&super::tests::pod(&[FILE, ROLE], job.clone()));
        assert_eq!(names(&pod["spec"]["initContainers"]), ["proxy", "secret-exec", "migrate"], "{policy}");
    }
}

#[test]
fn a_command_for_a_container_that_a_later_webhook_adds_waits_for_it() {
    let annotations = [
        ("mode", "exec"),
        ("env.A", "vault:a#b"),
        ROLE,
        ("containers", "app, late"),
        ("command.app", "[\"/app\"]"),
        ("command.late", "[\"/late\", \"$HOME\"]"),
    ];
    let before = pod(&annotations, app());
    let plan = inject_both(&before, &injector("")).unwrap();
    assert!(plan.warnings.iter().any(|warning| warning.ends_with("no container late here yet")), "{:?}", plan.warnings);
    let mut patched = injected(&before);
    patched["spec"]["containers"].as_array_mut().unwrap().push(json!({ "name": "late", "image": "late:1" }));
    let patched = injected(&patched);
    for (index, command) in [(0, &["--", "/app"][..]), (1, &["--", "/late", "$HOME"])] {
        assert!(words(&patched["spec"]["containers"][index]["command"]).ends_with(command), "{patched}");
    }
    denied(
        &annotations[..3]
            .iter()
            .copied()
            .chain([("command.app", "[\"/a\"]"), ("command.late", "[\"/b\"]")])
            .collect::<Vec<_>>(),
        app(),
        "secrets go to app, not to late",
    );
}

/// Kubernetes counts init containers too: one without limits for both would make the pod Burstable.
#[test]
fn in_a_guaranteed_pod_ours_is_guaranteed() {
    let spec = |resources: Value| {
        let mut spec = app();
        spec["containers"][0]["resources"] = resources;
        spec
    };
    let resources = |annotations: &[(&str, &str)], spec: Value| {
        injected_container(&injected(&pod(annotations, spec)))["resources"].clone()
    };
    let same = json!({ "cpu": "50m", "memory": "32Mi" });
    for said in [
        json!({ "limits": { "cpu": "1", "memory": "1Gi" } }),
        json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "1000m", "memory": "1024Mi" } }),
    ] {
        assert_eq!(resources(&[FILE, ROLE], spec(said)), json!({ "limits": same, "requests": same }));
    }
    let guaranteed = json!({ "limits": { "cpu": 1, "memory": "1Gi" } });
    let named = ("resources", "limits: {cpu: 100m, memory: 64Mi}");
    let same = json!({ "cpu": "100m", "memory": "64Mi" });
    assert_eq!(resources(&[FILE, ROLE, named], spec(guaranteed.clone())), json!({ "limits": same, "requests": same }));
    // What nobody limits is enough for the files, and never less than somebody requests.
    let mebibytes = |cpu: &str, memory: &str| {
        let amounts = json!({ "cpu": cpu, "memory": memory });
        json!({ "limits": amounts, "requests": amounts })
    };
    for (said, size, expected) in [
        ("limits: {cpu: 50m}", "8Mi", mebibytes("50m", "32Mi")),
        ("{}", "8Mi", mebibytes("50m", "32Mi")),
        ("{}", "64Mi", mebibytes("50m", "80Mi")),
        ("requests: {memory: 24Mi, cpu: 5m}", "8Mi", mebibytes("50m", "32Mi")),
        ("requests: {memory: 64Mi, cpu: 0.2}", "8Mi", mebibytes("0.2", "64Mi")),
        (
            "{requests: {ephemeral-storage: 1Mi}, limits: {ephemeral-storage: 2Mi, memory: 48Mi}}",
            "8Mi",
            json!({ "limits": { "cpu": "50m", "memory": "48Mi", "ephemeral-storage": "2Mi" },
                    "requests": { "cpu": "50m", "memory": "48Mi", "ephemeral-storage": "1Mi" } }),
        ),
    ] {
        let annotations = [FILE, ROLE, ("resources", said), ("volume-size", size)];
        assert_eq!(resources(&annotations, spec(guaranteed.clone())), expected, "{said}");
        let operator = injector(&format!(
            "resources: {}\n",
            if said.starts_with('{') { said.to_owned() } else { format!("{{ {said} }}") }
        ));
        let by_operator = injected_by(&pod(&[FILE, ROLE, ("volume-size", size)], spec(guaranteed.clone())), &operator);
        assert_eq!(injected_container(&by_operator)["resources"], expected, "{said}");
    }
    // Another webhook may make the pod Guaranteed after it was injected into.
    for native in ["true", "false"] {
        let operator = injector(&format!("nativeSidecar: {native}\n"));
        let mut later = injected_by(&pod(&[FILE, ROLE], app()), &operator);
        later["spec"]["containers"][0]["resources"] = guaranteed.clone();
        let later = injected_by(&later, &operator);
        for container in
            ["initContainers", "containers"].iter().flat_map(|list| later["spec"][list].as_array().unwrap())
        {
            let limits = &container["resources"]["limits"];
            assert!(limits["cpu"] != Value::Null && limits["memory"] != Value::Null, "{container}");
        }
    }
    for burstable in [
        json!({}),
        json!({ "limits": { "cpu": "1" } }),
        json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "1m" } }),
    ] {
        assert!(resources(&[FILE, ROLE], spec(burstable))["limits"].get("cpu").is_none());
    }
    let mut beside = spec(guaranteed);
    beside["initContainers"] = json!([{ "name": "migrate" }]);
    assert!(resources(&[FILE, ROLE], beside)["limits"].get("cpu").is_none(), "the pod is Burstable already");
}

/// A start that fails ends by itself and says why; kubelet's probe must not be faster.
#[test]
fn every_container_of_ours_says_why_it_ended_and_no_probe_ends_it() {
    for native in ["true", "false"] {
        for mode in ["sidecar", "init", "exec", "supervise"] {
            let mut spec = app();
            spec["containers"][0]["command"] = json!(["/app"]);
            let operator = injector(&format!("nativeSidecar: {native}\n"));
            let pod = injected_by(&pod(&[FILE, ROLE, ("mode", mode)], spec), &operator);
            let all =
                ["initContainers", "containers"].map(|list| pod["spec"][list].as_array().unwrap().clone()).concat();
            let all = all.iter().filter(|c| c["name"].as_str().unwrap().starts_with("secret-exec"));
            for container in all {
                assert_eq!(container["terminationMessagePolicy"], "FallbackToLogsOnError", "{mode}");
                if let Some(threshold) = container["startupProbe"].get("failureThreshold") {
                    assert!(threshold.as_u64().unwrap() >= 100_000, "{threshold}");
                }
            }
        }
    }
}

#[test]
fn mode_init_delivers_once() {
    let pod = injected(&pod(&[FILE, ROLE, ("mode", "init")], app()));
    let injected_container = injected_container(&pod);
    assert!(injected_container.get("restartPolicy").is_none() && injected_container.get("startupProbe").is_none());
    assert_eq!(words(&injected_container["args"])[0], "init");
    assert_eq!(names(&pod["spec"]["volumes"]), ["secret-exec", "secret-exec-identity"]);
}

#[test]
fn modes_exec_and_supervise_wrap_the_command() {
    for (mode, switch) in [("exec", None), ("supervise", Some("--supervise"))] {
        let spec = json!({ "containers": [{ "name": "app", "command": ["/app", "$(X)"], "args": ["--port"] }] });
        let pod = injected(&pod(&[("env.DB", "vault:secret/data/db#p"), ROLE, ("mode", mode)], spec));
        assert_eq!(injected_container(&pod)["args"], json!(["install", "/run/secret-exec-bin/secret-exec"]));
        assert_eq!(names(&injected_container(&pod)["volumeMounts"]), ["secret-exec-bin", "secret-exec-bin"]);
        let app = &pod["spec"]["containers"][0];
        let command = words(&app["command"]);
        assert_eq!(command[0], "/run/secret-exec-bin/secret-exec");
        assert_eq!(command[1], switch.unwrap_or("--pinned"));
        assert_eq!(&command[command.len() - 3..], ["--", "/app", "$(X)"]);
        assert!(!command.iter().any(|word| word.starts_with("volume.owner")), "the files are the app's own");
        assert_eq!(app["args"], json!(["--port"]));
        assert_eq!(names(&app["volumeMounts"]), ["secret-exec-bin", "secret-exec-identity"]);
        assert!(pod["spec"].get("securityContext").is_none());
    }
}

#[test]
fn a_command_that_only_the_image_knows_must_be_said() {
    let annotations = [("env.DB", "vault:secret/data/db#p"), ROLE, ("mode", "exec")];
    denied(&annotations, app(), "secret-exec.dev/command.app: '[\"/app/server\"]'");
    let said = [annotations.as_slice(), &[("command.app", "[\"/srv\",\"-v\"]")]].concat();
    let pod = injected(&pod(&said, app()));
    let command = words(&pod["spec"]["containers"][0]["command"]);
    assert_eq!(&command[command.len() - 3..], ["--", "/srv", "-v"]);
    let wrong = [annotations.as_slice(), &[("command.app", "/srv -v")]].concat();
    denied(&wrong, app(), "expected a JSON array");
    let other = [annotations.as_slice(), &[("command.web", "[\"x\"]")]].concat();
    denied(&other, app(), "secrets go to app, not to web");
    denied(&[FILE, ROLE, ("command.app", "[\"x\"]")], app(), "only with secret-exec.dev/mode: exec or supervise");
}

#[test]
fn files_of_a_wrapped_app_are_written_by_itself() {
    let spec = json!({ "containers": [{ "name": "app", "command": ["/app"] }] });
    let pod = injected(&pod(&[FILE, ROLE, ("mode", "supervise")], spec.clone()));
    let mounts = &pod["spec"]["containers"][0]["volumeMounts"];
    assert_eq!(mounts[2], json!({ "name": "secret-exec", "mountPath": "/run/secret-exec" }));
    denied(&[FILE, ROLE, ("mode", "exec"), ("volume", "/etc/app")], spec, "expected a path below /run/secret-exec");
    let two = json!({ "containers": [{ "name": "a", "command": ["/a"] }, { "name": "b", "command": ["/b"] }] });
    denied(&[FILE, ROLE, ("mode", "exec"), ("containers", "a,b")], two, "one container has files");
}

#[test]
fn run_as_gives_the_app_its_own_files() {
    let pod = injected(&pod(&[FILE, ROLE, ("run-as", "1000:1001")], app()));
    let context = &injected_container(&pod)["securityContext"];
    assert_eq!((&context["runAsUser"], &context["runAsGroup"]), (&json!(1000), &json!(1001)));
    assert!(pod["spec"].get("securityContext").is_none(), "no group is needed");
    assert!(!words(&injected_container(&pod)["args"]).iter().any(|word| word.starts_with("volume.owner")));
    for bad in ["web", "1000", "1000:web", "web:1000"] {
        denied(&[FILE, ROLE, ("run-as", bad)], app(), "expected numbers, UID:GID");
    }
    denied(&[FILE, ROLE, ("run-as", "0:0")], app(), "root is refused here");
}

#[test]
fn our_own_uid_is_said_only_where_the_pod_says_another() {
    let mut spec = app();
    spec["securityContext"] = json!({ "runAsUser": 1000, "supplementalGroups": [5, 64123] });
    let pod = injected(&pod(&[FILE, ROLE], spec));
    assert_eq!(injected_container(&pod)["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["spec"]["securityContext"]["supplementalGroups"], json!([5, 64123]));
}

#[test]
fn another_path_is_a_sub_path_of_the_same_volume() {
    let pod = injected(&pod(&[FILE, ROLE, ("volume", "/etc/app/secrets")], app()));
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"],
        json!([{ "name": "secret-exec", "mountPath": "/etc/app/secrets", "subPath": "files", "readOnly": true }])
    );
    assert!(words(&injected_container(&pod)["args"]).contains(&"/run/secret-exec/files"));
    denied(&[FILE, ROLE, ("volume", "/run/secret-exec")], app(), "must not be /run/secret-exec itself");
}

#[test]
fn only_named_containers_get_the_files() {
    let spec = json!({ "containers": [{ "name": "app" }, { "name": "log" }] });
    denied(&[FILE, ROLE], spec.clone(), "say which get the secrets: secret-exec.dev/containers: app,log");
    denied(&[FILE, ROLE, ("containers", "ap")], spec.clone(), "names no container of this pod, which has app, log");
    let patched = injected(&pod(&[FILE, ROLE, ("containers", "log")], spec.clone()));
    assert!(patched["spec"]["containers"][0].get("volumeMounts").is_none());
    let mut default = pod(&[FILE, ROLE], spec);
    default["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("app");
    let patched = injected(&default);
    assert!(patched["spec"]["containers"][1].get("volumeMounts").is_none());
}

#[test]
fn a_version_behind_the_key_is_warned_of() {
    for (annotations, place) in [
        (&[ROLE, ("file.a", "vault:secret/data/a#k#1")][..], "annotation secret-exec.dev/file.a: "),
        (&[ROLE, ("mode", "exec"), ("env.A", "vault:secret/data/a#k#1")], "annotation secret-exec.dev/env.A: "),
        (&[ROLE, ("template.a", "{{ secret('vault:secret/data/a#k#1') }}")], "annotation secret-exec.dev/template.a: "),
    ] {
        let done = inject(&pod(annotations, wrapped()), &injector("")).unwrap();
        let expected = "the key is \"k#1\" as a whole; version 1 of \"k\" is vault:secret/data/a?version=1#k";
        let is_told = |line: &String| line.starts_with(place) && line.ends_with(expected);
        assert!(done.warnings.iter().any(is_told), "{annotations:?}: {:?}", done.warnings);
    }
}

#[test]
fn a_container_that_comes_later_gets_its_mount_on_reinvocation() {
    let original = pod(&[FILE, ROLE, ("containers", "app,mesh")], app());
    let first = inject(&original, &injector("")).unwrap();
    assert_eq!(first.warnings, ["annotation secret-exec.dev/containers: no container mesh here yet"]);
    let mut patched = injected(&original);
    patched["spec"]["containers"].as_array_mut().unwrap().push(json!({ "name": "mesh" }));
    let patched = injected(&patched);
    assert_eq!(names(&patched["spec"]["containers"][1]["volumeMounts"]), ["secret-exec"]);
    // Nobody was named: whoever has it keeps it, the newcomer gets nothing and nothing is denied.
    let mut patched = injected(&pod(&[FILE, ROLE], app()));
    patched["spec"]["containers"].as_array_mut().unwrap().push(json!({ "name": "mesh" }));
    let before = patched.clone();
    assert_eq!(injected(&patched), before);
}

#[test]
fn what_another_webhook_changes_on_our_container_stays() {
    let mut patched = injected(&pod(&[FILE, ROLE], app()));
    patched["spec"]["initContainers"][0]["imagePullPolicy"] = json!("Always");
    patched["spec"]["initContainers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
    let before = patched.clone();
    assert_eq!(injected(&patched), before);
}

#[test]
fn a_namesake_is_not_mistaken_for_ours() {
    let spec = json!({ "containers": [{ "name": "app" }], "initContainers": [{ "name": "secret-exec" }] });
    denied(&[FILE, ROLE], spec, "the pod already has a container secret-exec");
    let spec = json!({ "containers": [{ "name": "app" }], "volumes": [{ "name": "secret-exec-state" }] });
    denied(&[FILE, ROLE], spec, "the pod already has a volume secret-exec-state");
    for path in ["/run/secret-exec", "//run/./secret-exec/", "/tmp/../run/secret-exec", "/var/run/secret-exec"] {
        let spec =
            json!({ "containers": [{ "name": "app", "volumeMounts": [{ "name": "cache", "mountPath": path }] }] });
        denied(&[FILE, ROLE], spec, &format!("container app already mounts volume cache at {path}, where"));
    }
}

#[test]
fn identities_of_aws_are_carried_over() {
    let token = "/var/run/secrets/eks.amazonaws.com/serviceaccount";
    let env = json!([
        { "name": "AWS_ROLE_ARN", "value": "arn:aws:iam::1:role/x" },
        { "name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": format!("{token}/token") },
        { "name": "OTHER", "value": "x" },
    ]);
    let mounts = json!([
        { "name": "aws-iam-token", "mountPath": token, "readOnly": true },
        { "name": "data", "mountPath": "/data" },
    ]);
    let with = json!({ "containers": [{ "name": "app", "env": env, "volumeMounts": mounts }] });
    let original = pod(&[("file.k", "aws-sm:prod/stripe#key")], with.clone());
    let patched = injected(&original);
    let first_time = injected_container(&patched);
    assert_eq!(names(&first_time["env"]), ["SECRET_EXEC_STATE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"]);
    assert!(names(&first_time["volumeMounts"]).contains(&"aws-iam-token"));
    assert!(!names(&first_time["volumeMounts"]).contains(&"data"));
    assert!(!words(&first_time["args"]).iter().any(|word| word.starts_with("vault.auth")), "no login to Vault");
    assert_eq!(names(&patched["spec"]["volumes"]), ["secret-exec", "secret-exec-state"], "and no token for it");
    // The identity may come after us.
    let mut patched = injected(&pod(&[("file.k", "aws-sm:prod/stripe#key")], app()));
    patched["spec"]["containers"][0]["env"] = env_of(&with);
    patched["spec"]["containers"][0]["volumeMounts"].as_array_mut().unwrap().push(mounts_of(&with)[0].clone());
    let patched = injected(&patched);
    assert!(names(&injected_container(&patched)["env"]).contains(&"AWS_WEB_IDENTITY_TOKEN_FILE"));
    assert!(names(&injected_container(&patched)["volumeMounts"]).contains(&"aws-iam-token"));
    // Who needs Vault only gets none of it.
    let patched = injected(&pod(&[FILE, ROLE], with));
    assert_eq!(names(&injected_container(&patched)["env"]), ["SECRET_EXEC_STATE"]);
}

#[test]
fn a_mount_without_a_name_is_not_carried_over_again_and_again() {
    let env = json!([{ "name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/token/token" }]);
    for mount in [json!({ "mountPath": "/token" }), json!({ "mountPath": "/token", "name": "" })] {
        let app = json!({ "containers": [{ "name": "app", "env": env, "volumeMounts": [mount] }] });
        injected(&pod(&[("file.k", "aws-sm:prod/stripe#key")], app));
    }
}

fn env_of(spec: &Value) -> Value {
    spec["containers"][0]["env"].clone()
}

fn mounts_of(spec: &Value) -> Value {
    spec["containers"][0]["volumeMounts"].clone()
}

#[test]
fn processes_are_shared_only_for_a_signal_by_name() {
    let patched = injected(&pod(&[FILE, ROLE, ("on-change", "signal:HUP@nginx"), ("run-as", "101:101")], app()));
    assert_eq!(patched["spec"]["shareProcessNamespace"], true);
    denied(&[FILE, ROLE, ("on-change", "signal:HUP@nginx")], app(), "say which with secret-exec.dev/run-as");
    // Root cannot be signalled from here: both ends of that road name the one that works, and it does.
    let way =
        "secret-exec.dev/mode: supervise with secret-exec.dev/run-as: \"0\" and secret-exec.dev/on-change: signal:HUP";
    denied(&[FILE, ROLE, ("on-change", "signal:HUP@nginx")], app(), way);
    for root in ["0", "0:0", "root"] {
        denied(&[FILE, ROLE, ("on-change", "signal:HUP@nginx"), ("run-as", root)], app(), way);
        denied(&[FILE, ROLE, ("run-as", root)], app(), "leave run-as out");
    }
    let wrapped =
        json!({ "containers": [{ "name": "app", "command": ["/app"], "securityContext": { "runAsUser": 0 } }] });
    injected(&pod(&[FILE, ROLE, ("mode", "supervise"), ("run-as", "0"), ("on-change", "signal:HUP")], wrapped));
    let patched = injected(&pod(&[FILE, ROLE, ("on-change", "http:http://127.0.0.1:9/reload")], app()));
    assert!(patched["spec"].get("shareProcessNamespace").is_none());
}

#[test]
fn what_a_mode_cannot_do_is_refused() {
    for (annotation, mode, expected) in [
        (("on-change", "restart"), "sidecar", "a sidecar cannot restart the app"),
        (("on-change", "signal:HUP"), "sidecar", "signal:HUP@nginx"),
        (("on-change", "signal:HUP"), "init", "nothing changes in mode init"),
        (("on-change", "signal:HUP@x"), "supervise", "signals its own child"),
        (("on-expired", "stop"), "sidecar", "secret-exec.dev/mode: supervise"),
        (("supervise", "true"), "exec", "say secret-exec.dev/mode: supervise"),
        (("env.A", "vault:secret/data/a#b"), "sidecar", "use secret-exec.dev/file.NAME"),
        (
            ("config", "envFrom: [{ from: \"vault:a\" }]"),
            "init",
            "a container cannot set another container's environment",
        ),
        (("file.x", "file:/etc/passwd"), "sidecar", "reads no file for the app"),
        (("config", "files: { x: { templateFile: /t } }"), "sidecar", "never an annotation's"),
        (("state", "/x"), "sidecar", "never an annotation's"),
        (("volume-owner", "1000:1000"), "sidecar", "cannot give files away"),
        (("mode2", "x"), "sidecar", "did you mean secret-exec.dev/mode"),
        (("fil.x", "vault:a"), "sidecar", "did you mean secret-exec.dev/file.x?"),
        (("timeout", "soon"), "sidecar", "annotation secret-exec.dev/timeout: expected"),
        (("file.y", "vault:/x"), "sidecar", "annotation secret-exec.dev/file.y: "),
        (("file.y", "vault:x#${.k}"), "sidecar", "annotation secret-exec.dev/file.y: this is bank-vaults' language"),
        (("env.Y", "vault:x#${.k}"), "exec", "annotation secret-exec.dev/env.Y: this is bank-vaults' language"),
        (("file.y", "{{ secret('vault:x').k }}"), "sidecar", "say it in secret-exec.dev/template.y"),
        (("env.Y", "{{ secret('vault:x').k }}"), "exec", "in secret-exec.dev/config it is { template: … }"),
        (
            ("template.y", "{{ env \"HOME\" }}"),
            "sidecar",
            "language (Go templates), and the template is read as Jinja: say secret-exec.dev/template-language: go, or",
        ),
        (
            ("config", "files: { y: { template: '{{ .Data.x }}' } }"),
            "sidecar",
            "say templateLanguage: go or language: go, or",
        ),
        (("resources", "[1]"), "sidecar", "annotation secret-exec.dev/resources: expected a map"),
        (("vault-auth-mount", "mine"), "sidecar", "is the operator's to set"),
        (("vault-address", "https://evil"), "sidecar", "the operator does not allow this address"),
    ] {
        denied(&[FILE, ROLE, ("mode", mode), annotation], wrapped(), expected);
    }
    denied(&[FILE], app(), "say it with secret-exec.dev/vault-role");
    denied(&[FILE, ROLE, ("mode", "sidcar")], app(), "did you mean sidecar?");
    denied(&[("inject", "true")], app(), "say at least one secret-exec.dev/file.NAME");
    denied(&[ROLE, ("mode", "exec")], wrapped(), "nothing to deliver");
    denied(&[("inject", "yes"), FILE], app(), "expected \"true\" or \"false\"");
    let root = json!({ "containers": [{ "name": "app", "command": ["/a"], "securityContext": { "runAsUser": 0 } }] });
    denied(&[("env.A", "vault:a#b"), ROLE, ("mode", "exec")], root, "the app would run as root");
}

#[test]
fn memory_must_hold_the_volume() {
    denied(&[FILE, ROLE, ("volume-size", "32Mi")], app(), "less than volume.size + 16Mi = 48Mi");
    let more = [FILE, ROLE, ("volume-size", "32Mi"), ("resources", r#"{"limits":{"memory":"48Mi"}}"#)];
    let patched = injected(&pod(&more, app()));
    assert_eq!(patched["spec"]["volumes"][0]["emptyDir"]["sizeLimit"], "32Mi");
    assert_eq!(injected_container(&patched)["resources"], json!({ "limits": { "memory": "48Mi" } }));
}

#[test]
fn inherited_references_of_a_wrapped_app_count() {
    let spec = json!({ "containers": [{
        "name": "app", "command": ["/app"], "env": [{ "name": "DB", "value": "vault:secret/data/db#p" }],
    }] });
    denied(&[("mode", "exec")], spec.clone(), "say it with secret-exec.dev/vault-role");
    let patched = injected(&pod(&[("mode", "exec"), ROLE], spec));
    assert!(patched["spec"]["volumes"][0]["projected"]["sources"][0].get("serviceAccountToken").is_some());
}

#[test]
fn thousands_of_annotations_are_refused_at_once() {
    let annotations: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("secret-exec.dev/x{n}"), json!("y"))).collect();
    let text = denied_by(&json!({ "metadata": { "annotations": annotations }, "spec": app() }), &injector(""));
    assert_eq!(text, "10000 annotations below secret-exec.dev/; expected at most 1000");
}

/// JSON of any form, with keys and words that a pod has, too.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("spec".to_owned()),
        Just("metadata".to_owned()),
        Just("annotations".to_owned()),
        Just("containers".to_owned()),
        Just("initContainers".to_owned()),
        Just("volumes".to_owned()),
        Just("name".to_owned()),
        Just("secret-exec".to_owned()),
        Just("secret-exec.dev/file.a".to_owned()),
        "[a-z$\\u{0}~/]{0,4}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

/// Whether everything of `before` is still in `after`.
fn survives(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before
            .iter()
            .all(|(key, value)| after.get(key).is_some_and(|found| value.is_null() || survives(value, found))),
        (Value::Array(before), Value::Array(after)) => {
            let mut rest = after.iter();
            before.iter().all(|value| rest.any(|found| survives(value, found)))
        }
        (before, after) => before == after,
    }
}

proptest! {
    #[test]
    fn any_json_is_patched_or_denied(pod in any_json()) {
        let _ = inject(&pod, &injector(""));
    }

    #[test]
    fn any_spec_is_patched_or_denied(spec in any_json(), extra in any_json()) {
        let annotations = json!({ "secret-exec.dev/file.a": "vault:x#y", "secret-exec.dev/vault-role": "web" });
        let pod = json!({ "metadata": { "annotations": annotations, "x": extra }, "spec": spec });
        if let Ok(plan) = inject(&pod, &injector("")) {
            let mut patched = pod.clone();
            apply(&mut patched, &plan.ops);
        }
    }

    #[test]
    fn any_annotations_are_patched_or_denied(
        pairs in prop::collection::btree_map("(file\\.|env\\.|template\\.|config|mode|containers|run-as|volume|resources|command\\.)[a-z.]{0,3}", "\\PC{0,12}", 0..5)
    ) {
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let _ = inject(&pod(&pairs, app()), &injector(""));
    }

    #[test]
    fn what_is_unknown_survives_and_twice_is_once(
        on_pod in any_json(),
        on_spec in any_json(),
        on_container in any_json(),
        stays in prop::collection::vec(any::<bool>(), 0..4),
        mode in prop::sample::select(vec!["sidecar", "init", "exec", "supervise"]),
        native in any::<bool>(),
    ) {
        let inits: Vec<Value> = stays.iter().enumerate().map(|(at, stays)| {
            let policy = if *stays { json!("Always") } else { Value::Null };
            json!({ "name": format!("init-{at}"), "restartPolicy": policy })
        }).collect();
        let container = json!({ "name": "app", "command": ["/app"], "newField": on_container });
        let spec = json!({ "containers": [container], "initContainers": inits, "newField": on_spec });
        let mut original = pod(&[FILE, ROLE, ("mode", mode)], spec);
        original["newField"] = on_pod;
        let injector = injector(if native { "" } else { "nativeSidecar: false\n" });
        let plan = inject(&original, &injector).unwrap();
        prop_assert_eq!(&plan, &inject(&original, &injector).unwrap());
        let mut patched = original.clone();
        apply(&mut patched, &plan.ops);
        prop_assert_eq!(inject(&patched, &injector).unwrap().ops, vec![]);
        let mut expected = original.clone();
        if mode == "exec" || mode == "supervise" {
            expected["spec"]["containers"][0]["command"] = patched["spec"]["containers"][0]["command"].clone();
        }
        prop_assert!(survives(&expected, &patched));
    }
}
