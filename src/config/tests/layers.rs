//! Which layer wins, and what each calls a key.

use super::*;

#[test]
fn later_layers_win() {
    let full = Given {
        environment: &[("VAULT_ADDR", "https://env-gap"), ("SECRET_EXEC_VAULT_ADDRESS", "https://variable")],
        annotations: Some(&[("secret-exec.dev/vault-address", "https://annotation")]),
        file: Some(
            "vault: { address: \"https://file\", auth: { method: token-file, path: /t } }\nfiles: { a: vault:x }",
        ),
        flags: &[("--set", "vault.address=https://flag")],
        wraps: None,
    };
    let address = |given: Given<'_>| given.config().backends.vault.unwrap().address;
    let auth = "vault: { auth: { method: token-file, path: /t } }\nfiles: { a: vault:x }";
    assert_eq!(address(Given { ..full }), "https://flag");
    assert_eq!(address(Given { flags: &[], ..full }), "https://variable");
    let gap = &full.environment[..1];
    assert_eq!(address(Given { flags: &[], environment: gap, ..full }), "https://file");
    assert_eq!(address(Given { flags: &[], environment: gap, file: Some(auth), ..full }), "https://annotation");
    let last = Given { flags: &[], environment: gap, file: Some(auth), annotations: None, wraps: None };
    assert_eq!(address(last), "https://env-gap");
}

#[test]
fn maps_merge_and_lists_are_replaced() {
    let given = Given {
        annotations: Some(&[("secret-exec.dev/file.a", "file:/a"), ("secret-exec.dev/on-change", "restart")]),
        file: Some("files: { b: file:/b }\nonChange: [{ signal: HUP }]"),
        flags: &[("--file", "c=file:/c")],
        ..Given::default()
    };
    let config = given.config();
    let names: Vec<_> = config.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(config.rotation.on_change, [Action::Signal { number: 1, process: None }]);
}

#[test]
fn a_later_choice_replaces_an_earlier_one() {
    let text =
        format!("{VAULT}files:\n  a: {{ template: x, mode: \"0440\" }}\n  b: {{ from: \"file:/b\", format: raw }}");
    let given = Given { flags: &[("--file", "a=vault:x#k"), ("--set", "files.b.template=y")], ..file(&text) };
    let config = given.config();
    assert!(matches!(&config.files[0].content, Content::Secret { reference, .. } if reference.key.is_some()));
    assert_eq!(config.files[0].mode.unwrap().bits(), 0o440);
    assert_eq!(config.files[1].content, Content::Template(Template::Text("y".into()), Language::Jinja));

    let pem = "vault: { address: \"https://v\", ca: \"-----BEGIN CERTIFICATE-----\", auth: { method: cert, certFile: /c, keyFile: /k } }\nfiles: { a: vault:x }";
    let ca =
        |environment: &[(&str, &str)]| Given { environment, ..file(pem) }.config().backends.vault.unwrap().ca.unwrap();
    assert!(matches!(ca(&[("VAULT_CACERT", "/ca.pem")]), Ca::Pem(_)));
    assert_eq!(ca(&[("SECRET_EXEC_VAULT_CA_FILE", "/ca.pem")]), Ca::File("/ca.pem".into()));

    let text = format!("{VAULT}files: {{ a: vault:x }}");
    let given =
        Given { flags: &[("--set", "vault.auth.path=/t"), ("--set", "vault.auth.method=token-file")], ..file(&text) };
    assert_eq!(given.config().backends.vault.unwrap().auth, Some(VaultAuth::TokenFile { path: "/t".into() }));
}

#[test]
fn a_template_has_the_language_that_it_or_else_the_config_names() {
    let text = "templateLanguage: go\nfiles:\n  a: { template: x }\n  b: { template: x, language: jinja }\n  \
                c: { template: x, leftDelimiter: \"<%\", rightDelimiter: \"%>\", errorOnMissingKey: true }\n";
    let config = file(text).config();
    let language = |at: usize| match &config.files[at].content {
        Content::Template(_, language) => language.clone(),
        Content::Secret { .. } => unreachable!("a template"),
    };
    assert_eq!(language(0), Language::Go(GoOptions::default()));
    assert_eq!(language(1), Language::Jinja);
    let other = GoOptions { left: "<%".into(), right: "%>".into(), missing_key: MissingKey::Error };
    assert_eq!(language(2), Language::Go(other));
    let by_annotation = Given {
        annotations: Some(&[("secret-exec.dev/template-language", "go"), ("secret-exec.dev/template.a", "x")]),
        ..Given::default()
    };
    let content = &by_annotation.config().files[0].content;
    assert!(matches!(content, Content::Template(_, Language::Go(_))), "{content:?}");
    for (text, expected) in [
        ("files: { a: { template: x, leftDelimiter: \"<%\" } }", "files.a.leftDelimiter: is for Go templates"),
        ("files: { a: { from: \"file:/a\", language: go } }", "files.a.language: cannot stand together with from"),
        ("files: { a: { template: x, language: perl } }", "files.a.language: expected jinja or go"),
        ("templateLanguage: Go", "templateLanguage: expected jinja or go"),
    ] {
        let mistake = file(text).mistake();
        assert!(mistake.contains(expected), "{text}: {mistake}");
    }
}

