//! Translates regular expressions from Go's syntax to that of regex-lite.
//!
//! The two differ in which characters are special, and regex-lite folds the case of ASCII letters only. What
//! differs is rewritten, or refused.

use std::iter::Peekable;
use std::str::Chars;

/// The largest count of a repetition in Go.
const MOST_REPEATED: u32 = 1000;

/// The pattern in regex-lite's syntax; `None` if Go refuses it, or regex-lite cannot express it.
pub(super) fn translate(pattern: &str) -> Option<String> {
    let mut translation = Translation { rest: pattern.chars().peekable(), out: String::new(), folds: vec![false] };
    translation.all()?;
    Some(translation.out)
}

/// Whether a search with a translated pattern may look far beyond the match that it returns: one with an alternative or a
/// repeated group beside a repetition without an end, as `a(a*b)?` does.
pub(super) fn looks_ahead(translated: &str) -> bool {
    // Characters that are literals are written in hexadecimal there.
    let is_endless = translated.contains(['*', '+']) || translated.contains(",}");
    let has_choice = translated.contains('|') || [")*", ")+", ")?", "){"].iter().any(|end| translated.contains(end));
    is_endless && has_choice
}

/// The state of a translation.
struct Translation<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
    /// Whether case is ignored, for each open group.
    folds: Vec<bool>,
}

