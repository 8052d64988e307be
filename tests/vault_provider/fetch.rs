//! Every kind of answer, and every kind of no.

use std::time::Duration;

use secret_exec::domain::{Ends, Lease, LeaseId, Version};
use secret_exec::provider::{Class, Failure, Fetch};
use serde_json::json;

use crate::fake::{Fake, answer};
use crate::server::{ROOT, server};
use crate::{fetch, source, value, with_token};

fn denied(why: &str) -> Failure {
    Failure::new(Class::Denied, why)
}

fn missing(why: &str) -> Failure {
    Failure::new(Class::NotFound, why)
}

#[tokio::test]
async fn kv_version_1_has_neither_version_nor_lease() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/mounts/kv1", json!({"type": "kv", "options": {"version": "1"}}));
    server.admin("POST", "kv1/x", json!({"data": {"a": 1}, "metadata": {"version": 1, "created_time": "", "deletion_time": "", "destroyed": false}}));
    let vault = with_token(&server.address(), ROOT).await;
    let fetched = fetch(&vault, "vault:kv1/x").await.unwrap();
    assert_eq!(value(&fetched, "data"), r#"{"a":1}"#);
    assert_eq!((fetched.version, fetched.lease, fetched.ends), (None, None, None));
    assert_eq!(fetch(&vault, "vault:kv1/none").await.unwrap_err(), missing("there is nothing at that path (404)"));
}

#[tokio::test]
async fn kv_version_2_has_versions_that_can_be_deleted_and_destroyed() {
    let Some(server) = server() else { return };
    for n in 1..=4 {
        server.admin("POST", "secret/data/versions", json!({"data": {"n": n, "text": format!("v{n}"), "none": null}}));
    }
    server.admin("PUT", "secret/destroy/versions", json!({"versions": [2]}));
    server.admin("PUT", "secret/delete/versions", json!({"versions": [3]}));
    let vault = with_token(&server.address(), ROOT).await;
    let newest = fetch(&vault, "vault:secret/data/versions").await.unwrap();
    assert_eq!((value(&newest, "n"), value(&newest, "text")), ("4".into(), "v4".into()));
    assert_eq!(newest.version, Some(Version("4".into())));
    let first = fetch(&vault, "vault:secret/data/versions?version=1").await.unwrap();
    assert_eq!((value(&first, "text"), first.version), ("v1".into(), Some(Version("1".into()))));
    let failure = fetch(&vault, "vault:secret/data/versions?version=2").await.unwrap_err();
    assert_eq!(failure, missing("version 2 was destroyed (404)"));
    let failure = fetch(&vault, "vault:secret/data/versions?version=3").await.unwrap_err();
    assert!(failure.why.starts_with("version 3 was deleted at 2"), "{failure}");
    let failure = fetch(&vault, "vault:secret/data/versions?version=9").await.unwrap_err();
    assert_eq!(failure, missing("version 9 does not exist (404); the newest is version 4"));
}

#[tokio::test]
async fn a_deletion_in_the_future_is_none() {
    let Some(server) = server() else { return };
    server.admin("POST", "secret/metadata/later", json!({"delete_version_after": "1h", "custom_metadata": {"a": "b"}}));
    server.admin("POST", "secret/data/later", json!({"data": {"a": "1"}}));
    let vault = with_token(&server.address(), ROOT).await;
    assert_eq!(value(&fetch(&vault, "vault:secret/data/later").await.unwrap(), "a"), "1");
}

