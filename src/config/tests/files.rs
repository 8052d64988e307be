//! The config file alone.

use std::time::Duration;

use super::*;

#[test]
fn a_name_that_promises_another_format_than_json_is_doubted() {
    for (name, content, format) in [
        ("db.env", "vault:database/creds/web", Some("dotenv")),
        (".env", "vault:database/creds/web", Some("dotenv")),
        ("web/.env.production", "{ from: db }", Some("dotenv")),
        ("app.properties", "vault:database/creds/web", Some("properties")),
        ("app.properties", "{ from: db, format: json }", None),
        ("db.env", "{ from: db, format: dotenv }", None),
        ("db.env", "vault:secret/data/files#env", None),
        ("db.env", "aws-sm:prod/env", None),
        ("db.env", "{ template: \"A={{ secret('db').user }}\" }", None),
        ("db.json", "{ from: db }", None),
        ("environment", "{ from: db }", None),
        ("env", "{ from: db }", None),
    ] {
        let config = file(&format!(
            "vault: {{ address: https://v, auth: {{ method: kubernetes, role: web }} }}\naws: {{ region: eu-west-1 }}\n\
             secrets: {{ db: vault:database/creds/web }}\nfiles:\n  {name}: {content}\n"
        ))
        .config();
        let doubt = config.files[0].doubt();
        let is_doubted =
            |format: &str| doubt.as_ref().is_some_and(|text| text.contains(&format!("set format {format} for")));
        assert_eq!(format.is_some(), doubt.is_some(), "{name}: {content}: {doubt:?}");
        assert!(format.is_none_or(is_doubted), "{name}: {content}: {doubt:?}");
    }
}

#[test]
fn the_readme_example_is_a_configuration() {
    let config = file(EXAMPLE).config();
    let vault = config.backends.vault.unwrap();
    assert_eq!(vault.address, "https://vault.example.com:8200");
    assert_eq!(vault.namespace.as_deref(), Some("team-a"));
    assert_eq!(vault.ca, Some(Ca::Pem("-----BEGIN CERTIFICATE-----\n".into())));
    assert_eq!(
        vault.auth,
        Some(VaultAuth::Kubernetes {
            role: "web".into(),
            mount: "kubernetes".into(),
            token_file: "/var/run/secrets/kubernetes.io/serviceaccount/token".into(),
            audience: "vault".into(),
        })
    );
    assert_eq!(config.backends.aws.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.backends.aws.assume_role.unwrap().arn, "arn:aws:iam::123456789012:role/reader");
    assert_eq!(config.volume.size, 8 << 20);
    assert_eq!(config.secrets["db"].reference.to_string(), "vault:database/creds/web");
    let names: Vec<_> = config.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["api-token", "db.env", "keystore", "app.conf"]);
    let db = &config.files[1];
    assert_eq!((db.mode.unwrap().bits(), db.place.to_string()), (0o440, "c.yaml:15".to_owned()));
    let Content::Secret { reference, format, .. } = &db.content else { panic!("not a secret") };
    assert_eq!((reference.to_string(), *format), ("vault:database/creds/web".to_owned(), Some(Format::Dotenv)));
    assert_eq!(config.env.len(), 2);
    assert_eq!(config.env_from[0].prefix, "APP_");
    assert_eq!(config.rotation.on_change, [Action::Signal { number: 1, process: None }]);
    assert_eq!(config.rotation.refresh, Refresh { vault: Duration::from_secs(300), aws: Duration::from_secs(3600) });
    assert_eq!(config.app.run_as.unwrap().to_string(), "1000:1000");
}

#[test]
fn nothing_at_all_is_the_defaults() {
    for text in ["", "files:\n", "vault: {}\n", "onChange:\n"] {
        let config = file(text).config();
        assert_eq!(config.backends.vault, None);
        assert_eq!(config.volume.path.to_str(), Some("/run/secret-exec/files"));
        assert_eq!(config.volume.size, 8 << 20);
        assert_eq!(config.process.state.to_str(), Some("/run/secret-exec-state"));
        assert_eq!(config.rotation.timeout, Duration::from_secs(60));
        assert_eq!((config.process.log_format, config.process.log_level), (LogFormat::Text, LogLevel::Info));
        assert_eq!(config.rotation.on_expired, OnExpired::Keep);
        assert!(config.rotation.on_change.is_empty() && !config.app.supervise && config.app.run_as.is_none());
    }
}

