//! What a restarted sidecar takes up: written into the state directory, which is on memory, before each issue and after
//! each answer, and removed at an orderly end.
//!
//! ```text
//! state.json       format, boot, configuration, our token, of each lease its name and its life
//! state.value-N    the value of one lease, written once
//! ```

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
use crate::domain::{Ends, Fetched, Lease, LeaseId, Payload, SecretBytes, SecretMap, SecretValue, Source};
use crate::provider::vault::{Origin, Token, TokenKind, Vault};
use crate::sys::fs::{Errno, Folder};

const FORMAT: u32 = 1;
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
    token: WrittenToken,
    secrets: Vec<WrittenSecret>,
    /// What was being issued when this was written: an answer may have been lost.
    under_way: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenToken {
    secret: String,
    accessor: Option<String>,
    asked: Duration,
    ttl: Option<Duration>,
    renewable: bool,
    is_batch: bool,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSecret {
    source: String,
    lease: Option<String>,
    renewable: bool,
    ttl: Duration,
    ends: Option<WrittenEnds>,
    asked: Duration,
    value: String,
}

/// [`Ends`] without its duration.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum WrittenEnds {
    Expires,
    WithToken,
}

impl WrittenEnds {
    fn of(ends: Ends) -> Option<Self> {
        match ends {
            Ends::Expires(_) => Some(Self::Expires),
            Ends::WithToken(_) => Some(Self::WithToken),
            Ends::Rotates(_) => None,
        }
    }

    fn after(self, ttl: Duration) -> Ends {
        match self {
            Self::Expires => Ends::Expires(ttl),
            Self::WithToken => Ends::WithToken(ttl),
        }
    }
}

/// What is needed to know that a state is ours.
#[derive(Debug, Clone)]
pub(crate) struct Marks {
    boot: String,
    config: String,
    address: String,
}

impl Marks {
    /// Of this boot, this program and this configuration. `None` where nothing is worth keeping: no login, or no boot id.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        let address = config.vault.as_ref().filter(|_| config.local.is_none())?.address.clone();
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
    pub(crate) asked: Duration,
}

impl SavedToken {
    /// The one that `vault` holds, asked for at `asked`; `None` when it is not ours to keep.
    pub(crate) fn of(vault: &Vault, asked: Duration) -> Option<Self> {
        let token = vault.token().filter(|token| token.origin == Origin::Ours)?;
        Some(Self { secret: vault.copy_token()?, token, asked })
    }
}

/// What an earlier run left.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// To be taken up: the token, and what was asked for when.
    Ours(SavedToken, Vec<(Source, Fetched, Duration)>),
    /// Not to be taken up, but the token can be revoked.
    Stale(SavedToken),
}

/// Reads what an earlier run left. Whatever cannot be used is refused with one line.
pub(crate) fn find(folder: &Folder, marks: &Marks, sources: &[Source], now: Duration) -> Found {
    let bytes = match read(folder, STATE) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Found::Nothing,
        Err(why) => {
            warn!(
                "what an earlier run left cannot be read, so it is put aside as {UNUSABLE} and everything is fetched anew: {}",
                why.desc()
            );
            put_aside(folder);
            return Found::Nothing;
        }
    };
    // serde's own messages quote what they read.
    let Ok(written) = serde_json::from_slice::<Written>(bytes.expose()) else {
        warn!(
            "what an earlier run left is damaged or of another version, so it is put aside as {UNUSABLE} and everything is \
             fetched anew"
        );
        put_aside(folder);
        return Found::Nothing;
    };
    let token = SavedToken {
        secret: SecretBytes::from(written.token.secret),
        asked: written.token.asked,
        token: Token {
            accessor: written.token.accessor,
            ttl: written.token.ttl,
            renewable: written.token.renewable,
            kind: if written.token.is_batch { TokenKind::Batch } else { TokenKind::Service },
            origin: Origin::Ours,
            uses: None,
        },
    };
    let why = match () {
        () if written.format != FORMAT => Some("of another format"),
        // A token goes to no other server than the one it is of.
        () if written.address != marks.address => {
            warn!("what an earlier run left is of another server, so everything is fetched anew");
            return Found::Nothing;
        }
        () if written.boot != marks.boot => Some("of another boot"),
        () if written.config != marks.config => Some("of another configuration"),
        () if written.token.asked > now => Some("of another clock"),
        () if written
            .token
            .ttl
            .is_some_and(|ttl| written.token.asked.saturating_add(ttl) < now.saturating_add(MARGIN)) =>
        {
            Some("of a token that ended")
        }
        () => None,
    };
    if let Some(why) = why {
        warn!("what an earlier run left is {why}, so everything is fetched anew");
        return Found::Stale(token);
    }
    if !written.under_way.is_empty() {
        info!("an answer was under way when the earlier run ended: {}", written.under_way.join(", "));
    }
    let secrets = written.secrets.into_iter().filter_map(|secret| restore(folder, secret, sources, now)).collect();
    Found::Ours(token, secrets)
}

