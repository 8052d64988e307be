//! How the programs are linked, read from their ELF headers: what an attacker with a memory bug would have to overcome.

use std::path::Path;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_GNU_RELRO: u32 = 0x6474_e552;
const EXECUTE: u32 = 1;
const WRITE: u32 = 2;
const DT_NEEDED: u64 = 1;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_TEXTREL: u64 = 22;
const DT_FLAGS: u64 = 30;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_BIND_NOW: u64 = 8;
const DF_1_NOW: u64 = 1;
const DF_1_PIE: u64 = 0x0800_0000;

struct Elf(Vec<u8>);

impl Elf {
    fn read(path: &str) -> Self {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "{path}: 64 bits, little-endian");
        Self(bytes)
    }

    fn number(&self, at: u64, width: usize) -> u64 {
        let at = usize::try_from(at).unwrap();
        self.0[at..at + width].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Type, flags, offset and size in the file of each program header.
    fn segments(&self) -> Vec<(u32, u32, u64, u64)> {
        let (table, size, count) = (self.number(0x20, 8), self.number(0x36, 2), self.number(0x38, 2));
        let small = |number: u64| u32::try_from(number).unwrap();
        let segment = |at: u64| {
            (small(self.number(at, 4)), small(self.number(at + 4, 4)), self.number(at + 8, 8), self.number(at + 32, 8))
        };
        (0..count).map(|index| segment(table + index * size)).collect()
    }

    fn dynamic(&self) -> Vec<(u64, u64)> {
        let segment = self.segments().into_iter().find(|segment| segment.0 == PT_DYNAMIC);
        let (_, _, offset, size) = segment.expect("a position-independent program has a dynamic segment");
        let entries = (0..size / 16).map(|index| offset + index * 16);
        entries.map(|at| (self.number(at, 8), self.number(at + 8, 8))).take_while(|(tag, _)| *tag != 0).collect()
    }
}

#[test]
fn the_programs_are_hardened() {
    for path in [env!("CARGO_BIN_EXE_secret-exec"), env!("CARGO_BIN_EXE_secret-inject")] {
        let name = Path::new(path).file_name().unwrap();
        let elf = Elf::read(path);
        let segments = elf.segments();
        let of = |kind: u32| segments.iter().filter(move |segment| segment.0 == kind);
        let dynamic = elf.dynamic();
        let has = |tag: u64| dynamic.iter().any(|(found, _)| *found == tag);
        let flags = |tag: u64| dynamic.iter().find(|(found, _)| *found == tag).map_or(0, |(_, value)| *value);
        assert_eq!(elf.number(0x10, 2), 3, "{name:?}: position-independent (ET_DYN)");
        assert_ne!(flags(DT_FLAGS_1) & DF_1_PIE, 0, "{name:?}: a program, not a library");
        assert_eq!(of(PT_INTERP).count(), 0, "{name:?}: static: no loader of the image has a say");
        assert!(!has(DT_NEEDED), "{name:?}: no shared object");
        assert!(!has(DT_RPATH) && !has(DT_RUNPATH), "{name:?}: no search path");
        assert!(!has(DT_TEXTREL), "{name:?}: no relocation writes to code");
        assert_eq!(of(PT_GNU_RELRO).count(), 1, "{name:?}: relocations are read-only");
        let is_now = flags(DT_FLAGS) & DF_BIND_NOW != 0 || flags(DT_FLAGS_1) & DF_1_NOW != 0;
        assert!(is_now, "{name:?}: all of them, from the start (full RELRO)");
        let stack: Vec<u32> = of(PT_GNU_STACK).map(|segment| segment.1).collect();
        assert!(stack.len() == 1 && stack[0] & EXECUTE == 0, "{name:?}: the stack is not executable");
        let is_both = |flags: u32| flags & WRITE != 0 && flags & EXECUTE != 0;
        assert!(of(PT_LOAD).all(|segment| !is_both(segment.1)), "{name:?}: nothing is writable and executable");
    }
}
