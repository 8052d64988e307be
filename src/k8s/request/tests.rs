//! What a pod may request: what is refused, with which sentence, and what applies later in the pod.

use serde_json::{Value, json};

use crate::config::{Annotations, Config, ConfigError, Flag, Layers, Place, VaultAuth, Wraps, resolve};
use crate::k8s::inject::inject;
use crate::k8s::tests::{FILE, ROLE, app, denied, injected, injected_container, pod, words};

fn denied_here(annotations: &[(&str, &str)], expected: &str) {
    denied(&[&[ROLE], annotations].concat(), app(), expected);
}

#[test]
fn a_key_that_kubernetes_does_not_have_is_refused_with_the_way_to_say_it() {
    let fits = format!("file.{}", "a".repeat(58));
    injected(&pod(&[(&fits, "vault:x#y"), ROLE], app()));
    let long = format!("file.{}", "a".repeat(59));
    for key in [long.as_str(), "file.conf/db", "file.db ", "secret.-", "file.caf\u{e9}"] {
        denied_here(&[(key, "vault:x#y")], "allows 63 letters, digits");
        denied_here(&[(key, "vault:x#y")], "say it in secret-exec.dev/config");
    }
    injected(&pod(&[("config", "files: { conf/db: \"vault:x#y\" }"), ROLE], app()));
}

#[test]
fn a_mistake_in_a_template_is_told_at_admission_with_its_line_and_column() {
    for (text, expected) in [
        ("a=1\nb={{ secret( }}", "annotation secret-exec.dev/template.conf: template line 2, column"),
        ("{{ secret(name) }}", "template line 1, column 4: secret() takes exactly one string literal"),
        ("{{ secret('db').user }}", "template line 1, column 4: secret() names a reference"),
        ("{{ .Data.data.password }}", "template line 1, column"),
        ("{% include 'x' %}", "template line 1, column"),
        ("{{ secret('vault:x').y | urlencod }}", "unknown filter \"urlencod\""),
        ("{{ user }}", "unknown name \"user\""),
    ] {
        denied_here(&[("template.conf", text)], expected);
    }
    denied_here(
        &[("config", "files:\n  a: { template: \"{{ secret() }}\" }")],
        "annotation secret-exec.dev/config:2: template",
    );
    let command = json!({ "containers": [{ "name": "app", "command": ["/app"] }] });
    let env = [ROLE, ("mode", "exec"), ("config", "env: { URL: { template: \"{{ secret(1) }}\" } }")];
    denied(&env, command, "secret() takes exactly one string literal");
    let all = denied_text(&[ROLE, ("template.a", "{{ x }}"), ("template.b", "{{ y }}")]);
    assert_eq!(all.len(), 2, "{all:?}");
}

fn denied_text(annotations: &[(&str, &str)]) -> Vec<String> {
    inject(&pod(annotations, app()), &crate::k8s::tests::injector("")).unwrap_err()
}

#[test]
fn a_template_counts_with_what_it_refers_to_and_no_more() {
    // Only Secrets Manager is needed, whatever the surrounding text: no login to Vault, no token.
    let aws = injected(&pod(&[("template.a", "# vault: none\n{{ secret('aws-sm:prod/db').user }}")], app()));
    assert!(!words(&injected_container(&aws)["args"]).iter().any(|word| word.starts_with("vault.auth.")));
    let text = denied_text(&[("template.a", "{{ secret('vault:secret/data/db').user }}")]).join("\n");
    assert!(text.contains("say it with secret-exec.dev/vault-role"), "{text}");
    denied_here(&[("template.a", "{{ secret('file:/etc/x') }}")], "reads no file for the app");
}

#[test]
fn a_format_beside_a_template_is_refused() {
    let both = [("format.conf", "json"), ("template.conf", "a")];
    denied_here(
        &both,
        "annotation secret-exec.dev/template.conf: cannot stand together with secret-exec.dev/format.conf",
    );
}

