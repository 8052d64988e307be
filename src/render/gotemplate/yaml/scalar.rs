//! Chooses the style of a text in YAML: plain, quoted or a block. libyaml's analysis, with Go's changes.

/// Text is folded after this column.
pub(super) const WIDTH: usize = 80;
/// Longer keys are written after a `?`.
const LONGEST_KEY: usize = 128;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Which styles a text allows.
pub(super) struct Analysis {
    is_empty: bool,
    has_line_end: bool,
    plain: bool,
    single: bool,
    block: bool,
}

impl Analysis {
    /// Analyses a text.
    pub(super) fn of(text: &str) -> Self {
        let (mut has_sign, mut is_special, mut break_space, mut space_break) = (false, false, false, false);
        let (mut was_space, mut was_break, mut was_blank) = (false, false, true);
        for (at, c) in text.char_indices() {
            let is_followed_by_blank =
                text[at + c.len_utf8()..].chars().next().is_none_or(|next| matches!(next, ' ' | '\t'));
            has_sign |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if at == 0 =>
                {
                    true
                }
                '?' | '-' if at == 0 => is_followed_by_blank,
                ':' => is_followed_by_blank,
                '#' => was_blank,
                _ => false,
            };
            is_special |= !is_printable(c);
            let (is_space, is_break) = (c == ' ', is_break(c));
            break_space |= is_space && was_break;
            space_break |= is_break && was_space;
            was_blank = is_space || is_break || matches!(c, '\t' | '\0');
            (was_space, was_break) = (is_space, is_break);
        }
        let is_edge = |c: char| c == ' ' || is_break(c);
        let is_padded = text.starts_with(is_edge) || text.ends_with(is_edge);
        let is_mark = text.starts_with("---") || text.starts_with("...");
        let has_break = text.contains(is_break);
        let is_folded = space_break || is_special;
        Self {
            is_empty: text.is_empty(),
            has_line_end: text.contains('\n'),
            plain: !(is_padded || is_mark || has_sign || has_break || break_space || is_folded),
            single: !(break_space || is_folded),
            block: !(text.ends_with(' ') || is_folded),
        }
    }

    /// The style to use. `is_string`: a parser reads the plain text as a string.
    pub(super) fn style(&self, is_string: bool, is_key: bool) -> Style {
        if self.has_line_end {
            return if self.block && !is_key { Style::Literal } else { Style::Double };
        }
        match () {
            () if !is_string || self.is_empty => Style::Double,
            () if self.plain => Style::Plain,
            () if self.single => Style::Single,
            () => Style::Double,
        }
    }
}

/// Whether a key is written before its `:` without a `?`.
pub(super) fn is_simple_key(key: &[u8]) -> bool {
    match std::str::from_utf8(key) {
        Ok(text) => !text.contains(is_break) && text.len() <= LONGEST_KEY,
        // Base64 that fits one line.
        Err(_) => key.len().div_ceil(3) * 4 < 70,
    }
}

/// The header of a literal block: an indentation indicator if the text begins with white space, and a chomping
/// indicator.
pub(super) fn hints(text: &str) -> String {
    let indentation = if text.starts_with(|c| c == ' ' || is_break(c)) { "2" } else { "" };
    let mut ends = text.chars().rev();
    let chomp = match (ends.next().is_some_and(is_break), ends.next()) {
        (false, _) => "-",
        (true, None) => "+",
        (true, Some(c)) if is_break(c) => "+",
        (true, _) => "",
    };
    format!("|{indentation}{chomp}")
}

/// Whether the character is a line break in YAML 1.1.
pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether the character is written unescaped in double quotes; none above U+FFFF is.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

/// Whether a character needs an escape in double quotes. If the text begins with a byte order mark, all do.
pub(super) fn is_escaped(text: &str, c: char) -> bool {
    !is_printable(c) || is_break(c) || matches!(c, '"' | '\\') || text.starts_with('\u{feff}')
}

/// Appends an escaped character.
pub(super) fn escape(out: &mut String, c: char) {
    let short = match c {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c => {
            let code = u32::from(c);
            *out += &match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
            return;
        }
    };
    out.extend(['\\', short]);
}