fn restore(
    folder: &Folder,
    written: WrittenSecret,
    sources: &[Source],
    now: Duration,
) -> Option<(Source, Fetched, Duration)> {
    let source = sources.iter().find(|source| source.written() == written.source)?.clone();
    if !written.value.starts_with(VALUE)
        || written.asked > now
        || written.asked.saturating_add(written.ttl) < now.saturating_add(MARGIN)
    {
        return None;
    }
    let bytes = read(folder, &written.value).ok()??;
    let payload = Payload::Map(SecretMap::from_json(bytes.expose()).ok()?);
    let lease = written.lease.as_deref().and_then(LeaseId::parse);
    let ttl = written.ttl;
    let lease = lease.map(|id| Lease { id, ttl, renewable: written.renewable });
    let ends = written.ends.map(|ends| ends.after(ttl));
    Some((source, Fetched { payload, version: None, lease, ends }, written.asked))
}

/// The writer. What cannot be written is said once: then the next start fetches anew.
#[derive(Debug)]
pub(crate) struct Saved {
    folder: Folder,
    marks: Marks,
    secrets: BTreeMap<Source, Entry>,
    next: u64,
    trouble: Option<Errno>,
}

/// Whether a value is in the next state that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

#[derive(Debug)]
struct Entry {
    lease: Option<String>,
    renewable: bool,
    ttl: Duration,
    ends: Option<WrittenEnds>,
    asked: Duration,
    value: String,
}

impl Saved {
    /// A writer into that folder.
    pub(crate) fn new(folder: &impl AsFd, marks: Marks) -> Option<Self> {
        let folder = Folder::from(folder.as_fd().try_clone_to_owned().ok()?);
        let numbers = folder.names().ok()?.into_iter();
        let numbers = numbers.filter_map(|name| name.to_str()?.strip_prefix(VALUE)?.parse::<u64>().ok());
        let next = numbers.max().map_or(0, |last| last.saturating_add(1));
        Some(Self { folder, marks, secrets: BTreeMap::new(), next, trouble: None })
    }

    /// A value with a life of its own, as it came. Others are read again anyway.
    pub(crate) fn value(&mut self, source: &Source, fetched: &Fetched, asked: Duration) -> Kept {
        let ends = fetched.ends.and_then(WrittenEnds::of);
        let (life, lease) = match (&fetched.lease, fetched.ends, &fetched.payload) {
            (Some(lease), _, Payload::Map(_)) => (lease.ttl, Some(lease)),
            (None, Some(own), Payload::Map(_)) if ends.is_some() => (own.after(), None),
            _ => return Kept::No,
        };
        let name = format!("{VALUE}{}", self.next);
        self.next = self.next.saturating_add(1);
        if let Err(why) = self.put(&name, &name, text(&fetched.payload).expose()) {
            self.secrets.remove(source);
            self.failed(why);
            return Kept::No;
        }
        let entry = Entry {
            lease: lease.map(|lease| lease.id.as_str().to_owned()),
            renewable: lease.is_some_and(|lease| lease.renewable),
            ttl: life,
            ends,
            asked,
            value: name,
        };
        self.secrets.insert(source.clone(), entry);
        Kept::Yes
    }

