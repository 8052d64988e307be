//! Quotes text like Go's `strconv.Quote`, `template.HTMLEscapeString`, `template.JSEscapeString`, `url.QueryEscape`.

/// Iterates over bytes as Go ranges over a string: characters, and single bytes that are not UTF-8.
pub(super) fn runes(bytes: &[u8]) -> impl Iterator<Item = Result<char, u8>> {
    bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars().map(Ok).chain(chunk.invalid().iter().copied().map(Err)))
}

/// Like `unicode.IsPrint`, approximately.
fn is_print(c: char) -> bool {
    // Go prints letters, marks, numbers, punctuation, symbols, and of the spaces only U+0020.
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    let is_format = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0001}'..='\u{e007f}');
    let is_private = matches!(u32::from(c), 0xe000..=0xf8ff | 0xf0000..);
    let is_unassigned = u32::from(c) & 0xfffe == 0xfffe;
    !(c.is_control() || c.is_whitespace() || is_format || is_private || is_unassigned)
}

/// Like `strconv.Quote`, or `QuoteToASCII`.
pub(super) fn quote(bytes: &[u8], delimiter: char, is_ascii: bool) -> String {
    let mut out = String::with_capacity(bytes.len() + 2);
    out.push(delimiter);
    // Most strings need no escapes.
    let is_plain =
        |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\' && u32::from(*byte) != u32::from(delimiter);
    let plain = bytes.iter().position(|byte| !is_plain(byte)).unwrap_or(bytes.len());
    let (plain, others) = bytes.split_at(plain);
    out.push_str(std::str::from_utf8(plain).expect("they are ASCII"));
    for rune in runes(others) {
        match rune {
            Err(byte) => out.push_str(&format!("\\x{byte:02x}")),
            Ok(c) => quote_char(&mut out, c, delimiter, is_ascii),
        }
    }
    out.push(delimiter);
    out
}

/// Appends a character, escaped where necessary.
fn quote_char(out: &mut String, c: char, delimiter: char, is_ascii: bool) {
    match c {
        c if c == delimiter || c == '\\' => out.extend(['\\', c]),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if is_print(c) && (c.is_ascii() || !is_ascii) => out.push(c),
        c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

/// Like `template.HTMLEscape`.
pub(super) fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
    out
}

/// Like `template.JSEscape`.
pub(super) fn js(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for rune in runes(text) {
        match rune {
            Ok('\\') => out.push_str("\\\\"),
            Ok('\'') => out.push_str("\\'"),
            Ok('"') => out.push_str("\\\""),
            Ok(c @ ('<' | '>' | '&' | '=')) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            Ok(c) if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            Ok(c) if c.is_ascii() || is_print(c) => out.push(c),
            Ok(c) => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            Err(_) => out.push('\u{fffd}'),
        }
    }
    out.into_bytes()
}

/// Like `url.QueryEscape`.
pub(super) fn query(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out.into_bytes()
}
