//! Configuration: layers, every mistake at once with its place, the schema, and `check`.

use serde_json::Value;

use support::*;

const LOCAL: &str = "vault:secret/data/a: { data: { k: canary-value } }\n";

fn value_of(run: Run) -> String {
    run.sh("printf %s \"$X\"").output().ok()
}

/// `X` from three places: `a`, `b`, `c` hold their own name.
fn sources(case: &Case) -> [String; 3] {
    ["a", "b", "c"].map(|name| case.secret(name, name))
}

#[test]
fn later_layers_win() {
    let case = Case::new();
    let [_, b, c] = sources(&case);
    // Annotations may not name files, so the weakest layer names a secret of a server.
    let local = case.write(
        "local.yaml",
        format!("vault:secret/data/a: {{ data: {{ k: a }} }}\n{b}: {{ value: b }}\n{c}: {{ value: c }}\n"),
    );
    let annotations = case.write("annotations", "secret-exec.dev/env.X=\"vault:secret/data/a#k\"\nother.dev/x=\"y\"\n");
    let with_annotations = |run: Run| run.arg("--local").arg(&local).arg("--annotations").arg(&annotations);
    assert_eq!(value_of(with_annotations(case.run())), "a");
    let file = format!("env: {{ X: \"{b}\" }}");
    assert_eq!(value_of(with_annotations(case.with_config(&file))), "b");
    assert_eq!(value_of(with_annotations(case.with_config(&file)).args(&["--env", &format!("X={c}")])), "c");
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_the_environment() {
    let case = Case::new();
    let proxies = [0, 1, 2].map(|_| Proxy::before(OpenBao::shared().port));
    let token = case.write("token", "no-such-token");
    let [file, variable, flag] = proxies.each_ref().map(Proxy::address);
    let config = format!(
        "vault: {{ address: \"{file}\", auth: {{ method: token-file, path: {} }} }}\nenv: {{ X: \"vault:secret/data/x#y\" }}\n",
        token.display()
    );
    let counts = || proxies.each_ref().map(|proxy| proxy.requests().len());
    case.refused(case.with_config(&config).env("VAULT_ADDR", "http://127.0.0.1:1"), 77, &[]);
    let [first, ..] = counts();
    assert!(first > 0, "the file wins over VAULT_ADDR");
    let with_variable = || case.with_config(&config).env("SECRET_EXEC_VAULT_ADDRESS", &variable);
    case.refused(with_variable(), 77, &[]);
    assert!(counts()[1] > 0 && counts()[0] == first, "SECRET_EXEC_VAULT_ADDRESS wins over the file");
    let second = counts()[1];
    case.refused(with_variable().args(&["--set", &format!("vault.address={flag}")]), 77, &[]);
    assert!(counts()[2] > 0 && counts()[1] == second, "--set wins over the environment");
}

#[test]
fn vault_addr_fills_a_gap() {
    let case = Case::new();
    for name in ["VAULT_ADDR", "BAO_ADDR"] {
        let proxy = Proxy::before(OpenBao::shared().port);
        let token = case.write("token", "no-such-token");
        let config = format!(
            "vault: {{ auth: {{ method: token-file, path: {} }} }}\nenv: {{ X: \"vault:secret/data/x#y\" }}\n",
            token.display()
        );
        case.refused(case.with_config(&config).env(name, proxy.address()), 77, &[]);
        assert!(!proxy.requests().is_empty(), "{name}");
    }
}

#[test]
fn single_options_can_come_from_the_environment() {
    let case = Case::new();
    let [a, ..] = sources(&case);
    let config = case.write("elsewhere.yaml", format!("env: {{ X: \"{a}\" }}"));
    assert_eq!(value_of(case.run().env("SECRET_EXEC_CONFIG", config)), "a");
    let run = case.run().env("SECRET_EXEC_LOG_FORMAT", "json").env("SECRET_EXEC_LOG_LEVEL", "debug");
    let outcome = run.args(&["--env", &format!("X={a}")]).app(&["true"]).output();
    outcome.ok();
    for line in outcome.err().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    case.refused(case.run().env("SECRET_EXEC_TIMEUOT", "5s"), 64, &["SECRET_EXEC_TIMEUOT", "SECRET_EXEC_TIMEOUT"]);
    case.refused(case.run().env("SECRET_EXEC_LOCAL", "/x"), 64, &["SECRET_EXEC_LOCAL", "--local|flag"]);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let case = Case::new();
    let config = "vualt: {}\n\
                  vault: { address: \"ftp://x\", auth: { method: kubernetes, mount: auth/kubernetes } }\n\
                  files:\n  ../up: \"file:/x\"\n  a: { from: \"file:/x\", mode: 0400 }\n  b: { from: \"xyz:/x\" }\n\
                  env: { \"A=B\": \"file:/x\" }\n\
                  refresh: 5\n\
                  runAs: \"-2\"\n";
    let outcome = case.with_config(config).args(&["--timeout", "soon"]).app(&case.marking_app()).output();
    outcome.refused(
        64,
        &["vualt", "vault.auth|auth", "without", "..", "\"0400\"", "xyz", "A=B", "refresh", "runAs|run", "--timeout"],
    );
    assert!(!case.ran());
    for line in [1, 2, 4, 5, 6, 7, 8, 9] {
        assert!(outcome.err().contains(&format!("config.yaml:{line}")), "nothing about line {line}\n{outcome}");
    }
    assert!(outcome.err().lines().filter(|line| !line.trim().is_empty()).count() >= 10, "{outcome}");
}

#[test]
fn a_mistake_on_the_command_line_names_the_flag() {
    let case = Case::new();
    for (args, says) in [
        (&["--set", "vault.auth.rolle=x"][..], &["--set vault.auth.rolle", "role"][..]),
        (&["--env", "X"], &["--env", "NAME=REF|="]),
        (&["--file", "x=nothing:y"], &["--file", "nothing"]),
        (&["--log-level", "loud"], &["--log-level", "debug"]),
        (&["--on-change", "signal:NOSUCH"], &["--on-change", "signal"]),
        (&["--config", "/no/such/config.yaml"], &["/no/such/config.yaml"]),
        (&["--confgi", "x"], &["--confgi", "--config"]),
        (&["--inherit", "everything"], &["--inherit", "vault"]),
    ] {
        case.refused(case.run().args(args), 64, says);
    }
}

#[test]
fn a_command_needs_its_dashes_and_wrapping_needs_a_command() {
    let case = Case::new();
    for args in [&["echo", "hi"][..], &[], &["--env", "X=file:/x"]] {
        case.run().args(args).output().refused(64, &["--"]);
    }
}

#[test]
fn the_schema_takes_the_contracts_example_and_says_of_each_value_what_the_program_says() {
    let case = Case::new();
    let schema = Run::new(program()).arg("schema").output().ok();
    let schema = case.write("schema.json", schema);
    let example = r##"
vault:
  address: https://vault.example.com:8200
  namespace: team-a
  ca: |
    -----BEGIN CERTIFICATE-----
  auth: { method: kubernetes, role: web }
aws:
  region: eu-west-1
  assumeRole: arn:aws:iam::123456789012:role/reader
volume: { path: /run/secret-exec/files, owner: "1000:1000", size: 8Mi }
secrets:
  db: vault:database/creds/web
files:
  api-token: vault:secret/data/api#token
  db.env:   { from: db, format: dotenv, mode: "0440" }
  keystore: { from: "vault:secret/data/ks#p12", decode: base64 }
  app.conf: { template: "user={{ secret('db').username }}" }
env:
  STRIPE_KEY: aws-sm:prod/stripe#key
  DATABASE_URL: { template: "postgres://{{ secret('db').username }}@db/app" }
envFrom: [ { from: "vault:secret/data/app", prefix: APP_ } ]
passEnv: [ "VAULT_*" ]
runAs: "1000:1000"
onChange: [ { signal: HUP } ]
refresh: 5m
onExpired: keep
"##;
    let arguments = [schema.to_str().unwrap(), program().to_str().unwrap()];
    python_output(include_str!("schema.py"), &arguments, example.as_bytes());
}

#[test]
fn check_explains_the_plan_and_touches_nothing() {
    let case = Case::new();
    let config = "vault: { address: \"http://127.0.0.1:1\", auth: { method: kubernetes, role: web } }\n\
                  files: { token: \"vault:secret/data/a#k\" }\nenv: { X: \"vault:secret/data/a#k\" }\n";
    let outcome = case.with_files(config).command("check").output();
    let said = outcome.ok();
    for text in ["vault:secret/data/a", "token", "X", "kubernetes", "web", case.volume().to_str().unwrap()] {
        assert!(said.contains(text), "no {text:?} in\n{outcome}");
    }
    assert!(!case.volume().exists());
}

#[test]
fn check_online_tries_every_reference_and_shows_no_value() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", serde_json::json!({ "k": "canary-value" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let vault = space.vault(&login);
    let good = format!("{vault}env: {{ X: \"vault:{kv}/data/a#k\" }}\n");
    let outcome = case.with_config(&good).command("check").arg("--online").output();
    outcome.ok();
    assert!(!format!("{outcome}").contains("canary-value"), "{outcome}");
    let bad = format!(
        "{vault}env: {{ X: \"vault:{kv}/data/a#k\", Y: \"vault:{kv}/data/a#nothing\", Z: \"vault:{kv}/data/none#k\" }}\n"
    );
    let outcome = case.with_config(&bad).command("check").arg("--online").output();
    outcome.refused(65, &["nothing", &format!("{kv}/data/none")]);
    assert!(!format!("{outcome}").contains("canary-value"), "{outcome}");
}

