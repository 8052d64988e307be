use std::collections::BTreeMap;

use super::format::*;
use super::load::*;
use super::*;
use crate::domain::{Fetched, Lease, LeaseId, Payload, SecretMap, Version};
use crate::provider::vault::TokenKind;
use crate::sys::fs::Folder;

use crate::domain::SecretRef;

fn find(folder: &Folder, key: &CheckpointKey, sources: &[Source], now: Duration) -> LoadedCheckpoint {
    super::load::find(folder, key, sources, EndedValues::Drop, now).loaded
}

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
            origin: Origin::Login,
            uses: None,
        },
        requested_at: Duration::from_secs(100),
        namespace: Some(Namespace::Of("team-a".into())),
    }
}

fn lease(json: &str) -> Fetched {
    let payload = Payload::Map(SecretMap::from_json(json.as_bytes()).unwrap());
    let id = LeaseId::parse("database/creds/web/abc").unwrap();
    let lease = Some(Lease { id, ttl: Duration::from_secs(60), renewable: true });
    Fetched { payload, version: None, lease, ends: None, metadata: None }
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
    let LoadedCheckpoint::Usable(token, secrets) = find(&folder, &key("c"), &[source()], now(10)) else {
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
        matches!(find(&folder, &key("c"), &[source()], now(1)), LoadedCheckpoint::Usable(_, secrets) if secrets.len() == 1)
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
    let of_other = super::load::find(&folder, &key("other"), &[source()], EndedValues::Keep, now(1));
    assert!(matches!(of_other, Found { loaded: LoadedCheckpoint::Nothing, ref replaced } if replaced.len() == 1));
    assert!(matches!(found(&CheckpointKey { boot: "x".into(), ..key("c") }, now(1)), LoadedCheckpoint::Stale(_)));
    assert!(matches!(found(&CheckpointKey { address: "x".into(), ..key("c") }, now(1)), LoadedCheckpoint::Nothing));
    assert!(
        matches!(found(&key("c"), now(700)), LoadedCheckpoint::Stale(_)),
        "a token that ended, and its lease with it"
    );
    assert!(matches!(found(&key("c"), Duration::from_secs(99)), LoadedCheckpoint::Stale(_)), "a token of the future");
    assert!(
        matches!(found(&key("c"), now(59)), LoadedCheckpoint::Usable(_, secrets) if secrets.is_empty()),
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
    Fetched { payload, version: Some(Version("7".into())), lease: None, ends: None, metadata: None }
}

#[test]
fn the_envelope_of_a_value_is_taken_up_with_it() {
    let (_dir, folder) = place();
    let kv = reference("vault:secret/data/a");
    let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
    let envelope = r#"{"version":3,"custom_metadata":{"a":"b"}}"#;
    let mut fetched = plain(Payload::Map(SecretMap::from_json(b"{}").unwrap()));
    fetched.metadata = Some(SecretBytes::from(envelope.to_owned()));
    saved.value(&kv, &fetched, now(0));
    saved.write(Some(&token()), vec![]);
    let LoadedCheckpoint::Usable(_, values) = find(&folder, &key("c"), &[kv], now(1)) else { panic!("it is usable") };
    assert_eq!(values[0].fetched.metadata.as_ref().and_then(SecretBytes::expose_text), Some(envelope));
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
        matches!(ended, LoadedCheckpoint::TokenEnded(_, values) if values.len() == 2),
        "the token and its lease have ended"
    );
    saved.write(None, vec![]);
    let LoadedCheckpoint::Usable(None, values) = find(&folder, &key("c"), &sources, now(1)) else {
        panic!("not taken up")
    };
    let of = |source: &Source| values.iter().find(|value| value.source == *source);
    assert!(of(&source()).is_none());
    assert_eq!(of(&kv).unwrap().fetched.payload.value("k").unwrap().raw().expose(), b"1.50");
    let Fetched { payload: Payload::Whole(bytes), version, lease: None, ends: None, .. } = &of(&whole).unwrap().fetched
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
    let LoadedCheckpoint::Usable(None, values) = find(&folder, &key("c"), std::slice::from_ref(&kv), now(61)) else {
        panic!("nothing")
    };
    let mut next = Checkpoint::new(&folder, key("c")).unwrap();
    next.resumed(&values[0]);
    next.write(None, vec![]);
    let mut names = folder.names().unwrap();
    names.sort();
    assert_eq!(names, ["state.json", "state.value-0"]);
    assert!(
        matches!(find(&folder, &key("c"), &[kv], now(62)), LoadedCheckpoint::Usable(None, values) if values.len() == 1)
    );
}

#[test]
fn what_has_ended_is_there_for_a_start_in_an_outage_and_depends_on_nothing() {
    let (_dir, folder) = place();
    let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
    saved.value(&source(), &lease("{}"), now(0));
    saved.write(Some(&token()), vec![]);
    let find = |at| super::load::find(&folder, &key("c"), &[source()], EndedValues::Keep, now(at)).loaded;
    // The lease ends after 60 s, the token after 600 s.
    for (at, has_token) in [(70, true), (700, false)] {
        let (token, values) = match find(at) {
            LoadedCheckpoint::Usable(token, values) => (token, values),
            LoadedCheckpoint::TokenEnded(_, values) => (None, values),
            _ => panic!("nothing at {at}"),
        };
        assert_eq!((token.is_some(), values.len()), (has_token, 1));
        assert!(values[0].is_over);
        if !has_token {
            assert!(values[0].fetched.lease.is_none());
            assert_eq!(values[0].fetched.ends, Some(Ends::Expires(Duration::from_secs(60))));
        }
    }
    let LoadedCheckpoint::Usable(Some(_), values) = find(30) else { panic!("it lives") };
    assert!(!values[0].is_over && values[0].fetched.lease.is_some());
}

#[test]
fn the_token_of_another_configuration_is_kept_until_it_is_replaced_whatever_becomes_of_the_starts_between() {
    let (_dir, folder) = place();
    let mut saved = Checkpoint::new(&folder, key("a")).unwrap();
    saved.value(&source(), &lease("{}"), now(0));
    saved.write(Some(&token()), vec![]);
    let found = |config: &str, at| super::load::find(&folder, &key(config), &[source()], EndedValues::Keep, now(at));
    // A start that fails, one that is killed before it delivers, and one more with a third configuration.
    let mut failing = Checkpoint::new(&folder, key("b")).unwrap();
    failing.add_replaced(found("b", 1).replaced);
    failing.write(Some(&token()), vec![]);
    failing.remove();
    let again = found("b", 2);
    assert!(matches!(again.loaded, LoadedCheckpoint::Nothing), "what was given back is not taken up");
    let mut killed = Checkpoint::new(&folder, key("b")).unwrap();
    killed.add_replaced(again.replaced);
    killed.value(&source(), &lease("{}"), now(2));
    killed.write(Some(&token()), vec![]);
    let same = found("b", 3);
    assert!(matches!(same.loaded, LoadedCheckpoint::Usable(Some(_), ref values) if values.len() == 1));
    assert_eq!(same.replaced.len(), 1);
    assert_eq!(same.replaced[0].namespace, Some(Namespace::Of("team-a".into())), "no other namespace knows it");
    let third = found("c", 3);
    assert_eq!(third.replaced.len(), 2);
    assert!(found("c", 700).replaced.is_empty(), "they have ended by themselves");
    let mut delivered = Checkpoint::new(&folder, key("c")).unwrap();
    delivered.add_replaced(third.replaced);
    delivered.write(Some(&token()), vec![]);
    delivered.forget_replaced();
    assert!(delivered.is_changed());
    delivered.write(Some(&token()), vec![]);
    assert!(found("c", 4).replaced.is_empty());
    delivered.remove();
    assert!(folder.names().unwrap().is_empty());
}

#[test]
fn the_root_namespace_is_known_and_a_state_that_names_none_does_not_say_which_it_is() {
    let (dir, folder) = place();
    let replaced =
        || super::load::find(&folder, &key("b"), &[], EndedValues::Keep, now(1)).replaced.remove(0).namespace;
    for namespace in [Namespace::Root, Namespace::Of("team-a".into())] {
        let token = SavedToken { namespace: Some(namespace.clone()), ..token() };
        Checkpoint::new(&folder, key("a")).unwrap().write(Some(&token), vec![]);
        assert_eq!(replaced(), Some(namespace));
    }
    let path = dir.path().join(STATE);
    let written = std::fs::read_to_string(&path).unwrap();
    let earlier = written.replace(",\"namespace\":\"team-a\"", "");
    assert_ne!(earlier, written);
    std::fs::write(&path, earlier).unwrap();
    assert_eq!(replaced(), None, "of an earlier version");
}

#[test]
fn a_token_of_another_server_is_not_revoked_here_whatever_else_differs() {
    let (dir, folder) = place();
    Checkpoint::new(&folder, key("a")).unwrap().write(Some(&token()), vec![]);
    let path = dir.path().join(STATE);
    let written = std::fs::read_to_string(&path).unwrap();
    let earlier = written.replace("\"format\":2", "\"format\":1");
    assert_ne!(earlier, written);
    std::fs::write(&path, earlier).unwrap();
    let found = |key: &CheckpointKey| find(&folder, key, &[], now(1));
    assert!(matches!(found(&key("a")), LoadedCheckpoint::Stale(_)));
    let elsewhere = CheckpointKey { address: "https://b:8200".into(), ..key("a") };
    assert!(matches!(found(&elsewhere), LoadedCheckpoint::Nothing));
}

#[test]
fn a_value_that_wants_to_be_read_often_has_not_ended_when_it_is_due() {
    let (_dir, folder) = place();
    let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
    let every = Ends::ReadEvery(Duration::from_secs(3));
    saved.value(&source(), &Fetched { lease: None, ends: Some(every), ..lease("{}") }, now(0));
    saved.write(None, vec![]);
    let LoadedCheckpoint::Usable(None, values) = find(&folder, &key("c"), &[source()], now(60)) else {
        panic!("nothing")
    };
    assert_eq!((values[0].is_over, values[0].fetched.ends), (false, Some(every)));
}

#[test]
fn what_a_poisoned_state_says_makes_no_line_and_names_no_other_file() {
    let planned = source();
    let written = [
        planned.written().to_owned(),
        "vault:computed/by-a-template".to_owned(),
        "\u{1b}[31m evil\nsecret-exec: forged line".to_owned(),
        "vault:a\nsecret-exec: forged line".to_owned(),
        "x".repeat(1 << 20),
    ];
    assert_eq!(super::load::known(&written, &[planned]), [&written[0], &written[1]]);

    let (_dir, folder) = place();
    let mut saved = Checkpoint::new(&folder, key("c")).unwrap();
    saved.value(&source(), &lease("{}"), now(0));
    saved.write(Some(&token()), vec![]);
    folder.make("state.value-".as_ref()).unwrap();
    let text = load::read(&folder, "state.json").unwrap().unwrap().expose_text().unwrap().to_owned();
    for (from, to) in [("state.value-0", "state.value-/../state.value-0"), ("\"acc\"", "\"acc\\nforged\"")] {
        assert!(text.contains(from));
        let poisoned = text.replace(from, to);
        folder.unlink("state.json".as_ref()).unwrap();
        std::io::Write::write_all(&mut folder.create_file("state.json".as_ref(), 0o600).unwrap(), poisoned.as_bytes())
            .unwrap();
        let LoadedCheckpoint::Usable(Some(token), values) = find(&folder, &key("c"), &[source()], now(1)) else {
            panic!("not taken up")
        };
        let is_name = to.starts_with("state");
        assert_eq!((token.token.accessor.is_some(), values.len()), (is_name, usize::from(!is_name)));
    }
}
