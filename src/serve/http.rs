//! Health and metrics over plain HTTP/1.1: three pages for GET, one request per connection.
//!
//! A full HTTP server would be larger than what it serves. Everything else is refused and the connection closed: a
//! request body, another method, a long head, a slow client.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::connection_limit::{self, Limits};
use super::control::reasons;
use super::metrics;
use super::report::Running;

/// The largest head of a request in bytes, and its largest number of lines.
const HEAD: usize = 8 << 10;
const LINES: usize = 64;
/// The number of connections, and the timeout of each. All heads together take at most 2 MiB.
const LIMITS: Limits = Limits { most: 256, patience: Duration::from_secs(5) };
/// How much is read after the response, and for how long: closing a connection with unread data would discard the
/// response.
const MOST_REST: u64 = 64 << 10;
const REST_TIMEOUT: Duration = Duration::from_secs(1);

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for health and metrics: {why}")]
pub struct ListenError {
    /// The address as configured.
    pub address: String,
    /// The error of the call.
    pub why: io::Error,
}

/// The listening HTTP server.
#[derive(Debug)]
pub struct Health {
    listener: TcpListener,
}

impl Health {
    /// Listens on `HOST:PORT`. Ports below 1024 require calling this before privileges are dropped.
    pub fn listen(address: &str) -> Result<Self, ListenError> {
        let listen = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Self { listener })
        };
        listen().map_err(|why| ListenError { address: address.to_owned(), why })
    }

    /// The address it listens on (with the actual port, if that was 0).
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves requests for ever, in the current runtime, without blocking it.
    pub async fn serve(&self, pages: &impl Pages) -> io::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener.try_clone()?)?;
        Ok(connection_limit::serve(&listener, LIMITS, async |stream| handle_connection(stream, pages).await).await)
    }
}

/// The pages to serve: `/livez`, `/readyz` and `/metrics`.
pub trait Pages {
    /// The page for this path, without its query; `None` for 404.
    fn page(&self, path: &str) -> Option<Page>;
}

impl<R: Running> Pages for R {
    /// The pages `/livez`, `/readyz` and `/metrics` of a running process.
    fn page(&self, path: &str) -> Option<Page> {
        Some(match path {
            // There is only one loop, so a response shows that it is alive.
            "/livez" => Page::ok(),
            "/readyz" => match reasons(self) {
                reasons if reasons.is_empty() => Page::ok(),
                reasons => Page::unavailable(reasons.join("\n") + "\n"),
            },
            "/metrics" => {
                let health = if self.is_ready() { metrics::Health::Ready } else { metrics::Health::NotReady };
                Page::metrics(metrics::text(&self.report(), health))
            }
            _ => return None,
        })
    }
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Page {
    fn new(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind: TEXT, body: body.into() }
    }

    /// 200 and `ok`.
    pub fn ok() -> Self {
        Self::new("200 OK", "ok\n")
    }

    /// 503 with the reason.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self::new("503 Service Unavailable", why)
    }

    /// 200 with metrics in Prometheus' text format.
    pub fn metrics(text: String) -> Self {
        Self { kind: METRICS, ..Self::new("200 OK", text) }
    }
}

/// Whether the body of a response is sent, or only its length (`HEAD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Sent,
    LengthOnly,
}

/// Reads a request, sends the response, and closes the connection.
async fn handle_connection(mut stream: TcpStream, pages: &impl Pages) {
    let Some((page, is_sent)) = read_request(&mut stream, pages).await else { return };
    let Page { status, kind, body } = page;
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    if is_sent == Body::Sent {
        text.push_str(&body);
    }
    if stream.write_all(text.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut rest = stream.take(MOST_REST);
    let _ = timeout(REST_TIMEOUT, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
}

/// Reads one request head and returns its response; `None` when the client closes the connection early.
async fn read_request(stream: &mut TcpStream, pages: &impl Pages) -> Option<(Page, Body)> {
    let mut head = Vec::new();
    loop {
        if stream.take((HEAD - head.len()) as u64).read_buf(&mut head).await.ok()? == 0 {
            let too_long = || (Page::new("431 Request Header Fields Too Large", "too long\n"), Body::Sent);
            return (head.len() == HEAD).then(too_long);
        }
        match parse(&head) {
            Head::Partial => {}
            Head::Invalid => return Some((Page::new("400 Bad Request", "not HTTP/1.1\n"), Body::Sent)),
            Head::Complete { method, target } => return Some(respond(method, target, pages)),
        }
    }
}

/// A request head that may be incomplete.
#[derive(Debug, PartialEq, Eq)]
enum Head<'a> {
    Partial,
    Invalid,
    Complete { method: &'a str, target: &'a str },
}

/// Parses a request head.
fn parse(head: &[u8]) -> Head<'_> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut request = httparse::Request::new(&mut lines);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => Head::Partial,
        Ok(httparse::Status::Complete(_)) => match (request.method, request.path) {
            (Some(method), Some(target)) => Head::Complete { method, target },
            _ => Head::Invalid,
        },
        Err(_) => Head::Invalid,
    }
}

/// The response to a request.
fn respond(method: &str, target: &str, pages: &impl Pages) -> (Page, Body) {
    let body = match method {
        "GET" => Body::Sent,
        "HEAD" => Body::LengthOnly,
        _ => return (Page::new("405 Method Not Allowed", "only GET\n"), Body::Sent),
    };
    let page = pages.page(target.split('?').next().unwrap_or_default());
    (page.unwrap_or_else(|| Page::new("404 Not Found", "there is /livez, /readyz and /metrics\n")), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_complete_at_its_empty_line_and_not_before() {
        let head = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head[..end]), Head::Partial, "{end}");
        }
        assert_eq!(parse(head), Head::Complete { method: "GET", target: "/livez" });
    }

    #[test]
    fn what_is_no_head_is_seen_at_once() {
        for head in ["\0", "GET\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "\x16\x03\x01\x02\0\x01"]
        {
            assert_eq!(parse(head.as_bytes()), Head::Invalid, "{head:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(LINES + 1));
        assert_eq!(parse(many.as_bytes()), Head::Invalid);
    }
}