#[test]
fn check_prints_the_least_policy() {
    let case = Case::new();
    let config = "vault: { address: \"http://127.0.0.1:1\", auth: { method: kubernetes, role: web } }\n\
                  env: { X: \"vault:secret/data/a#k\", C: \"vault:pki/issue/web?common_name=web.test#certificate\", S: \"aws-sm:prod/stripe#key\" }\n";
    let said = case.with_config(config).command("check").arg("--policy").output().ok();
    for text in [
        "path \"secret/data/a\"",
        "\"read\"",
        "path \"pki/issue/web\"",
        "\"update\"",
        "secretsmanager:GetSecretValue",
        "prod/stripe",
    ] {
        assert!(said.contains(text), "no {text:?} in\n{said}");
    }
    let bao = OpenBao::shared();
    let policy =
        said.split("path \"").skip(1).map(|rule| format!("path \"{}", rule.split_inclusive('}').next().unwrap()));
    bao.write("sys/policies/acl/check-printed", serde_json::json!({ "policy": policy.collect::<Vec<_>>().join("\n") }));
}

#[test]
fn what_asks_nobody_needs_no_address_and_no_login() {
    let case = Case::new();
    let config = "env: { X: \"vault:secret/data/a#k\", T: { template: \"{{ secret('vault:secret/data/b').k }}\" } }\n";
    for (flag, says) in [("--policy", "path \"secret/data/b\""), ("--local-skeleton", "vault:secret/data/b")] {
        let said = case.with_config(config).command("check").arg(flag).output().ok();
        assert!(said.contains(says) && said.contains("secret/data/a"), "{said}");
    }
    case.with_config(config).command("check").output().refused(64, &["vault.address", "VAULT_ADDR"]);
    let half = "vault: { address: \"http://127.0.0.1:1\" }\nenv: { X: \"vault:secret/data/a#k\" }\n";
    case.with_config(half).command("check").arg("--policy").output().ok();
    case.with_config(half).command("check").output().refused(64, &["vault.auth"]);
}

