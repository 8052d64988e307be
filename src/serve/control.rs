//! The control socket: one line of JSON asks, one line answers, and the connection ends.
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

/// The longest question.
const QUESTION: u64 = 256;
/// The longest answer; a thousand secrets with their errors need half a megabyte.
const ANSWER: u64 = 8 << 20;
/// Probes are answered at once; what stays open is a slow client, and the oldest goes first.
const LIMITS: Limits = Limits { most: 64, patience: Duration::from_secs(3) };

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Everything.
    Status,
    /// Only whether it is ready.
    Ready,
    /// To read everything again.
    Refresh,
}

/// A line of question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    ask: Ask,
}

/// A line of answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Answer {
    /// To [`Ask::Status`].
    Status(Box<Status>),
    /// To [`Ask::Ready`].
    Ready {
        /// Why not; empty: ready.
        reasons: Vec<String>,
    },
    /// To [`Ask::Refresh`].
    Refreshed {
        /// `None`: it has begun. Otherwise nothing was done, and this is how long to wait.
        wait_seconds: Option<u64>,
        /// What is not read again, because that would issue it anew: it is renewed, or replaced before it ends.
        #[serde(default)]
        not_read: Vec<String>,
    },
    /// The question was not one of these.
    Refused(String),
}

/// The report, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Every secret is delivered, and none expired.
    pub ready: bool,
    /// All of it.
    #[serde(flatten)]
    pub report: Report,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no supervisor or sidecar answers at {path}: {}", nobody(.why))]
    Nobody {
        /// The socket.
        path: String,
        /// What the kernel said.
        why: io::Error,
    },
    /// The socket is somebody else's.
    #[error("{path} is for user {owner} and root, and we are user {own_uid}: ask as that user")]
    Forbidden {
        /// The socket, or its directory.
        path: String,
        /// Whose it is.
        owner: String,
        /// Who we are.
        own_uid: u32,
    },
    /// It took too long.
    #[error("whoever runs at {path} did not answer within {} s", .within.as_secs())]
    Late {
        /// The socket.
        path: String,
        /// How long we waited.
        within: Duration,
    },
    /// The connection ended, or the answer is not one of ours.
    #[error("whoever runs at {path} gave no answer that this version understands{}", .why.as_deref().unwrap_or_default())]
    Unusable {
        /// The socket.
        path: String,
        /// What it said instead.
        why: Option<String>,
    },
}

fn nobody(why: &io::Error) -> String {
    match why.kind() {
        io::ErrorKind::NotFound => "there is no such socket; does it run, and with this --state?".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused: whoever listened there has ended".to_owned(),
        kind => kind.to_string(),
    }
}

/// The listening socket. Its file goes when this does.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    /// To remove the socket from; the lock is the [`StateDir`]'s.
    folder: Folder,
}

impl Control {
    /// Listens in the state directory, as whom we are now; so after privileges were dropped. Where that cannot be, one
    /// line says so and there is none.
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

    /// Answers for ever, in the runtime this is awaited in. Never blocks it.
    pub async fn serve(&self, running: &impl Running) -> io::Result<Infallible> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        let own_uid = fs::ourselves().0;
        Ok(connection_limit::serve(&listener, LIMITS, async |stream| handle_connection(stream, own_uid, running).await)
            .await)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Left behind it would be stale, which the next one handles.
        let _ = self.folder.unlink(SOCKET.as_ref());
    }
}

/// We hold the directory, so a socket that is there is a dead one's.
fn listen(state: &StateDir) -> io::Result<Control> {
    match state.folder().unlink(SOCKET.as_ref()) {
        Ok(()) | Err(fs::Errno::ENOENT) => {}
        Err(why) => return Err(why.into()),
    }
    let path = through(state.folder(), state.path(), SOCKET);
    let listener = UnixListener::bind(&path)?;
    // Whatever the umask; until here the directory's own mode keeps others out.
    set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(Control { listener, folder: state.folder().open(".".as_ref())? })
}

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
    // Who went away needs no answer.
    let _ = stream.write_all(&text).await;
}

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

/// Why it is not ready; never empty unless it is.
pub(super) fn reasons(running: &impl Running) -> Vec<String> {
    if running.is_ready() {
        return Vec::new();
    }
    let reasons = running.report().not_ready();
    if reasons.is_empty() { vec!["the first delivery is not complete".to_owned()] } else { reasons }
}

/// One line without its end; `None` when the other side ends early or goes on too long.
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

/// Asks whoever runs with this state directory.
pub async fn ask(state: &Path, ask: Ask, within: Duration) -> Result<Answer, AskError> {
    let path = state.join(SOCKET).display().to_string();
    match timeout(within, exchange(state, ask, &path)).await {
        Ok(answer) => answer,
        Err(_) => Err(AskError::Late { path, within }),
    }
}

async fn exchange(state: &Path, ask: Ask, path: &str) -> Result<Answer, AskError> {
    let mut stream = connect(state, path).await?;
    let unusable = |why| AskError::Unusable { path: path.to_owned(), why };
    let mut question = serde_json::to_vec(&Question { ask }).expect("a question is one word");
    question.push(b'\n');
    // One that closes at once may have answered.
    let _ = stream.write_all(&question).await;
    let line = line(&mut stream, ANSWER).await.ok_or_else(|| unusable(None))?;
    match serde_json::from_slice(&line) {
        Ok(Answer::Refused(why)) => Err(unusable(Some(format!(": {why}")))),
        Ok(answer) => Ok(answer),
        Err(_) => Err(unusable(None)),
    }
}

async fn connect(state: &Path, path: &str) -> Result<UnixStream, AskError> {
    // By descriptor, because a socket's address holds no long path.
    let folder = open_folder(state);
    let address = folder.as_ref().map_or_else(|_| state.join(SOCKET), |folder| through(folder, state, SOCKET));
    loop {
        match UnixStream::connect(&address).await {
            Ok(stream) => return Ok(stream),
            // Too many wait before the door.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(Duration::from_millis(20)).await,
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                let owner = metadata(state).map_or("?".to_owned(), |meta| meta.uid().to_string());
                return Err(AskError::Forbidden { path: path.to_owned(), owner, own_uid: fs::ourselves().0 });
            }
            Err(why) => return Err(AskError::Nobody { path: path.to_owned(), why }),
        }
    }
}

fn open_folder(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH).open(path)
}
