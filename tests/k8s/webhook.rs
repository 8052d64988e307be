//! The server, from outside: what it answers, what it refuses, and that nobody can stop it from answering.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Tls, Webhook, certs, connect, connect_offering, good, review};

#[test]
fn a_pod_is_injected_and_a_mistake_is_a_sentence() {
    let webhook = Webhook::start();
    let response = webhook.post(&good()).json()["response"].clone();
    assert_eq!((&response["allowed"], &response["patchType"]), (&json!(true), &json!("JSONPatch")));
    let denied = webhook.post(&review(&json!({ "secret-exec.dev/fiel.a": "x" }))).json()["response"].clone();
    assert_eq!(denied["allowed"], false);
    assert!(denied["status"]["message"].as_str().unwrap().contains("did you mean secret-exec.dev/file.a?"));
    // The log quotes as the answer does: what it says can be copied.
    webhook.post(&review(&json!({
        "secret-exec.dev/mode": "exec", "secret-exec.dev/vault-role": "web", "secret-exec.dev/env.A": "vault:a#b",
    })));
    let logged = webhook.line("has no command");
    assert!(logged.contains("the container's command") && !logged.contains('\\'), "{logged}");
    assert_eq!(webhook.metric("secret_inject_admissions_total{result=\"injected\"}") as u64, 1);
    assert_eq!(webhook.metric("secret_inject_admissions_total{result=\"denied\"}") as u64, 2);
}

#[test]
fn a_connection_is_kept_for_the_next_review() {
    let webhook = Webhook::start();
    let mut tls = webhook.tls();
    for _ in 0..20 {
        assert_eq!(tls.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap().status, 200);
    }
    for (path, status) in [("/livez", 200), ("/readyz", 200), ("/metrics", 404), ("/", 404)] {
        assert_eq!(tls.request("GET", path, "x/y", b"").unwrap().status, status, "{path}");
    }
}

