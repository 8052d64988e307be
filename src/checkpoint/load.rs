//! Loads the checkpoint of an earlier run. One that cannot be used is refused with one log line.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use tracing::{debug, info, warn};

use crate::domain::{Ends, Fetched, Lease, LeaseId, Payload, SecretBytes, SecretMap, SecretRef, Source, Version};
use crate::provider::vault::{Namespace, Origin, Token, TokenKind, usable_accessor};
use crate::sys::fs::{Errno, Folder, reason};

use super::format::{FORMAT, STATE, UNUSABLE, VALUE, Written, WrittenPayload, WrittenSecret, WrittenToken};
use super::{CheckpointKey, EndedValues, Found, LoadedCheckpoint, SavedToken, SavedValue};

/// A token or value that ends within this time is not resumed.
pub(super) const MARGIN: Duration = Duration::from_secs(2);

/// The largest checkpoint file that is read.
pub(super) const MOST_BYTES: u64 = 8 << 20;

/// Loads the checkpoint of an earlier run for the configuration `key` and the plan's `sources`. One that cannot be used
/// is refused with one log line.
pub(crate) fn find(
    folder: &Folder,
    key: &CheckpointKey,
    sources: &[Source],
    ended_values: EndedValues,
    now: Duration,
) -> Found {
    let Some(mut written) = read_written(folder) else { return Found::NOTHING };
    let mut replaced = Vec::new();
    let is_usable = |token: &SavedToken| token.requested_at <= now && !is_over(token, now);
    // A token is never sent to another server than the one that issued it.
    if written.format == FORMAT && written.boot == key.boot && written.address == key.address {
        let earlier = written.replaced.drain(..).map(saved_token);
        replaced.extend(earlier.filter(is_usable));
        if written.config != key.config {
            replaced.extend(written.token.take().map(saved_token).filter(is_usable));
            let what = "what an earlier run left is of another configuration, so everything is fetched anew";
            let more =
                if replaced.is_empty() { "" } else { "; what was issued to it is revoked after that is delivered" };
            warn!("{what}{more}");
            return Found { loaded: LoadedCheckpoint::Nothing, replaced };
        }
    }
    let loaded = of_this_configuration(written, folder, key, sources, ended_values, now);
    Found { loaded, replaced }
}

/// Decides which parts of the checkpoint can be resumed: nothing of another format, server, boot or clock, and no
/// values without their token.
fn of_this_configuration(
    mut written: Written,
    folder: &Folder,
    key: &CheckpointKey,
    sources: &[Source],
    ended_values: EndedValues,
    now: Duration,
) -> LoadedCheckpoint {
    let token = written.token.take().map(saved_token);
    let why = match () {
        // A token is never sent to another server than the one that issued it.
        () if written.address != key.address => {
            let what = "what an earlier run left is of another server, so everything is fetched anew";
            let has_token = token.is_some() || !written.replaced.is_empty();
            warn!(
                "{what}{}",
                if has_token { "; what was issued to it there is not revoked, and ends by itself" } else { "" }
            );
            return LoadedCheckpoint::Nothing;
        }
        () if written.format != FORMAT => Some("of another format"),
        () if written.boot != key.boot => Some("of another boot"),
        () if token.as_ref().is_some_and(|token| token.requested_at > now) => Some("of another clock"),
        () => None,
    };
    if let Some(why) = why {
        warn!("what an earlier run left is {why}, so everything is fetched anew");
        return token.map_or(LoadedCheckpoint::Nothing, LoadedCheckpoint::Stale);
    }
    let under_way = known(&written.under_way, sources);
    if !under_way.is_empty() {
        info!("an answer was under way when the earlier run ended: {}", under_way.join(", "));
    }
    let is_over = |token: &SavedToken| is_over(token, now);
    if token.as_ref().is_some_and(is_over) {
        info!("the token that an earlier run left has ended, and with it its leases");
    }
    let (token, ended) = if token.as_ref().is_some_and(is_over) { (None, token) } else { (token, None) };
    let values = written.secrets.into_iter().filter_map(|secret| restore(folder, secret, sources, now));
    let token_end = ended.as_ref().and_then(|ended| Some(ended.requested_at.saturating_add(ended.token.ttl?)));
    let values = values.map(|value| {
        let dies_with_token = token.is_none() && value.is_bound();
        if value.is_over || dies_with_token { value.ended(token_end.unwrap_or(now)) } else { value }
    });
    let values: Vec<_> = values.filter(|value| ended_values == EndedValues::Keep || !value.is_over).collect();
    match ended {
        // The server's clock may differ, so a token that has ended by ours is revoked all the same.
        Some(ended) if values.is_empty() => LoadedCheckpoint::Stale(ended),
        Some(ended) => LoadedCheckpoint::TokenEnded(ended, values),
        None if token.is_none() && values.is_empty() => LoadedCheckpoint::Nothing,
        None => LoadedCheckpoint::Usable(token, values),
    }
}