#[test]
fn all_mistakes_come_at_once_with_their_lines() {
    let text = r#"vualt: x
vault:
  address: https://vault/v1
  auth: { method: kubernetes, rol: web, mount: auth/kubernetes, path: /x }
volume: { path: /, size: 8MB }
files:
  a: { from: "vault:secret/data/a#k", mode: 0440 }
  b: vault:/secret
  c: { from: "vault:x", template: "y" }
  ../d: vault:x
env:
  "A=B": vault:x
runAs: "4294967296"
timeout: 60
onChange: [ { signal: HUPP } ]
passEnv: VAULT_*
supervise: yes
"#;
    let mistakes = file(text).mistakes();
    let expected = [
        (1, "unknown key \"vualt\"; did you mean \"vault\"?"),
        (3, "vault.address: expected the address without /v1, which is not part of it"),
        (4, "unknown key \"path\" in vault.auth with method kubernetes; expected role, mount, tokenFile, audience"),
        (4, "unknown key \"rol\" in vault.auth; did you mean \"role\"?"),
        (4, "vault.auth.mount: give the mount without \"auth/\", such as kubernetes"),
        (5, "volume.path: must not be the root directory"),
        (5, "volume.size: expected a size, such as 8Mi, 512Ki, 1Gi or a number of bytes"),
        (
            7,
            "files.a.mode: a bare number is read differently by different YAML readers; expected quotes: mode: \"0440\"",
        ),
        (8, "files.b: the path has a \"/\" at its start; leave it out"),
        (9, "files.c.template: cannot stand together with from"),
        (10, "files.\"../d\": cannot have a component that is empty, \".\" or \"..\""),
        (12, "env.A=B: an environment name cannot hold \"=\""),
        (13, "runAs: the user \"4294967296\" is above 4294967294"),
        (
            14,
            "timeout: a number without a unit; expected a duration with its unit, such as 500ms, 60s, 5m, 1h30m or 1d",
        ),
        (15, "onChange[0].signal: expected a signal, such as HUP, SIGUSR1, RTMIN+3 or a number from 1 to 64"),
        (16, "passEnv: expected a list, found a single value"),
        (17, "supervise: expected true or false"),
    ];
    let mut expected: Vec<String> = expected.iter().map(|(line, text)| format!("c.yaml:{line}: {text}")).collect();
    let mut found = mistakes;
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn what_was_misspelt_is_not_missing_too() {
    for text in [
        "vault: { address: \"https://v\", auth: { method: kubernetes, rol: web } }\nfiles: { a: vault:x }",
        "vualt: { address: \"https://v\", auth: { method: kubernetes, role: web } }\nfiles: { a: vault:x }",
        "vault: { adress: \"https://v\", auth: { method: kubernetes, role: web } }\nfiles: { a: vault:x }",
        "files: { a: { form: \"file:/x\" } }",
    ] {
        assert!(file(text).mistake().contains("; did you mean"), "{}", file(text).mistake());
    }
}

#[test]
fn broken_yaml_is_the_only_mistake() {
    let text = "files:\n  a: vault:x#y\n bad\n";
    assert!(file(text).mistake().starts_with("c.yaml:3: broken YAML at column "), "{}", file(text).mistake());
}

#[test]
fn a_vault_reference_needs_an_address_and_a_login() {
    let mistakes = file("files: { a: vault:secret/data/a#k }").mistakes();
    assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    assert!(mistakes[0].starts_with("config: vault.address is missing, and c.yaml:1 needs it"), "{mistakes:?}");
    assert!(mistakes[1].starts_with("config: vault.auth is missing, and c.yaml:1 needs it"), "{mistakes:?}");
    assert!(file("files: { a: aws-sm:a }").config().backends.vault.is_none());
    let local = Given { flags: &[("--local", "l.yaml")], ..file("files: { a: vault:secret/data/a#k }") };
    assert_eq!(local.config().backends.local.unwrap().to_str(), Some("l.yaml"));
}

#[test]
fn a_template_may_need_vault() {
    let config = file(&format!("{VAULT}files: {{ a: {{ template: x }} }}")).config();
    assert!(config.backends.vault.unwrap().auth.is_some());
    assert!(file("files: { a: { template: x } }").config().backends.vault.is_none());
    assert!(file(VAULT).config().backends.vault.is_none());
}

#[test]
fn every_method_has_its_own_fields() {
    let auth = |fields: &str| {
        let text = format!("vault: {{ address: \"https://v\", auth: {{ {fields} }} }}\nfiles: {{ a: vault:a }}\n");
        let result = file(&text).resolve();
        result.map(|config| config.backends.vault.unwrap().auth.unwrap()).map_err(|mut mistakes| {
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            mistakes.remove(0)
        })
    };
    assert_eq!(
        auth("method: jwt, role: r, tokenFile: /t"),
        Ok(VaultAuth::Jwt { role: "r".into(), mount: "jwt".into(), token_file: "/t".into(), audience: None })
    );
    assert_eq!(
        auth("method: approle, roleId: 007, secretIdFile: /s, secretIdWrapped: true, mount: team/approle"),
        Ok(VaultAuth::AppRole {
            mount: "team/approle".into(),
            role_id: RoleId::Text("007".into()),
            secret_id_file: Some("/s".into()),
            secret_id_wrapped: true,
        })
    );
    assert_eq!(
        auth("method: aws, role: r, serverId: vault.example.com, region: us-east-1"),
        Ok(VaultAuth::Aws {
            role: "r".into(),
            mount: "aws".into(),
            server_id: Some("vault.example.com".into()),
            region: Some("us-east-1".into()),
        })
    );
    assert_eq!(
        auth("method: cert, certFile: /c, keyFile: /k"),
        Ok(VaultAuth::Cert { mount: "cert".into(), role: None, cert_file: "/c".into(), key_file: "/k".into() })
    );
    assert_eq!(auth("method: token-file, path: /t"), Ok(VaultAuth::TokenFile { path: "/t".into() }));
    for (fields, text) in [
        ("method: jwt, role: r", "vault.auth.tokenFile: is missing; expected a path"),
        ("method: approle", "vault.auth: expected one of roleId or roleIdFile"),
        ("method: approle, roleId: a, roleIdFile: /b", "vault.auth.roleIdFile: cannot stand together with roleId"),
        (
            "method: approle, roleId: a, secretIdWrapped: true",
            "vault.auth.secretIdWrapped: needs secretIdFile, the file with the response-wrapping token",
        ),
        (
            "method: token-file, path: /t, role: r",
            "unknown key \"role\" in vault.auth with method token-file; expected path",
        ),
        ("role: r", "vault.auth.method: is missing; expected kubernetes, jwt, approle, aws, cert or token-file"),
        ("method: k8s, role: r", "vault.auth.method: expected kubernetes, jwt, approle, aws, cert or token-file"),
        ("method: kubernetes, role: ''", "vault.auth.role: is empty; expected a text, or leave the key out"),
        (
            "method: kubernetes, role: true",
            "vault.auth.role: expected a text, not true or false; if it is meant, put it in quotes",
        ),
    ] {
        assert_eq!(auth(fields), Err(format!("c.yaml:1: {text}")), "{fields}");
    }
}

#[test]
fn verification_is_not_switched_off_by_one_word() {
    let skip = |more: &str| format!("vault: {{ address: \"https://v\", skipVerify: true{more} }}");
    assert!(file(&skip("")).mistake().starts_with("c.yaml:1: vault.skipVerify: refused"));
    assert!(file(&skip(", allowInsecure: false")).mistake().starts_with("c.yaml:1: vault.skipVerify: refused"));
    file(&skip(", allowInsecure: true")).config();
}

#[test]
fn files_do_not_clash() {
    let text = format!("{VAULT}files:\n  a/b: vault:x#k\n  a: vault:x#k\n");
    assert_eq!(
        file(&text).mistake(),
        "c.yaml:4: files.a: clashes with a/b (c.yaml:3): one would be a file and a folder"
    );
    let text = format!("{VAULT}files:\n  a: vault:x#k\n  a: vault:y#k\n");
    assert_eq!(file(&text).mistake(), "c.yaml:4: duplicate key `a` (first in line 3)");
    let text = format!("{VAULT}env:\n  A: vault:x#k\n  A: vault:y#k\n");
    assert_eq!(file(&text).mistake(), "c.yaml:4: duplicate key `A` (first in line 3)");
}

#[test]
fn a_template_where_a_reference_belongs_is_told_where_it_goes() {
    for (map, expected) in [
        (
            "files: { a: \"{{ secret('vault:x').canary }}\" }",
            "files.a: expected a reference, and this is a template: write { template: … }",
        ),
        (
            "env: { A: { from: \"{% if x %}{{ canary }}{% endif %}\" } }",
            "env.A: expected a reference, and this is a template: write",
        ),
        ("secrets: { a: \"{{ canary }}\" }", "secrets.a: a template is no secret of its own; it stands under"),
        ("envFrom: [ { from: \"{{ canary }}\" } ]", "envFrom[0]: expected a reference, and this is a template, which"),
    ] {
        let said = file(&format!("{VAULT}{map}\n")).mistake();
        assert!(said.starts_with(&format!("c.yaml:2: {expected}")) && !said.contains("canary"), "{map}: {said}");
    }
}

#[test]
fn an_entry_is_a_reference_or_a_template() {
    let entry = |map: &str, fields: &str| {
        let text = format!("{VAULT}{map}: {{ x: {{ {fields} }} }}");
        file(&text).resolve().map(drop).map_err(|mut mistakes| {
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            mistakes.remove(0)
        })
    };
    let wrong = |map: &str, fields: &str, text: &str| {
        assert_eq!(entry(map, fields), Err(format!("c.yaml:2: {text}")), "{fields}");
    };
    for good in [
        "from: \"vault:a\", format: yaml",
        "from: \"vault:a#k\", decode: base64, format: raw",
        "template: ''",
        "templateFile: /t",
    ] {
        assert_eq!(entry("files", good), Ok(()), "{good}");
        assert_eq!(entry("env", good), Ok(()), "{good}");
    }
    assert_eq!(entry("files", "template: x, mode: \"0400\", refresh: 1m"), Ok(()));
    wrong("files", "", "files.x: expected one of from, template or templateFile");
    wrong("files", "format: json", "files.x: expected one of from, template or templateFile");
    wrong("files", "template: x, templateFile: /t", "files.x.templateFile: cannot stand together with template");
    wrong("files", "template: x, decode: base64", "files.x.decode: cannot stand together with template");
    wrong("files", "template: x, format: json", "files.x.format: cannot stand together with template");
    wrong("files", "from: \"vault:a\", format: toml", "files.x.format: expected raw, json, yaml, dotenv or properties");
    wrong(
        "files",
        "from: \"vault:a\", mode: \"0444\"",
        "files.x.mode: gives rights to everybody; a secret file is for its owner and group, such as \"0440\"",
    );
    wrong(
        "env",
        "template: x, mode: \"0400\"",
        "unknown key \"mode\" in env.x; expected from, format, decode, template, templateFile, language, leftDelimiter, rightDelimiter, errorOnMissingKey",
    );
    let text = format!("{VAULT}env: {{ SECRET_EXEC_DIR: vault:a#k }}");
    assert!(file(&text).mistake().contains("is set by secret-exec itself"));
    let text = format!("{VAULT}envFrom: [ {{ from: \"vault:a#k\" }} ]");
    assert!(file(&text).mistake().contains("envFrom takes every key"));
}

#[test]
fn names_are_entries_of_secrets() {
    let text = format!("{VAULT}secrets: {{ db: vault:db/creds/x, pw: \"vault:kv/a#k\" }}\n");
    let config = file(&format!("{text}files: {{ a: db#username, b: pw }}")).config();
    assert_eq!(config.files.len(), 2);
    assert!(file(&format!("{text}files: {{ a: dbb#username }}")).mistake().ends_with("did you mean \"db\"?"));
    assert!(file(&format!("{text}files: {{ a: pw#k }}")).mistake().contains("already names a key"));
    let text = "secrets: { a: file:/x, b: a }\n";
    assert_eq!(
        file(text).mistake(),
        "c.yaml:1: secrets.b: names another entry of `secrets`; give the reference itself"
    );
    assert!(file("secrets: { a/b: file:/x }").mistake().contains("letters, digits"));
    // A named secret that is wrong is reported once, not again wherever it is used.
    assert_eq!(file("secrets: { a: \"file:x\" }\nfiles: { x: a, y: a }").mistakes().len(), 1);
}

#[test]
fn a_value_in_the_place_of_a_reference_is_not_quoted() {
    for value in ["canary", "canary1:x", "\"1234:canary\"", "canary#canary", "https://u:canary@h/", "CANARY:canary"] {
        let mistake = file(&format!("env: {{ PASSWORD: {value} }}")).mistake();
        assert!(!mistake.to_lowercase().contains("canary"), "{mistake}");
    }
    assert!(file("env: { A: \"gcp-sm:x\" }").mistake().contains("unknown scheme \"gcp-sm\""));
    assert!(file("env: { A: \"openbao:x\" }").mistake().ends_with("(did you mean vault:?)"));
}

#[test]
fn a_mode_without_quotes_is_shown_with_them() {
    let mode = |mode: &str| file(&format!("files: {{ a: {{ from: \"file:/x\", mode: {mode} }} }}")).mistake();
    assert!(mode("0440").ends_with("expected quotes: mode: \"0440\""), "{}", mode("0440"));
    assert!(mode("440").ends_with("expected quotes: mode: \"0440\""), "{}", mode("440"));
    assert!(mode("0o440").ends_with("expected quotes: mode: \"0440\""), "{}", mode("0o440"));
    assert!(mode("\"288\"").ends_with("expected an octal mode in quotes, such as \"0440\""), "{}", mode("\"288\""));
}

#[test]
fn actions_in_all_their_forms() {
    let actions = |text: &str| file(&format!("onChange: {text}")).resolve().map(|config| config.rotation.on_change);
    let signal = |number, process: Option<&str>| Action::Signal { number, process: process.map(str::to_owned) };
    assert_eq!(actions("[none]"), Ok(vec![]));
    assert_eq!(actions("none"), Ok(vec![]));
    assert_eq!(
        actions("[{ signal: 10, process: nginx }, restart, 'signal:HUP@nginx']"),
        Ok(vec![signal(10, Some("nginx")), Action::Restart, signal(1, Some("nginx"))])
    );
    assert_eq!(
        actions("[{ run: [/bin/x, '', y] }]"),
        Ok(vec![Action::Run(vec!["/bin/x".into(), "".into(), "y".into()])])
    );
    assert_eq!(
        actions("[{ http: 'http://10.0.0.1/r', remote: true }]"),
        Ok(vec![Action::Http { url: "http://10.0.0.1/r".into(), remote: true }])
    );
    for bad in [
        "[none, restart]",
        "[{}]",
        "[{ run: [] }]",
        "[{ run: x }]",
        "[{ run: [''] }]",
        "[{ http: 'http://10.0.0.1/r' }]",
        "[{ signal: HUP, run: [x] }]",
        "[{ signal: HUP, remote: true }]",
        "[{ process: nginx }]",
        "[{ restart: true }]",
        "[[restart]]",
    ] {
        assert!(actions(bad).is_err_and(|mistakes| mistakes.len() == 1), "{bad}: {:?}", actions(bad));
    }
}

#[test]
fn refresh_is_for_vault_unless_it_says_more() {
    let refresh = |text: &str| file(&format!("refresh: {text}")).config().rotation.refresh;
    let hour = Duration::from_secs(3600);
    assert_eq!(refresh("10m"), Refresh { vault: Duration::from_secs(600), aws: hour });
    assert_eq!(refresh("{ aws: 2h }"), Refresh { vault: Duration::from_secs(300), aws: 2 * hour });
    let text = "secrets: { a: { from: 'file:/a', refresh: 1m } }\nfiles: { b: { from: a, refresh: 2m } }";
    let config = file(text).config();
    assert_eq!(config.secrets["a"].refresh, Some(Duration::from_secs(60)));
    assert_eq!(config.files[0].refresh, Some(Duration::from_secs(120)));
}

#[test]
fn renewal_has_the_rules_as_defaults_and_bounds_that_keep_them() {
    let seconds = Duration::from_secs;
    let renewal = |text: &str| file(&format!("renewal: {text}")).config().rotation.renewal;
    assert_eq!(file("").config().rotation.renewal, Renewal { at: None, jitter: 10, hand_over: seconds(300) });
    assert_eq!(renewal("{ at: 30% }"), Renewal { at: Some(30), jitter: 10, hand_over: seconds(300) });
    let all = Renewal { at: Some(80), jitter: 20, hand_over: seconds(3600) };
    assert_eq!(renewal("{ at: 80%, jitter: '20%', handOver: 1h }"), all);
    for bad in [
        "at: 29%",
        "at: 81%",
        "at: 50",
        "at: 0.5",
        "at: '%'",
        "at: +50%",
        "at: 300%",
        "jitter: 4%",
        "jitter: 21%",
        "handOver: 9s",
        "handOver: 61m",
        "handOver: 5",
        "before: 1m",
    ] {
        let mistake = file(&format!("renewal: {{ {bad} }}")).mistake();
        assert!(mistake.contains("renewal"), "{bad}: {mistake}");
    }
}

#[test]
fn our_state_is_not_in_the_volume() {
    assert!(file("volume: /run/x\nstate: /run/x/state").mistake().contains("must not be inside the volume"));
    assert!(file("volume: /run/x\nstate: /run/x").mistake().contains("must not be inside the volume"));
    file("volume: /run/x\nstate: /run/xy").config();
    let mistake = file("volume: /run").mistake();
    assert!(
        mistake.starts_with("c.yaml:1: volume.path: /run holds the state directory /run/secret-exec-state"),
        "{mistake}"
    );
    assert!(mistake.ends_with("such as /run/files"), "{mistake}");
}

#[test]
fn local_is_no_key() {
    assert_eq!(file("local: x").mistake(), "c.yaml:1: unknown key \"local\"; it is a flag only: --local FILE");
}

#[test]
fn the_place_of_the_schema_is_no_unknown_key() {
    file("$schema: https://example.com/secret-exec.json\nvolume: /run/x").config();
    file("{\"$schema\": \"./schema.json\", \"volume\": \"/run/x\"}").config();
    assert!(file("vault: { $schema: x }").mistake().contains("unknown key \"$schema\""));
}

#[test]
fn the_schema_describes_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    fn every_property(value: &serde_json::Value, count: &mut usize) {
        match value {
            serde_json::Value::Object(map) => {
                if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                    for (name, property) in properties {
                        assert!(property["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}");
                        *count += 1;
                    }
                    assert_eq!(map["additionalProperties"], false);
                }
                map.values().for_each(|value| every_property(value, count));
            }
            serde_json::Value::Array(items) => items.iter().for_each(|value| every_property(value, count)),
            _ => {}
        }
    }
    let mut count = 0;
    every_property(&schema, &mut count);
    assert!(count > 70, "{count}");
    for key in ["vault", "files", "onChange", "inherit"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn an_option_behind_a_reference_is_told_where_it_goes() {
    let in_file = |name: &str, reference: &str| {
        let text = format!("{VAULT}files: {{ {name}: {{ from: '{reference}' }} }}\n");
        file(&text).mistake()
    };
    for (behind, expected) in [
        (",format=dotenv", "format=dotenv is no part of a reference; write { from: REF, format: dotenv }"),
        (", format=dotenv", "format=dotenv is no part of a reference"),
        (", format = dotenv ", "format=dotenv is no part of a reference"),
        (",dotenv", "format=dotenv is no part of a reference"),
        (", json", "format=json is no part of a reference"),
        (",format:dotenv", "format=dotenv is no part of a reference"),
        (", format: dotenv", "format=dotenv is no part of a reference"),
        (",Format=dotenv", "format=dotenv is no part of a reference"),
        (";format=dotenv", "format=dotenv is no part of a reference"),
        (" format=dotenv", "format=dotenv is no part of a reference"),
        ("?format=dotenv", "format=dotenv is no part of a reference"),
        (",format=canary", "format is no part of a reference; write { from: REF, format: … }"),
        (",mode=0440", "mode=0440 is no part of a reference; write { from: REF, mode: \"0440\" }"),
        (",mode=\"0440\"", "mode=0440 is no part of a reference"),
        (",0440", "mode=0440 is no part of a reference"),
        (",decode=base64", "decode=base64 is no part of a reference; write { from: REF, decode: base64 }"),
        (",base64", "decode=base64 is no part of a reference"),
        (",refresh=5m", "refresh=5m is no part of a reference; write { from: REF, refresh: 5m }"),
        (",fromat=dotenv", "format=dotenv is no part of a reference"),
        (",format=dotenv,mode=0440", "mode=0440 is no part of a reference"),
    ] {
        for reference in ["vault:secret/data/app#k", "vault:secret/data/app", "aws-sm:app#k", "file:/run/x"] {
            let mistake = in_file("x.env", &format!("{reference}{behind}"));
            assert!(mistake.contains(expected) && !mistake.contains("canary"), "{reference}{behind}: {mistake}");
        }
    }
    let mistake = file(&format!("{VAULT}files: {{ x: 'vault:secret/data/app?format=dotenv#k' }}\n")).mistake();
    assert!(mistake.contains("format=dotenv is no part of a reference"), "{mistake}");
    for (entry, expected) in [
        ("env: { X: 'vault:a/b#k,format=json' }", "write { from: REF, format: json }"),
        (
            "env: { X: 'vault:a/b#k,mode=0440' }",
            "mode=0440 is no part of a reference; it is for files, and a variable has none",
        ),
        ("secrets: { x: 'vault:a/b#k,refresh=5m' }", "write { from: REF, refresh: 5m }"),
        (
            "secrets: { x: 'vault:a/b,dotenv' }",
            "say it under files or env, where the secret is used: { from: NAME, format: dotenv }",
        ),
        ("envFrom: [{ from: 'vault:a/b,format=dotenv' }]", "envFrom takes none but prefix"),
        ("files: { x: { template: \"{{ secret('vault:a/b#k,format=json') }}\" } }", ""),
    ] {
        let text = format!("{VAULT}{entry}\n");
        match expected {
            "" => drop(file(&text).config()), // found when the template is compiled
            expected => {
                let mistake = file(&text).mistake();
                assert!(mistake.contains(expected), "{entry}: {mistake}");
            }
        }
    }
    for reference in [
        "vault:secret/data/app#k,v",
        "vault:secret/data/a,b#k",
        "vault:secret/data/app#my mode",
        "vault:secret/data/app#a=b",
        "vault:secret/data/app#json",
        "vault:pki/issue/web?common_name=a,format=pem#key",
        "vault:pki/issue/web?common_name=a&format=pem#key",
        "vault:custom/export?format=json#key",
        "vault:a/b?labels=a=1,node=x",
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf",
        "aws-sm:prod/mode:0440",
    ] {
        file(&format!("{VAULT}files: {{ x: {{ from: '{reference}' }} }}\n")).config();
    }
}

#[test]
fn a_name_of_secrets_manager_is_no_url() {
    let mistake = file("files: { x: 'aws-sm://prod/db#key' }").mistake();
    let expected = "the name starts with \"//\", as in a URL; write aws-sm:NAME#KEY, without the slashes";
    assert!(mistake.contains(expected), "{mistake}");
    file("files: { x: 'aws-sm:/prod/db#key' }").config();
}