#[test]
fn a_mistake_that_a_later_layer_hides_is_still_one() {
    let given = Given { flags: &[("--timeout", "5s")], ..file("timeout: soon") };
    assert!(given.mistake().starts_with("c.yaml:1: timeout: "));
}

#[test]
fn tools_of_the_backends_fill_gaps() {
    let text = "vault: { auth: { method: token-file, path: /t } }\nfiles: { a: vault:x, b: aws-sm:y }";
    let given = Given {
        environment: &[
            ("BAO_ADDR", "https://bao/"),
            ("VAULT_NAMESPACE", "team/"),
            ("BAO_NAMESPACE", "other"),
            ("VAULT_CACERT", ""),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
        ],
        ..file(text)
    };
    let config = given.config();
    let vault = config.backends.vault.unwrap();
    assert_eq!((vault.address.as_str(), vault.namespace.as_deref(), vault.ca), ("https://bao", Some("team"), None));
    assert_eq!(config.backends.aws.region.as_deref(), Some("eu-west-1"));
    let both = Given { environment: &[("BAO_ADDR", "https://bao"), ("VAULT_ADDR", "https://vault")], ..file(text) };
    assert_eq!(both.config().backends.vault.unwrap().address, "https://vault");
}

#[test]
fn what_vaults_own_clients_obey_fills_gaps() {
    let text = "vault: { address: \"https://v\", auth: { method: token-file, path: /t } }\nfiles: { a: vault:x }";
    let vault = |environment: &[(&str, &str)]| Given { environment, ..file(text) }.config().backends.vault.unwrap();
    const PEM: &str = "-----BEGIN CERTIFICATE-----";
    assert_eq!(vault(&[("VAULT_CAPATH", "/ca")]).ca, Some(Ca::Directory("/ca".into())));
    assert_eq!(vault(&[("BAO_CACERT_BYTES", PEM), ("VAULT_CAPATH", "/ca")]).ca, Some(Ca::Pem(PEM.into())));
    let all = [("VAULT_CACERT", "/ca.pem"), ("BAO_CACERT_BYTES", PEM), ("VAULT_CAPATH", "/ca")];
    assert_eq!(vault(&all).ca, Some(Ca::File("/ca.pem".into())));
    assert_eq!(vault(&[("VAULT_TLS_SERVER_NAME", "v.test")]).tls_server_name.as_deref(), Some("v.test"));
    let pair = vault(&[("VAULT_CLIENT_CERT", "/c"), ("BAO_CLIENT_KEY", "/k")]).client_certificate;
    assert_eq!(pair, Some(CertificateFiles { certificate: "/c".into(), key: "/k".into() }));
    let single_item = Given { environment: &[("VAULT_CLIENT_CERT", "/c")], ..file(text) };
    assert_eq!(
        single_item.mistake(),
        "environment variable VAULT_CLIENT_CERT: vault.clientCertFile: needs vault.clientKeyFile too (or VAULT_CLIENT_KEY)"
    );
    Given { environment: &[("VAULT_CLIENT_CERT", "/c")], ..file("files: { a: file:/x }") }.config();
    let pem = format!(
        "vault: {{ address: \"https://v\", ca: \"{PEM}\", auth: {{ method: token-file, path: /t }} }}\nfiles: {{ a: vault:x }}"
    );
    let kept = Given { environment: &[("VAULT_CAPATH", "/ca")], ..file(&pem) }.config().backends.vault.unwrap().ca;
    assert_eq!(kept, Some(Ca::Pem(PEM.into())));
}

