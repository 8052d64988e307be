//! Every kind of bad input: the exact code, the place, what to do — and the app did not run.

use serde_json::json;

use support::*;

#[test]
fn identities_are_never_guessed() {
    // Other tools run as root for 4294967296, as 4294967294 for -2.
    for who in [
        "4294967296",
        "4294967295",
        "18446744073709551616",
        "-1",
        "-2",
        "+5",
        "0x10",
        "",
        " 5",
        "1e3",
        ":",
        ":5",
        "5:",
        "5:-1",
        "5:4294967296",
        "5:+5",
        "5:0x1",
        "1000:1000:1000",
    ] {
        let case = Case::new();
        case.refused(case.run().arg(format!("--run-as={who}")), 64, &["--run-as|runAs"]);
    }
    let case = Case::new();
    case.refused(case.with_config("runAs: \"4294967296\"\n"), 64, &["config.yaml:1"]);
    case.refused(case.with_config("volume: { path: /run/x, owner: \"-1\" }\n"), 64, &["config.yaml:1"]);
}

#[test]
fn an_unknown_user_or_group_is_refused() {
    let case = Case::new();
    case.refused(case.run().args(&["--run-as", "no-such-user"]), 64, &["no-such-user", "/etc/passwd"]);
    case.refused(case.run().args(&["--run-as", "root:no-such-group"]), 64, &["no-such-group", "/etc/group"]);
}

#[test]
fn a_number_nobody_knows_needs_a_group() {
    let case = Case::new();
    case.refused(case.run().args(&["--run-as", "54321"]), 64, &["54321", "group"]);
}

#[test]
fn root_without_run_as_is_refused() {
    needs_root!();
    let case = Case::new();
    case.refused(case.run().root(), 64, &["root", "runAs|--run-as"]);
    case.refused(case.run().root().arg("--supervise"), 64, &["root", "runAs|--run-as"]);
    let config = format!("files: {{ s: \"{}\" }}\n", case.secret("s", "value"));
    for mode in ["init", "sidecar"] {
        let outcome = case.with_files(&config).command(mode).root().output();
        outcome.refused(64, &["root", "runAs|--run-as"]);
        assert!(!case.volume().exists(), "{mode} did something before");
    }
    // Nobody is started, so nothing has to be refused.
    let said = case.with_files(&config).command("check").root().output().ok();
    assert!(said.contains("root, which every mode refuses"), "{said}");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
    let case = Case::new();
    case.refused(case.with_config("refresh: 5m\nfilse: {}\n"), 64, &["config.yaml:2", "filse", "files"]);
    case.refused(case.with_config("vault:\n  adress: http://x\n"), 64, &["config.yaml:2", "adress", "address"]);
    // A field of another method is unknown to this one.
    let config = "vault: { address: \"http://x\", auth: { method: jwt, role: r, roleId: x } }\n";
    case.refused(case.with_config(config), 64, &["config.yaml:1", "roleId"]);
}

#[test]
fn broken_yaml_names_its_line() {
    for (config, line) in [
        ("files:\n  a: [1\n", "config.yaml:"),
        ("a: b: c\n", "config.yaml:1"),
        ("env:\n\tX: file:/x\n", "config.yaml:2"),
        ("refresh: 5m\nrefresh: 6m\n", "config.yaml:2"),
        ("- a\n", "config.yaml:1"),
        ("refresh: 5m\n---\nrefresh: 6m\n", "config.yaml:"),
    ] {
        let case = Case::new();
        case.refused(case.with_config(config), 64, &[line]);
    }
    let case = Case::new();
    case.refused(
        case.run().arg("--config").arg(case.write("latin1.yaml", b"env: { X: \"\xe4\" }")),
        64,
        &["latin1.yaml", "UTF-8"],
    );
}

