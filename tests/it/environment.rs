//! The app's environment: what is added, what is scrubbed, what is resolved, what is refused.

use support::*;

/// The app's environment, sorted.
fn environment(run: Run) -> Vec<String> {
    let outcome = run.app(&["env", "-0"]).output();
    let mut lines: Vec<_> = outcome.ok().split_terminator('\0').map(str::to_owned).collect();
    lines.sort();
    lines
}

#[track_caller]
fn has(environment: &[String], line: &str) {
    assert!(environment.iter().any(|have| have == line), "no {line:?} in {environment:#?}");
}

#[track_caller]
fn has_no(environment: &[String], start: &str) {
    assert!(!environment.iter().any(|have| have.starts_with(start)), "{start:?} in {environment:#?}");
}

const LOCAL: &str = r#"
vault:secret/data/db: { data: { username: app, password: "p w/ü", port: 5432, big: 1e3, deep: { a: [1] }, yes: true } }
vault:secret/data/app: { data: { first: one, second: two } }
vault:secret/data/bad: { data: { LD_PRELOAD: /evil.so } }
vault:secret/data/link: { data: { value: "vault:secret/data/db#password" } }
aws-sm:prod/stripe: { value: "{\"key\":\"sk_1\"}" }
arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf: { value: from-arn }
"#;

fn local(case: &Case, config: &str) -> Run {
    let file = case.write("local.yaml", LOCAL);
    case.with_config(config).arg("--local").arg(file)
}

#[test]
fn a_value_arrives_exactly() {
    let case = Case::new();
    let value = "two\nlines with ' \" $HOME `id` \\ and a tail \n";
    let env = format!("S={}", case.secret("s", value));
    let environment = environment(case.run().args(&["--env", &env]));
    has(&environment, &format!("S={value}"));
}

#[test]
fn numbers_arrive_as_they_were_written() {
    let case = Case::new();
    let config = "env: { PORT: \"vault:secret/data/db#port\", BIG: \"vault:secret/data/db#big\", YES: \"vault:secret/data/db#yes\" }";
    let environment = environment(local(&case, config));
    has(&environment, "PORT=5432");
    has(&environment, "BIG=1e3");
    has(&environment, "YES=true");
}

#[test]
fn ours_and_the_backends_credentials_are_scrubbed() {
    let case = Case::new();
    let run = case
        .run()
        .env("VAULT_TOKEN", "t")
        .env("VAULT_ADDR", "https://vault.example.com")
        .env("BAO_TOKEN", "t")
        .env("SECRET_EXEC_TIMEOUT", "30s")
        .env("AWS_SECRET_ACCESS_KEY", "stays")
        .env("KEPT", "kept");
    let environment = environment(run);
    for start in ["VAULT_", "BAO_", "SECRET_EXEC_"] {
        has_no(&environment, start);
    }
    has(&environment, "KEPT=kept");
    has(&environment, "AWS_SECRET_ACCESS_KEY=stays");
}

#[test]
fn aws_credentials_are_scrubbed_when_asked() {
    let case = Case::new();
    let names = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    let run = names
        .iter()
        .fold(local(&case, "scrubAws: true\nenv: { K: \"aws-sm:prod/stripe#key\" }"), |run, name| run.env(name, "x"));
    let environment = environment(run.env("AWS_REGION", "eu-west-1"));
    names.iter().for_each(|name| has_no(&environment, name));
    has(&environment, "AWS_REGION=eu-west-1");
}

#[test]
fn what_pass_env_names_is_neither_scrubbed_nor_resolved() {
    let case = Case::new();
    let run = local(&case, "passEnv: [ \"VAULT_*\", PLAIN ]\nenv: { K: \"aws-sm:prod/stripe#key\" }")
        .env("VAULT_ADDR", "https://vault.example.com")
        .env("PLAIN", "vault:secret/data/db#password")
        .env("BAO_ADDR", "x");
    let environment = environment(run);
    has(&environment, "VAULT_ADDR=https://vault.example.com");
    has(&environment, "PLAIN=vault:secret/data/db#password");
    has_no(&environment, "BAO_ADDR");
}

#[test]
fn the_volume_is_named_when_there_are_files() {
    let case = Case::new();
    let config = format!("files: {{ s: \"{}\" }}\n", case.secret("s", "value"));
    let environment = environment(case.with_files(&config).env("SECRET_EXEC_DIR", "/of/an/outer/wrapper"));
    has(&environment, &format!("SECRET_EXEC_DIR={}", case.volume().display()));
}

