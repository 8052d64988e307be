//! Health and metrics over HTTP: three pages, and what clients that misbehave get.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use secret_exec::serve::{Health, SecretState};

use crate::fake::{Served, memory};

const PATIENCE: Duration = Duration::from_secs(30);

/// Status line, head and body.
struct Answer {
    status: String,
    head: String,
    body: String,
}

fn connect(served: &Served) -> TcpStream {
    let stream = TcpStream::connect(served.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn sent(served: &Served, bytes: &[u8]) -> Answer {
    let mut stream = connect(served);
    stream.write_all(bytes).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
    let (status, head) = head.split_once("\r\n").unwrap();
    Answer { status: status.to_owned(), head: head.to_owned(), body: body.to_owned() }
}

fn request(served: &Served, method: &str, path: &str) -> Answer {
    sent(served, format!("{method} {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\n\r\n").as_bytes())
}

#[test]
fn three_pages_are_served() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let live = request(&served, "GET", "/livez");
    assert_eq!((live.status.as_str(), live.body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    let ready = request(&served, "GET", "/readyz?verbose");
    assert_eq!((ready.status.as_str(), ready.body.as_str()), ("HTTP/1.1 200 OK", "ok\n"));
    assert!(ready.head.contains("Content-Length: 3\r\n") && ready.head.ends_with("Connection: close"));
    let metrics = request(&served, "GET", "/metrics");
    assert_eq!(metrics.status, "HTTP/1.1 200 OK");
    assert!(metrics.head.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8"), "{}", metrics.head);
    assert!(metrics.body.contains("\nsecret_exec_ready 1\n"), "{}", metrics.body);
}

#[test]
fn a_secret_that_is_not_there_makes_it_alive_and_not_ready() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    for (state, line) in
        [(SecretState::Waiting, "db is not delivered yet\n"), (SecretState::Expired, "db has expired\n")]
    {
        served.fake.set(state);
        let ready = request(&served, "GET", "/readyz");
        assert_eq!((ready.status.as_str(), ready.body.as_str()), ("HTTP/1.1 503 Service Unavailable", line));
        assert_eq!(request(&served, "GET", "/livez").status, "HTTP/1.1 200 OK");
        assert!(request(&served, "GET", "/metrics").body.contains("\nsecret_exec_ready 0\n"));
    }
    served.fake.set(SecretState::Stale);
    assert_eq!(request(&served, "GET", "/readyz").status, "HTTP/1.1 200 OK", "an outage empties no Service");
}

#[test]
fn everything_else_is_refused_by_name() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    for path in ["/", "/metrics/", "/livez/..", "/LIVEZ", "http://x/livez", "*"] {
        assert_eq!(request(&served, "GET", path).status, "HTTP/1.1 404 Not Found", "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let refused = request(&served, method, "/metrics");
        assert_eq!(refused.status, "HTTP/1.1 405 Method Not Allowed", "{method}");
        assert!(refused.head.contains("Allow: GET, HEAD"), "{}", refused.head);
    }
    let head = request(&served, "HEAD", "/livez");
    assert_eq!((head.status.as_str(), head.body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert!(head.head.contains("Content-Length: 3"), "{}", head.head);
}

#[test]
fn a_body_nobody_reads_does_not_cost_the_answer() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let mut text = b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n".to_vec();
    text.resize(text.len() + 40_000, b'x');
    assert_eq!(sent(&served, &text).status, "HTTP/1.1 405 Method Not Allowed");
}

#[test]
fn what_is_not_http_is_told_so_and_a_long_head_is_cut() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"hello\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        assert_eq!(sent(&served, garbage).status, "HTTP/1.1 400 Bad Request", "{garbage:?}");
    }
    let long = format!("GET /livez HTTP/1.1\r\nA: {}", "x".repeat(9000));
    assert_eq!(sent(&served, long.as_bytes()).status, "HTTP/1.1 431 Request Header Fields Too Large");
}

#[test]
fn slow_clients_are_cut_and_the_loop_goes_on() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let start = Instant::now();
    let slow: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = connect(&served);
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost:").unwrap();
            stream
        })
        .collect();
    served.fake.goes_on();
    assert_eq!(request(&served, "GET", "/livez").body, "ok\n");
    served.fake.goes_on();
    for mut stream in slow {
        match stream.read(&mut [0; 8]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("a slow client got {other:?}"),
        }
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

/// Clients of every kind that hold a place, while probes are made: one that says nothing, one that sends a byte a second, one
/// that never ends its body, one that does not read.
#[test]
fn a_probe_is_answered_at_once_under_a_thousand_slow_clients() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let body = format!("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n{}", "x".repeat(100));
    let many = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    for begun in ["", "GET /livez HTTP/1.1\r\nHost:", &body, &many] {
        let (drip, dripping) = mpsc::channel::<Weak<TcpStream>>();
        let dripper = std::thread::spawn(move || {
            let mut slow = Vec::new();
            loop {
                loop {
                    match dripping.try_recv() {
                        Ok(stream) => slow.push(stream),
                        Err(TryRecvError::Empty) => break,
                        Err(TryRecvError::Disconnected) => return,
                    }
                }
                slow.retain(|stream| stream.upgrade().is_some_and(|stream| (&*stream).write_all(b"x").is_ok()));
                std::thread::sleep(Duration::from_secs(1));
            }
        });
        let slow = crate::fake::keep_connecting(1000, {
            let (address, begun, drip) = (served.http, begun.to_owned(), drip);
            move || {
                let stream = Arc::new(TcpStream::connect(address).ok()?);
                (&*stream).write_all(begun.as_bytes()).ok()?;
                if begun.ends_with("Host:") {
                    drip.send(Arc::downgrade(&stream)).ok()?;
                }
                Some(stream)
            }
        });
        let mut took: Vec<Duration> = ["/livez", "/readyz", "/livez", "/readyz", "/livez"]
            .into_iter()
            .map(|path| {
                let start = Instant::now();
                assert_eq!(request(&served, "GET", path).body, "ok\n");
                start.elapsed()
            })
            .collect();
        drop(slow);
        dripper.join().unwrap();
        took.sort();
        // Without a place for it, it would wait five seconds until a slow client has used up its time. One may be late because
        // this machine is.
        assert!(took[2] < Duration::from_secs(1) && took[4] < Duration::from_secs(3), "{begun:.40}: {took:?}");
    }
}

#[test]
fn a_flood_leaves_the_loop_alive() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    served.fake.goes_on();
    for _ in 0..500 {
        let mut stream = connect(&served);
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
    }
    assert_eq!(request(&served, "GET", "/livez").body, "ok\n");
    served.fake.goes_on();
}

#[test]
fn an_address_that_is_taken_is_said() {
    let dir = memory();
    let served = Served::start(&dir.path().join("s"));
    let error = Health::listen(&served.http.to_string()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot listen on {} for health and metrics: ", served.http)), "{error}");
}
