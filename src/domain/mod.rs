//! The types everything else uses: secrets, references, leases, names. No I/O, no environment, no clock.
//!
//! A value of these types is valid by construction (parse, don't validate).

mod account;
mod bounds;
mod certificate;
mod exit;
mod json;
mod lease;
mod forbidden_names;
mod mode;
mod names;
mod payload;
mod printable;
mod reference;
mod secret;
mod time;

pub use account::{Account, AccountError, Owner, RunAs};
pub use bounds::{
    LARGE_ANSWER_BYTES, MOST_ANSWER_BYTES, MOST_ELEMENTS, MOST_IDENTITY_BYTES, MOST_SECRET_BYTES, has_too_many_elements,
};
pub use certificate::{CertificateSummary, certificate_summary, der_certificate_hint, der_key_hint, is_der, not_after};
pub use exit::{Diagnostic, Exit, with_clause, without_errno, worst};
pub use forbidden_names::is_forbidden_from_backend;
pub use json::{FieldError, Flaw, JsonError};
pub use lease::{Ends, Fetched, Fetches, Lease, LeaseId, Version};
pub use mode::{Feature, LIMITS, Limit, Mode};
pub use names::{EnvName, FileMode, FileName, NameError};
pub use payload::{MaybeOwned, Payload, PickError, SecretMap};
pub use printable::{excerpt, printable};
pub(crate) use reference::encoded_path;
pub use reference::{AwsSource, ReferenceError, SecretRef, Source, VaultOperation, VaultSource};
pub use secret::{SecretBytes, SecretValue};
pub use time::{LONGEST_LIFE, Seconds, http_date, later, part, retry_after, scaled};
