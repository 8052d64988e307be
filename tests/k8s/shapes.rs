//! Pods of every shape that could make an admission expensive, each by a number `n`.

use secret_exec::config::{Injector, Text};
use secret_exec::k8s::{inject::inject, patch::apply};
use serde_json::{Map, Value, json};

use crate::support::CONFIG;

/// A shape by its name.
pub type Shape = (&'static str, fn(usize) -> Value);

pub const SHAPES: &[Shape] = &[
    ("n containers, all named", all_named),
    ("n containers of one name", one_name),
    ("n containers, exec, each with another address", exec_with_addresses),
    ("n init containers that run too early", too_early),
    ("n volumes", volumes),
    ("n mounts in a container", mounts),
    ("n variables in a container", variables),
    ("n AWS token variables and n mounts", aws_tokens),
    ("n annotations of others", annotations_of_others),
    ("n files by annotation", files),
    ("n unknown annotations", unknown_annotations),
    ("n long unknown annotations", long_unknown_annotations),
    ("n commands for n containers", commands),
    ("n files in config", config_files),
    ("n unknown keys in config", config_unknown),
    ("n duplicate keys in config", config_duplicates),
    ("n aliases in config", config_aliases),
    ("n levels in config", config_nested),
    ("n anchors in config", config_anchors),
    ("n references in a template", template_references),
    ("n tags in a template", template_tags),
    ("n bytes in a template", template_bytes),
    ("n brackets in a template", template_brackets),
    ("n actions in a Go template", go_actions),
    ("n secrets in a Go template", go_secrets),
    ("n variables in a Go template", go_variables),
    ("n secrets, each in a file of its own", config_secrets),
    ("n nested files in config", config_nested_files),
    ("n signals in on-change", signals),
    ("n commands of Vault's injector", vault_commands),
    ("n unknown keys of Vault's injector", vault_unknown),
    ("n variables of bank-vaults", bank_vaults_variables),
    ("n braces in a variable of bank-vaults", bank_vaults_braces),
    ("n containers called like ours", namesakes),
    ("n mounts in ours and in the app", mounts_of_ours),
    ("n variables in ours and in the app", variables_of_ours),
    ("n arguments in ours", arguments_of_ours),
    ("n levels of mounts above an AWS token", token_levels),
];

fn pod(annotations: impl IntoIterator<Item = (String, String)>, spec: Value) -> Value {
    let role = [("vault-role".to_owned(), "web".to_owned())];
    let annotations: Map<String, Value> = role
        .into_iter()
        .chain(annotations)
        .map(|(key, value)| {
            let key = if key.contains('/') { key } else { format!("secret-exec.dev/{key}") };
            (key, json!(value))
        })
        .collect();
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "web-", "annotations": annotations }, "spec": spec })
}

fn one(key: &str, value: impl Into<String>) -> [(String, String); 1] {
    [(key.to_owned(), value.into())]
}

/// Without an annotation of ours.
fn foreign(annotations: impl IntoIterator<Item = (String, String)>, spec: Value) -> Value {
    let annotations: Map<String, Value> = annotations.into_iter().map(|(key, value)| (key, json!(value))).collect();
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "web-", "annotations": annotations }, "spec": spec })
}

fn vault_agent(more: impl Iterator<Item = (String, String)>) -> Value {
    let asking = [("agent-inject", "true"), ("role", "web"), ("agent-inject-token", "true")];
    let asking = asking.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    foreign(asking.chain(more).map(|(key, value)| (format!("vault.hashicorp.com/{key}"), value)), app())
}

fn vault_commands(n: usize) -> Value {
    vault_agent((0..n).map(|n| (format!("agent-inject-command-{n}"), format!("pkill -HUP app{n}"))))
}

fn vault_unknown(n: usize) -> Value {
    vault_agent((0..n).map(|n| (format!("agent-unknown-{n}"), String::new())))
}

