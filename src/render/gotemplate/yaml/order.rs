//! The order of keys as in Go's yaml: letters after everything else, and digits by the number they form.

use std::cmp::Ordering;

use super::super::key;
use super::super::value::{Elements, Map, Value};

/// The entries in the order that Go writes them: numbers and booleans by their value, nil, strings.
pub(super) fn sorted(map: &Map, elements: Elements) -> Vec<(Value, &Value)> {
    let (mut others, mut strings) = (Vec::new(), Vec::new());
    for (key, item) in key::entries(map, elements) {
        match &key {
            Value::String(text) => strings.push((String::from_utf8_lossy(text).chars().collect(), (key, item))),
            _ => others.push((key, item)),
        }
    }
    others.sort_by(|(left, _), (right, _)| compare(left, right));
    // The comparison of numbers within words is not transitive ("a2" < "a10" < "a1b" < "a2"), and the standard
    // library's sort may panic on such an order.
    others.extend(merge_sorted(strings).into_iter().map(|(_, entry)| entry));
    others
}

/// Compares keys that are no strings. The entries come in with equal types in order.
fn compare(left: &Value, right: &Value) -> Ordering {
    let rank = |key: &Value| match key {
        Value::Bool(value) => (f64::from(u8::from(*value)), 0),
        Value::Int(number, _) => (*number as f64, 1),
        Value::Uint(number, _) => (*number as f64, 2),
        Value::Float(number) => (*number, 3),
        _ => (f64::INFINITY, 4),
    };
    let (left, right) = (rank(left), rank(right));
    left.0.total_cmp(&right.0).then(left.1.cmp(&right.1))
}

type Entry<'a> = (Vec<char>, (Value, &'a Value));

/// A merge sort, which tolerates an inconsistent order.
fn merge_sorted(mut entries: Vec<Entry<'_>>) -> Vec<Entry<'_>> {
    if entries.len() < 2 {
        return entries;
    }
    let mut right = merge_sorted(entries.split_off(entries.len() / 2)).into_iter().peekable();
    let mut left = merge_sorted(entries).into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        merged.extend(if is_less(&b.0, &a.0) { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

/// Whether a key sorts before another one.
fn is_less(left: &[char], right: &[char]) -> bool {
    let Some(at) = left.iter().zip(right).position(|(a, b)| a != b) else { return left.len() < right.len() };
    let (a, b) = (left[at], right[at]);
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => return a < b,
        (false, false) => {}
        (_, is_letter) => return is_letter,
    }
    // A zero after digits that are not all zeros makes the number ten times as large.
    let before = left[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let start = i64::from((a == '0' || b == '0') && before.into_iter().any(|c| *c != '0'));
    let (left, right) = (number(start, &left[at..]), number(start, &right[at..]));
    if left == right { a < b } else { left < right }
}

/// The number at the start of a text, continued from `start`, and how many digits it has.
fn number(start: i64, text: &[char]) -> (i64, usize) {
    let digits = text.iter().map_while(|c| c.to_digit(10));
    digits
        .fold((start, 0), |(number, count), digit| (number.wrapping_mul(10).wrapping_add(i64::from(digit)), count + 1))
}
