//! The real server on bad days: killed, sealed, without its storage, with another certificate.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{Stage, standing, status};
use support::*;

/// A stage on a server of its own, and the key that unseals it.
fn own() -> (Stage, &'static OpenBao, String) {
    let (bao, key) = OpenBao::lasting();
    // It ends with the thread that started it, which is the test's.
    let bao: &'static OpenBao = Box::leak(Box::new(bao));
    (Stage::on(bao, "45s", "1h"), bao, key)
}

/// What it is called, how it begins, and how it ends, but for the unsealing.
type FailureReport<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());

#[test]
fn killed_sealed_or_without_its_storage_the_server_finds_everybody_where_they_were() {
    let (stage, bao, key) = own();
    let kv = stage.space.kv2(&[("a", json!({ "k": "zero" })), ("b", json!({ "k": "zero" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let proxy = Proxy::before(bao.port);
    let config = format!(
        "{}refresh: 1s\nfiles: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\" }}\n",
        stage.space.vault_at(&proxy.address(), &login),
        stage.creds()
    );
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (stage.file("b") == "zero").then_some(()));
    let first = stage.file("db.json");
    let (storage, aside) = (bao.folder().join("storage"), bao.folder().join("aside"));
    let troubles: [FailureReport; 3] = [
        ("killed", &|| bao.stop(), &|| bao.start_again()),
        ("sealed", &|| drop(bao.write("sys/seal", Value::Null)), &|| ()),
        (
            "without its storage",
            &|| {
                bao.stop();
                fs::rename(&storage, &aside).unwrap();
                fs::create_dir(&storage).unwrap();
                bao.start_again();
                bao.wait_for_health(501);
            },
            &|| {
                bao.stop();
                fs::remove_dir_all(&storage).unwrap();
                fs::rename(&aside, &storage).unwrap();
                bao.start_again();
            },
        ),
    ];
    for (turn, (trouble, begin, end)) in troubles.iter().enumerate() {
        let before = proxy.requests().len();
        begin();
        let down = |text: &str| text.matches("does not answer; what was delivered stays").count();
        running.until("word of the outage", || (proxy.requests().len() > before).then_some(()));
        running.until("staleness", || {
            (standing(&status(&stage.case), "/data/a") == ("stale".into(), "transient".into())).then_some(())
        });
        let ready = stage.case.with_files(&config).command("status").arg("--ready").output();
        assert_eq!(ready.code(), Some(0), "{trouble}: an outage is no reason not to be ready\n{ready}");
        end();
        // Started again it is sealed, until somebody comes with the key.
        bao.wait_for_health(503);
        std::thread::sleep(Duration::from_secs(1));
        assert!(proxy.requests().len() - before <= 20, "{trouble}: {} requests", proxy.requests().len() - before);
        assert_eq!(stage.file("db.json"), first, "{trouble}: {}", running.stderr());
        bao.unseal(&key);
        let value = format!("after {turn}");
        bao.kv2_is_ready(&kv);
        bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": value } }));
        running.until("the change", || (stage.file("a") == value).then_some(()));
        assert!(down(&running.stderr()) <= turn + 1, "{}", running.stderr());
        let reads = stage.count(&format!("read {kv}/data/b"));
        running.until("reads as before", || (stage.count(&format!("read {kv}/data/b")) > reads + 2).then_some(()));
    }
    assert_eq!((stage.file("db.json"), stage.leases()), (first, 1), "{}", running.stderr());
    assert_eq!((stage.issued(), stage.logins(&login)), (1, 1), "{}", running.stderr());
    assert!(stage.credential_works());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

/// A configuration that trusts a file of certificates.
fn trusting(stage: &Stage, login: &Login, kv: &str, ca: &std::path::Path) -> String {
    format!(
        "{}  caFile: {}\nrefresh: 1s\n\
         files: {{ db.json: \"vault:{}\", a: \"vault:{kv}/data/a#k\", b: \"vault:{kv}/data/b#k\" }}\n",
        stage.space.vault_at(&format!("https://127.0.0.1:{}", stage.space.bao.tls_port), login),
        ca.display(),
        stage.creds()
    )
}

#[test]
fn another_certificate_of_the_same_ca_goes_unnoticed_and_one_of_a_stranger_is_survived() {
    let (stage, bao, key) = own();
    let kv = stage.space.kv2(&[("a", json!({ "k": "one" })), ("b", json!({ "k": "one" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let pem = |name: &str| fs::read(certificates().join(name)).unwrap();
    // A server that only reads its certificate again resumes the sessions of before, which prove it as well.
    let come_back_as = |name: &str| {
        bao.stop();
        bao.use_certificate(name);
        bao.start_again();
        bao.unseal(&key);
        bao.kv2_is_ready(&kv);
    };
    let ca = stage.case.write("ca.pem", pem("ca.pem"));
    let config = trusting(&stage, &login, &kv, &ca);
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (stage.file("b") == "one").then_some(()));
    let first = stage.file("db.json");
    let write = |value: &str| bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": value } }));
    let refused = |running: &mut Running| {
        // First the server is away, then it is another: status says what is wrong now.
        running.until("word of the certificate", || {
            let told = status(&stage.case);
            (standing(&told, "/data/a").1 == "transient" && told.to_string().contains("certificate")).then_some(())
        });
    };

    bao.show_certificate("next-server");
    write("two");
    running.until("the change", || (stage.file("a") == "two").then_some(()));
    assert!(!running.stderr().contains("does not answer"), "{}", running.stderr());

    come_back_as("foreign-server");
    write("three");
    refused(&mut running);
    // One line for the outage, and one for the certificate unless it began with that.
    let is_said = |line: &str| line.contains("not answer") && line.contains("certificate");
    wait_for("a line about it", || running.stderr().lines().any(is_said).then_some(()));
    assert_eq!(running.stderr().matches("does not answer; what was").count(), 1, "{}", running.stderr());
    assert_eq!((stage.file("a"), stage.file("db.json")), ("two".into(), first.clone()));
    come_back_as("next-server");
    running.until("the change", || (stage.file("a") == "three").then_some(()));

    // The operator changes CAs: first the server, then the bundle. The bundle is read again.
    come_back_as("foreign-server");
    refused(&mut running);
    write("four");
    stage.case.write("ca.pem", [pem("ca.pem"), pem("other-ca.pem")].concat());
    running.until("the change", || (stage.file("a") == "four").then_some(()));
    assert_eq!((stage.file("db.json"), stage.leases()), (first, 1), "{}", running.stderr());
    assert_eq!((stage.issued(), stage.logins(&login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_start_waits_for_the_right_bundle_until_its_deadline() {
    let (stage, _, _) = own();
    let kv = stage.space.kv2(&[("a", json!({ "k": "one" })), ("b", json!({ "k": "one" }))]);
    let login = stage.space.approle(&stage.case, &[&stage.creds(), &format!("{kv}/data/*")]);
    let pem = |name: &str| fs::read(certificates().join(name)).unwrap();
    let ca = stage.case.write("ca.pem", pem("other-ca.pem"));
    let config = trusting(&stage, &login, &kv, &ca);
    let mut running = stage.case.with_files(&config).command("sidecar").start();
    wait_for("word of it", || running.stderr().contains("trying again").then_some(()));
    stage.case.write("ca.pem", pem("ca.pem"));
    running.until("first delivery", || (stage.file("b") == "one").then_some(()));
    assert_eq!((stage.issued(), stage.logins(&login)), (1, 1), "{}", running.stderr());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