fn bank_vaults_variables(n: usize) -> Value {
    let env: Vec<Value> =
        (0..n).map(|n| json!({ "name": format!("V{n}"), "value": format!("x ${{vault:a/b{n}#c}} y") })).collect();
    let role = [("vault.security.banzaicloud.io/vault-role".to_owned(), "web".to_owned())];
    foreign(role, json!({ "containers": [{ "name": "app", "image": "app:1", "command": ["/app"], "env": env }] }))
}

fn bank_vaults_braces(n: usize) -> Value {
    let env =
        json!([{ "name": "V", "value": "${ vault:a".repeat(n) }, { "name": "W", "value": "${vault:a".repeat(n) }]);
    let role = [("vault.security.banzaicloud.io/vault-role".to_owned(), "web".to_owned())];
    foreign(role, json!({ "containers": [{ "name": "app", "image": "app:1", "command": ["/app"], "env": env }] }))
}

fn file() -> [(String, String); 1] {
    one("file.a", "vault:secret/data/a#b")
}

fn app() -> Value {
    json!({ "containers": [{ "name": "app", "image": "app:1" }] })
}

fn containers(n: usize) -> Vec<Value> {
    (0..n).map(|n| json!({ "name": format!("c{n}"), "image": "app:1", "command": ["/app"] })).collect()
}

fn names(n: usize) -> String {
    (0..n).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",")
}

fn all_named(n: usize) -> Value {
    pod(file().into_iter().chain(one("containers", names(n))), json!({ "containers": containers(n) }))
}

fn one_name(n: usize) -> Value {
    let all = vec![json!({ "name": "app", "image": "app:1" }); n];
    pod(file().into_iter().chain(one("containers", "app")), json!({ "containers": all }))
}

fn exec_with_addresses(n: usize) -> Value {
    let mut all = containers(n);
    for (at, container) in all.iter_mut().enumerate() {
        container["env"] = json!([{ "name": "VAULT_ADDR", "value": format!("https://v{at}") }]);
    }
    let said = [one("mode", "exec"), one("containers", names(n)), one("env.A", "vault:secret/data/a#b")];
    pod(said.into_iter().flatten(), json!({ "containers": all }))
}

fn too_early(n: usize) -> Value {
    let early: Vec<Value> =
        (0..n).map(|n| json!({ "name": format!("c{n}"), "image": "app:1", "restartPolicy": "Always" })).collect();
    let spec = json!({ "containers": [{ "name": "app" }], "initContainers": early });
    pod(file().into_iter().chain(one("containers", names(n))), spec)
}

fn volumes(n: usize) -> Value {
    let all: Vec<Value> = (0..n).map(|n| json!({ "name": format!("v{n}"), "emptyDir": {} })).collect();
    pod(file(), json!({ "containers": [{ "name": "app" }], "volumes": all }))
}

fn mounts(n: usize) -> Value {
    let all: Vec<Value> = (0..n).map(|n| json!({ "name": format!("v{n}"), "mountPath": format!("/v/{n}") })).collect();
    pod(file(), json!({ "containers": [{ "name": "app", "volumeMounts": all }] }))
}

fn variables(n: usize) -> Value {
    let all: Vec<Value> = (0..n).map(|n| json!({ "name": format!("V{n}"), "value": "x" })).collect();
    let said = [one("mode", "exec"), one("env.A", "vault:secret/data/a#b")];
    pod(said.into_iter().flatten(), json!({ "containers": [{ "name": "app", "command": ["/app"], "env": all }] }))
}

fn aws_tokens(n: usize) -> Value {
    let name = "AWS_WEB_IDENTITY_TOKEN_FILE";
    let env: Vec<Value> = (0..n).map(|n| json!({ "name": name, "value": format!("/aws/{n}/token") })).collect();
    let mounts: Vec<Value> = (0..n).map(|n| json!({ "name": "t", "mountPath": format!("/aws/{n}") })).collect();
    let spec = json!({ "containers": [{ "name": "app", "env": env, "volumeMounts": mounts }] });
    pod(one("file.a", "aws-sm:prod/a"), spec)
}

fn annotations_of_others(n: usize) -> Value {
    pod(file().into_iter().chain((0..n).map(|n| (format!("example.com/a{n}"), "x".to_owned()))), app())
}