#[test]
fn an_option_that_would_do_nothing_is_refused() {
    let command = json!({ "containers": [{ "name": "app", "command": ["/app"] }] });
    for (mode, options) in [
        (
            "init",
            &[
                ("refresh", "1m"),
                ("metrics", "127.0.0.1:9"),
                ("on-expired", "keep"),
                ("revoke-delay", "1s"),
                ("inherit", "none"),
            ][..],
        ),
        ("exec", &[("refresh", "1m"), ("metrics", "127.0.0.1:9"), ("revoke-delay", "1s")]),
        ("supervise", &[("revoke-delay", "1s"), ("leave-leases", "true")]),
        ("sidecar", &[("scrub-aws", "true"), ("inherit", "none"), ("leave-leases", "true")]),
    ] {
        for option in options {
            let expected = format!("it does nothing in mode {mode}, only with secret-exec.dev/mode: ");
            denied(&[FILE, ROLE, ("mode", mode), *option], command.clone(), &expected);
            denied(
                &[FILE, ROLE, ("mode", mode), *option],
                command.clone(),
                &format!("annotation secret-exec.dev/{}: ", option.0),
            );
        }
    }
}

/// An app must not take a reference for a secret: a password of `vault:secret/data/db#p` is tried, logged and locked out.
#[test]
fn a_reference_in_an_apps_environment_is_denied_where_nobody_resolves_it() {
    let spec = |value: &str| json!({ "containers": [{ "name": "app", "env": [{ "name": "DB", "value": value }] }] });
    for value in [
        "vault:secret/data/db#p",
        " vault:secret/data/db#p",
        "\"vault:secret/data/db#p\"",
        "aws-sm:prod/db#p",
        "aws-sm://prod/db#p",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db",
        "pg://${vault:secret/data/db#p}@db",
        ">>vault:pki/issue/web#certificate#{}",
    ] {
        for mode in ["sidecar", "init"] {
            let annotations = [FILE, ROLE, ("mode", mode)];
            let expected = format!(
                "container app: what looks like a reference in DB would reach the app as it is, since \
                nobody resolves it in mode {mode}; use secret-exec.dev/mode: exec or supervise, or secret-exec.dev/file.NAME"
            );
            denied(&annotations, spec(value), &expected);
            for passed in ["passEnv: [DB]", "passEnv: [\"D*\"]"] {
                injected(&pod(&[&annotations[..], &[("config", passed)]].concat(), spec(value)));
            }
            denied(&[&annotations[..], &[("config", "passEnv: [OTHER]")]].concat(), spec(value), "named by passEnv in");
        }
    }
    for value in [
        "vault:v1:c2VjcmV0",
        "vault:/x#y",
        "https://vault:8200/#a",
        "vault: fix the login (#12)",
        "fix: vault: broken (#12)",
        "secret",
        "",
    ] {
        injected(&pod(&[FILE, ROLE], spec(value)));
    }
}

#[test]
fn processes_of_the_node_are_never_signalled() {
    let mut spec = app();
    spec["hostPID"] = json!(true);
    let signal = [FILE, ROLE, ("on-change", "signal:HUP@nginx"), ("run-as", "1000:1000")];
    denied(&signal, spec.clone(), "which Kubernetes refuses beside hostPID");
    injected(&pod(&[FILE, ROLE], spec));
}

/// What our container, or the wrapped command, makes of its arguments: nothing else speaks in the pod.
fn reads(patched: &Value) -> Result<Config, Vec<ConfigError>> {
    let command = &patched["spec"]["containers"][0]["command"];
    let (arguments, wraps) = match command.is_array() {
        true => (words(command), Wraps::Command),
        false => (words(&injected_container(patched)["args"]), Wraps::Nothing),
    };
    let mut flags = Vec::new();
    let mut rest = arguments[1..].iter();
    while let Some(name) = rest.next() {
        match *name {
            "--" => break,
            "--pinned" | "--supervise" => flags.push(Flag::new(*name, "")),
            name => flags.push(Flag::new(name, rest.next().unwrap().replace("$$", "$"))),
        }
    }
    resolve(&Layers {
        environment: &[("SECRET_EXEC_STATE".to_owned(), "/run/secret-exec-state/own".to_owned())],
        annotations: None,
        file: None,
        flags: &flags,
        wraps,
    })
}