/// The meaning of a backslash sequence.
enum Escape {
    Literal(char),
    /// A class or an assertion, in regex-lite's syntax.
    Same(&'static str),
    /// `\Q`: the text up to `\E` is literal.
    Quote,
}

impl Translation<'_> {
    /// Translates the rest of the pattern.
    fn all(&mut self) -> Option<()> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => match self.escape()? {
                    Escape::Literal(c) => self.literal(c)?,
                    Escape::Same(text) => self.out.push_str(text),
                    Escape::Quote => {
                        self.quoted()?;
                        continue;
                    }
                },
                '[' => self.class()?,
                '(' => {
                    self.open()?;
                    continue;
                }
                ')' => {
                    self.folds.pop().filter(|_| !self.folds.is_empty())?;
                    self.out.push(c);
                }
                '^' | '$' | '.' => self.out.push(c),
                '|' => {
                    self.out.push(c);
                    continue;
                }
                // regex-lite also refuses one with nothing before it.
                '*' | '+' | '?' => {
                    self.out.push(c);
                    self.repeated()?;
                    continue;
                }
                '{' => match self.count()? {
                    Some(count) => {
                        self.out.push_str(&count);
                        self.repeated()?;
                        continue;
                    }
                    None => self.literal('{')?,
                },
                c => self.literal(c)?,
            }
        }
        Some(())
    }

    /// Whether case is ignored in the innermost group.
    fn folds(&self) -> bool {
        self.folds.last().copied().unwrap_or(false)
    }

    /// Appends a literal character; if case is ignored, with the other characters that Go folds to it.
    fn literal(&mut self, c: char) -> Option<()> {
        let folded = self.folded(c, c)?;
        let literal = written(c);
        match folded {
            "" => self.out.push_str(&literal),
            more => self.out.push_str(&format!("[{literal}{more}]")),
        }
        Some(())
    }

    /// The characters that Go, but not regex-lite, folds to a letter of this range; `None` for a range beyond
    /// ASCII.
    fn folded(&self, from: char, to: char) -> Option<&'static str> {
        let has = |lower: char| (from..=to).contains(&lower) || (from..=to).contains(&lower.to_ascii_uppercase());
        match () {
            () if !self.folds() => Some(""),
            () if !to.is_ascii() => None,
            () => Some(match (has('k'), has('s')) {
                (false, false) => "",
                (true, false) => "\u{212a}",
                (false, true) => "\u{17f}",
                (true, true) => "\u{212a}\u{17f}",
            }),
        }
    }

    /// Translates what follows a repetition: `?` makes it lazy; another repetition is an error.
    fn repeated(&mut self) -> Option<()> {
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        let is_repeated = match self.rest.peek() {
            Some('*' | '+' | '?') => true,
            Some('{') => {
                let mut ahead = Translation { rest: self.rest.clone(), out: String::new(), folds: Vec::new() };
                ahead.rest.next();
                ahead.count()?.is_some()
            }
            _ => false,
        };
        (!is_repeated).then_some(())
    }

    /// Parses `{2}`, `{2,}` or `{2,3}`. The inner `None` means that the brace is a literal.
    fn count(&mut self) -> Option<Option<String>> {
        let mut ahead = self.rest.clone();
        let mut text = String::from("{");
        loop {
            match ahead.next() {
                Some(c @ ('0'..='9' | ',')) => text.push(c),
                Some('}') => break,
                _ => return Some(None),
            }
        }
        let (from, to) = text[1..].split_once(',').map_or((&text[1..], None), |(from, to)| (from, Some(to)));
        let is_number = |text: &str| !text.is_empty() && !text.contains(',') && (text == "0" || !text.starts_with('0'));
        if !is_number(from) || !to.is_none_or(|to| to.is_empty() || is_number(to)) {
            return Some(None);
        }
        let number = |text: &str| text.parse().ok().filter(|number: &u32| *number <= MOST_REPEATED);
        let least = number(from)?;
        if let Some(to) = to.filter(|to| !to.is_empty()) {
            number(to).filter(|most| least <= *most)?;
        }
        self.rest = ahead;
        text.push('}');
        Some(Some(text))
    }

    /// Translates what follows `(`: a group, with a name or flags.
    fn open(&mut self) -> Option<()> {
        self.out.push('(');
        let mut folds = self.folds();
        if self.rest.next_if_eq(&'?').is_none() {
            self.folds.push(folds);
            return Some(());
        }
        self.out.push('?');
        if let Some(c) = self.rest.next_if(|c| matches!(c, 'P' | '<')) {
            self.out.push(c);
            self.folds.push(folds);
            loop {
                let c = self.rest.next()?;
                self.out.push(c);
                match c {
                    '>' => return Some(()),
                    '<' | '_' => {}
                    c if c.is_ascii_alphanumeric() => {}
                    _ => return None,
                }
            }
        }
        let mut sets = true;
        loop {
            let c = self.rest.next()?;
            self.out.push(c);
            match c {
                'i' => folds = sets,
                'm' | 's' | 'U' => {}
                '-' if sets => sets = false,
                ':' => {
                    self.folds.push(folds);
                    return Some(());
                }
                ')' => {
                    *self.folds.last_mut()? = folds;
                    return Some(());
                }
                _ => return None,
            }
        }
    }

    /// Translates a class, from after `[` to its `]`.
    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let c = self.rest.next()?;
            let from = match c {
                ']' if !is_first => {
                    self.out.push(']');
                    return Some(());
                }
                '[' => match self.posix() {
                    Some(name) => {
                        self.out.push_str(&name);
                        is_first = false;
                        continue;
                    }
                    None => '[',
                },
                '\\' => match self.class_escape()? {
                    Escape::Literal(c) => c,
                    Escape::Same(text) => {
                        self.out.push_str(text.trim_start_matches('[').trim_end_matches(']'));
                        is_first = false;
                        continue;
                    }
                    Escape::Quote => return None,
                },
                c => c,
            };
            is_first = false;
            let to = self.range_end()?.unwrap_or(from);
            if to < from {
                return None;
            }
            let folded = self.folded(from, to)?;
            self.out.push_str(&format!("{}-{}{folded}", written(from), written(to)));
        }
    }

    /// Parses the end of a range, if one begins here.
    fn range_end(&mut self) -> Option<Option<char>> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some('-') || ahead.peek() == Some(&']') {
            return Some(None);
        }
        self.rest = ahead;
        match self.rest.next()? {
            '\\' => match self.class_escape()? {
                Escape::Literal(c) => Some(Some(c)),
                Escape::Same(_) | Escape::Quote => None,
            },
            c => Some(Some(c)),
        }
    }

    /// Parses `[:alpha:]` and the like in a class.
    fn posix(&mut self) -> Option<String> {
        let mut ahead = self.rest.clone();
        if ahead.next() != Some(':') {
            return None;
        }
        let mut name = String::from("[:");
        loop {
            match ahead.next()? {
                c @ ('a'..='z' | '^') => name.push(c),
                ':' if ahead.next() == Some(']') => break,
                _ => return None,
            }
        }
        self.rest = ahead;
        Some(name + ":]")
    }

    /// Parses a backslash sequence in a class.
    fn class_escape(&mut self) -> Option<Escape> {
        match self.rest.peek()? {
            'A' | 'z' | 'b' | 'B' | 'Q' => None,
            _ => self.escape(),
        }
    }

    /// Parses a backslash sequence, from after the backslash.
    fn escape(&mut self) -> Option<Escape> {
        let c = self.rest.next()?;
        Some(Escape::Literal(match c {
            'd' => return Some(Escape::Same("\\d")),
            'D' => return Some(Escape::Same("\\D")),
            // Go's white space has no vertical tab.
            's' => return Some(Escape::Same("[\\t\\n\\f\\r ]")),
            'S' => return Some(Escape::Same("[\\x{0}-\\x{8}\\x{b}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}]")),
            'w' => return Some(Escape::Same("\\w")),
            'W' => return Some(Escape::Same("\\W")),
            'A' => return Some(Escape::Same("\\A")),
            'z' => return Some(Escape::Same("\\z")),
            // In a group, because regex-lite would read a brace after it as a part of it.
            'b' => return Some(Escape::Same("(?:\\b)")),
            'B' => return Some(Escape::Same("\\B")),
            'Q' => return Some(Escape::Quote),
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal()?,
            // A digit without further octal digits would be a back reference.
            '0' => self.octal(0)?,
            '1'..='7' if self.rest.peek().is_some_and(|c| ('0'..='7').contains(c)) => self.octal(c.to_digit(8)?)?,
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return None,
        }))
    }

    /// Up to two more octal digits of a character's code.
    fn octal(&mut self, mut code: u32) -> Option<char> {
        for _ in 0..2 {
            let Some(digit) = self.rest.next_if(|c| ('0'..='7').contains(c)) else { break };
            code = code * 8 + digit.to_digit(8)?;
        }
        char::from_u32(code)
    }

    /// A character's code after `\x`: two digits, or digits in braces.
    fn hexadecimal(&mut self) -> Option<char> {
        if self.rest.next_if_eq(&'{').is_none() {
            let high = self.rest.next()?.to_digit(16)?;
            return char::from_u32(high * 16 + self.rest.next()?.to_digit(16)?);
        }
        let mut code: Option<u32> = None;
        loop {
            match self.rest.next()? {
                '}' => return char::from_u32(code?),
                c => code = Some(code.unwrap_or(0).checked_mul(16)?.checked_add(c.to_digit(16)?)?),
            }
        }
    }

    /// Translates the text after `\Q`, up to `\E`.
    fn quoted(&mut self) -> Option<()> {
        while let Some(c) = self.rest.next() {
            if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                break;
            }
            self.literal(c)?;
        }
        Some(())
    }
}

/// A literal character in regex-lite's syntax, inside or outside of a class.
fn written(c: char) -> String {
    if c.is_ascii() && !c.is_ascii_alphanumeric() { format!("\\x{{{:x}}}", u32::from(c)) } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn what_go_refuses_or_matches_in_another_way_is_refused() {
        for pattern in [
            "(?x) a",
            "a++",
            "a**",
            "a{2}{3}",
            "a???",
            "a{1001}",
            "a{2,1}",
            r"\u0041",
            r"\q",
            r"\Z",
            r"\1",
            r"\C",
            r"\pL",
            r"\x{",
            r"[\b]",
            r"[a-\d]",
            "[z-a]",
            "[a",
            r"\",
            "a)",
            "(?=a)",
            "(?i)é",
            "(?i)[a-é]",
        ] {
            assert!(translate(pattern).is_none(), "{pattern}");
        }
        assert_eq!(translate(r"(?i)(?-i:k)[[:alpha:]]\.").unwrap(), r"(?i)(?-i:k)[[:alpha:]]\x{2e}");
    }
}