fn files(n: usize) -> Value {
    pod((0..n).map(|n| (format!("file.f{n}"), format!("vault:secret/data/a{n}#b"))), app())
}

fn unknown_annotations(n: usize) -> Value {
    pod((0..n).map(|n| (format!("vault-auht-roel-{n}"), "x".to_owned())), app())
}

fn long_unknown_annotations(n: usize) -> Value {
    pod((0..n).map(|n| (format!("{}{n}", "volum-siez-".repeat(10)), "x".to_owned())), app())
}

fn commands(n: usize) -> Value {
    let said = (0..n.min(900)).map(|n| (format!("command.x{n}"), "[\"/app\"]".to_owned()));
    let said = said.chain(one("mode", "exec")).chain(one("containers", names(n)));
    pod(said.chain(one("env.A", "vault:secret/data/a#b")), json!({ "containers": containers(n) }))
}

/// A pod that was injected already.
fn injected(mut pod: Value) -> Value {
    let injector = Injector::parse(Text { name: "injector.yaml", text: CONFIG }).unwrap();
    let ops = inject(&pod, &injector).unwrap().ops;
    apply(&mut pod, &ops);
    pod
}

fn in_both(n: usize, list: &str, item: impl Fn(usize) -> Value) -> Value {
    let mut pod = injected(pod(file(), app()));
    for container in ["/spec/initContainers/0", "/spec/containers/0"] {
        let container = pod.pointer_mut(container).unwrap().as_object_mut().unwrap();
        container.entry(list).or_insert_with(|| json!([])).as_array_mut().unwrap().extend((0..n).map(&item));
    }
    pod
}

fn namesakes(n: usize) -> Value {
    let mut pod = injected(pod(file(), app()));
    let all = pod["spec"]["initContainers"].as_array_mut().unwrap();
    *all = vec![all[0].clone(); n];
    pod
}

fn mounts_of_ours(n: usize) -> Value {
    in_both(n, "volumeMounts", |n| json!({ "name": "x", "mountPath": format!("/x/{n}") }))
}

fn variables_of_ours(n: usize) -> Value {
    in_both(n, "env", |n| json!({ "name": format!("V{n}"), "value": "x" }))
}

fn arguments_of_ours(n: usize) -> Value {
    let mut pod = injected(pod(file(), app()));
    let words = pod["spec"]["initContainers"][0]["args"].as_array_mut().unwrap();
    words.extend((0..n).flat_map(|n| [json!("--file"), json!(format!("x{n}=vault:a#b"))]));
    pod
}

fn token_levels(n: usize) -> Value {
    let path = |n: usize| format!("/t{}", "/a".repeat(n));
    let env = json!([{ "name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": format!("{}/token", path(n.min(1200))) }]);
    let mounts: Vec<Value> = (0..n.min(1200)).map(|n| json!({ "name": "t", "mountPath": path(n) })).collect();
    let spec = json!({ "containers": [{ "name": "app", "env": env, "volumeMounts": mounts }] });
    injected(pod(one("file.a", "aws-sm:prod/a"), spec))
}

fn config(lines: impl Iterator<Item = String>) -> Value {
    pod(one("config", lines.collect::<Vec<_>>().join("\n")), app())
}

fn config_files(n: usize) -> Value {
    config(["files:".to_owned()].into_iter().chain((0..n).map(|n| format!("  f{n}: vault:a{n}#b"))))
}

fn config_unknown(n: usize) -> Value {
    config((0..n).map(|n| format!("templateLanguaeg{n}: a")))
}

fn config_duplicates(n: usize) -> Value {
    config((0..n).map(|_| "volume: { size: 8Mi, siez: 9Mi }".to_owned()))
}

fn config_aliases(n: usize) -> Value {
    let first = "files:\n  a: &a { from: \"vault:a#b\", format: raw }".to_owned();
    config([first].into_iter().chain((0..n).map(|n| format!("  f{n}: *a"))))
}

fn config_nested(n: usize) -> Value {
    config([format!("files: {}{}", "{ a: ".repeat(n), "}".repeat(n))].into_iter())
}