#[test]
fn a_proxy_that_cannot_be_used_is_a_mistake_where_it_is_needed() {
    let text = format!("{VAULT}files: {{ a: vault:x }}");
    let given = Given { environment: &[("HTTPS_PROXY", "http://p:canary")], ..file(&text) };
    assert_eq!(
        given.mistake(),
        "environment variable HTTPS_PROXY: has no valid host and port; expected http://HOST:PORT; it would be used for vault"
    );
    for (environment, given) in [
        (&[("HTTPS_PROXY", "http://p:x")][..], "files: { a: file:/x }"),
        (&[("HTTPS_PROXY", "http://p:x"), ("NO_PROXY", "vault:8200")], &text),
        (&[("HTTP_PROXY", "http://p:x")], &text),
        (&[("ALL_PROXY", "socks5://p:1"), ("HTTPS_PROXY", "http://p:1")], &text),
        (&[("HTTPS_PROXY", "http://p:x")], "files: { a: aws-sm:x }"), // known when the files of ~/.aws are read
    ] {
        Given { environment, ..file(given) }.config();
    }
    let wrong = Given { environment: &[("NO_PROXY", "vault:8201"), ("all_proxy", "socks5://p:1")], ..file(&text) };
    assert!(wrong.mistake().starts_with("environment variable all_proxy: names a SOCKS proxy"));
}

#[test]
fn a_gap_is_judged_only_where_it_is_filled() {
    let wrong = &[("VAULT_ADDR", "ftp://x")];
    let text = "vault: { auth: { method: token-file, path: /t } }\nfiles: { a: vault:x }";
    let given = Given { environment: wrong, ..file(text) };
    assert!(given.mistake().starts_with("environment variable VAULT_ADDR: vault.address: expected http"));
    Given { environment: wrong, ..file("files: { a: file:/x }") }.config();
    Given { environment: wrong, ..file(&format!("{VAULT}files: {{ a: vault:x }}")) }.config();
    Given { environment: &[("AWS_REGION", "?")], ..file("files: { a: file:/x }") }.config();
    assert!(
        Given { environment: &[("AWS_REGION", "?")], ..file("files: { a: aws-sm:x }") }
            .mistake()
            .contains("AWS_REGION")
    );
}

#[test]
fn variables_say_any_single_valued_key() {
    let config = environment(&[
        ("SECRET_EXEC_RUN_AS", "1000:1000"),
        ("SECRET_EXEC_LEAVE_LEASES", "true"),
        ("SECRET_EXEC_ON_CHANGE", "signal:HUP@nginx"),
        ("SECRET_EXEC_VOLUME", "/run/y"),
        ("SECRET_EXEC_VOLUME_SIZE", "1Mi"),
        ("SECRET_EXEC_REFRESH_AWS", "2h"),
        ("SECRET_EXEC_LOG_LEVEL", "debug"),
        ("SECRET_EXEC_METRICS", "127.0.0.1:9"),
    ])
    .config();
    assert_eq!(config.app.run_as.unwrap().to_string(), "1000:1000");
    assert!(config.app.leave_leases);
    assert_eq!(config.rotation.on_change, [Action::Signal { number: 1, process: Some("nginx".into()) }]);
    assert_eq!((config.volume.path.to_str(), config.volume.size), (Some("/run/y"), 1 << 20));
    assert_eq!(config.rotation.refresh.aws.as_secs(), 7200);
    assert_eq!(config.process.log_level, LogLevel::Debug);
}

#[test]
fn a_variable_of_ours_that_is_unknown_is_a_mistake() {
    let mistake = environment(&[("SECRET_EXEC_RUNAS", "1")]).mistake();
    assert_eq!(mistake, "environment variable SECRET_EXEC_RUNAS: unknown; did you mean SECRET_EXEC_RUN_AS?");
    let mistake = environment(&[("SECRET_EXEC_LOCAL", "x")]).mistake();
    assert_eq!(mistake, "environment variable SECRET_EXEC_LOCAL: is not a variable; it is a flag only: --local FILE");
    let mistake = environment(&[("SECRET_EXEC_ENV", "canary")]).mistake();
    assert!(mistake.ends_with("is not a variable; it is a flag only: --env NAME=REFERENCE"), "{mistake}");
    let mistake = environment(&[("SECRET_EXEC_FILES", "canary")]).mistake();
    assert!(mistake.ends_with("is not a variable; it is a flag only: --file NAME=REFERENCE"), "{mistake}");
    let mistake = environment(&[("SECRET_EXEC_QUUX", "canary")]).mistake();
    assert!(mistake.contains("SECRET_EXEC_QUUX: unknown") && !mistake.contains("canary"), "{mistake}");
    assert!(environment(&[("SECRET_EXEC_RUN_AS", "")]).mistake().contains("is empty"));
    environment(&[("SECRET_EXEC_DIR", "/x"), ("SECRET_EXEC_CONFIG", "/c"), ("SECRET_EXEC_ANNOTATIONS", "/a")]).config();
}

