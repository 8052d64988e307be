//! The admission webhook: a TLS server around one pure function. It makes no connections itself.
//!
//! Three threads: the main thread serves the TLS connections (`connections`, `respond`), `admit` decides about
//! reviews, and `health` serves probes and metrics over plain HTTP.

mod admit;
mod connections;
mod handshake;
mod health;
mod respond;
mod server;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use crate::config::Injector;
use crate::serve::{Health, ListenError};
use crate::sys::{clock, heap};

use self::admit::Admissions;
use self::connections::{Connections, Limits, Phase, Ticket, Watched};
use self::handshake::Bounded;
use self::server::{Room, Server};
use super::metrics::{Metrics, add};
use super::tls::{Files, Pair, TlsError};

/// The most connections at one time, well below the usual limit of 1024 descriptors. A further connection evicts
/// the one that has waited longest. The API server does not repeat a review whose connection was cut, and begins up to
/// 200 handshakes at once (`--max-mutating-requests-inflight`).
const LIMITS: Limits = Limits { connections: 512, handshakes: 384 };
/// The buffer of a connection, in bytes, for a request's head and a part of its body.
const BUFFER: usize = 16 << 10;
/// How often the certificate's files are checked. Kubelet itself takes about a minute to update a mounted Secret.
const LOOK: Duration = Duration::from_secs(2);
/// Freed memory is returned to the kernel after this many checks.
const TRIM: u64 = 5;
/// How long new connections are still accepted after SIGTERM, until the Service has removed this pod.
const LINGER: Duration = Duration::from_secs(3);
/// How long requests in progress may then take.
const DRAIN: Duration = Duration::from_secs(15);
/// A connection younger than this at that time may still send its first request.
const NEW: Duration = Duration::from_millis(500);

