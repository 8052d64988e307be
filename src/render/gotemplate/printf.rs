//! `fmt.Sprintf`: verbs, flags, widths, precisions and argument indexes.

use super::float;
use super::print;
use super::quote::{quote, runes};
use super::value::Value;

/// The widest padding and longest precision.
const WIDEST: usize = 10_000;

#[derive(Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Formats; `None` for a value that holds pointers, or a result larger than `most`.
pub(super) fn sprintf(format: &[u8], values: &[Value], most: usize) -> Option<Vec<u8>> {
    let mut state = Sprintf { format, at: 0, values, next: 0, is_reordered: false, is_good: true };
    let mut out = Vec::new();
    while state.at < format.len() {
        if out.len() > most {
            return None;
        }
        if format[state.at] != b'%' {
            out.push(format[state.at]);
            state.at += 1;
            continue;
        }
        state.at += 1;
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
            print::value(&mut out, value)?;
        }
        out.push(b')');
    }
    (out.len() <= most).then_some(out)
}

struct Sprintf<'a> {
    format: &'a [u8],
    at: usize,
    values: &'a [Value],
    next: usize,
    is_reordered: bool,
    is_good: bool,
}

impl Sprintf<'_> {
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
                    // %+v and %#v are verbs of their own, whose flag is no sign and no prefix.
                    let is_syntax = verb == 'v' && flags.sharp;
                    let flags = if verb == 'v' { Flags { plus: false, sharp: false, ..flags } } else { flags };
                    Directive { verb, flags, is_syntax }.write(out, value)?;
                }
            },
        }
        Some(())
    }

    /// Everything between `%` and the verb.
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
        if self.format.get(self.at) == Some(&b'.') {
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

    fn precision(&mut self, flags: &mut Flags, after_index: &mut bool, out: &mut Vec<u8>) {
        if self.format.get(self.at) != Some(&b'*') {
            flags.precision = Some(self.number().unwrap_or(0));
            return;
        }
        self.at += 1;
        match self.star() {
            Some(precision) => flags.precision = usize::try_from(precision).ok(),
            None => out.extend_from_slice(b"%!(BADPREC)"),
        }
        *after_index = false;
    }

    fn number(&mut self) -> Option<usize> {
        let digits = self.format[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let text = std::str::from_utf8(&self.format[self.at..self.at + digits]).ok()?;
        self.at += digits;
        text.parse().ok().map(|number: usize| number.min(WIDEST))
    }

    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(value, _) if (-1_000_000..=1_000_000).contains(value) => {
                let most = WIDEST as i64;
                Some((*value).clamp(-most, most))
            }
            _ => None,
        }
    }

    /// `[3]`: the next value to take.
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
        match text.parse::<usize>() {
            Ok(number @ 1..) if number <= self.values.len() => {
                self.next = number - 1;
                *found = true;
            }
            _ => self.is_good = false,
        }
    }
}

struct Directive {
    verb: char,
    flags: Flags,
    is_syntax: bool,
}