#[test]
fn variables_that_kubelet_makes_of_a_service_are_not_ours() {
    environment(&[
        ("SECRET_EXEC_SERVICE_HOST", "10.0.0.1"),
        ("SECRET_EXEC_SERVICE_PORT", "443"),
        ("SECRET_EXEC_SERVICE_PORT_HTTPS", "443"),
        ("SECRET_EXEC_PORT", "tcp://10.0.0.1:443"),
        ("SECRET_EXEC_PORT_443_TCP", "tcp://10.0.0.1:443"),
        ("SECRET_EXEC_PORT_443_TCP_ADDR", "10.0.0.1"),
        ("SECRET_EXEC_METRICS_SERVICE_HOST", "10.0.0.1"),
        ("SECRET_EXEC_METRICS_PORT", "tcp://10.0.0.1:443"),
    ])
    .config();
    assert!(environment(&[("SECRET_EXEC_METRICS_PORT", "9090")]).mistake().contains("SECRET_EXEC_METRICS"));
}

#[test]
fn flags_are_keys_too() {
    let config = flags(&[
        ("--volume", "/run/x"),
        ("--state", "/run/s"),
        ("--run-as", "web"),
        ("--supervise", ""),
        ("--leave-leases", ""),
        ("--on-change", "signal:HUP"),
        ("--on-change", "http:http://127.0.0.1:1/r"),
        ("--inherit", "none"),
        ("--timeout", "5s"),
        ("--timeout", "6s"),
        ("--local", "l.yaml"),
        ("--metrics", "[::1]:9"),
        ("--log-format", "json"),
        ("--sandbox", "log"),
        ("--log-level", "trace"),
        ("--file", "a/b=vault:x?y=1#k"),
        ("--env", "A=aws-sm:x"),
        ("--set", "volume.owner=:7"),
        ("--set", "passEnv=[A, \"B_*\"]"),
        ("--set", "secrets={db: \"vault:database/creds/x\"}"),
        ("--set", "files.db.env={from: db, format: dotenv}"),
        ("--set", "files.db.env.mode=0440"),
        ("--set", "files.\"x=y\"=db#a"),
    ])
    .config();
    assert_eq!(config.rotation.on_change.len(), 2);
    assert_eq!((config.rotation.timeout.as_secs(), config.process.log_format), (6, LogFormat::Json));
    assert_eq!(config.process.sandbox, Sandbox::Log);
    assert!(config.app.supervise && config.app.leave_leases);
    assert_eq!((config.app.pass_env.len(), config.passes("B_X"), config.passes("C")), (2, true, false));
    let names: Vec<_> = config.files.iter().map(|file| (file.name.as_str(), file.place.to_string())).collect();
    let place = |text: &str| text.to_owned();
    assert_eq!(
        names,
        [
            ("a/b", place("--file a/b")),
            ("db.env", place("--set files.db.env.mode")),
            ("x=y", place("--set files.\"x=y\""))
        ]
    );
    assert_eq!(config.files[1].mode.unwrap().bits(), 0o440);
    assert_eq!(config.env[0].place.to_string(), "--env A");
}

#[test]
fn mistakes_in_flags_name_the_flag() {
    for (name, value, text) in [
        (
            "--set",
            "vault.auth.rol=x",
            "--set vault.auth.rol: unknown key \"rol\" in vault.auth; did you mean \"role\"?",
        ),
        (
            "--set",
            "timeout=soon",
            "--set timeout: expected a duration with its unit, such as 500ms, 60s, 5m, 1h30m or 1d",
        ),
        ("--set", "canary", "--set: expected KEY=VALUE, such as vault.auth.role=web"),
        ("--set", "local=x", "--set local: unknown key \"local\"; it is a flag only: --local FILE"),
        ("--set", "passEnv=A", "--set passEnv: expected a list, found a single value; write [ITEM] or [ITEM, ITEM]"),
        (
            "--set",
            "vault.auth=kubernetes",
            "--set vault.auth: expected a map with method, role, mount, tokenFile, audience, roleId, roleIdFile, secretIdFile, secretIdWrapped, serverId, region, certFile, keyFile or path, found a single value",
        ),
        ("--file", "canary", "--file: expected NAME=REF, such as x=vault:secret/data/x#key"),
        ("--file", "a=file:b", "--file a: a file: reference needs an absolute path"),
        ("--env", "A=", "--env A: is empty; expected a reference, such as vault:PATH#KEY, or leave the key out"),
        ("--env", "=file:/x", "--env: expected NAME=REF, such as x=vault:secret/data/x#key"),
        ("--run-as", "", "--run-as: is empty; expected USER[:GROUP], such as \"1000:1000\", or leave the key out"),
        ("--supervise", "maybe", "--supervise: expected true or false"),
        ("--local", "", "--local: expected a file"),
        ("--log-levle", "x", "--log-levle: unknown flag; did you mean --log-level?"),
    ] {
        assert_eq!(flags(&[(name, value)]).mistake(), text);
    }
    assert!(flags(&[("--set", "files={a: [")]).mistake().starts_with("--set files: broken YAML at column"));
    let twice = flags(&[("--file", "a=file:/x"), ("--file", "a=file:/y")]);
    assert_eq!(twice.mistake(), "--file a: given twice");
    let twice = flags(&[("--env", "A=file:/x"), ("--env", "A=file:/y")]);
    assert_eq!(twice.mistake(), "--env A: given twice");
    let twice = flags(&[("--file", "a=file:/x,mode=0440,mode=0400")]);
    assert_eq!(twice.mistake(), "--file a: mode is given twice");
}

