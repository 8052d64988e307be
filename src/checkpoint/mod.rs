//! What a restarted sidecar takes up: written into the state directory, which is on memory, before each issue and after
//! each answer, and removed at an orderly end.
//!
//! ```text
//! state.json       format, boot, configuration, our token, of each value its lease, its version and its life
//! state.value-N    one value, written once
//! ```
//!
//! Values without a lease are kept so that a restart in an outage can deliver them. Where room is scarce, the token and the
//! leases come first: values that could be read again give way, the largest first.

#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))] // lives and dates are what others name: sums of them saturate

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use ring::digest;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::domain::{Ends, Fetched, Lease, LeaseId, Payload, SecretBytes, SecretMap, SecretValue, Source, Version};
use crate::provider::vault::{Origin, Token, TokenKind, Vault};
use crate::sys::fs::{Errno, Folder};

const FORMAT: u32 = 2;
const STATE: &str = "state.json";
const BESIDE: &str = "state.json.new";
/// A state that could not be used, or with which a run ended by a bug: never read again.
const UNUSABLE: &str = "state.json.unusable";
const VALUE: &str = "state.value-";
/// What ends this soon is not taken up.
const MARGIN: Duration = Duration::from_secs(2);
/// No state of ours is larger.
const MOST_BYTES: u64 = 8 << 20;

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    boot: String,
    config: String,
    address: String,
    /// `None`: not logged in, or with a token that is not ours to keep.
    token: Option<WrittenToken>,
    secrets: Vec<WrittenSecret>,
    /// What was being issued when this was written: an answer may have been lost.
    under_way: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    secret: String,
    accessor: Option<String>,
    requested_at: Duration,
    ttl: Option<Duration>,
    renewable: bool,
    is_batch: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    source: String,
    version: Option<String>,
    lease: Option<String>,
    renewable: bool,
    /// `None`: the value has no end that is known.
    ttl: Option<Duration>,
    ends: Option<WrittenEnds>,
    requested_at: Duration,
    value: String,
    payload: WrittenPayload,
}

/// What is in the file of a value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum WrittenPayload {
    /// A JSON object.
    Map,
    /// The value's own bytes.
    Whole,
}

/// [`Ends`] without its duration.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum WrittenEnds {
    Expires,
    WithToken,
    Rotates,
}

impl WrittenEnds {
    fn of(ends: Ends) -> Self {
        match ends {
            Ends::Expires(_) => Self::Expires,
            Ends::WithToken(_) => Self::WithToken,
            Ends::Rotates(_) => Self::Rotates,
        }
    }

    fn after(self, ttl: Duration) -> Ends {
        match self {
            Self::Expires => Ends::Expires(ttl),
            Self::WithToken => Ends::WithToken(ttl),
            Self::Rotates => Ends::Rotates(ttl),
        }
    }
}

/// What is needed to know that a state is ours.
#[derive(Debug, Clone)]
pub(crate) struct CheckpointKey {
    boot: String,
    config: String,
    address: String,
}

impl CheckpointKey {
    /// Of this boot, this program and this configuration. `None` where nothing is kept: with a local file, or no boot id.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        if config.local.is_some() {
            return None;
        }
        let address = config.vault.as_ref().map_or_else(String::new, |vault| vault.address.clone());
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        // An init container that leaves its leases differs in nothing else from the sidecar that takes them up.
        let config = Config { leave_leases: false, ..config.clone() };
        let text = format!("{} {config:?}", env!("CARGO_PKG_VERSION"));
        let config = digest::digest(&digest::SHA256, text.as_bytes());
        let config = config.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { boot: boot.trim().to_owned(), config, address })
    }
}

/// A token of an earlier run.
#[derive(Debug)]
pub(crate) struct SavedToken {
    pub(crate) secret: SecretBytes,
    pub(crate) token: Token,
    pub(crate) requested_at: Duration,
}

impl SavedToken {
    /// The one that `vault` holds, asked for at `asked`; `None` when it is not ours to keep.
    pub(crate) fn of(vault: &Vault, requested_at: Duration) -> Option<Self> {
        let token = vault.token().filter(|token| token.origin == Origin::Ours)?;
        Some(Self { secret: vault.copy_token()?, token, requested_at })
    }
}