#[test]
fn an_empty_config_file_is_an_empty_config() {
    let case = Case::new();
    let env = format!("A={}", case.secret("a", "b"));
    for text in ["", "# nothing\n", "{}\n"] {
        case.with_config(text).args(&["--env", &env]).app(&["true"]).output().ok();
    }
}

#[test]
fn a_start_with_nothing_to_deliver_is_refused_in_every_mode() {
    let case = Case::new();
    let expected = &["nothing to deliver"];
    for text in ["", "vault: { address: \"https://v\" }\nlogLevel: info\n", "files: {}\n"] {
        for mode in ["init", "sidecar"] {
            case.with_config(text).command(mode).output().refused(64, expected);
        }
        case.with_config(text).command("check").output().refused(64, expected);
        let json = case.with_config(text).command("check").arg("--json").output();
        assert!(json.code() == Some(64) && json.out().contains("nothing to deliver"), "{json}");
        case.refused(case.with_config(text).app(&["echo", "ran"]), 64, expected);
        case.refused(case.with_config(text).arg("--supervise").app(&["echo", "ran"]), 64, expected);
    }
    let other = case.write("other", "other.dev/x=\"y\"\n");
    let empty = case.write("empty", "");
    for (file, expected) in [(&other, "nothing to deliver"), (&empty, "holds no annotation")] {
        let annotations = ["--annotations", file.to_str().unwrap()];
        for mode in ["init", "sidecar", "check"] {
            case.run().args(&annotations).command(mode).output().refused(64, &[expected]);
        }
        case.refused(case.run().args(&annotations).app(&["echo", "ran"]), 64, &[expected]);
        case.refused(case.run().args(&annotations).arg("--supervise").app(&["echo", "ran"]), 64, &[expected]);
    }
}

#[test]
fn a_template_or_another_programs_reference_is_told_on_the_command_line() {
    let case = Case::new();
    let template = "{{ secret('vault:secret/data/a').k }}";
    for (flag, name, set) in [("--env", "A", "--set env.A.template=…"), ("--file", "a", "--set files.a.template=…")]
    {
        let run = case.run().args(&[flag, &format!("{name}={template}")]);
        case.refused(run, 64, &["this is a template", set]);
    }
    let local = case.write("local.yaml", "vault:secret/data/a: { data: { k: value, \"k#1\": other } }\n");
    let run = || case.run().arg("--local").arg(&local);
    let said = run().args(&["--set", &format!("env.A.template={template}")]).sh("printf %s $A").output().ok();
    assert_eq!(said, "value");
    // A key may be called so: it is a warning.
    let outcome = run().args(&["--env", "A=vault:secret/data/a#k#1"]).sh("printf %s $A").output();
    assert_eq!(outcome.ok(), "other");
    assert!(outcome.err().contains("warning: vault:secret/data/a#k#1: the key is \"k#1\" as a whole"), "{outcome}");
    let checked = run().args(&["--env", "A=vault:secret/data/a#k#1"]).command("check").output();
    checked.ok();
    assert!(checked.err().contains("version 1 of \"k\" is vault:secret/data/a?version=1#k"), "{checked}");
}

#[test]
fn a_billion_laughs_are_refused_quickly() {
    let case = Case::new();
    let mut config = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let list = vec![format!("*a{}", level - 1); 10].join(", ");
        config.push_str(&format!("b{level}: &a{level} [{list}]\n"));
    }
    case.refused(case.with_config(&config), 64, &["config.yaml"]);
}

#[test]
fn a_missing_file_is_named() {
    let case = Case::new();
    case.refused(case.run().args(&["--env", "X=file:/no/such/secret"]), 65, &["/no/such/secret"]);
    case.refused(case.run().args(&["--config", "/no/such/config.yaml"]), 64, &["/no/such/config.yaml"]);
    case.refused(case.with_files("files: { a: { templateFile: /no/such.tmpl } }\n"), 65, &["/no/such.tmpl"]);
    case.refused(case.run().args(&["--local", "/no/such/local.yaml"]), 64, &["/no/such/local.yaml"]);
    case.refused(case.run().args(&["--annotations", "/no/such/annotations"]), 64, &["/no/such/annotations"]);
}

