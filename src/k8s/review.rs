//! Reads an AdmissionReview from JSON, but keeps only what injection needs: the rest is checked for syntax and
//! skipped, and the kept part is limited. A body of a few megabytes would otherwise become a tree of several hundred.

mod head;

use std::cell::Cell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::config::DIALECT_PREFIXES;
use crate::config::annotations::PREFIX;

use super::injected::APPARMOR_ANNOTATION;
use super::names::is_injected_name;

/// The limit of the pod's tree, in bytes of memory. A usual pod of 1,000 containers takes about 4 MiB.
const MAX_TREE: usize = 8 << 20;
/// The most members and items of a review that is parsed at all: each takes time, even if it is skipped. A usual
/// pod of 1,000 containers has about 50,000.
pub(super) const MAX_ELEMENTS: usize = 150_000;
/// The limit of everything besides the pod, in bytes.
const MAX_REST: usize = 64 << 10;
/// Memory of a map with its first members, in bytes.
const MAP: usize = 700;
const MEMBER: usize = 120;
/// Memory of an item of a list.
const ITEM: usize = 48;

/// Which part of a value is kept.
#[derive(Debug, Clone, Copy)]
enum Keep {
    /// The whole value.
    All,
    /// A map's members with these names.
    Members(&'static [(&'static str, Keep)]),
    /// A list's items, each with this rule.
    Items(&'static Keep),
    /// Annotations of this project or a dialect, and the few others that injection reads.
    Annotations,
    /// Only whether it is present.
    Presence,
    /// With this rule, charged to the tree's limit: everything outside has a small limit of its own, so that a
    /// review with a too large pod can still be answered.
    Tree(&'static Keep),
}

/// The rule of an AdmissionReview. A field that injection begins to read must be added; `src/k8s/tests.rs`
/// compares.
const REVIEW: Keep = Keep::Members(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    (
        "request",
        Keep::Members(&[
            ("uid", Keep::All),
            ("kind", Keep::Members(&[("kind", Keep::All)])),
            ("operation", Keep::All),
            ("subResource", Keep::All),
            ("namespace", Keep::All),
            ("name", Keep::All),
            ("object", Keep::Tree(&POD)),
        ]),
    ),
]);

const POD: Keep = Keep::Members(&[
    ("apiVersion", Keep::All),
    ("kind", Keep::All),
    (
        "metadata",
        Keep::Members(&[
            ("name", Keep::All),
            ("generateName", Keep::All),
            ("namespace", Keep::All),
            ("annotations", Keep::Annotations),
            ("ownerReferences", Keep::Items(&Keep::Members(&[("kind", Keep::All), ("controller", Keep::All)]))),
        ]),
    ),
    (
        "spec",
        Keep::Members(&[
            ("activeDeadlineSeconds", Keep::All),
            ("affinity", Keep::Members(&[("nodeAffinity", Keep::All)])),
            ("containers", Keep::Items(&CONTAINER)),
            ("ephemeralContainers", Keep::Items(&CONTAINER)),
            ("hostNetwork", Keep::All),
            ("hostPID", Keep::All),
            ("hostUsers", Keep::All),
            ("initContainers", Keep::Items(&CONTAINER)),
            ("nodeSelector", Keep::All),
            ("os", Keep::All),
            ("resources", Keep::All),
            ("restartPolicy", Keep::All),
            ("securityContext", Keep::All),
            ("serviceAccountName", Keep::All),
            ("shareProcessNamespace", Keep::All),
            ("terminationGracePeriodSeconds", Keep::All),
            ("volumes", Keep::Items(&Keep::All)),
        ]),
    ),
]);