#[test]
fn the_local_skeleton_has_the_keys_that_templates_pick() {
    let case = Case::new();
    let config = "secrets: { db: \"vault:secret/data/db\" }\n\
                  env:\n  A: { template: \"{{ secret('db').username }}:{{ secret('db')['pass word'] | urlencode }}\" }\n  \
                  B: { template: \"{% set whole = secret('db') %}{{ whole.host }}{% for k, v in secret('db') | items %}{{ k }}{% endfor %}\" }\n  \
                  D: { template: \"{{ secret('db').port + 1 }}{{ secret('db').port | urlencode }}\" }\n  \
                  C: { template: \"{{ secret('aws-sm:one#deep').inner }}{{ secret('aws-sm:two').field }}\" }\n";
    let skeleton = case.with_config(config).command("check").arg("--local-skeleton").output().ok();
    for key in ["\"username\":", "\"pass word\":", "\"host\":", "deep", "inner", "field"] {
        assert!(skeleton.contains(key), "no {key} in\n{skeleton}");
    }
    for other in ["items", "KEY", "whole"] {
        assert!(!skeleton.contains(other), "{other} in\n{skeleton}");
    }
    let local = case.write("local.yaml", &skeleton);
    case.with_config(config).arg("--local").arg(local).app(&["true"]).output().ok();
}

