//! Reading from Vault: each secret once, every engine, what is missing, what is leased, what is retried.

use std::time::{Duration, Instant};

use serde_json::json;

use support::*;

/// `printf` of these variables after a start with that config.
#[track_caller]
fn printed(run: Run, variables: &str) -> String {
    run.sh(&format!("printf %s \"{variables}\"")).output().ok()
}

#[test]
fn each_distinct_secret_is_read_once() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "x": "1", "y": "2" })), ("b", json!({ "z": "3" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!(
        "{}secrets: {{ a: \"vault:{kv}/data/a\" }}\n\
         env: {{ X: \"vault:{kv}/data/a#x\", Y: \"a#y\", Z: {{ template: \"{{{{ secret('vault:{kv}/data/b#z') }}}}\" }} }}\n\
         envFrom: [ {{ from: \"vault:{kv}/data/b\", prefix: ALL_ }} ]\n\
         files: {{ a.json: a }}\n",
        space.vault(&login)
    );
    assert_eq!(printed(case.with_files(&config), "$X$Y$Z$ALL_z"), "1233");
    let mut requests = space.requests();
    assert_eq!(requests.remove(0), format!("update {}", login.path));
    assert_eq!(requests.pop().unwrap(), "update auth/token/revoke-self");
    requests.sort();
    assert_eq!(requests, [format!("read {kv}/data/a"), format!("read {kv}/data/b")]);
}

/// What bank-vaults' `vault-env` resolves; two references to one secret are one read.
#[test]
fn the_forms_of_bank_vaults_are_resolved() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "u": "one", "p": "p\"w{{x}}" })), ("a", json!({ "u": "two", "p": "q" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}inherit: bank-vaults\n", space.vault(&login));
    let run = |value: String| case.with_config(&config).env("X", value);
    for (value, expected) in [
        (format!("vault:{kv}/data/a#u"), "two"),
        (format!("bao:{kv}/data/a#u"), "two"),
        (format!("vault:{kv}/data/a#u#1"), "one"),
        (format!("pg://${{vault:{kv}/data/a#u}}:${{bao:{kv}/data/a#p#1}}@db/{{{{y}}}}"), "pg://two:p\"w{{x}}@db/{{y}}"),
        (format!("vault:{kv}/data/a#${{.u}}:${{.p}}"), "two:q"),
        (
            format!("pg://${{vault:{kv}/data/a#${{.u | upper}}}}:${{vault:{kv}/data/a#${{.p | urlquery}}#1}}@db"),
            "pg://TWO:p%22w%7B%7Bx%7D%7D@db",
        ),
        (format!("vault:{kv}/data/a#${{.none | default \"-\"}}${{.u | b64enc}}#1"), "-b25l"),
        ("vault:v1:abc#x".to_owned(), "vault:v1:abc#x"),
        ("vault:8200".to_owned(), "vault:8200"),
    ] {
        assert_eq!(printed(run(value), "$X"), expected);
    }
    let refused =
        |key: &str, status, says: &[&str]| case.refused(run(format!("vault:{kv}/data/a#{key}")), status, says);
    refused("${.u | htpasswd}", 65, &["environment variable X", "\"htpasswd\" is refused"]);
    refused("${.nope | upper}", 65, &["cannot set env X", "map has no entry for key \"nope\""]);
    let plain = case.with_config(&space.vault(&login)).env("X", format!("pg://${{vault:{kv}/data/a#u}}"));
    case.refused(plain, 64, &["environment variable X", "bank-vaults", "passEnv"]);
}

/// The token of our login, which ends with this program unless it stays beside the app.
#[test]
fn the_token_of_the_login_is_given_to_an_app_beside_which_we_stay() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let login = space.approle(&case, &["auth/token/lookup-self"]);
    let config = format!("{}inherit: bank-vaults\n", space.vault(&login));
    for name in ["X", "VAULT_TOKEN", "BAO_TOKEN"] {
        let run = || case.with_config(&config).env(name, "vault:login");
        let out = printed(run().arg("--supervise"), &format!("${name}"));
        assert!(out.len() > 20, "{out}");
        case.refused(run(), 64, &["lookup-self"]);
    }
}

