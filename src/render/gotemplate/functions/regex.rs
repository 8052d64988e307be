//! Regular expressions of templates, whose searches are counted as steps by the size of text and expression.

use regex_lite::RegexBuilder;

use super::super::rendering::Rendering;
use super::super::value::Value;
use super::{Outcome, pattern};

/// The sizes of compiled expressions that are tried, in bytes, as powers of two.
const SIZES: std::ops::RangeInclusive<u32> = 10..=20;
/// The bytes of a state of a compiled expression.
const STATE: usize = 32;

/// A compiled expression.
pub(super) struct Regex {
    regex: regex_lite::Regex,
    /// What it takes to look at one byte of a text, at most.
    cost: usize,
    looks_ahead: bool,
}

impl Regex {
    /// Compiles an expression in Go's syntax.
    pub(super) fn new(run: &mut Rendering<'_>, text: &str) -> Result<Self, String> {
        run.look(text.len().saturating_mul(100))?;
        let malformed = || {
            "the regular expression is malformed, too large, or uses what is not supported (\\p{…}, (?i) beside letters beyond ASCII)"
                .to_owned()
        };
        let translated = pattern::translate(text).ok_or_else(malformed)?;
        for size in SIZES.map(|power| 1_usize << power) {
            run.look(size)?;
            if let Ok(regex) = RegexBuilder::new(&translated).size_limit(size).build() {
                // Where a group begins and ends is remembered for each state.
                let cost = size / STATE * (1 + regex.captures_len() / 8);
                return Ok(Self { regex, cost, looks_ahead: pattern::looks_ahead(&translated) });
            }
        }
        Err(malformed())
    }

    /// The first match.
    pub(super) fn find<'t>(&self, run: &mut Rendering<'_>, text: &'t str) -> Result<Option<&'t str>, String> {
        run.look(text.len().saturating_mul(self.cost))?;
        Ok(self.regex.find(text).map(|found| found.as_str()))
    }

    /// The first `most` matches.
    pub(super) fn find_all(&self, run: &mut Rendering<'_>, text: &str, most: usize) -> Outcome {
        let found = self.count(run, text, most)?;
        run.pieces(found)?;
        Ok(Value::strings(self.regex.find_iter(text).take(most).map(|found| found.as_str())))
    }

    /// Replaces every match; `$1` and `${name}` in `by` are its groups.
    pub(super) fn replace(&self, run: &mut Rendering<'_>, text: &str, by: &str) -> Outcome {
        let found = self.count(run, text, usize::MAX)?;
        let groups = by.matches('$').count().saturating_mul(text.len());
        run.grow(groups.saturating_add(by.len().saturating_mul(found)).saturating_add(text.len()))?;
        Ok(Value::text(self.regex.replace_all(text, by).as_bytes()))
    }

    /// The number of matches, up to `most`.
    fn count(&self, run: &mut Rendering<'_>, text: &str, most: usize) -> Result<usize, String> {
        run.look(text.len().saturating_mul(self.cost).saturating_mul(2))?;
        let mut found = 0;
        for place in self.regex.find_iter(text).take(most) {
            found += 1;
            if self.looks_ahead {
                run.look((text.len() - place.end()).saturating_mul(self.cost / 4))?;
            }
        }
        Ok(found)
    }
}
