//! An environment block leaves no copy behind.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use secret_exec::sys::image::{Image, Limits};
use zeroize::Zeroize;

use crate::Test;
use crate::starter::{Outcome, helper, run};

pub(crate) const TESTS: &[Test] =
    &[("memory::an_environment_block_leaves_no_copy", an_environment_block_leaves_no_copy)];

const MASK: u8 = 0xa5;
/// The value, masked, so that the program itself does not hold it.
const MASKED: [u8; 32] = [
    0x11, 0x9e, 0x27, 0x3b, 0x84, 0x05, 0xf1, 0x6c, 0x72, 0xd8, 0x4f, 0xe3, 0x90, 0x1a, 0x5d, 0xb6, 0x38, 0xcc, 0x07,
    0x61, 0xae, 0x43, 0xd9, 0x2e, 0x95, 0x70, 0xfb, 0x14, 0x89, 0x56, 0x3f, 0xc2,
];

/// This program uses the system's allocator, which wipes nothing: what is gone was wiped by the block itself.
fn an_environment_block_leaves_no_copy() -> Outcome {
    let output = run(Command::new(helper()).args(["--helper", "scan"]));
    assert!(output.status.success(), "{output:?}");
    Outcome::Passed
}

pub(crate) fn scan() -> ExitCode {
    let mut value = Vec::with_capacity(MASKED.len());
    value.extend(MASKED.iter().map(|byte| byte ^ MASK));
    assert_eq!(copies(), 1, "the value itself");
    {
        let variables = [(&b"BEFORE"[..], &b"x"[..]), (b"SECRET", &value), (b"AFTER", b"y")];
        let image = Image::new(Path::new("/bin/app"), &["app"], &variables, Limits::now()).unwrap();
        assert_eq!(copies(), 2, "the value and the block");
        assert_eq!(image.path(), Path::new("/bin/app"));
    }
    assert_eq!(copies(), 1, "the block is wiped");
    value.zeroize();
    assert_eq!(copies(), 0);
    ExitCode::SUCCESS
}

/// How often the value stands in this process's writable memory.
fn copies() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let memory = File::open("/proc/self/mem").unwrap();
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut found = 0;
    for line in maps.lines() {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (mut at, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        while at < to {
            let wanted = buffer.len().min(usize::try_from(to - at).unwrap());
            let Ok(count) = memory.read_at(&mut buffer[..wanted], at) else { break };
            let own = buffer.as_ptr() as u64..buffer.as_ptr() as u64 + buffer.len() as u64;
            let is_value = |window: &[u8]| window.iter().zip(MASKED).all(|(byte, masked)| byte ^ MASK == masked);
            let places = (0_u64..).zip(buffer[..count].windows(MASKED.len())).filter(|(_, window)| is_value(window));
            // What was read before stands in the buffer, which is memory as well.
            found += places.filter(|(place, _)| !own.contains(&(at + place))).count();
            // Far enough back to see one that crosses the edge, and no further than to see it once.
            let step = if count == wanted && at + (count as u64) < to { count - (MASKED.len() - 1) } else { count };
            at += step.max(1) as u64;
        }
    }
    buffer.zeroize();
    found
}
