//! The files of a checkpoint as they are written.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::{Ends, Payload, SecretBytes, SecretValue};
use crate::provider::vault::TokenKind;

use super::SavedToken;

pub(super) const FORMAT: u32 = 2;

pub(super) const STATE: &str = "state.json";

pub(super) const BESIDE: &str = "state.json.new";

/// A state that could not be used, or with which a run ended by a bug: never read again.
pub(super) const UNUSABLE: &str = "state.json.unusable";

pub(super) const VALUE: &str = "state.value-";

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) format: u32,
    pub(super) boot: String,
    pub(super) config: String,
    pub(super) address: String,
    /// `None`: not logged in, or with the token of a token file.
    pub(super) token: Option<WrittenToken>,
    pub(super) secrets: Vec<WrittenSecret>,
    /// Of runs with other configurations, whose values the app uses until newer ones are delivered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replaced: Vec<WrittenToken>,
    /// What was being issued when this was written: an answer may have been lost.
    pub(super) under_way: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenToken {
    pub(super) secret: String,
    pub(super) accessor: Option<String>,
    pub(super) requested_at: Duration,
    pub(super) ttl: Option<Duration>,
    pub(super) renewable: bool,
    pub(super) is_batch: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenSecret {
    pub(super) source: String,
    pub(super) version: Option<String>,
    pub(super) lease: Option<String>,
    pub(super) renewable: bool,
    /// `None`: the value has no end that is known.
    pub(super) ttl: Option<Duration>,
    pub(super) ends: Option<WrittenEnds>,
    pub(super) requested_at: Duration,
    pub(super) value: String,
    pub(super) payload: WrittenPayload,
    /// KV v2's metadata, which a Go template can name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<String>,
}

/// What is in the file of a value.
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
    pub(super) fn of(ends: Ends) -> Self {
        match ends {
            Ends::Expires(_) => Self::Expires,
            Ends::WithToken(_) => Self::WithToken,
            Ends::Rotates(_) => Self::Rotates,
            Ends::ReadEvery(_) => Self::ReadEvery,
        }
    }

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
    pub(super) fn of(saved: &SavedToken) -> Option<Self> {
        Some(Self {
            secret: saved.secret.expose_text()?.to_owned(),
            accessor: saved.token.accessor.clone(),
            requested_at: saved.requested_at,
            ttl: saved.token.ttl,
            renewable: saved.token.renewable,
            is_batch: saved.token.kind == TokenKind::Batch,
            namespace: saved.namespace.clone(),
        })
    }
}

/// A map as it came: texts quoted, everything else as it was written.
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
