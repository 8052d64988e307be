//! The control socket: each connection carries one request and one response, each a line of JSON.
//!
//! ```text
//! {"ask":"status"}   {"status":{"ready":true,"version":…}}
//! {"ask":"ready"}    {"ready":{"reasons":[]}}
//! {"ask":"refresh"}  {"refreshed":{"waitSeconds":null,"notRead":[]}}
//! ```

use std::convert::Infallible;
use std::fs::{File, OpenOptions, Permissions, metadata, set_permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::sys::fs::{self, Folder};

use super::connection_limit::{self, Limits};
use super::report::{Refreshed, Report, Running};
use super::state::{SOCKET, StateDir, through};

/// The largest request in bytes.
const QUESTION: u64 = 256;
/// The largest response in bytes. A report about a thousand secrets with errors takes half a megabyte.
const ANSWER: u64 = 8 << 20;
/// Responses are immediate; a connection that stays open belongs to a slow client, and the oldest is closed first.
const LIMITS: Limits = Limits { most: 64, patience: Duration::from_secs(3) };

/// The requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The full report.
    Status,
    /// Whether it is ready.
    Ready,
    /// Read everything again.
    Refresh,
}

/// A request line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    ask: Ask,
}

/// The responses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// To [`Ask::Ready`].
    Ready {
        /// Why it is not ready; empty if it is.
        reasons: Vec<String>,
    },
    /// To [`Ask::Refresh`].
    Refreshed {
        /// `None` if the refresh has begun. Otherwise it was refused, and may be tried again after this many seconds.
        wait_seconds: Option<u64>,
        /// The references that are not read again, because that would issue new credentials.
        #[serde(default)]
        not_read: Vec<String>,
    },
    /// An unknown request.
    Refused(String),
}

/// The report, and whether it means ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether every secret is delivered, and none has expired.
    pub ready: bool,
    /// The full report.
    #[serde(flatten)]
    pub report: Report,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens on the socket.
    #[error("no supervisor or sidecar answers at {path}: {}", explain_unreachable(.why))]
    Nobody {
        /// The socket's path.
        path: String,
        /// The error of the call.
        why: io::Error,
    },
    /// The socket belongs to another user.
    #[error("{path} is for user {owner} and root, and we are user {own_uid}: ask as that user")]
    Forbidden {
        /// The path of the socket or its directory.
        path: String,
        /// Its owner.
        owner: String,
        /// Our uid.
        own_uid: u32,
    },
    /// The response timed out.
    #[error("whoever runs at {path} did not answer within {} s", .within.as_secs())]
    Late {
        /// The socket's path.
        path: String,
        /// The timeout.
        within: Duration,
    },
    /// The connection ended early, or the response is unknown to this version.
    #[error("whoever runs at {path} gave no answer that this version understands{}", .why.as_deref().unwrap_or_default())]
    Unusable {
        /// The socket's path.
        path: String,
        /// The error message in the response, if any.
        why: Option<String>,
    },
}

/// Explains a failed connection.
fn explain_unreachable(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::NotFound => "there is no such socket; does it run, and with this --state?".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused: whoever listened there has ended".to_owned(),
        kind => kind.to_string(),
    }
}

/// The listening control socket. Dropping it removes its file.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    /// The directory of the socket, for removing it. The lock belongs to the [`StateDir`].
    folder: Folder,
}

impl Control {
    /// Listens in the state directory with the current privileges, so it is to be called after they were dropped.
    /// Returns `None` and logs a warning if that fails.
    pub fn open(state: &StateDir) -> Option<Self> {
        match listen(state) {
            Ok(control) => Some(control),
            Err(error) => {
                let path = state.path().join(SOCKET);
                warn!(
                    "no control socket, so status and refresh do not work: cannot listen at {}: {error}",
                    path.display()
                );
                None
            }
        }
    }

    /// Serves requests for ever, in the current runtime, without blocking it.
    pub async fn serve(&self, running: &impl Running) -> io::Result<Infallible> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let own_uid = fs::effective_ids().0;
        Ok(connection_limit::serve(&listener, LIMITS, async |stream| handle_connection(stream, own_uid, running).await)
            .await)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // If it stays, it is stale and removed by the next process.
        let _ = self.folder.unlink(SOCKET.as_ref());
    }
}

