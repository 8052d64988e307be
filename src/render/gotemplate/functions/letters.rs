//! Upper, lower and title case as Go's packages convert them: `strings` character by character, `cases` word by
//! word.

/// `strings.ToUpper`.
pub(super) fn upper(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().map(upper_letter).collect()
}

/// `strings.ToLower`.
pub(super) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Only one letter has several characters in lower case; Go uses the first.
    text.chars().filter_map(|c| c.to_lowercase().next()).collect()
}

/// The upper case of a letter if it is one character, else the letter itself; some Greek letters have a
/// one-character variant.
fn upper_letter(c: char) -> char {
    let mut all = c.to_uppercase();
    let first = all.next().unwrap_or(c);
    let distance = match c {
        _ if all.next().is_none() => return first,
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => return c,
    };
    char::from_u32(u32::from(c) + distance).unwrap_or(c)
}

/// The title case of a letter if it is one character.
fn title_letter(c: char) -> char {
    match c {
        // Digraphs that are one character.
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian has capitals only for whole words.
        '\u{10d0}'..='\u{10fa}' | '\u{10fd}'..='\u{10ff}' => c,
        _ => upper_letter(c),
    }
}

/// `strings.Title`: the first letter after every character that is not part of a word.
pub(super) fn each_word(text: &str) -> String {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_' || (!c.is_ascii() && !c.is_whitespace());
    let mut was = ' ';
    let letter = |c| {
        let is_first = !is_inside(std::mem::replace(&mut was, c));
        if is_first { title_letter(c) } else { c }
    };
    text.chars().map(letter).collect()
}

/// `cases.Title` with the option that keeps other letters: the first cased letter of each word, with Unicode word
/// boundaries.
pub(super) fn title(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut is_inside = false;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let has_case = c.is_lowercase() || c.is_uppercase() || title_letter(c) != c;
        if has_case && !is_inside {
            push_title(&mut out, c);
        } else {
            out.push(c);
        }
        is_inside = match c {
            _ if has_case => true,
            // Between letters, these characters do not end a word.
            '\'' | '.' | ':' | '\u{b7}' | '\u{2018}' | '\u{2019}' | '\u{2024}' | '\u{2027}' => {
                is_inside && rest.peek().copied().is_some_and(is_word)
            }
            _ => is_inside && is_word(c),
        };
    }
    out
}

/// Appends the title case of a letter; if it is several characters, only the first one is upper case.
fn push_title(out: &mut String, c: char) {
    match title_letter(c) {
        same if same == c && c.is_lowercase() => match c {
            '\u{149}' => out.extend(c.to_uppercase()),
            '\u{10d0}'..='\u{10ff}' => out.push(c),
            _ => {
                let mut all = c.to_uppercase();
                out.extend(all.next());
                out.extend(all.flat_map(char::to_lowercase));
            }
        },
        large => out.push(large),
    }
}