#[test]
fn kv_version_2_gives_the_newest_or_the_version_asked_for() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" })), ("a", json!({ "k": "two" })), ("a", json!({ "k": "three" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config =
        |reference: &str| case.with_config(&format!("{}env: {{ X: \"vault:{reference}\" }}\n", space.vault(&login)));
    assert_eq!(printed(config(&format!("{kv}/data/a#k")), "$X"), "three");
    assert_eq!(printed(config(&format!("{kv}/data/a?version=1#k")), "$X"), "one");
    assert_eq!(printed(config(&format!("{kv}/data/a")), "$X"), "{\"k\":\"three\"}");
    let says = [&format!("vault:{kv}/data/a?version=9#k"), "version 9 does not exist", "newest is version 3"];
    case.refused(config(&format!("{kv}/data/a?version=9#k")), 65, &says);
    // A secret that is not there at all has no version to name.
    let outcome = case.refused(config(&format!("{kv}/data/none?version=9#k")), 65, &["nothing at that path"]);
    assert!(!outcome.err().contains("newest"), "{outcome}");

    space.bao.write(&format!("{kv}/delete/a"), json!({ "versions": [3] }));
    space.bao.write(&format!("{kv}/destroy/a"), json!({ "versions": [2] }));
    case.refused(config(&format!("{kv}/data/a#k")), 65, &[&format!("{kv}/data/a"), "deleted"]);
    case.refused(config(&format!("{kv}/data/a?version=2#k")), 65, &["destroyed"]);
    case.refused(config(&format!("{kv}/data/a?version=9#k")), 65, &["version 9 does not exist", "newest is version 3"]);
    assert_eq!(printed(config(&format!("{kv}/data/a?version=1#k")), "$X"), "one");
}

#[test]
fn a_version_that_will_be_deleted_later_is_there_until_then() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[]);
    space.bao.write(&format!("{kv}/metadata/a"), json!({ "delete_version_after": "1h" }));
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "value" } }));
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}env: {{ X: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    assert_eq!(printed(case.with_config(&config), "$X"), "value");
}

#[test]
fn kv_version_1_and_odd_paths_are_read_as_they_are() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let envelope = json!({ "data": { "k": "inner" }, "metadata": { "version": 1, "created_time": "", "deletion_time": "", "destroyed": false } });
    let kv = space.kv1(&[
        ("a", json!({ "k.with#odd": "value" })),
        ("like-v2", envelope),
        ("with%20blank%3Fand%23more", json!({ "k": "odd" })),
    ]);
    let login = space.approle(&case, &[&format!("{kv}/*")]);
    let config = format!(
        "{}env: {{ A: \"vault:{kv}/a#k.with#odd\", B: \"vault:{kv}/like-v2#data\", C: \"vault:{kv}/with blank%3Fand%23more#k\" }}\n",
        space.vault(&login)
    );
    assert_eq!(printed(case.with_config(&config), "$A|$B|$C"), "value|{\"k\":\"inner\"}|odd");
}

#[test]
fn a_path_without_data_is_refused_with_the_right_one() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("app", json!({ "k": "value" }))]);
    let config =
        |login: &Login| case.with_config(&format!("{}env: {{ X: \"vault:{kv}/app#k\" }}\n", space.vault(login)));
    // One that may see the 404, and a least-privileged one, which gets a 403 for it.
    let wide = space.approle(&case, &[&format!("{kv}/*")]);
    case.refused(config(&wide), 65, &[&format!("{kv}/data/app")]);
    let narrow = space.approle(&case, &[&format!("{kv}/data/*")]);
    case.refused(config(&narrow), 77, &[&format!("{kv}/data/app")]);
}

#[test]
fn every_failure_is_listed_and_the_worst_gives_the_code() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "canary-value" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/a"), &format!("{kv}/data/none")]);
    let config = format!(
        "{}env: {{ A: \"vault:{kv}/data/a#nokey\", B: \"vault:{kv}/data/none#k\", C: \"vault:{kv}/data/denied#k\", D: \"vault:{kv}/data/a#k\" }}\n",
        space.vault(&login)
    );
    let says = [
        format!("vault:{kv}/data/a#nokey"),
        format!("vault:{kv}/data/none#k"),
        format!("vault:{kv}/data/denied#k"),
        "403".to_owned(),
        format!("read on {kv}/data/denied"),
    ];
    let outcome = case.refused(case.with_config(&config), 77, &says.each_ref().map(String::as_str));
    assert!(!outcome.err().contains("canary"), "{outcome}");
    // What was issued is revoked after a failed start.
    assert_eq!(space.requests().last().unwrap(), "update auth/token/revoke-self");
    assert!(!space.bao.token_lives(&space.accessors()[0]));
}

