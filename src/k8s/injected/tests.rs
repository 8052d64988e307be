//! What may differ in a container that has one of our names, and what may mount our volumes.

use serde_json::{Value, json};

use crate::k8s::tests::{FILE, ROLE, app, denied_by, injected, injected_by, injector, pod};

fn at<'a>(pod: &'a mut Value, path: &str) -> &'a mut Value {
    pod.pointer_mut(path).unwrap_or_else(|| panic!("{path}"))
}

fn whole() -> Value {
    injected(&pod(&[FILE, ROLE], app()))
}

const SIDECAR_NAME: &str = "/spec/initContainers/0";

/// Sets a value of the injected container.
fn set(pod: &mut Value, path: &str, value: &Value) {
    let (parent, last) = path.rsplit_once('/').unwrap();
    match at(pod, &format!("{SIDECAR_NAME}{parent}")) {
        Value::Array(list) => list[last.parse::<usize>().unwrap()] = value.clone(),
        map => map[last.replace("~1", "/").as_str()] = value.clone(),
    }
}

#[track_caller]
fn refused(pod: &Value, expected: &str) {
    let text = denied_by(pod, &injector(""));
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_container_of_our_name_that_differs_is_refused_with_what_differs() {
    let changes: &[(&str, Value, &str)] = &[
        (
            "/image",
            json!("evil.example.com/secret-exec:1.0"),
            "its image is evil.example.com/secret-exec:1.0, expected",
        ),
        ("/image", json!("registry.example.com/secret-exec:1.1"), "its image is"),
        ("/image", json!("registry.example.com/secret-exec:1.0@sha256:00"), "its image is"),
        ("/image", Value::Null, "its image is missing"),
        ("/command", json!(["/bin/sh"]), "it has command"),
        ("/args/0", json!("init"), "its argument 1 is init, expected sidecar"),
        ("/args/1", json!("--leave-leases"), "its argument 2 is --leave-leases, expected --pinned"),
        ("/args/3", json!("/run/elsewhere"), "its argument 4 is /run/elsewhere"),
        ("/args/7", json!("vault.address=https://evil"), "its argument --set vault.address differs"),
        ("/args/9", json!("vault.auth.audience=other"), "its argument --set vault.auth.audience differs"),
        ("/args/13", json!("vault.auth.mount=other"), "its argument --set vault.auth.mount differs"),
        ("/args/17", json!("vault.auth.tokenFile=/x"), "its argument --set vault.auth.tokenFile differs"),
        ("/args/5", json!("vault.proxy=http://evil"), "its argument --set vault.proxy"),
        ("/args/5", json!("vault.skipVerify=true"), "its argument --set vault.skipVerify"),
        ("/args/5", json!("aws.proxy=http://evil"), "its argument --set aws.proxy"),
        ("/args/5", json!("aws.endpoint=http://evil"), "its argument --set aws.endpoint"),
        ("/args/5", json!("onChange=[{\"run\":[\"/x\"]}]"), "its argument --set onChange"),
        ("/args/5", json!("onChange=[{\"http\":\"http://x/\",\"remote\":\"true\"}]"), "its argument --set onChange"),
        ("/args/5", json!("files.x.templateFile=/run/secret-exec-identity/token"), "templateFile"),
        ("/args/5", json!("no.such=1"), "its argument --set no.such"),
        ("/args/4", json!("--local"), "its argument --local"),
        ("/args/4", json!("--sandbox"), "its argument --sandbox"),
        ("/args/4", json!("--config"), "its argument --config"),
        ("/args/4", json!("--"), "its argument --"),
        ("/args", json!([]), "its argument 1 is missing, expected sidecar"),
        ("/args", json!(null), "its argument 1 is missing, expected sidecar"),
        ("/env/0/value", json!("/tmp"), "its variable SECRET_EXEC_STATE is not the injector's"),
        ("/env", json!([]), "its variable SECRET_EXEC_STATE is missing"),
        ("/env/0", json!({ "name": "SECRET_EXEC_LOCAL", "value": "/x" }), "its variable SECRET_EXEC_LOCAL"),
        ("/env/0", json!({ "name": "AWS_ROLE_ARN", "value": "x" }), "its variable AWS_ROLE_ARN"),
        ("/envFrom", json!([{ "configMapRef": { "name": "x" } }]), "it has envFrom"),
        ("/volumeMounts", json!([]), "it does not mount volume secret-exec at /run/secret-exec"),
        ("/volumeMounts/0/readOnly", json!(true), "it mounts volume secret-exec at /run/secret-exec"),
        ("/volumeMounts/1/subPath", json!("x"), "it mounts volume secret-exec-state at"),
        ("/volumeMounts/1/mountPropagation", json!("Bidirectional"), "it mounts volume secret-exec-state at"),
        ("/volumeMounts/2/name", json!("other"), "it mounts volume other at /run/secret-exec-identity"),
        ("/securityContext", json!(null), "its securityContext.allowPrivilegeEscalation differs"),
        ("/securityContext/privileged", json!(true), "its securityContext.privileged differs"),
        ("/securityContext/runAsNonRoot", json!(false), "its securityContext.runAsNonRoot differs"),
        ("/securityContext/runAsUser", json!(0), "its securityContext.runAsUser differs"),
        ("/securityContext/runAsGroup", json!(0), "its securityContext.runAsGroup differs"),
        ("/securityContext/readOnlyRootFilesystem", json!(false), "its securityContext.readOnlyRootFilesystem differs"),
        ("/securityContext/capabilities/add", json!(["SYS_PTRACE"]), "its securityContext.capabilities differs"),
        ("/securityContext/capabilities/drop", json!(["NET_RAW"]), "its securityContext.capabilities differs"),
        ("/securityContext/seccompProfile/type", json!("Unconfined"), "its securityContext.seccompProfile differs"),
        ("/securityContext/procMount", json!("Unmasked"), "its securityContext.procMount differs"),
        ("/securityContext/newRight", json!(true), "its securityContext.newRight differs"),
        ("/restartPolicy", json!(null), "its restartPolicy differs"),
        ("/restartPolicy", json!("OnFailure"), "its restartPolicy differs"),
        ("/startupProbe", json!(null), "its startupProbe differs"),
        ("/startupProbe/exec/command/0", json!("/bin/true"), "its startupProbe differs"),
        ("/startupProbe/failureThreshold", json!(3), "its startupProbe differs"),
        ("/livenessProbe", json!({ "exec": { "command": ["x"] } }), "it has livenessProbe"),
        ("/readinessProbe", json!({ "exec": { "command": ["x"] } }), "it has readinessProbe"),
        ("/lifecycle", json!({ "postStart": { "exec": { "command": ["x"] } } }), "it has lifecycle"),
        ("/volumeDevices", json!([{ "name": "a", "devicePath": "/dev/x" }]), "it has volumeDevices"),
        ("/restartPolicyRules", json!([{ "action": "Restart" }]), "it has restartPolicyRules"),
        ("/workingDir", json!("/proc"), "it has workingDir"),
        ("/stdin", json!(true), "it has stdin"),
        ("/stdinOnce", json!(true), "it has stdinOnce"),
        ("/tty", json!(true), "it has tty"),
        ("/command", json!([""]), "it has command"),
        (
            "/terminationMessagePath",
            json!("/run/secret-exec-state/own/state.json"),
            "its terminationMessagePath differs",
        ),
        ("/terminationMessagePath", json!("/run/secret-exec-identity/token"), "its terminationMessagePath differs"),
        ("/terminationMessagePath", json!("/dev/termination-log/../x"), "its terminationMessagePath differs"),
        ("/terminationMessagePolicy", json!("File"), "its terminationMessagePolicy differs"),
        ("/terminationMessagePolicy", json!(null), "its terminationMessagePolicy differs"),
        ("/imagePullPolicy", json!("Never"), "its imagePullPolicy differs"),
        (
            "/resizePolicy",
            json!([{ "resourceName": "cpu", "restartPolicy": "RestartContainer" }]),
            "its resizePolicy differs",
        ),
        ("/ports", json!([{ "containerPort": 8200 }]), "its ports differ"),
        ("/ports", json!([{ "name": "secret-exec", "containerPort": 9102, "hostPort": 80 }]), "its ports differ"),
        ("/resources/limits/nvidia.com~1gpu", json!("1"), "its resources.limits name nvidia.com/gpu"),
        ("/resources/requests/example.com~1fuse", json!(1), "its resources.requests name example.com/fuse"),
        ("/resources/claims", json!([{ "name": "device" }]), "it has resources.claims"),
        ("/startupProbe/initialDelaySeconds", json!(3600), "its startupProbe differs"),
        ("/startupProbe/terminationGracePeriodSeconds", json!(1), "its startupProbe differs"),
        ("/startupProbe/httpGet", json!({ "port": 1 }), "its startupProbe differs"),
        (
            "/restartPolicyRules",
            json!([{ "action": "Restart", "exitCodes": { "operator": "In", "values": [0] } }]),
            "it has restartPolicyRules",
        ),
        ("/volumeMounts/0/subPath", json!("files"), "it mounts volume secret-exec at"),
        ("/volumeMounts/1/subPathExpr", json!("$(X)"), "it mounts volume secret-exec-state at"),
        ("/volumeMounts/2/readOnly", json!(false), "it mounts volume secret-exec-identity at"),
        ("/volumeMounts/2/recursiveReadOnly", json!("Enabled"), "it mounts volume secret-exec-identity at"),
        (
            "/securityContext/appArmorProfile",
            json!({ "type": "Unconfined" }),
            "its securityContext.appArmorProfile differs",
        ),
        (
            "/securityContext/appArmorProfile",
            json!({ "type": "Localhost", "localhostProfile": "weak" }),
            "its securityContext.appArmorProfile differs",
        ),
        ("/securityContext/appArmorProfile", json!({}), "its securityContext.appArmorProfile differs"),
        ("/securityContext/seLinuxOptions", json!({ "type": "spc_t" }), "its securityContext.seLinuxOptions differs"),
        (
            "/securityContext/seLinuxOptions",
            json!({ "level": "s0", "role": "sysadm_r" }),
            "its securityContext.seLinuxOptions differs",
        ),
        (
            "/securityContext/seLinuxOptions",
            json!({ "user": "unconfined_u" }),
            "its securityContext.seLinuxOptions differs",
        ),
        ("/securityContext/windowsOptions", json!({}), "its securityContext.windowsOptions differs"),
        (
            "/securityContext/allowPrivilegeEscalation",
            json!(true),
            "its securityContext.allowPrivilegeEscalation differs",
        ),
        (
            "/securityContext/seccompProfile",
            json!({ "type": "Localhost", "localhostProfile": "x" }),
            "its securityContext.seccompProfile differs",
        ),
        (
            "/securityContext/capabilities",
            json!({ "drop": ["ALL"], "add": ["NET_ADMIN"] }),
            "its securityContext.capabilities differs",
        ),
    ];
    for (path, value, expected) in changes {
        let mut edited = whole();
        set(&mut edited, path, value);
        let text = denied_by(&edited, &injector(""));
        assert!(
            text.starts_with("the pod already has a container secret-exec, which is not the injected one"),
            "{text}"
        );
        assert!(text.contains(expected), "{path}: {text}");
    }
}

#[test]
fn a_container_that_the_pod_brings_along_is_refused_wherever_it_stands() {
    let bare = json!({ "name": "secret-exec", "image": "registry.example.com/secret-exec:1.0" });
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for name in ["secret-exec", "secret-exec-init"] {
            let mut spec = app();
            let mut own = bare.clone();
            own["name"] = json!(name);
            let mut all = spec.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
            all.push(own);
            spec[list] = json!(all);
            refused(&pod(&[FILE, ROLE], spec), &format!("the pod already has a container {name}"));
        }
        // An exact copy of the injected container in another list, or beside it.
        let mut twice = whole();
        let own = at(&mut twice, SIDECAR_NAME).clone();
        let all = twice["spec"].as_object_mut().unwrap().entry(list).or_insert_with(|| json!([]));
        all.as_array_mut().unwrap().push(own);
        let expected = if list == "initContainers" { "it occurs twice" } else { "does not stand in" };
        refused(&twice, expected);
    }
}

