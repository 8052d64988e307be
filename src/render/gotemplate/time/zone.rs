//! The zone of a time: an offset and a name. The local zone is UTC.

/// The longest name, of `GMT+0003`.
const LONGEST: usize = 8;

/// A zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Zone {
    /// Seconds east of UTC.
    pub(super) offset: i32,
    /// The name, with zeros behind it; empty for an offset alone.
    name: [u8; LONGEST],
}

impl Zone {
    pub(super) const UTC: Self = Self { offset: 0, name: *b"UTC\0\0\0\0\0" };
    pub(super) const GMT: Self = Self { offset: 0, name: *b"GMT\0\0\0\0\0" };

    /// The zone of a time with an offset, and perhaps a name.
    pub(super) fn with(offset: i32, name: Option<&str>) -> Self {
        match name {
            None if offset == 0 => Self::UTC,
            name => Self { offset, name: padded(name.unwrap_or_default()) },
        }
    }

    /// The zone of that name, of which only `GMT+3` has an offset.
    pub(super) fn named(name: &str) -> Self {
        let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i32>().ok());
        Self { offset: hours.unwrap_or(0) * 3600, name: padded(name) }
    }

    /// The name; without one the offset.
    pub(super) fn name(self) -> String {
        let name: String = self.name.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
        if name.is_empty() { self.written("", 2) } else { name }
    }

    /// The offset in hours, minutes and seconds, as many of these as `parts`.
    pub(super) fn written(self, separator: &str, parts: u8) -> String {
        let sign = if self.offset / 60 < 0 { '-' } else { '+' };
        let seconds = self.offset.unsigned_abs();
        let all = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(|part| format!("{part:02}"));
        format!("{sign}{}", all[..all.len().min(parts.into())].join(separator))
    }
}

fn padded(name: &str) -> [u8; LONGEST] {
    let mut padded = [0; LONGEST];
    for (place, byte) in padded.iter_mut().zip(name.bytes()) {
        *place = byte;
    }
    padded
}
