//! The admission webhook: a TLS server around one pure function. It calls nobody.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::config::Injector;

use super::admission::{Verdict, admission};
use super::metrics::{Metrics, add};
use super::tls::{Files, Pair, TlsError};

/// Above what the API server sends: an object of 3 MiB and its review.
const MAX_BODY: usize = 6 << 20;
/// What is read of a body that is too large, and thrown away.
const MAX_DISCARDED: usize = 64 << 20;
/// All bodies at one time together, in KiB; more wait.
const ALL_BODIES: usize = 32 << 10;
/// Of every body this much is read before it waits for room: most reviews are smaller, and who promises much and sends
/// little holds nobody up.
const FIRST: usize = 16 << 10;
/// Connections at one time, below the usual 1024 descriptors; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 800;
/// A handshake, a head and a body each have this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the certificate's files are looked at. Kubelet itself takes about a minute to write a changed Secret.
const LOOK: Duration = Duration::from_secs(2);
/// After SIGTERM, until the Service has forgotten us, new connections are still served.
const LINGER: Duration = Duration::from_secs(3);
/// What is being answered then has this long.
const DRAIN: Duration = Duration::from_secs(15);

/// What to serve, and where.
#[derive(Debug)]
pub struct Webhook {
    /// `HOST:PORT` of the webhook; TLS.
    pub listen: String,
    /// `HOST:PORT` of health and metrics; plain HTTP.
    pub metrics: Option<String>,
    /// Certificate and key.
    pub tls: Files,
    /// What is injected.
    pub injector: Injector,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The certificate.
    #[error("cannot serve TLS")]
    Tls(#[from] TlsError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// As it was given.
        address: String,
        /// Why not.
        source: io::Error,
    },
}

struct Server {
    injector: Injector,
    metrics: Metrics,
    bodies: Semaphore,
    is_ending: AtomicBool,
}

impl Webhook {
    /// Serves until `stop`, then drains. `started` is told the addresses.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()>,
        started: impl FnOnce(SocketAddr, Option<SocketAddr>),
    ) -> Result<(), WebhookError> {
        let pair = self.tls.read()?;
        let (certificate, current) = watch::channel(self.tls.serve(&pair)?);
        let listener = listen(&self.listen).await?;
        let plain = match &self.metrics {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let address = |listener: &TcpListener| listener.local_addr().expect("a listener has an address");
        started(address(&listener), plain.as_ref().map(address));
        let server = Arc::new(Server {
            injector: self.injector,
            metrics: Metrics::default(),
            bodies: Semaphore::new(ALL_BODIES),
            is_ending: AtomicBool::new(false),
        });
        let (end, ending) = watch::channel(());
        tokio::spawn(reload(self.tls, pair, certificate, Arc::clone(&server)));
        if let Some(plain) = plain {
            tokio::spawn(serve_plain(plain, Arc::clone(&server)));
        }
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = accept(listener, current, Arc::clone(&server), Arc::clone(&slots), ending);
        let mut accepting = pin!(accepting);
        tokio::select! {
            () = &mut accepting => {}
            () = stop => {}
        }
        info!("ending: not ready any more, serving what still comes");
        server.is_ending.store(true, Ordering::Relaxed);
        let _ = timeout(LINGER, &mut accepting).await;
        let _ = end.send(());
        let all = u32::try_from(MAX_CONNECTIONS).expect("a small number");
        if timeout(DRAIN, slots.acquire_many(all)).await.is_err() {
            warn!("some connections did not end in time");
        }
        Ok(())
    }
}

async fn listen(address: &str) -> Result<TcpListener, WebhookError> {
    TcpListener::bind(address).await.map_err(|source| WebhookError::Listen { address: address.to_owned(), source })
}

/// Never returns.
async fn accept(
    listener: TcpListener,
    current: watch::Receiver<Arc<ServerConfig>>,
    server: Arc<Server>,
    slots: Arc<Semaphore>,
    ending: watch::Receiver<()>,
) {
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes it");
        let stream = accept_one(&listener).await;
        let acceptor = TlsAcceptor::from(Arc::clone(&current.borrow()));
        let (server, ending) = (Arc::clone(&server), ending.clone());
        tokio::spawn(async move {
            server.metrics.connections.fetch_add(1, Ordering::Relaxed);
            match timeout(PATIENCE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => converse(TokioIo::new(stream), Way::Tls, &server, ending).await,
                // Port scanners and probes of the wrong kind: counted, not logged each.
                Ok(Err(_)) | Err(_) => add(&server.metrics.handshakes_failed),
            }
            server.metrics.connections.fetch_sub(1, Ordering::Relaxed);
            drop(slot);
        });
    }
}

async fn accept_one(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and whole; a failure to say so costs only time.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // Out of descriptors, or a client that is gone already: neither ends the server.
            Err(error) => {
                debug!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Which of the two listeners a connection came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Tls,
    Plain,
}

async fn serve_plain(listener: TcpListener, server: Arc<Server>) {
    let slots = Arc::new(Semaphore::new(64));
    let (_end, ending) = watch::channel(());
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await.expect("nobody closes it");
        let stream = accept_one(&listener).await;
        let (server, ending) = (Arc::clone(&server), ending.clone());
        tokio::spawn(async move {
            converse(TokioIo::new(stream), Way::Plain, &server, ending).await;
            drop(slot);
        });
    }
}