    /// A lease was renewed.
    pub(crate) fn renewed(&mut self, source: &Source, ttl: Duration, renewable: bool, asked: Duration) {
        if let Some(entry) = self.secrets.get_mut(source) {
            (entry.ttl, entry.renewable, entry.asked) = (ttl, renewable, asked);
        }
    }

    /// There is a new token: leases of the old one die with it.
    pub(crate) fn logged_in(&mut self) {
        let is_bound = |entry: &Entry| entry.lease.is_some() || matches!(entry.ends, Some(WrittenEnds::WithToken));
        self.secrets.retain(|_, entry| !is_bound(entry));
    }

    /// Writes it down, whole.
    pub(crate) fn write(&mut self, token: Option<&SavedToken>, under_way: Vec<String>) {
        let Some(held) = token.filter(|held| held.token.origin == Origin::Ours) else { return self.remove() };
        let Some(secret) = held.secret.expose_text() else { return self.remove() };
        let written = Written {
            format: FORMAT,
            boot: self.marks.boot.clone(),
            config: self.marks.config.clone(),
            address: self.marks.address.clone(),
            token: WrittenToken {
                secret: secret.to_owned(),
                accessor: held.token.accessor.clone(),
                asked: held.asked,
                ttl: held.token.ttl,
                renewable: held.token.renewable,
                is_batch: held.token.kind == TokenKind::Batch,
            },
            secrets: self.secrets.iter().map(|(source, entry)| entry.written(source)).collect(),
            under_way,
        };
        let text = SecretBytes::new(serde_json::to_vec(&written).expect("texts and numbers are JSON"));
        match self.put(BESIDE, STATE, text.expose()) {
            Ok(()) => {}
            Err(why) => {
                // What is there says less than the truth by now.
                self.remove();
                return self.failed(why);
            }
        }
        let is_value = |name: &str| self.secrets.values().any(|entry| entry.value == name);
        self.sweep(|name| is_value(name) || name == STATE || name == UNUSABLE);
    }

