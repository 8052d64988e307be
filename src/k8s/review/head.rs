//! Reads the beginning of a review that has too many elements: who asks, and about which object.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Keep, MAX_REST, Pruned};

/// The members to read: of the review, of its request, and of the request's kind.
const MEMBERS: [&[&str]; 3] =
    [&["apiVersion", "kind"], &["uid", "operation", "subResource", "namespace", "name"], &["kind"]];

/// The offset in a JSON text at which it has more than `most` members and items; `None` if it has fewer. Strings
/// are skipped; malformed JSON is counted in the same way.
pub(super) fn elements_end(body: &[u8], most: usize) -> Option<usize> {
    let mut count = 0;
    let mut at = 0;
    while let Some(byte) = body.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = body.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' | b',' => {
                count += 1;
                if count > most {
                    return Some(at);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Reads the members of an incomplete text.
pub(super) fn read(body: &[u8]) -> Value {
    let found = RefCell::new([Map::new(), Map::new(), Map::new()]);
    let mut reader = serde_json::Deserializer::from_slice(body);
    // The error at the cut is expected.
    let _ = Members { found: &found, level: 0 }.deserialize(&mut reader);
    let [mut review, mut request, kind] = found.into_inner();
    request.insert("kind".to_owned(), json!(kind));
    review.insert("request".to_owned(), json!(request));
    Value::Object(review)
}

/// Reads the members of one level, and descends to the next.
struct Members<'a> {
    found: &'a RefCell<[Map<String, Value>; 3]>,
    level: usize,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            if MEMBERS[self.level].contains(&name.as_str()) {
                let (left, tree) = (Cell::new(Some(MAX_REST)), Cell::new(None));
                let value = members.next_value_seed(Pruned { keep: &Keep::All, left: &left, tree: &tree })?;
                if left.get().is_none() {
                    return Err(A::Error::custom("too long"));
                }
                self.found.borrow_mut()[self.level].insert(name, value);
            } else if [(0, "request"), (1, "kind")].contains(&(self.level, name.as_str())) {
                members.next_value_seed(Members { found: self.found, level: self.level + 1 })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted_outside_of_strings() {
        let text = br#"{"a":[1,2,{"b":"[,{\\\",["}],"c":"\\"}"#;
        assert_eq!(elements_end(text, 6), None);
        assert_eq!(elements_end(text, 5), Some(text.iter().rposition(|byte| *byte == b',').unwrap()));
        assert_eq!(elements_end(b"\"[[[[", 1), None);
        assert_eq!(elements_end(b"\"\\", 1), None);
        assert_eq!(elements_end(b"[[[[", 2), Some(2));
    }

    #[test]
    fn a_text_that_breaks_off_says_whom_to_answer() {
        let text = br#"{"kind":"AdmissionReview","apiVersion":"v","x":[1],"request":{"uid":"u","kind":{"group":"","kind":"Pod"},
            "namespace":"n","operation":"CREATE","object":{"spec":{"containers":[{},{},"#;
        let expected = json!({
            "kind": "AdmissionReview", "apiVersion": "v",
            "request": { "uid": "u", "kind": { "kind": "Pod" }, "namespace": "n", "operation": "CREATE" },
        });
        assert_eq!(read(text), expected);
        assert_eq!(read(b"[["), json!({ "request": { "kind": {} } }));
    }
}
