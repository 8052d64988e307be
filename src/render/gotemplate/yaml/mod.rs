//! `toYAML`: writes exactly what Go's `yaml.Marshal` (version 2) does. `parse` is `parseYAML`.
//!
//! The emitter has the state of libyaml's: the column, and whether the last output on the line was white space or
//! indentation. `scalar` chooses the style of a text, `resolve` tells how a parser would read it unquoted.

use base64::Engine as _;

use super::super::limits::check_written;
use super::float;
use super::value::Value;

mod order;
mod parse;
mod resolve;
mod scalar;

pub(super) use parse::parse;
use scalar::{Analysis, Style};

/// Writes a value as a document, trimmed.
pub(super) fn write(value: &Value) -> Result<Vec<u8>, String> {
    let mut emitter = Emitter { indent: None, column: 0, is_white: true, is_indented: true, out: String::new() };
    emitter.node(value, Context::Root)?;
    Ok(emitter.out.trim().as_bytes().to_vec())
}

/// The position of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Context {
    Root,
    Item,
    /// A value, or a key after `?`.
    Entry,
    /// A key before `:`.
    Key,
}

/// The output and its state.
struct Emitter {
    /// Indentation of the present block; none around the document.
    indent: Option<usize>,
    column: usize,
    is_white: bool,
    is_indented: bool,
    out: String,
}

impl Emitter {
    /// Writes a node.
    fn node(&mut self, value: &Value, context: Context) -> Result<(), String> {
        check_written(self.out.len())?;
        match value {
            Value::Map(map, _) if map.is_empty() => self.plain("{}"),
            Value::List(items, _) if items.is_empty() => self.plain("[]"),
            Value::Map(map, elements) => {
                let outer = self.indent.replace(self.indent.map_or(0, |indent| indent + 2));
                for (key, item) in order::sorted(map, *elements) {
                    self.line();
                    self.entry(&key, item)?;
                }
                self.indent = outer;
            }
            Value::List(items, _) => {
                let is_flush = context == Context::Entry && !self.is_indented;
                let step = if is_flush { 0 } else { 2 };
                let outer = self.indent.replace(self.indent.map_or(0, |indent| indent + step));
                for item in items.iter() {
                    self.line();
                    self.indicator("-", true, true);
                    self.node(item, Context::Item)?;
                }
                self.indent = outer;
            }
            Value::Invalid | Value::Nil | Value::NilPointer(_) | Value::Pending => self.plain("null"),
            Value::Bool(value) => self.plain(&value.to_string()),
            Value::Int(value, _) => self.plain(&value.to_string()),
            Value::Uint(value, _) => self.plain(&value.to_string()),
            Value::Float(value) => self.plain(&number(*value)),
            Value::Number(text) => match json_number(&String::from_utf8_lossy(text)) {
                Some(number) => self.plain(&number),
                None => self.text(text, context)?,
            },
            Value::String(text) => self.text(text, context)?,
            Value::Time(moment) => self.plain(&moment.rfc3339()),
            other => return Err(format!("a value of type {} has no YAML here; write its .Data", other.type_name())),
        }
        Ok(())
    }

    /// Writes a key and its value.
    fn entry(&mut self, key: &Value, item: &Value) -> Result<(), String> {
        let is_long = matches!(key, Value::String(text) if !scalar::is_simple_key(text));
        if is_long {
            self.indicator("?", true, true);
            self.node(key, Context::Entry)?;
            self.line();
            self.indicator(":", true, true);
        } else {
            self.node(key, Context::Key)?;
            self.indicator(":", false, false);
        }
        self.node(item, Context::Entry)
    }

    /// Writes a text that needs no quotes.
    fn plain(&mut self, text: &str) {
        self.indicator(text, true, false);
    }