#[test]
fn a_missing_key_names_the_keys_there_are() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "password": "canary-value", "username": "u" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}env: {{ A: \"vault:{kv}/data/a#passwort\" }}\n", space.vault(&login));
    let outcome = case.refused(case.with_config(&config), 65, &["passwort", "password", "username"]);
    assert!(!outcome.err().contains("canary"), "{outcome}");
}

#[test]
fn a_mount_that_is_not_there_is_named() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let login = space.approle(&case, &["nowhere/*"]);
    let config = format!("{}env: {{ A: \"vault:nowhere/a#k\" }}\n", space.vault(&login));
    case.refused(case.with_config(&config), 65, &["vault:nowhere/a"]);
}

#[test]
fn a_leased_secret_is_refused_in_exec_and_init_and_nothing_is_left() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let login = space.approle(&case, &[&format!("{database}/creds/*")]);
    let config = format!(
        "{}secrets: {{ db: \"vault:{database}/creds/web\" }}\nfiles: {{ user: db#username }}\n",
        space.vault(&login)
    );
    case.refused(case.with_files(&config), 64, &["--supervise", "sidecar", "--leave-leases"]);
    let outcome = case.with_files(&config).command("init").output();
    outcome.refused(64, &["--leave-leases"]);
    wait_for("the end of what was issued", || (space.leases(&database, "web") == 0).then_some(()));
    assert!(space.accessors().iter().all(|accessor| !space.bao.token_lives(accessor)));
}

#[test]
fn leave_leases_leaves_token_and_lease_alive_and_says_until_when() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let login = space.approle(&case, &[&format!("{database}/creds/*")]);
    let config = format!(
        "{}secrets: {{ db: \"vault:{database}/creds/web\" }}\nenv: {{ U: db#username, P: db#password }}\n",
        space.vault(&login)
    );
    let run = case.with_config(&config).arg("--leave-leases").args(&["--log-format", "json"]);
    let outcome = run.sh("printf '%s %s' \"$U\" \"$P\"").output();
    let said = outcome.ok();
    let (user, password) = said.split_once(' ').unwrap();
    assert_eq!(
        Postgres::shared().sql_as(user, password, "SELECT 1").unwrap(),
        "1",
        "one lease: user and password belong together"
    );
    assert_eq!(space.leases(&database, "web"), 1);
    assert!(space.bao.token_lives(&space.accessors()[0]));
    assert!(outcome.err().contains("\"event\":\"leave\""), "{outcome}");
    assert!(!space.requests().iter().any(|request| request.contains("revoke")));
}

#[test]
fn a_supervisor_has_one_lease_while_the_app_runs_and_revokes_it_afterwards() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let login = space.approle(&case, &[&format!("{database}/creds/*")]);
    let config = format!(
        "{}secrets: {{ db: \"vault:{database}/creds/web\" }}\nsupervise: true\nenv: {{ U: db#username }}\nfiles: {{ db.json: db }}\n",
        space.vault(&login)
    );
    let mut running =
        case.with_files(&config).sh("trap 'exit 0' TERM; echo user=$U; while :; do sleep 0.05; done").start();
    running.says("user=");
    assert_eq!(space.leases(&database, "web"), 1);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    outcome.ok();
    wait_for("the end of the lease", || (space.leases(&database, "web") == 0).then_some(()));
    assert!(!space.bao.token_lives(&space.accessors()[0]));
    let issued = space.requests().into_iter().filter(|request| request.starts_with("read database")).count();
    assert_eq!((issued, space.accessors().len()), (1, 1), "{:?}", space.requests());
}

#[test]
fn a_failed_start_of_a_supervisor_revokes_what_was_issued() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let login = space.approle(&case, &[&format!("{database}/creds/*")]);
    let config = format!(
        "{}env: {{ U: \"vault:{database}/creds/web#username\", X: \"vault:{database}/creds/web#nothing\" }}\n",
        space.vault(&login)
    );
    case.refused(case.with_config(&config).arg("--supervise"), 65, &["nothing"]);
    wait_for("the end of the lease", || (space.leases(&database, "web") == 0).then_some(()));
    assert!(!space.bao.token_lives(&space.accessors()[0]));
}

