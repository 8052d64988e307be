//! Secrets in the form that templates use, kept while several templates are rendered with the same values.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::domain::{Fetched, Payload, Source};

use super::value::Secret;

/// Bytes of values that are kept; what is beyond is converted each time.
const MOST: usize = 1 << 20;

/// What `secret` returned for each source. Kept no longer than the values it was made of are the same.
#[derive(Default)]
pub struct ConvertedSecrets {
    secrets: RefCell<BTreeMap<Source, Arc<Secret>>>,
    bytes: Cell<usize>,
}

impl ConvertedSecrets {
    pub(super) fn get_or_convert(
        &self,
        source: &Source,
        fetched: &Fetched,
        convert: fn(&Fetched) -> Result<Secret, String>,
    ) -> Result<Arc<Secret>, String> {
        if let Some(known) = self.secrets.borrow().get(source) {
            return Ok(known.clone());
        }
        let secret = Arc::new(convert(fetched)?);
        let bytes = self.bytes.get().saturating_add(size(fetched));
        if bytes <= MOST {
            self.bytes.set(bytes);
            self.secrets.borrow_mut().insert(source.clone(), secret.clone());
        }
        Ok(secret)
    }
}

fn size(fetched: &Fetched) -> usize {
    let values = match &fetched.payload {
        Payload::Map(map) => map.iter().map(|(key, value)| key.len().saturating_add(value.raw().expose().len())).sum(),
        Payload::Whole(bytes) => bytes.expose().len(),
    };
    fetched.metadata.as_ref().map_or(0, |metadata| metadata.expose().len()).saturating_add(values)
}

impl fmt::Debug for ConvertedSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secrets]")
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::Value;
    use super::*;
    use crate::domain::{SecretBytes, VaultOperation, VaultSource};

    fn converted_twice(bytes: usize) -> bool {
        let source =
            Source::Vault(VaultSource { path: "kv/a".into(), operation: VaultOperation::Read { version: None } });
        let payload = Payload::Whole(SecretBytes::new(vec![b'x'; bytes]));
        let fetched = Fetched { payload, version: None, lease: None, ends: None, metadata: None };
        let convert =
            |_: &Fetched| Ok(Secret { lease_id: String::new(), lease_duration: 0, renewable: false, data: Value::Nil });
        let all = ConvertedSecrets::default();
        let [first, second] = [(); 2].map(|()| all.get_or_convert(&source, &fetched, convert).unwrap());
        !Arc::ptr_eq(&first, &second)
    }

    #[test]
    fn a_secret_is_converted_once_unless_it_is_large() {
        assert!(!converted_twice(100));
        assert!(converted_twice(MOST + 1));
    }
}
