//! Secrets in the form that templates use, kept while several templates are rendered with the same values.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use crate::domain::{Fetched, Source};

use super::value::{Secret, Value};

/// Bytes of memory that are kept; what is beyond is converted each time.
const MOST: usize = 1 << 20;

/// What `secret` returned for each source. Kept no longer than the values it was made of are the same.
#[derive(Default)]
pub struct ConvertedSecrets {
    secrets: RefCell<BTreeMap<Source, Rc<Secret>>>,
    bytes: Cell<usize>,
}

impl ConvertedSecrets {
    pub(super) fn get_or_convert(
        &self,
        source: &Source,
        fetched: &Fetched,
        convert: impl FnOnce(&Fetched) -> Result<Secret, String>,
    ) -> Result<Rc<Secret>, String> {
        if let Some(known) = self.secrets.borrow().get(source) {
            return Ok(known.clone());
        }
        let secret = Rc::new(convert(fetched)?);
        let bytes = self.bytes.get().saturating_add(footprint(&secret.data));
        if bytes <= MOST {
            self.bytes.set(bytes);
            self.secrets.borrow_mut().insert(source.clone(), secret.clone());
        }
        Ok(secret)
    }
}

/// The memory that a value takes, roughly: a map's entry is a key and a value, each with its own allocation.
fn footprint(value: &Value) -> usize {
    const NODE: usize = 64;
    let inner = match value {
        Value::Number(text) | Value::String(text) => text.len(),
        Value::List(items, _) => items.iter().map(footprint).sum(),
        Value::Map(map, _) => map.iter().map(|(key, value)| NODE + key.len() + footprint(value)).sum(),
        _ => 0,
    };
    NODE.saturating_add(inner)
}

impl fmt::Debug for ConvertedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Payload, SecretBytes, VaultOperation, VaultSource};

    fn is_converted_twice(data: &Value) -> bool {
        let operation = VaultOperation::Read { version: None };
        let source = Source::Vault(VaultSource { path: "kv/a".into(), operation });
        let payload = Payload::Whole(SecretBytes::new(Vec::new()));
        let fetched = Fetched { payload, version: None, lease: None, ends: None, metadata: None };
        let convert = |_: &Fetched| {
            Ok(Secret { lease_id: String::new(), lease_duration: 0, renewable: false, data: data.clone() })
        };
        let all = ConvertedSecrets::default();
        let [first, second] = [(); 2].map(|()| all.get_or_convert(&source, &fetched, convert).unwrap());
        !Rc::ptr_eq(&first, &second)
    }

    #[test]
    fn a_secret_is_converted_once_unless_it_takes_much_memory() {
        assert!(!is_converted_twice(&Value::text("x".repeat(1000))));
        assert!(is_converted_twice(&Value::text("x".repeat(MOST + 1))));
        assert!(is_converted_twice(&Value::list(vec![Value::Bool(true); 20_000])));
    }
}
