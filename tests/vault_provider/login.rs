//! Every method's way in, what is refused, and what becomes of the token.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use secret_exec::config::{Ca, RoleId, VaultAuth};
use secret_exec::domain::SecretBytes;
use secret_exec::identity::aws::AwsIdentity;
use secret_exec::identity::{JwtMethod, PreloadedFiles, Proof, SignedRequest, proof};
use secret_exec::provider::vault::{Origin, Revocation, TokenKind, Vault};
use secret_exec::provider::{Class, Failure};
use serde_json::json;

use crate::fake::{Fake, answer};
use crate::server::{ROOT, Server, server};
use crate::{config, connect, fetch, token, value, with_token};

/// The proof from files, which are read without waiting.
fn prove(auth: &VaultAuth) -> Proof {
    let aws = AwsIdentity::new(secret_exec::config::Aws::default(), None);
    let preloaded = PreloadedFiles::default();
    proof(auth, &preloaded, &aws, std::time::SystemTime::now()).now_or_never().expect("files are read at once").unwrap()
}

#[tokio::test]
async fn a_token_file_is_looked_up_used_and_never_revoked() {
    let Some(server) = server() else { return };
    let secret =
        server.token("tf", r#"path "auth/token/lookup-self" { capabilities = ["read"] }"#, json!({"ttl": "1h"}));
    let file = server.file("tf-token");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let vault = connect(&config(&server.address()));
    let proof = prove(&VaultAuth::TokenFile { path: file });
    let token = vault.login(&proof, 100).await.unwrap();
    assert_eq!((token.origin, token.kind, token.uses), (Origin::Foreign, TokenKind::Service, None));
    assert!(token.ttl.unwrap() > Duration::from_secs(3500) && token.accessor.is_some());
    assert_eq!(vault.revoke_token().await, Ok(Revocation::Foreign));
    assert!(vault.token().is_none() && server.is_alive(&secret));
}

#[tokio::test]
async fn a_token_that_may_not_look_at_itself_is_taken_as_it_is() {
    let Some(server) = server() else { return };
    let rules = r#"path "secret/data/blind" { capabilities = ["read"] }"#;
    let secret = server.token("blind", rules, json!({"ttl": "1h", "no_default_policy": true}));
    server.admin("POST", "secret/data/blind", json!({"data": {"a": "1"}}));
    let vault = with_token(&server.address(), &secret).await;
    assert_eq!(vault.token().unwrap().ttl, None);
    assert_eq!(value(&fetch(&vault, "vault:secret/data/blind").await.unwrap(), "a"), "1");
}

#[tokio::test]
async fn a_dead_token_is_denied_at_the_login_and_named_when_it_dies_later() {
    let Some(server) = server() else { return };
    let failure = connect(&config(&server.address())).login(&token("s.canary"), 0).await.unwrap_err();
    let why = "the token of the token file was refused (403): it is wrong, has expired or was revoked, or its entity is disabled";
    assert_eq!((failure.class, failure.why.as_str()), (Class::Denied, why));

    let rules = r#"path "secret/data/x" { capabilities = ["read"] }"#;
    let secret = server.token("dies", rules, json!({"ttl": "1h"}));
    let vault = with_token(&server.address(), &secret).await;
    server.admin("POST", "auth/token/revoke", json!({ "token": secret }));
    let failure = fetch(&vault, "vault:secret/data/x").await.unwrap_err();
    let why = "permission denied (403): the server does not accept the token: it has expired, was revoked or is used up, \
               its entity is disabled, or it is bound to other addresses (token_bound_cidrs)";
    assert_eq!((failure.class, failure.why.as_str()), (Class::Denied, why));
    assert!(vault.token().is_none(), "a dead token is forgotten");
}

#[tokio::test]
async fn a_foreign_token_whose_uses_do_not_cover_the_plan_is_refused_but_not_revoked() {
    let Some(server) = server() else { return };
    let secret = server.token("few", r#"path "x" { capabilities = ["read"] }"#, json!({"num_uses": 4}));
    let vault = connect(&config(&server.address()));
    let failure = vault.login(&token(&secret), 4).await.unwrap_err();
    let why = "the token is good for 3 more requests (num_uses, of which the look at itself took one), and 4 more are needed; \
               put one with more uses there, or without a limit";
    assert_eq!((failure.class, failure.why.as_str()), (Class::Denied, why));
    assert!(server.is_alive(&secret));
}

#[tokio::test]
async fn a_token_whose_uses_do_not_cover_the_plan_is_refused() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/auth/uses", json!({"type": "approle"}));
    server.admin("POST", "auth/uses/role/r", json!({"token_num_uses": 3, "bind_secret_id": false, "secret_id_bound_cidrs": [], "token_bound_cidrs": ["127.0.0.1/32"]}));
    let role_id = role_id(&server, "uses");
    let proof = || Proof::AppRole { mount: "uses".into(), role_id: role_id.clone(), secret_id: None };
    let vault = connect(&config(&server.address()));
    let token = vault.login(&proof(), 3).await.unwrap();
    assert_eq!(token.uses, Some(3));
    let failure = vault.login(&proof(), 4).await.unwrap_err();
    let why = "the token is good for 3 requests, and 4 are needed; raise the role's token_num_uses";
    assert_eq!((failure.class, failure.why.as_str()), (Class::Denied, why));
    assert!(vault.token().is_none());
}

fn role_id(server: &Server, mount: &str) -> String {
    let answer = server.admin("GET", &format!("auth/{mount}/role/r/role-id"), json!({}));
    answer["data"]["role_id"].as_str().unwrap().to_owned()
}

fn app_role(server: &Server, mount: &str, file: PathBuf, secret_id_wrapped: bool) -> VaultAuth {
    let role_id = RoleId::Text(role_id(server, mount));
    VaultAuth::AppRole { mount: mount.into(), role_id, secret_id_file: Some(file), secret_id_wrapped }
}

#[tokio::test]
async fn an_approle_logs_in_and_its_token_is_renewed_and_revoked() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/auth/ar", json!({"type": "approle"}));
    server.admin("POST", "auth/ar/role/r", json!({"token_policies": "default", "token_ttl": "1h"}));
    let id = server.admin("POST", "auth/ar/role/r/secret-id", json!({}));
    let file = server.file("ar-secret-id");
    std::fs::write(&file, format!("{}\n", id["data"]["secret_id"].as_str().unwrap())).unwrap();
    let vault = connect(&config(&server.address()));
    let proof = prove(&app_role(&server, "ar", file, false));
    let token = vault.login(&proof, 10).await.unwrap();
    assert_eq!((token.origin, token.renewable), (Origin::Login, true));
    assert_eq!(token.ttl, Some(Duration::from_secs(3600)));
    let renewed = vault.renew_token().await.unwrap();
    assert_eq!((renewed.accessor, renewed.ttl), (token.accessor, token.ttl));
    assert_eq!(vault.revoke_token().await, Ok(Revocation::Revoked));
    assert_eq!(vault.revoke_token().await, Ok(Revocation::NoToken));
    assert_eq!(vault.renew_token().await.unwrap_err().why, "not logged in");
}

