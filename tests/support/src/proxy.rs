//! A TCP proxy that stands between our program and a server and misbehaves as told; it keeps what was asked.
//!
//! Every connection carries one request. With `CONNECT` or an absolute URL it is an ordinary forward proxy.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::PATIENCE;

/// What happens to one request.
#[derive(Debug, Clone)]
pub enum Plan {
    /// Forwarded.
    Forward,
    /// The connection is closed without a word.
    Close,
    /// Nothing is ever answered.
    Hang,
    /// Forwarded, and the answer cut after so many bytes of its body.
    Cut(usize),
    /// Answered here: status, more header lines, body.
    Answer(u16, String, String),
    /// Forwarded after a while.
    Delay(Duration),
    /// Forwarded at once, and the answer kept back for a while.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    Late(Duration),
    /// Forwarded, and the answer's body edited.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    Edit(fn(&str) -> String),
    /// Forwarded, and the answer as a whole, with its head, replaced by these pieces, one every tenth of a second.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    Pieces(fn(&[u8]) -> Vec<Vec<u8>>),
}

/// A running proxy; it ends with its last handle.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    state: Arc<State>,
}

struct State {
    upstream: u16,
    plans: Mutex<VecDeque<Plan>>,
    always: Mutex<Plan>,
    paths: Mutex<Vec<(String, Plan)>>,
    requests: Mutex<Vec<String>>,
}

impl Proxy {
    /// In front of a port of 127.0.0.1; forwards.
    pub fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            upstream,
            plans: Mutex::default(),
            always: Mutex::new(Plan::Forward),
            paths: Mutex::default(),
            requests: Mutex::default(),
        });
        let weak = Arc::downgrade(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(state) = weak.upgrade() else { return };
                std::thread::spawn(move || {
                    let _ = state.serve(stream);
                });
            }
        });
        Self { port, state }
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What happens to the next requests, one each.
    pub fn next(&self, plans: impl IntoIterator<Item = Plan>) {
        self.state.plans.lock().unwrap().extend(plans);
    }

    /// What happens from now on to every request whose first line holds `text`.
    pub fn on(&self, text: &str, plan: Plan) {
        let mut paths = self.state.paths.lock().unwrap();
        paths.retain(|(known, _)| known != text);
        paths.push((text.to_owned(), plan));
    }

    /// Forgets what [`Proxy::on`] said.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn on_nothing(&self) {
        self.state.paths.lock().unwrap().clear();
    }

    /// What happens to all requests for which nothing else is planned.
    pub fn always(&self, plan: Plan) {
        *self.state.always.lock().unwrap() = plan;
    }

    /// All requests so far, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    /// How many requests hold that text.
    pub fn count(&self, text: &str) -> usize {
        self.requests().iter().filter(|head| head.contains(text)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Wakes the listener, which then finds its state gone.
        self.state = Arc::new(State {
            upstream: 0,
            plans: Mutex::default(),
            always: Mutex::new(Plan::Close),
            paths: Mutex::default(),
            requests: Mutex::default(),
        });
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        client.set_read_timeout(Some(PATIENCE))?;
        let (head, rest) = read_head(&mut client)?;
        let first = head.lines().next().unwrap_or_default();
        let paths = self.paths.lock().unwrap();
        let by_path = paths.iter().find(|(text, _)| first.contains(text)).map(|(_, plan)| plan.clone());
        drop(paths);
        let planned = by_path.or_else(|| self.plans.lock().unwrap().pop_front());
        let plan = planned.unwrap_or_else(|| self.always.lock().unwrap().clone());
        if head.starts_with("CONNECT ") {
            self.requests.lock().unwrap().push(head.clone());
            return match plan {
                Plan::Close => Ok(()),
                Plan::Answer(status, ..) => write!(client, "HTTP/1.1 {status} Planned\r\nContent-Length: 0\r\n\r\n"),
                _ => tunnel(client, &head),
            };
        }
        let missing = content_length(&head).saturating_sub(rest.len());
        let mut body = rest;
        let start = body.len();
        body.resize(start + missing, 0);
        client.read_exact(&mut body[start..])?;
        self.requests.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&body)));
        match plan {
            Plan::Close => Ok(()),
            Plan::Hang => {
                let mut nothing = [0; 1];
                let _ = client.read(&mut nothing);
                Ok(())
            }
            Plan::Answer(status, headers, body) => write!(
                client,
                "HTTP/1.1 {status} Planned\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n{body}",
                body.len()
            ),
            Plan::Forward => passed_on(&mut client, &self.answer(&head, &body)?),
            Plan::Cut(bytes) => {
                let mut answer = self.answer(&head, &body)?;
                answer.truncate(body_of(&answer) + bytes);
                passed_on(&mut client, &answer)
            }
            Plan::Delay(time) => {
                std::thread::sleep(time);
                passed_on(&mut client, &self.answer(&head, &body)?)
            }
            Plan::Late(time) => {
                let answer = self.answer(&head, &body)?;
                std::thread::sleep(time);
                passed_on(&mut client, &answer)
            }
            Plan::Edit(edit) => {
                let answer = self.answer(&head, &body)?;
                let (head, body) = answer.split_at(body_of(&answer));
                let head = String::from_utf8_lossy(head);
                let status = head.lines().next().unwrap_or_default();
                let body = edit(&String::from_utf8_lossy(body));
                let length = body.len();
                write!(client, "{status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
            }
            Plan::Pieces(pieces) => {
                for piece in pieces(&self.answer(&head, &body)?) {
                    client.write_all(&piece)?;
                    std::thread::sleep(Duration::from_millis(100));
                }
                client.shutdown(Shutdown::Both)
            }
        }
    }

    /// What the server answers, head and body.
    fn answer(&self, head: &str, body: &[u8]) -> std::io::Result<Vec<u8>> {
        let (head, port) = match absolute(head) {
            Some((port, head)) => (head, port),
            None => (head.to_owned(), self.upstream),
        };
        let mut server = TcpStream::connect(("127.0.0.1", port))?;
        let (first, others) = head.split_once("\r\n").unwrap_or((&head, ""));
        let others: String = others
            .split_inclusive("\r\n")
            .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
            .collect();
        server.write_all(format!("{first}\r\nConnection: close\r\n{others}").as_bytes())?;
        server.write_all(body)?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

fn passed_on(client: &mut TcpStream, answer: &[u8]) -> std::io::Result<()> {
    client.write_all(answer)?;
    client.shutdown(Shutdown::Both)
}

/// Where the body of an answer begins.
fn body_of(answer: &[u8]) -> usize {
    answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4)
}

fn read_head(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(at + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        match client.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

fn content_length(head: &str) -> usize {
    let length =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned));
    length.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

/// `GET http://host:port/path HTTP/1.1` → the port and the same head with `/path`.
fn absolute(head: &str) -> Option<(u16, String)> {
    let (before, rest) = head.split_once(" http://")?;
    let (host, path) = rest.split_once('/')?;
    let port = host.rsplit_once(':')?.1.parse().ok()?;
    (!before.contains(' ')).then(|| (port, format!("{before} /{path}")))
}

/// `CONNECT host:port`: always to 127.0.0.1, whatever the host is called.
fn tunnel(mut client: TcpStream, head: &str) -> std::io::Result<()> {
    let target = head.split(' ').nth(1).unwrap_or_default();
    let port: u16 = target.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
    let _ = client.shutdown(Shutdown::Both);
    let _ = up.join();
    Ok(())
}
