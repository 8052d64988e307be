//! TLS, proxies, redirects, timeouts, connections, and what is really sent.

use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

use rustls::HandshakeKind;
use secret_exec::config::Ca;
use secret_exec::domain::LeaseId;
use secret_exec::provider::vault::Vault;
use secret_exec::provider::{Class, Effect, Failure, Fetch, Limits, Speaker};

use crate::fake::{Fake, Proxy, Seen, answer, greets_with};
use crate::server::{ROOT, Server, server};
use crate::{config, connect, fetch, limits, token, value, with_token};

fn over_tls(server: &Server) -> secret_exec::config::Vault {
    let mut config = config(&format!("https://127.0.0.1:{}", server.tls));
    config.ca = Some(Ca::Pem(server.text("ca.pem")));
    config.tls_server_name = Some("vault.internal".into());
    config
}

async fn refused(config: &secret_exec::config::Vault) -> String {
    let failure = connect(config).login(&token(ROOT), 0).await.unwrap_err();
    assert_eq!(failure.class, Class::Transient);
    failure.why
}

#[tokio::test]
async fn a_private_ca_and_another_name_are_verified() {
    let Some(server) = server() else { return };
    let config = over_tls(&server);
    connect(&config).login(&token(ROOT), 0).await.unwrap();
    let address = &config.address;

    let mut wrong = config.clone();
    wrong.ca = Some(Ca::File(server.file("other-ca.pem")));
    let why = |place: &str| format!("the certificate of {address} is not trusted: unknown issuer: it is not {place}");
    let file = format!(
        "in {} (vault.caFile or VAULT_CACERT); put the CA that signed it there",
        server.file("other-ca.pem").display()
    );
    assert_eq!(refused(&wrong).await, why(&file));
    wrong.ca = None;
    assert_eq!(refused(&wrong).await, why("among the system's CAs; set vault.caFile to the CA that signed it"));

    let mut wrong = config.clone();
    wrong.tls_server_name = None;
    let why = format!("the certificate of {address} is for vault.internal, not for 127.0.0.1; set vault.tlsServerName");
    assert_eq!(refused(&wrong).await, why);

    let mut wrong = config.clone();
    wrong.tls_server_name = Some("vault.example".into());
    assert!(refused(&wrong).await.contains("not for vault.example"));

    let mut unverified = config.clone();
    (unverified.ca, unverified.tls_server_name, unverified.skip_verify) = (None, None, true);
    connect(&unverified).login(&token(ROOT), 0).await.unwrap();

    let mut old = config.clone();
    (old.address, old.tls_server_name) = (format!("https://127.0.0.1:{}", server.expired), None);
    assert_eq!(refused(&old).await, format!("the certificate of {} has expired", old.address));
}

#[tokio::test]
async fn a_replaced_ca_file_is_taken_up() {
    let Some(server) = server() else { return };
    let mut config = over_tls(&server);
    let file = server.file("replaced.pem");
    std::fs::write(&file, server.text("other-ca.pem")).unwrap();
    config.ca = Some(Ca::File(file.clone()));
    let vault = connect(&config);
    assert!(vault.login(&token(ROOT), 0).await.is_err());
    std::fs::write(&file, "half wri").unwrap();
    vault.close_idle();
    assert!(vault.login(&token(ROOT), 0).await.is_err());
    std::fs::write(&file, server.text("ca.pem")).unwrap();
    vault.close_idle();
    vault.login(&token(ROOT), 0).await.unwrap();
}

#[test]
fn a_configuration_that_cannot_work_is_refused_before_anything_is_sent() {
    let with = |change: &dyn Fn(&mut secret_exec::config::Vault)| {
        let mut config = config("https://vault.test");
        change(&mut config);
        Vault::connect(&config, limits(), SystemTime::now).map(drop).unwrap_err().why
    };
    for (why, expected) in [
        (with(&|c| c.address = "vault:8200".into()), "vault.address needs http"),
        (with(&|c| c.address = "canary".into()), "vault.address is not a URL"),
        (with(&|c| c.address = "https://u:canary@vault.test".into()), "vault.address has more than"),
        (with(&|c| c.address = "https://vault.test/?canary".into()), "vault.address has more than"),
        (with(&|c| c.ca = Some(Ca::Pem("canary".into()))), "vault.ca is no use"),
        (with(&|c| c.ca = Some(Ca::File("/nowhere".into()))), "the CA file /nowhere cannot be read: no such file"),
        (
            with(&|c| c.ca = Some(Ca::File("/dev/null".into()))),
            "the CA file /dev/null is no use: it holds no valid PEM certificate",
        ),
        (with(&|c| c.tls_server_name = Some("10.0.0.1".into())), "vault.tlsServerName is not a DNS name"),
        (with(&|c| c.proxy = Some("canary".into())), "vault.proxy is not a URL"),
    ] {
        assert!(why.starts_with(expected) && !why.contains("canary"), "{why}");
    }
}

