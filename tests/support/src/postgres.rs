//! A real PostgreSQL, shared by the tests of database credentials.

use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use crate::{Server, base, free_port, is_root, keep, site_package, unique, wait_for};

/// `nobody`: PostgreSQL refuses to run as root, and wants a user that exists.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL that lets nobody in without a password: a login is the proof that a credential works.
pub struct Postgres {
    port: u16,
    programs: PathBuf,
    folder: PathBuf,
    server: Mutex<Option<Server>>,
}

impl Postgres {
    /// Of the superuser `postgres`.
    pub const PASSWORD: &str = "superuser";

    /// The one of this suite.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<&Postgres> = OnceLock::new();
        SHARED.get_or_init(|| keep(Self::start))
    }

    /// A new one. It ends with the thread that started it.
    pub fn start() -> Self {
        let folder = base().0.join(format!("postgres-{}", unique()));
        fs::create_dir(&folder).unwrap();
        if let Some(id) = user() {
            chown(&folder, Some(id), Some(id)).unwrap();
        }
        let programs = site_package("pgserver/pginstall/bin");
        let postgres = Self { port: free_port(), programs, folder, server: Mutex::new(None) };
        let password = postgres.folder.join("password");
        fs::write(&password, Self::PASSWORD).unwrap();
        let mut command = postgres.command("initdb");
        command.args(["--username=postgres", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"]);
        command.arg("--pwfile").arg(&password);
        let mut initdb = Server::start(command, user(), libc::SIGKILL);
        wait_for("initdb", || initdb.has_ended().then_some(()));
        let made = postgres.folder.join("data/PG_VERSION").exists();
        assert!(made, "initdb failed (as {:?}):\n{}", user(), postgres.log());
        postgres.run();
        postgres
    }

    /// Starts it, at first or after [`Postgres::shut_down`], and waits until it lets somebody in.
    pub fn run(&self) {
        let mut command = self.command("postgres");
        // OpenBao keeps a connection or more for each mount, and each test has a mount.
        command.args(["-F", "-c", "max_connections=500", "-h", "127.0.0.1", "-k", "", "-p"]).arg(self.port.to_string());
        // SIGQUIT is PostgreSQL's own "stop at once, children too".
        let mut server = Server::start(command, user(), libc::SIGQUIT);
        wait_for("PostgreSQL", || {
            assert!(!server.has_ended(), "PostgreSQL ended:\n{}", self.log());
            self.sql_as("postgres", Self::PASSWORD, "SELECT 1").ok()
        });
        *self.server.lock().unwrap() = Some(server);
    }

    /// Shuts it down; who is connected is cut off.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn shut_down(&self) {
        let mut server = self.server.lock().unwrap().take().expect("it runs");
        server.signal(libc::SIGINT);
        wait_for("the end of PostgreSQL", || server.has_ended().then_some(()));
    }

    /// Sends a signal to all of its processes: SIGSTOP and SIGCONT stop and resume whatever they do.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn signal_all(&self, number: i32) {
        let server = self.server.lock().unwrap();
        let Some(server) = &*server else { return };
        server.signal(number);
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child),
                nix::sys::signal::Signal::try_from(number).ok(),
            );
        }
    }

    fn command(&self, program: &str) -> Command {
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(self.folder.join("data"));
        command.env("LC_ALL", "C").env("HOME", &self.folder).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its port at 127.0.0.1.
    #[allow(dead_code, reason = "not every suite that shares this needs it")]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As the database secrets engine wants it.
    pub fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// The same behind another port.
    pub fn url_at(port: u16) -> String {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// Runs SQL as the superuser; what it prints.
    #[track_caller]
    pub fn sql(&self, text: &str) -> String {
        self.sql_as("postgres", Self::PASSWORD, text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Runs SQL as somebody.
    pub fn sql_as(&self, user: &str, password: &str, text: &str) -> Result<String, String> {
        let output = Command::new(self.programs.join("psql"))
            .args(["-h", "127.0.0.1", "-U", user, "-d", "postgres", "-XAtq", "-c", text, "-p"])
            .arg(self.port.to_string())
            .env("PGPASSWORD", password)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A process that is stopped would not see the end of its parent.
        self.signal_all(libc::SIGCONT);
    }
}

fn user() -> Option<u32> {
    is_root().then_some(NOBODY)
}