/// A value of an earlier run.
#[derive(Debug)]
pub(crate) struct SavedValue {
    pub(crate) source: Source,
    pub(crate) fetched: Fetched,
    /// When it was requested, or last renewed.
    pub(crate) requested_at: Duration,
    /// The file that has it.
    file: String,
}

impl SavedValue {
    /// Whether it dies with the token that it was requested with.
    pub(crate) fn is_bound(&self) -> bool {
        self.fetched.lease.is_some() || matches!(self.fetched.ends, Some(Ends::WithToken(_)))
    }
}

/// What an earlier run left.
#[derive(Debug)]
pub(crate) enum LoadedCheckpoint {
    Nothing,
    /// To be taken up: the token, if it lives, and the values. Without a token none of them is bound to one.
    Ours(Option<SavedToken>, Vec<SavedValue>),
    /// Not to be taken up, but the token can be revoked.
    Stale(SavedToken),
}

/// Reads what an earlier run left. Whatever cannot be used is refused with one line.
pub(crate) fn find(folder: &Folder, key: &CheckpointKey, sources: &[Source], now: Duration) -> LoadedCheckpoint {
    let bytes = match read(folder, STATE) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return LoadedCheckpoint::Nothing,
        Err(why) => {
            warn!(
                "what an earlier run left cannot be read, so it is put aside as {UNUSABLE} and everything is fetched anew: {}",
                why.desc()
            );
            put_aside(folder);
            return LoadedCheckpoint::Nothing;
        }
    };
    // serde's own messages quote what they read.
    let Ok(written) = serde_json::from_slice::<Written>(bytes.expose()) else {
        warn!(
            "what an earlier run left is damaged or of another version, so it is put aside as {UNUSABLE} and everything is \
             fetched anew"
        );
        put_aside(folder);
        return LoadedCheckpoint::Nothing;
    };
    let token = written.token.map(|token| SavedToken {
        secret: SecretBytes::from(token.secret),
        requested_at: token.requested_at,
        token: Token {
            accessor: token.accessor,
            ttl: token.ttl,
            renewable: token.renewable,
            kind: if token.is_batch { TokenKind::Batch } else { TokenKind::Service },
            origin: Origin::Ours,
            uses: None,
        },
    });
    let why = match () {
        () if written.format != FORMAT => Some("of another format"),
        // A token goes to no other server than the one it is of.
        () if written.address != key.address => {
            warn!("what an earlier run left is of another server, so everything is fetched anew");
            return LoadedCheckpoint::Nothing;
        }
        () if written.boot != key.boot => Some("of another boot"),
        () if written.config != key.config => Some("of another configuration"),
        () if token.as_ref().is_some_and(|token| token.requested_at > now) => Some("of another clock"),
        () => None,
    };
    if let Some(why) = why {
        warn!("what an earlier run left is {why}, so everything is fetched anew");
        return token.map_or(LoadedCheckpoint::Nothing, LoadedCheckpoint::Stale);
    }
    if !written.under_way.is_empty() {
        info!("an answer was under way when the earlier run ended: {}", written.under_way.join(", "));
    }
    let is_over =
        |token: &SavedToken| token.token.ttl.is_some_and(|ttl| ends_soon(token.requested_at.saturating_add(ttl), now));
    if token.as_ref().is_some_and(is_over) {
        info!("the token that an earlier run left has ended, and with it its leases");
    }
    let (token, ended) = if token.as_ref().is_some_and(is_over) { (None, token) } else { (token, None) };
    let values = written.secrets.into_iter().filter_map(|secret| restore(folder, secret, sources, now));
    let values: Vec<_> = values.filter(|value| token.is_some() || !value.is_bound()).collect();
    if token.is_some() || !values.is_empty() {
        return LoadedCheckpoint::Ours(token, values);
    }
    // What is left of it, should the server's clock differ, is not left behind.
    ended.map_or(LoadedCheckpoint::Nothing, LoadedCheckpoint::Stale)
}

/// Whether what ends then is not worth taking up.
fn ends_soon(end: Duration, now: Duration) -> bool {
    end < now.saturating_add(MARGIN)
}

