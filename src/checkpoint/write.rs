//! The writer. What cannot be written is logged once: then the next start fetches everything again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use tracing::{debug, warn};

use crate::domain::{Ends, Fetched, Payload, SecretBytes, Source};
use crate::provider::vault::Origin;
use crate::sys::fs::{Errno, Folder};

use super::format::{
    BESIDE, FORMAT, STATE, UNUSABLE, VALUE, Written, WrittenEnds, WrittenPayload, WrittenSecret, WrittenToken, text,
};
use super::load::put_aside;
use super::{CheckpointKey, SavedToken, SavedValue};

/// The writer. What cannot be written is said once: then the next start fetches anew.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(super) folder: Folder,
    pub(super) key: CheckpointKey,
    pub(super) secrets: BTreeMap<Source, Entry>,
    /// Tokens of runs with other configurations, until they are revoked.
    pub(super) replaced: Vec<SavedToken>,
    pub(super) next: u64,
    pub(super) trouble: Option<Errno>,
    /// Whether it was said that there is no room for every value.
    pub(super) is_crowded: bool,
    /// Whether something changed since it was written down.
    pub(super) is_changed: bool,
}

/// Whether a value is in the next state that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: Option<String>,
    pub(super) lease: Option<String>,
    pub(super) renewable: bool,
    pub(super) ttl: Option<Duration>,
    pub(super) ends: Option<WrittenEnds>,
    pub(super) requested_at: Duration,
    pub(super) value: String,
    pub(super) size: usize,
    pub(super) payload: WrittenPayload,
    pub(super) metadata: Option<SecretBytes>,
}

impl Checkpoint {
    /// A writer into that folder.
    pub(crate) fn new(folder: &impl AsFd, key: CheckpointKey) -> Option<Self> {
        let folder = Folder::from(folder.as_fd().try_clone_to_owned().ok()?);
        let numbers = folder.names().ok()?.into_iter();
        let numbers = numbers.filter_map(|name| name.to_str()?.strip_prefix(VALUE)?.parse::<u64>().ok());
        let next = numbers.max().map_or(0, |last| last.saturating_add(1));
        let secrets = BTreeMap::new();
        Some(Self {
            folder,
            key,
            secrets,
            replaced: Vec::new(),
            next,
            trouble: None,
            is_crowded: false,
            is_changed: false,
        })
    }

    /// A new value, as it came. Mounted files are not kept: they are there to be read again.
    pub(crate) fn value(&mut self, source: &Source, fetched: &Fetched, requested_at: Duration) -> Kept {
        if matches!(source, Source::File(_)) {
            return Kept::No;
        }
        let text = text(&fetched.payload);
        let bytes = match &fetched.payload {
            Payload::Map(_) => text.expose(),
            Payload::Whole(bytes) => bytes.expose(),
        };
        let name = format!("{VALUE}{}", self.next);
        self.next = self.next.saturating_add(1);
        let entry = Entry::of(fetched, requested_at, name, bytes.len());
        self.is_changed = true;
        let mut put = self.put(&entry.value, &entry.value, bytes);
        if put.is_err() {
            // What it replaces is worth less.
            self.drop_value(source);
            put = self.put(&entry.value, &entry.value, bytes);
        }
        while put.is_err() && entry.is_bound() && self.make_room() {
            put = self.put(&entry.value, &entry.value, bytes);
        }
        match put {
            Ok(()) => {
                self.secrets.insert(source.clone(), entry);
                Kept::Yes
            }
            Err(why) if entry.is_bound() => {
                self.failed(why);
                Kept::No
            }
            Err(why) => {
                self.crowded(why);
                Kept::No
            }
        }
    }

    /// A value came again as it was: only what is known of it is new.
    pub(crate) fn unchanged(&mut self, source: &Source, fetched: &Fetched, requested_at: Duration) {
        match self.secrets.get_mut(source) {
            Some(entry) => {
                let (value, size) = (std::mem::take(&mut entry.value), entry.size);
                *entry = Entry::of(fetched, requested_at, value, size);
                self.is_changed |= entry.ttl.is_some();
            }
            None => _ = self.value(source, fetched, requested_at),
        }
    }