#[test]
fn settings_of_one_layer_that_contradict_each_other_are_refused_with_both_places() {
    const WHY: &str = "only one of the two can count; leave the other out";
    const TWO_WAYS: &str = "given in two ways, here and in";
    let set = |first: &str, second: &str| flags(&[("--set", first), ("--set", second)]).mistakes();
    for (first, second, later, earlier) in [
        ("files.x.from=file:/a", "files.x.template=b", "files.x.template", "files.x.from"),
        ("files.x.template=b", "files.x.from=file:/a", "files.x.from", "files.x.template"),
        ("files.x.template=b", "files.x.templateFile=/b", "files.x.templateFile", "files.x.template"),
        ("files.x.format=json", "files.x.template=b", "files.x.template", "files.x.format"),
        ("files={x: file:/a}", "files.x.template=b", "files.x.template", "files"),
        ("env.X.from=file:/a", "env.X.template=b", "env.X.template", "env.X.from"),
        ("vault.ca=-----BEGIN CERTIFICATE-----", "vault.caFile=/ca", "vault.caFile", "vault.ca"),
        ("vault.caPath=/ca", "vault.caFile=/ca", "vault.caFile", "vault.caPath"),
        ("vault.auth.roleId=a", "vault.auth.roleIdFile=/a", "vault.auth.roleIdFile", "vault.auth.roleId"),
    ] {
        let expected = format!("--set {later}: contradicts --set {earlier}: {WHY}");
        let mistakes = set(first, second);
        assert!(mistakes.contains(&expected), "{expected}\n{mistakes:#?}");
    }
    for (first, second, later, earlier) in [
        ("files.x=file:/a", "files.x.from=file:/b", "files.x.from", "files.x"),
        ("secrets.x=file:/a", "secrets.x.from=file:/b", "secrets.x.from", "secrets.x"),
        ("volume=/run/a", "volume.path=/run/b", "volume.path", "volume"),
        ("refresh=5m", "refresh.vault=6m", "refresh.vault", "refresh"),
        ("vault={address: \"http://a\"}", "vault.address=http://b", "vault.address", "vault"),
    ] {
        let expected = format!("--set {later}: {TWO_WAYS} --set {earlier}: {WHY}");
        let mistakes = set(first, second);
        assert!(mistakes.contains(&expected), "{expected}\n{mistakes:#?}");
    }
    let mistake = flags(&[("--file", "x=file:/a"), ("--set", "files.x.template=b")]).mistake();
    assert_eq!(mistake, format!("--set files.x.template: contradicts --file x: {WHY}"));
    for (first, second, later, earlier) in [
        (("--file", "x=file:/a"), ("--set", "files.x=file:/b"), "--set files.x", "--file x"),
        (("--env", "X=file:/a"), ("--set", "env.X=file:/b"), "--set env.X", "--env X"),
        (("--run-as", "1:1"), ("--set", "runAs=2:2"), "--set runAs", "--run-as"),
        (("--supervise", ""), ("--set", "supervise=false"), "--set supervise", "--supervise"),
        (("--volume", "/run/a"), ("--set", "volume.path=/run/b"), "--set volume.path", "--volume"),
        (("--on-change", "none"), ("--set", "onChange=restart"), "--on-change", "--set onChange"),
        (("--set", "files.x.format=json"), ("--file", "x=file:/a,format=raw"), "--file x", "--set files.x.format"),
        // The same value to whoever reads both, but not the same text.
        (("--set", "timeout=60s"), ("--timeout", "1m"), "--timeout", "--set timeout"),
        (("--set", "volume.path=/dev/shm/x"), ("--volume", "/dev/shm/x/"), "--volume", "--set volume.path"),
    ] {
        let mistake = flags(&[first, second]).mistake();
        assert_eq!(mistake, format!("{later}: {TWO_WAYS} {earlier}: {WHY}"));
    }
    for (first, second, place) in [
        ("files.x=file:/a", "files.x=file:/b", "files.x"),
        ("env.X.template=a", "env.X.template=b", "env.X.template"),
        ("secrets.x=file:/a", "secrets.x=file:/b", "secrets.x"),
        ("secrets.x.from=file:/a", "secrets.x.from=file:/b", "secrets.x.from"),
        ("env.X.from=file:/a", "env.X.from=file:/b", "env.X.from"),
        ("passEnv=[A]", "passEnv=[B]", "passEnv"),
        ("envFrom=[{from: file:/a}]", "envFrom=[{from: file:/b}]", "envFrom"),
        ("onChange=signal:HUP", "onChange=restart", "onChange"),
    ] {
        assert_eq!(set(first, second), [format!("--set {place}: given twice")]);
    }
    for (first, second, how) in [
        (("SECRET_EXEC_VAULT_CA", "-----BEGIN CERTIFICATE-----"), ("SECRET_EXEC_VAULT_CA_FILE", "/ca"), "contradicts"),
        (("SECRET_EXEC_VOLUME", "/run/a"), ("SECRET_EXEC_VOLUME_PATH", "/run/b"), TWO_WAYS),
        (("SECRET_EXEC_REFRESH", "5m"), ("SECRET_EXEC_REFRESH_VAULT", "6m"), TWO_WAYS),
    ] {
        for pair in [[first, second], [second, first]] {
            let expected = format!("environment variable {}: {how} environment variable {}: {WHY}", second.0, first.0);
            assert_eq!(environment(&pair).mistake(), expected);
        }
    }
}