fn restore(folder: &Folder, written: WrittenSecret, sources: &[Source], now: Duration) -> Option<SavedValue> {
    let source = sources.iter().find(|source| source.written() == written.source)?.clone();
    let is_over = written.ttl.is_some_and(|ttl| ends_soon(written.requested_at.saturating_add(ttl), now));
    if !written.value.starts_with(VALUE) || written.requested_at > now || is_over {
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
    let ends = written.ends.zip(written.ttl).map(|(ends, ttl)| ends.after(ttl));
    let version = written.version.map(Version);
    let fetched = Fetched { payload, version, lease, ends };
    Some(SavedValue { source, fetched, requested_at: written.requested_at, file: written.value })
}

/// The writer. What cannot be written is said once: then the next start fetches anew.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    folder: Folder,
    key: CheckpointKey,
    secrets: BTreeMap<Source, Entry>,
    next: u64,
    trouble: Option<Errno>,
    /// Whether it was said that there is no room for every value.
    is_crowded: bool,
    /// Whether something changed since it was written down.
    is_changed: bool,
}

/// Whether a value is in the next state that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

#[derive(Debug)]
struct Entry {
    version: Option<String>,
    lease: Option<String>,
    renewable: bool,
    ttl: Option<Duration>,
    ends: Option<WrittenEnds>,
    requested_at: Duration,
    value: String,
    size: usize,
    payload: WrittenPayload,
}