/// Reads and parses the state file; one that cannot be read is renamed to [`UNUSABLE`]. `None` if there is none that
/// can be used.
fn read_written(folder: &Folder) -> Option<Written> {
    let bytes = match read(folder, STATE) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return None,
        Err(why) => {
            warn!(
                "what an earlier run left cannot be read, so it is put aside as {UNUSABLE} and everything is fetched anew: {}",
                reason(why)
            );
            put_aside(folder);
            return None;
        }
    };
    // Error messages of serde quote the input.
    let written = serde_json::from_slice::<Written>(bytes.expose()).ok();
    if written.is_none() {
        warn!(
            "what an earlier run left is damaged or of another version, so it is put aside as {UNUSABLE} and everything is \
             fetched anew"
        );
        put_aside(folder);
    }
    written
}

/// Whether a token has ended or is about to.
fn is_over(token: &SavedToken, now: Duration) -> bool {
    token.token.ttl.is_some_and(|ttl| ends_soon(token.requested_at.saturating_add(ttl), now))
}

/// Converts a token of the state file.
fn saved_token(token: WrittenToken) -> SavedToken {
    SavedToken {
        secret: SecretBytes::from(token.secret),
        requested_at: token.requested_at,
        namespace: token.namespace.map(|name| Namespace::named(Some(&name))),
        token: Token {
            accessor: token.accessor.and_then(usable_accessor),
            ttl: token.ttl,
            renewable: token.renewable,
            kind: if token.is_batch { TokenKind::Batch } else { TokenKind::Service },
            origin: Origin::Login,
            uses: None,
        },
    }
}

/// Whether something that ends at `end` is too short-lived to be resumed.
pub(super) fn ends_soon(end: Duration, now: Duration) -> bool {
    end < now.saturating_add(MARGIN)
}

/// Parses a source whose path a template computed, and which is therefore not among the plan's sources. Only Vault
/// references are accepted.
fn computed(written: &str) -> Option<Source> {
    let source = SecretRef::parse(written, &BTreeMap::new()).ok()?.source;
    matches!(source, Source::Vault(_)).then_some(source)
}

/// The entries that are references: of this configuration, or computed by a template. Other strings in the file are
/// ignored.
pub(super) fn known<'a>(written: &'a [String], sources: &[Source]) -> Vec<&'a str> {
    let is_known = |text: &&str| sources.iter().any(|source| source.written() == *text) || computed(text).is_some();
    written.iter().map(String::as_str).filter(is_known).collect()
}

/// Loads one value. `None` if it is no source of this configuration, its file is missing or malformed, or its time is
/// in the future.
pub(super) fn restore(
    folder: &Folder,
    written: WrittenSecret,
    sources: &[Source],
    now: Duration,
) -> Option<SavedValue> {
    let planned = sources.iter().find(|source| source.written() == written.source).cloned();
    let source = planned.or_else(|| computed(&written.source))?;
    let ends = written.ends.zip(written.ttl).map(|(ends, ttl)| ends.after(ttl));
    let end = written.ttl.filter(|_| !matches!(ends, Some(Ends::ReadEvery(_))));
    let is_over = end.is_some_and(|ttl| ends_soon(written.requested_at.saturating_add(ttl), now));
    let is_own_name = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if !written.value.strip_prefix(VALUE).is_some_and(is_own_name) || written.requested_at > now {
        return None;
    }
    let bytes = read(folder, &written.value).ok()??;
    let payload = match written.payload {
        WrittenPayload::Map => Payload::Map(SecretMap::from_json(bytes.expose()).ok()?),
        WrittenPayload::Whole => Payload::Whole(bytes),
    };
    let lease = match (written.lease.as_deref().and_then(LeaseId::parse), written.ttl) {
        (Some(id), Some(ttl)) => Some(Lease { id, ttl, renewable: written.renewable }),
        (None, _) => None,
        (Some(_), None) => return None,
    };
    let version = written.version.map(Version);
    let fetched = Fetched { payload, version, lease, ends, metadata: written.metadata.map(SecretBytes::from) };
    Some(SavedValue { source, fetched, requested_at: written.requested_at, is_over, file: written.value })
}

/// Renames the state file to [`UNUSABLE`], so that no later start reads it.
pub(super) fn put_aside(folder: &Folder) {
    if let Err(why) = folder.replace(STATE.as_ref(), UNUSABLE.as_ref())
        && why != Errno::ENOENT
    {
        debug!("cannot put the state aside: {}", reason(why));
    }
}

/// Reads a file of at most [`MOST_BYTES`]; `None` if it does not exist.
pub(super) fn read(folder: &Folder, name: &str) -> Result<Option<SecretBytes>, Errno> {
    let file = match folder.open_file(name.as_ref()) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(why) => return Err(why),
    };
    let mut bytes = Vec::new();
    match file.take(MOST_BYTES + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MOST_BYTES => Err(Errno::EFBIG),
        Ok(_) => Ok(Some(SecretBytes::new(bytes))),
        Err(error) => Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)),
    }
}