#[test]
fn a_lease_under_a_token_file_is_revoked_by_itself() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let (login, accessor) = space.token(&case, &[&format!("{database}/creds/*"), "sys/leases/revoke"], json!({}));
    let config =
        format!("{}supervise: true\nenv: {{ U: \"vault:{database}/creds/web#username\" }}\n", space.vault(&login));
    case.with_config(&config).app(&["true"]).output().ok();
    wait_for("the end of the lease", || (space.leases(&database, "web") == 0).then_some(()));
    assert!(space.bao.token_lives(&accessor));
}

#[test]
fn a_static_database_role_has_no_lease() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let database = space.database();
    let login = space.approle(&case, &[&format!("{database}/static-creds/*")]);
    let config = format!(
        "{}env: {{ U: \"vault:{database}/static-creds/batch#username\", P: \"vault:{database}/static-creds/batch#password\" }}\n",
        space.vault(&login)
    );
    let said = printed(case.with_config(&config), "$U $P");
    let (user, password) = said.split_once(' ').unwrap();
    Postgres::shared().sql_as(user, password, "SELECT 1").unwrap();
}

#[test]
fn a_certificate_is_issued_by_a_write_once() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let pki = format!("pki-{}", space.id);
    space.bao.write(&format!("sys/mounts/{pki}"), json!({ "type": "pki" }));
    space.bao.write(
        &format!("{pki}/root/generate/internal"),
        json!({ "common_name": "suite", "key_type": "ec", "key_bits": 256 }),
    );
    let role = json!({ "allowed_domains": ["web.test"], "allow_subdomains": true, "allow_bare_domains": true, "key_type": "ec", "key_bits": 256, "max_ttl": "1h" });
    space.bao.write(&format!("{pki}/roles/web"), role);
    let login = space.approle(&case, &[&format!("{pki}/issue/*")]);
    let config = format!(
        "{}secrets: {{ tls: \"vault:{pki}/issue/web?common_name=a.web.test&ttl=10m\" }}\nfiles: {{ tls.crt: tls#certificate, tls.key: tls#private_key }}\n",
        space.vault(&login)
    );
    let app = "openssl x509 -in $SECRET_EXEC_DIR/tls.crt -noout -subject && openssl pkey -in $SECRET_EXEC_DIR/tls.key -pubout; \
               openssl x509 -in $SECRET_EXEC_DIR/tls.crt -noout -pubkey";
    let said = case.with_files(&config).arg("--leave-leases").sh(app).output().ok(); // it ends while the app runs
    assert!(said.contains("a.web.test"), "{said}");
    let keys: Vec<_> = said.split("-----BEGIN PUBLIC KEY-----").skip(1).collect();
    assert_eq!(keys[0].trim(), keys[1].trim(), "certificate and key are of one issue");
    let issued = space.requests().into_iter().filter(|request| request.contains("/issue/")).collect::<Vec<_>>();
    assert_eq!(issued, [format!("update {pki}/issue/web")]);
}

#[test]
fn transit_ciphertexts_arrive_as_they_were_written() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let transit = format!("transit-{}", space.id);
    space.bao.write(&format!("sys/mounts/{transit}"), json!({ "type": "transit" }));
    space.bao.write(&format!("{transit}/keys/k"), json!({}));
    let ciphertext = wait_for("a ciphertext with a plus", || {
        let made = space.bao.write(&format!("{transit}/encrypt/k"), json!({ "plaintext": base64(b"plain text") }));
        let text = made["data"]["ciphertext"].as_str().unwrap().to_owned();
        text.contains('+').then_some(text)
    });
    let login = space.approle(&case, &[&format!("{transit}/decrypt/*")]);
    let config = format!(
        "{}files: {{ s: {{ from: {}, decode: base64 }} }}\n",
        space.vault(&login),
        quoted(&format!("vault:{transit}/decrypt/k?ciphertext={ciphertext}#plaintext"))
    );
    assert_eq!(case.with_files(&config).sh("cat $SECRET_EXEC_DIR/s").output().ok(), "plain text");
}