/// Binds the socket. The directory is locked by us, so an existing socket is stale.
fn listen(state: &StateDir) -> io::Result<Control> {
    match state.folder().unlink(SOCKET.as_ref()) {
        Ok(()) | Err(fs::Errno::ENOENT) => {}
        Err(why) => return Err(why.into()),
    }
    let path = through(state.folder(), state.path(), SOCKET);
    let listener = UnixListener::bind(&path)?;
    // Set explicitly, because the umask would change it; until here the directory's mode protects it.
    set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(Control { listener, folder: state.folder().open(".".as_ref())? })
}

/// Reads a request of root or our own user, and sends the response.
async fn handle_connection(mut stream: UnixStream, own_uid: u32, running: &impl Running) {
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own_uid || peer.uid() == 0 => {}
        Ok(peer) => return debug!("the control socket was asked by user {}, who may not", peer.uid()),
        Err(_) => return,
    }
    let Some(line) = line(&mut stream, QUESTION).await else { return };
    let answer = answer(&line, running);
    let mut text = serde_json::to_vec(&answer).expect("an answer has only string keys");
    text.push(b'\n');
    // The client may have gone away.
    let _ = stream.write_all(&text).await;
}

/// Executes a request line.
fn answer(line: &[u8], running: &impl Running) -> Answer {
    let Ok(Question { ask }) = serde_json::from_slice(line) else {
        return Answer::Refused(r#"expected {"ask":"status"}, {"ask":"ready"} or {"ask":"refresh"}"#.to_owned());
    };
    match ask {
        Ask::Status => Answer::Status(Box::new(Status { ready: running.is_ready(), report: running.report() })),
        Ask::Ready => Answer::Ready { reasons: reasons(running) },
        Ask::Refresh => Answer::Refreshed {
            wait_seconds: match running.refresh() {
                Refreshed::Started => None,
                Refreshed::TooSoon { wait } => Some(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)),
            },
            not_read: running.not_refreshed(),
        },
    }
}

/// Why it is not ready; empty if it is.
pub(super) fn reasons(running: &impl Running) -> Vec<String> {
    if running.is_ready() {
        return Vec::new();
    }
    let reasons = running.report().not_ready();
    if reasons.is_empty() { vec!["the first delivery is not complete".to_owned()] } else { reasons }
}

/// Reads one line, without its end; `None` when the peer closes the connection early or the line is longer than `most`.
async fn line(stream: &mut (impl AsyncRead + Unpin), most: u64) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    let mut limited = stream.take(most);
    while !text.contains(&b'\n') {
        if limited.read_buf(&mut text).await.ok()? == 0 {
            return None;
        }
    }
    let end = text.iter().position(|byte| *byte == b'\n')?;
    text.truncate(end);
    Some(text)
}

/// Sends a request to the process that runs with this state directory, and waits up to `within` for the response.
pub async fn ask(state: &Path, ask: Ask, within: Duration) -> Result<Answer, AskError> {
    let path = state.join(SOCKET).display().to_string();
    match timeout(within, exchange(state, ask, &path)).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::Late { path, within }),
    }
}

/// Sends the request and reads the response, without a time limit.
async fn exchange(state: &Path, ask: Ask, path: &str) -> Result<Answer, AskError> {
    let mut stream = connect(state, path).await?;
    let unusable = |why| AskError::Unusable { path: path.to_owned(), why };
    let mut question = serde_json::to_vec(&Question { ask }).expect("a question is one word");
    question.push(b'\n');
    // A peer that closed the connection early may still have responded.
    let _ = stream.write_all(&question).await;
    let line = line(&mut stream, ANSWER).await.ok_or_else(|| unusable(None))?;
    match serde_json::from_slice(&line) {
        Ok(Answer::Refused(why)) => Err(unusable(Some(format!(": {why}")))),
        Ok(answer) => Ok(answer),
        Err(_) => Err(unusable(None)),
    }
}

/// Connects to the socket, retrying while its backlog is full.
async fn connect(state: &Path, path: &str) -> Result<UnixStream, AskError> {
    // Through the directory's descriptor, because a socket address cannot contain a long path.
    let folder = open_folder(state);
    let address = folder.as_ref().map_or_else(|_| state.join(SOCKET), |folder| through(folder, state, SOCKET));
    loop {
        match UnixStream::connect(&address).await {
            Ok(stream) => return Ok(stream),
            // The backlog is full.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(20)).await,
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                let owner = metadata(state).map_or("?".to_owned(), |meta| meta.uid().to_string());
                return Err(AskError::Forbidden { path: path.to_owned(), owner, own_uid: fs::effective_ids().0 });
            }
            Err(why) => return Err(AskError::Nobody { path: path.to_owned(), why }),
        }
    }
}

/// Opens a directory for use in paths.
fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH).open(path)
}
