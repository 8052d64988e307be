//! Handles refused system calls: SIGSYS prints one line on stderr and makes the call fail with EPERM; the program
//! continues.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::plan::{LineFormat, Profile};
use super::syscalls;

static IS_JSON: AtomicBool = AtomicBool::new(false);
static IS_WEBHOOK: AtomicBool = AtomicBool::new(false);
/// One bit per system call that was reported, so that each is reported once.
static REPORTED: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Installs the handler of SIGSYS. That signal is never blocked (see `SignalSet::READ`).
pub(super) fn report_to_stderr(format: LineFormat, profile: Profile) {
    IS_WEBHOOK.store(profile == Profile::Webhook, Ordering::Relaxed);
    IS_JSON.store(format == LineFormat::Json, Ordering::Relaxed);
    // SAFETY: an all-zero sigaction is valid; the handler has the signature that SA_SIGINFO promises, and makes system
    // calls only.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = on_refused as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut());
    }
}

/// `siginfo_t` of a SIGSYS; libc does not define it.
#[repr(C)]
struct SigsysInfo {
    signal: libc::c_int,
    errno: libc::c_int,
    code: libc::c_int,
    call_address: *const libc::c_void,
    number: libc::c_int,
    architecture: libc::c_uint,
}

/// `SYS_SECCOMP` of asm-generic/siginfo.h.
const BY_SECCOMP: libc::c_int = 1;

/// The signal handler: reports the refused call and makes it fail with EPERM.
extern "C" fn on_refused(_: libc::c_int, info: *const SigsysInfo, context: *mut libc::ucontext_t) {
    // SAFETY: with SA_SIGINFO the kernel passes both pointers, and a `SigsysInfo` fits into any siginfo_t.
    let (info, context) = unsafe { (&*info, &mut *context) };
    // SIGSYS may also be sent by kill(2): then no call was refused.
    if info.code != BY_SECCOMP {
        return;
    }
    report(info.number);
    refuse(context);
}

/// Makes the call fail with EPERM by setting its result in the saved registers.
fn refuse(context: &mut libc::ucontext_t) {
    #[cfg(target_arch = "x86_64")]
    {
        context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(libc::EPERM);
    }
    #[cfg(target_arch = "aarch64")]
    {
        context.uc_mcontext.regs[0] = (-i64::from(libc::EPERM)).cast_unsigned();
    }
}

/// Writes the line to stderr, once per call number. No allocation and no lock: this runs in a signal handler.
fn report(number: libc::c_int) {
    let index = usize::try_from(number).unwrap_or(0) % (REPORTED.len() * 64);
    let bit = 1 << (index % 64);
    if REPORTED[index / 64].fetch_or(bit, Ordering::Relaxed) & bit != 0 {
        return;
    }
    let mut line = Line::new();
    let (head, tail) = match (IS_JSON.load(Ordering::Relaxed), IS_WEBHOOK.load(Ordering::Relaxed)) {
        (true, _) => ("{\"level\":\"WARN\",\"message\":\"", "\"}\n"),
        (false, true) => ("secret-inject: warning: ", "\n"),
        (false, false) => ("secret-exec: warning: ", "\n"),
    };
    line.push(head);
    line.push("the sandbox refused the system call ");
    line.push(syscalls::name(number).unwrap_or("number"));
    line.push(" (");
    line.push_number(number.unsigned_abs());
    line.push("); if something fails now, start with --sandbox log and report it");
    line.push(tail);
    // SAFETY: the bytes are on this function's stack.
    let _nobody_may_listen = unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length) };
}

/// A line of text in a fixed buffer; longer text is cut.
struct Line {
    bytes: [u8; 256],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self { bytes: [0; 256], length: 0 }
    }

    /// Appends text, as far as there is space.
    fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }

    /// Appends a decimal number.
    fn push_number(&mut self, mut number: u32) {
        let mut digits = [0; 10];
        let mut begins = digits.len();
        loop {
            begins -= 1;
            digits[begins] = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(std::str::from_utf8(&digits[begins..]).expect("digits"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_without_allocation() {
        for number in [0, 7, 10, 439, u32::MAX] {
            let mut line = Line::new();
            line.push_number(number);
            assert_eq!(std::str::from_utf8(&line.bytes[..line.length]), Ok(number.to_string().as_str()));
        }
    }
}