    /// A value of an earlier run goes on to be used; it is written already.
    pub(crate) fn resumed(&mut self, value: &SavedValue) {
        let size = match &value.fetched.payload {
            Payload::Map(_) => text(&value.fetched.payload).expose().len(),
            Payload::Whole(bytes) => bytes.expose().len(),
        };
        let entry = Entry::of(&value.fetched, value.requested_at, value.file.clone(), size);
        self.secrets.insert(value.source.clone(), entry);
        self.is_changed = true;
    }

    /// A lease was renewed.
    pub(crate) fn renewed(&mut self, source: &Source, ttl: Duration, renewable: bool, requested_at: Duration) {
        if let Some(entry) = self.secrets.get_mut(source) {
            (entry.ttl, entry.renewable, entry.requested_at) = (Some(ttl), renewable, requested_at);
            self.is_changed = true;
        }
    }

    /// The app uses what was issued under these until something newer is delivered: they are written down until they are revoked.
    pub(crate) fn replaces(&mut self, tokens: Vec<SavedToken>) {
        self.is_changed |= !tokens.is_empty();
        self.replaced.extend(tokens);
    }

    /// What it replaces, as far as that is not revoked.
    pub(crate) fn replaced(&self) -> &[SavedToken] {
        &self.replaced
    }

    /// What it replaces is revoked.
    pub(crate) fn has_replaced(&mut self) {
        self.is_changed |= !self.replaced.is_empty();
        self.replaced.clear();
    }

    /// There is a new token: leases of the old one die with it.
    pub(crate) fn logged_in(&mut self) {
        self.secrets.retain(|_, entry| !entry.is_bound());
        self.is_changed = true;
    }

    /// Whether what is written down is not what is known.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Writes the whole checkpoint. Without a token, values that depend on one are left out.
    pub(crate) fn write(&mut self, token: Option<&SavedToken>, under_way: Vec<String>) {
        self.is_changed = false;
        let token = token.filter(|saved_token| saved_token.token.origin == Origin::Login).and_then(WrittenToken::of);
        if token.is_none() {
            self.secrets.retain(|_, entry| !entry.is_bound());
            if self.secrets.is_empty() {
                return self.remove();
            }
        }
        let mut written = self.written(token, under_way);
        loop {
            written.secrets = self.secrets.iter().map(|(source, entry)| entry.written(source)).collect();
            let text = SecretBytes::new(serde_json::to_vec(&written).expect("texts and numbers are JSON"));
            match self.put(BESIDE, STATE, text.expose()) {
                Ok(()) => break,
                Err(_) if self.make_room() => {}
                Err(why) => {
                    // What is there says less than the truth by now.
                    self.forget();
                    return self.failed(why);
                }
            }
        }
        let is_value = |name: &str| self.secrets.values().any(|entry| entry.value == name);
        self.sweep(|name| is_value(name) || name == STATE || name == UNUSABLE);
    }

    /// Gives up the largest value that could be read again; `false` when there is none.
    pub(super) fn make_room(&mut self) -> bool {
        let unbound = self.secrets.iter().filter(|(_, entry)| !entry.is_bound());
        let Some(largest) = unbound.max_by_key(|(_, entry)| entry.size).map(|(source, _)| source.clone()) else {
            return false;
        };
        self.drop_value(&largest);
        self.crowded(Errno::ENOSPC);
        true
    }

    /// What is written may still name the file: a value that is not there is not taken up.
    pub(super) fn drop_value(&mut self, source: &Source) {
        if let Some(entry) = self.secrets.remove(source) {
            let _gone = self.folder.unlink(entry.value.as_ref());
        }
    }

    fn written(&self, token: Option<WrittenToken>, under_way: Vec<String>) -> Written {
        Written {
            format: FORMAT,
            boot: self.key.boot.clone(),
            config: self.key.config.clone(),
            address: self.key.address.clone(),
            token,
            secrets: Vec::new(),
            replaced: self.replaced.iter().filter_map(WrittenToken::of).collect(),
            under_way,
        }
    }

