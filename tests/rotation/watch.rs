//! Apps that watch: a file, its link, the directory. Measured with inotify, in the app's place.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{delivered, stays};
use support::*;

/// Watches the file behind the name `k`, the directory, and the name's link itself; a line for each event.
const WATCHER: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
inotify = libc.inotify_init1(0)
ALL, DONT_FOLLOW = 0xfff, 0x2000000
directory = sys.argv[1]
watches = {}
for name, path, mask in (("file", directory + "/k", ALL), ("directory", directory, ALL), ("link", directory + "/..data", ALL | DONT_FOLLOW)):
    watches[libc.inotify_add_watch(inotify, path.encode(), mask)] = name
print("ready", flush=True)
NAMES = {0x4: "attrib", 0x80: "moved_to", 0x400: "delete_self", 0x8000: "ignored"}
while True:
    events = os.read(inotify, 65536)
    while events:
        watch, mask, _, length = struct.unpack("iIII", events[:16])
        name = events[16:16 + length].rstrip(b"\0").decode()
        for bit, event in NAMES.items():
            if mask & bit:
                print(watches.get(watch), event, name, flush=True)
        events = events[16 + length:]
"#;

#[test]
fn whoever_watches_a_file_its_link_or_the_directory_hears_of_a_change_within_seconds() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!("{}refresh: 1s\nfiles: {{ k: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
    let mut running = case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (delivered(&case.volume(), "k") == "one").then_some(()));
    let mut watcher =
        Command::new(python()).args(["-c", WATCHER]).arg(case.volume()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().as_deref(), Some("ready"));
    let (sender, events) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.for_each(|line| _ = sender.send(line)));
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "two" } }));
    running.until("the change", || (delivered(&case.volume(), "k") == "two").then_some(()));
    let changed = Instant::now();
    let mut wanted =
        vec!["directory moved_to ..data", "link delete_self ", "file attrib ", "file delete_self ", "file ignored "];
    while !wanted.is_empty() {
        let left = Duration::from_secs(10).saturating_sub(changed.elapsed());
        let event = events.recv_timeout(left).unwrap_or_else(|_| panic!("no {wanted:?} within 10 s"));
        wanted.retain(|one| *one != event);
    }
    watcher.kill().unwrap();
    watcher.wait().unwrap();

    // A reader of the old generation, which is kept for him.
    let old = std::fs::canonicalize(case.volume().join("..data")).unwrap();
    let open = std::fs::File::open(old.join("k")).unwrap();
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "three" } }));
    running.until("the change", || (delivered(&case.volume(), "k") == "three").then_some(()));
    assert!(stays(Duration::from_secs(4), || old.join("k").exists()), "it was taken away from its reader");
    drop(open);
    running.until("the end of the old generation", || (!old.exists()).then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