const CONTAINER: Keep = Keep::Members(&[
    ("args", Keep::All),
    ("command", Keep::All),
    ("env", Keep::Items(&Keep::All)),
    ("envFrom", Keep::Items(&Keep::All)),
    ("image", Keep::All),
    ("imagePullPolicy", Keep::All),
    ("lifecycle", Keep::Presence),
    ("livenessProbe", Keep::Presence),
    ("name", Keep::All),
    ("ports", Keep::Items(&Keep::All)),
    ("readinessProbe", Keep::Presence),
    ("resizePolicy", Keep::Items(&Keep::All)),
    ("resources", Keep::All),
    ("restartPolicy", Keep::All),
    ("restartPolicyRules", Keep::Items(&Keep::Presence)),
    ("securityContext", Keep::All),
    ("startupProbe", Keep::All),
    ("stdin", Keep::All),
    ("stdinOnce", Keep::All),
    ("terminationMessagePath", Keep::All),
    ("terminationMessagePolicy", Keep::All),
    ("tty", Keep::All),
    ("volumeDevices", Keep::Items(&Keep::Presence)),
    ("volumeMounts", Keep::Items(&Keep::All)),
    ("workingDir", Keep::All),
]);

/// The needed part of a review.
#[derive(Debug)]
pub(super) struct Review {
    /// The same structure without the skipped parts.
    pub(super) value: Value,
    /// Whether a part was left out because of a limit.
    pub(super) is_cut: bool,
}

/// Reads a review. If it has too many elements, only its beginning is read, which identifies the request.
pub(super) fn read(body: &[u8]) -> Result<Review, serde_json::Error> {
    match head::elements_end(body, MAX_ELEMENTS) {
        Some(end) => Ok(Review { value: head::read(&body[..end]), is_cut: true }),
        None => read_like(body, &REVIEW),
    }
}

/// Reads a pod with the rules of a review.
#[cfg(test)]
pub(super) fn read_pod(body: &[u8]) -> Result<Review, serde_json::Error> {
    read_like(body, &Keep::Tree(&POD))
}

/// Reads a JSON text with a rule and fresh limits.
fn read_like(body: &[u8], keep: &Keep) -> Result<Review, serde_json::Error> {
    let (left, tree) = (Cell::new(Some(MAX_REST)), Cell::new(Some(MAX_TREE)));
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Pruned { keep, left: &left, tree: &tree }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(Review { value, is_cut: left.get().is_none() || tree.get().is_none() })
}

/// Reads one value. `left` is the remaining limit, `tree` that of a [`Keep::Tree`] below; `None` once it was
/// exceeded.
#[derive(Clone, Copy)]
struct Pruned<'a> {
    keep: &'a Keep,
    left: &'a Cell<Option<usize>>,
    tree: &'a Cell<Option<usize>>,
}

impl Pruned<'_> {
    /// Subtracts a cost from the remaining limit; returns whether there was enough.
    fn pay(&self, cost: usize) -> bool {
        self.left.set(self.left.get().and_then(|left| left.checked_sub(cost)));
        self.left.get().is_some()
    }
}

impl<'de> DeserializeSeed<'de> for Pruned<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.keep {
            Keep::Presence => {
                let value = Option::<IgnoredAny>::deserialize(deserializer)?;
                Ok(value.map_or(Value::Null, |_| Value::Bool(true)))
            }
            Keep::Tree(keep) => deserializer.deserialize_any(Pruned { keep, left: self.tree, ..self }),
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Pruned<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(if self.pay(value.len()) { Value::String(value.to_owned()) } else { Value::Null })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let keep = match self.keep {
            Keep::All => &Keep::All,
            Keep::Items(keep) => *keep,
            // The type is unexpected here; an empty list is enough to report that.
            Keep::Members(_) | Keep::Annotations | Keep::Presence | Keep::Tree(_) => {
                return skip_items(items).map(|()| Value::Array(Vec::new()));
            }
        };
        let mut list = Vec::new();
        while self.pay(ITEM) {
            match items.next_element_seed(Pruned { keep, ..self })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
        skip_items(items)?;
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut is_full = !self.pay(MAP);
        while let Some(name) = members.next_key_seed(Name { keep: self.keep, is_full })? {
            let Some((name, keep)) = name else {
                members.next_value::<IgnoredAny>()?;
                continue;
            };
            is_full = is_full || !self.pay(MEMBER + name.len());
            let value = members.next_value_seed(Pruned { keep, ..self })?;
            if !is_full {
                map.insert(name, value);
            }
        }
        Ok(Value::Object(map))
    }
}