/// A proxy before the shared server, and a config that reads one secret through it.
fn through_a_proxy(case: &Case, space: &Space) -> (Proxy, String) {
    let kv = space.kv2(&[("a", json!({ "k": "value" }))]);
    let login = space.approle(case, &[&format!("{kv}/data/*")]);
    let proxy = Proxy::before(space.bao.port);
    let config = format!("{}env: {{ X: \"vault:{kv}/data/a#k\" }}\n", space.vault_at(&proxy.address(), &login));
    (proxy, config)
}

#[test]
fn what_passes_by_itself_is_tried_again() {
    for plan in [
        Plan::Close,
        Plan::Answer(503, String::new(), "{\"errors\":[\"Vault is sealed\"]}".into()),
        Plan::Answer(500, String::new(), "{\"errors\":[\"internal error\"]}".into()),
        Plan::Answer(502, String::new(), "<html>bad gateway</html>".into()),
        Plan::Answer(473, String::new(), String::new()),
        Plan::Answer(408, String::new(), String::new()),
        Plan::Answer(412, String::new(), "{\"errors\":[]}".into()),
        Plan::Cut(10),
    ] {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let (proxy, config) = through_a_proxy(&case, &space);
        proxy.next([plan.clone(), Plan::Forward, plan]);
        assert_eq!(printed(case.with_config(&config), "$X"), "value");
    }
}

#[test]
fn retry_after_is_honoured() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (proxy, config) = through_a_proxy(&case, &space);
    proxy.next([Plan::Forward, Plan::Answer(429, "Retry-After: 2\r\n".into(), "{\"errors\":[]}".into())]);
    let start = Instant::now();
    assert_eq!(printed(case.with_config(&config), "$X"), "value");
    assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(proxy.requests().len() <= 4, "{:?}", proxy.requests().len());
}

#[test]
fn a_retry_after_beyond_the_deadline_is_told_as_it_was_sent() {
    for (sent, said) in [("3600", "3600 s"), ("99999999999999999999", "more than a year")] {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let (proxy, config) = through_a_proxy(&case, &space);
        let plan = Plan::Answer(429, format!("Retry-After: {sent}\r\n"), "{\"errors\":[]}".into());
        proxy.next([Plan::Forward, plan]);
        let asked = format!("no other try: the server asks to wait {said} (Retry-After)");
        case.refused(case.with_config(&config), 69, &[&asked, &format!("Retry-After {said}")]);
    }
}

#[test]
fn a_signal_at_the_start_is_said_in_the_words_of_the_mode() {
    for (command, said) in [
        ("sidecar", "before the secrets were delivered"),
        ("init", "before the secrets were delivered"),
        ("check", "before every reference was tried"),
        ("", "before the app started"),
    ] {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let (proxy, config) = through_a_proxy(&case, &space);
        proxy.always(Plan::Hang);
        let key = if command.is_empty() { "env" } else { "files" };
        let run = case.with_files(&config.replace("env:", &format!("{key}:")));
        let running = match command {
            "" => run.sh("true").start(),
            "check" => run.command(command).arg("--online").start(),
            command => run.command(command).start(),
        };
        wait_for("a request", || (!proxy.requests().is_empty()).then_some(()));
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        assert!(outcome.err().contains(&format!("ended by SIGTERM {said}")), "{command}: {outcome}");
    }
}

#[test]
fn a_backend_that_stays_away_ends_with_69_at_the_deadline() {
    for plan in [Plan::Close, Plan::Hang, Plan::Answer(503, String::new(), "{\"errors\":[\"Vault is sealed\"]}".into())]
    {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let (proxy, config) = through_a_proxy(&case, &space);
        proxy.always(plan.clone());
        let start = Instant::now();
        case.refused(case.with_config(&config).args(&["--timeout", "2s"]), 69, &[&proxy.address()]);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(500) && took < Duration::from_secs(8), "{plan:?}: {took:?}");
        let tries = proxy.requests().len();
        assert!((1..=20).contains(&tries), "{plan:?}: {tries} requests in two seconds");
    }
}

