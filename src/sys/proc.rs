//! Processes in /proc (proc(5)), read as bytes: a process chooses its own name, which may be anything.

use std::io;
use std::path::PathBuf;

use nix::unistd::Pid;

/// The used fields of `/proc/PID/stat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Its name (`comm`): at most 15 bytes, by default those of the program's file.
    pub name: Vec<u8>,
    /// Whether it is a zombie or dead; other threads of a zombie may still run.
    pub is_over: bool,
    /// The parent's pid.
    pub parent: Pid,
    /// Start time in ticks since boot. Together with the pid it identifies the process.
    pub started: u64,
}

impl Stat {
    /// Reads it; `None` if the process has ended.
    pub fn read(pid: Pid) -> Option<Self> {
        Self::parse(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses the line. The name is in brackets and may itself contain brackets and blanks.
    fn parse(line: &[u8]) -> Option<Self> {
        let begins = line.iter().position(|byte| *byte == b'(')? + 1;
        let ends = line.iter().rposition(|byte| *byte == b')').filter(|ends| *ends >= begins)?;
        let fields: Vec<&str> = std::str::from_utf8(&line[ends + 1..]).ok()?.split_ascii_whitespace().collect();
        // Numbered as in proc(5), where the state is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            name: line[begins..ends].to_vec(),
            is_over: matches!(field(3)?, "Z" | "X"),
            parent: Pid::from_raw(field(4)?.parse().ok()?),
            started: field(22)?.parse().ok()?,
        })
    }
}

/// The users of a process and its PID namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Real, effective, saved and file system user.
    pub uids: [u32; 4],
    /// Whether it is in a PID namespace below this one: another container, seen from the host.
    pub is_nested: bool,
}

impl Owner {
    /// Reads it; `None` if the process has ended.
    pub fn read(pid: Pid) -> Option<Self> {
        Self::parse(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/status")).ok()?))
    }

    /// Parses the text of `/proc/PID/status`.
    fn parse(status: &str) -> Option<Self> {
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let uids: Vec<u32> = line("Uid")?.split_ascii_whitespace().map_while(|uid| uid.parse().ok()).collect();
        let numbers = line("NSpid").map_or(1, |numbers| numbers.split_ascii_whitespace().count());
        Some(Self { uids: uids.try_into().ok()?, is_nested: numbers > 1 })
    }
}

/// The first argument of a process. The process may have changed it.
pub fn first_argument(pid: Pid) -> Option<Vec<u8>> {
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    arguments.split(|byte| *byte == 0).next().map(<[u8]>::to_vec)
}

/// The path of the program that a process runs; `None` without permission to read it.
pub fn program(pid: Pid) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Every process in this PID namespace. Fails if /proc is not mounted or belongs to another namespace, whose pids
/// would be those of other processes.
pub fn pids() -> io::Result<Vec<Pid>> {
    let own_pid = std::fs::read_link("/proc/self")?;
    if own_pid.to_str().and_then(|text| text.parse().ok()) != Some(nix::unistd::getpid().as_raw()) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "/proc belongs to another PID namespace"));
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.push(Pid::from_raw(pid));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_the_name_is() {
        let line = b"7 (a) S 1 (x) R) S 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.name.as_slice(), stat.is_over), (&b"a) S 1 (x) R"[..], false));
        assert_eq!((stat.parent, stat.started), (Pid::from_raw(42), 9876));
        assert!(Stat::parse(b"7 (gone) Z 42 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 9876 1 2").unwrap().is_over);
        for broken in [&b""[..], b"7 )x( S 1", b"7 (x) S", b"7 (x) S 1 2 3"] {
            assert_eq!(Stat::parse(broken), None);
        }
    }

    #[test]
    fn the_owner_and_the_namespace_are_read_from_the_status() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nNSpid:\t77\t5\n";
        assert_eq!(Owner::parse(status), Some(Owner { uids: [1, 2, 3, 4], is_nested: true }));
        assert_eq!(Owner::parse("Uid:\t1\t1\t1\t1\n"), Some(Owner { uids: [1; 4], is_nested: false }), "old kernels");
        assert_eq!(Owner::parse("Uid:\t1\t1\n"), None);
    }

    #[test]
    fn we_are_among_those_who_are_there() {
        let own_pid = nix::unistd::getpid();
        assert!(pids().unwrap().contains(&own_pid));
        assert_eq!(Stat::read(own_pid).unwrap().parent, nix::unistd::getppid());
        assert_eq!(Owner::read(own_pid).unwrap().uids[1], nix::unistd::geteuid().as_raw());
        assert_eq!(program(own_pid), std::env::current_exe().ok());
    }
}