#[tokio::test]
async fn a_spent_secret_id_is_denied_and_says_so() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/auth/once", json!({"type": "approle"}));
    server.admin("POST", "auth/once/role/r", json!({"secret_id_num_uses": 1}));
    let id = server.admin("POST", "auth/once/role/r/secret-id", json!({}));
    let file = server.file("once-secret-id");
    std::fs::write(&file, id["data"]["secret_id"].as_str().unwrap()).unwrap();
    let proof = prove(&app_role(&server, "once", file, false));
    let vault = connect(&config(&server.address()));
    vault.login(&proof, 1).await.unwrap();
    let failure = vault.login(&proof, 1).await.unwrap_err();
    let why = "approle login (mount \"once\") was refused (400): the role id is wrong, or the secret id is wrong, spent or expired";
    assert_eq!((failure.class, failure.why.as_str()), (Class::Denied, why));
}

#[tokio::test]
async fn a_wrapped_secret_id_is_unwrapped_once_and_kept_for_the_next_login() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/auth/wr", json!({"type": "approle"}));
    server.admin("POST", "auth/wr/role/r", json!({"token_policies": "default"}));
    let wrap = &[("X-Vault-Wrap-TTL", "60")];
    let wrapped = server.admin_with("POST", "auth/wr/role/r/secret-id", json!({}), wrap);
    let file = server.file("wr-token");
    std::fs::write(&file, wrapped["wrap_info"]["token"].as_str().unwrap()).unwrap();
    let auth = app_role(&server, "wr", file, true);
    let vault = connect(&config(&server.address()));
    vault.login(&prove(&auth), 1).await.unwrap();
    vault.login(&prove(&auth), 1).await.unwrap();

    let failure = connect(&config(&server.address())).login(&prove(&auth), 1).await;
    let failure = failure.unwrap_err();
    assert_eq!(failure.class, Class::Denied);
    assert!(
        failure.why.starts_with("the unwrapping of the secret id was refused (400): the wrapping token"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_jwt_logs_in_and_a_wrong_one_says_what_is_wrong_with_it() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/auth/jwt", json!({"type": "jwt"}));
    server.admin("POST", "auth/jwt/config", json!({"jwt_validation_pubkeys": [server.text("jwt.pub")]}));
    let role = json!({"role_type": "jwt", "bound_audiences": ["vault"], "bound_subject": "web", "user_claim": "sub", "token_type": "batch", "token_policies": ["default"], "token_ttl": "10m"});
    server.admin("POST", "auth/jwt/role/web", role);
    let vault = connect(&config(&server.address()));
    let proof = |role: &str, file: &str| {
        let token_file = server.file(file);
        let auth = VaultAuth::Jwt { role: role.into(), mount: "jwt".into(), token_file, audience: None };
        prove(&auth)
    };
    let token = vault.login(&proof("web", "good.jwt"), 10).await.unwrap();
    assert_eq!((token.kind, token.renewable), (TokenKind::Batch, false));
    let batch = Revocation::Batch { ttl: Some(Duration::from_secs(600)) };
    assert_eq!(vault.revoke_token().await, Ok(batch));
    for (role, file, reason) in [
        ("web", "audience.jwt", "the token's audience is not one the role is bound to"),
        ("web", "subject.jwt", "the token's subject is not the one the role is bound to"),
        ("web", "old.jwt", "the token has expired"),
        ("nope", "good.jwt", "the role does not exist"),
        ("web", "jwt.pub-as-jwt", "the token file does not hold a JWT"),
    ] {
        std::fs::write(server.file("jwt.pub-as-jwt"), "canary").unwrap();
        let failure = vault.login(&proof(role, file), 10).await.unwrap_err();
        let why = format!("jwt login (mount \"jwt\", role \"{role}\") was refused (400): {reason}");
        assert_eq!((failure.class, failure.why), (Class::Denied, why));
    }
    let elsewhere = Proof::Jwt {
        method: JwtMethod::Jwt,
        mount: "nowhere".into(),
        role: "web".into(),
        token: SecretBytes::copy_of(b"x"),
    };
    let failure = vault.login(&elsewhere, 1).await.unwrap_err();
    assert!(failure.why.contains("was refused (403): permission denied: nothing is mounted there"), "{failure}");
}

fn certificate(server: &Server, role: Option<&str>, stem: &str) -> Proof {
    let auth = VaultAuth::Cert {
        mount: "cert".into(),
        role: role.map(str::to_owned),
        cert_file: server.file(&format!("{stem}.pem")),
        key_file: server.file(&format!("{stem}.key")),
    };
    prove(&auth)
}

#[tokio::test]
async fn a_client_certificate_logs_in_and_is_shown_at_renewals_too() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/auth/cert", json!({"type": "cert"}));
    for role in ["web", "another"] {
        let path = format!("auth/cert/certs/{role}");
        let policies = format!("default,{role}");
        server.admin("POST", &path, json!({"certificate": server.text("ca.pem"), "token_policies": policies}));
    }
    let mut config = config(&format!("https://127.0.0.1:{}", server.tls));
    config.ca = Some(Ca::File(server.file("ca.pem")));
    config.tls_server_name = Some("vault.internal".into());
    let vault = connect(&config);
    let proof = certificate(&server, Some("web"), "client");
    vault.login(&proof, 10).await.unwrap();
    vault.close_idle();
    vault.renew_token().await.unwrap();
    let me = fetch(&vault, "vault:auth/token/lookup-self").await.unwrap();
    assert_eq!(value(&me, "policies"), r#"["default","web"]"#, "the role that was named");
    assert_eq!(vault.revoke_token().await, Ok(Revocation::Revoked));

    let failure = connect(&config).login(&certificate(&server, None, "stranger"), 1).await.unwrap_err();
    assert_eq!(failure.class, Class::Denied);
    let why = "cert login (mount \"cert\") was refused (400): no role accepts our certificate";
    assert_eq!(failure.why, why);
}

#[tokio::test]
async fn a_namespace_is_where_everything_happens() {
    let Some(server) = server() else { return };
    server.admin("POST", "sys/namespaces/team", json!({}));
    let team = &[("X-Vault-Namespace", "team")];
    server.admin_with("POST", "sys/mounts/kv", json!({"type": "kv", "options": {"version": "2"}}), team);
    server.admin_with("POST", "kv/data/app", json!({"data": {"where": "team"}}), team);
    let mut config = config(&server.address());
    config.namespace = Some("team".into());
    let vault = connect(&config);
    vault.login(&token(ROOT), 0).await.unwrap();
    assert_eq!(value(&fetch(&vault, "vault:kv/data/app").await.unwrap(), "where"), "team");

    config.namespace = Some("nobody".into());
    let failure = connect(&config).login(&token(ROOT), 0).await.unwrap_err();
    assert!(
        failure.why.contains("there is no namespace \"nobody\", which vault.namespace or VAULT_NAMESPACE says (404)"),
        "{failure}"
    );
    config.namespace = Some("a\nb".into());
    let failure = Vault::connect(&config, crate::limits(), std::time::SystemTime::now).unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
}

#[tokio::test]
async fn a_kubernetes_login_and_an_aws_login_are_sent_as_the_servers_read_them() {
    let body =
        r#"{"auth":{"client_token":"s.x","accessor":"a","lease_duration":60,"renewable":true,"token_type":"service"}}"#;
    let fake = Fake::always("200 OK", "", body);
    let vault = connect(&config(&fake.address()));
    let kubernetes = Proof::Jwt {
        method: JwtMethod::Kubernetes,
        mount: "team/k8s".into(),
        role: "web".into(),
        token: SecretBytes::copy_of(b"jwt"),
    };
    vault.login(&kubernetes, 1).await.unwrap();
    let aws = Proof::Aws {
        role: "web".into(),
        mount: "aws".into(),
        request: SignedRequest {
            method: "POST".into(),
            url: "https://sts.amazonaws.com/".into(),
            body: "Action=GetCallerIdentity".into(),
            headers_json: SecretBytes::copy_of(br#"{"Host":["sts.amazonaws.com"]}"#),
        },
    };
    vault.login(&aws, 1).await.unwrap();
    let seen = fake.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].head.starts_with("POST /v1/auth/team/k8s/login HTTP/1.1\r\n"), "{seen:?}");
    assert_eq!(seen[0].body, r#"{"role":"web","jwt":"jwt"}"#);
    assert!(!seen[1].head.to_ascii_lowercase().contains("x-vault-token"), "a login carries no older token");
    let sent: serde_json::Value = serde_json::from_str(&seen[1].body).unwrap();
    let expected = json!({
        "role": "web",
        "iam_http_request_method": "POST",
        "iam_request_url": "aHR0cHM6Ly9zdHMuYW1hem9uYXdzLmNvbS8=",
        "iam_request_body": "QWN0aW9uPUdldENhbGxlcklkZW50aXR5",
        "iam_request_headers": "eyJIb3N0IjpbInN0cy5hbWF6b25hd3MuY29tIl19",
    });
    assert_eq!(sent, expected);
}

#[tokio::test]
async fn a_login_that_fails_on_the_servers_side_may_be_tried_again() {
    let fake = Fake::start(|seen| {
        Some(match seen.connection {
            _ if seen.head.contains("unwrap") => answer("200 OK", "", r#"{"data":{"secret_id":"id"}}"#),
            _ => answer("503 Service Unavailable", "", r#"{"errors":["Vault is sealed"]}"#),
        })
    });
    let vault = connect(&config(&fake.address()));
    let proof = Proof::AppRole {
        mount: "approle".into(),
        role_id: "r".into(),
        secret_id: Some(secret_exec::identity::SecretId::Wrapped(SecretBytes::copy_of(b"s.wrap"))),
    };
    for _ in 0..2 {
        let failure = vault.login(&proof, 1).await.unwrap_err();
        assert_eq!(failure, Failure::new(Class::Transient, "the server is sealed (503)").unclear());
    }
    let unwraps = fake.seen().iter().filter(|seen| seen.head.contains("unwrap")).count();
    assert_eq!(unwraps, 1, "a wrapping token is good for one use");
}