/// The same configuration, whatever said it.
fn without_places(mut config: Config) -> Config {
    config.files.iter_mut().for_each(|entry| entry.place = Place::Missing);
    config.env.iter_mut().for_each(|entry| entry.place = Place::Missing);
    config.env_from.iter_mut().for_each(|entry| entry.place = Place::Missing);
    config.secrets.values_mut().for_each(|entry| entry.place = Place::Missing);
    config.volume.place = Place::Missing;
    config
}

/// What annotations alone say, read without going through arguments.
fn said(annotations: &[(&str, &str)], wraps: Wraps) -> Config {
    let pairs: Vec<(String, String)> =
        annotations.iter().map(|(key, value)| (format!("secret-exec.dev/{key}"), (*value).to_owned())).collect();
    let flags = [Flag::new("--set", "vault.address=https://v"), Flag::new("--set", "vault.auth.method=kubernetes")];
    let layers =
        Layers { environment: &[], annotations: Some(Annotations::Pairs(&pairs)), file: None, flags: &flags, wraps };
    without_places(resolve(&layers).unwrap_or_else(|mistakes| panic!("{mistakes:?}")))
}

#[test]
fn the_pod_reads_the_same_configuration() {
    let template = "a={{ secret('vault:secret/data/db').user }}\n\"$(X)\" $$ $$(Y) # = '\n\ttab\n";
    let config = "\
secrets: { db: { from: 'vault:database/creds/web', refresh: 1m }, a.from: 'vault:a#b' }
files:
  conf/db.env: { from: db, format: dotenv, mode: \"0440\" }
  a.template: 'vault:x#y'
  a.mode: { from: 'vault:x#z', decode: base64 }
  'e=q': 'vault:x#q'
  'quo\"te': { from: 'vault:x#\"$(K)', refresh: 10m }
  caf\u{e9}: vault:x#=
onChange: [ { http: 'http://127.0.0.1:9/a?b=c' }, { signal: HUP, process: nginx } ]
renewal: { at: 50%, handOver: 1m }
";
    let original = [
        ROLE,
        ("run-as", "1000:1000"),
        ("config", config),
        ("template.tmpl", template),
        ("refresh-aws", "2h"),
        ("timeout", "90s"),
        ("volume-size", "4Mi"),
    ];
    let read = without_places(reads(&injected(&pod(&original, app()))).unwrap());
    let said = said(&original, Wraps::Nothing);
    assert_eq!(read.files, said.files);
    assert_eq!(read.files.len(), 7);
    assert_eq!(
        (&read.secrets, &read.rotation.on_change, &read.rotation.renewal),
        (&said.secrets, &said.rotation.on_change, &said.rotation.renewal)
    );
    assert_eq!(
        (read.rotation.refresh, read.rotation.timeout, &read.app.run_as),
        (said.rotation.refresh, said.rotation.timeout, &said.app.run_as)
    );
    assert_eq!(read.volume.size, said.volume.size);
    assert_eq!(read.process.state.to_str(), Some("/run/secret-exec-state/own"));
    let auth = read.backends.vault.unwrap().auth.unwrap();
    assert!(
        matches!(auth, VaultAuth::Kubernetes { token_file, .. } if token_file.ends_with("secret-exec-identity/token"))
    );
}

#[test]
fn a_wrapped_app_reads_the_same_configuration() {
    let config = "\
env: { URL: { template: \"p://{{ secret('vault:x').user }}\" }, A.B: 'vault:x#y' }
envFrom: [ { from: 'vault:secret/data/app', prefix: APP_ } ]
passEnv: [ 'KEEP_*', LANG ]
";
    let original =
        [ROLE, ("mode", "supervise"), ("config", config), ("env.C", "aws-sm:prod/x"), ("on-change", "restart")];
    let command = json!({ "containers": [{ "name": "app", "command": ["/app", "--set", "$(X)"] }] });
    let read = without_places(reads(&injected(&pod(&original, command))).unwrap());
    let said = said(&original, Wraps::Command);
    assert_eq!((&read.env, &read.env_from, &read.app.pass_env), (&said.env, &said.env_from, &said.app.pass_env));
    assert!(read.app.supervise);
    assert_eq!(read.rotation.on_change, said.rotation.on_change);
}

#[test]
fn nothing_of_an_injected_pod_reads_annotations() {
    let command = json!({ "containers": [{ "name": "app", "command": ["/app"] }] });
    for mode in ["sidecar", "init", "exec", "supervise"] {
        let text = injected(&pod(&[FILE, ROLE, ("mode", mode)], command.clone()))["spec"].to_string();
        assert!(!text.contains("--annotations") && !text.contains("downwardAPI"), "{text}");
    }
}

#[test]
fn a_configuration_that_no_argument_holds_is_refused() {
    let long = "x".repeat(131_071);
    let text = inject(&pod(&[ROLE, ("template.a", &long)], app()), &crate::k8s::tests::injector("")).unwrap_err();
    assert!(
        text[0].starts_with("files.a.template has 131088 bytes, and one argument of a container holds"),
        "{text:?}"
    );
    // Two dollars for one are not counted: kubelet makes one of them.
    let dollars = "$".repeat(100_000);
    injected(&pod(&[ROLE, ("template.a", &dollars)], app()));
    // Each container that is wrapped carries all of it.
    let config = format!("env: {{ A: {{ template: '{0}' }}, B: {{ template: '{0}' }} }}", "$".repeat(100_000));
    let all = [ROLE, ("mode", "exec"), ("config", &config), ("containers", "a,b,c")];
    let wrapped = ["a", "b", "c"].map(|name| json!({ "name": name, "command": ["/app"] }));
    denied(
        &all,
        json!({ "containers": wrapped }),
        "in the arguments of this pod's containers; expected at most 1048576",
    );
}

#[test]
fn annotations_that_a_later_webhook_changes_are_admitted_again() {
    let mut patched = injected(&pod(&[FILE, ROLE], app()));
    patched["metadata"]["annotations"]["secret-exec.dev/file.more"] = json!("vault:secret/data/more#x");
    let again = injected(&patched);
    assert!(words(&injected_container(&again)["args"]).contains(&"more=vault:secret/data/more#x"));
    let command = json!({ "containers": [{ "name": "app", "command": ["/app", "--", "x"] }] });
    let mut patched = injected(&pod(&[ROLE, ("mode", "exec"), ("env.A", "vault:x#y")], command));
    patched["metadata"]["annotations"]["secret-exec.dev/env.B"] = json!("vault:x#z");
    let again = injected(&patched);
    let command = words(&again["spec"]["containers"][0]["command"]);
    assert!(command.contains(&"B=vault:x#z"));
    assert_eq!(&command[command.len() - 4..], ["--", "/app", "--", "x"]);
}

#[test]
fn a_variable_that_would_move_the_login_is_refused_in_a_wrapped_app() {
    for name in
        ["VAULT_ADDR", "SECRET_EXEC_VAULT_PROXY", "https_proxy", "AWS_ENDPOINT_URL_SECRETS_MANAGER", "SSL_CERT_FILE"]
    {
        let env = json!([{ "name": name, "value": "x" }]);
        let spec = json!({ "containers": [{ "name": "app", "command": ["/app"], "env": env }] });
        denied(&[ROLE, ("mode", "exec"), FILE], spec.clone(), &format!("container app: the variable {name} would say"));
        injected(&pod(&[FILE, ROLE], spec));
    }
    let env = json!([{ "name": "AWS_ROLE_ARN", "value": "x" }]);
    let spec = json!({ "containers": [{ "name": "app", "command": ["/app"], "env": env }] });
    injected(&pod(&[ROLE, ("mode", "exec"), FILE], spec));
}

#[test]
fn a_credentials_endpoint_that_is_not_aws_own_is_refused_in_every_mode() {
    let spec = |name: &str, value: serde_json::Value| {
        let mut variable = json!({ "name": name });
        variable.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        json!({ "containers": [{ "name": "app", "command": ["/app"], "env": [variable] }] })
    };
    const AWS: (&str, &str) = ("file.a", "aws-sm:a");
    let (full, relative) = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    for mode in ["exec", "supervise", "sidecar", "init"] {
        for (name, value) in [(full, "https://evil.example.com/"), (full, "http://$(HOST)/"), (relative, "@evil/")] {
            let expected =
                format!("container app: the variable {name} names no credentials endpoint of AWS's platforms");
            denied(&[("mode", mode), AWS], spec(name, json!({ "value": value })), &expected);
        }
        for (name, value) in [
            (full, json!({ "value": "http://169.254.170.23/v1/credentials" })),
            (full, json!({ "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } })),
            (relative, json!({ "value": "/v2/credentials/x" })),
        ] {
            injected(&pod(&[("mode", mode), AWS], spec(name, value)));
        }
    }
    // Where nothing of AWS is needed, the sidecar does not take it over.
    injected(&pod(&[ROLE, FILE], spec(full, json!({ "value": "https://other.example.com/" }))));
}

#[test]
fn nothing_that_runs_calls_out_or_reads_a_file_comes_by_annotation_in_any_mode() {
    let go = ("template-language", "go");
    let refused: [(&str, &str); 24] = [
        ("on-change", "run:/bin/sh"),
        ("on-change", "/bin/sh"),
        ("on-change", "http:http://evil.example.com/"),
        ("on-change", "http:https://127.0.0.1.evil.example.com/"),
        ("config", "onChange: [{ run: [/secret-exec, init, --set, vault.address=http://evil] }]"),
        ("config", "onChange: [{ http: \"http://evil.example.com/\", remote: true }]"),
        ("config", "onChange: [{ http: \"http://127.0.0.1/\", remote: true }]"),
        ("config", "onChange: { run: [/bin/sh] }"),
        ("file.a", "file:/run/secret-exec-identity/token"),
        ("secret.n", "file:/app/x"),
        ("template.a", "{{ secret('file:/app/x') }}"),
        ("config", "files: { a: \"file:/app/x\" }"),
        ("config", "files: { a: { from: \"file:/app/x\" } }"),
        ("config", "files: { a: { templateFile: /app/x } }"),
        ("config", "files: { a: { template: \"{{ secret('file:/app/x') }}\" } }"),
        ("config", "secrets: { n: { from: \"file:/app/x\" } }\nfiles: { a: n }"),
        ("vault-ca-file", "/app/x"),
        ("vault-ca-path", "/app"),
        ("config", "vault: { caFile: /app/x }"),
        ("config", "vault: { caPath: /app }"),
        ("vault-client-cert-file", "/app/x"),
        ("vault-auth-token-file", "/app/x"),
        ("config", "vault: { auth: { method: token-file, path: /app/x } }"),
        ("config", "vault: { auth: { method: approle, roleId: r, secretIdFile: /app/x } }"),
    ];
    let wrapped: [(&str, &str); 4] = [
        ("env.A", "file:/app/x"),
        ("config", "env: { A: { templateFile: /app/x } }"),
        ("config", "env: { A: { template: \"{{ secret('file:/app/x') }}\" } }"),
        ("config", "envFrom: [ { from: \"file:/app/x\" } ]"),
    ];
    // `secret` is of Vault there, whatever its path looks like.
    let in_go: [(&str, &str); 2] =
        [("template.a", "{{ file \"/app/x\" }}"), ("template.a", "{{ env \"VAULT_TOKEN\" }}")];
    let spec = json!({ "containers": [{ "name": "app", "image": "app:1", "command": ["/app"] }] });
    let base = ("file.base", "vault:secret/data/db#password");
    for mode in ["sidecar", "init", "exec", "supervise"] {
        let wraps = mode == "exec" || mode == "supervise";
        injected(&pod(&[ROLE, base, ("mode", mode)], spec.clone()));
        for (key, value) in refused.iter().chain(wrapped.iter().filter(|_| wraps)) {
            denied(
                &[ROLE, base, ("mode", mode), (key, value)],
                spec.clone(),
                &format!("annotation secret-exec.dev/{key}"),
            );
        }
        for (key, value) in in_go {
            let all = [ROLE, base, ("mode", mode), go, (key, value)];
            denied(&all, spec.clone(), &format!("annotation secret-exec.dev/{key}"));
        }
    }
}

#[test]
fn a_pod_of_another_operating_system_is_refused_however_it_says_so() {
    let affinity = |terms: Value| {
        let required = json!({ "nodeSelectorTerms": terms });
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } })
    };
    let term = |key: &str, operator: &str, values: Value| {
        json!({ "matchExpressions": [{ "key": "pool", "operator": "Exists" },
                                     { "key": key, "operator": operator, "values": values }] })
    };
    let os = "kubernetes.io/os";
    let windows = term(os, "In", json!(["windows"]));
    let windows_only = json!({ "hostProcess": false });
    for (more, expected) in [
        (json!({ "os": { "name": "windows" } }), Some("a pod for Windows")),
        (json!({ "nodeSelector": { os: "windows" } }), Some("a pod for Windows")),
        (json!({ "nodeSelector": { "beta.kubernetes.io/os": "windows" } }), Some("a pod for Windows")),
        (json!({ "nodeSelector": { "node.kubernetes.io/windows-build": "10.0.17763" } }), Some("a pod for Windows")),
        (json!({ "nodeSelector": { os: "freebsd" } }), Some("a pod for another operating system")),
        (json!({ "securityContext": { "windowsOptions": windows_only } }), Some("a pod for Windows")),
        (affinity(json!([windows])), Some("a pod for Windows")),
        (affinity(json!([term("node.kubernetes.io/windows-build", "Exists", json!(null))])), Some("a pod for Windows")),
        (affinity(json!([term(os, "NotIn", json!(["linux"]))])), Some("a pod for another operating system")),
        (affinity(json!([windows, term(os, "In", json!(["linux", "windows"]))])), None),
        (affinity(json!([windows, term(os, "Exists", json!(null))])), None),
        (affinity(json!([term(os, "NotIn", json!(["windows"]))])), None),
        (affinity(json!([])), None),
        (json!({ "os": { "name": "linux" }, "nodeSelector": { "node.kubernetes.io/windows-build": "1" } }), None),
        (json!({ "nodeSelector": { os: "linux" } }), None),
        (json!({ "securityContext": { "windowsOptions": {} } }), None),
    ] {
        let mut spec = app();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match expected {
            Some(expected) => denied(&[FILE, ROLE], spec, &format!("{expected}; secrets can be injected into Linux")),
            None => drop(injected(&pod(&[FILE, ROLE], spec))),
        }
    }
    let mut by_container = app();
    by_container["containers"][0]["securityContext"] = json!({ "windowsOptions": windows_only });
    denied(&[FILE, ROLE], by_container, "a pod for Windows");
}

#[test]
fn what_no_container_could_be_started_with_is_refused() {
    let expected = "files.b.template has a NUL character, which no argument of a process can have";
    denied_here(&[("template.b", "a\0b")], expected);
    denied_here(&[("config", "files: { b: { template: \"a\\0b\" } }")], expected);
    let long = "a".repeat(128 << 10);
    let expected =
        "annotation secret-exec.dev/template.b: the template has 131072 bytes, and one argument of a container";
    denied_here(&[("template.b", &long)], expected);
    denied_here(&[("template.b", &long), ("template-language", "go")], expected);
    let command = json!({ "containers": [{ "name": "app", "image": "app:1" }] });
    let said = [ROLE, FILE, ("mode", "exec"), ("command.app", "[\"/app\", \"a\\u0000b\"]")];
    denied(&said, command, "a has a NUL character");
    denied_here(&[FILE, ("volume", "/a:b")], "the directory /a:b of the files has a \":\"");
    denied_here(&[FILE, ("mode", "init"), ("volume", "/a:b")], "which Kubernetes refuses in a mountPath");
}

#[test]
fn files_are_not_mounted_over_what_the_pod_needs() {
    for path in
        ["/proc/self", "/sys", "/dev/shm", "/etc", "/run/secret-exec-state/own", "/var/run/secrets/eks.amazonaws.com"]
    {
        for mode in ["sidecar", "init"] {
            let expected = format!("annotation secret-exec.dev/volume: {path} is ");
            denied_here(&[FILE, ("mode", mode), ("volume", path)], &expected);
            let config = format!("volume: {{ path: {path} }}");
            denied_here(&[FILE, ("mode", mode), ("config", &config)], &expected);
        }
    }
    injected(&pod(&[FILE, ROLE, ("volume", "/etc/app")], app()));
}

/// A user that the app is not owns the files, or the app cannot become it: it would learn that when it runs.
#[test]
fn a_user_that_the_app_is_not_is_refused() {
    let spec = |pod: Value, container: Value| {
        json!({ "securityContext": pod,
                "containers": [{ "name": "app", "command": ["/app"], "securityContext": container }] })
    };
    const RUN_AS: (&str, &str) = ("run-as", "1000:1000");
    let other = || json!({ "runAsUser": 2000 });
    for (mode, why) in
        [("sidecar", "could not read the files"), ("init", "could not"), ("exec", "cannot become another")]
    {
        let expected = format!(
            "annotation secret-exec.dev/run-as: container app runs as user 2000 (securityContext.runAsUser) and {why}"
        );
        let annotations = [FILE, ROLE, RUN_AS, ("mode", mode)];
        denied(&annotations, spec(json!({}), other()), &expected);
        denied(&annotations, spec(other(), json!({})), &expected);
        for (pod_says, container) in
            [(json!({}), json!({})), (other(), json!({ "runAsUser": 1000 })), (json!({}), json!({ "runAsUser": 0 }))]
        {
            injected(&pod(&annotations, spec(pod_says, container)));
        }
    }
    let shared = json!({ "runAsUser": 2000, "runAsGroup": 1000 });
    denied(&[FILE, ROLE, RUN_AS], spec(json!({}), shared.clone()), "could not read the files");
    let for_group = ("config", "files: { a: { from: \"vault:x#y\", mode: \"0440\" } }");
    injected(&pod(&[for_group, ROLE, RUN_AS], spec(json!({}), shared)));
}

#[test]
fn a_pod_that_may_not_end_as_expected_gets_a_warning() {
    let warnings = |annotations: &[(&str, &str)], more: Value| {
        let mut spec = app();
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let warnings = inject(&pod(annotations, spec), &crate::k8s::tests::injector("")).unwrap().warnings;
        assert!(warnings.iter().all(|text| text.len() <= 250), "{warnings:?}");
        warnings.join("\n")
    };
    let never =
        "restartPolicy OnFailure without activeDeadlineSeconds: a secret that cannot be fetched never fails this pod";
    for mode in ["sidecar", "init"] {
        let said = warnings(&[FILE, ROLE, ("mode", mode)], json!({ "restartPolicy": "OnFailure" }));
        assert!(said.starts_with(never), "{said}");
    }
    let said = warnings(&[FILE, ROLE], json!({ "restartPolicy": "Never" }));
    assert!(
        said.starts_with("restartPolicy Never without activeDeadlineSeconds: a secret that cannot be fetched fails")
    );
    let too_long = "annotation secret-exec.dev/revoke-delay: 60 s is not less than terminationGracePeriodSeconds (30)";
    let delay = ("revoke-delay", "1m");
    for grace in [json!({}), json!({ "terminationGracePeriodSeconds": 30 })] {
        let said = warnings(&[FILE, ROLE, delay], grace);
        assert!(said.starts_with(too_long), "{said}");
    }
    for (annotations, spec) in [
        (&[FILE, ROLE, delay][..], json!({ "terminationGracePeriodSeconds": 61 })),
        (&[FILE, ROLE, ("revoke-delay", "29s")], json!({})),
        (&[FILE, ROLE], json!({ "restartPolicy": "OnFailure", "activeDeadlineSeconds": 600 })),
        (&[FILE, ROLE], json!({ "restartPolicy": "Never", "activeDeadlineSeconds": 600 })),
        (&[FILE, ROLE, ("mode", "init")], json!({ "restartPolicy": "Never" })),
        (&[FILE, ROLE, ("mode", "exec"), ("command.app", "[\"/app\"]")], json!({ "restartPolicy": "Never" })),
        (&[FILE, ROLE], json!({ "terminationGracePeriodSeconds": 0 })),
    ] {
        assert_eq!(warnings(annotations, spec.clone()), "", "{spec}");
    }
}

/// A PodMonitor names the port; on loopback nobody would reach it.
#[test]
fn the_port_of_the_metrics_has_a_name() {
    let ports = |annotations: &[(&str, &str)], operator: &str| {
        let operator = crate::k8s::tests::injector(operator);
        let patched = crate::k8s::tests::injected_by(&pod(&[&[FILE, ROLE], annotations].concat(), app()), &operator);
        ["initContainers", "containers"]
            .map(|list| patched["spec"][list].as_array().unwrap().clone())
            .concat()
            .iter()
            .filter_map(|container| container.get("ports").cloned())
            .collect::<Vec<_>>()
    };
    let named = json!([{ "name": "secret-exec", "containerPort": 9102, "protocol": "TCP" }]);
    for operator in ["nativeSidecar: true\n", "nativeSidecar: false\n"] {
        for address in ["0.0.0.0:9102", "[::]:9102"] {
            assert_eq!(ports(&[("metrics", address)], operator), std::slice::from_ref(&named), "{operator}");
        }
        for address in ["127.0.0.1:9102", "localhost:9102", "[::1]:9102", "0.0.0.0:0"] {
            assert!(ports(&[("metrics", address)], operator).is_empty(), "{address}");
        }
    }
    assert!(ports(&[], "").is_empty());
    // Metrics that another webhook's annotation asks for later.
    let mut later = injected(&pod(&[FILE, ROLE], app()));
    later["metadata"]["annotations"]["secret-exec.dev/metrics"] = json!("0.0.0.0:9102");
    assert_eq!(injected_container(&injected(&later))["ports"], named);
}

#[test]
fn an_address_that_nobody_named_is_the_operators_to_set() {
    let operator = crate::config::Injector::parse(crate::config::Text { name: "i", text: "image: x\n" }).unwrap();
    let text = crate::k8s::tests::denied_by(&pod(&[FILE, ROLE], app()), &operator);
    let expected = "vault.address is missing, and annotation secret-exec.dev/file.db needs it; the operator sets it in the \
                    injector's config, or lists it in allowAddresses there for secret-exec.dev/vault-address";
    assert_eq!(text, expected);
}