#[tokio::test]
async fn a_path_without_data_is_told_the_right_one_even_when_it_is_denied() {
    let Some(server) = server() else { return };
    server.admin("POST", "secret/data/hint", json!({"data": {"a": "1"}}));
    let hint = "`secret` is a KV version 2 mount: did you mean vault:secret/data/hint?";
    let vault = with_token(&server.address(), ROOT).await;
    let failure = fetch(&vault, "vault:secret/hint").await.unwrap_err();
    assert_eq!(failure, missing(&format!("there is nothing at that path (404); {hint}")));

    for (reference, hint) in [
        ("vault:secret", "that is a KV version 2 mount alone; a secret of it is vault:secret/data/PATH"),
        ("vault:secret/data", "the secret's path is missing behind it: vault:secret/data/PATH"),
        ("vault:secret/metadata", "the secret's path is missing behind it: vault:secret/data/PATH"),
        ("vault:sys", "that is a mount alone (system); a secret of it is vault:sys/PATH"),
    ] {
        let failure = fetch(&vault, reference).await.unwrap_err();
        assert_eq!(failure, missing(&format!("there is nothing at that path (404); {hint}")));
    }
    let failure = fetch(&vault, "vault:not-mounted").await.unwrap_err();
    assert!(failure.why.ends_with("; a secret lies below its mount: vault:not-mounted/PATH"), "{failure}");

    let secret = server.token("hint", r#"path "secret/data/hint" { capabilities = ["read"] }"#, json!({}));
    let vault = with_token(&server.address(), &secret).await;
    let failure = fetch(&vault, "vault:secret/hint").await.unwrap_err();
    assert_eq!(failure, denied(&format!("permission denied (403): the policy needs read on secret/hint; {hint}")));
    let failure = fetch(&vault, "vault:secret").await.unwrap_err();
    let hint = "that is a KV version 2 mount alone; a secret of it is vault:secret/data/PATH";
    assert_eq!(failure, denied(&format!("permission denied (403): the policy needs read on secret; {hint}")));
    let failure = fetch(&vault, "vault:secret/data/other").await.unwrap_err();
    assert_eq!(failure, denied("permission denied (403): the policy needs read on secret/data/other"));
    let failure = fetch(&vault, "vault:transit-of-others/decrypt/k?ciphertext=canary").await.unwrap_err();
    assert_eq!(failure, denied("permission denied (403): the policy needs update on transit-of-others/decrypt/k"));
}

#[tokio::test]
async fn one_sources_failure_never_touches_another_and_order_stays() {
    let Some(server) = server() else { return };
    let paths: Vec<_> = (0..40).map(|n| format!("secret/data/many/{n}")).collect();
    for (n, path) in paths.iter().enumerate().filter(|(n, _)| n % 4 != 3) {
        server.admin("POST", path, json!({"data": {"n": n}}));
    }
    let vault = with_token(&server.address(), ROOT).await;
    let sources: Vec<_> = paths.iter().map(|path| source(&format!("vault:{path}"))).collect();
    let answers = vault.fetch(&sources.iter().collect::<Vec<_>>()).await;
    assert_eq!(answers.len(), 40);
    for (n, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(fetched) => assert_eq!(value(&fetched, "n"), n.to_string()),
            Err(failure) => assert_eq!((n % 4, failure.class), (3, Class::NotFound)),
        }
    }
}

#[tokio::test]
async fn a_path_is_sent_exactly_as_it_is_meant() {
    let Some(server) = server() else { return };
    server.admin("POST", "secret/data/odd%3Fa%23b%25c%20d+e&f=%C3%BC", json!({"data": {"a": "odd"}}));
    let vault = with_token(&server.address(), ROOT).await;
    let fetched = fetch(&vault, "vault:secret/data/odd%3Fa%23b%25c d+e&f=ü").await.unwrap();
    assert_eq!(value(&fetched, "a"), "odd");
}

#[tokio::test]
async fn transit_decrypts_ciphertexts_with_a_plus_in_them() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/mounts/transit", json!({"type": "transit"}));
    server.admin("POST", "transit/keys/k", json!({}));
    let encrypt = || {
        let answer = server.admin("POST", "transit/encrypt/k", json!({"plaintext": "aGVsbG8="}));
        answer["data"]["ciphertext"].as_str().unwrap().to_owned()
    };
    let ciphertext = std::iter::repeat_with(encrypt).take(1000).find(|text| text.contains('+')).unwrap();
    let vault = with_token(&server.address(), ROOT).await;
    let decrypt = |ciphertext: &str| format!("vault:transit/decrypt/k?ciphertext={ciphertext}");
    let fetched = fetch(&vault, &decrypt(&ciphertext)).await.unwrap();
    assert_eq!(value(&fetched, "plaintext"), "aGVsbG8=");
    let failure = fetch(&vault, &decrypt("vault:v1:canary")).await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    assert!(failure.why.starts_with("the ciphertext is damaged") && !failure.why.contains("canary"), "{failure}");
}

#[tokio::test]
async fn a_certificate_is_issued_by_a_write_and_lives_until_it_ends() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/mounts/pki", json!({"type": "pki"}));
    let root = json!({"common_name": "x.test", "key_type": "ec", "key_bits": 256, "ttl": "100h"});
    server.admin("POST", "pki/root/generate/internal", root);
    let role =
        json!({"allowed_domains": "x.test", "allow_subdomains": true, "key_type": "ec", "key_bits": 256, "ttl": "1h"});
    server.admin("POST", "pki/roles/web", role);
    let vault = with_token(&server.address(), ROOT).await;
    let fetched = fetch(&vault, "vault:pki/issue/web?common_name=a.x.test&ttl=10m").await.unwrap();
    assert!(value(&fetched, "private_key").starts_with("-----BEGIN"));
    let Some(Ends::Expires(ttl)) = fetched.ends else { panic!("{:?}", fetched.ends) };
    assert!(ttl > Duration::from_secs(590) && ttl <= Duration::from_secs(600), "{ttl:?}");
    assert_eq!(fetched.lease, None);

    let failure = fetch(&vault, "vault:pki/issue/web").await.unwrap_err();
    let why = "this path is not read but written; put ? and the parameters behind it, or a bare ? (405)";
    assert_eq!(failure, Failure::new(Class::Malformed, why));
    let failure = fetch(&vault, "vault:pki/issue/web?common_name=canary").await.unwrap_err();
    assert_eq!(failure, Failure::new(Class::Malformed, "the role does not allow a parameter (400)"));
    let failure = fetch(&vault, "vault:pki/issue/none?common_name=a.x.test").await.unwrap_err();
    assert_eq!(failure, Failure::new(Class::Malformed, "the role does not exist (400)"));
    let failure = fetch(&vault, "vault:sys/mounts?x=1").await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    assert!(failure.why.starts_with("this path is not written but read"), "{failure}");
}

