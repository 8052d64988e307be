//! What a pod may wish: which words are refused, with which sentence, and which words count later in the pod.

use serde_json::{Value, json};

use crate::config::{Annotations, Ca, Config, Flag, Injector, Layers, Mistake, Text, VaultAuth, Wraps, resolve};
use crate::k8s::inject::inject;
use crate::k8s::tests::{FILE, ROLE, app, denied, injected, injected_by, ours, pod, words};

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
    // Only Secrets Manager is asked, whatever the text around says: no login to Vault, no token.
    let aws = injected(&pod(&[("template.a", "# vault: none\n{{ secret('aws-sm:prod/db').user }}")], app()));
    assert!(!words(&ours(&aws)["args"]).iter().any(|word| word.starts_with("vault.auth.")));
    let text = denied_text(&[("template.a", "{{ secret('vault:secret/data/db').user }}")]).join("\n");
    assert!(text.contains("say it with secret-exec.dev/vault-role"), "{text}");
    denied_here(&[("template.a", "{{ secret('file:/etc/x') }}")], "sees no volume of the app's");
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
        ("supervise", &[("revoke-delay", "1s")]),
        ("sidecar", &[("scrub-aws", "true"), ("inherit", "none"), ("config", "passEnv: [VAULT_ADDR]")]),
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

#[test]
fn processes_of_the_node_are_never_signalled() {
    let mut spec = app();
    spec["hostPID"] = json!(true);
    let signal = [FILE, ROLE, ("on-change", "signal:HUP@nginx"), ("run-as", "1000:1000")];
    denied(&signal, spec.clone(), "which Kubernetes refuses beside hostPID");
    injected(&pod(&[FILE, ROLE], spec));
}

/// What our container, or the wrapped command, makes of its arguments and of the annotations as they are then.
fn reads(patched: &Value, annotations: &[(&str, &str)]) -> Result<Config, Vec<Mistake>> {
    let command = &patched["spec"]["containers"][0]["command"];
    let (arguments, wraps) = match command.is_array() {
        true => (words(command), Wraps::Command),
        false => (words(&ours(patched)["args"]), Wraps::Nothing),
    };
    let mut flags = Vec::new();
    let mut rest = arguments[1..].iter();
    while let Some(name) = rest.next() {
        match *name {
            "--" => break,
            "--annotations" => assert_eq!(rest.next(), Some(&"/run/secret-exec-identity/annotations")),
            "--pinned" | "--supervise" => flags.push(Flag::new(*name, "")),
            name => flags.push(Flag::new(name, rest.next().unwrap().replace("$$", "$"))),
        }
    }
    // As the downward API writes them; Go's %q and Rust's {:?} agree on these.
    let file: String = annotations.iter().map(|(key, value)| format!("secret-exec.dev/{key}={value:?}\n")).collect();
    resolve(&Layers {
        environment: &[("SECRET_EXEC_STATE".to_owned(), "/run/secret-exec-state/own".to_owned())],
        annotations: Some(Annotations::File(Text { name: "annotations", text: &file })),
        file: None,
        flags: &flags,
        wraps,
    })
}

/// The pod reads with its own annotations and flags what was decided at admission.
#[test]
fn the_pod_reads_the_same_configuration() {
    let asked = [
        FILE,
        ROLE,
        ("volume", "/etc/app"),
        ("template.conf", "a={{ secret('vault:secret/data/db').user }}\n\"$(X)\""),
    ];
    let config = reads(&injected(&pod(&asked, app())), &asked).unwrap();
    assert_eq!(config.volume.path.to_str(), Some("/run/secret-exec/files"));
    assert_eq!(config.state.to_str(), Some("/run/secret-exec-state/own"));
    assert_eq!(config.files.len(), 2);
    let auth = config.vault.unwrap().auth.unwrap();
    assert!(
        matches!(auth, VaultAuth::Kubernetes { token_file, .. } if token_file.ends_with("secret-exec-identity/token"))
    );
}