/// Skips the remaining items of a list.
fn skip_items<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads a member's name and returns it with the rule for its value; `None` if it is skipped.
struct Name<'a> {
    keep: &'a Keep,
    is_full: bool,
}

impl<'de, 'a> DeserializeSeed<'de> for Name<'a> {
    type Value = Option<(String, &'a Keep)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Name<'a> {
    type Value = Option<(String, &'a Keep)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if self.is_full {
            return Ok(None);
        }
        let keep = match self.keep {
            Keep::All => Some(self.keep),
            Keep::Members(known) => known.iter().find(|(known, _)| *known == name).map(|(_, keep)| keep),
            Keep::Annotations
                if name.starts_with(PREFIX)
                    || name.strip_prefix(APPARMOR_ANNOTATION).is_some_and(is_injected_name)
                    || DIALECT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                    || [super::pod::DEFAULT_CONTAINER, super::pod::MIRROR].contains(&name) =>
            {
                Some(&Keep::All)
            }
            Keep::Annotations | Keep::Items(_) | Keep::Presence | Keep::Tree(_) => None,
        };
        Ok(keep.map(|keep| (name.to_owned(), keep)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> Review {
        read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn what_injection_does_not_read_is_left_out() {
        let review = of(&json!({
            "kind": "AdmissionReview",
            "request": {
                "uid": "u", "userInfo": { "username": "x" }, "oldObject": { "spec": {} },
                "object": {
                    "metadata": { "name": "a", "managedFields": [1], "annotations": { "b": 1, "secret-exec.dev/a": 2 } },
                    "spec": { "containers": [{ "name": "app", "unknown": [{ "a": 80 }] }], "tolerations": [{}] },
                    "status": { "phase": "Pending" },
                },
            },
        }));
        let kept = json!({
            "kind": "AdmissionReview",
            "request": {
                "uid": "u",
                "object": {
                    "metadata": { "name": "a", "annotations": { "secret-exec.dev/a": 2 } },
                    "spec": { "containers": [{ "name": "app" }] },
                },
            },
        });
        assert_eq!((review.value, review.is_cut), (kept, false));
    }

    #[test]
    fn another_type_than_expected_keeps_its_type() {
        let review = of(&json!({ "request": [1], "kind": { "a": 1 } }));
        assert_eq!(review.value, json!({ "request": [], "kind": { "a": 1 } }));
        let review = of(&json!({ "request": { "object": { "spec": { "containers": { "a": 1 }, "volumes": 7 } } } }));
        assert_eq!(review.value, json!({ "request": { "object": { "spec": { "containers": {}, "volumes": 7 } } } }));
    }

    #[test]
    fn too_much_is_cut_and_the_rest_is_still_checked() {
        let many = vec![json!({}); 70_000];
        let review = of(&json!({ "request": { "object": { "spec": { "volumes": many } } }, "kind": "after" }));
        assert!(review.is_cut);
        assert_eq!(review.value["kind"], "after", "what stands beside the pod is still known");
        let kept = review.value["request"]["object"]["spec"]["volumes"].as_array().unwrap().len();
        assert!(kept * MAP <= MAX_TREE, "{kept}");
        let text = format!("{{\"request\":{{\"object\":{{\"spec\":{{\"volumes\":[{}", "{},".repeat(70_000));
        assert!(read(text.as_bytes()).is_err());
        let text = json!({ "request": { "object": { "metadata": { "name": "x".repeat(MAX_TREE + 1) } } } });
        assert!(of(&text).is_cut);
    }

    #[test]
    fn what_is_not_read_costs_nothing() {
        let many = vec![json!({ "a": {} }); 20_000];
        let review = of(&json!({ "request": { "oldObject": many, "object": { "status": many } } }));
        assert_eq!((review.value, review.is_cut), (json!({ "request": { "object": {} } }), false));
    }
}
