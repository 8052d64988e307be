//! Writes the checkpoint. A write failure is logged once; the next start then fetches everything again.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Duration;

use tracing::{debug, warn};

use crate::domain::{Ends, Fetched, Payload, SecretBytes, Source};
use crate::provider::vault::Origin;
use crate::sys::fs::{Errno, Folder, reason};

use super::format::{
    BESIDE, FORMAT, STATE, UNUSABLE, VALUE, Written, WrittenEnds, WrittenPayload, WrittenSecret, WrittenToken, text,
};
use super::load::put_aside;
use super::{CheckpointKey, SavedToken, SavedValue};

/// The checkpoint being written. A write failure is logged once; the next start then fetches everything again.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    pub(super) folder: Folder,
    pub(super) key: CheckpointKey,
    pub(super) secrets: BTreeMap<Source, Entry>,
    /// Tokens of runs with other configurations, until they are revoked.
    pub(super) replaced: Vec<SavedToken>,
    /// The number of the next value file.
    pub(super) next: u64,
    /// The last write failure, logged already.
    pub(super) trouble: Option<Errno>,
    /// Whether it was logged that there is no space for every value.
    pub(super) is_crowded: bool,
    /// Whether something has changed since the last write.
    pub(super) is_changed: bool,
}

/// Whether a value will be part of the next state that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

/// What is known of a value whose file is written.
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
    /// A writer into `folder`; `None` if the folder cannot be read.
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

    /// Writes a new value to a file of its own. Values of mounted files are not kept, because they can be read again.
    /// Where space is short, values that can be read again are dropped for one that depends on a token.
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
            // Drop the older value of this source to make room.
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
                self.log_no_space(why);
                Kept::No
            }
        }
    }

    /// Records that a value was fetched again unchanged: its TTL and lease may be new.
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

    /// Records that a value of an earlier run stays in use; its file exists already.
    pub(crate) fn resumed(&mut self, value: &SavedValue) {
        let size = match &value.fetched.payload {
            Payload::Map(_) => text(&value.fetched.payload).expose().len(),
            Payload::Whole(bytes) => bytes.expose().len(),
        };
        let entry = Entry::of(&value.fetched, value.requested_at, value.file.clone(), size);
        self.secrets.insert(value.source.clone(), entry);
        self.is_changed = true;
    }

    /// Records the renewal of a lease.
    pub(crate) fn renewed(&mut self, source: &Source, ttl: Duration, renewable: bool, requested_at: Duration) {
        if let Some(entry) = self.secrets.get_mut(source) {
            (entry.ttl, entry.renewable, entry.requested_at) = (Some(ttl), renewable, requested_at);
            self.is_changed = true;
        }
    }

    /// Adds tokens of other configurations, under which values were issued that the app still uses: kept in the state
    /// until they are revoked.
    pub(crate) fn add_replaced(&mut self, tokens: Vec<SavedToken>) {
        self.is_changed |= !tokens.is_empty();
        self.replaced.extend(tokens);
    }

    /// The tokens of other configurations that are not revoked yet.
    pub(crate) fn replaced(&self) -> &[SavedToken] {
        &self.replaced
    }

    /// Forgets the tokens of other configurations: they are revoked.
    pub(crate) fn forget_replaced(&mut self) {
        self.is_changed |= !self.replaced.is_empty();
        self.replaced.clear();
    }

    /// Drops the values that depend on the old token, after a new login.
    pub(crate) fn logged_in(&mut self) {
        self.secrets.retain(|_, entry| !entry.is_bound());
        self.is_changed = true;
    }

    /// Whether something has changed since the last write.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Writes the state file, with `under_way` as the requests that may still issue something, and removes unneeded
    /// files. Without a token, values that depend on one are left out; without anything to resume, the checkpoint is
    /// removed.
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
                    // The old state is out of date by now: remove it.
                    self.forget();
                    return self.failed(why);
                }
            }
        }
        let is_value = |name: &str| self.secrets.values().any(|entry| entry.value == name);
        self.sweep(|name| is_value(name) || name == STATE || name == UNUSABLE);
    }

    /// Drops the largest value that can be read again; `false` if there is none.
    pub(super) fn make_room(&mut self) -> bool {
        let unbound = self.secrets.iter().filter(|(_, entry)| !entry.is_bound());
        let Some(largest) = unbound.max_by_key(|(_, entry)| entry.size).map(|(source, _)| source.clone()) else {
            return false;
        };
        self.drop_value(&largest);
        self.log_no_space(Errno::ENOSPC);
        true
    }

    /// Drops a value and its file. A state on disk that still names the file is harmless: a value without its file is
    /// not resumed.
    pub(super) fn drop_value(&mut self, source: &Source) {
        if let Some(entry) = self.secrets.remove(source) {
            let _gone = self.folder.unlink(entry.value.as_ref());
        }
    }

    /// The state to be written, still without the values.
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

    /// Removes the checkpoint after an orderly end, so that the next start resumes nothing. Tokens of other
    /// configurations that are not revoked yet stay recorded.
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

    /// Removes the state file and all files of values.
    fn forget(&self) {
        let _gone = self.folder.unlink(STATE.as_ref());
        self.sweep(|_| false);
    }

    /// Logs once that there is no space for every value.
    pub(super) fn log_no_space(&mut self, why: Errno) {
        if !std::mem::replace(&mut self.is_crowded, true) {
            warn!(
                "the state directory has no room for every value without a lease, so a restart in an outage would wait for \
                 the server: {}",
                reason(why)
            );
        }
    }

    /// Logs a write failure, once for each error code.
    pub(super) fn failed(&mut self, why: Errno) {
        if self.trouble.replace(why) != Some(why) {
            warn!("cannot write our state, so a restart would fetch everything anew: {}", reason(why));
        }
    }

    /// Writes a file under the name `beside` and renames it to `name`, so that `name` is never incomplete.
    pub(super) fn put(&self, beside: &str, name: &str, bytes: &[u8]) -> Result<(), Errno> {
        match self.folder.unlink(beside.as_ref()) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(why) => return Err(why),
        }
        let mut file = self.folder.create_file(beside.as_ref(), 0o600)?;
        if let Err(error) = file.write_all(bytes) {
            let _gone = self.folder.unlink(beside.as_ref());
            return Err(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw));
        }
        if beside == name { Ok(()) } else { self.folder.replace(beside.as_ref(), name.as_ref()) }
    }

    /// Removes the files of the checkpoint that are not needed any more. Failures are logged at debug.
    pub(super) fn sweep(&self, is_needed: impl Fn(&str) -> bool) {
        let names: Vec<OsString> = self.folder.names().unwrap_or_default();
        for name in names.iter().filter_map(|name| name.to_str()) {
            let is_own_name = [STATE, BESIDE, UNUSABLE].contains(&name) || name.starts_with(VALUE);
            if is_own_name
                && !is_needed(name)
                && let Err(why) = self.folder.unlink(name.as_ref())
            {
                debug!("cannot remove {name} from the state directory: {}", reason(why));
            }
        }
    }
}

/// After a panic, keeps the next start from the state that may have caused it.
impl Drop for Checkpoint {
    fn drop(&mut self) {
        if std::thread::panicking() {
            put_aside(&self.folder);
        }
    }
}

impl Entry {
    /// The entry of a fetched value whose file `value` has `size` bytes.
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

    /// Whether the value ends with the token that it was requested with.
    pub(super) fn is_bound(&self) -> bool {
        self.lease.is_some() || matches!(self.ends, Some(WrittenEnds::WithToken))
    }

    /// The entry in the format of the file.
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