#[test]
fn a_file_reference_that_may_not_be_read_or_is_a_directory_is_refused() {
    needs_root!();
    let case = Case::new();
    let secret = case.secret("s", "canary");
    std::os::unix::fs::chown(case.path("mounted/s"), Some(0), Some(0)).unwrap();
    case.refused(case.run().args(&["--env", &format!("X={secret}")]), 77, &[&secret]);
    case.refused(case.run().args(&["--env", "X=file:/etc"]), 65, &["file:/etc"]);
}

#[test]
fn a_missing_key_and_a_missing_path_are_refused() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "canary" }))]);
    let login = space.approle(&case, &[&format!("{kv}/*")]);
    let config = |reference: &str| case.with_config(&format!("{}env: {{ X: \"{reference}\" }}\n", space.vault(&login)));
    let missing = format!("vault:{kv}/data/a#none");
    let outcome = case.refused(config(&missing), 65, &[&missing]);
    assert!(!outcome.err().contains("canary"));
    let missing = format!("vault:{kv}/data/none#k");
    case.refused(config(&missing), 65, &[&missing, "404|not found|nothing"]);
}

#[test]
fn an_unreachable_server_is_named() {
    let case = Case::new();
    let token = case.write("token", "t");
    let port = free_port();
    for address in [format!("http://127.0.0.1:{port}"), "http://no-such-host.invalid:8200".to_owned()] {
        let config = format!(
            "vault: {{ address: \"{address}\", auth: {{ method: token-file, path: {} }} }}\nenv: {{ X: \"vault:a/b#c\" }}\n",
            token.display()
        );
        case.refused(case.with_config(&config).args(&["--timeout", "1s"]), 69, &[&address]);
    }
}

#[test]
fn addresses_that_are_none_are_refused() {
    for address in [
        "",
        "vault.example.com",
        "ftp://x",
        "https://",
        "https://user:canary@host",
        "https://host:99999",
        "https://ho st",
        "https://host?x=y",
        "unix://x",
    ] {
        let case = Case::new();
        let config = format!("vault: {{ address: {}, auth: {{ method: token-file, path: /x }} }}\n", quoted(address));
        let outcome = case.refused(case.with_config(&config), 64, &["config.yaml:1", "address"]);
        assert!(!outcome.err().contains("canary"), "{outcome}");
    }
}

#[test]
fn a_vault_reference_without_address_or_login_says_what_is_missing() {
    let case = Case::new();
    case.refused(case.run().args(&["--env", "X=vault:a/b#c"]), 64, &["vault.address", "VAULT_ADDR|--set"]);
    let run = case.run().args(&["--env", "X=vault:a/b#c", "--set", "vault.address=http://127.0.0.1:1"]);
    case.refused(run, 64, &["vault.auth"]);
    let config =
        "vault: { address: \"http://127.0.0.1:1\", auth: { method: kubernetes } }\nenv: { X: \"vault:a/b#c\" }\n";
    case.refused(case.with_config(config), 64, &["config.yaml:1", "role"]);
}

#[test]
fn file_names_stay_inside_the_volume() {
    let case = Case::new();
    let secret = case.secret("s", "value");
    for name in ["../up", "a/../../up", "/absolute", "a//b", "a/./b", "..data", "..hidden", ".", "..", "", "a/"] {
        case.refused(
            case.with_files(&format!("files: {{ {}: \"{secret}\" }}\n", quoted(name))),
            64,
            &["config.yaml:2"],
        );
    }
    let long = "x".repeat(256);
    case.refused(case.with_files(&format!("files: {{ {long}: \"{secret}\" }}\n")), 64, &["255"]);
    case.refused(case.run().args(&["--file", &format!("../up={secret}")]), 64, &["--file"]);
}

