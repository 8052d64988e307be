//! RFC 6902 operations: those that injection uses, and applying them to a document.

use serde_json::{Value, json};

/// An `add` operation. It replaces a member that exists (RFC 6902, 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// The path's steps, not escaped; `-` is the end of a list.
    pub path: Vec<String>,
    /// The value to add.
    pub value: Value,
}

impl Op {
    /// An `add` operation; the path is its steps joined with `/`.
    pub fn add(path: &str, value: Value) -> Self {
        Self { path: path.split('/').map(str::to_owned).collect(), value }
    }

    /// The operation as an element of a JSON patch.
    pub fn to_json(&self) -> Value {
        let path: String =
            self.path.iter().map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1"))).collect();
        json!({ "op": "add", "path": path, "value": self.value })
    }
}

/// Applies operations in order. Panics if a path does not exist, which is a bug of the caller.
pub fn apply(document: &mut Value, ops: &[Op]) {
    for op in ops {
        let (last, way) = op.path.split_last().expect("an operation has a path");
        let mut here = &mut *document;
        for step in way {
            let next = match here {
                Value::Object(map) => map.get_mut(step),
                Value::Array(list) => step.parse::<usize>().ok().and_then(|at| list.get_mut(at)),
                _ => None,
            };
            here = next.expect("operations are made for this document");
        }
        match here {
            Value::Object(map) => drop(map.insert(last.clone(), op.value.clone())),
            Value::Array(list) => {
                let at = last.parse().unwrap_or(list.len()).min(list.len());
                list.insert(at, op.value.clone());
            }
            _ => unreachable!("operations are made for this document"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_add_members_and_items() {
        let mut document = json!({ "a": [1, 2], "b": { "c": 3 } });
        apply(&mut document, &[Op::add("a/0", json!(0)), Op::add("a/-", json!(9)), Op::add("b/c", json!(4))]);
        assert_eq!(document, json!({ "a": [0, 1, 2, 9], "b": { "c": 4 } }));
    }

    #[test]
    fn steps_are_escaped() {
        let op = Op { path: vec!["a/b".into(), "c~d".into()], value: json!(1) };
        assert_eq!(op.to_json(), json!({ "op": "add", "path": "/a~1b/c~0d", "value": 1 }));
    }
}