impl Checkpoint {
    /// A writer into that folder.
    pub(crate) fn new(folder: &impl AsFd, key: CheckpointKey) -> Option<Self> {
        let folder = Folder::from(folder.as_fd().try_clone_to_owned().ok()?);
        let numbers = folder.names().ok()?.into_iter();
        let numbers = numbers.filter_map(|name| name.to_str()?.strip_prefix(VALUE)?.parse::<u64>().ok());
        let next = numbers.max().map_or(0, |last| last.saturating_add(1));
        let secrets = BTreeMap::new();
        Some(Self { folder, key, secrets, next, trouble: None, is_crowded: false, is_changed: false })
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

    /// There is a new token: leases of the old one die with it.
    pub(crate) fn logged_in(&mut self) {
        self.secrets.retain(|_, entry| !entry.is_bound());
        self.is_changed = true;
    }

    /// Whether what is written down is not what is known.
    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Writes it down, whole. Without a token of ours, what is bound to one is left out.
    pub(crate) fn write(&mut self, token: Option<&SavedToken>, under_way: Vec<String>) {
        self.is_changed = false;
        let token = token.filter(|saved_token| saved_token.token.origin == Origin::Ours).and_then(WrittenToken::of);
        if token.is_none() {
            self.secrets.retain(|_, entry| !entry.is_bound());
            if self.secrets.is_empty() {
                return self.remove();
            }
        }
        let mut written = Written {
            format: FORMAT,
            boot: self.key.boot.clone(),
            config: self.key.config.clone(),
            address: self.key.address.clone(),
            token,
            secrets: Vec::new(),
            under_way,
        };
        loop {
            written.secrets = self.secrets.iter().map(|(source, entry)| entry.written(source)).collect();
            let text = SecretBytes::new(serde_json::to_vec(&written).expect("texts and numbers are JSON"));
            match self.put(BESIDE, STATE, text.expose()) {
                Ok(()) => break,
                Err(_) if self.make_room() => {}
                Err(why) => {
                    // What is there says less than the truth by now.
                    self.remove();
                    return self.failed(why);
                }
            }
        }
        let is_value = |name: &str| self.secrets.values().any(|entry| entry.value == name);
        self.sweep(|name| is_value(name) || name == STATE || name == UNUSABLE);
    }

    /// Gives up the largest value that could be read again; `false` when there is none.
    fn make_room(&mut self) -> bool {
        let unbound = self.secrets.iter().filter(|(_, entry)| !entry.is_bound());
        let Some(largest) = unbound.max_by_key(|(_, entry)| entry.size).map(|(source, _)| source.clone()) else {
            return false;
        };
        self.drop_value(&largest);
        self.crowded(Errno::ENOSPC);
        true
    }

    /// What is written may still name the file: a value that is not there is not taken up.
    fn drop_value(&mut self, source: &Source) {
        if let Some(entry) = self.secrets.remove(source) {
            let _gone = self.folder.unlink(entry.value.as_ref());
        }
    }

    /// The orderly end: nothing is left to take up.
    pub(crate) fn remove(&self) {
        let _gone = self.folder.unlink(STATE.as_ref());
        self.sweep(|_| false);
    }

    fn crowded(&mut self, why: Errno) {
        if !std::mem::replace(&mut self.is_crowded, true) {
            warn!(
                "the state directory has no room for every value without a lease, so a restart in an outage would wait for \
                 the server: {}",
                why.desc()
            );
        }
    }

    fn failed(&mut self, why: Errno) {
        if self.trouble.replace(why) != Some(why) {
            warn!("cannot write our state, so a restart would fetch everything anew: {}", why.desc());
        }
    }

    fn put(&self, beside: &str, name: &str, bytes: &[u8]) -> Result<(), Errno> {
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

    /// Removes what is ours and not needed any more.
    fn sweep(&self, is_needed: impl Fn(&str) -> bool) {
        let names: Vec<OsString> = self.folder.names().unwrap_or_default();
        for name in names.iter().filter_map(|name| name.to_str()) {
            let is_ours = [STATE, BESIDE, UNUSABLE].contains(&name) || name.starts_with(VALUE);
            if is_ours
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

/// Renames the state, so that no later start reads it.
fn put_aside(folder: &Folder) {
    if let Err(why) = folder.replace(STATE.as_ref(), UNUSABLE.as_ref())
        && why != Errno::ENOENT
    {
        debug!("cannot put the state aside: {}", why.desc());
    }
}

impl WrittenToken {
    fn of(saved: &SavedToken) -> Option<Self> {
        Some(Self {
            secret: saved.secret.expose_text()?.to_owned(),
            accessor: saved.token.accessor.clone(),
            requested_at: saved.requested_at,
            ttl: saved.token.ttl,
            renewable: saved.token.renewable,
            is_batch: saved.token.kind == TokenKind::Batch,
        })
    }
}

impl Entry {
    fn of(fetched: &Fetched, requested_at: Duration, value: String, size: usize) -> Self {
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
        }
    }

    /// Whether it dies with the token that it was requested with.
    fn is_bound(&self) -> bool {
        self.lease.is_some() || matches!(self.ends, Some(WrittenEnds::WithToken))
    }

    fn written(&self, source: &Source) -> WrittenSecret {
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
        }
    }
}

/// A map as it came: texts quoted, everything else as it was written.
fn text(payload: &Payload) -> SecretBytes {
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

fn read(folder: &Folder, name: &str) -> Result<Option<SecretBytes>, Errno> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::SecretRef;

    fn place() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let shm = Folder::root().unwrap().pass("dev".as_ref()).unwrap().pass("shm".as_ref()).unwrap();
        let folder = shm.open(dir.path().file_name().unwrap()).unwrap();
        (dir, folder)
    }

    fn key(config: &str) -> CheckpointKey {
        CheckpointKey { boot: "boot".into(), config: config.into(), address: "https://a:8200".into() }
    }

    fn source() -> Source {
        SecretRef::parse("vault:database/creds/web", &BTreeMap::new()).unwrap().source
    }

    fn token() -> SavedToken {
        SavedToken {
            secret: SecretBytes::from("s.canary".to_owned()),
            token: Token {
                accessor: Some("acc".into()),
                ttl: Some(Duration::from_secs(600)),
                renewable: true,
                kind: TokenKind::Service,
                origin: Origin::Ours,
                uses: None,
            },
            requested_at: Duration::from_secs(100),
        }
    }

    fn lease(json: &str) -> Fetched {
        let payload = Payload::Map(SecretMap::from_json(json.as_bytes()).unwrap());
        let id = LeaseId::parse("database/creds/web/abc").unwrap();
        let lease = Some(Lease { id, ttl: Duration::from_secs(60), renewable: true });
        Fetched { payload, version: None, lease, ends: None }
    }

    fn now(seconds: u64) -> Duration {
        Duration::from_secs(100 + seconds)
    }

    #[test]
    fn what_is_written_is_taken_up_exactly() {
        let (_dir, folder) = place();
        let json = r#"{"username":"a\"b","n":1.50,"o":{"x":null}}"#;
        let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
        saved.value(&source(), &lease(json), now(0));
        saved.write(Some(&token()), vec![]);
        let LoadedCheckpoint::Ours(token, secrets) = find(&folder, &key("c"), &[source()], now(10)) else {
            panic!("not taken up")
        };
        let saved_token = token.as_ref().unwrap();
        assert_eq!((saved_token.secret.expose(), saved_token.requested_at), (&b"s.canary"[..], now(0)));
        let SavedValue { fetched, requested_at, .. } = &secrets[0];
        assert_eq!(*requested_at, now(0));
        assert_eq!(fetched.lease.as_ref().unwrap().id.as_str(), "database/creds/web/abc");
        assert_eq!(fetched.payload.value("n").unwrap().raw().expose(), b"1.50");
        assert_eq!(fetched.payload.value("username").unwrap().raw().expose(), b"a\"b");
        saved.remove();
        assert!(folder.names().unwrap().is_empty());
    }

    #[test]
    fn lives_without_end_are_taken_up_and_a_clock_at_its_end_is_stale() {
        let (_dir, folder) = place();
        let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
        let mut endless = lease("{}");
        endless.lease.as_mut().unwrap().ttl = Duration::MAX;
        saved.value(&source(), &endless, now(0));
        let mut token = token();
        token.token.ttl = Some(Duration::MAX);
        saved.write(Some(&token), vec![]);
        assert!(
            matches!(find(&folder, &key("c"), &[source()], now(1)), LoadedCheckpoint::Ours(_, secrets) if secrets.len() == 1)
        );
        assert!(!matches!(find(&folder, &key("c"), &[source()], Duration::MAX), LoadedCheckpoint::Stale(_)));
        token.requested_at = Duration::MAX;
        saved.write(Some(&token), vec![]);
        assert!(matches!(find(&folder, &key("c"), &[source()], now(1)), LoadedCheckpoint::Stale(_)));
    }

    #[test]
    fn a_state_that_cannot_be_used_is_put_aside_and_so_is_one_that_a_bug_ended_with() {
        let (dir, folder) = place();
        let aside = || dir.path().join(UNUSABLE).exists() && !dir.path().join(STATE).exists();
        std::fs::write(dir.path().join(STATE), r#"{"format":1,"token":{"ttl":{"secs":-1}}}"#).unwrap();
        assert!(matches!(find(&folder, &key("c"), &[source()], now(1)), LoadedCheckpoint::Nothing) && aside());
        std::fs::create_dir(dir.path().join(STATE)).unwrap();
        std::fs::remove_file(dir.path().join(UNUSABLE)).unwrap();
        assert!(matches!(find(&folder, &key("c"), &[source()], now(1)), LoadedCheckpoint::Nothing) && aside());
        std::fs::remove_dir(dir.path().join(UNUSABLE)).unwrap();
        let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
        saved.write(Some(&token()), vec![]);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = saved;
            panic!("a bug");
        }));
        assert!(ended.is_err() && aside());
        Checkpoint::new(&folder, key("c")).unwrap().remove();
        assert!(folder.names().unwrap().is_empty());
    }

