//! What the log says: at debug and trace, what a person needs to find a problem of DNS, TLS, proxies, tries or schedules, and
//! never a value.

use std::fs;

use serde_json::json;

use support::*;

const DEBUG: [&str; 2] = ["--log-level", "debug"];

/// A KV secret in a corner of the shared server, read over TLS.
fn scene(address: impl Fn(u16) -> String) -> (Case, String) {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let ca = certificates().join("ca.pem");
    let config = format!(
        "vault:\n  address: {}\n  caFile: {}\n  auth: {}\nenv: {{ X: \"vault:{kv}/data/app#k\" }}\n",
        address(space.bao.tls_port),
        ca.display(),
        login.auth
    );
    (case, config)
}

#[track_caller]
fn says(outcome: &Outcome, texts: &[&str]) {
    for text in texts {
        assert!(outcome.err().contains(text), "{text:?} is missing: {outcome}");
    }
}

#[test]
fn debug_says_the_address_the_dns_answer_the_certificates_and_each_request() {
    let (case, config) = scene(|port| format!("https://localhost:{port}"));
    let outcome = case.with_config(&config).args(&DEBUG).app(&["true"]).output();
    outcome.ok();
    let texts = ["DNS: localhost is 127.0.0.1", "TLS with localhost: certificate 1 is ", "(issued by ", ", ends "];
    says(&outcome, &texts);
    says(&outcome, &["the chain is accepted", "/v1/auth/approle", "status 200 from 127.0.0.1:", " ms"]);
    // At info none of it is said.
    let outcome = case.with_config(&config).app(&["true"]).output();
    assert!(!outcome.err().contains("DNS: ") && !outcome.err().contains("request: "), "{outcome}");
}

#[test]
fn debug_says_why_a_connection_failed_with_the_class_and_the_wait_of_each_try() {
    let (case, config) = scene(|port| format!("https://nobody.invalid:{port}"));
    let run = case.with_config(&config).args(&DEBUG).args(&["--timeout", "1s"]);
    let outcome = case.refused(run, 69, &["does not resolve"]);
    says(&outcome, &["DNS: nobody.invalid does not resolve: ", "try 1 failed (transient); the next is in "]);
    let (case, config) = scene(|port| format!("https://127.0.0.9:{port}"));
    let run = case.with_config(&config).args(&DEBUG).args(&["--timeout", "1s"]);
    let outcome = case.refused(run, 69, &["refuses the connection"]);
    says(&outcome, &["tcp connect error: Connection refused"]);
    let (case, config) = scene(|port| format!("https://localhost:{port}"));
    let other = certificates().join("other-ca.pem");
    let set = format!("vault.caFile={}", other.display());
    let outcome = case.refused(case.with_config(&config).args(&DEBUG).args(&["--set", &set]), 69, &["unknown issuer"]);
    says(&outcome, &["certificate 1 is ", "the chain is not accepted: "]);
}

#[test]
fn debug_says_which_proxy_is_used_and_why_none_is() {
    let (case, config) = scene(|port| format!("https://bao.test:{port}"));
    let proxy = Proxy::before(1);
    let address = format!("http://user:canary-pw@127.0.0.1:{}", proxy.port);
    let run = || case.with_config(&config).args(&DEBUG).env("HTTPS_PROXY", &address);
    let outcome = run().app(&["true"]).output();
    outcome.ok();
    says(&outcome, &[&format!("through the proxy http://127.0.0.1:{} (HTTPS_PROXY)", proxy.port)]);
    assert!(!outcome.err().contains("canary-pw"), "{outcome}");
    let outcome = run().env("NO_PROXY", ".test").args(&["--timeout", "300ms"]).app(&["true"]).output();
    says(&outcome, &["directly (NO_PROXY covers it, so HTTPS_PROXY does not count)"]);
    assert!(!outcome.err().contains("canary-pw"), "{outcome}");
}

#[test]
fn debug_says_what_the_schedule_decides() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let login = space.approle(&case, &[&format!("{database}/creds/*")]);
    let config =
        format!("{}files: {{ db: {{ from: \"vault:{database}/creds/short\", format: json }} }}\n", space.vault(&login));
    let mut running = case.with_files(&config).command("sidecar").args(&["--log-level", "trace"]).start();
    let text = format!("schedule: vault:{database}/creds/short: next is a renewal of the lease in ");
    running.reports(&text);
    running.reports("schedule: nothing is due for ");
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    says(&outcome, &[&text, "; it ends in ", "schedule: the token of ", "schedule: nothing is due for "]);
}