#[test]
fn what_the_api_server_and_other_webhooks_give_to_every_container_stays() {
    let mut patched = whole();
    let token = json!({ "name": "corporate-ca", "mountPath": "/usr/share/corporate", "readOnly": true });
    let variable = json!({ "name": "HTTPS_PROXY", "value": "http://proxy:3128" });
    for path in [SIDECAR_NAME, "/spec/containers/0"] {
        let container = at(&mut patched, path);
        container["volumeMounts"].as_array_mut().unwrap().push(token.clone());
        let env = container.as_object_mut().unwrap().entry("env").or_insert_with(|| json!([]));
        env.as_array_mut().unwrap().push(variable.clone());
    }
    let annotation_key = at(&mut patched, SIDECAR_NAME);
    annotation_key["env"].as_array_mut().unwrap().push(json!({ "name": "AWS_REGION", "value": "eu-west-1" }));
    annotation_key["imagePullPolicy"] = json!("Always");
    annotation_key["terminationMessagePath"] = json!("/dev/termination-log");
    annotation_key["resources"]["limits"]["cpu"] = json!("1");
    annotation_key["startupProbe"]["successThreshold"] = json!(1);
    annotation_key["securityContext"]["runAsUser"] = json!(1_000_660_000);
    annotation_key["securityContext"]["seLinuxOptions"] = json!({ "level": "s0:c26,c5" });
    annotation_key["volumeMounts"][2]["mountPropagation"] = json!("None");
    patched["spec"]["volumes"][2]["projected"]["defaultMode"] = json!(420);
    let before = patched.clone();
    assert_eq!(injected(&patched), before);
    // A mount of the injected container only, or over one of its own, makes it another container.
    let mut alone = patched.clone();
    at(&mut alone, "/spec/containers/0")["volumeMounts"].as_array_mut().unwrap().pop();
    refused(&alone, "it mounts volume corporate-ca at");
    let mut alone = patched.clone();
    at(&mut alone, "/spec/containers/0")["env"] = json!([]);
    refused(&alone, "its variable HTTPS_PROXY is not the injector's");
    for path in ["/secret-exec", "/", "/etc/ssl", "/run", "/run/secret-exec-state/own", "/proc/self", "/a/../etc"] {
        let mut over = patched.clone();
        for container in [SIDECAR_NAME, "/spec/containers/0"] {
            *at(&mut over, &format!("{container}/volumeMounts")).as_array_mut().unwrap().last_mut().unwrap() =
                json!({ "name": "x", "mountPath": path });
        }
        refused(&over, &format!("it mounts volume x at {path}"));
    }
}

