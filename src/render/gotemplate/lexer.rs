//! Splits a template into tokens: text, and the tokens between delimiters. A port of Go's
//! `text/template/parse/lex.go`.

use super::error::SyntaxError;
use super::tokens::{Item, Kind, Tokens};

/// The most tokens of one template, including white space and delimiters.
const WORDS: usize = 40_000;

/// Splits a template at these delimiters, from the offset `start` on. The last token is `End`, unless there is an error.
pub(super) fn tokens<'t>(input: &'t str, start: usize, left: &'t str, right: &'t str) -> Tokens<'t> {
    let mut lexer = Lexer { input, left, right, at: start, is_inside: false, parens: 0 };
    let mut tokens = Tokens::new(input);
    loop {
        match if lexer.is_inside { lexer.inside() } else { lexer.outside() } {
            Err(error) => return tokens.until(error),
            Ok(item) if tokens.len() == WORDS => {
                return tokens.until((item.at, SyntaxError::TooLarge("its actions have more than 40,000 words")));
            }
            Ok(item) => {
                tokens.push(item);
                if item.kind == Kind::End {
                    return tokens;
                }
            }
        }
    }
}

/// The position in a template.
#[derive(Debug, Clone)]
struct Lexer<'t> {
    input: &'t str,
    left: &'t str,
    right: &'t str,
    at: usize,
    is_inside: bool,
    parens: usize,
}

