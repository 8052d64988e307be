//! Handles one request on the TLS listener: a page, or a review, which is read within limits and decided.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::domain::printable;

use super::super::admission::Verdict;
use super::admit::Outcome;
use super::connections::{Phase, Ticket};
use super::server::{MAX_BODY, Server};

/// The most bytes of a too large body that are read and discarded.
const MAX_DISCARDED: usize = 64 << 20;
/// This much of every body is read without a reservation, in bytes: most reviews are smaller, and a client that
/// announces much and sends little makes no other wait.
const FIRST_PART: usize = 8 << 10;
/// The time limit for a body.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Response<Full<Bytes>>;

/// Handles a request and updates the connection's phase.
pub(super) async fn respond(request: Request<Incoming>, ticket: &Ticket, server: &Server) -> Answer {
    let mut answer = route(request, ticket, server).await;
    if server.is_ending.load(Ordering::Relaxed) {
        // The client's next connection goes to another server.
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    ticket.enter(Phase::Response);
    answer
}

/// Routes a request by its path and method.
async fn route(request: Request<Incoming>, ticket: &Ticket, server: &Server) -> Answer {
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
    match request.uri().path() {
        "/livez" if is_reading => page(StatusCode::OK, "ok\n"),
        "/readyz" if is_reading && server.is_ending.load(Ordering::Relaxed) => {
            page(StatusCode::SERVICE_UNAVAILABLE, "ending\n")
        }
        "/readyz" if is_reading => page(StatusCode::OK, "ok\n"),
        "/mutate" if request.method() == Method::POST => {
            ticket.enter(Phase::Body);
            let answer = mutate(request, ticket, server).await;
            if answer.status().is_client_error() {
                server.metrics.refused();
            }
            answer
        }
        "/livez" | "/readyz" | "/mutate" => page(StatusCode::METHOD_NOT_ALLOWED, "another method is expected here\n"),
        _ => page(StatusCode::NOT_FOUND, "expected /mutate, /livez or /readyz\n"),
    }
}

/// A plain-text response.
fn page(status: StatusCode, text: impl Into<String>) -> Answer {
    typed(status, "text/plain; charset=utf-8", text.into().into_bytes())
}

/// A response with this content type.
fn typed(status: StatusCode, kind: &'static str, body: Vec<u8>) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Reads a review, has it decided, and returns the response.
async fn mutate(request: Request<Incoming>, ticket: &Ticket, server: &Server) -> Answer {
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
    let Ok(collected) = timeout(PATIENCE, collect(request.into_body(), size, ticket, server)).await else {
        return page(StatusCode::REQUEST_TIMEOUT, "the review did not come in time\n");
    };
    let body = match collected {
        Ok(body) => body,
        Err(error) if error.is::<LengthLimitError>() => {
            return page(StatusCode::PAYLOAD_TOO_LARGE, "the review is too large\n");
        }
        Err(_) => return page(StatusCode::BAD_REQUEST, "the review broke off\n"),
    };
    ticket.enter(Phase::Admission);
    match server.admissions.decide(body).await {
        Outcome::Answered(answer, took) => {
            server.metrics.answered(answer.verdict, took);
            match answer.verdict {
                Verdict::Injected => info!("injected into {}", answer.pod),
                Verdict::Denied => info!("denied {}: {}", answer.pod, printable(&answer.message)),
                Verdict::Unchanged => debug!("left {} as it is", answer.pod),
            }
            typed(StatusCode::OK, "application/json", answer.body)
        }
        Outcome::Bad(error) => page(StatusCode::BAD_REQUEST, format!("{error}\n")),
        Outcome::Bug => page(StatusCode::INTERNAL_SERVER_ERROR, "a bug; the log says where\n"),
    }
}

/// Reads a body of at most `size` bytes. Beyond its first part, room must be reserved.
async fn collect(
    body: Incoming,
    size: usize,
    ticket: &Ticket,
    server: &Server,
) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut body = Limited::new(body, MAX_BODY);
    let mut bytes = Vec::with_capacity(size.min(FIRST_PART));
    let mut has_room = false;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if !has_room && bytes.len() + data.len() > FIRST_PART {
            let kib = u32::try_from(size >> 10).expect("at most a few thousand KiB") + 1;
            ticket.take_room(server.room.of(size), kib).await;
            has_room = true;
            // Reserved at once: a growing buffer is copied, and both copies exist for a moment.
            bytes.reserve_exact(size.saturating_sub(bytes.len()));
        }
        ticket.received(data.len());
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// Discards the rest of the body, within limits: if the connection were closed at once, the client might not get
/// the response.
async fn too_large(body: Incoming) -> Answer {
    let mut rest = Limited::new(body, MAX_DISCARDED);
    let _ = timeout(PATIENCE, async { while let Some(Ok(_)) = rest.frame().await {} }).await;
    page(StatusCode::PAYLOAD_TOO_LARGE, "the review is too large\n")
}
