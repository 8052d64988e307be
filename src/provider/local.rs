//! `--local FILE`: a backend for a laptop. Every reference is answered from a file (or once from a pipe), with leases
//! that can be renewed, revoked and expire, so that a cluster's configuration runs unchanged without any server.
//!
//! `entries` parses the content, `tree` the YAML with line numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{ConfigError, Place};
use crate::domain::{Fetched, Lease, LeaseId, Payload, SecretBytes, Source};
use crate::identity::file;
use crate::sys::clock;

use super::{Class, Failure, Fetch};

mod entries;

use entries::{Entry, Terms};

/// A file in place of every backend. It is read again when it has changed, so that an edit acts as a rotation.
pub struct Local {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    /// `None` for a pipe, which is read once.
    stamp: Option<Stamp>,
    entries: BTreeMap<Source, Entry>,
    issued: u64,
    live: BTreeMap<String, LiveLease>,
}

/// The metadata that a Go template sees for paths of KV v2.
const KV2_METADATA: &str = r#"{"created_time":"1970-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}"#;

/// Identifies one state of the file: device, inode, size, modification time.
type Stamp = (u64, u64, u64, i64, i64);

/// A lease, as a server would track it.
struct LiveLease {
    terms: Terms,
    /// Its end as time since boot; `None` if that is beyond what a duration can express.
    ends: Option<Duration>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Local {
    /// Reads the file; returns all of its mistakes at once.
    pub fn open(path: &Path) -> Result<Self, Vec<ConfigError>> {
        let (stamp, entries) = read(path)?;
        let state = State { stamp, entries, issued: 0, live: BTreeMap::new() };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// The number of leases that are neither revoked nor expired.
    pub fn live_leases(&self) -> usize {
        let mut state = self.state();
        state.forget_ended(clock::boottime());
        state.live.len()
    }

    /// Locks the state.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the file again if it has changed.
    fn reload(&self) -> Result<(), Failure> {
        let mut state = self.state();
        let Some(known) = state.stamp else { return Ok(()) };
        match stamp(&self.path) {
            Ok(stamp) if stamp == known => return Ok(()),
            // It was read as root before the drop; changes cannot be detected any more.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(()),
            _ => {}
        }
        match read(&self.path) {
            Ok((stamp, entries)) => {
                (state.stamp, state.entries) = (stamp, entries);
                Ok(())
            }
            Err(mistakes) => {
                let text = mistakes.iter().map(|mistake| format!("{}: {}", mistake.place, mistake.text));
                Err(Failure::new(Class::Malformed, text.collect::<Vec<_>>().join("; ")))
            }
        }
    }
}

impl State {
    /// Drops the leases that have ended.
    fn forget_ended(&mut self, now: Duration) {
        self.live.retain(|_, live_lease| live_lease.ends.is_none_or(|ends| now < ends));
    }

    /// Returns the value of a source, under a new lease if its entry has a TTL.
    fn fetch(&mut self, source: &Source, file: &Path, now: Duration) -> Result<Fetched, Failure> {
        let Some(entry) = self.entries.get(source) else {
            return Err(Failure::new(Class::NotFound, format!("{} has no entry for it", file.display())));
        };
        let payload = entry.value.payload()?;
        let lease = entry.terms.map(|terms| {
            self.issued = self.issued.saturating_add(1);
            let path = match source {
                Source::Vault(source) => source.path.as_str(),
                Source::Aws(_) | Source::File(_) => "",
            };
            let id = format!("local/{path}/{}", self.issued);
            let lease = terms.lease(LeaseId::parse(&id).expect("it begins with local/"));
            self.live.insert(id, LiveLease { terms, ends: now.checked_add(terms.ttl) });
            lease
        });
        // Go templates of the KV functions expect metadata for the content of a KV v2 envelope.
        let is_kv2 = matches!(source, Source::Vault(source) if source.path.contains("/data/"));
        let metadata = (is_kv2 && lease.is_none() && matches!(payload, Payload::Map(_)))
            .then(|| SecretBytes::from(KV2_METADATA.to_owned()));
        Ok(Fetched { payload, version: None, lease, ends: None, metadata })
    }

    /// Renews a lease for its TTL from now on.
    fn renew(&mut self, id: &LeaseId, now: Duration) -> Result<Lease, Failure> {
        self.forget_ended(now);
        let Some(live_lease) = self.live.get_mut(id.as_str()) else {
            return Err(Failure::new(Class::NotFound, "the lease has ended"));
        };
        if !live_lease.terms.renewable {
            return Err(Failure::new(Class::Malformed, "the lease is not renewable"));
        }
        live_lease.ends = now.checked_add(live_lease.terms.ttl);
        Ok(live_lease.terms.lease(id.clone()))
    }
}

impl Terms {
    /// The lease with this id.
    fn lease(self, id: LeaseId) -> Lease {
        Lease { id, ttl: self.ttl, renewable: self.renewable }
    }
}

impl Fetch for Local {
    async fn fetch(&self, sources: &[&Source]) -> Vec<Result<Fetched, Failure>> {
        if let Err(failure) = self.reload() {
            return sources.iter().map(|_| Err(failure.clone())).collect();
        }
        let now = clock::boottime();
        let mut state = self.state();
        state.forget_ended(now);
        sources.iter().map(|source| state.fetch(source, &self.path, now)).collect()
    }

    async fn renew(&self, lease: &Lease) -> Result<Lease, Failure> {
        self.state().renew(&lease.id, clock::boottime())
    }

    /// Succeeds for an unknown lease too, like a server.
    async fn revoke(&self, lease: &LeaseId) -> Result<(), Failure> {
        self.state().live.remove(lease.as_str());
        Ok(())
    }
}

/// The current state of the file.
fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let about = std::fs::metadata(path)?;
    Ok((about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
}

/// The content of a file, with its state; a pipe has none.
type Contents = (Option<Stamp>, BTreeMap<Source, Entry>);

/// Reads and parses the file.
fn read(path: &Path) -> Result<Contents, Vec<ConfigError>> {
    let cannot = |why: String| {
        vec![ConfigError::new(&Place::Flag("--local".into()), format!("cannot read {}: {why}", path.display()))]
    };
    let (stamp, text) = if file::is_read_once(path) {
        (None, file::read_source(path, || false))
    } else {
        // Take the stamp first: an edit during the read is then seen as a change later.
        let stamp = stamp(path).map_err(|error| cannot(file::words(&error)))?;
        (Some(stamp), file::read_text(path))
    };
    let text = text.map_err(|error| cannot(error.to_string()))?;
    entries::parse(&path.display().to_string(), &text).map(|entries| (stamp, entries))
}

#[cfg(test)]
mod tests {
    use crate::domain::SecretRef;

    use super::*;

    const WEB: &str = "vault:database/creds/web";

    fn source(text: &str) -> Source {
        SecretRef::parse(text, &BTreeMap::new()).unwrap().source
    }

    fn state(text: &str) -> State {
        let entries = entries::parse("local.yaml", text).unwrap();
        State { stamp: None, entries, issued: 0, live: BTreeMap::new() }
    }

    fn fetch(state: &mut State, text: &str, now: Duration) -> Result<Fetched, Failure> {
        state.forget_ended(now);
        state.fetch(&source(text), Path::new("local.yaml"), now)
    }

    fn password(fetched: &Fetched) -> String {
        fetched.payload.value("password").unwrap().raw().expose_text().unwrap().to_owned()
    }

    #[test]
    fn a_random_password_is_another_one_at_each_fetch() {
        let mut state = state("vault:database/creds/web: { data: { password: 'x{{random}}' } }");
        let now = clock::boottime();
        let first = password(&fetch(&mut state, WEB, now).unwrap());
        let second = password(&fetch(&mut state, WEB, now).unwrap());
        assert_ne!(first, second);
        assert!(first.len() >= 25 && first.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{first}");
    }

    #[test]
    fn a_lease_lives_for_its_ttl_and_renewing_extends_it() {
        let mut long = state("vault:database/creds/web: { data: { password: p }, ttl: 1h30m }");
        let lease = fetch(&mut long, WEB, clock::boottime()).unwrap().lease.unwrap();
        assert_eq!(lease.ttl, Duration::from_secs(90 * 60), "a duration as in the config");
        let mut state = state("vault:database/creds/web: { data: { password: p }, ttl: 10s, renewable: true }");
        let start = clock::boottime();
        let lease = fetch(&mut state, WEB, start).unwrap().lease.unwrap();
        assert_eq!((lease.id.as_str(), lease.ttl), ("local/database/creds/web/1", Duration::from_secs(10)));
        assert_eq!(state.renew(&lease.id, start + Duration::from_secs(9)).unwrap(), lease);
        assert!(state.renew(&lease.id, start + Duration::from_secs(18)).is_ok());
        let over = state.renew(&lease.id, start + Duration::from_secs(28)).unwrap_err();
        assert_eq!(over.class, Class::NotFound);
    }

    #[test]
    fn every_fetch_is_a_lease_of_its_own_and_one_that_is_not_renewable_stays_so() {
        let mut state = state("vault:database/creds/web: { data: { password: p }, ttl: 10s }");
        let now = clock::boottime();
        let [first, second] = [(); 2].map(|()| fetch(&mut state, WEB, now).unwrap().lease.unwrap());
        assert_ne!(first.id, second.id);
        assert_eq!(state.live.len(), 2);
        assert!(!first.renewable);
        assert_eq!(state.renew(&first.id, now).unwrap_err().class, Class::Malformed);
    }

    #[test]
    fn what_the_file_does_not_list_is_not_found() {
        let mut state = state("vault:secret/data/a: { value: x }");
        let failure = fetch(&mut state, "vault:secret/data/b", clock::boottime()).unwrap_err();
        assert_eq!((failure.class, failure.why.as_str()), (Class::NotFound, "local.yaml has no entry for it"));
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn revoking_ends_a_lease() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local.yaml");
        std::fs::write(&path, "vault:a: { data: { k: v }, ttl: 1h, renewable: true }").unwrap();
        let local = Local::open(&path).unwrap();
        block_on(async {
            let fetched = local.fetch(&[&source("vault:a")]).await.remove(0).unwrap();
            let lease = fetched.lease.unwrap();
            assert_eq!(local.live_leases(), 1);
            local.revoke(&lease.id).await.unwrap();
            assert_eq!(local.live_leases(), 0);
            assert_eq!(local.renew(&lease).await.unwrap_err().class, Class::NotFound);
            local.revoke(&lease.id).await.unwrap();
        });
    }

    #[test]
    fn an_edited_file_is_read_again_and_a_broken_edit_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local.yaml");
        std::fs::write(&path, "aws-sm:a: { value: one }").unwrap();
        let local = Local::open(&path).unwrap();
        let fetch = || block_on(local.fetch(&[&source("aws-sm:a")])).remove(0);
        std::fs::write(&path, "aws-sm:a: { value: second }").unwrap();
        let payload = fetch().unwrap().payload;
        assert!(matches!(payload, crate::domain::Payload::Whole(value) if value.expose() == b"second"));
        std::fs::write(&path, "aws-sm:a: { values: canary }").unwrap();
        let failure = fetch().unwrap_err();
        assert_eq!(failure.class, Class::Malformed);
        assert!(!failure.why.contains("canary"), "{}", failure.why);
    }

    #[test]
    fn what_is_no_file_is_a_mistake_of_the_flag() {
        for path in ["/nonexistent/local.yaml", "/dev/zero"] {
            let mistakes = Local::open(Path::new(path)).unwrap_err();
            assert_eq!(mistakes.len(), 1);
            assert_eq!(mistakes[0].place, Place::Flag("--local".into()));
        }
    }
}
