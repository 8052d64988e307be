//! A credential that cannot be written: what is delivered decides, not what was issued.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Stage, delivered, standing, status};
use support::*;

/// A sidecar whose volume is a small tmpfs, with a credential of 8 s that cannot be renewed beyond it.
struct Full {
    stage: Stage,
    login: Login,
    running: Running,
    /// The mount, which is in the namespace of the program.
    inside: PathBuf,
}

impl Full {
    /// The first credential is delivered, and the volume has no room for a second one.
    fn after_the_first(config: &str) -> Self {
        let stage = Stage::new("8s", "8s");
        let login = stage.space.approle(&stage.case, &[&stage.creds()]);
        let place = stage.case.dir.join("mount");
        fs::create_dir(&place).unwrap();
        own(&place, APP);
        let config = format!(
            "{}volume: {{ path: {}/files }}\n{config}files: {{ db.json: \"vault:{}\" }}\n",
            stage.space.vault(&login),
            place.display(),
            stage.creds()
        );
        let run = stage.case.with_config(&config).command("sidecar");
        let mut running = run.tmpfs(&place, &format!("size=64k,mode=755,uid={APP}")).start();
        let inside = PathBuf::from(format!("/proc/{}/root{}", running.pid(), place.display()));
        running.until("first delivery", || (!delivered(&inside.join("files"), "db.json").is_empty()).then_some(()));
        let full = Self { stage, login, running, inside };
        let mut filler = fs::File::create(full.inside.join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        full
    }

    fn credential(&self) -> String {
        delivered(&self.inside.join("files"), "db.json")
    }

    /// State and class, and whether it is ready.
    fn standing(&self) -> ((String, String), bool) {
        let ready = self.stage.case.run().command("status").arg("--ready").output();
        (standing(&status(&self.stage.case), "/creds/brief"), ready.code() == Some(0))
    }

    /// There is room again: the newest credential is delivered, and it works.
    fn recovers(self) {
        let before = self.credential();
        fs::remove_file(self.inside.join("filler")).unwrap();
        wait_for("delivery when there is room", || {
            let now = self.credential();
            (!now.is_empty() && now != before).then_some(())
        });
        assert_eq!(self.stage.is_let_in(&self.credential().parse().unwrap()), Ok(()), "{}", self.running.stderr());
        wait_for("its good name", || (self.standing().0.0 == "fresh" && self.standing().1).then_some(()));
        wait_for("word of it", || self.running.stderr().contains("is valid again").then_some(()));
        assert_eq!(self.stage.logins(&self.login), 1);
        self.running.signal(libc::SIGTERM);
        assert_eq!(self.running.end().code(), Some(0));
        self.stage.nothing_is_left();
    }
}

#[test]
fn what_expires_in_a_full_volume_has_expired_although_a_new_one_was_issued() {
    needs_root!();
    let mut full = Full::after_the_first("");
    let first: Value = full.credential().parse().unwrap();
    let start = Instant::now();
    full.running.until("the second credential", || (full.stage.issued() == 2).then_some(()));
    let expired = "has expired, and the value that replaces it is not delivered yet";
    // Its life counts from before the request here, and from a moment later at the server.
    let mut is_called_expired = None;
    while full.stage.is_let_in(&first).is_ok() {
        let (standing, is_ready) = full.standing();
        if standing.0 == "expired" || !is_ready {
            is_called_expired.get_or_insert_with(Instant::now);
        }
    }
    let early = is_called_expired.map_or(Duration::ZERO, |at| at.elapsed());
    assert!(early < Duration::from_secs(2), "it lived for {early:?} after that: {}", full.running.stderr());
    wait_for("its bad name", || (full.standing() == (("expired".into(), "local".into()), false)).then_some(()));
    // The second one lives on unread and is replaced near its end; it is given back when it is.
    full.running.until("a third credential", || (full.stage.issued() == 3).then_some(()));
    wait_for("the end of the second", || (full.stage.leases() == 1).then_some(()));
    assert_eq!(full.standing(), (("expired".into(), "local".into()), false));
    assert_eq!(full.running.stderr().matches(expired).count(), 1, "{}", full.running.stderr());
    let lives = start.elapsed().as_secs().div_ceil(6) as usize;
    assert!(full.stage.issued() <= lives + 1, "{} issued", full.stage.issued());
    full.recovers();
}

#[test]
fn what_expires_in_a_full_volume_is_removed_and_leaves_its_room_to_the_new_one() {
    needs_root!();
    let full = Full::after_the_first("onExpired: remove\n");
    let first: Value = full.credential().parse().unwrap();
    wait_for("the removal", || full.credential().is_empty().then_some(()));
    // Its life counts from before the request here, and from a moment later at the server.
    let removed = Instant::now();
    wait_for("its end", || full.stage.is_let_in(&first).is_err().then_some(()));
    assert!(removed.elapsed() < Duration::from_secs(2), "it was removed while it lived: {}", full.running.stderr());
    // It leaves as much room as the next one needs.
    wait_for("the next one", || (!full.credential().is_empty()).then_some(()));
    full.recovers();
}
