//! The on-disk format of a checkpoint: types, file names and encoding.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Ends, Payload, SecretBytes, SecretValue};
use crate::provider::vault::TokenKind;

use super::SavedToken;

/// The version of the format.
pub(super) const FORMAT: u32 = 2;

/// The file of the checkpoint's state.
pub(super) const STATE: &str = "state.json";

/// The temporary name under which a new state is written.
pub(super) const BESIDE: &str = "state.json.new";

/// The name of a state that could not be read, or during whose run the program panicked: never read again.
pub(super) const UNUSABLE: &str = "state.json.unusable";

/// The prefix of the files of values; a number follows.
pub(super) const VALUE: &str = "state.value-";

/// The content of the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) format: u32,
    pub(super) boot: String,
    pub(super) config: String,
    pub(super) address: String,
    /// Our token; `None`: not logged in, or with the token of a token file.
    pub(super) token: Option<WrittenToken>,
    pub(super) secrets: Vec<WrittenSecret>,
    /// Tokens of runs with other configurations. The app uses their values until newer ones are delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<WrittenToken>,
    /// Requests that may issue a credential and were not answered when this was written.
    pub(super) under_way: Vec<String>,
}

/// A token, in the state file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenToken {
    pub(super) secret: String,
    pub(super) accessor: Option<String>,
    pub(super) requested_at: Duration,
    pub(super) ttl: Option<Duration>,
    pub(super) renewable: bool,
    pub(super) is_batch: bool,
    /// Empty is the root namespace. `None`: an earlier version did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
}

/// What is known of a value, in the state file; the value itself is in the file named by `value`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSecret {
    pub(super) source: String,
    pub(super) version: Option<String>,
    pub(super) lease: Option<String>,
    pub(super) renewable: bool,
    /// `None`: the value has no known end.
    pub(super) ttl: Option<Duration>,
    pub(super) ends: Option<WrittenEnds>,
    pub(super) requested_at: Duration,
    pub(super) value: String,
    pub(super) payload: WrittenPayload,
    /// KV v2's metadata, which a Go template can refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<String>,
}

/// The content of a value's file.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum WrittenPayload {
    /// A JSON object.
    Map,
    /// The value's own bytes.
    Whole,
}

/// [`Ends`] without its duration.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum WrittenEnds {
    Expires,
    WithToken,
    Rotates,
    ReadEvery,
}

impl WrittenEnds {
    /// Converts the kind of end, without its duration.
    pub(super) fn of(ends: Ends) -> Self {
        match ends {
            Ends::Expires(_) => Self::Expires,
            Ends::WithToken(_) => Self::WithToken,
            Ends::Rotates(_) => Self::Rotates,
            Ends::ReadEvery(_) => Self::ReadEvery,
        }
    }

    /// Adds the duration again.
    pub(super) fn after(self, ttl: Duration) -> Ends {
        match self {
            Self::Expires => Ends::Expires(ttl),
            Self::WithToken => Ends::WithToken(ttl),
            Self::Rotates => Ends::Rotates(ttl),
            Self::ReadEvery => Ends::ReadEvery(ttl),
        }
    }
}

impl WrittenToken {
    /// The token in the format of the file; `None` if it is not UTF-8.
    pub(super) fn of(saved: &SavedToken) -> Option<Self> {
        Some(Self {
            secret: saved.secret.expose_text()?.to_owned(),
            accessor: saved.token.accessor.clone(),
            requested_at: saved.requested_at,
            ttl: saved.token.ttl,
            renewable: saved.token.renewable,
            is_batch: saved.token.kind == TokenKind::Batch,
            namespace: saved.namespace.as_ref().map(|namespace| namespace.name().unwrap_or_default().to_owned()),
        })
    }
}

/// Encodes a map as a JSON object: strings quoted, other values as they were received. Empty for a value that is no
/// map.
pub(super) fn text(payload: &Payload) -> SecretBytes {
    let mut out = vec![b'{'];
    if let Payload::Map(map) = payload {
        for (place, (name, value)) in map.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            out.extend(serde_json::to_vec(name).expect("a text is JSON"));
            out.push(b':');
            match value {
                SecretValue::Json(json) => out.extend_from_slice(json.expose()),
                SecretValue::Text(text) => {
                    let text = text.expose_text().expect("a text of JSON is UTF-8");
                    out.extend(serde_json::to_vec(text).expect("a text is JSON"));
                }
            }
        }
    }
    out.push(b'}');
    SecretBytes::new(out)
}