    #[test]
    fn another_boot_config_server_or_a_damaged_file_is_refused() {
        let (_dir, folder) = place();
        let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
        saved.value(&source(), &lease("{}"), now(0));
        saved.write(Some(&token()), vec![]);
        let found = |key: &CheckpointKey, at| find(&folder, key, &[source()], at);
        assert!(matches!(found(&key("other"), now(1)), LoadedCheckpoint::Stale(_)));
        assert!(matches!(found(&CheckpointKey { boot: "x".into(), ..key("c") }, now(1)), LoadedCheckpoint::Stale(_)));
        assert!(matches!(found(&CheckpointKey { address: "x".into(), ..key("c") }, now(1)), LoadedCheckpoint::Nothing));
        assert!(
            matches!(found(&key("c"), now(700)), LoadedCheckpoint::Stale(_)),
            "a token that ended, and its lease with it"
        );
        assert!(
            matches!(found(&key("c"), Duration::from_secs(99)), LoadedCheckpoint::Stale(_)),
            "a token of the future"
        );
        assert!(
            matches!(found(&key("c"), now(59)), LoadedCheckpoint::Ours(_, secrets) if secrets.is_empty()),
            "a lease that ends"
        );
        let whole = read(&folder, STATE).unwrap().unwrap();
        for length in [0, 1, 50, whole.expose().len() - 1] {
            saved.put(BESIDE, STATE, &whole.expose()[..length]).unwrap();
            assert!(matches!(found(&key("c"), now(1)), LoadedCheckpoint::Nothing), "cut at {length}");
        }
    }

