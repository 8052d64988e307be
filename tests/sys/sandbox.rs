//! What a confined process, and its neighbour of the same user, cannot do: each attempt is printed with its answer.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use secret_exec::sys::privilege;
use secret_exec::sys::sandbox::{self, Applied, Enforcement, Files, LineFormat, Plan, Profile};

use crate::Test;
use crate::starter::{Outcome, before, check, helper, is_root};

pub(crate) const TESTS: &[Test] = &[
    ("sandbox::a_confined_process_is_refused_what_it_does_not_need", confined_process_is_refused),
    ("sandbox::a_confined_process_still_does_its_work", confined_process_still_works),
    ("sandbox::a_neighbour_of_the_same_user_cannot_look_into_it", neighbour_cannot_look_into_it),
    ("sandbox::it_leaves_no_core", it_leaves_no_core),
    ("sandbox::with_log_nothing_is_refused", with_log_nothing_is_refused),
    ("sandbox::a_refused_call_is_a_line_in_the_format_of_the_log", refused_call_is_a_line),
    ("sandbox::a_runtime_that_refuses_the_sandbox_is_no_failure", runtime_that_refuses_is_no_failure),
    ("sandbox::memory_beyond_the_limit_ends_the_process", memory_beyond_the_limit),
];

const SHADOW: &CStr = c"/etc/shadow";