/// Defaults of the API server, and what its plugins and autoscalers write.
#[test]
fn fields_that_platforms_are_known_to_set_are_accepted() {
    let changes: &[(&str, Value)] = &[
        ("/terminationMessagePath", json!("/dev/termination-log")),
        ("/terminationMessagePath", json!("")),
        ("/imagePullPolicy", json!("IfNotPresent")),
        ("/imagePullPolicy", json!("Always")),
        ("/resizePolicy", json!([{ "resourceName": "cpu", "restartPolicy": "NotRequired" }])),
        (
            "/resources",
            json!({ "limits": { "cpu": "2", "memory": "1Gi" }, "requests": { "cpu": "1m", "memory": "1Mi" } }),
        ),
        ("/resources/limits/ephemeral-storage", json!("1Gi")),
        ("/resources/limits/nvidia.com~1gpu", json!("0")),
        ("/resources/claims", json!([])),
        ("/ports", json!([])),
        ("/stdin", json!(false)),
        ("/workingDir", json!("")),
        ("/lifecycle", json!(null)),
        ("/startupProbe/successThreshold", json!(1)),
        ("/startupProbe/initialDelaySeconds", json!(0)),
        ("/securityContext/privileged", json!(false)),
        ("/securityContext/procMount", json!("Default")),
        ("/securityContext/windowsOptions", json!(null)),
        ("/securityContext/runAsGroup", json!(1_000_660_000)),
        ("/securityContext/appArmorProfile", json!({ "type": "RuntimeDefault" })),
        ("/securityContext/seLinuxOptions", json!({ "level": "s0:c26,c5", "type": "container_t" })),
        ("/securityContext/seccompProfile", json!({ "type": "RuntimeDefault" })),
        ("/volumeMounts/0/subPath", json!("")),
        ("/volumeMounts/1/mountPropagation", json!("None")),
    ];
    for (path, value) in changes {
        let mut given = whole();
        set(&mut given, path, value);
        assert_eq!(injected(&given), given, "{path}");
    }
    // What differs from injection is accepted where the other containers have the same.
    for (path, value) in [
        ("/imagePullPolicy", json!("Never")),
        ("/terminationMessagePolicy", json!("File")),
        ("/resizePolicy", json!([{ "resourceName": "cpu", "restartPolicy": "RestartContainer" }])),
        ("/resources", json!({ "limits": { "example.com/fuse": "1" } })),
        ("/securityContext/seLinuxOptions", json!({ "user": "system_u", "role": "system_r", "type": "spc_t" })),
        ("/securityContext/appArmorProfile", json!({ "type": "Localhost", "localhostProfile": "platform" })),
    ] {
        let mut given = whole();
        given["spec"]["containers"][0]["securityContext"] = json!({});
        set(&mut given, path, &value);
        let (parent, last) = path.rsplit_once('/').unwrap();
        at(&mut given, &format!("/spec/containers/0{parent}"))[last] = value;
        assert_eq!(injected(&given), given, "{path}");
    }
}