    /// The orderly end: nothing is left to take up.
    pub(crate) fn remove(&self) {
        let _gone = self.folder.unlink(STATE.as_ref());
        self.sweep(|_| false);
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
impl Drop for Saved {
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

impl Entry {
    fn written(&self, source: &Source) -> WrittenSecret {
        WrittenSecret {
            source: source.written(),
            lease: self.lease.clone(),
            renewable: self.renewable,
            ttl: self.ttl,
            ends: self.ends,
            asked: self.asked,
            value: self.value.clone(),
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

    fn marks(config: &str) -> Marks {
        Marks { boot: "boot".into(), config: config.into(), address: "https://a:8200".into() }
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
            asked: Duration::from_secs(100),
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
        let mut saved = Saved::new(&folder, marks("c")).unwrap();
        saved.value(&source(), &lease(json), now(0));
        saved.write(Some(&token()), vec![]);
        let Found::Ours(token, secrets) = find(&folder, &marks("c"), &[source()], now(10)) else {
            panic!("not taken up")
        };
        assert_eq!((token.secret.expose(), token.asked), (&b"s.canary"[..], now(0)));
        let (_, fetched, asked) = &secrets[0];
        assert_eq!(*asked, now(0));
        assert_eq!(fetched.lease.as_ref().unwrap().id.as_str(), "database/creds/web/abc");
        assert_eq!(fetched.payload.value("n").unwrap().raw().expose(), b"1.50");
        assert_eq!(fetched.payload.value("username").unwrap().raw().expose(), b"a\"b");
        saved.remove();
        assert!(folder.names().unwrap().is_empty());
    }

    #[test]
    fn lives_without_end_are_taken_up_and_a_clock_at_its_end_is_stale() {
        let (_dir, folder) = place();
        let mut saved = Saved::new(&folder, marks("c")).unwrap();
        let mut endless = lease("{}");
        endless.lease.as_mut().unwrap().ttl = Duration::MAX;
        saved.value(&source(), &endless, now(0));
        let mut token = token();
        token.token.ttl = Some(Duration::MAX);
        saved.write(Some(&token), vec![]);
        assert!(
            matches!(find(&folder, &marks("c"), &[source()], now(1)), Found::Ours(_, secrets) if secrets.len() == 1)
        );
        assert!(matches!(find(&folder, &marks("c"), &[source()], Duration::MAX), Found::Ours(..)));
        token.asked = Duration::MAX;
        saved.write(Some(&token), vec![]);
        assert!(matches!(find(&folder, &marks("c"), &[source()], now(1)), Found::Stale(_)));
    }

    #[test]
    fn a_state_that_cannot_be_used_is_put_aside_and_so_is_one_that_a_bug_ended_with() {
        let (dir, folder) = place();
        let aside = || dir.path().join(UNUSABLE).exists() && !dir.path().join(STATE).exists();
        std::fs::write(dir.path().join(STATE), r#"{"format":1,"token":{"ttl":{"secs":-1}}}"#).unwrap();
        assert!(matches!(find(&folder, &marks("c"), &[source()], now(1)), Found::Nothing) && aside());
        std::fs::create_dir(dir.path().join(STATE)).unwrap();
        std::fs::remove_file(dir.path().join(UNUSABLE)).unwrap();
        assert!(matches!(find(&folder, &marks("c"), &[source()], now(1)), Found::Nothing) && aside());
        std::fs::remove_dir(dir.path().join(UNUSABLE)).unwrap();
        let mut saved = Saved::new(&folder, marks("c")).unwrap();
        saved.write(Some(&token()), vec![]);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            let _held = saved;
            panic!("a bug");
        }));
        assert!(ended.is_err() && aside());
        Saved::new(&folder, marks("c")).unwrap().remove();
        assert!(folder.names().unwrap().is_empty());
    }

    #[test]
    fn another_boot_config_server_or_a_damaged_file_is_refused() {
        let (_dir, folder) = place();
        let mut saved = Saved::new(&folder, marks("c")).unwrap();
        saved.value(&source(), &lease("{}"), now(0));
        saved.write(Some(&token()), vec![]);
        let found = |marks: &Marks, at| find(&folder, marks, &[source()], at);
        assert!(matches!(found(&marks("other"), now(1)), Found::Stale(_)));
        assert!(matches!(found(&Marks { boot: "x".into(), ..marks("c") }, now(1)), Found::Stale(_)));
        assert!(matches!(found(&Marks { address: "x".into(), ..marks("c") }, now(1)), Found::Nothing));
        assert!(matches!(found(&marks("c"), now(700)), Found::Stale(_)), "a token that ended");
        assert!(matches!(found(&marks("c"), Duration::from_secs(99)), Found::Stale(_)), "a token of the future");
        assert!(
            matches!(found(&marks("c"), now(59)), Found::Ours(_, secrets) if secrets.is_empty()),
            "a lease that ends"
        );
        let whole = read(&folder, STATE).unwrap().unwrap();
        for length in [0, 1, 50, whole.expose().len() - 1] {
            saved.put(BESIDE, STATE, &whole.expose()[..length]).unwrap();
            assert!(matches!(found(&marks("c"), now(1)), Found::Nothing), "cut at {length}");
        }
    }

    #[test]
    fn the_values_of_replaced_leases_are_removed() {
        let (_dir, folder) = place();
        let mut saved = Saved::new(&folder, marks("c")).unwrap();
        for _ in 0..3 {
            saved.value(&source(), &lease("{}"), now(0));
            saved.write(Some(&token()), vec![]);
        }
        let mut names: Vec<_> = folder.names().unwrap();
        names.sort();
        assert_eq!(names, ["state.json", "state.value-2"]);
    }
}
