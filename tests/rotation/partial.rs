//! One database fails behind a server that works: what lives beside it stays alive, and the failing one comes back with it.
//!
//! Real OpenBao, two real PostgreSQL: roles of A, and beside them a credential of B, a KV secret, and a token of 20 s. Every
//! half second somebody logs in to B with what is on disk. `FAULTS_TABLE` names a file to which each scene adds a row.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Stage, delivered, status};
use support::*;

/// Of every credential: renewed to 20 s, replaced in the last two of them.
const TTL: &str = "10s";
const MAX: &str = "20s";
/// From the replacement of a credential to that of the next.
const BETWEEN_ISSUES: u64 = 18;
/// Of the KV secret.
const INTERVAL: Duration = Duration::from_secs(2);
/// More than a whole life.
const FAULT: Duration = Duration::from_secs(24);

/// What happens to A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    ShutDown,
    /// SIGSTOP: whatever is asked of it hangs.
    Stopped,
    /// Each of its answers comes half a second late: an issue takes seconds.
    Slow,
}

/// Where the roles of A and the one of B are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mounts {
    /// A mount for each database.
    Apart,
    /// One mount with two connections.
    Shared,
}

/// The server of this module: what hangs in it disturbs no other test.
fn openbao() -> &'static OpenBao {
    static OWN: OnceLock<&OpenBao> = OnceLock::new();
    OWN.get_or_init(|| keep(OpenBao::start))
}

/// Database A, behind a port that can make it slow.
struct DatabaseA {
    postgres: Postgres,
    port: u16,
    delay: Arc<AtomicU64>,
}

impl DatabaseA {
    fn start() -> Self {
        let postgres = Postgres::start();
        let (listener, delay) = (TcpListener::bind("127.0.0.1:0").unwrap(), Arc::new(AtomicU64::new(0)));
        let (port, upstream, late) = (listener.local_addr().unwrap().port(), postgres.port(), Arc::clone(&delay));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)) else { continue };
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let late = Arc::clone(&late);
                std::thread::spawn(move || relay(from, to, || Duration::from_millis(late.load(Ordering::Relaxed))));
                std::thread::spawn(move || relay(client, server, || Duration::ZERO));
            }
        });
        Self { postgres, port, delay }
    }

    fn begin(&self, fault: Fault) {
        match fault {
            Fault::ShutDown => self.postgres.shut_down(),
            Fault::Stopped => self.postgres.signal_all(libc::SIGSTOP),
            Fault::Slow => self.delay.store(500, Ordering::Relaxed),
        }
    }

    fn end(&self, fault: Fault) {
        match fault {
            Fault::ShutDown => self.postgres.run(),
            Fault::Stopped => self.postgres.signal_all(libc::SIGCONT),
            Fault::Slow => self.delay.store(0, Ordering::Relaxed),
        }
    }

    fn lets_in(&self, credential: &Value) -> bool {
        let text = |key: &str| credential[key].as_str().unwrap_or_default();
        self.postgres.sql_as(text("username"), text("password"), "SELECT 1").is_ok()
    }
}

fn relay(mut from: TcpStream, mut to: TcpStream, delay: impl Fn() -> Duration) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        std::thread::sleep(delay());
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
}

/// A barrier that is not waited for in vain when somebody fails.
struct Moments {
    everybody: usize,
    arrived: AtomicUsize,
}

impl Moments {
    #[track_caller]
    fn wait(&self) {
        let before = self.arrived.fetch_add(1, Ordering::SeqCst);
        let all = (before / self.everybody + 1) * self.everybody;
        wait_for("the other scenes", || (self.arrived.load(Ordering::SeqCst) >= all).then_some(()));
    }
}

/// One sidecar.
struct Scene {
    stage: Stage,
    login: Login,
    kv: String,
    mount: String,
    roles: usize,
    config: String,
}