#[test]
fn an_annotation_cannot_take_the_apparmor_profile_of_an_injected_container_away() {
    let key = |name: &str| format!("container.apparmor.security.beta.kubernetes.io/{name}");
    for (name, profile, is_refused) in [
        ("secret-exec", "unconfined", true),
        ("secret-exec-init", "localhost/weak", true),
        ("secret-exec", "runtime/default", false),
        ("app", "unconfined", false),
    ] {
        for mut asking in [pod(&[FILE, ROLE], app()), whole()] {
            asking["metadata"]["annotations"][key(name)] = json!(profile);
            if is_refused {
                refused(&asking, &format!("annotation {} changes the AppArmor profile", key(name)));
            } else {
                injected(&asking);
            }
        }
    }
}

#[test]
fn the_port_of_an_injected_container_is_opened_on_the_node_only_with_its_network() {
    let metrics = ("metrics", "0.0.0.0:9102");
    let with_port = injected(&pod(&[FILE, ROLE, metrics], app()));
    let port = format!("{SIDECAR_NAME}/ports/0");
    assert_eq!(with_port.pointer(&port).unwrap()["containerPort"], 9102);
    for (member, value) in [("hostPort", json!(9102)), ("hostIP", json!("0.0.0.0")), ("name", json!("web"))] {
        let mut edited = with_port.clone();
        at(&mut edited, &port)[member] = value;
        refused(&edited, "its ports differ");
    }
    let mut edited = with_port.clone();
    at(&mut edited, SIDECAR_NAME)["ports"] = json!([]);
    refused(&edited, "its ports differ");
    // As the API server writes it.
    let mut host = with_port.clone();
    host["spec"]["hostNetwork"] = json!(true);
    at(&mut host, &port)["hostPort"] = json!(9102);
    assert_eq!(injected(&host), host);
    // The annotation was removed before the webhook was called again.
    let mut without = with_port.clone();
    without["metadata"]["annotations"].as_object_mut().unwrap().remove("secret-exec.dev/metrics");
    assert_eq!(injected(&without).pointer(&format!("{SIDECAR_NAME}/ports")), Some(&json!([])));
}