#[tokio::test]
async fn a_leased_certificate_is_renewed_and_revoked_by_its_lease() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/mounts/leased", json!({"type": "pki"}));
    let root = json!({"common_name": "x.test", "key_type": "ec", "key_bits": 256, "ttl": "100h"});
    server.admin("POST", "leased/root/generate/internal", root);
    let role = json!({"allow_any_name": true, "key_type": "ec", "key_bits": 256, "ttl": "1h", "generate_lease": true});
    server.admin("POST", "leased/roles/web", role);
    let vault = with_token(&server.address(), ROOT).await;
    let fetched = fetch(&vault, "vault:leased/issue/web?common_name=a.x.test").await.unwrap();
    let lease = fetched.lease.unwrap();
    assert!(lease.ttl > Duration::from_secs(3500) && lease.ttl <= Duration::from_secs(3600));
    let Some(Ends::Expires(ends)) = fetched.ends else { panic!("{:?}", fetched.ends) };
    assert!(ends <= Duration::from_secs(3600), "{ends:?}");
    let failure = vault.renew(&lease).await.unwrap_err();
    assert_eq!(failure, Failure::new(Class::Malformed, "the lease cannot be renewed (400)"));
    vault.revoke(&lease.id).await.unwrap();
    let failure = vault.renew(&lease).await.unwrap_err();
    assert_eq!(failure, missing("the lease has ended or was revoked (400)"));

    let secret = server.token("lease", r#"path "x" { capabilities = ["read"] }"#, json!({}));
    let vault = with_token(&server.address(), &secret).await;
    let failure = vault.revoke(&lease.id).await.unwrap_err();
    assert_eq!(failure, denied("permission denied (403): the policy needs update on sys/leases/revoke"));
    let unknown = Lease { id: LeaseId::parse("database/creds/x/y").unwrap(), ttl: Duration::ZERO, renewable: true };
    assert_eq!(vault.renew(&unknown).await.unwrap_err().class, Class::NotFound);
}

#[tokio::test]
async fn what_is_no_secret_is_said() {
    let Some(server) = server() else { return };
    let vault = with_token(&server.address(), ROOT).await;
    let failure = fetch(&vault, "vault:nowhere/x").await.unwrap_err();
    assert_eq!(failure, missing("nothing is mounted at that path (404)"));
    let failure = fetch(&vault, "vault:sys/policies/acl/written?policy=canary").await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    assert!(!failure.why.contains("canary"), "{failure}");
    let failure = fetch(&vault, "vault:cubbyhole/x?a=b").await.unwrap_err();
    let why = "the answer is empty (204): there is nothing to deliver";
    assert_eq!(failure, Failure::new(Class::Malformed, why).perhaps_done());
    let failure = fetch(&vault, "file:/etc/hostname").await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    let before = crate::connect(&crate::config(&server.address()));
    assert_eq!(fetch(&before, "vault:secret/data/x").await.unwrap_err(), denied("not logged in"));
}

#[tokio::test]
async fn a_renewal_answers_the_lease_as_the_server_now_has_it() {
    let fake = Fake::start(|seen| {
        let body = match seen.head.contains("lookup-self") {
            true => r#"{"data":{"ttl":60}}"#,
            false => r#"{"lease_id":"database/creds/web/y","lease_duration":1800,"renewable":true,"data":null}"#,
        };
        Some(answer("200 OK", "", body))
    });
    let vault = with_token(&fake.address(), "s.x").await;
    let id = LeaseId::parse("database/creds/web/y").unwrap();
    let lease = Lease { id: id.clone(), ttl: Duration::from_secs(3600), renewable: true };
    let renewed = vault.renew(&lease).await.unwrap();
    assert_eq!(renewed, Lease { ttl: Duration::from_secs(1800), ..lease });
    let seen = fake.seen().pop().unwrap();
    assert!(seen.head.starts_with("PUT /v1/sys/leases/renew HTTP/1.1"), "{}", seen.head);
    assert_eq!(seen.body, r#"{"lease_id":"database/creds/web/y"}"#);
}

#[tokio::test]
async fn the_last_use_of_a_token_brings_no_credential_home() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/mounts/last", json!({"type": "pki"}));
    server.admin(
        "POST",
        "last/root/generate/internal",
        json!({"common_name": "x.test", "key_type": "ec", "ttl": "100h"}),
    );
    let role = json!({"allow_any_name": true, "key_type": "ec", "ttl": "1h", "generate_lease": true});
    server.admin("POST", "last/roles/web", role);
    let rules = r#"path "last/issue/web" { capabilities = ["update"] }"#;
    let secret = server.token("last", rules, json!({"num_uses": 2}));
    let vault = with_token(&server.address(), &secret).await;
    let failure = fetch(&vault, "vault:last/issue/web?common_name=a.x.test").await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    assert!(failure.why.starts_with("the token had one use left"), "{failure}");
}