/// An API server offers both. Whoever can do HTTP/2 only hears of it in the handshake, not from a request that hangs.
#[test]
fn http_1_1_is_negotiated_and_http_2_alone_is_refused_in_the_handshake() {
    let webhook = Webhook::start();
    for (offered, agreed) in
        [(&["h2", "http/1.1"][..], Some("http/1.1")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
    {
        let mut tls = connect_offering(webhook.tcp(), &webhook.ca(), offered).unwrap();
        assert_eq!(tls.protocol(), agreed, "{offered:?}");
        assert_eq!(tls.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap().status, 200);
    }
    let refused = connect_offering(webhook.tcp(), &webhook.ca(), &["h2"]).err().expect("HTTP/2 only");
    assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
    // HTTP/2 that nobody negotiated.
    let mut tls = webhook.tls();
    tls.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    assert!(tls.is_over(), "it is closed at once");
    assert_eq!(webhook.post(&good()).status, 200);
}

#[test]
fn whatever_is_sent_is_refused_politely() {
    let webhook = Webhook::start();
    let v1beta1 = good().replace("admission.k8s.io/v1", "admission.k8s.io/v1beta1");
    for (method, kind, body, status) in [
        ("POST", "application/json", "", 400),
        ("POST", "application/json", "{}", 400),
        ("POST", "application/json", "[[[[[[", 400),
        ("POST", "application/json", v1beta1.as_str(), 400),
        ("POST", "text/plain", "{}", 415),
        ("POST", "application/json; charset=utf-8", good().as_str(), 200),
        ("GET", "application/json", "", 405),
        ("PUT", "application/json", "{}", 405),
    ] {
        let reply = webhook.tls().request(method, "/mutate", kind, body.as_bytes()).unwrap();
        assert_eq!(reply.status, status, "{method} {kind} {body}: {}", reply.body);
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(webhook.post(&deep).status, 400);
    let reply = webhook.tls().request("POST", "/mutate", "application/json", &[0xff; 1000]).unwrap();
    assert_eq!(reply.status, 400);
    for operation in ["UPDATE", "DELETE"] {
        let reply = webhook.post(&good().replace("CREATE", operation));
        assert_eq!(reply.json()["response"].get("patch"), None, "{operation}");
        assert_eq!(reply.json()["response"]["allowed"], true);
    }
}

#[test]
fn what_the_api_server_takes_is_read_and_more_is_not() {
    let webhook = Webhook::start();
    let big = |bytes: usize| {
        review(&json!({
            "other": "x".repeat(bytes),
            "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:secret/data/a#b",
        }))
    };
    assert!(webhook.post(&big((3 << 20) - 1000)).json()["response"]["patch"].is_string());
    for bytes in [3 << 20, 10 << 20] {
        assert_eq!(webhook.post(&big(bytes)).status, 413);
    }
    let many: serde_json::Map<_, _> =
        (0..10_000).map(|n| (format!("secret-exec.dev/file.f{n}"), json!("vault:a#b"))).collect();
    let denied = webhook.post(&review(&many.into()));
    assert_eq!((denied.status, &denied.json()["response"]["allowed"]), (200, &json!(false)));
    // Without a length: the limit holds all the same.
    let mut tls = webhook.tls();
    tls.send(
        b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .unwrap();
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let sent = (0..20).take_while(|_| tls.send(chunk.as_bytes()).is_ok()).count();
    assert!(sent < 20 || tls.reply().unwrap().status == 413);
    assert_eq!(webhook.post(&good()).status, 200);
}

#[test]
fn slow_clients_hold_nobody_up() {
    let webhook = Webhook::start();
    // One that says nothing at all, one that stops in the handshake, one in the head, one in the body.
    let silent = webhook.tcp();
    let mut halting = webhook.tcp();
    std::io::Write::write_all(&mut halting, &[22, 3, 1, 2, 0, 1]).unwrap();
    let mut head = webhook.tls();
    head.send(b"POST /mutate HT").unwrap();
    let mut body = webhook.tls();
    body.send(b"POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{")
        .unwrap();
    let start = Instant::now();
    assert_eq!(webhook.post(&good()).status, 200);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(body.reply().unwrap().status, 408, "a body that does not come has its time");
    drop((silent, halting));
}

#[test]
fn five_hundred_connections_at_once_are_served() {
    let webhook = Webhook::start();
    let mut all: Vec<_> = (0..500).map(|_| webhook.tls()).collect();
    for tls in &mut all {
        assert_eq!(tls.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap().status, 200);
    }
    assert!(webhook.metric("secret_inject_connections") >= 500.0);
}

/// An API server opens a connection for each pod of a burst, up to 200 (`--max-mutating-requests-inflight`), before the
/// first handshake is complete. One that is cut is a pod that could not be created: a POST is not tried again.
#[test]
fn three_hundred_handshakes_at_once_are_completed() {
    let webhook = Webhook::start();
    let opened: Vec<_> = (0..300).map(|_| webhook.tcp()).collect();
    for tcp in opened {
        let reply = connect(tcp, &webhook.ca()).unwrap().request("GET", "/readyz", "x/y", b"").unwrap();
        assert_eq!(reply.status, 200);
    }
    assert_eq!(webhook.metric("secret_inject_connections_evicted_total") as u64, 0);
}

/// A handshake message may have 64 KiB, which would be kept until it is complete.
#[test]
fn a_handshake_of_many_bytes_is_cut() {
    let webhook = Webhook::start();
    let all: Vec<_> = (0..380)
        .map(|_| {
            let mut tcp = webhook.tcp();
            // A ClientHello of 60,000 bytes, in records.
            let mut sent = vec![1, 0, 0xea, 0x60];
            sent.resize(60_000, 0);
            for part in sent.chunks(16_000) {
                let head = [22, 3, 1, (part.len() >> 8) as u8, part.len() as u8];
                let _ = tcp.write_all(&[&head[..], part].concat());
            }
            tcp
        })
        .collect();
    for mut tcp in all {
        // Cut long before the ten seconds of a handshake.
        tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        if let Err(error) = tcp.read_to_end(&mut Vec::new()) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let kib = webhook.memory("VmHWM");
    assert!(kib < 48 << 10, "{kib} KiB");
    assert_eq!(webhook.post(&good()).status, 200);
}

#[test]
fn clients_that_promise_much_and_send_little_hold_nobody_up() {
    let webhook = Webhook::start();
    let mut slow: Vec<_> = (0..12).map(|_| webhook.tls()).collect();
    for tls in &mut slow {
        let head =
            "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n{";
        tls.send(head.as_bytes()).unwrap();
    }
    assert_eq!(webhook.post(&good()).status, 200);
    let refused = "secret_inject_admissions_total{result=\"bad_request\"}";
    assert_eq!(webhook.metric(refused) as u64, 0, "it was answered while they still had their time");
    for tls in &mut slow {
        assert_eq!(tls.reply().unwrap().status, 408);
    }
    assert_eq!(webhook.metric(refused) as u64, 12);
}

#[test]
fn large_reviews_at_once_wait_for_each_other() {
    let webhook = Webhook::start();
    let annotations = json!({
        "other": "x".repeat((3 << 20) - 1000),
        "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:secret/data/a#b",
    });
    let body = review(&annotations);
    // More together than is kept in memory at one time.
    let sending: Vec<_> = (0..16)
        .map(|_| {
            let (mut tls, body) = (webhook.tls(), body.clone());
            std::thread::spawn(move || {
                tls.request("POST", "/mutate", "application/json", body.as_bytes()).unwrap().status
            })
        })
        .collect();
    for one in sending {
        assert_eq!(one.join().unwrap(), 200);
    }
}

/// Each sends enough to be no stalled client, and promises as much as there may be.
#[test]
fn large_bodies_that_drip_keep_no_review_waiting() {
    let webhook = Webhook::start();
    let has_ended = std::sync::atomic::AtomicBool::new(false);
    let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 3000000\r\n\r\n";
    let drip = || {
        let mut tls = webhook.tls();
        let mut is_open = tls.send(&[head.as_bytes(), &[b' '; 9_000]].concat()).is_ok();
        while is_open && !has_ended.load(std::sync::atomic::Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
            is_open = tls.send(&[b' '; 30_000]).is_ok();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(drip);
        }
        std::thread::sleep(Duration::from_millis(300));
        for size in [20_000, 60_000, 1_000_000] {
            let body = review(&json!({
                "other": "x".repeat(size),
                "secret-exec.dev/vault-role": "web", "secret-exec.dev/file.a": "vault:secret/data/a#b",
            }));
            let start = Instant::now();
            assert_eq!(webhook.post(&body).status, 200, "{size}");
            let most = if size < 64_000 { 2 } else { 5 };
            assert!(start.elapsed() < Duration::from_secs(most), "{size}: {:?}", start.elapsed());
        }
        has_ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_new_certificate_is_served_without_a_restart() {
    let mut webhook = Webhook::start();
    let (old_ca, old) = (webhook.ca(), webhook.tls().certificate());
    let mut kept = webhook.tls();
    // Half of a pair, as it can look while somebody writes: the old one stays.
    let key = webhook.directory.path().join("tls.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, "not a key").unwrap();
    webhook.line("keeping the certificate that is served");
    assert_eq!(webhook.tls().certificate(), old);
    std::fs::write(&key, right).unwrap();
    certs(webhook.directory.path());
    webhook.line("a new certificate is served");
    let new = webhook.tls().certificate();
    assert_ne!(new, old);
    assert!(connect(webhook.tcp(), &old_ca).is_err(), "the new certificate is of a new authority");
    assert_eq!(webhook.ca().matches("BEGIN CERTIFICATE").count(), 2, "the bundle believes both");
    assert_eq!(kept.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap().status, 200);
    assert!(webhook.is_running());
}

#[test]
fn sigterm_drains() {
    let mut webhook = Webhook::start();
    let mut kept = webhook.tls();
    assert_eq!(kept.request("GET", "/readyz", "x/y", b"").unwrap().status, 200);
    // A review that is on its way when the signal comes.
    let mut late = webhook.tls();
    let body = good();
    let (first, rest) = body.split_at(20);
    let head = format!(
        "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{first}",
        body.len()
    );
    late.send(head.as_bytes()).unwrap();
    webhook.terminate();
    webhook.line("ending");
    assert_eq!(kept.request("GET", "/readyz", "x/y", b"").unwrap().status, 503);
    assert_eq!(webhook.post(&good()).status, 200, "the Service may still send somebody");
    late.send(rest.as_bytes()).unwrap();
    assert_eq!(late.reply().unwrap().status, 200);
    assert_eq!(webhook.wait(), Some(0));
    assert!(kept.is_over());
}

#[test]
fn an_idle_server_ends_soon_after_sigterm() {
    let mut webhook = Webhook::start();
    let mut kept = webhook.tls();
    assert_eq!(kept.request("GET", "/readyz", "x/y", b"").unwrap().status, 200);
    let silent = webhook.tcp();
    let start = Instant::now();
    webhook.terminate();
    assert_eq!(webhook.wait(), Some(0));
    // Three seconds; it was eighteen.
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    drop(silent);
}

/// The API server: kept connections, used again until it is told to close them, and new ones until the Service has forgotten
/// the pod. No review may be lost.
#[test]
fn reviews_that_come_all_through_a_drain_are_answered() {
    let webhook = Webhook::start();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let answered = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut kept = webhook.tls();
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    let reply = kept.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap();
                    assert_eq!(reply.status, 200);
                    answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if reply.is_last {
                        kept = webhook.tls();
                    }
                }
            });
        }
        webhook.terminate();
        webhook.line("ending");
        let before = answered.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1500));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(answered.load(std::sync::atomic::Ordering::Relaxed) > before, "it still serves while it ends");
    });
    let mut webhook = webhook;
    assert_eq!(webhook.wait(), Some(0));
}