#[test]
fn a_denied_read_is_not_tried_again() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "value" }))]);
    let login = space.approle(&case, &["elsewhere/*"]);
    let config = format!("{}env: {{ X: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    let start = Instant::now();
    case.refused(case.with_config(&config), 77, &[]);
    assert!(start.elapsed() < Duration::from_secs(20));
    let reads = space.requests().into_iter().filter(|request| *request == format!("read {kv}/data/a")).count();
    assert_eq!(reads, 1);
}

#[test]
fn an_answer_that_is_no_json_or_far_too_large_is_refused() {
    for body in
        ["<html>a login page</html>".to_owned(), format!("{{\"data\":{{\"k\":\"{}\"}}}}", "canary".repeat(4_000_000))]
    {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let (proxy, config) = through_a_proxy(&case, &space);
        proxy.next([Plan::Forward]);
        proxy.always(Plan::Answer(200, String::new(), body));
        let outcome = case.with_config(&config).args(&["--timeout", "5s"]).app(&case.marking_app()).output();
        assert!(!case.ran());
        outcome.refused(65, &["vault:"]);
        assert!(!outcome.err().contains("canary") && !outcome.err().contains("login page"), "{outcome}");
    }
}

#[test]
fn many_secrets_are_read_in_parallel() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let secrets: Vec<_> = (0..20).map(|n| (format!("s{n}"), json!({ "k": n.to_string() }))).collect();
    let secrets: Vec<_> = secrets.iter().map(|(path, data)| (path.as_str(), data.clone())).collect();
    let kv = space.kv2(&secrets);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let proxy = Proxy::before(space.bao.port);
    proxy.always(Plan::Delay(Duration::from_millis(200)));
    let entries: Vec<_> = (0..20).map(|n| format!("V{n}: \"vault:{kv}/data/s{n}#k\"")).collect();
    let config = format!("{}env: {{ {} }}\n", space.vault_at(&proxy.address(), &login), entries.join(", "));
    let start = Instant::now();
    assert_eq!(printed(case.with_config(&config), "$V0-$V19"), "0-19");
    // One after the other they would take four seconds.
    assert!(start.elapsed() < Duration::from_millis(2500), "{:?}", start.elapsed());
    assert_eq!(proxy.requests().len(), 22, "one login, twenty reads, one revocation");
}

#[test]
fn a_sealed_server_is_named_so() {
    let (case, bao) = (Case::new(), OpenBao::start());
    let space = Space::new(&bao);
    let login = space.approle(&case, &["x/*"]);
    let config = format!("{}env: {{ X: \"vault:x/y#z\" }}\n", space.vault(&login));
    bao.write("sys/seal", json!({}));
    case.refused(case.with_config(&config).args(&["--timeout", "1s"]), 69, &["sealed"]);
}

#[test]
fn a_certificate_authority_and_a_public_key_are_delivered_from_their_raw_endpoints() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (pki, ssh) = (format!("pki-{}", space.id), format!("ssh-{}", space.id));
    space.bao.write(&format!("sys/mounts/{pki}"), json!({ "type": "pki" }));
    space.bao.write(&format!("{pki}/root/generate/internal"), json!({ "common_name": "ca.test" }));
    space.bao.write(&format!("sys/mounts/{ssh}"), json!({ "type": "ssh" }));
    space.bao.write(&format!("{ssh}/config/ca"), json!({ "generate_signing_key": true }));
    let login = space.approle(&case, &[&format!("{pki}/*"), &format!("{ssh}/*")]);
    let config = format!(
        "{}files: {{ ca: \"vault:{pki}/ca/pem\", key: \"vault:{ssh}/public_key\", der: \"vault:{pki}/ca\", crl: \"vault:{pki}/crl\" }}",
        space.vault(&login)
    );
    case.with_files(&config).app(&["true"]).output().ok();
    let read = |name: &str| std::fs::read_to_string(case.volume().join(name)).unwrap();
    assert!(read("ca").starts_with("-----BEGIN CERTIFICATE-----"), "{}", read("ca"));
    for name in ["der", "crl"] {
        let bytes = std::fs::read(case.volume().join(name)).unwrap();
        assert_eq!(bytes[..2], [0x30, 0x82], "{name}: {} bytes", bytes.len());
    }
    assert!(read("key").starts_with("ssh-") || read("key").starts_with("ecdsa-"), "{}", read("key"));
}