/// As the API server's ServiceAccount admission adds it: to each container that mounts nothing there.
fn with_api_token(pod: &mut Value) {
    let path = "/var/run/secrets/kubernetes.io/serviceaccount";
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let mounts = container.as_object_mut().unwrap().entry("volumeMounts").or_insert_with(|| json!([]));
            let mounts = mounts.as_array_mut().unwrap();
            if !mounts.iter().any(|mount| mount["mountPath"] == path) {
                mounts.push(json!({ "name": "kube-api-access-x", "mountPath": path, "readOnly": true }));
            }
        }
    }
}

#[test]
fn no_injected_container_gets_the_token_of_the_kubernetes_api() {
    let command = json!({ "containers": [{ "name": "app", "image": "app:1", "command": ["/app"] }] });
    for (mode, more) in
        [("sidecar", ""), ("sidecar", "nativeSidecar: false\n"), ("init", ""), ("exec", ""), ("supervise", "")]
    {
        let operator = injector(more);
        let secret = if mode == "exec" || mode == "supervise" { ("env.A", "vault:secret/data/db#a") } else { FILE };
        let mut patched = injected_by(&pod(&[secret, ROLE, ("mode", mode)], command.clone()), &operator);
        with_api_token(&mut patched);
        let lists = ["containers", "initContainers"].map(|list| patched["spec"][list].as_array().unwrap());
        for container in lists.into_iter().flatten() {
            let has_token = container.to_string().contains("kube-api-access");
            assert_eq!(has_token, container["name"] == "app", "{mode} {more}: {container:#}");
        }
        let before = patched.clone();
        assert_eq!(injected_by(&patched, &operator), before);
    }
    // The program compares each file that it reads with those of this directory, so it is not the one of the files.
    let secret = ("file.db", "aws-sm:prod/db#password");
    for (more, mode, expected) in [
        (ROLE, "sidecar", "secret-exec-identity"),
        (ROLE, "init", "secret-exec-identity"),
        (secret, "sidecar", "secret-exec-state"),
        (secret, "init", "secret-exec"),
    ] {
        let first = if more == ROLE { FILE } else { secret };
        let patched = injected(&pod(&[first, more, ("mode", mode)], app()));
        let mounts = patched.pointer("/spec/initContainers/0/volumeMounts").unwrap().as_array().unwrap();
        let token = mounts.iter().find(|mount| mount["mountPath"].as_str().unwrap().contains("kubernetes.io"));
        assert_eq!(token.map(|mount| &mount["name"]), Some(&json!(expected)), "{mode} {mounts:#?}");
    }
    // A copy of a pod that was injected without this.
    let mut copy = whole();
    at(&mut copy, SIDECAR_NAME)["volumeMounts"].as_array_mut().unwrap().pop();
    assert_eq!(injected(&copy), whole());
    with_api_token(&mut copy);
    assert_eq!(injected(&copy), copy);
}