#[test]
fn two_files_of_one_name_are_refused() {
    let case = Case::new();
    let secret = case.secret("s", "value");
    let config = format!("files:\n  a: \"{secret}\"\n  a: \"{secret}\"\n");
    case.refused(case.with_files(&config), 64, &["config.yaml:4", "a"]);
    // A name cannot be a file and a folder.
    let config = format!("files:\n  a: \"{secret}\"\n  a/b: \"{secret}\"\n");
    case.refused(case.with_files(&config), 64, &["a/b"]);
}

#[test]
fn environment_names_are_names() {
    let case = Case::new();
    let secret = case.secret("s", "value");
    for name in ["A=B", "", "="] {
        case.refused(case.with_config(&format!("env: {{ {}: \"{secret}\" }}\n", quoted(name))), 64, &["config.yaml:1"]);
    }
    case.refused(case.with_config(&format!("env: {{ \"A\\0B\": \"{secret}\" }}\n")), 64, &["config.yaml:1"]);
    case.refused(case.run().args(&["--env", &format!("={secret}")]), 64, &["--env"]);
}

#[test]
fn modes_are_quoted_octal_without_rights_for_all() {
    let case = Case::new();
    let secret = case.secret("s", "value");
    for (mode, says) in [
        ("0400", "\"0400\""),
        ("440", "\"0440\"|\"440\""),
        ("256", "quotes|\""),
        ("\"0444\"", "everybody|world|others"),
        ("\"0402\"", "everybody|world|others"),
        ("\"0777\"", "everybody|world|others"),
        ("\"0500\"", "0440"),
        ("\"4400\"", "0440"),
        ("\"0o400\"", "octal"),
        ("\"rw\"", "octal"),
        ("\"0999\"", "octal"),
        ("\"\"", "mode"),
    ] {
        let config = format!("files:\n  s:\n    from: \"{secret}\"\n    mode: {mode}\n");
        case.refused(case.with_files(&config), 64, &["config.yaml:5", says]);
    }
}

#[test]
fn references_follow_the_grammar() {
    for (reference, says) in [
        ("xyz:a/b", "scheme"),
        ("aws:prod/x", "aws-sm:"),
        ("bao:secret/x", "vault:"),
        ("nothing", "secrets"),
        ("vault:", "path"),
        ("vault:/secret/a#b", "/"),
        ("vault:secret/a/#b", "/"),
        ("vault:v1/secret/a#b", "v1"),
        ("vault:secret/../a#b", ".."),
        ("vault:secret/a#", "#"),
        ("vault:secret/a%41#b", "%"),
        ("vault:secret/a?version=0#b", "version"),
        ("vault:secret/a?version=x#b", "version"),
        ("vault:secret/a?version=1&x=y#b", "version"),
        ("vault:pki/issue/x?a=1&a=2", "a"),
        ("aws-sm:", "empty|name"),
        ("aws-sm:x?color=red", "color"),
        ("arn:aws:s3:::bucket", "secretsmanager"),
        ("file:relative", "absolute"),
        ("", "empty|expected"),
    ] {
        let case = Case::new();
        case.refused(case.with_config(&format!("env: {{ X: {} }}\n", quoted(reference))), 64, &["config.yaml:1", says]);
        case.refused(case.run().arg("--env").arg(format!("X={reference}")), 64, &["--env", says]);
    }
}

#[test]
fn a_malformed_inherited_reference_is_named_and_not_quoted() {
    let case = Case::new();
    let run = case.run().env("DB_PASSWORD", "vault:v1/canary#k");
    let outcome = case.refused(run, 64, &["DB_PASSWORD"]);
    assert!(!outcome.err().contains("canary"), "{outcome}");
}

