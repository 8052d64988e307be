//! A real PostgreSQL, shared by the tests of database credentials.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::{Server, base, free_port, is_root, keep, site_package, wait_for};

/// `nobody`: PostgreSQL refuses to run as root, and wants a user that exists.
const NOBODY: u32 = 65_534;

/// A running PostgreSQL that lets nobody in without a password: a login is the proof that a credential works.
pub struct Postgres {
    port: u16,
    programs: PathBuf,
    _server: Server,
}

impl Postgres {
    /// Of the superuser `postgres`.
    pub const PASSWORD: &str = "superuser";

    /// The one of this suite.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<&Postgres> = OnceLock::new();
        SHARED.get_or_init(|| keep(Self::start))
    }

    fn start() -> Self {
        let folder = base().0.join("postgres");
        fs::create_dir(&folder).unwrap();
        let user = is_root().then_some(NOBODY);
        if let Some(id) = user {
            chown(&folder, Some(id), Some(id)).unwrap();
        }
        let programs = site_package("pgserver/pginstall/bin");
        let data = folder.join("data");
        let log = fs::File::create(folder.join("log")).unwrap();
        let prepare = |command: &mut Command| {
            command.env("LC_ALL", "C").env("HOME", &folder).current_dir(&folder).stdin(Stdio::null());
            command.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap());
        };
        let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();

        let password = folder.join("password");
        fs::write(&password, Self::PASSWORD).unwrap();
        let mut command = Command::new(programs.join("initdb"));
        command.args(["--username=postgres", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"]);
        command.arg("--pwfile").arg(&password).arg("-D").arg(&data);
        prepare(&mut command);
        let mut initdb = Server::start(command, user, libc::SIGKILL);
        wait_for("initdb", || initdb.has_ended().then_some(()));
        assert!(data.join("PG_VERSION").exists(), "initdb failed (as {user:?}):\n{}", said());

        let port = free_port();
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(&data).args(["-F", "-h", "127.0.0.1", "-k", "", "-p"]).arg(port.to_string());
        prepare(&mut command);
        // SIGQUIT is PostgreSQL's own "stop at once, children too".
        let mut server = Server::start(command, user, libc::SIGQUIT);
        wait_for("PostgreSQL", || {
            assert!(!server.has_ended(), "PostgreSQL ended:\n{}", said());
            said().contains("ready to accept connections").then_some(())
        });
        Self { port, programs, _server: server }
    }

    /// As the database secrets engine wants it.
    pub fn url(&self) -> String {
        format!("postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
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