/// The API server keeps idle connections for 90 seconds. This looks at 35 of them: it was 30.
#[test]
fn an_idle_connection_is_kept() {
    let webhook = Webhook::start();
    let mut kept = webhook.tls();
    let mut unused = webhook.tls();
    assert_eq!(kept.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap().status, 200);
    std::thread::sleep(Duration::from_secs(35));
    for tls in [&mut kept, &mut unused] {
        assert_eq!(tls.request("POST", "/mutate", "application/json", good().as_bytes()).unwrap().status, 200);
    }
}

#[test]
fn a_request_that_has_begun_does_not_take_for_ever() {
    let webhook = Webhook::start();
    let mut slow = webhook.tls();
    assert_eq!(slow.request("GET", "/livez", "x/y", b"").unwrap().status, 200);
    slow.send(b"POST /mutate HT").unwrap();
    assert!(slow.is_over());
}

/// Slow clients of every kind: the health listener and the TLS listener answer, and what they hold is bounded.
#[test]
fn probes_are_answered_under_a_thousand_slow_clients() {
    let webhook = Webhook::start();
    let probes = || {
        for _ in 0..3 {
            let start = Instant::now();
            assert!(webhook.metric("secret_inject_connections") <= 512.0);
            assert_eq!(webhook.tls().request("GET", "/readyz", "x/y", b"").unwrap().status, 200);
            // Without a place for it, it would wait ten seconds until a slow client has used up its time.
            assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        }
    };
    // At most so many descriptors of ours at a time: those that the server cut give theirs back.
    let many = |open: &dyn Fn() -> Option<Tls>| {
        let mut all = std::collections::VecDeque::new();
        for _ in 0..1000 {
            all.push_back(open());
            if all.len() > 520 {
                all.pop_front();
            }
        }
        probes();
    };
    let begun = |bytes: Vec<u8>| {
        let webhook = &webhook;
        move || {
            let mut tls = connect(webhook.tcp(), &webhook.ca()).ok()?;
            tls.send(&bytes).ok()?;
            Some(tls)
        }
    };
    many(&begun(b"POST /mutate HT".to_vec()));
    let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n";
    many(&begun([head.as_bytes(), &[b'{'; 8000]].concat()));
    many(&begun([head.as_bytes(), &[b'{'; 40_000]].concat()));
    let silent: Vec<_> = (0..450).map(|_| webhook.tcp()).collect();
    probes();
    drop(silent);
    let kib = webhook.memory("VmHWM");
    assert!(kib < 64 << 10, "{kib} KiB");
}