/// `--helper sandbox PROFILE ENFORCEMENT FORMAT DIRECTORY NEIGHBOUR WHAT`, after `harden`.
pub(crate) fn confined(arguments: &[String]) -> ExitCode {
    let [profile, enforcement, format, directory, neighbour, what] = arguments else { panic!("{arguments:?}") };
    let neighbour: i32 = neighbour.parse().unwrap();
    // As the real ones are: without capabilities, whoever they are.
    let drop = privilege::plan(None, &privilege::State::read().unwrap()).unwrap();
    privilege::apply(&drop).unwrap();
    if what == "tight" {
        refuse_sandboxes();
    }
    if what == "memory" {
        sandbox::limit_memory(64 << 20);
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let applied = sandbox::apply(&plan(profile, enforcement, format, directory));
    match what.as_str() {
        "tight" => return tight(&applied),
        _ => assert_eq!(applied.system_calls, Ok(())),
    }
    match what.as_str() {
        "attempts" => attempts(profile, Path::new(directory), neighbour, &listener),
        "work" => work(Path::new(directory), &listener),
        "one" => println!("umount {}", answer(syscall(libc::SYS_umount2, [0; 5]))),
        "abort" => std::process::abort(),
        "memory" => {
            println!("within");
            std::hint::black_box(vec![1_u8; 128 << 20]);
            println!("beyond");
        }
        "wait" => {
            println!("ready");
            let _nothing = io::stdin().read(&mut [0]);
        }
        other => panic!("{other}"),
    }
    ExitCode::SUCCESS
}

fn plan(profile: &str, enforcement: &str, format: &str, directory: &str) -> Plan {
    let names = ["/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];
    Plan {
        profile: match profile {
            "sidecar" => Profile::Sidecar,
            "signalling" => Profile::SignallingSidecar,
            "supervisor" => Profile::Supervisor,
            "webhook" => Profile::Webhook,
            other => panic!("{other}"),
        },
        files: Files { read: names.iter().map(Into::into).collect(), write: vec![directory.into()] },
        enforcement: if enforcement == "log" { Enforcement::Log } else { Enforcement::On },
        lines: if format == "json" { LineFormat::Json } else { LineFormat::Text },
    }
}

fn syscall(number: i64, arguments: [i64; 5]) -> i64 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: every attempt passes numbers, or pointers to memory of ours that lives as long as the call.
    unsafe { libc::syscall(number, a, b, c, d, e, 0) }
}

fn answer(result: i64) -> String {
    match result {
        -1 => {
            let errno = nix::Error::last();
            let name = format!("{errno:?}");
            if matches!(errno, nix::Error::EPERM | nix::Error::EACCES | nix::Error::ENOSYS) {
                format!("refused ({name})")
            } else {
                format!("FAILED OTHERWISE ({name})")
            }
        }
        _ => format!("DONE ({result})"),
    }
}

/// Tries everything, and prints a line for each.
fn attempts(profile: &str, directory: &Path, neighbour: i32, listener: &TcpListener) {
    let pointer = |text: &CStr| text.as_ptr() as i64;
    let outside = CString::new(directory.with_file_name("outside").to_str().unwrap()).unwrap();
    let memory = CString::new(format!("/proc/{neighbour}/mem")).unwrap();
    let environment = CString::new(format!("/proc/{neighbour}/environ")).unwrap();
    let program = c"/bin/true";
    let none: [*const libc::c_char; 1] = [std::ptr::null()];
    let mut byte = [0_u8; 8];
    let vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    let vector = &raw const vector as i64;
    let pid = i64::from(neighbour);
    let here = i64::from(libc::AT_FDCWD);
    let owner = [1, neighbour]; // F_OWNER_PID, and whose
    let page = 4096;
    let private = i64::from(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    let mut all = vec![
        ("ptrace(PTRACE_ATTACH)", libc::SYS_ptrace, [16, pid, 0, 0, 0]),
        ("ptrace(PTRACE_TRACEME)", libc::SYS_ptrace, [0; 5]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [pid, vector, 1, vector, 1]),
        ("process_vm_writev", libc::SYS_process_vm_writev, [pid, vector, 1, vector, 1]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0]),
        ("open /proc/PID/mem", libc::SYS_openat, [here, pointer(&memory), 0, 0, 0]),
        ("open /proc/PID/environ", libc::SYS_openat, [here, pointer(&environment), 0, 0, 0]),
        ("open /etc/shadow", libc::SYS_openat, [here, pointer(SHADOW), 0, 0, 0]),
        ("open / to list it", libc::SYS_openat, [here, pointer(c"/"), i64::from(libc::O_DIRECTORY), 0, 0]),
        ("open a file elsewhere to write", libc::SYS_openat, [here, pointer(&outside), 0x41, 0o600, 0]),
        ("open /etc/hosts to write", libc::SYS_openat, [here, pointer(c"/etc/hosts"), 1, 0, 0]),
        ("openat2", libc::SYS_openat2, [here, pointer(SHADOW), 0, 0, 0]),
        ("execve", libc::SYS_execve, [pointer(program), none.as_ptr() as i64, none.as_ptr() as i64, 0, 0]),
        ("execveat", libc::SYS_execveat, [here, pointer(program), none.as_ptr() as i64, none.as_ptr() as i64, 0]),
        ("clone of a process", libc::SYS_clone, [i64::from(libc::SIGCHLD), 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0; 5]),
        ("unshare(CLONE_NEWUSER)", libc::SYS_unshare, [i64::from(libc::CLONE_NEWUSER), 0, 0, 0, 0]),
        ("setns", libc::SYS_setns, [0; 5]),
        ("mount", libc::SYS_mount, [pointer(c"x"), pointer(c"/tmp"), pointer(c"tmpfs"), 0, 0]),
        ("umount2", libc::SYS_umount2, [pointer(c"/tmp"), 0, 0, 0, 0]),
        ("open_tree", libc::SYS_open_tree, [here, pointer(c"/"), 1, 0, 0]),
        ("chroot", libc::SYS_chroot, [pointer(c"/tmp"), 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0; 5]),
        ("add_key", libc::SYS_add_key, [pointer(c"user"), pointer(c"x"), pointer(c"x"), 1, -3]),
        ("request_key", libc::SYS_request_key, [pointer(c"user"), pointer(c"x"), 0, -3, 0]),
        ("bpf", libc::SYS_bpf, [0; 5]),
        ("perf_event_open", libc::SYS_perf_event_open, [0; 5]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [0; 5]),
        ("memfd_create", libc::SYS_memfd_create, [pointer(c"x"), 0, 0, 0, 0]),
        ("init_module", libc::SYS_init_module, [0; 5]),
        ("kexec_load", libc::SYS_kexec_load, [0; 5]),
        ("setresuid(0)", libc::SYS_setresuid, [0, 0, 0, 0, 0]),
        ("prctl(PR_SET_DUMPABLE)", libc::SYS_prctl, [4, 1, 0, 0, 0]),
        ("prctl(PR_SET_SECCOMP)", libc::SYS_prctl, [22, 1, 0, 0, 0]),
        ("prlimit64 of another", libc::SYS_prlimit64, [pid, 4, 0, vector, 0]),
        ("tgkill of another", libc::SYS_tgkill, [pid, pid, 0, 0, 0]),
        ("ioctl(TIOCSTI)", libc::SYS_ioctl, [0, 0x5412, byte.as_ptr() as i64, 0, 0]),
        ("mmap(PROT_EXEC)", libc::SYS_mmap, [0, page, 7, private, -1]),
        ("a raw socket", libc::SYS_socket, [2, 3, 1, 0, 0]),
        ("a packet socket", libc::SYS_socket, [17, 3, 0, 0, 0]),
        ("a vsock socket", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("netlink beyond addresses", libc::SYS_socket, [16, 3, 12, 0, 0]),
        ("personality", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
        ("landlock_restrict_self", libc::SYS_landlock_restrict_self, [0; 5]),
        ("a system call of the future", 999, [0; 5]),
        ("fcntl(F_SETOWN) to another", libc::SYS_fcntl, [0, i64::from(libc::F_SETOWN), pid, 0, 0]),
        ("fcntl(F_SETOWN_EX) to another", libc::SYS_fcntl, [0, 15, owner.as_ptr() as i64, 0, 0]),
        ("fcntl(F_SETSIG) of KILL", libc::SYS_fcntl, [0, 10, i64::from(libc::SIGKILL), 0, 0]),
    ];
    if matches!(profile, "sidecar" | "webhook") {
        all.push(("kill of another", libc::SYS_kill, [pid, 0, 0, 0, 0]));
    }
    if profile == "webhook" {
        all.push(("unlinkat", libc::SYS_unlinkat, [here, pointer(&outside), 0, 0, 0]));
        all.push(("a datagram socket", libc::SYS_socket, [2, 2, 0, 0, 0]));
    }
    for (what, number, arguments) in all {
        println!("{what}: {}", answer(syscall(number, arguments)));
    }
    // SAFETY: a page of our own; nothing is executed.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), 4096, 3, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0);
        println!("mprotect(PROT_EXEC): {}", answer(libc::mprotect(page, 4096, 5).into()));
    }
    let told = |result: io::Result<()>| match result {
        Ok(()) => "DONE".to_owned(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => format!("refused ({error})"),
        Err(error) => format!("FAILED OTHERWISE ({error})"),
    };
    let address = listener.local_addr().unwrap();
    if profile == "webhook" {
        println!("connect: {}", told(TcpStream::connect(address).map(drop)));
        for (what, call) in
            [("sendto", libc::SYS_sendto), ("sendmsg", libc::SYS_sendmsg), ("sendmmsg", libc::SYS_sendmmsg)]
        {
            println!("{what}(MSG_FASTOPEN): {}", answer(connect_by_sending(call, address)));
        }
    } else {
        println!("listen at a TCP port: {}", told(TcpListener::bind("127.0.0.1:0").map(drop)));
    }
}

/// Connects with the first bytes that are sent (`MSG_FASTOPEN` of tcp(7)), without connect(2).
fn connect_by_sending(call: i64, address: SocketAddr) -> i64 {
    let socket = syscall(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0, 0, 0]);
    let mut name = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let length = size_of_val(&name) as libc::socklen_t;
    let mut vector = libc::iovec { iov_base: c"x".as_ptr().cast_mut().cast(), iov_len: 1 };
    // SAFETY: an empty message header is all zeros.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_name = (&raw mut name).cast();
    message.msg_hdr.msg_namelen = length;
    message.msg_hdr.msg_iov = &raw mut vector;
    message.msg_hdr.msg_iovlen = 1;
    let (flag, message) = (i64::from(libc::MSG_FASTOPEN), &raw const message as i64);
    match call {
        // SAFETY: as above; this call has six arguments.
        libc::SYS_sendto => unsafe {
            libc::syscall(call, socket, vector.iov_base, 1, flag, &raw const name, i64::from(length))
        },
        libc::SYS_sendmsg => syscall(call, [socket, message, flag, 0, 0]),
        _ => syscall(call, [socket, message, 1, flag, 0]),
    }
}

/// What rotation needs.
fn work(directory: &Path, listener: &TcpListener) {
    let file = directory.join("file");
    fs::write(&file, "x").unwrap();
    fs::rename(&file, directory.join("other")).unwrap();
    std::os::unix::fs::symlink("other", directory.join("link")).unwrap();
    assert_eq!(fs::read_to_string(directory.join("link")).unwrap(), "x");
    fs::create_dir(directory.join("below")).unwrap();
    fs::rename(directory.join("other"), directory.join("below/other")).unwrap();
    let [read, other] = [(), ()].map(|()| fs::File::open(directory.join("below/other")).unwrap());
    assert!(secret_exec::sys::fs::is_open_elsewhere(&read), "a reader of a file is found");
    drop(other);
    assert!(!secret_exec::sys::fs::is_open_elsewhere(&read));
    fs::remove_dir_all(directory.join("below")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(directory.join("socket")).unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        assert!(("localhost", 1).to_socket_addrs().unwrap().count() > 0);
        TcpStream::connect(address).unwrap();
    })
    .join()
    .unwrap();
    fs::write("/dev/null", "x").unwrap();
    assert!(secret_exec::sys::random::unit() < 1.0);
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut [0]).unwrap();
    println!("worked");
}