#[test]
fn a_mirror_of_the_image_is_named_by_the_operator() {
    let mirrored = "mirror.example.com/proxy/secret-exec:1.0";
    let operator = injector(&format!("imageMirrors: [\"{mirrored}\"]\n"));
    let mut patched = injected_by(&pod(&[FILE, ROLE], app()), &operator);
    *at(&mut patched, &format!("{SIDECAR_NAME}/image")) = json!(mirrored);
    let before = patched.clone();
    assert_eq!(injected_by(&patched, &operator), before);
    refused(
        &patched,
        "its image is mirror.example.com/proxy/secret-exec:1.0, expected registry.example.com/secret-exec:1.0 (where a webhook \
         rewrites image names, the operator adds this one to imageMirrors)",
    );
}

/// It drops the field before it asks again.
#[test]
fn an_api_server_that_knows_no_native_sidecars_is_told_by_its_missing_restart_policy() {
    let mut dropped = whole();
    at(&mut dropped, SIDECAR_NAME).as_object_mut().unwrap().remove("restartPolicy");
    refused(&dropped, "its restartPolicy differs (before Kubernetes 1.29 the operator says nativeSidecar: false)");
}

#[test]
fn every_mode_compares_its_own_containers() {
    let command = json!({ "containers": [{ "name": "app", "image": "app:1", "command": ["/app"] }] });
    let native = injector("");
    let old = injector("nativeSidecar: false\n");
    for (mode, operator, path) in [
        ("init", &native, SIDECAR_NAME),
        ("exec", &native, SIDECAR_NAME),
        ("supervise", &native, SIDECAR_NAME),
        ("sidecar", &old, SIDECAR_NAME),
        ("sidecar", &old, "/spec/containers/1"),
    ] {
        let whole = injected_by(&pod(&[FILE, ROLE, ("mode", mode)], command.clone()), operator);
        for (member, value) in [
            ("image", json!("evil/secret-exec:1.0")),
            ("args", json!(["install", "/run/secret-exec-bin/secret-exec", "x"])),
            ("lifecycle", json!({})),
            ("restartPolicy", json!("Always")),
            ("startupProbe", json!({ "exec": { "command": ["x"] } })),
            ("volumeMounts", json!([])),
            ("securityContext", json!({ "privileged": true })),
        ] {
            let mut edited = whole.clone();
            at(&mut edited, path)[member] = value;
            let text = denied_by(&edited, operator);
            assert!(text.contains("which is not the injected one"), "{mode} {member}: {text}");
        }
    }
}