#[tokio::test]
async fn whoever_does_not_answer_is_named() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("http://{closed}");
    assert_eq!(
        refused(&config(&address)).await,
        format!("{address} refuses the connection; is the server running there?")
    );

    let why = refused(&config("http://no-such-host.invalid:8200")).await;
    assert_eq!(why, "the name no-such-host.invalid does not resolve");

    let silent = Fake::start(|_| None);
    let short = Limits { request: Duration::from_millis(300), ..limits() };
    let vault = Vault::connect(&config(&silent.address()), short, SystemTime::now).unwrap();
    let before = Instant::now();
    let failure = vault.login(&token(ROOT), 0).await.unwrap_err();
    assert_eq!(
        failure,
        Failure::new(Class::Transient, format!("{} gave no answer within 300ms", silent.address())).lost().silent()
    );
    assert!(before.elapsed() < Duration::from_secs(10));

    let half = Fake::start(|_| Some("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{".into()));
    let why = format!("the connection to {} ended before the answer was complete", half.address());
    assert_eq!(refused(&config(&half.address())).await, why);
}

#[tokio::test]
async fn tls_with_somebody_who_speaks_none_is_said() {
    let mut config = config(&format!("https://127.0.0.1:{}", greets_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    config.skip_verify = true;
    let why = format!("{} does not speak TLS; is it an http:// address?", config.address);
    assert_eq!(refused(&config).await, why);

    config.address = format!("https://127.0.0.1:{}", greets_with(b""));
    let short = Limits { connect: Duration::from_millis(300), ..limits() };
    let vault = Vault::connect(&config, short, SystemTime::now).unwrap();
    let why = format!("{} cannot be reached: no connection within 300ms", config.address);
    assert_eq!(vault.login(&token(ROOT), 0).await.unwrap_err(), Failure::new(Class::Transient, why).of_backend());

    let Some(server) = server() else { return };
    config.address = format!("http://127.0.0.1:{}", server.tls);
    let failure = connect(&config).login(&token(ROOT), 0).await.unwrap_err();
    assert!(failure.why.contains("the server speaks TLS; use https:// in vault.address"), "{failure}");
}

#[tokio::test]
async fn a_server_in_trouble_is_worth_another_try_and_says_when() {
    for (status, headers, body, class, why) in [
        (
            "429 Too Many",
            "Retry-After: 7\r\n",
            "",
            Class::Throttled { retry_after: Some(Duration::from_secs(7)) },
            "patience",
        ),
        ("429 Too Many", "", "", Class::Throttled { retry_after: None }, "patience"),
        (
            "503 Service Unavailable",
            "",
            r#"{"errors":["Vault is sealed"]}"#,
            Class::Transient,
            "the server is sealed (503)",
        ),
        ("473 Standby", "", "", Class::Transient, "standby"),
        ("502 Bad Gateway", "", "<html>", Class::Transient, "no server behind it"),
        ("200 OK", "", "<html>canary", Class::Malformed, "is no Vault answer"),
    ] {
        let fake = Fake::always(status, headers, body);
        let failure = connect(&config(&fake.address())).login(&token(ROOT), 0).await.unwrap_err();
        assert_eq!(failure.class, class);
        assert!(failure.why.contains(why) && !failure.why.contains("canary"), "{failure}");
        assert_eq!(fake.seen().len(), 1, "one attempt each");
    }
}

#[tokio::test]
async fn a_page_with_200_revokes_nothing_and_a_read_of_nothing_is_somebody_elses_answer() {
    for (body, is_revoked, is_answer) in [
        ("", true, false),
        ("{}", true, false),
        ("<html>canary", false, false),
        ("[]", false, false),
        (r#"{"message":"maintenance"}"#, false, false),
        (r#"{"warnings":["canary"],"data":null}"#, true, true),
    ] {
        let fake = Fake::start(move |seen| {
            if seen.head.contains("lookup-self") { look_up(seen) } else { Some(answer("200 OK", "", body)) }
        });
        let vault = with_token(&fake.address(), "s.x").await;
        let revoked = vault.revoke(&LeaseId::parse("database/creds/web/abc").unwrap()).await;
        assert_eq!(revoked.is_ok(), is_revoked, "{body}: {revoked:?}");
        if let Err(failure) = revoked {
            assert!(
                failure.why.contains("something else answers") && failure.speaker == Speaker::Intermediary,
                "{failure}"
            );
        }
        // Whoever answers a read, a credential may have been made.
        let failure = fetch(&vault, "vault:database/creds/web").await.unwrap_err();
        assert_eq!((failure.class, failure.effect), (Class::Malformed, Effect::Perhaps), "{body}");
        assert_eq!(failure.speaker == Speaker::Backend, is_answer, "{body}");
        // A write may well be answered with nothing.
        let failure = fetch(&vault, "vault:sys/x?").await.unwrap_err();
        assert_eq!(failure.speaker == Speaker::Backend, !body.starts_with('<'), "{body}");
    }
}

#[tokio::test]
async fn a_compressed_answer_is_somebody_elses_and_named() {
    for (encoding, named) in [("gzip", "gzip"), ("zstd", "zstd"), ("x y=canary", "unknown"), ("identity", "")] {
        let fake = Fake::start(move |seen| {
            let headers = format!("Content-Encoding: {encoding}\r\n");
            let is_log_in = seen.head.contains("lookup-self");
            if is_log_in { look_up(seen) } else { Some(answer("200 OK", &headers, r#"{"data":{"a":"1"}}"#)) }
        });
        let vault = with_token(&fake.address(), "s.x").await;
        let read = fetch(&vault, "vault:secret/a").await;
        let renewed = vault.renew_token().await;
        let revoked = vault.revoke(&LeaseId::parse("database/creds/web/abc").unwrap()).await;
        if named.is_empty() {
            assert_eq!(value(&read.unwrap(), "a"), "1");
            continue;
        }
        for failure in [read.unwrap_err(), renewed.unwrap_err(), revoked.unwrap_err()] {
            assert!(failure.why.contains(&format!("(Content-Encoding: {named})")), "{failure}");
            assert!(!failure.why.contains("canary"), "{failure}");
            let (class, effect, speaker) = (failure.class, failure.effect, failure.speaker);
            assert_eq!((class, effect, speaker), (Class::Malformed, Effect::Perhaps, Speaker::Intermediary));
        }
    }
}

#[tokio::test]
async fn an_answer_of_somebody_else_shows_no_health() {
    for (status, body, is_healthy) in [
        ("200 OK", r#"{"initialized":true,"sealed":false}"#, true),
        ("200 OK", "<html>canary", false),
        ("200 OK", "", false),
        ("204 No Content", "", false),
        ("503 Sealed", r#"{"initialized":true,"sealed":true}"#, false),
    ] {
        let health = connect(&config(&Fake::always(status, "", body).address())).check_health().await;
        assert_eq!(health.is_ok(), is_healthy, "{status} {body}: {health:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let fake = Fake::start(|_| Some(answer("200 OK", "", &"x".repeat(9 << 20))));
    let failure = connect(&config(&fake.address())).login(&token(ROOT), 0).await.unwrap_err();
    assert_eq!(failure, Failure::new(Class::Malformed, "the answer is larger than 2 MiB").perhaps_done());
}

fn look_up(_: &Seen) -> Option<String> {
    Some(answer("200 OK", "", r#"{"data":{"ttl":60,"type":"service","a":"1"}}"#))
}

#[tokio::test]
async fn connections_are_used_again_until_they_are_closed() {
    let fake = Fake::start(look_up);
    let vault = with_token(&fake.address(), "s.x").await;
    fetch(&vault, "vault:a/b").await.unwrap();
    vault.close_idle();
    fetch(&vault, "vault:a/b").await.unwrap();
    let connections: Vec<_> = fake.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn every_request_carries_token_and_namespace() {
    let fake = Fake::start(look_up);
    let mut config = config(&fake.address());
    config.namespace = Some("team-a/x".into());
    let vault = connect(&config);
    vault.login(&token("s.x"), 0).await.unwrap();
    fetch(&vault, "vault:a/b?x=1&y=a+b").await.unwrap();
    let seen = fake.seen().pop().unwrap();
    let head = seen.head.to_ascii_lowercase();
    assert!(head.starts_with("put /v1/a/b http/1.1\r\n"), "{head}");
    for header in ["x-vault-token: s.x\r\n", "x-vault-namespace: team-a/x\r\n", "x-vault-request: true\r\n"] {
        assert!(head.contains(header), "{head}");
    }
    assert_eq!(seen.body, r#"{"x":"1","y":"a+b"}"#);
    assert!(!format!("{vault:?}").contains("s.x"));
}

#[tokio::test]
async fn a_standbys_redirect_is_followed_once_and_never_to_another_scheme() {
    let active = Fake::start(look_up);
    let location = format!("Location: {}/v1/auth/token/lookup-self\r\n", active.address());
    let standby = Fake::always("307 Temporary Redirect", &location, "");
    let mut allows = config(&standby.address());
    let failure = connect(&allows).login(&token("s.x"), 0).await.unwrap_err();
    assert!(failure.why.contains("add it to vault.redirectHosts") && active.seen().is_empty(), "{failure}");
    allows.redirect_hosts = vec![format!("127.0.0.1:{}", active.port)];
    connect(&allows).login(&token("s.x"), 0).await.unwrap();
    let head = active.seen()[0].head.to_ascii_lowercase();
    assert!(head.contains("x-vault-token: s.x") && head.starts_with("get /v1/auth/token/lookup-self "), "{head}");

    let location = format!("Location: {}/v1/x\r\n", standby.address());
    let lost = Fake::always("307 Temporary Redirect", &location, "");
    allows = secret_exec::config::Vault { address: lost.address(), ..allows };
    allows.redirect_hosts.push(format!("127.0.0.1:{}", standby.port));
    let failure = connect(&allows).login(&token("s.x"), 0).await.unwrap_err();
    assert_eq!(failure.class, Class::Malformed);
    assert!(failure.why.contains("the second redirect in a row"), "{failure}");

    let upgrade = Fake::always("301 Moved", "Location: https://vault.test/v1/x?canary\r\n", "");
    let failure = connect(&config(&upgrade.address())).login(&token("s.x"), 0).await.unwrap_err();
    let why = format!("{} redirects to https://vault.test; set vault.address to that", upgrade.address());
    assert_eq!(failure, Failure::new(Class::Malformed, why).by_intermediary());
}

#[tokio::test]
async fn an_explicit_proxy_is_asked_for_a_tunnel() {
    let Some(server) = server() else { return };
    let proxy = Proxy::start();
    let mut config = over_tls(&server);
    (config.tls_server_name, config.ca, config.skip_verify) = (None, None, true);
    config.proxy = Some(format!("http://127.0.0.1:{}", proxy.port));
    let vault = connect(&config);
    vault.login(&token(ROOT), 0).await.unwrap();
    assert_eq!(proxy.seen(), [format!("127.0.0.1:{}", server.tls)]);

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    config.proxy = Some(format!("http://{closed}"));
    let why = format!(
        "the proxy http://{closed} (vault.proxy), through which {} is reached, refuses the connection; is the proxy running? \
         (NO_PROXY goes around it)",
        config.address
    );
    assert_eq!(refused(&config).await, why);

    let unwilling = Fake::always("407 Proxy Authentication Required", "", "");
    config.proxy = Some(unwilling.address());
    assert!(refused(&config).await.contains("it wants a user name and password"));
    config.tls_server_name = Some("vault.internal".into());
    assert!(Vault::connect(&config, limits(), SystemTime::now).is_err());
}

#[tokio::test]
async fn tls_is_asked_for_the_other_name_and_http_for_the_address_after_a_redirect_too() {
    let Some(server) = server() else { return };
    let active = Fake::start_tls(&server.file("server"), look_up);
    let location = format!("Location: https://localhost:{}/v1/auth/token/lookup-self\r\n", active.port);
    let redirect = answer("307 Temporary Redirect", &location, "");
    let standby = Fake::start_tls(&server.file("server"), move |_| Some(redirect.clone()));
    let mut config = over_tls(&server);
    config.address = format!("https://127.0.0.1:{}", standby.port);
    config.redirect_hosts = vec![format!("localhost:{}", active.port)];
    connect(&config).login(&token("s.x"), 0).await.unwrap();
    for (fake, host) in [(&standby, "127.0.0.1"), (&active, "localhost")] {
        let seen = fake.seen().pop().unwrap();
        assert_eq!(seen.tls.unwrap().0, "vault.internal");
        assert!(seen.head.contains(&format!("host: {host}:{}\r\n", fake.port)), "{}", seen.head);
    }
}

#[tokio::test]
async fn a_new_connection_takes_the_tls_session_up() {
    let Some(server) = server() else { return };
    let fake = Fake::start_tls(&server.file("server"), look_up);
    let mut config = over_tls(&server);
    config.address = format!("https://127.0.0.1:{}", fake.port);
    let vault = connect(&config);
    vault.login(&token("s.x"), 0).await.unwrap();
    vault.close_idle();
    fetch(&vault, "vault:a/b").await.unwrap();
    let handshakes: Vec<_> = fake.seen().into_iter().map(|seen| (seen.connection, seen.tls.unwrap().1)).collect();
    assert_eq!(handshakes, [(0, HandshakeKind::Full), (1, HandshakeKind::Resumed)]);
}

#[test]
fn only_plain_http_beyond_loopback_deserves_a_warning() {
    for (address, deserves) in [
        ("http://vault.test:8200", true),
        ("http://10.0.0.1", true),
        ("https://vault.test", false),
        ("http://127.0.0.1:8200", false),
        ("http://[::1]:8200", false),
        ("http://localhost:8200", false),
        ("http://localhost.example", true),
    ] {
        assert_eq!(connect(&config(address)).is_plain_remote(), deserves, "{address}");
    }
}