/// One connection, until the client or we end it.
async fn converse<I>(io: I, way: Way, server: &Server, mut ending: watch::Receiver<()>)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let service = service_fn(|request| async move { Ok::<_, Infallible>(respond(request, way, server).await) });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE * 3).max_buf_size(64 << 10);
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        // What is wrong on a connection is its client's affair.
        _ = &mut connection => return,
        _ = ending.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

type Answer = Response<Full<Bytes>>;

fn page(status: StatusCode, text: impl Into<String>) -> Answer {
    typed(status, "text/plain; charset=utf-8", text.into().into_bytes())
}

fn typed(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn respond(request: Request<Incoming>, way: Way, server: &Server) -> Answer {
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match (request.uri().path(), way) {
        ("/livez", _) if is_reading => page(StatusCode::OK, "ok\n"),
        ("/readyz", _) if is_reading && server.is_ending.load(Ordering::Relaxed) => {
            page(StatusCode::SERVICE_UNAVAILABLE, "ending\n")
        }
        ("/readyz", _) if is_reading => page(StatusCode::OK, "ok\n"),
        ("/metrics", Way::Plain) if is_reading => {
            typed(StatusCode::OK, "text/plain; version=0.0.4", server.metrics.page().into_bytes())
        }
        ("/mutate", Way::Tls) if request.method() == Method::POST => {
            let answer = mutate(request, server).await;
            if answer.status().is_client_error() {
                server.metrics.refused();
            }
            answer
        }
        ("/livez" | "/readyz", _) | ("/metrics", Way::Plain) | ("/mutate", Way::Tls) => {
            page(StatusCode::METHOD_NOT_ALLOWED, "another method is expected here\n")
        }
        _ => page(StatusCode::NOT_FOUND, "expected /mutate, /livez or /readyz\n"),
    }
}

async fn mutate(request: Request<Incoming>, server: &Server) -> Answer {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return page(StatusCode::UNSUPPORTED_MEDIA_TYPE, "expected application/json\n");
    }
    let size = request.body().size_hint().exact().unwrap_or(MAX_BODY as u64);
    if size > MAX_BODY as u64 {
        return too_large(request.into_body()).await;
    }
    let size = usize::try_from(size).expect("at most the limit");
    let Ok(collected) = timeout(PATIENCE, collect(request.into_body(), size, &server.bodies)).await else {
        return page(StatusCode::REQUEST_TIMEOUT, "the review did not come in time\n");
    };
    let (body, _room) = match collected {
        Ok(collected) => collected,
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return page(StatusCode::PAYLOAD_TOO_LARGE, "the review is too large\n");
        }
        Err(_) => return page(StatusCode::BAD_REQUEST, "the review broke off\n"),
    };
    let start = Instant::now();
    match admission(&body, &server.injector) {
        Ok(answer) => {
            server.metrics.answered(answer.verdict, start.elapsed());
            match answer.verdict {
                Verdict::Injected => info!("injected into {}", answer.pod),
                Verdict::Denied => info!("denied {}: {}", answer.pod, answer.message.escape_debug()),
                Verdict::Unchanged => debug!("left {} as it is", answer.pod),
            }
            typed(StatusCode::OK, "application/json", answer.body)
        }
        Err(error) => page(StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}

/// A body of at most `size` bytes, and the room it takes: many large ones at once wait instead of filling the memory.
async fn collect(
    body: Incoming,
    size: usize,
    all: &Semaphore,
) -> Result<(Vec<u8>, Option<SemaphorePermit<'_>>), Box<dyn std::error::Error + Send + Sync>> {
    let mut body = Limited::new(body, MAX_BODY);
    let mut bytes = Vec::with_capacity(size.min(FIRST));
    let mut room = None;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if room.is_none() && bytes.len() + data.len() > FIRST {
            let size = u32::try_from(size >> 10).expect("at most a few thousand KiB") + 1;
            room = Some(all.acquire_many(size).await.expect("nobody closes it"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok((bytes, room))
}

/// What is still being sent is thrown away for a while: closing at once would take the answer from the client, too.
async fn too_large(body: Incoming) -> Answer {
    let mut rest = Limited::new(body, MAX_DISCARDED);
    let _ = timeout(PATIENCE, async { while let Some(Ok(_)) = rest.frame().await {} }).await;
    page(StatusCode::PAYLOAD_TOO_LARGE, "the review is too large\n")
}

/// Looks at the certificate's files again and again. A pair that cannot be served leaves the old one in place: while a
/// Secret is being replaced by hand, one file may be new and the other old.
async fn reload(files: Files, mut known: Pair, certificate: watch::Sender<Arc<ServerConfig>>, server: Arc<Server>) {
    let mut ticks = interval(LOOK);
    let mut told = false;
    loop {
        ticks.tick().await;
        let result = match files.read() {
            Ok(pair) if pair == known => {
                told = false;
                continue;
            }
            Ok(pair) => files.serve(&pair).map(|config| (pair, config)),
            Err(error) => Err(error),
        };
        match result {
            Ok((pair, config)) => {
                known = pair;
                told = false;
                certificate.send_replace(config);
                add(&server.metrics.reloads);
                info!("a new certificate is served from now on");
            }
            Err(error) => {
                add(&server.metrics.reloads_failed);
                if !std::mem::replace(&mut told, true) {
                    warn!("keeping the certificate that is served: {error}");
                }
            }
        }
    }
}