#[test]
fn our_volumes_are_mounted_nowhere_else() {
    let mounting = |mount: Value| {
        json!({ "containers": [
            { "name": "app", "image": "a:1", "command": ["/app"], "volumeMounts": [mount] }, { "name": "b", "command": ["/b"] }
        ] })
    };
    let target = ("containers", "app");
    let other = ("containers", "b");
    for (mode, which, mount, expected) in [
        (
            "sidecar",
            target,
            json!({ "name": "secret-exec-state", "mountPath": "/s", "readOnly": true }),
            "holds the login",
        ),
        ("sidecar", other, json!({ "name": "secret-exec-state", "mountPath": "/s" }), "holds the login"),
        (
            "sidecar",
            target,
            json!({ "name": "secret-exec-identity", "mountPath": "/i" }),
            "for the injected container only",
        ),
        (
            "init",
            other,
            json!({ "name": "secret-exec-identity", "mountPath": "/i" }),
            "for the injected container only",
        ),
        (
            "sidecar",
            target,
            json!({ "name": "secret-exec", "mountPath": "/run/secret-exec" }),
            "expected readOnly: true",
        ),
        (
            "init",
            other,
            json!({ "name": "secret-exec", "mountPath": "/f", "subPath": "files" }),
            "expected readOnly: true",
        ),
        (
            "exec",
            other,
            json!({ "name": "secret-exec", "mountPath": "/f", "readOnly": true }),
            "for the wrapped container only",
        ),
        (
            "exec",
            other,
            json!({ "name": "secret-exec-identity", "mountPath": "/f" }),
            "for the injected container only",
        ),
        ("supervise", target, json!({ "name": "secret-exec-bin", "mountPath": "/b" }), "expected readOnly: true"),
    ] {
        let spec = mounting(mount);
        let requested = pod(&[FILE, ROLE, ("mode", mode), which], spec.clone());
        refused(&requested, expected);
        // The same, added to a pod that was injected.
        let mut plain = spec.clone();
        plain["containers"][0].as_object_mut().unwrap().remove("volumeMounts");
        let mut patched = injected(&pod(&[FILE, ROLE, ("mode", mode), which], plain));
        let container = patched["spec"]["containers"][0].as_object_mut().unwrap();
        let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
        mounts.as_array_mut().unwrap().push(spec["containers"][0]["volumeMounts"][0].clone());
        refused(&patched, expected);
    }
    let mut debugged = whole();
    debugged["spec"]["ephemeralContainers"] =
        json!([{ "name": "debug", "volumeMounts": [{ "name": "secret-exec-state", "mountPath": "/s" }] }]);
    refused(&debugged, "container debug mounts volume secret-exec-state");
    // Whoever reads the files at a place of its own may; the target still gets them where they belong.
    let reading = json!({ "name": "secret-exec", "mountPath": "/f", "readOnly": true });
    let patched = injected(&pod(&[FILE, ROLE, target], mounting(reading)));
    assert_eq!(patched["spec"]["containers"][0]["volumeMounts"][1]["mountPath"], "/run/secret-exec");
}

