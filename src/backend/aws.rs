//! Reads Secrets Manager by version: a known secret is fetched again only when its version has changed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tracing::debug;

use crate::domain::{Fetched, Source, Version, http_date};
use crate::provider::aws::{Aws, DescribeError};
use crate::provider::{Class, Failure};
use crate::schedule::{Answer, Life, Outcome, SecretId};
use crate::sys::clock;

use super::fetch_one;

/// Secrets Manager, and the last accepted version of each secret.
pub(crate) struct VersionedReader {
    aws: Rc<Aws>,
    versions: RefCell<BTreeMap<SecretId, Version>>,
    /// The secrets whose value may be read, but which may not be described: their value is read each time.
    cannot_describe: RefCell<BTreeSet<SecretId>>,
}

impl VersionedReader {
    pub(crate) fn new(aws: Rc<Aws>) -> Self {
        Self { aws, versions: RefCell::default(), cannot_describe: RefCell::default() }
    }

    /// Records the version that later fetches are compared with.
    pub(super) fn accept(&self, id: SecretId, version: &Version) {
        self.versions.borrow_mut().insert(id, version.clone());
    }

    /// Fetches the value unless its version is the accepted one: then the fetched value is `None` (describing costs the
    /// same as reading and decrypts nothing). A secret that is scheduled for deletion is a failure.
    pub(super) async fn fetch(&self, id: SecretId, source: &Source) -> (Outcome, Option<Fetched>) {
        let (mut rotates_in, mut is_denied) = (None, false);
        let Source::Aws(wanted) = source else { unreachable!("the sources of Secrets Manager") };
        let known = self.versions.borrow().get(&id).cloned();
        if !self.cannot_describe.borrow().contains(&id) && known.is_some() {
            match self.aws.describe(wanted).await {
                Ok(description) => {
                    let until = |at: std::time::SystemTime| at.duration_since(clock::wall()).unwrap_or(Duration::ZERO);
                    rotates_in = description.next_rotation.map(until);
                    if let Some(at) = description.deleted {
                        let why = format!(
                            "the secret was scheduled for deletion at {}; what was delivered stays, but the next start \
                             cannot read it: restore it with RestoreSecret",
                            http_date(at)
                        );
                        return (Outcome::Failed(Failure::new(Class::NotFound, why)), None);
                    }
                    if known == description.version {
                        return (Outcome::Fetched(Answer { life: Life::Unbounded, rotates_in }), None);
                    }
                }
                Err(DescribeError::NotPermitted(failure)) => {
                    debug!("{source}: no description ({failure}); the value is read instead");
                    is_denied = true;
                }
                Err(DescribeError::Failed(failure)) => return (Outcome::Failed(failure), None),
            }
        }
        let answer = fetch_one(&*self.aws, source).await;
        // Where both are denied, it is not the description that the policy leaves out.
        if is_denied && answer.is_ok() {
            self.cannot_describe.borrow_mut().insert(id);
        }
        match answer {
            Ok(fetched) => (Outcome::Fetched(Answer { rotates_in, ..Answer::from(&fetched) }), Some(fetched)),
            Err(failure) => (Outcome::Failed(failure), None),
        }
    }
}