impl Scene {
    fn new(a: &DatabaseA, roles: usize, mounts: Mounts) -> Self {
        let stage = Stage::on(openbao(), TTL, MAX);
        let bao = stage.space.bao;
        let kv = stage.space.kv2(&[("k", json!({ "k": "0" }))]);
        let mount = match mounts {
            Mounts::Shared => stage.database.clone(),
            Mounts::Apart => format!("failing-{}", stage.space.id),
        };
        if mounts == Mounts::Apart {
            bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "database" }));
        }
        let connection = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": "postgres",
            "password": Postgres::PASSWORD, "connection_url": Postgres::url_at(a.port),
        });
        bao.write(&format!("{mount}/config/failing"), connection);
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        for role in 0..roles {
            let role_of_a =
                json!({ "db_name": "failing", "default_ttl": TTL, "max_ttl": MAX, "creation_statements": [create] });
            bao.write(&format!("{mount}/roles/a{role}"), role_of_a);
        }
        let paths = [&stage.creds(), &format!("{mount}/creds/*"), &format!("{kv}/data/*")];
        let paths = paths.map(String::as_str);
        let login = stage.space.approle_with(&stage.case, &paths, json!({ "token_ttl": "20s" }));
        let files: String = (0..roles).map(|role| format!("a{role}.json: \"vault:{mount}/creds/a{role}\", ")).collect();
        let config = format!(
            "{}refresh: {}s\nfiles: {{ {files}db.json: \"vault:{}\", k: \"vault:{kv}/data/k#k\" }}\n",
            stage.space.vault(&login),
            INTERVAL.as_secs(),
            stage.creds()
        );
        Self { stage, login, kv, mount, roles, config }
    }

    /// Whether all roles of A are fresh, and some of them let in by A.
    fn has_recovered(&self, a: &DatabaseA) -> bool {
        let told = status(&self.stage.case);
        let is_fresh = |secret: &Value| secret["state"] == "fresh";
        let lets_in =
            |role: usize| self.stage.file(&format!("a{role}.json")).parse().is_ok_and(|pair| a.lets_in(&pair));
        told["secrets"].as_array().unwrap().iter().all(is_fresh)
            && [0, self.roles / 2, self.roles - 1].into_iter().all(lets_in)
    }

    /// Credentials that the server issued for the roles of A.
    fn issued_for_a(&self) -> usize {
        let start = format!("{}/creds/a", self.mount);
        let is_issue =
            |line: &&Audit| line.kind == "response" && line.path.starts_with(&start) && line.error.is_empty();
        self.stage.space.bao.audit().iter().filter(is_issue).count()
    }
}

/// What came of a scene.
struct Figures {
    logins_to_b: u32,
    refused: u32,
    latest_kv: Duration,
    recovered: Duration,
    ran: Duration,
    /// How slow the machine was: the longest write to the server, or wake-up of this process.
    stall: Duration,
}

/// Writes the KV secret again and again; the longest time until the new value was on disk, and how slow the machine was: the longest
/// that a write to the same server took, or that this process woke up late.
fn change_kv(path: &str, volume: &Path, is_over: &AtomicBool) -> (Duration, Duration) {
    let (mut latest, mut stall) = (Duration::ZERO, Duration::ZERO);
    for value in 1.. {
        let writing = Instant::now();
        openbao().write(path, json!({ "data": { "k": value.to_string() } }));
        stall = stall.max(writing.elapsed());
        let written = Instant::now();
        while delivered(volume, "k") != value.to_string() && written.elapsed() < PATIENCE {
            let slept = Instant::now();
            std::thread::sleep(Duration::from_millis(20));
            stall = stall.max(slept.elapsed().saturating_sub(Duration::from_millis(20)));
        }
        latest = latest.max(written.elapsed());
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(Duration::from_millis(700));
    }
    (latest, stall)
}