#[test]
fn alternatives_that_the_login_method_does_not_have_are_no_contradiction() {
    let method = ("SECRET_EXEC_VAULT_AUTH_METHOD", "kubernetes");
    let ids = [("SECRET_EXEC_VAULT_AUTH_ROLE_ID", "x"), ("SECRET_EXEC_VAULT_AUTH_ROLE_ID_FILE", "/x")];
    let mistakes = environment(&[method, ("SECRET_EXEC_VAULT_AUTH_ROLE", "web"), ids[0], ids[1]]).mistakes();
    let is_unknown = |one: &String| one.contains("unknown key \"roleId") && one.contains("with method kubernetes");
    assert!(!mistakes.is_empty() && mistakes.iter().all(is_unknown), "{mistakes:#?}");
    let method = ("SECRET_EXEC_VAULT_AUTH_METHOD", "approle");
    assert!(environment(&[method, ids[0], ids[1]]).mistake().contains("contradicts"));
}

#[test]
fn an_empty_variable_beside_its_alternative_is_one_mistake() {
    let empty = ("SECRET_EXEC_VAULT_CA", "");
    let file = ("SECRET_EXEC_VAULT_CA_FILE", "/ca");
    for pair in [[empty, file], [file, empty]] {
        let mistakes = environment(&pair).mistakes();
        assert!(matches!(&mistakes[..], [one] if one.contains("SECRET_EXEC_VAULT_CA: is empty")), "{mistakes:#?}");
    }
}

#[test]
fn a_setting_of_a_file_that_is_repeated_counts_as_it_was_given_last() {
    for (first, second) in [
        ("files.x.mode=0440", "files.x.mode=0400"),
        ("files.x.format=json", "files.x.format=raw"),
        ("files.x.refresh=5m", "files.x.refresh=6m"),
    ] {
        let pair = [("--file", "x=vault:secret/data/x"), ("--set", first), ("--set", second)];
        let mistakes = flags(&pair).mistakes();
        assert!(!mistakes.iter().any(|mistake| mistake.contains("given twice")), "{mistakes:#?}");
    }
    let again = [("--file", "x=file:/a"), ("--set", "files.x.mode=0440"), ("--set", "files.x.mode=0400")];
    let once = [("--file", "x=file:/a"), ("--set", "files.x.mode=0400")];
    assert_eq!(flags(&again).config().files[0].mode, flags(&once).config().files[0].mode);
}