/// The settings of the server.
#[derive(Debug)]
pub struct Webhook {
    /// `HOST:PORT` of the webhook, over TLS.
    pub listen: String,
    /// `HOST:PORT` of health and metrics, over plain HTTP.
    pub metrics: Option<String>,
    /// Certificate and key.
    pub tls: Files,
    /// The injector's config.
    pub injector: Injector,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The certificate cannot be used.
    #[error("cannot serve TLS")]
    Tls(#[from] TlsError),
    /// The address cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address as it was given.
        address: String,
        /// The error.
        source: io::Error,
    },
    /// The address of health and metrics cannot be bound.
    #[error(transparent)]
    Metrics(#[from] ListenError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Webhook {
    /// Serves until `stop` completes, then drains the connections. `started` is called with the bound addresses.
    pub async fn serve(
        self,
        stop: impl Future<Output = ()>,
        started: impl FnOnce(SocketAddr, Option<SocketAddr>),
    ) -> Result<(), WebhookError> {
        let pair = self.tls.read()?;
        let (certificate, current) = watch::channel(self.tls.serve(&pair)?);
        let listener = listen(&self.listen).await?;
        let health = self.metrics.as_deref().map(Health::listen).transpose()?;
        heap::keep_small();
        let server = Arc::new(Server {
            admissions: Admissions::start(self.injector).map_err(WebhookError::Thread)?,
            metrics: Metrics::default(),
            connections: Arc::new(Connections::new(LIMITS)),
            room: Room::new(),
            is_ending: AtomicBool::new(false),
        });
        let address = listener.local_addr().expect("a listener has an address");
        let metrics = health.as_ref().map(|health| health.address().expect("a listener has an address"));
        if let Some(health) = health {
            health::start(health, Arc::clone(&server)).map_err(WebhookError::Thread)?;
        }
        started(address, metrics);
        #[expect(clippy::disallowed_methods, reason = "it reads the pair for as long as the server runs")]
        tokio::spawn(reload(self.tls, pair, certificate, Arc::clone(&server)));
        {
            let mut accepting = pin!(accept(&listener, current.clone(), &server));
            tokio::select! {
                () = &mut accepting => {}
                () = stop => {}
            }
            info!("ending: not ready any more, serving what still comes");
            server.is_ending.store(true, Ordering::Relaxed);
            let _ = timeout(LINGER, &mut accepting).await;
            // Connections that the kernel has accepted already must be served too.
            while let Ok(stream) = timeout(Duration::ZERO, accept_one(&listener)).await {
                handle_connection(stream, &current, &server);
            }
        }
        drop(listener);
        drain(&server.connections).await;
        Ok(())
    }
}

/// Binds the address.
async fn listen(address: &str) -> Result<TcpListener, WebhookError> {
    TcpListener::bind(address).await.map_err(|source| WebhookError::Listen { address: address.to_owned(), source })
}

/// Closes connections without a request, and waits for the others up to [`DRAIN`].
async fn drain(connections: &Connections) {
    let end = clock::boottime().saturating_add(DRAIN);
    while connections.len() > 0 {
        if clock::boottime() > end {
            warn!("{} connections did not end in time", connections.len());
            return;
        }
        connections.cut_idle(NEW);
        sleep(Duration::from_millis(20)).await;
    }
}

/// Accepts connections forever.
async fn accept(listener: &TcpListener, current: watch::Receiver<Arc<ServerConfig>>, server: &Arc<Server>) {
    loop {
        let stream = accept_one(listener).await;
        handle_connection(stream, &current, server);
    }
}

/// The next connection. Failures to accept are logged and retried.
async fn accept_one(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Responses are small and written at once; Nagle's algorithm would only delay them.
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // Too many descriptors, or a client that has gone: neither ends the server.
            Err(error) => {
                debug!("cannot accept a connection: {error}");
                sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Spawns the task of a new connection.
fn handle_connection(stream: TcpStream, current: &watch::Receiver<Arc<ServerConfig>>, server: &Arc<Server>) {
    let acceptor = TlsAcceptor::from(Arc::clone(&current.borrow()));
    let ticket = server.connections.enter();
    let server = Arc::clone(server);
    #[expect(clippy::disallowed_methods, reason = "one task a connection: the ticket ends it, `drain` waits for it")]
    tokio::spawn(async move {
        tokio::select! {
            () = ticket.over() => {
                if ticket.is_in(Phase::Handshake) {
                    add(&server.metrics.handshakes_failed);
                }
            }
            () = serve_connection(stream, acceptor, &ticket, &server) => {}
        }
    });
}

/// Serves one connection until its client closes it. `ticket` tells when it must end earlier.
async fn serve_connection(stream: TcpStream, acceptor: TlsAcceptor, ticket: &Ticket, server: &Server) {
    let Ok(mut stream) = acceptor.accept(Bounded::new(stream)).await else {
        // Port scanners and plain TCP probes: counted, not logged.
        return add(&server.metrics.handshakes_failed);
    };
    let (tcp, tls) = stream.get_mut();
    tcp.lift();
    tls.set_buffer_limit(Some(BUFFER));
    ticket.secured();
    let service =
        service_fn(|request| async move { Ok::<_, Infallible>(respond::respond(request, ticket, server).await) });
    // hyper's header timeout is not used: it would also count while no request has begun.
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    // Errors of a connection concern only its client.
    let _ = builder.serve_connection(TokioIo::new(Watched::new(stream, ticket)), service).await;
}

/// Checks the certificate's files periodically. If a new pair cannot be used, the old one stays: while a Secret is
/// replaced by hand, one file may be new and the other old.
async fn reload(files: Files, mut known: Pair, certificate: watch::Sender<Arc<ServerConfig>>, server: Arc<Server>) {
    let mut ticks = interval(LOOK);
    let mut turns = 0_u64;
    let mut is_logged = false;
    loop {
        ticks.tick().await;
        turns += 1;
        if turns.is_multiple_of(TRIM) {
            // Memory that connections have freed.
            heap::trim();
        }
        let result = match files.read() {
            Ok(pair) if pair == known => {
                is_logged = false;
                continue;
            }
            Ok(pair) => files.serve(&pair).map(|config| (pair, config)),
            Err(error) => Err(error),
        };
        match result {
            Ok((pair, config)) => {
                known = pair;
                is_logged = false;
                certificate.send_replace(config);
                add(&server.metrics.reloads);
                info!("a new certificate is served from now on");
            }
            Err(error) => {
                add(&server.metrics.reloads_failed);
                if !std::mem::replace(&mut is_logged, true) {
                    let why = match &error {
                        TlsError::Read { source, .. } => format!(": {}", source.kind()),
                        TlsError::NoCertificate { .. } | TlsError::NoKey { .. } | TlsError::Pair { .. } => {
                            String::new()
                        }
                    };
                    warn!("keeping the certificate that is served: {error}{why}");
                }
            }
        }
    }
}