#[test]
fn a_volume_of_our_name_that_is_not_ours_is_refused() {
    for (index, volume) in [
        (0, json!({ "name": "secret-exec", "emptyDir": {} })),
        (0, json!({ "name": "secret-exec", "emptyDir": { "medium": "HugePages" } })),
        (0, json!({ "name": "secret-exec", "hostPath": { "path": "/tmp" } })),
        (1, json!({ "name": "secret-exec-state", "persistentVolumeClaim": { "claimName": "x" } })),
        (1, json!({ "name": "secret-exec-state", "emptyDir": { "medium": "Memory" }, "hostPath": { "path": "/" } })),
        (2, json!({ "name": "secret-exec-identity", "projected": { "sources": [] } })),
        (
            2,
            json!({ "name": "secret-exec-identity", "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "audience": "other", "expirationSeconds": 600 } }] } }),
        ),
        (2, json!({ "name": "secret-exec-identity", "secret": { "secretName": "x" } })),
    ] {
        let mut edited = whole();
        let name = volume["name"].as_str().unwrap().to_owned();
        edited["spec"]["volumes"][index] = volume;
        refused(&edited, &format!("the pod already has a volume {name}, which is not the injected one"));
    }
    let mut twice = whole();
    let volumes = twice["spec"]["volumes"].as_array_mut().unwrap();
    volumes.push(volumes[0].clone());
    refused(&twice, "the pod already has a volume secret-exec");
}

#[test]
fn what_other_annotations_made_is_brought_up_to_date() {
    let mut patched = injected(&pod(&[FILE, ROLE, ("run-as", "1000:1000")], app()));
    patched["metadata"]["annotations"]["secret-exec.dev/run-as"] = json!("2000:2000");
    patched["metadata"]["annotations"]["secret-exec.dev/volume-size"] = json!("4Mi");
    let again = injected(&patched);
    let annotation_key = &again["spec"]["initContainers"][0];
    assert_eq!(
        (&annotation_key["securityContext"]["runAsUser"], &annotation_key["securityContext"]["runAsGroup"]),
        (&json!(2000), &json!(2000))
    );
    assert_eq!(again["spec"]["volumes"][0]["emptyDir"]["sizeLimit"], "4Mi");
    // A user that the pod says later.
    let mut patched = whole();
    patched["spec"]["securityContext"]["runAsUser"] = json!(1000);
    assert_eq!(injected(&patched)["spec"]["initContainers"][0]["securityContext"]["runAsUser"], 65532);
    // Annotations that need no login any more.
    let mut patched = whole();
    let annotations = patched["metadata"]["annotations"].as_object_mut().unwrap();
    annotations.remove("secret-exec.dev/file.db");
    annotations.remove("secret-exec.dev/vault-role");
    annotations.insert("secret-exec.dev/file.k".to_owned(), json!("aws-sm:prod/stripe#key"));
    let again = injected(&patched);
    let args = again["spec"]["initContainers"][0]["args"].to_string();
    assert!(args.contains("k=aws-sm:prod/stripe#key") && !args.contains("vault.auth"), "{args}");
}
