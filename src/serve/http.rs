//! Health and metrics over plain HTTP/1.1: three pages to GET, one request for each connection.
//!
//! A whole HTTP server would weigh more than what it serves. What is not understood is refused and cut: a body, another
//! method, a long head, a slow client.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::control::reasons;
use super::crowd::{self, Limits};
use super::metrics;
use super::report::Running;

/// The longest head of a request, and the most lines in it.
const HEAD: usize = 8 << 10;
const LINES: usize = 64;
/// Scrapes and probes at a time, and how long each may take.
const LIMITS: Limits = Limits { most: 32, patience: Duration::from_secs(5) };
/// How much, and for how long, is read after the answer: closed over unread bytes, a connection takes the answer with it.
const REST: u64 = 64 << 10;
const REST_PATIENCE: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The address is in use, not ours, or not an address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for health and metrics: {why}")]
pub struct ListenError {
    /// As it was given.
    pub address: String,
    /// What the system said.
    pub why: io::Error,
}

/// The listening server.
#[derive(Debug)]
pub struct Health {
    listener: TcpListener,
}

impl Health {
    /// Listens on `HOST:PORT`. Ports below 1024 want it before privileges are dropped.
    pub fn listen(address: &str) -> Result<Self, ListenError> {
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Self { listener })
        };
        listen().map_err(|why| ListenError { address: address.to_owned(), why })
    }

    /// Where it listens (port 0 was given one).
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for ever, in the runtime this is awaited in. Never blocks it.
    pub async fn serve(&self, running: &impl Running) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        Ok(crowd::serve(&listener, LIMITS, async |stream| converse(stream, running).await).await)
    }
}

/// What a request comes to.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
    /// `HEAD`: the body is only measured.
    is_measured: bool,
}

impl Page {
    fn new(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind: TEXT, body: body.into(), is_measured: false }
    }
}

async fn converse(mut stream: TcpStream, running: &impl Running) {
    let Some(page) = page(&mut stream, running).await else { return };
    let Page { status, kind, body, is_measured } = page;
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    if !is_measured {
        text.push_str(&body);
    }
    if stream.write_all(text.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(REST);
    let _ = timeout(REST_PATIENCE, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Reads one head and answers it; `None` when the other side goes away before it is complete.
async fn page(stream: &mut TcpStream, running: &impl Running) -> Option<Page> {
    let mut head = Vec::new();
    loop {
        if stream.take((HEAD - head.len()) as u64).read_buf(&mut head).await.ok()? == 0 {
            return (head.len() == HEAD).then(|| Page::new("431 Request Header Fields Too Large", "too long\n"));
        }
        match asked(&head) {
            Asked::More => {}
            Asked::Nonsense => return Some(Page::new("400 Bad Request", "not HTTP/1.1\n")),
            Asked::For { method, target } => return Some(answer(method, target, running)),
        }
    }
}

/// What a head asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    /// It is not complete.
    More,
    /// It is no head.
    Nonsense,
    /// It is complete.
    For { method: &'a str, target: &'a str },
}

fn asked(head: &[u8]) -> Asked<'_> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => Asked::More,
        Ok(httparse::Status::Complete(_)) => match (request.method, request.path) {
            (Some(method), Some(target)) => Asked::For { method, target },
            _ => Asked::Nonsense,
        },
        Err(_) => Asked::Nonsense,
    }
}

fn answer(method: &str, target: &str, running: &impl Running) -> Page {
    if !matches!(method, "GET" | "HEAD") {
        return Page::new("405 Method Not Allowed", "only GET\n");
    }
    let page = match target.split('?').next().unwrap_or_default() {
        // Whoever answers is alive: there is one loop, and this is in it.
        "/livez" => Page::new("200 OK", "ok\n"),
        "/readyz" => match reasons(running) {
            reasons if reasons.is_empty() => Page::new("200 OK", "ok\n"),
            reasons => Page::new("503 Service Unavailable", reasons.join("\n") + "\n"),
        },
        "/metrics" => {
            let health = if running.is_ready() { metrics::Health::Ready } else { metrics::Health::NotReady };
            Page { kind: METRICS, ..Page::new("200 OK", metrics::text(&running.report(), health)) }
        }
        _ => Page::new("404 Not Found", "there is /livez, /readyz and /metrics\n"),
    };
    Page { is_measured: method == "HEAD", ..page }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_at_its_empty_line_and_not_before() {
        let head = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(asked(&head[..end]), Asked::More, "{end}");
        }
        assert_eq!(asked(head), Asked::For { method: "GET", target: "/livez" });
    }

    #[test]
    fn what_is_no_head_is_seen_at_once() {
        for head in ["\0", "GET\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "\x16\x03\x01\x02\0\x01"]
        {
            assert_eq!(asked(head.as_bytes()), Asked::Nonsense, "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(LINES + 1));
        assert_eq!(asked(many.as_bytes()), Asked::Nonsense);
    }
}