impl<'t> Lexer<'t> {
    /// The remaining text.
    fn rest(&self) -> &'t str {
        &self.input[self.at..]
    }

    /// The remaining bytes. Delimiters and everything that ends a token are found in bytes; only words and errors
    /// need characters.
    fn bytes(&self) -> &'t [u8] {
        &self.input.as_bytes()[self.at..]
    }

    /// The next byte.
    fn byte(&self) -> Option<u8> {
        self.input.as_bytes().get(self.at).copied()
    }

    /// The next character.
    fn peek(&self) -> Option<char> {
        match self.byte() {
            Some(byte) if byte.is_ascii() => Some(char::from(byte)),
            _ => self.rest().chars().next(),
        }
    }

    /// The token from `start` to the current position.
    fn since(&self, start: usize, kind: Kind) -> Item<'t> {
        Item { kind, at: start, text: &self.input[start..self.at] }
    }

    /// Reads the next token outside of delimiters.
    fn outside(&mut self) -> Result<Item<'t>, (usize, SyntaxError)> {
        loop {
            let start = self.at;
            let Some(delimiter) = self.left_delimiter() else {
                self.at = self.input.len();
                return Ok(self.since(start, if start == self.at { Kind::End } else { Kind::Text }));
            };
            let behind = delimiter + self.left.len();
            let is_trimmed = has_left_trim(&self.input.as_bytes()[behind..]);
            let text = &self.input[start..delimiter];
            let text = if is_trimmed { text.trim_end_matches(is_space) } else { text };
            if !text.is_empty() {
                self.at = delimiter;
                return Ok(Item { kind: Kind::Text, at: start, text });
            }
            self.at = behind;
            let after_trim = behind + if is_trimmed { 2 } else { 0 };
            if self.input[after_trim..].starts_with("/*") {
                self.at = after_trim;
                self.comment()?;
                continue;
            }
            self.at = after_trim;
            self.is_inside = true;
            self.parens = 0;
            return Ok(Item { kind: Kind::LeftDelimiter, at: delimiter, text: self.left });
        }
    }

    /// The offset of the next left delimiter. A search for one character is much faster than for a string, and a
    /// template is mostly text.
    fn left_delimiter(&self) -> Option<usize> {
        let first = self.left.chars().next()?;
        let mut at = self.at;
        loop {
            at += self.input[at..].find(first)?;
            if self.input[at..].starts_with(self.left) {
                return Some(at);
            }
            at += first.len_utf8();
        }
    }

    /// Skips a comment and its right delimiter.
    fn comment(&mut self) -> Result<(), (usize, SyntaxError)> {
        let start = self.at;
        // As in Go, the search begins after the opening mark.
        let Some(found) = self.input[start + 2..].find("*/") else {
            return Err((start, SyntaxError::Syntax("unclosed comment".into())));
        };
        self.at = start + 2 + found + 2;
        let Some(is_trimmed) = self.right_delimiter() else {
            return Err((start, SyntaxError::Syntax("comment ends before closing delimiter".into())));
        };
        self.at += self.right.len() + if is_trimmed { 2 } else { 0 };
        if is_trimmed {
            self.skip_space();
        }
        Ok(())
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(is_space_byte) {
            self.at += 1;
        }
    }

    /// Whether the right delimiter is next; `Some(true)` with a trim marker before it.
    fn right_delimiter(&self) -> Option<bool> {
        let (rest, right) = (self.bytes(), self.right.as_bytes());
        if has_right_trim(rest) && rest[2..].starts_with(right) {
            return Some(true);
        }
        rest.starts_with(right).then_some(false)
    }

    /// Reads the next token inside delimiters.
    fn inside(&mut self) -> Result<Item<'t>, (usize, SyntaxError)> {
        let start = self.at;
        if let Some(is_trimmed) = self.right_delimiter() {
            if self.parens > 0 {
                return Err((start, SyntaxError::Syntax("unclosed left paren".into())));
            }
            return Ok(self.close(is_trimmed));
        }
        let Some(c) = self.peek() else { return Err((start, SyntaxError::Syntax("unclosed action".into()))) };
        self.at += c.len_utf8();
        match c {
            c if is_space(c) => {
                self.at = start;
                Ok(self.space())
            }
            '=' => Ok(self.since(start, Kind::Assign)),
            ':' if self.peek() == Some('=') => {
                self.at += 1;
                Ok(self.since(start, Kind::Declare))
            }
            ':' => Err((start, SyntaxError::Syntax("expected :=".into()))),
            '|' => Ok(self.since(start, Kind::Pipe)),
            ',' => Ok(self.since(start, Kind::Comma)),
            '"' => self.quoted(start, b'"', "unterminated quoted string", Kind::String),
            '\'' => self.quoted(start, b'\'', "unterminated character constant", Kind::CharConstant),
            '`' => {
                let Some(end) = self.rest().find('`') else {
                    return Err((start, SyntaxError::Syntax("unterminated raw quoted string".into())));
                };
                self.at += end + 1;
                Ok(self.since(start, Kind::RawString))
            }
            '$' => self.field_or_variable(start, Kind::Variable),
            '.' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => self.field_or_variable(start, Kind::Field),
            '.' | '+' | '-' | '0'..='9' => {
                self.at = start;
                self.number(start)
            }
            c if is_alphanumeric(c) => self.identifier(start),
            '(' => {
                self.parens += 1;
                Ok(self.since(start, Kind::LeftParen))
            }
            ')' => {
                let Some(parens) = self.parens.checked_sub(1) else {
                    return Err((start, SyntaxError::Syntax("unexpected right paren".into())));
                };
                self.parens = parens;
                Ok(self.since(start, Kind::RightParen))
            }
            c if c.is_ascii_graphic() => Ok(self.since(start, Kind::Char)),
            c => Err((start, SyntaxError::Syntax(format!("unrecognized character in action: {c:?}")))),
        }
    }

    /// Reads the right delimiter, with its trim marker.
    fn close(&mut self, is_trimmed: bool) -> Item<'t> {
        if is_trimmed {
            self.at += 2;
        }
        let start = self.at;
        self.at += self.right.len();
        let item = self.since(start, Kind::RightDelimiter);
        if is_trimmed {
            self.skip_space();
        }
        self.is_inside = false;
        item
    }

    /// Reads a run of white space; its last character may belong to a trim marker.
    fn space(&mut self) -> Item<'t> {
        let start = self.at;
        self.skip_space();
        let last = self.at - 1;
        let marker = &self.input.as_bytes()[last..];
        if has_right_trim(marker) && marker[2..].starts_with(self.right.as_bytes()) {
            self.at = last;
            if last == start && self.parens == 0 {
                return self.close(true);
            }
        }
        self.since(start, Kind::Space)
    }

    /// Reads the rest of a quoted literal; `open` is the error if it has no end.
    fn quoted(&mut self, start: usize, quote: u8, open: &str, kind: Kind) -> Result<Item<'t>, (usize, SyntaxError)> {
        // No byte of a longer character is one of these.
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'\\' => match self.byte() {
                    Some(next) if next != b'\n' => self.at += 1,
                    _ => break,
                },
                b'\n' => break,
                byte if byte == quote => return Ok(self.since(start, kind)),
                _ => {}
            }
        }
        Err((start, SyntaxError::Syntax(open.into())))
    }

    /// Reads the rest of a field or variable.
    fn field_or_variable(&mut self, start: usize, kind: Kind) -> Result<Item<'t>, (usize, SyntaxError)> {
        if self.is_at_terminator() {
            return Ok(self.since(start, if kind == Kind::Field { Kind::Dot } else { kind }));
        }
        self.skip_word();
        self.terminated(start, kind)
    }

    /// Reads the rest of an identifier or keyword.
    fn identifier(&mut self, start: usize) -> Result<Item<'t>, (usize, SyntaxError)> {
        self.skip_word();
        let kind = match &self.input[start..self.at] {
            "true" | "false" => Kind::Bool,
            "nil" => Kind::Nil,
            "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template" | "with" => {
                Kind::Keyword
            }
            _ => Kind::Identifier,
        };
        self.terminated(start, kind)
    }

    /// Skips letters, digits and underscores.
    fn skip_word(&mut self) {
        while let Some(c) = self.peek().filter(|c| is_alphanumeric(*c)) {
            self.at += c.len_utf8();
        }
    }

    /// The token, if a valid terminator follows.
    fn terminated(&self, start: usize, kind: Kind) -> Result<Item<'t>, (usize, SyntaxError)> {
        if self.is_at_terminator() {
            return Ok(self.since(start, kind));
        }
        let c = self.peek().unwrap_or_default();
        Err((self.at, SyntaxError::Syntax(format!("bad character {c:?}"))))
    }

    /// Whether the next character may follow a word.
    fn is_at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.bytes().starts_with(self.right.as_bytes()),
        }
    }

    /// Reads a number literal.
    fn number(&mut self, start: usize) -> Result<Item<'t>, (usize, SyntaxError)> {
        let bytes = self.rest().as_bytes();
        let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
        let mut is_digit: fn(&u8) -> bool = |b| b.is_ascii_digit() || *b == b'_';
        let mut is_hex = false;
        if bytes.get(at) == Some(&b'0') {
            at += 1;
            match bytes.get(at) {
                Some(b'x' | b'X') => {
                    (is_hex, at) = (true, at + 1);
                    is_digit = |b| b.is_ascii_hexdigit() || *b == b'_';
                }
                Some(b'o' | b'O') => {
                    at += 1;
                    is_digit = |b| matches!(b, b'0'..=b'7' | b'_');
                }
                Some(b'b' | b'B') => {
                    at += 1;
                    is_digit = |b| matches!(b, b'0' | b'1' | b'_');
                }
                _ => {}
            }
        }
        let run = |mut at: usize, is_digit: fn(&u8) -> bool| {
            while bytes.get(at).is_some_and(is_digit) {
                at += 1;
            }
            at
        };
        at = run(at, is_digit);
        if bytes.get(at) == Some(&b'.') {
            at = run(at + 1, is_digit);
        }
        let is_exponent = if is_hex { b"pP" } else { b"eE" };
        if bytes.get(at).is_some_and(|b| is_exponent.contains(b)) {
            at += 1;
            if matches!(bytes.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            at = run(at, |b| b.is_ascii_digit() || *b == b'_');
        }
        self.at += at;
        match self.peek() {
            Some(c) if is_alphanumeric(c) => {
                Err((start, SyntaxError::Syntax(format!("bad number syntax: {:?}", &self.input[start..self.at]))))
            }
            _ => Ok(self.since(start, Kind::Number)),
        }
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    if c.is_ascii() { c == '_' || c.is_ascii_alphanumeric() } else { c.is_alphanumeric() }
}

fn is_space_byte(byte: u8) -> bool {
    is_space(char::from(byte))
}

/// Whether the text begins with a left trim marker.
fn has_left_trim(text: &[u8]) -> bool {
    matches!(text, [b'-', space, ..] if is_space_byte(*space))
}

/// Whether the text begins with a right trim marker.
fn has_right_trim(text: &[u8]) -> bool {
    matches!(text, [space, b'-', ..] if is_space_byte(*space))
}