impl Directive {
    fn write(&self, out: &mut Vec<u8>, value: &Value) -> Option<()> {
        match (self.verb, value) {
            ('T', _) => self.pad(out, value.type_name().as_bytes(), false),
            ('v', Value::Invalid | Value::Nil) => self.pad(out, b"<nil>", false),
            ('v', _) if self.is_syntax => {
                let mut text = Vec::new();
                print::syntax(&mut text, value)?;
                self.pad(out, &text, false);
            }
            (_, Value::List(items, _)) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    self.write(out, item)?;
                }
                out.push(b']');
            }
            (_, Value::Map(map, _)) => {
                out.extend_from_slice(b"map[");
                for (at, (key, item)) in map.iter().enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    self.write(out, &Value::String(key.clone()))?;
                    out.push(b':');
                    self.write(out, item)?;
                }
                out.push(b']');
            }
            (_, Value::Bool(value)) if matches!(self.verb, 't' | 'v') => {
                self.pad(out, value.to_string().as_bytes(), false);
            }
            (_, Value::Int(number, _)) => return self.integer(out, value, *number < 0, number.unsigned_abs()),
            (_, Value::Uint(number, _)) => return self.integer(out, value, false, *number),
            (_, Value::Float(number)) if matches!(self.verb, 'v' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => {
                self.float(out, *number);
            }
            (_, Value::String(text) | Value::Number(text)) => return self.string(out, value, text),
            _ => return self.bad(out, value),
        }
        Some(())
    }

    fn bad(&self, out: &mut Vec<u8>, value: &Value) -> Option<()> {
        out.extend_from_slice(format!("%!{}(", self.verb).as_bytes());
        if value.is_nothing() {
            out.extend_from_slice(b"<nil>");
        } else {
            out.extend_from_slice(value.type_name().as_bytes());
            out.push(b'=');
            // As Go: with %v and the same flags.
            Directive { verb: 'v', flags: self.flags, is_syntax: false }.write(out, value)?;
        }
        out.push(b')');
        Some(())
    }

    fn string(&self, out: &mut Vec<u8>, value: &Value, text: &[u8]) -> Option<()> {
        let cut = |text: &[u8]| match self.flags.precision {
            None => text.to_vec(),
            Some(most) => {
                let mut kept = Vec::new();
                for rune in runes(text).take(most) {
                    match rune {
                        Ok(c) => kept.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                        Err(byte) => kept.push(byte),
                    }
                }
                kept
            }
        };
        match self.verb {
            'v' | 's' => self.pad(out, &cut(text), self.flags.zero && !self.flags.minus),
            'q' => {
                let text = cut(text);
                let is_raw = self.flags.sharp
                    && std::str::from_utf8(&text).is_ok_and(|text| {
                        text.chars().all(|c| c == '\t' || (!c.is_control() && c != '`' && c != '\u{feff}'))
                    });
                let quoted = if is_raw {
                    format!("`{}`", String::from_utf8_lossy(&text))
                } else {
                    quote(&text, '"', self.flags.plus)
                };
                self.pad(out, quoted.as_bytes(), self.flags.zero && !self.flags.minus);
            }
            'x' | 'X' => {
                let text = &text[..self.flags.precision.unwrap_or(text.len()).min(text.len())];
                let mut hex = String::new();
                let prefix = if self.verb == 'x' { "0x" } else { "0X" };
                for (at, byte) in text.iter().enumerate() {
                    if self.flags.space && at > 0 {
                        hex.push(' ');
                    }
                    if self.flags.sharp && (self.flags.space || at == 0) {
                        hex.push_str(prefix);
                    }
                    hex.push_str(&if self.verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
                }
                self.pad(out, hex.as_bytes(), self.flags.zero && !self.flags.minus);
            }
            _ => return self.bad(out, value),
        }
        Some(())
    }

    fn integer(&self, out: &mut Vec<u8>, value: &Value, is_negative: bool, number: u64) -> Option<()> {
        let flags = &self.flags;
        let zero = flags.zero && !flags.minus;
        let (mut digits, prefix) = match self.verb {
            'v' | 'd' => (number.to_string(), ""),
            'b' => (format!("{number:b}"), if flags.sharp { "0b" } else { "" }),
            'o' => (format!("{number:o}"), if flags.sharp { "0" } else { "" }),
            'O' => (format!("{number:o}"), "0o"),
            'x' => (format!("{number:x}"), if flags.sharp { "0x" } else { "" }),
            'X' => (format!("{number:X}"), if flags.sharp { "0X" } else { "" }),
            'c' | 'q' | 'U' => {
                let c = u32::try_from(number).ok().filter(|_| !is_negative).and_then(char::from_u32);
                let shown = c.unwrap_or(char::REPLACEMENT_CHARACTER);
                match self.verb {
                    'c' => self.pad(out, shown.to_string().as_bytes(), zero),
                    'q' => self.pad(out, quote(shown.to_string().as_bytes(), '\'', flags.plus).as_bytes(), zero),
                    _ => {
                        let width = flags.precision.unwrap_or(4).max(4);
                        let number = if is_negative { number.wrapping_neg() } else { number };
                        let shown = if flags.sharp && c.is_some() { format!(" '{shown}'") } else { String::new() };
                        self.pad(out, format!("U+{number:0width$X}{shown}").as_bytes(), false);
                    }
                }
                return Some(());
            }
            _ => return self.bad(out, value),
        };
        if flags.precision == Some(0) && number == 0 {
            let width = flags.width.unwrap_or_default();
            out.extend(std::iter::repeat_n(b' ', width));
            return Some(());
        }
        let sign = match (is_negative, flags.plus, flags.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let least = match (flags.precision, flags.width) {
            (Some(least), _) => least,
            (None, Some(width)) if zero => width.saturating_sub(sign.len()),
            _ => 0,
        };
        if digits.len() < least {
            digits = format!("{digits:0>least$}");
        }
        let prefix = if prefix == "0" && digits.starts_with('0') { "" } else { prefix };
        self.pad(out, format!("{sign}{prefix}{digits}").as_bytes(), false);
        Some(())
    }

    fn float(&self, out: &mut Vec<u8>, number: f64) {
        let flags = &self.flags;
        let (verb, default) = match self.verb {
            'v' => ('g', None),
            verb @ ('g' | 'G') => (verb, None),
            'F' => ('f', Some(6)),
            verb => (verb, Some(6)),
        };
        let text = float::format(number, verb, flags.precision.or(default), flags.sharp);
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) => (&text[..1], digits),
            None => ("+", text.as_str()),
        };
        let sign = match sign {
            "+" if flags.plus => "+",
            "+" if flags.space => " ",
            "+" if number.is_infinite() => "+",
            "+" => "",
            sign => sign,
        };
        let zero = flags.zero && !flags.minus && number.is_finite();
        let width = flags.width.unwrap_or_default().saturating_sub(sign.len());
        let digits = if zero { format!("{digits:0>width$}") } else { digits.to_owned() };
        self.pad(out, format!("{sign}{digits}").as_bytes(), false);
    }

    fn pad(&self, out: &mut Vec<u8>, text: &[u8], zero: bool) {
        let missing = self.flags.width.unwrap_or_default().saturating_sub(runes(text).count());
        let padding = std::iter::repeat_n(if zero { b'0' } else { b' ' }, missing);
        if self.flags.minus {
            out.extend_from_slice(text);
            out.extend(padding);
        } else {
            out.extend(padding);
            out.extend_from_slice(text);
        }
    }
}