/// A tree of such a body has several hundred megabytes.
#[test]
fn hostile_bodies_do_not_fill_the_memory() {
    let webhook = Webhook::start();
    let with = |spec: String| {
        review(&json!({ "secret-exec.dev/file.a": "vault:a#b" })).replace(
            "\"spec\":{\"containers\":[{\"image\":\"app:1\",\"name\":\"app\"}]}",
            &format!("\"spec\":{{{spec}}}"),
        )
    };
    let repeated = |piece: &str| piece.repeat(3_000_000 / piece.len());
    let bodies = [
        with(format!("\"volumes\":[{}{{}}]", repeated("{},"))),
        with(format!("\"volumes\":[{}[]]", repeated("{\"a\":{}},"))),
        with(format!("\"containers\":[{}{{}}]", repeated("{\"name\":\"a\"},"))),
        with(format!("\"tolerations\":[{}1]", repeated("[[{}]],"))),
        with(format!("\"nodeSelector\":{{\"a\":\"{}\"}}", repeated("x"))),
        with(format!("\"nodeSelector\":{{\"a\":\"{}\"}}", repeated("\\n"))),
        format!("{}{}", repeated("["), ""),
        repeated("{\"a\":"),
    ];
    std::thread::scope(|scope| {
        for body in bodies.iter().chain(&bodies) {
            scope.spawn(|| {
                let reply = webhook.post(body);
                assert!(reply.status == 400 || reply.json()["response"]["allowed"] == false, "{reply:?}");
            });
        }
    });
    let kib = webhook.memory("VmHWM");
    assert!(kib < 64 << 10, "{kib} KiB at most");
    let kib = webhook.memory("VmRSS");
    assert!(kib < 32 << 10, "{kib} KiB afterwards: what was taken is given back");
    assert_eq!(webhook.post(&good()).status, 200);
}

