//! A server that answers what it is told to, and remembers what it was asked; and a proxy that tunnels.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

/// What one request looked like.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Its number among connections.
    pub(crate) connection: usize,
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: String,
    /// The name TLS was asked for, and whether it took an earlier session up.
    pub(crate) tls: Option<(String, HandshakeKind)>,
}

/// Answers every request by a function of it; `None` means silence until the other side hangs up.
pub(crate) struct Fake {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Seen) -> Option<String> + Send + Sync + 'static) -> Self {
        Self::listen(None, answer)
    }

    /// The same over TLS, with the certificate and key of this stem.
    pub(crate) fn start_tls(stem: &Path, answer: impl Fn(&Seen) -> Option<String> + Send + Sync + 'static) -> Self {
        let chain = CertificateDer::pem_file_iter(stem.with_extension("pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(stem.with_extension("key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
        Self::listen(Some(Arc::new(config)), answer)
    }

    fn listen(
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Seen) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (remembered, answer) = (Arc::clone(&seen), Arc::new(answer));
        thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (remembered, answer, tls) = (Arc::clone(&remembered), Arc::clone(&answer), tls.clone());
                thread::spawn(move || {
                    let mut stream = stream.ok()?;
                    let Some(tls) = tls else {
                        return serve(connection, stream, None, &remembered, &*answer);
                    };
                    let mut session = ServerConnection::new(tls).ok()?;
                    while session.is_handshaking() {
                        session.complete_io(&mut stream).ok()?;
                    }
                    let name = session.server_name().unwrap_or_default().to_owned();
                    let how = Some((name, session.handshake_kind()?));
                    serve(connection, StreamOwned::new(session, stream), how, &remembered, &*answer)
                });
            }
        });
        Self { port, seen }
    }

    /// The same answer to everything.
    pub(crate) fn always(status: &str, headers: &str, body: &str) -> Self {
        let answer = answer(status, headers, body);
        Self::start(move |_| Some(answer.clone()))
    }

    pub(crate) fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

fn serve(
    connection: usize,
    stream: impl Read + Write,
    tls: Option<(String, HandshakeKind)>,
    seen: &Mutex<Vec<Seen>>,
    answer: &dyn Fn(&Seen) -> Option<String>,
) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let head = head(&mut reader)?;
        let length = head.to_ascii_lowercase().split("content-length: ").nth(1).and_then(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let request = Seen { connection, head, body: String::from_utf8(body).ok()?, tls: tls.clone() };
        seen.lock().ok()?.push(request.clone());
        match answer(&request) {
            Some(answer) => {
                reader.get_mut().write_all(answer.as_bytes()).ok()?;
                reader.get_mut().flush().ok()?;
                if answer.contains("Connection: close") {
                    return None;
                }
            }
            None => drop(reader.read(&mut [0]).ok()?),
        }
    }
}

fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

/// A listener that sends these bytes to whoever connects, asked or not, and stays silent then.
pub(crate) fn greets_with(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut kept = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(bytes);
            kept.push(stream);
        }
    });
    port
}

/// A CONNECT proxy; the hosts it was asked for.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let remembered = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let remembered = Arc::clone(&remembered);
                thread::spawn(move || tunnel(stream.ok()?, &remembered));
            }
        });
        Self { port, seen }
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn tunnel(stream: TcpStream, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut near = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    let head = head(&mut reader)?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    seen.lock().ok()?.push(target.clone());
    let far = TcpStream::connect(target).ok()?;
    near.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let (mut back, mut forth) = (far.try_clone().ok()?, far);
    thread::spawn(move || std::io::copy(&mut back, &mut near));
    std::io::copy(&mut reader, &mut forth).ok().map(drop)
}
