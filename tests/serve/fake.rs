//! Somebody to ask: a report that tests set, behind the real servers, in a loop of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use secret_exec::domain::Mode;
use secret_exec::serve::{
    Action, Backend, Control, Counters, ErrorClass, FailureReport, Health, Next, NotifyResult, Operation, Pace,
    Refreshed, Report, Running, SecretReport, SecretState, StateDir, TokenReport,
};
use tokio::sync::oneshot;

/// What the fake says.
pub struct Fake {
    pub report: Mutex<Report>,
    pace: Mutex<Pace>,
    started: Instant,
    /// Turns of the loop that it also has to do.
    ticks: AtomicU64,
}

impl Fake {
    pub fn with(report: Report) -> Arc<Self> {
        let pace = Mutex::new(Pace::new(Pace::REFRESH));
        Arc::new(Self { report: Mutex::new(report), pace, started: Instant::now(), ticks: AtomicU64::new(0) })
    }

    pub fn set(&self, state: SecretState) {
        self.report.lock().unwrap().secrets[0].state = state;
    }

    /// The loop turns: it does the rest of its work, now.
    #[track_caller]
    pub fn goes_on(&self) {
        let (start, before) = (Instant::now(), self.ticks.load(Ordering::Relaxed));
        while self.ticks.load(Ordering::Relaxed) < before + 3 {
            assert!(start.elapsed() < Duration::from_secs(2), "the loop stands still");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Running for Fake {
    fn report(&self) -> Report {
        self.report.lock().unwrap().clone()
    }

    fn refresh(&self) -> Refreshed {
        self.pace.lock().unwrap().ask(self.started.elapsed())
    }

    fn is_ready(&self) -> bool {
        self.report.lock().unwrap().not_ready().is_empty()
    }
}

pub fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// One of everything.
pub fn report() -> Report {
    let trouble = FailureReport { class: ErrorClass::Transient, why: "no connection".into(), at: at(1_700_000_100) };
    let mut counters = Counters { renewals: 3, logins: 1, issued: 2, generations: 4, ..Counters::default() };
    counters.request(Backend::Vault, Operation::Login);
    counters.request(Backend::Vault, Operation::Read);
    counters.request(Backend::Vault, Operation::Read);
    counters.failure(Backend::Vault, Operation::Read, ErrorClass::Transient);
    counters.notified(Action::Signal, NotifyResult::Yes);
    counters.notified(Action::Http, NotifyResult::Failed);
    Report {
        version: "0.1.0".into(),
        mode: Mode::Supervise,
        pid: 7,
        since: at(1_700_000_000),
        generation: Some("..2026_11_22.1".into()),
        undelivered: None,
        tokens: vec![TokenReport {
            backend: Backend::Vault,
            login: "kubernetes (role web, mount kubernetes)".into(),
            accessor: Some("accessor-1".into()),
            expires: Some(at(1_700_003_600)),
            next: Some(Next { action: Operation::RenewToken, at: at(1_700_002_400) }),
            last_error: None,
        }],
        secrets: vec![
            SecretReport {
                name: Some("db".into()),
                reference: "vault:database/creds/web".into(),
                state: SecretState::Fresh,
                version: None,
                lease: Some("…abcd".into()),
                last_success: Some(at(1_700_000_050)),
                next: Some(Next { action: Operation::Renew, at: at(1_700_002_000) }),
                expires: Some(at(1_700_003_000)),
                last_error: None,
            },
            SecretReport {
                name: None,
                reference: "vault:secret/data/q\"uote\\d\nline".into(),
                state: SecretState::Stale,
                version: Some("3".into()),
                lease: None,
                last_success: Some(at(1_700_000_060)),
                next: None,
                expires: None,
                last_error: Some(trouble),
            },
        ],
        counters,
    }
}

/// Both servers in a thread with one loop, until this is dropped.
pub struct Served {
    pub fake: Arc<Fake>,
    pub state: PathBuf,
    pub http: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    pub fn start(state: &Path) -> Self {
        Self::with(state, report())
    }

    pub fn with(state: &Path, report: Report) -> Self {
        let fake = Fake::with(report);
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn({
            let (fake, state) = (Arc::clone(&fake), state.to_owned());
            move || {
                let state = StateDir::prepare(&state, None).unwrap();
                let control = Control::open(&state).unwrap();
                let health = Health::listen("127.0.0.1:0").unwrap();
                tell.send(health.address().unwrap()).unwrap();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    tokio::select! {
                        error = control.serve(&*fake) => panic!("{error:?}"),
                        error = health.serve(&*fake) => panic!("{error:?}"),
                        () = tick(&fake) => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        let http = told.recv().expect("the servers did not start");
        Self { fake, state: state.to_owned(), http, stop: Some(stop), thread: Some(thread) }
    }

    pub fn socket(&self) -> PathBuf {
        self.state.join("control.sock")
    }
}

/// The rest of the loop's work.
async fn tick(fake: &Fake) {
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        fake.ticks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the servers panicked");
    }
}

/// A directory on memory.
pub fn memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// Clients that connect again whenever they are cut, until this is dropped.
pub struct SlowClients {
    is_over: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Keeps `count` connections open that say too little. Returns when each has been opened once.
pub fn keep_connecting<S>(count: usize, connect: impl Fn() -> Option<S> + Send + 'static) -> SlowClients {
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (opened, all_opened) = mpsc::channel();
    let thread = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            // More than the descriptors of one process are not needed: those that were cut give theirs back.
            let mut open: std::collections::VecDeque<Option<S>> = std::collections::VecDeque::new();
            let mut made = 0;
            while !is_over.load(Ordering::Relaxed) {
                open.push_back(connect());
                made += 1;
                if open.len() > count.min(600) {
                    open.pop_front();
                }
                if made == count {
                    let _ = opened.send(());
                }
                if made > count {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    });
    all_opened.recv_timeout(Duration::from_secs(60)).expect("the slow clients cannot connect");
    SlowClients { is_over, thread: Some(thread) }
}

impl Drop for SlowClients {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the slow clients panicked");
    }
}