#[test]
fn memory_stays_small() {
    let webhook = Webhook::start();
    let mut tls = webhook.tls();
    let body = good();
    for _ in 0..5_000 {
        assert_eq!(tls.request("POST", "/mutate", "application/json", body.as_bytes()).unwrap().status, 200);
    }
    let kib = webhook.memory("VmRSS");
    // A debug build has larger code than the one that ships.
    assert!(kib < 48 << 10, "{kib} KiB");
}

#[test]
fn a_wrong_start_says_what_is_wrong() {
    let broken = tempfile::tempdir().unwrap();
    std::fs::write(broken.path().join("ca.crt"), b"\xff garbage").unwrap();
    for (args, code, expected) in [
        (
            &["webhook"][..],
            64,
            "--config, --tls-cert, --tls-key: missing; usage: secret-inject webhook [OPTIONS] --config FILE",
        ),
        (
            &["webhook", "--config", "/none", "--tls-cert", "a", "--tls-key", "b"],
            64,
            "--config: cannot read /none: no such",
        ),
        (
            &["webhook", "--config", "/etc", "--tls-cert", "a", "--tls-key", "b"],
            64,
            "--config: cannot read /etc: it is a directory",
        ),
        (
            &["webhook", "--config", "/none", "--tls-cert", "a", "--tls-key", "b"],
            64,
            "--tls-cert: cannot read a: no such file\n",
        ),
        (
            &["webhook", "--config", "/none", "--tls-cert", "a", "--tls-key", "b"],
            64,
            "--tls-key: cannot read b: no such file\n",
        ),
        (&["manifest", "--config", "/none"], 64, "--config: cannot read /none: no such file"),
        (&["certs", "--out", "/proc/none"], 73, "cannot write"),
        (&["certs", "--out", broken.path().to_str().unwrap()], 64, "ca.crt holds something that is no certificate"),
        (&["certs", "--out", "/tmp/x", "--days", "0"], 64, "from 1 to 3650"),
        (&["webhok"], 64, "did you mean webhook?"),
        (&[], 64, "expected webhook, manifest, migrate or certs"),
        (&["manifest", "--chek"], 64, "did you mean --check?"),
        (&["manifest", "--listen", "x"], 64, "--listen: only webhook has it"),
    ] {
        let output = crate::support::inject(args, "");
        let stderr = crate::support::text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.starts_with("secret-inject: ") && stderr.contains(expected), "{args:?}: {stderr}");
    }
}

#[test]
fn the_server_confines_itself_and_limits_its_memory() {
    let webhook = Webhook::start();
    assert_eq!(webhook.post(&good()).status, 200);
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", webhook.pid())).unwrap();
    let (status, limits) = (proc("status"), proc("limits"));
    assert!(status.contains("\nSeccomp:\t2\n") && status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    let data = limits.lines().find(|line| line.starts_with("Max data size")).unwrap();
    assert_eq!(data.split_whitespace().nth(3), Some("134217728"), "{limits}");
}