/// Lives through the fault; the moments: every scene runs, it begins, it is over.
fn live_through(scene: &Scene, a: &DatabaseA, fault: Fault, moments: &Moments) -> Figures {
    let stage = &scene.stage;
    let mut running = stage.case.with_files(&scene.config).command("sidecar").start();
    running.until("first delivery", || (!stage.file("k").is_empty()).then_some(()));
    let started = Instant::now();
    let (volume, is_over, path) = (stage.case.volume(), AtomicBool::new(false), format!("{}/data/k", scene.kv));
    let (mut logins_to_b, mut refused, mut recovered) = (0, 0, None);
    let (latest_kv, stall) = std::thread::scope(|scope| {
        let changing = scope.spawn(|| change_kv(&path, &volume, &is_over));
        let mut log_in_for = |time: Duration, until: &dyn Fn() -> bool| {
            let begin = Instant::now();
            while begin.elapsed() < time && !until() {
                let next = Instant::now() + Duration::from_millis(500);
                logins_to_b += 1;
                refused += u32::from(!stage.credential_works());
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        };
        moments.wait();
        log_in_for(Duration::from_secs(4), &|| false);
        // The fault begins.
        moments.wait();
        log_in_for(FAULT, &|| false);
        // It is over.
        moments.wait();
        moments.wait();
        let back = Instant::now();
        log_in_for(Duration::from_secs(60), &|| scene.has_recovered(a));
        recovered.get_or_insert(back.elapsed());
        log_in_for(Duration::from_secs(2), &|| false);
        is_over.store(true, Ordering::Relaxed);
        changing.join().unwrap()
    });
    let ran = started.elapsed();
    let about = format!("{} roles of A in {}, {fault:?}", scene.roles, scene.mount);
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{about}\n{outcome}");
    assert!(!outcome.err().contains("does not answer"), "{about}: it says that OpenBao does not answer\n{outcome}");
    eprintln!("{about}\n{}", outcome.err());
    Figures { logins_to_b, refused, latest_kv, recovered: recovered.unwrap(), ran, stall }
}

/// Checks what came of a scene, and adds it to the table.
fn check(scene: &Scene, fault: Fault, mounts: Mounts, figures: &Figures) {
    let stage = &scene.stage;
    let Figures { logins_to_b, refused, latest_kv, recovered, ran, stall } = figures;
    let lives = usize::try_from(ran.as_secs().div_ceil(BETWEEN_ISSUES)).unwrap();
    let (issued, logins, of_a) = (stage.issued(), stage.logins(&scene.login), scene.issued_for_a());
    let row = format!(
        "{fault:?}|{mounts:?}|{}|{refused} of {logins_to_b}|{issued} (at most {})|{of_a} ({} in peace)|{}|{:.1} s|{:.1} s\n",
        scene.roles,
        lives + 1,
        scene.roles * (lives + 1),
        logins - 1,
        latest_kv.as_secs_f64(),
        recovered.as_secs_f64(),
    );
    eprint!("{row}");
    if let Some(table) = std::env::var_os("FAULTS_TABLE") {
        fs::File::options().create(true).append(true).open(table).unwrap().write_all(row.as_bytes()).unwrap();
    }
    assert_eq!(*refused, 0, "B was dead on disk: {row}");
    assert_eq!(logins, 1, "the token was let die: {row}");
    assert!(issued <= lives + 1, "a second credential of B without need: {row}");
    // The interval and two seconds; a read and a delivery take a few times as long as a write on a busy machine. The simulation
    // (`src/schedule/tests/partial.rs`) holds the schedule to the interval itself.
    let most = INTERVAL + Duration::from_secs(2);
    assert!(*latest_kv <= most + *stall * 6, "KV came late ({stall:?}): {row}");
    // Tried again within ten seconds; then fifty issues, the slow ones of them two seconds each, four at a time.
    let most = Duration::from_secs(10) + Duration::from_millis(250) * u32::try_from(scene.roles).unwrap();
    assert!(*recovered <= most * 2 + *stall * 2, "A came back late ({stall:?}): {row}");
}

/// Scenes with 1, 2, 3 and 50 roles of A at once, and two in which B is a connection of the same mount.
fn everything_else_lives_while(fault: Fault) {
    let a = DatabaseA::start();
    let scenes = [
        (1, Mounts::Apart),
        (2, Mounts::Apart),
        (3, Mounts::Apart),
        (50, Mounts::Apart),
        (1, Mounts::Shared),
        (8, Mounts::Shared),
    ];
    let moments = Moments { everybody: scenes.len() + 1, arrived: AtomicUsize::new(0) };
    std::thread::scope(|scope| {
        for (roles, mounts) in scenes {
            let (a, moments) = (&a, &moments);
            scope.spawn(move || {
                let scene = Scene::new(a, roles, mounts);
                let figures = live_through(&scene, a, fault, moments);
                check(&scene, fault, mounts, &figures);
            });
        }
        moments.wait();
        moments.wait();
        a.begin(fault);
        moments.wait();
        a.end(fault);
        moments.wait();
    });
}

#[test]
fn a_database_that_is_shut_down_costs_nobody_else_anything() {
    everything_else_lives_while(Fault::ShutDown);
}

#[test]
fn a_database_that_is_stopped_costs_nobody_else_anything() {
    everything_else_lives_while(Fault::Stopped);
}

#[test]
fn a_database_that_is_slow_costs_nobody_else_anything() {
    everything_else_lives_while(Fault::Slow);
}