    /// The end of what this run had: nothing of it is left to take up. What it was to replace stays written down.
    pub(crate) fn remove(&self) {
        if self.replaced.is_empty() {
            return self.forget();
        }
        let text = serde_json::to_vec(&self.written(None, Vec::new())).expect("texts and numbers are JSON");
        match self.put(BESIDE, STATE, SecretBytes::new(text).expose()) {
            Ok(()) => self.sweep(|name| name == STATE),
            Err(_) => self.forget(),
        }
    }

    fn forget(&self) {
        let _gone = self.folder.unlink(STATE.as_ref());
        self.sweep(|_| false);
    }

    pub(super) fn crowded(&mut self, why: Errno) {
        if !std::mem::replace(&mut self.is_crowded, true) {
            warn!(
                "the state directory has no room for every value without a lease, so a restart in an outage would wait for \
                 the server: {}",
                why.desc()
            );
        }
    }

    pub(super) fn failed(&mut self, why: Errno) {
        if self.trouble.replace(why) != Some(why) {
            warn!("cannot write our state, so a restart would fetch everything anew: {}", why.desc());
        }
    }

    pub(super) fn put(&self, beside: &str, name: &str, bytes: &[u8]) -> Result<(), Errno> {
        match self.folder.unlink(beside.as_ref()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(why) => return Err(why),
        }
        let mut file = self.folder.create_file(beside.as_ref())?;
        if let Err(error) = file.write_all(bytes) {
            let _gone = self.folder.unlink(beside.as_ref());
            return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
        }
        if beside == name { Ok(()) } else { self.folder.replace(beside.as_ref(), name.as_ref()) }
    }

    /// Removes files of the checkpoint that are not needed any more.
    pub(super) fn sweep(&self, is_needed: impl Fn(&str) -> bool) {
        let names: Vec<OsString> = self.folder.names().unwrap_or_default();
        for name in names.iter().filter_map(|name| name.to_str()) {
            let is_own_name = [STATE, BESIDE, UNUSABLE].contains(&name) || name.starts_with(VALUE);
            if is_own_name
                && !is_needed(name)
                && let Err(why) = self.folder.unlink(name.as_ref())
            {
                debug!("cannot remove {name} from the state directory: {}", why.desc());
            }
        }
    }
}

/// Keeps the next start from the state that this one may have failed at.
impl Drop for Checkpoint {
    fn drop(&mut self) {
        if std::thread::panicking() {
            put_aside(&self.folder);
        }
    }
}

impl Entry {
    pub(super) fn of(fetched: &Fetched, requested_at: Duration, value: String, size: usize) -> Self {
        let lease = fetched.lease.as_ref();
        Self {
            version: fetched.version.as_ref().map(|version| version.0.clone()),
            lease: lease.map(|lease| lease.id.as_str().to_owned()),
            renewable: lease.is_some_and(|lease| lease.renewable),
            ttl: lease.map(|lease| lease.ttl).or(fetched.ends.map(Ends::after)),
            ends: fetched.ends.map(WrittenEnds::of),
            requested_at,
            value,
            size,
            payload: match fetched.payload {
                Payload::Map(_) => WrittenPayload::Map,
                Payload::Whole(_) => WrittenPayload::Whole,
            },
            metadata: fetched.metadata.as_ref().map(|metadata| SecretBytes::copy_of(metadata.expose())),
        }
    }

    /// Whether it dies with the token that it was requested with.
    pub(super) fn is_bound(&self) -> bool {
        self.lease.is_some() || matches!(self.ends, Some(WrittenEnds::WithToken))
    }

    pub(super) fn written(&self, source: &Source) -> WrittenSecret {
        WrittenSecret {
            source: source.written(),
            version: self.version.clone(),
            lease: self.lease.clone(),
            renewable: self.renewable,
            ttl: self.ttl,
            ends: self.ends,
            requested_at: self.requested_at,
            value: self.value.clone(),
            payload: self.payload,
            metadata: self.metadata.as_ref().and_then(SecretBytes::expose_text).map(str::to_owned),
        }
    }
}