    /// Writes a string in a suitable style; bytes that are not UTF-8 as `!!binary`.
    fn text(&mut self, bytes: &[u8], context: Context) -> Result<(), String> {
        // At worst it is broken at each blank, and each line is indented.
        let breaks = bytes.iter().filter(|byte| matches!(byte, b' ' | b'\n')).count();
        let indented = breaks.saturating_mul(self.indent.unwrap_or_default());
        check_written(self.out.len().saturating_add(bytes.len()).saturating_add(indented))?;
        let outer = self.indent.replace(self.indent.map_or(2, |indent| indent + 2));
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                let style = Analysis::of(text).style(resolve::is_string(text), context == Context::Key);
                self.styled(text, style, context);
            }
            Err(_) => {
                self.plain("!!binary");
                let text = binary(bytes);
                let is_long = text.contains('\n') && context != Context::Key;
                self.styled(&text, if is_long { Style::Literal } else { Style::Plain }, context);
            }
        }
        self.indent = outer;
        Ok(())
    }

    /// Writes a text in a style.
    fn styled(&mut self, text: &str, style: Style, context: Context) {
        let folds = context != Context::Key;
        match style {
            Style::Plain | Style::Single => self.flow(text, style, folds),
            Style::Double => self.double(text, folds),
            Style::Literal => self.literal(text),
        }
    }

    /// Writes a text plain or in single quotes; `folds`: long lines may be folded.
    fn flow(&mut self, text: &str, style: Style, folds: bool) {
        let quote = if style == Style::Single { "'" } else { "" };
        self.indicator(quote, true, false);
        let (mut was_space, mut was_break) = (false, false);
        for (at, c) in text.char_indices() {
            let next = text[at + c.len_utf8()..].chars().next();
            let is_inside = style == Style::Plain || (at > 0 && next.is_some());
            if c == ' ' {
                if folds && !was_space && self.column > scalar::WIDTH && is_inside && next != Some(' ') {
                    self.line();
                } else {
                    self.put(c);
                }
                was_space = true;
                continue;
            }
            if scalar::is_break(c) {
                if !was_break && c == '\n' {
                    self.put('\n');
                }
                self.put(c);
                self.is_indented = true;
                was_break = true;
                continue;
            }
            if was_break {
                self.line();
            }
            if c == '\'' && style == Style::Single {
                self.put(c);
            }
            self.put(c);
            self.is_indented = false;
            (was_space, was_break) = (false, false);
        }
        self.indicator(quote, false, false);
    }

    /// Writes a text in double quotes.
    fn double(&mut self, text: &str, folds: bool) {
        self.indicator("\"", true, false);
        let mut was_space = false;
        for (at, c) in text.char_indices() {
            let next = text[at + c.len_utf8()..].chars().next();
            let is_space = c == ' ';
            if scalar::is_escaped(text, c) {
                let mut escaped = String::new();
                scalar::escape(&mut escaped, c);
                self.column += escaped.chars().count();
                self.out += &escaped;
            } else if is_space && folds && !was_space && self.column > scalar::WIDTH && at > 0 && next.is_some() {
                self.line();
                if next == Some(' ') {
                    self.put('\\');
                }
            } else {
                self.put(c);
            }
            was_space = is_space;
        }
        self.indicator("\"", false, false);
    }

    /// Writes a text as a literal block.
    fn literal(&mut self, text: &str) {
        let hints = scalar::hints(text);
        self.indicator(&hints, true, false);
        self.put('\n');
        (self.is_indented, self.is_white) = (true, true);
        let mut was_break = true;
        for c in text.chars() {
            let is_break = scalar::is_break(c);
            if was_break && !is_break {
                self.line();
            }
            self.put(c);
            self.is_indented = is_break;
            was_break = is_break;
        }
    }

    /// Writes a character and updates the column.
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column = if scalar::is_break(c) { 0 } else { self.column + 1 };
    }

    /// Begins an indented line, unless that was just done.
    fn line(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.is_indented || self.column > indent || (self.column == indent && !self.is_white) {
            self.put('\n');
        }
        while self.column < indent {
            self.put(' ');
        }
        (self.is_white, self.is_indented) = (true, true);
    }

    /// Writes an indicator or a plain text, after a space if needed.
    fn indicator(&mut self, signs: &str, needs_space: bool, is_indentation: bool) {
        if needs_space && !self.is_white {
            self.put(' ');
        }
        self.out += signs;
        self.column += signs.chars().count();
        self.is_white = false;
        self.is_indented &= is_indentation;
    }
}

/// A float in YAML.
fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => ".nan".to_owned(),
        value if value.is_infinite() => if value > 0.0 { ".inf" } else { "-.inf" }.to_owned(),
        value => float::format(value, 'g', None, false),
    }
}

/// A `json.Number` as `int64` if it fits, else as `float64`; `None` if it is neither.
fn json_number(text: &str) -> Option<String> {
    let whole = text.parse::<i64>().ok().map(|whole| whole.to_string());
    whole.or_else(|| text.parse::<f64>().ok().filter(|value| value.is_finite()).map(number))
}

/// Bytes as base64, in lines of 70 characters.
fn binary(bytes: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    if text.len() < 70 {
        return text;
    }
    text.as_bytes().chunks(70).map(|line| String::from_utf8_lossy(line).into_owned() + "\n").collect()
}