#[test]
fn a_relative_path_is_relative_to_where_it_starts() {
    let case = Case::new();
    let template = case.write("here/t.tmpl", "from here");
    case.write("elsewhere/t.tmpl", "from elsewhere");
    let config =
        format!("volume: {{ path: {} }}\nfiles: {{ t: {{ templateFile: t.tmpl }} }}\n", case.volume().display());
    let config = case.write("elsewhere/config.yaml", config);
    let run = case.run().arg("--config").arg(config).cwd(template.parent().unwrap());
    run.app(&["true"]).output().ok();
    assert_eq!(std::fs::read_to_string(case.volume().join("t")).unwrap(), "from here");
}

#[test]
fn check_prints_a_local_file_that_works() {
    let case = Case::new();
    let config = "vault: { address: \"http://127.0.0.1:1\", auth: { method: kubernetes, role: web } }\nenv: { X: \"vault:secret/data/a#k\" }\n";
    let skeleton = case.with_config(config).command("check").arg("--local-skeleton").output().ok();
    let local = case.write("local.yaml", skeleton);
    case.with_config(config).arg("--local").arg(local).app(&["true"]).output().ok();
}

#[test]
fn a_local_file_answers_without_any_server() {
    let case = Case::new();
    let local = case.write("local.yaml", LOCAL);
    let run = case.with_config("env: { X: \"vault:secret/data/a#k\" }").arg("--local").arg(local);
    assert_eq!(value_of(run), "canary-value");
}

#[test]
fn a_config_may_come_from_stdin_or_a_pipe() {
    let case = Case::new();
    let [a, ..] = sources(&case);
    let config = format!("env: {{ X: \"{a}\" }}\n");
    assert_eq!(value_of(case.run().args(&["--config", "-"]).stdin(config.as_bytes())), "a");
    let path = case.write("c.yaml", &config);
    let line = format!("exec \"$0\" \"$@\" --config <(cat {}) -- sh -c 'printf %s \"$X\"'", path.display());
    let within = case.run().within(&["bash", "-c", &line]);
    assert_eq!(within.output().ok(), "a");
    case.refused(case.run().args(&["--config", "-"]).stdin(b"env: [").app(&["true"]), 64, &["stdin:1"]);
    // Nobody writes: SIGTERM ends it all the same.
    let pipe = case.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&pipe, mode).unwrap();
    let writer = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut waiting = case.run().arg("--config").arg(&pipe).app(&["true"]).start();
    let descriptors = format!("/proc/{}/fd", waiting.pid());
    waiting.until("the pipe to be read", || {
        let open = std::fs::read_dir(&descriptors).ok()?.flatten();
        open.filter_map(|entry| std::fs::read_link(entry.path()).ok()).find(|target| *target == pipe)
    });
    waiting.signal(15);
    assert_eq!(waiting.end().code(), Some(143));
    drop(writer);
}

#[test]
fn a_file_takes_its_format_and_mode_after_the_reference() {
    let case = Case::new();
    let local = case.write("local.yaml", "vault:secret/data/db: { data: { user: app, password: \"a b\" } }\n");
    let run =
        case.run().arg("--local").arg(&local).args(&["--file", "db.env=vault:secret/data/db,format=dotenv,mode=0440"]);
    let out = run.sh("cat $SECRET_EXEC_DIR/db.env; stat -Lc %a $SECRET_EXEC_DIR/db.env").output().ok();
    assert_eq!(out, "user='app'\npassword='a b'\n440\n");
}

#[test]
fn with_json_logs_the_line_that_says_why_is_json_too() {
    let case = Case::new();
    for run in [
        case.run().args(&["--log-format", "json", "--fiel=x"]),
        case.run().env("SECRET_EXEC_LOG_FORMAT", "json").args(&["--env", "X=nonsense:"]),
        case.run().args(&["--set", "logFormat=json", "--file", "a=vault:secret/data/x"]),
    ] {
        let outcome = run.app(&["true"]).output();
        let err = outcome.err();
        let line: Value = serde_json::from_str(err.lines().last().unwrap()).expect(&err);
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["exit"], outcome.code().unwrap());
        assert!(line["message"].as_str().is_some_and(|text| !text.is_empty()), "{err}");
    }
}

#[test]
fn the_null_device_is_an_empty_config() {
    let case = Case::new();
    let run = case.run().args(&["--config", "/dev/null"]);
    let run = run.args(&["--env", &format!("X={}", case.secret("s", "v"))]);
    assert_eq!(run.sh("printf %s $X").output().ok(), "v");
    case.refused(
        case.run().args(&["--config", "/dev/null", "--local", "/dev/null", "--env", "X=vault:a#k"]),
        65,
        &["/dev/null has no entry"],
    );
}