    #[test]
    fn the_values_of_replaced_leases_are_removed() {
        let (_dir, folder) = place();
        let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
        for _ in 0..3 {
            saved.value(&source(), &lease("{}"), now(0));
            saved.write(Some(&token()), vec![]);
        }
        let mut names: Vec<_> = folder.names().unwrap();
        names.sort();
        assert_eq!(names, ["state.json", "state.value-2"]);
    }

    fn plain(payload: Payload) -> Fetched {
        Fetched { payload, version: Some(Version("7".into())), lease: None, ends: None }
    }

    fn reference(text: &str) -> Source {
        SecretRef::parse(text, &BTreeMap::new()).unwrap().source
    }

    #[test]
    fn values_without_a_lease_need_no_token_and_those_with_one_do() {
        let (_dir, folder) = place();
        let (kv, whole) = (reference("vault:secret/data/a"), reference("aws-sm:a"));
        let sources = [source(), kv.clone(), whole.clone()];
        let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
        saved.value(&source(), &lease("{}"), now(0));
        saved.value(&kv, &plain(Payload::Map(SecretMap::from_json(b"{\"k\":1.50}").unwrap())), now(0));
        saved.value(&whole, &plain(Payload::Whole(SecretBytes::new(vec![0, 255, 10]))), now(0));
        saved.write(Some(&token()), vec![]);
        let ended = find(&folder, &key("c"), &sources, now(700));
        assert!(
            matches!(ended, LoadedCheckpoint::Ours(None, values) if values.len() == 2),
            "the token and its lease have ended"
        );
        saved.write(None, vec![]);
        let LoadedCheckpoint::Ours(None, values) = find(&folder, &key("c"), &sources, now(1)) else {
            panic!("not taken up")
        };
        let of = |source: &Source| values.iter().find(|value| value.source == *source);
        assert!(of(&source()).is_none());
        assert_eq!(of(&kv).unwrap().fetched.payload.value("k").unwrap().raw().expose(), b"1.50");
        let Fetched { payload: Payload::Whole(bytes), version, lease: None, ends: None } = &of(&whole).unwrap().fetched
        else {
            panic!("not whole")
        };
        assert_eq!((bytes.expose(), version.as_ref().unwrap().0.as_str()), (&[0, 255, 10][..], "7"));
    }

    #[test]
    fn a_value_that_comes_again_is_not_written_again_and_neither_is_one_that_is_taken_up() {
        let (_dir, folder) = place();
        let (kv, mut saved) = (reference("vault:secret/data/a"), Checkpoint::new(&folder, key("c")).unwrap());
        let value = || plain(Payload::Map(SecretMap::from_json(b"{}").unwrap()));
        saved.value(&kv, &value(), now(0));
        saved.write(None, vec![]);
        saved.unchanged(&kv, &value(), now(60));
        assert!(!saved.is_changed(), "nothing that a restart needs has changed");
        let LoadedCheckpoint::Ours(None, values) = find(&folder, &key("c"), std::slice::from_ref(&kv), now(61)) else {
            panic!("nothing")
        };
        let mut next = Checkpoint::new(&folder, key("c")).unwrap();
        next.resumed(&values[0]);
        next.write(None, vec![]);
        let mut names = folder.names().unwrap();
        names.sort();
        assert_eq!(names, ["state.json", "state.value-0"]);
        assert!(
            matches!(find(&folder, &key("c"), &[kv], now(62)), LoadedCheckpoint::Ours(None, values) if values.len() == 1)
        );
    }
}
