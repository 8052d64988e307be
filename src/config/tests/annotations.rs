//! Pod annotations, from the pod and from a downward-API file.

use super::*;

fn annotated<'a>(annotations: &'a [(&'a str, &'a str)]) -> Given<'a> {
    Given { annotations: Some(annotations), file: Some(VAULT), ..Given::default() }
}

fn parsed(text: &str) -> Result<Vec<(String, String)>, Vec<String>> {
    module::parse_downward_api(Text { name: "annotations", text })
        .map_err(|mistakes| mistakes.iter().map(|mistake| mistake.place.to_string()).collect())
}

use crate::config::annotations as module;

#[test]
fn short_forms_stand_for_keys() {
    let config = annotated(&[
        ("kubernetes.io/anything", "vault:/not ours"),
        ("secret-exec.dev/inject", "true"),
        ("secret-exec.dev/mode", "sidecar"),
        ("secret-exec.dev/containers", "app"),
        ("secret-exec.dev/resources", "{}"),
        ("secret-exec.dev/command.app", "[\"x\"]"),
        ("secret-exec.dev/file.api.token", "vault:secret/data/api#token"),
        ("secret-exec.dev/file.db", "db"),
        ("secret-exec.dev/format.db", "dotenv"),
        ("secret-exec.dev/secret.db", "vault:database/creds/web"),
        ("secret-exec.dev/template.conf", "u={{ secret('db').username }}\n"),
        ("secret-exec.dev/env.A", "db#username"),
        ("secret-exec.dev/aws-assume-role", "arn:aws:iam::123456789012:role/reader"),
        ("secret-exec.dev/vault-namespace", "team-b"),
        ("secret-exec.dev/run-as", "1000:1000"),
        ("secret-exec.dev/on-change", "signal:HUP@nginx"),
        ("secret-exec.dev/volume", "/run/v"),
        ("secret-exec.dev/timeout", "5s"),
        ("secret-exec.dev/log-level", "debug"),
        ("secret-exec.dev/config", "files:\n  a/b: { from: db, format: json }\ntimeout: 1m\n"),
    ])
    .config();
    let names: Vec<_> = config.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a/b", "api.token", "db", "conf"]);
    assert_eq!(config.files[0].place.to_string(), "annotation secret-exec.dev/config:2");
    assert_eq!(config.files[1].place.to_string(), "annotation secret-exec.dev/file.api.token");
    assert!(matches!(&config.files[2].content, Content::Secret { format: Some(Format::Dotenv), .. }));
    assert_eq!(config.rotation.timeout.as_secs(), 5);
    assert_eq!(config.backends.vault.unwrap().namespace.as_deref(), Some("team-b"));
    assert_eq!(config.volume.path.to_str(), Some("/run/v"));
    assert_eq!(config.rotation.on_change.len(), 1);
    assert!(config.backends.aws.assume_role.is_some());
}

#[test]
fn the_role_is_the_pods_and_the_rest_the_operators() {
    let given = Given {
        annotations: Some(&[("secret-exec.dev/vault-role", "web"), ("secret-exec.dev/file.a", "vault:x")]),
        flags: &[("--set", "vault.address=https://v"), ("--set", "vault.auth.method=kubernetes")],
        ..Given::default()
    };
    let auth = given.config().backends.vault.unwrap().auth.unwrap();
    assert!(matches!(auth, VaultAuth::Kubernetes { role, .. } if role == "web"));
}

#[test]
fn some_keys_are_never_an_annotations() {
    for key in [
        "vault-skip-verify",
        "vault-proxy",
        "vault-tls-server-name",
        "vault-allow-insecure",
        "local",
        "proxy",
        "sandbox",
    ] {
        let key = format!("secret-exec.dev/{key}");
        let mistake = annotated(&[(&key, "x")]).mistake();
        assert!(mistake.starts_with(&format!("annotation {key}: ")), "{mistake}");
        assert!(mistake.ends_with("is the operator's to set, never an annotation's"), "{mistake}");
    }
    let text = "vault:\n  skipVerify: true\n  allowInsecure: true\n  proxy: http://x\n  tlsServerName: x\nlocal: x\n";
    let mistakes = annotated(&[("secret-exec.dev/config", text)]).mistakes();
    assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
    assert_eq!(
        mistakes[0],
        "annotation secret-exec.dev/config:2: vault.skipVerify: is the operator's to set, never an annotation's"
    );
}

#[test]
fn an_unknown_annotation_is_a_mistake_with_the_nearest_name() {
    for (key, meant) in [
        ("runas", "run-as"),
        ("files.db", "file.db"),
        ("vault.role", "vault-role"),
        ("file", "file.NAME"),
        ("file.", "file.NAME"),
        ("comand.app", "command.app"),
        ("vault-adress", "vault-address"),
        ("injekt", "inject"),
    ] {
        let key = format!("secret-exec.dev/{key}");
        let expected = format!("annotation {key}: unknown annotation; did you mean secret-exec.dev/{meant}?");
        let found = annotated(&[(&key, "x")]).mistake();
        assert!(found == expected || key.ends_with("vault.role"), "{found}");
    }
    assert!(annotated(&[("secret-exec.dev/qqqqqq", "x")]).mistake().contains("expected secret-exec.dev/file.NAME"));
}