fn config_anchors(n: usize) -> Value {
    config(["passEnv:".to_owned()].into_iter().chain((0..n).map(|n| format!("  - &a{n} A{n}"))))
}

fn config_secrets(n: usize) -> Value {
    let secrets = (0..n).map(|n| format!("  s{n}: vault:a{n}"));
    let files = (0..n).map(|n| format!("  f{n}: {{ template: \"{{{{ secret('s{n}').a }}}}\" }}"));
    config(["secrets:".to_owned()].into_iter().chain(secrets).chain(["files:".to_owned()]).chain(files))
}

fn config_nested_files(n: usize) -> Value {
    config(["files:".to_owned()].into_iter().chain((0..n).map(|n| format!("  d/d{n}/f: vault:a{n}#b"))))
}

fn signals(n: usize) -> Value {
    let all = (0..n).map(|n| format!("signal:HUP@p{n}")).collect::<Vec<_>>().join(",");
    pod(file().into_iter().chain(one("run-as", "1000:1000")).chain(one("on-change", all)), app())
}

fn template(text: String) -> Value {
    pod(one("template.a", text), app())
}

fn template_references(n: usize) -> Value {
    template((0..n).map(|n| format!("{{{{ secret('vault:a{n}').b }}}}")).collect())
}

fn template_tags(n: usize) -> Value {
    template("{% if true %}a{% endif %}".repeat(n))
}

fn template_bytes(n: usize) -> Value {
    template("{".repeat(n))
}

fn template_brackets(n: usize) -> Value {
    template(format!("{{{{ {} }}}}", "(".repeat(n)))
}

fn go_template(text: String) -> Value {
    pod(one("template.a", text).into_iter().chain(one("template-language", "go")), app())
}

fn go_actions(n: usize) -> Value {
    go_template(format!("{{{{$a := 1}}}}{}", "{{$a}}".repeat(n)))
}

fn go_secrets(n: usize) -> Value {
    go_template((0..n).map(|n| format!("{{{{ secret \"s/d/x{n}\" }}}}")).collect())
}

fn go_variables(n: usize) -> Value {
    go_template((0..n).map(|n| format!("{{{{ $a{n} := 1 }}}}")).collect())
}

/// Reviews of the largest size whose text alone is expensive, by what they repeat.
pub fn largest_bodies() -> Vec<(String, Vec<u8>)> {
    const SIZE: usize = (3 << 20) - 1000;
    const PARTS: [(&str, &str, &str); 13] = [
        ("volumes\":[", "{},", "{}]"),
        ("volumes\":[", "{\"a\":{}},", "{}]"),
        ("containers\":[", "{\"name\":\"a\"},", "{\"name\":\"a\"}]"),
        ("tolerations\":[", "[[{}]],", "1]"),
        ("tolerations\":\"", "\\u0041", "\""),
        ("os\":[", "1.7e300,", "1]"),
        ("os\":{", "\"a\":1,", "\"z\":1}"),
        ("os\":\"", "x", "\""),
        ("os\":\"", "\\n", "\""),
        ("os\":\"", "\\u0041", "\""),
        ("os\":0.", "1", ""),
        ("", "\\n", "\":1"),
        ("os\":", " ", "1"),
    ];
    let whole = |(start, repeated, end): (&str, &str, &str)| {
        let spec = format!("\"{start}{}{end}", repeated.repeat(SIZE / repeated.len()));
        let pod =
            format!(r#"{{"metadata":{{"annotations":{{"secret-exec.dev/file.a":"vault:a#b"}}}},"spec":{{{spec}}}}}"#);
        (format!("{start}{repeated}{end}"), body(pod))
    };
    PARTS.into_iter().map(whole).collect()
}

/// The review of a pod.
pub fn body(pod: impl std::fmt::Display) -> Vec<u8> {
    // In the API server's order: the pod last.
    format!(
        r#"{{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{{"uid":"u","kind":{{"kind":"Pod"}},"namespace":"team","operation":"CREATE","object":{pod}}}}}"#
    )
    .into_bytes()
}
