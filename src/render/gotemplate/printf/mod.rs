//! Go's `fmt.Sprintf`: verbs, flags, widths, precisions and argument indexes.

use super::print;
use super::quote::runes;
use super::value::Value;

mod directive;

use directive::{Directive, Flags};

/// Go stops reading a width, a precision or an index above this number.
const LARGE: usize = 1_000_000;

/// Formats the values; `None` for a value that contains pointers, or a result larger than `most` bytes.
pub(super) fn sprintf(format: &[u8], values: &[Value], most: usize) -> Option<Vec<u8>> {
    let mut state = Sprintf { format, at: 0, values, next: 0, is_reordered: false, is_good: true, most };
    let mut out = Vec::new();
    while let Some(rest) = format.get(state.at..).filter(|rest| !rest.is_empty()) {
        let plain = rest.iter().position(|byte| *byte == b'%').unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        state.at += plain + 1;
        if plain == rest.len() {
            break;
        }
        state.directive(&mut out)?;
    }
    if !state.is_reordered && state.next < values.len() {
        out.extend_from_slice(b"%!(EXTRA ");
        for (at, value) in values[state.next..].iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            if value.is_nothing() {
                out.extend_from_slice(b"<nil>");
                continue;
            }
            out.extend_from_slice(value.type_name().as_bytes());
            out.push(b'=');
            print::value(&mut out, value).ok()?;
        }
        out.push(b')');
    }
    (out.len() <= most).then_some(out)
}

/// The state while a format is processed.
struct Sprintf<'a> {
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    next: usize,
    is_reordered: bool,
    is_good: bool,
    most: usize,
}

impl Sprintf<'_> {
    /// Processes a directive, from after its `%`.
    fn directive(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.is_good = true;
        let flags = self.flags(out);
        let Some(verb) = runes(&self.format[self.at..]).next() else {
            out.extend_from_slice(b"%!(NOVERB)");
            return Some(());
        };
        let verb = verb.unwrap_or(char::REPLACEMENT_CHARACTER);
        self.at += if verb == char::REPLACEMENT_CHARACTER { 1 } else { verb.len_utf8() };
        let bad = |out: &mut Vec<u8>, what: &str| out.extend_from_slice(format!("%!{verb}({what})").as_bytes());
        match verb {
            '%' => out.push(b'%'),
            _ if !self.is_good => bad(out, "BADINDEX"),
            _ => match self.values.get(self.next) {
                None => bad(out, "MISSING"),
                Some(value) => {
                    self.next += 1;
                    // In %+v and %#v the flag belongs to the verb, and means neither a sign nor a prefix.
                    let is_syntax = verb == 'v' && flags.sharp;
                    let flags = if verb == 'v' { Flags { plus: false, sharp: false, ..flags } } else { flags };
                    Directive { verb, flags, is_syntax, most: self.most }.write(out, value)?;
                }
            },
        }
        Some(())
    }

    /// Parses everything between `%` and the verb.
    fn flags(&mut self, out: &mut Vec<u8>) -> Flags {
        let mut flags = Flags::default();
        while let Some(byte) = self.format.get(self.at) {
            match byte {
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b'#' => flags.sharp = true,
                b' ' => flags.space = true,
                b'0' => flags.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = false;
        self.index(&mut after_index);
        self.width(&mut flags, &mut after_index, out);
        // At the end of the format, a dot is the verb.
        if self.format.get(self.at) == Some(&b'.') && self.at + 1 < self.format.len() {
            self.at += 1;
            self.is_good &= !after_index;
            self.index(&mut after_index);
            self.precision(&mut flags, &mut after_index, out);
        }
        if !after_index {
            self.index(&mut after_index);
        }
        flags
    }

    /// Parses a width: a number, or `*` for the next value.
    fn width(&mut self, flags: &mut Flags, after_index: &mut bool, out: &mut Vec<u8>) {
        if self.format.get(self.at) != Some(&b'*') {
            flags.width = self.number();
            self.is_good &= !(*after_index && flags.width.is_some());
            return;
        }
        self.at += 1;
        match self.star() {
            Some(width) => {
                flags.minus |= width < 0;
                flags.width = usize::try_from(width.unsigned_abs()).ok();
            }
            None => out.extend_from_slice(b"%!(BADWIDTH)"),
        }
        *after_index = false;
    }

    /// Parses a precision: a number, or `*` for the next value.
    fn precision(&mut self, flags: &mut Flags, after_index: &mut bool, out: &mut Vec<u8>) {
        if self.format.get(self.at) != Some(&b'*') {
            flags.precision = Some(self.number().unwrap_or(0));
            return;
        }
        self.at += 1;
        match self.star() {
            Some(precision @ 0..) => flags.precision = usize::try_from(precision).ok(),
            _ => out.extend_from_slice(b"%!(BADPREC)"),
        }
        *after_index = false;
    }

    /// Parses a decimal number; `None` if there is none.
    fn number(&mut self) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.format.get(self.at).filter(|byte| byte.is_ascii_digit()) {
            if number.is_some_and(|number| number > LARGE) {
                // As in Go, the rest of the format is skipped, so that no verb is left.
                self.at = self.format.len();
                return None;
            }
            number = Some(number.unwrap_or(0) * 10 + usize::from(digit - b'0'));
            self.at += 1;
        }
        number
    }

    /// Takes the next value as a width or precision.
    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number, _) => *number,
            Value::Uint(number, _) => i64::try_from(*number).ok()?,
            _ => return None,
        };
        usize::try_from(number.unsigned_abs()).is_ok_and(|size| size <= LARGE).then_some(number)
    }

    /// Parses an argument index such as `[3]`, which selects the next value.
    fn index(&mut self, found: &mut bool) {
        *found = false;
        if self.format.get(self.at) != Some(&b'[') {
            return;
        }
        self.is_reordered = true;
        let Some(end) = self.format[self.at..].iter().position(|b| *b == b']') else {
            self.is_good = false;
            self.at += 1;
            return;
        };
        let text = std::str::from_utf8(&self.format[self.at + 1..self.at + end]).unwrap_or_default();
        self.at += end + 1;
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<usize>() {
            Ok(number @ 1..) if is_number && number <= self.values.len() => {
                self.next = number - 1;
                *found = true;
            }
            _ => self.is_good = false,
        }
    }
}