#[test]
fn settings_of_one_layer_that_agree_or_that_a_script_appends_are_no_contradiction() {
    for pair in [
        [("--timeout", "5s"), ("--timeout", "6s")],
        [("--set", "timeout=5s"), ("--set", "timeout=6s")],
        [("--timeout", "6s"), ("--set", "timeout=6s")],
        [("--set", "volume={path: /run/a}"), ("--set", "volume={path: /run/b}")],
    ] {
        assert!([5, 6, 60].contains(&flags(&pair).config().rotation.timeout.as_secs()), "{pair:?}");
    }
    let again = [("--timeout", "5s"), ("--timeout", "6s")];
    assert_eq!(flags(&again).config().rotation.timeout.as_secs(), 6);
    let config = flags(&[
        ("--file", "x=file:/a,format=json"),
        ("--set", "files.x.mode=0440"),
        ("--set", "files.x.format=json"),
        ("--set", "files={y: file:/y}"),
        ("--set", "files={z: file:/z}"),
        ("--on-change", "signal:HUP@a"),
        ("--on-change", "signal:HUP@b"),
        ("--set", "refresh=5m"),
        ("--set", "refresh.aws=6m"),
    ])
    .config();
    assert_eq!((config.files.len(), config.rotation.on_change.len()), (3, 2));
    // Layers: what is said later counts.
    let config = Given {
        environment: &[("SECRET_EXEC_RUN_AS", "2:2")],
        flags: &[("--run-as", "3:3"), ("--set", "files.x.template=c")],
        ..file("runAs: \"1:1\"\nfiles: { x: file:/a }")
    }
    .config();
    assert_eq!(config.app.run_as.unwrap().to_string(), "3:3");
    assert!(matches!(config.files[0].content, Content::Template(..)));
    let text = "vault: { address: \"https://v\", auth: { method: approle, roleId: a } }\nfiles: { x: vault:a }";
    let config = Given { flags: &[("--set", "vault.auth.roleIdFile=/id"), ("--pinned", "")], ..file(text) }.config();
    let auth = config.backends.vault.unwrap().auth;
    assert!(matches!(&auth, Some(VaultAuth::AppRole { role_id: RoleId::File(path), .. }) if path == "/id"), "{auth:?}");
}

#[test]
fn a_tilde_is_the_home_directory_where_a_login_or_a_ca_is_named() {
    let text = "vault: { address: \"https://v\", caFile: ~/ca.pem, auth: { method: token-file, path: ~/.vault-token } }\n\
                files: { a: vault:x }";
    let at = |environment: &[(&str, &str)]| Given { environment, ..file(text) }.config();
    for home in ["/home/me", "/home/me/"] {
        let config = at(&[("HOME", home)]);
        assert_eq!(config.backends.identity_files, [std::path::PathBuf::from("/home/me/.vault-token")]);
        let vault = config.backends.vault.unwrap();
        assert_eq!(vault.auth, Some(VaultAuth::TokenFile { path: "/home/me/.vault-token".into() }));
        assert_eq!(vault.ca, Some(Ca::File("/home/me/ca.pem".into())));
    }
    let flags = [("--set", "vault.auth.method=token-file"), ("--set", "vault.auth.path=~/.vault-token")];
    let given = Given {
        flags: &flags,
        environment: &[("HOME", "/h"), ("VAULT_ADDR", "https://v")],
        ..file("files: { a: vault:x }")
    };
    assert_eq!(
        given.config().backends.vault.unwrap().auth,
        Some(VaultAuth::TokenFile { path: "/h/.vault-token".into() })
    );
    // Nobody's home, and a home that whoever sets the environment would choose.
    for environment in [&[][..], &[("HOME", "")], &[("HOME", "me")]] {
        let mistakes = Given { environment, ..file(text) }.mistakes();
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
        assert!(mistakes[1].starts_with("c.yaml:1: vault.caFile: begins with ~, and HOME is not set"), "{mistakes:?}");
    }
    let given = Given { environment: &[("HOME", "/h")], flags: &[("--pinned", "")], ..file(text) };
    assert!(given.mistakes()[0].contains("under --pinned HOME does not count"));
}

#[test]
fn a_token_in_the_environment_is_seen_where_a_login_is_missing() {
    let config = "vault: { address: \"https://v\" }\nfiles: { a: vault:x }";
    let plain = file(config).mistake();
    assert!(
        plain.ends_with("after `vault login` it is vault.auth: { method: token-file, path: ~/.vault-token }"),
        "{plain}"
    );
    assert!(!plain.contains("is not read"), "{plain}");
    for name in ["VAULT_TOKEN", "BAO_TOKEN"] {
        let text = Given { environment: &[(name, "canary")], ..file(config) }.mistake();
        assert!(text.contains(&format!("{name} is set, and is not read")) && text.contains("token-file"), "{text}");
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(Given { environment: &[(name, "")], ..file(config) }.mistake(), plain);
    }
}