/// What an editor of annotations may try, each in the place of nothing and of the same key.
const EDITS: [&[(&str, &str)]; 6] = [
    &[("vault-address", "https://evil.example.com"), ("vault-namespace", "evil"), ("vault-role", "evil")],
    &[("vault-auth-method", "token-file"), ("vault-auth-path", "/run/secret-exec-state/own/x")],
    &[("vault-auth-mount", "evil"), ("vault-auth-audience", "evil"), ("vault-auth-token-file", "/x")],
    &[(
        "config",
        "vault: { address: \"https://evil.example.com\", ca: \"CERT\", auth: { method: jwt, role: evil, tokenFile: /x } }",
    )],
    &[("vault-ca", "CERT"), ("aws-region", "us-evil-1"), ("aws-assume-role", "arn:aws:iam::666666666666:role/evil")],
    &[("vault-ca-file", "/run/secret-exec/files/evil.pem")],
];

#[test]
fn an_annotation_edited_later_does_not_move_the_login() {
    let ca = rcgen::generate_simple_self_signed(["evil.example.com".to_owned()]).unwrap().cert.pem();
    let elsewhere = "image: i:1\nallowAddresses: [\"https://v.example.com\"]\n";
    let elsewhere = Injector::parse(Text { name: "i.yaml", text: elsewhere }).unwrap();
    let vault = crate::k8s::tests::injector("");
    let command = json!({ "containers": [{ "name": "app", "command": ["/app"] }] });
    let address = ("vault-address", "https://v.example.com");
    for (injector, asked, spec) in [
        (&vault, vec![FILE, ROLE], app()),
        (&vault, vec![FILE, ROLE, ("mode", "exec")], command),
        (&elsewhere, vec![FILE, ROLE, address, ("vault-namespace", "team"), ("aws-region", "eu-west-1")], app()),
        (&elsewhere, vec![FILE, ROLE, address, ("vault-ca", &ca)], app()),
    ] {
        let patched = injected_by(&pod(&asked, spec), injector);
        let admitted = reads(&patched, &asked).unwrap();
        for edits in EDITS {
            let cert = |key: &str| if key == "config" { ca.replace('\n', "\\n") } else { ca.clone() };
            let edits: Vec<(&str, String)> =
                edits.iter().map(|(key, value)| (*key, value.replace("CERT", &cert(key)))).collect();
            let mut later = asked.clone();
            later.retain(|(key, _)| edits.iter().all(|(edited, _)| edited != key));
            later.extend(edits.iter().map(|(key, value)| (*key, value.as_str())));
            let read = reads(&patched, &later).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
            assert_eq!((&read.vault, &read.aws), (&admitted.vault, &admitted.aws), "{later:?}");
        }
        if asked.iter().any(|(key, _)| *key == "vault-ca") {
            assert!(matches!(admitted.vault.unwrap().ca, Some(Ca::Pem(_))));
        }
    }
}

#[test]
fn a_pod_without_a_login_gets_none_by_an_annotation_edited_later() {
    let aws = Injector::parse(Text { name: "i.yaml", text: "image: i:1\n" }).unwrap();
    let asked = ("file.db", "aws-sm:prod/db");
    let patched = injected_by(&pod(&[asked], app()), &aws);
    reads(&patched, &[asked]).unwrap();
    let later = [asked, FILE, ROLE, ("vault-address", "https://evil.example.com"), ("vault-auth-method", "kubernetes")];
    let mistakes = reads(&patched, &[&later[..1], &[("file.x", "vault:x#y")], &later[2..]].concat()).unwrap_err();
    assert!(mistakes.iter().any(|mistake| mistake.text.contains("vault.address is missing")), "{mistakes:?}");
    assert!(mistakes.iter().any(|mistake| mistake.text.contains("vault.auth is missing")), "{mistakes:?}");
}