#[test]
fn numbers_without_a_unit_and_words_that_are_none_are_refused() {
    for (config, says) in [
        ("timeout: 60\n", "60s|unit"),
        ("timeout: 0s\n", "timeout"),
        ("timeout: -5s\n", "timeout"),
        ("timeout: soon\n", "30s|60s|5m|duration"),
        ("refresh: 5 m\n", "refresh"),
        ("volume: { path: /run/x, size: 8Mb }\n", "Mi"),
        ("volume: { path: /run/x, size: -1 }\n", "size"),
        ("volume: { path: relative }\n", "absolute"),
        ("volume: { path: / }\n", "/"),
        ("onExpired: explode\n", "keep"),
        ("logFormat: xml\n", "json"),
        ("supervise: yes\n", "true"),
        ("scrubAws: \"true\"\n", "true"),
        ("onChange: [ { signal: NOPE } ]\n", "signal"),
        ("onChange: [ { explode: 1 } ]\n", "explode"),
        ("vault: { address: \"http://x\", auth: { method: magic } }\n", "kubernetes"),
        ("vault: { address: \"http://x\", auth: { method: kubernetes, role: r, mount: auth/k8s } }\n", "without"),
        ("local: /x\n", "local"),
        ("env: [ a ]\n", "map|mapping"),
        ("files: nothing\n", "map|mapping"),
    ] {
        let case = Case::new();
        case.refused(case.with_config(config), 64, &["config.yaml:1", says]);
    }
}

#[test]
fn a_file_entry_says_one_thing() {
    let case = Case::new();
    let secret = case.secret("s", "value");
    for entry in [
        format!("{{ from: \"{secret}\", template: x }}"),
        "{ template: x, templateFile: /x }".to_owned(),
        "{ template: x, format: json }".to_owned(),
        "{ mode: \"0400\" }".to_owned(),
        format!("{{ from: \"{secret}\", format: xml }}"),
        format!("{{ from: \"{secret}\", decode: rot13 }}"),
    ] {
        case.refused(case.with_files(&format!("files: {{ s: {entry} }}\n")), 64, &["config.yaml:2"]);
    }
}

#[test]
fn what_a_mode_of_running_cannot_do_is_refused() {
    let case = Case::new();
    let outcome = case.run().command("init").args(&["--env", &format!("X={}", case.secret("s", "v"))]).output();
    outcome.refused(64, &["--env X", "another container"]);
    case.refused(
        case.with_config(&format!("onExpired: stop\nenv: {{ X: {} }}\n", quoted(&case.secret("s", "v")))),
        64,
        &["onExpired|stop", "supervise"],
    );
    case.run().command("init").app(&["true"]).output().refused(64, &["init"]);
    case.run().command("no-such-command").output().refused(64, &["no-such-command"]);
}

#[test]
fn a_pipe_that_nobody_writes_is_refused_in_place_of_any_file() {
    let case = Case::new();
    let pipe = case.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    own(&pipe, APP);
    let shown = pipe.to_str().unwrap().to_owned();
    let says = [shown.as_str(), "not a regular file"];
    // These may come through a pipe.
    let silent = [shown.as_str(), "nothing was written to it for 10 seconds"];
    for flag in ["--config", "--annotations", "--local"] {
        case.refused(case.run().arg(flag).arg(&pipe), 64, &silent);
    }
    case.refused(case.run().env("SECRET_EXEC_CONFIG", &pipe), 64, &silent);
    case.refused(case.with_files(&format!("files: {{ a: {{ templateFile: {shown} }} }}\n")), 65, &says);
    let vault = |more: &str| {
        case.with_config(&format!(
            "vault: {{ address: https://127.0.0.1:1, {more} }}\nenv: {{ A: \"vault:secret/data/a#k\" }}\n"
        ))
    };
    case.refused(vault(&format!("auth: {{ method: token-file, path: {shown} }}")), 77, &says);
    case.refused(vault(&format!("auth: {{ method: token-file, path: /x }}, caFile: {shown}")), 64, &says);
}