/// What a runtime with a profile of its own does to the calls of a sandbox.
fn refuse_sandboxes() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let numbers = [libc::SYS_seccomp, libc::SYS_landlock_create_ruleset, libc::SYS_landlock_restrict_self];
    let rules = numbers.into_iter().map(|number| (number, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let machine = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

fn tight(applied: &Applied) -> ExitCode {
    println!("{applied:?}");
    ExitCode::SUCCESS
}

struct Neighbour(Child);

impl Neighbour {
    /// A process that is not ours and waits.
    fn start(uid: Option<u32>) -> Self {
        let mut start = Command::new("sleep");
        start.arg("60");
        if let Some(uid) = uid {
            start.uid(uid).gid(uid);
        }
        Self(start.spawn().unwrap())
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Attempt {
    directory: tempfile::TempDir,
    profile: &'static str,
    enforcement: &'static str,
    format: &'static str,
    uid: Option<u32>,
}

impl Attempt {
    fn new(profile: &'static str, uid: Option<u32>) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        fs::create_dir(directory.path().join("volume")).unwrap();
        for path in [directory.path().to_owned(), directory.path().join("volume")] {
            std::os::unix::fs::chown(path, uid, uid).unwrap();
        }
        Self { directory, profile, enforcement: "on", format: "text", uid }
    }

    fn command(&self, neighbour: u32, what: &str) -> Command {
        let mut start = Command::new(helper());
        start.args(["--helper", "sandbox", self.profile, self.enforcement, self.format]);
        start.arg(self.directory.path().join("volume")).args([&neighbour.to_string(), what]);
        start.current_dir(self.directory.path());
        if let Some(uid) = self.uid {
            start.uid(uid).gid(uid);
        }
        start
    }

    /// Its lines on stdout and stderr.
    fn run(&self, what: &str) -> (String, String) {
        let neighbour = Neighbour::start(self.uid);
        let output = self.command(neighbour.0.id(), what).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "{}: {:?}", self.profile, text(output.stderr));
        (text(output.stdout), text(output.stderr))
    }
}

fn users() -> Vec<Option<u32>> {
    if is_root() { vec![None, Some(1000)] } else { vec![None] }
}

fn confined_process_is_refused() -> Outcome {
    for uid in users() {
        for profile in ["sidecar", "signalling", "supervisor", "webhook"] {
            let (tried, lines) = Attempt::new(profile, uid).run("attempts");
            println!("{profile}, uid {uid:?}:\n{tried}");
            assert!(tried.lines().count() > 40, "{tried}");
            let wrong: Vec<_> = tried.lines().filter(|line| !line.contains(": refused (")).collect();
            assert!(wrong.is_empty(), "{profile}: {wrong:#?}");
            for name in ["ptrace (101", "execve (59", "mount (165", "keyctl (250", "bpf (321", "socket (41"] {
                let name = if cfg!(target_arch = "x86_64") { name } else { name.split(' ').next().unwrap() };
                let line = format!("warning: the sandbox refused the system call {name}");
                assert_eq!(lines.matches(&line).count(), 1, "{name}: {lines}");
            }
        }
    }
    Outcome::Passed
}

fn confined_process_still_works() -> Outcome {
    for uid in users() {
        for profile in ["sidecar", "signalling", "supervisor"] {
            let (worked, lines) = Attempt::new(profile, uid).run("work");
            assert_eq!((worked.as_str(), lines.as_str()), ("worked\n", ""), "{profile}");
        }
    }
    Outcome::Passed
}

fn neighbour_cannot_look_into_it() -> Outcome {
    for uid in users() {
        let attempt = Attempt::new("sidecar", uid);
        let mut start = attempt.command(1, "wait");
        let mut target = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(target.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let mut look = Command::new(helper());
        look.args(["--helper", "neighbour", &target.id().to_string()]);
        // The same user without capabilities, whom only ownership could help.
        let id = uid.unwrap_or_else(|| nix::unistd::geteuid().as_raw());
        let drop_all = move || {
            // SAFETY: system calls; the structures have the kernel's layout (capset(2), version 3).
            unsafe {
                check("setgroups", if id == 0 { 0 } else { libc::setgroups(0, std::ptr::null()).min(0).into() });
                check("setresgid", libc::setresgid(id, id, id).into());
                check("setresuid", libc::setresuid(id, id, id).into());
                let (header, words) = ([0x2008_0522_u32, 0], [0_u32; 6]);
                check("capset", libc::syscall(libc::SYS_capset, header.as_ptr(), words.as_ptr()));
                check("no-new-privs", libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into());
            }
        };
        if is_root() {
            before(&mut look, drop_all);
        }
        let output = look.output().unwrap();
        drop(target.stdin.take());
        assert!(target.wait().unwrap().success());
        let tried = String::from_utf8(output.stdout).unwrap();
        println!("a neighbour, uid {uid:?}:\n{tried}");
        assert_eq!(tried.lines().count(), 9, "{tried}");
        let wrong: Vec<_> = tried.lines().filter(|line| !line.contains(": refused (")).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    Outcome::Passed
}

/// `--helper neighbour PID`: what somebody of the same user tries.
pub(crate) fn neighbour(arguments: &[String]) -> ExitCode {
    let pid: i64 = arguments[0].parse().unwrap();
    let mut byte = [0_u8; 8];
    let vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: byte.len() };
    let vector = &raw const vector as i64;
    let pidfd = syscall(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0]);
    for (what, number, arguments) in [
        ("ptrace(PTRACE_ATTACH)", libc::SYS_ptrace, [16, pid, 0, 0, 0]),
        ("ptrace(PTRACE_SEIZE)", libc::SYS_ptrace, [0x4206, pid, 0, 0, 0]),
        ("process_vm_readv", libc::SYS_process_vm_readv, [pid, vector, 1, vector, 1]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [pidfd, 0, 0, 0, 0]),
    ] {
        println!("{what}: {}", answer(syscall(number, arguments)));
    }
    for name in ["mem", "environ", "maps", "fd/0", "root/etc"] {
        let path = CString::new(format!("/proc/{pid}/{name}")).unwrap();
        let opened = syscall(libc::SYS_openat, [i64::from(libc::AT_FDCWD), path.as_ptr() as i64, 0, 0, 0]);
        println!("open /proc/PID/{name}: {}", answer(opened));
    }
    ExitCode::SUCCESS
}

fn it_leaves_no_core() -> Outcome {
    for uid in users() {
        let attempt = Attempt::new("sidecar", uid);
        let mut start = attempt.command(1, "abort");
        before(&mut start, || {
            let unlimited = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
            // SAFETY: the kernel reads one rlimit. Who may not raise it has none to begin with.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const unlimited) };
        });
        let status = start.stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{status:?}");
        assert!(!status.core_dumped(), "{status:?}");
        let left = fs::read_dir(attempt.directory.path()).unwrap().flatten().map(|entry| entry.file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["volume"]);
    }
    Outcome::Passed
}

fn with_log_nothing_is_refused() -> Outcome {
    let attempt = Attempt { enforcement: "log", ..Attempt::new("sidecar", None) };
    let (tried, lines) = attempt.run("one");
    // Without capabilities it fails all the same: in the kernel's own words, and without a line of ours.
    assert!(tried.starts_with("umount "), "{tried}");
    assert_eq!(lines, "");
    Outcome::Passed
}

fn refused_call_is_a_line() -> Outcome {
    let number = libc::SYS_umount2;
    let text = format!(
        "the sandbox refused the system call umount2 ({number}); if something fails now, start with --sandbox log and \
         report it"
    );
    for (profile, format, expected) in [
        ("sidecar", "text", format!("secret-exec: warning: {text}\n")),
        ("webhook", "text", format!("secret-inject: warning: {text}\n")),
        ("sidecar", "json", format!("{{\"level\":\"WARN\",\"message\":\"{text}\"}}\n")),
    ] {
        let (tried, lines) = Attempt { format, ..Attempt::new(profile, None) }.run("one");
        assert_eq!((tried.as_str(), lines), ("umount refused (EPERM)\n", expected));
    }
    Outcome::Passed
}

fn runtime_that_refuses_is_no_failure() -> Outcome {
    let (applied, _) = Attempt::new("sidecar", None).run("tight");
    println!("{applied}");
    assert!(applied.contains("system_calls: Err(\"seccomp is refused here"), "{applied}");
    assert!(applied.contains("files: Some(Err(\""), "{applied}");
    Outcome::Passed
}

fn memory_beyond_the_limit() -> Outcome {
    let attempt = Attempt::new("webhook", None);
    let output = attempt.command(1, "memory").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "within\n");
    assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    let lines = String::from_utf8(output.stderr).unwrap();
    assert!(lines.contains("memory allocation of"), "{lines}");
    Outcome::Passed
}