#[test]
fn inherited_references_are_resolved_when_they_are_the_whole_value() {
    let case = Case::new();
    let run = local(&case, "")
        .env("PASSWORD", "vault:secret/data/db#password")
        .env("STRIPE", "aws-sm:prod/stripe#key")
        .env("WHOLE", "aws-sm:prod/stripe")
        .env("CIPHER", "vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==")
        .env("PATHLIKE", "vault:/secret/data/db#password")
        .env("SENTENCE", "see vault:secret/data/db#password")
        .env("ARN", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf")
        .env("LINK", "vault:secret/data/link#value");
    let environment = environment(run);
    has(&environment, "PASSWORD=p w/ü");
    has(&environment, "STRIPE=sk_1");
    has(&environment, "WHOLE={\"key\":\"sk_1\"}");
    has(&environment, "CIPHER=vault:v1:8SDd3WHDOjf7mq69CyCqYjBXAiQQAVZRkFM13ok481zoCmHnSeDX9vyf7w==");
    has(&environment, "PATHLIKE=vault:/secret/data/db#password");
    has(&environment, "SENTENCE=see vault:secret/data/db#password");
    has(&environment, "ARN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf");
    // A fetched value is never resolved again.
    has(&environment, "LINK=vault:secret/data/db#password");
}

#[test]
fn which_inherited_references_are_resolved_can_be_chosen() {
    let case = Case::new();
    let all = |run: Run| {
        run.env("A", "vault:secret/data/app#first")
            .env("B", "aws-sm:prod/stripe#key")
            .env("C", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf")
    };
    let none = environment(all(local(&case, "env: { K: \"aws-sm:prod/stripe#key\" }").args(&["--inherit", "none"])));
    has(&none, "A=vault:secret/data/app#first");
    has(&none, "B=aws-sm:prod/stripe#key");
    let arns = environment(all(local(&case, "").args(&["--inherit", "vault,aws-sm,arn"])));
    has(&arns, "A=one");
    has(&arns, "C=from-arn");
    let one = environment(all(local(&case, "inherit: aws-sm")));
    has(&one, "A=vault:secret/data/app#first");
    has(&one, "B=sk_1");
}

#[test]
fn an_entry_of_the_config_wins_over_an_inherited_one() {
    let case = Case::new();
    let run = local(&case, "env: { A: \"vault:secret/data/app#second\" }").env("A", "vault:secret/data/app#first");
    has(&environment(run), "A=two");
    let run = local(&case, "env: { B: \"vault:secret/data/app#second\" }").env("B", "plain");
    has(&environment(run), "B=two");
}

#[test]
fn every_key_of_a_map_becomes_a_variable() {
    let case = Case::new();
    let environment = environment(local(&case, "envFrom: [ { from: \"vault:secret/data/app\", prefix: APP_ } ]"));
    has(&environment, "APP_first=one");
    has(&environment, "APP_second=two");
}

#[test]
fn a_key_from_a_backend_may_not_become_a_loaders_variable() {
    let case = Case::new();
    let run = local(&case, "envFrom: [ { from: \"vault:secret/data/bad\" } ]");
    let outcome = case.refused(run, 65, &["LD_PRELOAD", "vault:secret/data/bad"]);
    assert!(!outcome.err().contains("evil"), "{outcome}");
    // What the configuration names itself, the operator has chosen.
    let said = "env: { LD_PRELOAD: { template: \"\" } }\nenvFrom: [ { from: \"vault:secret/data/bad\" } ]";
    has(&environment(local(&case, said)), "LD_PRELOAD=");
}

#[test]
fn two_sources_of_one_variable_are_an_error() {
    let case = Case::new();
    let config = "envFrom: [ { from: \"vault:secret/data/app\" } ]\nenv: { first: \"vault:secret/data/db#username\" }";
    case.refused(local(&case, config), 64, &["first", "prefix"]);
}

#[test]
fn a_template_makes_a_variable() {
    let case = Case::new();
    let config = "secrets: { db: \"vault:secret/data/db\" }\nenv:\n  URL: { template: \"postgres://{{ secret('db').username }}:\
                  {{ secret('db').password | urlencode }}@db:{{ secret('db').port }}/app\" }\n";
    has(&environment(local(&case, config)), "URL=postgres://app:p%20w%2F%C3%BC@db:5432/app");
}

#[test]
fn a_new_user_gets_a_new_home() {
    needs_root!();
    let case = Case::new();
    let run = |config: &str| {
        local(&case, &format!("{config}\nenv: {{ K: \"aws-sm:prod/stripe#key\" }}"))
            .root()
            .env("HOME", "/root")
            .env("USER", "root")
            .env("LOGNAME", "root")
    };
    let fresh = environment(run("runAs: nobody"));
    has(&fresh, "USER=nobody");
    has(&fresh, "LOGNAME=nobody");
    has_no(&fresh, "HOME=/root");
    let kept = environment(run("runAs: nobody\npassEnv: [ HOME ]"));
    has(&kept, "HOME=/root");
}

#[test]
fn a_value_with_nul_is_refused_and_named() {
    let case = Case::new();
    let env = format!("TOKEN={}", case.secret("s", b"canary\0tail"));
    let reference = case.secret("s", b"canary\0tail");
    let outcome = case.refused(case.run().args(&["--env", &env]), 65, &["cannot set env TOKEN: ", &reference, "NUL"]);
    assert!(!outcome.err().contains("canary"), "{outcome}");
    let entries = case.write("local.yaml", r#"vault:a/b: { data: { k: "canary\0tail", l: x } }"#);
    let refused = |yaml: &str, says: &[&str]| {
        let run = case.with_config(yaml).args(&["--local".as_ref(), entries.as_os_str()]);
        let outcome = case.refused(run, 65, says);
        assert!(!outcome.err().contains("canary"), "{outcome}");
    };
    refused(
        "envFrom: [ { from: \"vault:a/b\", prefix: P_ } ]",
        &["vault:a/b: the value of key \"k\" holds a NUL byte"],
    );
    refused(
        r#"env: { X: { template: "{{ secret('vault:a/b').k }}" } }"#,
        &["cannot set env X: what its template writes"],
    );
}

#[test]
fn a_value_over_the_kernels_limit_is_refused_and_named() {
    let case = Case::new();
    let big = "x".repeat(131_072 - "BIG=".len());
    let env = format!("BIG={}", case.secret("s", &big));
    case.refused(case.run().args(&["--env", &env]), 65, &["BIG", "file"]);
    let fits = format!("BIG={}", case.secret("t", &big[1..]));
    has(&environment(case.run().args(&["--env", &fits])), &format!("BIG={}", &big[1..]));
}

#[test]
fn a_near_reference_never_reaches_the_app() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let case = Case::new();
    for value in
        [&b" vault:canary#k"[..], b"\"vault:canary#k\"", b"'aws-sm:canary'", b"vault:can\xffary#k", b"\xffvault:a#k"]
    {
        let value = OsStr::from_bytes(value);
        let outcome = case.refused(case.run().env("DB", value), 64, &["environment variable DB", "passEnv"]);
        assert!(!outcome.err().contains("canary"), "{outcome}");
        let passed = case.run().env("DB", value).args(&["--set", "passEnv=[DB]"]).sh("printf %s \"$DB\"").output();
        assert_eq!(passed.stdout, value.as_bytes(), "{passed}");
    }
    let name = OsStr::from_bytes(b"D\xff");
    case.refused(case.run().env(name, "vault:canary#k"), 64, &["not UTF-8"]);
    let outcome = case.run().env(name, "x").env("LATIN", OsStr::from_bytes(b"caf\xe9")).sh("exit 3").output();
    assert_eq!(outcome.code(), Some(3), "{outcome}");
}

/// Loose, for a loaded machine: what grows with the square takes a hundred times as long.
#[test]
fn forty_thousand_inherited_variables_cost_no_more_than_their_share() {
    let case = Case::new();
    let median = |count: usize| {
        let mut times: Vec<_> = (0..3)
            .map(|_| {
                let mut run = case.run_bare();
                for number in 0..count {
                    run = run.env(format!("SERVICE_{number}_PORT"), "tcp://10.0.0.1:80");
                }
                let begin = std::time::Instant::now();
                let outcome = run.limit(libc::RLIMIT_STACK, 64 << 20).app(&["/bin/true"]).output();
                assert_eq!(outcome.code(), Some(0), "{outcome}");
                begin.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[1]
    };
    let (few, many) = (median(1_000), median(40_000));
    assert!(many < few * 40 + std::time::Duration::from_secs(1), "{few:?} {many:?}");
}