#[test]
fn two_annotations_do_not_say_the_same() {
    let template = annotated(&[("secret-exec.dev/file.a", "file:/x"), ("secret-exec.dev/template.a", "y")]);
    assert_eq!(
        template.mistake(),
        "annotation secret-exec.dev/template.a: cannot stand together with secret-exec.dev/file.a"
    );
    let role = annotated(&[("secret-exec.dev/vault-role", "a"), ("secret-exec.dev/vault-auth-role", "b")]);
    assert!(role.mistake().contains("cannot stand together"));
    for (short, long, value, other) in [
        ("volume", "volume-path", "/run/a", "/run/b"),
        ("refresh", "refresh-vault", "5m", "6m"),
        ("aws-assume-role", "aws-assume-role-arn", "arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b"),
    ] {
        let (short, long) = (format!("secret-exec.dev/{short}"), format!("secret-exec.dev/{long}"));
        let both = [(short.as_str(), value), (&long, other), ("secret-exec.dev/refresh-aws", "1h")];
        let given = Given { annotations: Some(&both), ..Given::default() };
        assert_eq!(given.mistake(), format!("annotation {long}: cannot stand together with {short}"));
    }
    assert!(annotated(&[("secret-exec.dev/format.a", "json")]).mistake().contains("nothing says what the file holds"));
}

#[test]
fn admission_can_check_annotations_alone() {
    assert_eq!(module::check([("secret-exec.dev/file.a", "vault:x"), ("other", "y")]), []);
    let mistakes = module::check([("secret-exec.dev/timeout", "5"), ("secret-exec.dev/config", "a: [")]);
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
}

#[test]
fn a_downward_api_file_is_read_as_go_wrote_it() {
    let text = concat!(
        "kubernetes.io/config.seen=\"2024-01-01T00:00:00Z\"\n",
        "secret-exec.dev/config=\"files:\\n  a: \\\"file:/x\\\"\\n\"\n",
        "x=\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\\x41\\u00fc\\U0001f600ü\\x7f\"\n",
        "bytes=\"\\xc3\\xbc\"\n",
        "empty=\"\""
    );
    let pairs = parsed(text).unwrap();
    let value = |key: &str| pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str()).unwrap();
    assert_eq!(value("secret-exec.dev/config"), "files:\n  a: \"file:/x\"\n");
    assert_eq!(value("x"), "\u{7}\u{8}\u{c}\n\r\t\u{b}\\\"Aü😀ü\u{7f}");
    assert_eq!((value("bytes"), value("empty")), ("ü", ""));
    assert_eq!(parsed(""), Ok(vec![]));
    // As an editor on Windows writes it.
    let pairs = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2\r".to_owned())];
    assert_eq!(parsed("\u{feff}a=\"1\"\r\nb=\"2\\r\"\r\n"), Ok(pairs.to_vec()));
}

#[test]
fn a_downward_api_file_that_is_not_one_is_refused() {
    for bad in [
        "x",
        "x=y",
        "=\"y\"",
        "x=\"y",
        "x=\"",
        "x=y\"",
        "x=\"y\"z",
        "x=\"y\" ",
        "x=\"a\"b\"",
        "x=\"\\\"",
        "x=\"\\q\"",
        "x=\"\\x4\"",
        "x=\"\\xff\"",
        "x=\"\\x+1\"",
        "x=\"\\ud800\"",
        "x=\"\\u12\"",
        "x=\"\\U00110000\"",
        "x=\"\\ü\"",
        "x=\"a\tb\"",
    ] {
        assert_eq!(parsed(&format!("ok=\"1\"\n{bad}\n")), Err(vec!["annotations:2".to_owned()]), "{bad}");
    }
    assert_eq!(parsed("a=\"1\"\na=\"2\"\n"), Err(vec!["annotations:2".to_owned()]));
}

#[test]
fn a_broken_file_of_annotations_hides_what_seems_missing() {
    let layers = Layers {
        environment: &[],
        annotations: Some(Annotations::File(Text { name: "annotations", text: "x=canary" })),
        file: Some(Text { name: "c.yaml", text: "files: { a: vault:x }" }),
        flags: &[],
        wraps: Wraps::Nothing,
    };
    let mistakes = resolve(&layers).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(!format!("{layers:?} {mistakes:?}").contains("canary"));
}

#[test]
fn an_option_behind_the_reference_of_an_annotation_is_told_its_annotation() {
    for (key, value, expected) in [
        (
            "secret-exec.dev/file.x",
            "vault:secret/data/app#k,format=dotenv",
            "format=dotenv is no part of a reference; say it in secret-exec.dev/format.x: dotenv",
        ),
        ("secret-exec.dev/file.x", "vault:secret/data/app#k, format=dotenv", "secret-exec.dev/format.x: dotenv"),
        ("secret-exec.dev/file.x", "vault:secret/data/app#k,dotenv", "secret-exec.dev/format.x: dotenv"),
        (
            "secret-exec.dev/file.x",
            "vault:secret/data/app#k,mode=0440",
            "say it in secret-exec.dev/config, as files: { x: { from: REF, mode: \"0440\" } }",
        ),
        (
            "secret-exec.dev/env.X",
            "vault:secret/data/app#k,format=json",
            "say it in secret-exec.dev/config, as env: { X: { from: REF, format: json } }",
        ),
        ("secret-exec.dev/config", "files: { x: 'vault:a/b#k,mode=0440' }", "write { from: REF, mode: \"0440\" }"),
    ] {
        let annotations = [(key, value)];
        let given = Given { annotations: Some(&annotations), file: Some(VAULT), ..Given::default() };
        let mistake = given.mistake();
        assert!(mistake.starts_with(&format!("annotation {key}")) && mistake.contains(expected), "{mistake}");
    }
}