#[test]
fn what_the_file_overrules_is_named_once() {
    let config = |text: &str| file(text).config().backends.vault.unwrap();
    let text = "vault: { address: \"https://v/\", namespace: team-a, caFile: /ca.pem, auth: { method: token-file, path: /t } }\n\
                files: { a: vault:x }";
    let vault = config(text);
    let lines = |environment: &'static [(&'static str, &'static str)]| {
        overruled(&vault, |name| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| *value))
    };
    assert_eq!(
        lines(&[("VAULT_ADDR", "HTTPS://v"), ("BAO_NAMESPACE", "/team-a/"), ("VAULT_CACERT", "/ca.pem")]),
        [""; 0]
    );
    assert_eq!(lines(&[("VAULT_ADDR", ""), ("VAULT_NAMESPACE", "")]), [""; 0]);
    assert_eq!(
        lines(&[("VAULT_ADDR", "https://other:8200")]),
        ["VAULT_ADDR (https://other:8200) does not count: vault.address is https://v"]
    );
    assert_eq!(lines(&[("BAO_ADDR", "https://me:canary@v")]), ["BAO_ADDR does not count: vault.address is https://v"]);
    assert_eq!(
        lines(&[("VAULT_NAMESPACE", "team-b/")]),
        ["VAULT_NAMESPACE (team-b) does not count: vault.namespace is team-a"]
    );
    assert_eq!(lines(&[("VAULT_CACERT", "/b.pem")]), ["VAULT_CACERT does not count: vault.caFile is /ca.pem"]);
}

#[test]
fn a_message_names_its_place_once() {
    for (flag, value, expected) in [
        ("--env", "X=vault:a#b,format=jsn", "--env X: format: expected raw, json, yaml, dotenv or properties"),
        ("--file", "x=vault:a#b,mode=999", "--file x: mode: expected an octal mode in quotes, such as \"0440\""),
        (
            "--file",
            "db.env=vault:a#b,mode=999",
            "--file db.env: mode: expected an octal mode in quotes, such as \"0440\"",
        ),
        ("--set", "files.x.mode=999", "--set files.x.mode: expected an octal mode in quotes, such as \"0440\""),
        ("--on-change", "foo", "--on-change: expected none, restart, signal:NAME, signal:NAME@PROCESS or http:URL"),
        ("--env", "=vault:a#b", "--env: expected NAME=REF, such as x=vault:secret/data/x#key"),
    ] {
        assert_eq!(flags(&[(flag, value)]).mistakes()[0], expected);
    }
    let annotations = |pairs: &[(&str, &str)]| Given { annotations: Some(pairs), ..Given::default() }.mistakes();
    assert_eq!(
        annotations(&[("secret-exec.dev/file.db.env", "vault:a"), ("secret-exec.dev/format.db.env", "foo")])[0],
        "annotation secret-exec.dev/format.db.env: format: expected raw, json, yaml, dotenv or properties"
    );
    assert_eq!(
        annotations(&[("secret-exec.dev/format.db.env", "json")])[0],
        "annotation secret-exec.dev/format.db.env: files.\"db.env\": nothing says what the file holds: say \
         secret-exec.dev/file.db.env or secret-exec.dev/template.db.env too"
    );
    let said = annotations(&[("secret-exec.dev/file.db.env", "vault:a,format=json")]);
    assert!(said[0].ends_with("say it in secret-exec.dev/format.db.env: json"), "{said:?}");
}

#[test]
fn a_place_that_names_the_file_or_variable_stands_alone() {
    let flag = |text: &str| Place::Flag(text.to_owned());
    for (place, what, expected) in [
        (flag("--env X"), "env X", "--env X"),
        (flag("--env X"), "env Y", "--env X: env Y"),
        (flag("--file db.env"), "file db.env", "--file db.env"),
        (flag("--set env.X.template"), "env X", "--set env.X.template"),
        (flag("--set files.x.templateFile"), "file x", "--set files.x.templateFile"),
        (flag("--set files"), "file x", "--set files: file x"),
        (Place::Variable("X".to_owned()), "env X", "environment variable X"),
        (Place::Annotation("secret-exec.dev/template.x".to_owned()), "file x", "annotation secret-exec.dev/template.x"),
        (
            Place::Annotation("secret-exec.dev/config".to_owned()),
            "file fig",
            "annotation secret-exec.dev/config: file fig",
        ),
        (Place::Line { file: "c".to_owned(), line: 1 }, "file x", "c:1: file x"),
    ] {
        assert_eq!(place.of(what), expected);
    }
}