#[test]
fn a_backend_that_does_not_answer_is_waited_for_with_a_line() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let proxy = Proxy::before(space.bao.port);
    proxy.on("/login", Plan::Hang);
    let config = format!("{}env: {{ X: \"vault:{kv}/data/app#k\" }}\n", space.vault_at(&proxy.address(), &login));
    let outcome = case.refused(
        case.with_config(&config).args(&["--timeout", "10s"]),
        69,
        &["no answer before the deadline|gave no answer within"],
    );
    let waiting = format!("waiting for the login to {} with ", proxy.address());
    says(&outcome, &[&waiting, "no answer for 2 s", "gave no answer within 2.5 s; trying again"]);
}

/// Everything that makes a login, as it stands in files and variables.
const AWS_KEY: &str = "canary-aws-key-77";
const PROXY_PASSWORD: &str = "canary-proxy-pw-88";
const VALUE: &str = "canary-value-99";

#[test]
fn trace_shows_no_value_and_no_credential_in_any_mode() {
    let (case, space, moto) = (Case::new(), Space::new(OpenBao::shared()), Moto::shared());
    let kv = space.kv2(&[("a", json!({ "k": VALUE }))]);
    let paths = [format!("{kv}/data/*")];
    let name = format!("it-{}/trace", unique());
    moto.create(&name, &json!({ "key": VALUE }).to_string());
    let proxy = Proxy::before(1);
    let secret_of = |login: &Login| {
        let file = login.auth.split(['"', ' ', ',']).find(|word| word.starts_with('/')).unwrap().trim_end_matches('}');
        fs::read_to_string(file).unwrap().trim().to_owned()
    };
    let logins = [
        space.approle(&case, &[&paths[0]]),
        space.jwt(&[&paths[0]], "web.jwt"),
        space.token(&case, &[&paths[0]], json!({})).0,
    ];
    for login in logins {
        let secret = secret_of(&login);
        let config = format!(
            "vault:\n  address: https://bao.test:{}\n  caFile: {}\n  auth: {}\n\
             files: {{ a: \"vault:{kv}/data/a#k\", b: \"aws-sm:{name}#key\", t: {{ template: \"{{{{ secret('vault:{kv}/data/a').k }}}}\" }} }}\n",
            space.bao.tls_port,
            certificates().join("ca.pem").display(),
            login.auth
        );
        for format in ["text", "json"] {
            for mode in ["exec", "supervise", "sidecar"] {
                let run = case.with_files(&config).args(&["--log-level", "trace", "--log-format", format]);
                let run = moto.env(run).env("AWS_SECRET_ACCESS_KEY", AWS_KEY).env("AWS_SESSION_TOKEN", AWS_KEY);
                let run = run.env("HTTPS_PROXY", format!("http://user:{PROXY_PASSWORD}@127.0.0.1:{}", proxy.port));
                let run = run.env("RUST_LOG", "trace");
                let outcome = match mode {
                    "exec" => run.app(&["true"]).output(),
                    "supervise" => run.arg("--supervise").app(&["true"]).output(),
                    _ => {
                        let mut running = run.command("sidecar").start();
                        running.reports("schedule: nothing is due for ");
                        running.signal(libc::SIGHUP);
                        running.reports("schedule: starts to read");
                        running.signal(libc::SIGTERM);
                        running.end()
                    }
                };
                assert_eq!(outcome.code(), Some(0), "{mode} {format}: {outcome}");
                let said = format!("{}{}", outcome.out(), outcome.err());
                assert!(
                    said.contains("request: ") && said.contains("DNS: ") | said.contains("through the proxy"),
                    "{said}"
                );
                for canary in [VALUE, AWS_KEY, PROXY_PASSWORD, &secret] {
                    assert!(!said.contains(canary), "{mode} {format}: {canary} is in {said}");
                }
                let words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
                assert!(!words.into_iter().any(|word| word.len() == 26 && word.starts_with("s.")), "a token: {said}");
            }
        }
    }
}
