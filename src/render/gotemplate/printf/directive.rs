//! Formats one value with a verb and flags.

use std::borrow::Cow;

use super::super::print;
use super::super::quote::{quote, runes};
use super::super::value::Value;
use super::super::{float, key};

/// The flags, width and precision between `%` and the verb.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// A verb with its flags.
pub(super) struct Directive {
    pub(super) verb: char,
    pub(super) flags: Flags,
    /// Whether it is `%#v`: Go's syntax.
    pub(super) is_syntax: bool,
    /// The limit of the whole output, in bytes.
    pub(super) most: usize,
}

impl Directive {
    /// Formats a value; `None` for a value that contains pointers, and above the limit.
    pub(super) fn write(&self, out: &mut Vec<u8>, value: &Value) -> Option<()> {
        match (self.verb, value) {
            ('T', _) => self.pad(out, value.type_name().as_bytes(), self.zero()),
            (_, Value::Loop(..) | Value::Secret(_) | Value::Pem(_) | Value::Scratch(_)) => None,
            ('v', value) if is_nil(value) || matches!(value, Value::NilPointer(_)) => {
                self.pad(out, b"<nil>", self.zero())
            }
            ('v', _) if self.is_syntax => {
                let mut text = Vec::new();
                print::syntax(&mut text, value).ok()?;
                self.pad(out, &text, false)
            }
            (_, Value::List(items, _)) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    self.item(out, item)?;
                }
                out.push(b']');
                Some(())
            }
            (_, Value::Map(map, elements)) => {
                out.extend_from_slice(b"map[");
                for (at, (key, item)) in key::entries(map, *elements).enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    self.item(out, &key)?;
                    out.push(b':');
                    self.item(out, item)?;
                }
                out.push(b']');
                Some(())
            }
            (_, Value::Bool(value)) if matches!(self.verb, 't' | 'v') => {
                self.pad(out, value.to_string().as_bytes(), self.zero())
            }
            (_, Value::Int(number, _)) => self.integer(out, value, *number < 0, number.unsigned_abs()),
            (_, Value::Uint(number, _)) => self.integer(out, value, false, *number),
            (_, Value::Float(number)) if matches!(self.verb, 'v' | 'b' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G') => {
                self.float(out, *number)
            }
            (_, Value::String(text) | Value::Number(text)) => self.string(out, value, text),
            ('v' | 's' | 'x' | 'X' | 'q', Value::Time(moment)) => self.string(out, value, moment.printed().as_bytes()),
            // Go prints its fields, among them an address.
            (_, Value::Time(_)) => None,
            _ => self.bad(out, value),
        }
    }

    /// Formats an item of a list or map: nil is `<nil>` with every verb, without padding.
    fn item(&self, out: &mut Vec<u8>, item: &Value) -> Option<()> {
        if is_nil(item) {
            out.extend_from_slice(b"<nil>");
            return (out.len() <= self.most).then_some(());
        }
        self.write(out, item)
    }

    /// Writes the error for a verb that does not fit the value, as Go does: `%!d(string=text)`.
    fn bad(&self, out: &mut Vec<u8>, value: &Value) -> Option<()> {
        out.extend_from_slice(format!("%!{}(", self.verb).as_bytes());
        if is_nil(value) {
            out.extend_from_slice(b"<nil>");
        } else {
            out.extend_from_slice(value.type_name().as_bytes());
            out.push(b'=');
            // As in Go: with %v, which fits every value here, and the same flags.
            Directive { verb: 'v', flags: self.flags, is_syntax: false, most: self.most }.write(out, value)?;
        }
        out.push(b')');
        Some(())
    }

    /// Whether to pad with zeros, which is possible only on the left.
    fn zero(&self) -> bool {
        self.flags.zero && !self.flags.minus
    }

    /// Formats a string.
    fn string(&self, out: &mut Vec<u8>, value: &Value, text: &[u8]) -> Option<()> {
        let cut = match self.flags.precision {
            None => Cow::Borrowed(text),
            Some(most) => {
                let mut kept = Vec::new();
                for rune in runes(text).take(most) {
                    match rune {
                        Ok(c) => kept.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                        Err(byte) => kept.push(byte),
                    }
                }
                Cow::Owned(kept)
            }
        };
        match self.verb {
            'v' | 's' => self.pad(out, &cut, self.zero()),
            'q' => {
                let is_raw = self.flags.sharp
                    && std::str::from_utf8(&cut).is_ok_and(|text| {
                        text.chars().all(|c| c == '\t' || (!c.is_control() && c != '`' && c != '\u{feff}'))
                    });
                let quoted = if is_raw {
                    format!("`{}`", String::from_utf8_lossy(&cut))
                } else {
                    quote(&cut, '"', self.flags.plus)
                };
                self.pad(out, quoted.as_bytes(), self.zero())
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
                self.pad(out, hex.as_bytes(), self.zero())
            }
            _ => self.bad(out, value),
        }
    }

    /// Formats an integer, given by its sign and magnitude.
    fn integer(&self, out: &mut Vec<u8>, value: &Value, is_negative: bool, number: u64) -> Option<()> {
        let flags = &self.flags;
        let zero = self.zero();
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
                return match self.verb {
                    'c' => self.pad(out, shown.to_string().as_bytes(), zero),
                    'q' => self.pad(out, quote(shown.to_string().as_bytes(), '\'', flags.plus).as_bytes(), zero),
                    _ => {
                        let width = flags.precision.unwrap_or(4).max(4);
                        let number = if is_negative { number.wrapping_neg() } else { number };
                        let shown = if flags.sharp && c.is_some() { format!(" '{shown}'") } else { String::new() };
                        (width <= self.most)
                            .then(|| self.pad(out, format!("U+{number:0width$X}{shown}").as_bytes(), false))?
                    }
                };
            }
            _ => return self.bad(out, value),
        };
        if flags.precision == Some(0) && number == 0 {
            return self.pad(out, b"", false);
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
        if least > self.most {
            return None;
        }
        if digits.len() < least {
            digits = format!("{digits:0>least$}");
        }
        let prefix = if prefix == "0" && digits.starts_with('0') { "" } else { prefix };
        self.pad(out, format!("{sign}{prefix}{digits}").as_bytes(), false)
    }

    /// Formats a float.
    fn float(&self, out: &mut Vec<u8>, number: f64) -> Option<()> {
        let flags = &self.flags;
        let (verb, default) = match self.verb {
            'v' => ('g', None),
            verb @ ('b' | 'g' | 'G') => (verb, None),
            'F' => ('f', Some(6)),
            verb => (verb, Some(6)),
        };
        let precision = flags.precision.or(default);
        if precision.max(flags.width).is_some_and(|size| size > self.most) {
            return None;
        }
        let text = float::format(number, verb, precision, flags.sharp);
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
        let width = flags.width.unwrap_or_default().saturating_sub(sign.len());
        let digits = if self.zero() && number.is_finite() { format!("{digits:0>width$}") } else { digits.to_owned() };
        self.pad(out, format!("{sign}{digits}").as_bytes(), false)
    }

    /// Appends a text, padded to the width.
    fn pad(&self, out: &mut Vec<u8>, text: &[u8], zero: bool) -> Option<()> {
        let missing = self.flags.width.map_or(0, |width| width.saturating_sub(runes(text).count()));
        if out.len() + text.len() + missing > self.most {
            return None;
        }
        let padding = std::iter::repeat_n(if zero { b'0' } else { b' ' }, missing);
        if self.flags.minus {
            out.extend_from_slice(text);
            out.extend(padding);
        } else {
            out.extend(padding);
            out.extend_from_slice(text);
        }
        Some(())
    }
}

/// Whether the value prints as nil.
fn is_nil(value: &Value) -> bool {
    value.is_nothing() || matches!(value, Value::Pending)
}
