//! The other backends, many secrets at once, ends in bad moments, and what is left in memory.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::{Stage, delivered, generation, status};
use support::*;

#[test]
fn a_new_version_in_secrets_manager_is_seen_by_its_description() {
    let (case, moto) = (Case::new(), Moto::shared());
    let name = format!("rotation-{}", unique());
    moto.create(&name, "{\"key\":\"one\"}");
    let proxy = Proxy::before(moto.port);
    let config = format!("refresh: {{ aws: 1s }}\nfiles: {{ key: \"aws-sm:{name}#key\" }}\n");
    let run = moto.env_at(proxy.port, case.with_files(&config).args(&["--log-level", "debug"]));
    let mut running = run.command("sidecar").start();
    let read = || delivered(&case.volume(), "key");
    running.until("first delivery", || (read() == "one").then_some(()));
    let count = |action: &str| {
        proxy.requests().iter().filter(|said| said.contains(&format!("secretsmanager.{action}"))).count()
    };
    running.until("descriptions", || (count("DescribeSecret") >= 2).then_some(()));
    assert_eq!(count("GetSecretValue"), 1, "{:?}", proxy.requests());
    moto.call(
        "eu-west-1",
        "PutSecretValue",
        json!({ "SecretId": name, "SecretString": "{\"key\":\"pending\"}", "VersionStages": ["AWSPENDING"] }),
    );
    let before = count("DescribeSecret");
    running.until("descriptions of it", || (count("DescribeSecret") >= before + 3).then_some(()));
    assert_eq!(read(), "one", "a pending version was delivered");
    moto.call("eu-west-1", "PutSecretValue", json!({ "SecretId": name, "SecretString": "{\"key\":\"two\"}" }));
    running.until("new version", || (read() == "two").then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_secret_that_is_scheduled_for_deletion_is_said_once_and_stays() {
    let (case, moto) = (Case::new(), Moto::shared());
    let name = format!("doomed-{}", unique());
    moto.create(&name, "{\"key\":\"one\"}");
    let config = format!("refresh: {{ aws: 1s }}\nfiles: {{ key: \"aws-sm:{name}#key\" }}\n");
    let mut running = moto.env(case.with_files(&config)).command("sidecar").start();
    running.until("first delivery", || (delivered(&case.volume(), "key") == "one").then_some(()));
    moto.call("eu-west-1", "DeleteSecret", json!({ "SecretId": name, "RecoveryWindowInDays": 7 }));
    let told = running.until("word of it", || {
        let told = status(&case);
        (told["secrets"][0]["state"] == "stale").then_some(told)
    });
    assert_eq!(told["secrets"][0]["lastError"]["class"], "not_found", "{told}");
    assert!(told.to_string().contains("scheduled for deletion"), "{told}");
    assert_eq!(told["ready"], true, "{told}");
    assert_eq!(delivered(&case.volume(), "key"), "one");
    assert_eq!(running.stderr().matches("scheduled for deletion").count(), 1, "{}", running.stderr());
    let failures = told["counters"]["failures"].as_array().unwrap();
    assert!(failures.iter().any(|row| row["class"] == "not_found" && row["backend"] == "aws"), "{told}");
    moto.call("eu-west-1", "RestoreSecret", json!({ "SecretId": name }));
    case.with_files(&config).command("refresh").output().ok();
    running.until("recovery", || (status(&case)["secrets"][0]["state"] == "fresh").then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn the_first_description_comes_long_before_the_first_interval_is_over() {
    let (case, moto) = (Case::new(), Moto::shared());
    let name = format!("first-{}", unique());
    moto.create(&name, "{\"key\":\"one\"}");
    let proxy = Proxy::before(moto.port);
    let config = format!("refresh: {{ aws: 6m }}\nfiles: {{ key: \"aws-sm:{name}#key\" }}\n");
    let mut running = moto.env_at(proxy.port, case.with_files(&config)).command("sidecar").start();
    running.until("first delivery", || (delivered(&case.volume(), "key") == "one").then_some(()));
    // Nobody knew yet whether a rotation is near, so it is looked for as if one were.
    running.until("description", || (proxy.count("secretsmanager.DescribeSecret") == 1).then_some(()));
    assert_eq!(proxy.count("secretsmanager.GetSecretValue"), 1, "{:?}", proxy.requests());
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_local_file_rotates_like_a_server() {
    let case = Case::new();
    let local = case.write(
        "local.yaml",
        "vault:database/creds/web: { data: { username: app, password: \"{{random}}\" }, ttl: 4s, renewable: false }\n\
         vault:secret/data/api: { data: { token: one } }\n",
    );
    let config =
        "refresh: 1s\nfiles: { db: \"vault:database/creds/web#password\", api: \"vault:secret/data/api#token\" }\n";
    let run = case.with_files(config).arg("--local").arg(&local).command("sidecar");
    let mut running = run.start();
    let read = |name: &str| delivered(&case.volume(), name);
    let first = running.until("first delivery", || Some(read("db")).filter(|text| !text.is_empty()));
    running.until("next credential", || (read("db") != first).then_some(()));
    let text = fs::read_to_string(&local).unwrap().replace("one", "two");
    case.write("local.yaml", text);
    running.until("edit", || (read("api") == "two").then_some(()));
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn two_hundred_secrets_change_as_few_generations() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[]);
    let names: Vec<String> = (0..200).map(|number| format!("s{number}")).collect();
    for name in &names {
        space.bao.write(&format!("{kv}/data/{name}"), json!({ "data": { "k": "one" } }));
    }
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let files: Vec<_> = names.iter().map(|name| format!("{name}: \"vault:{kv}/data/{name}#k\"")).collect();
    let config = format!("{}refresh: 1h\nfiles: {{ {} }}\n", space.vault(&login), files.join(", "));
    let mut running = case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || names.iter().all(|name| delivered(&case.volume(), name) == "one").then_some(()));
    let asked = space.requests();
    let (logins, reads) =
        (asked.iter().filter(|said| **said == format!("update {}", login.path)).count(), asked.len() - 1);
    assert_eq!((logins, reads), (1, 200), "{:?}", asked.iter().take(5).collect::<Vec<_>>());
    let told = status(&case);
    assert_eq!(told["secrets"].as_array().unwrap().len(), 200);
    assert!(told["secrets"].as_array().unwrap().iter().all(|secret| secret["state"] == "fresh"), "{told}");
    for name in &names {
        space.bao.write(&format!("{kv}/data/{name}"), json!({ "data": { "k": "two" } }));
    }
    running.signal(libc::SIGHUP);
    running.until("all new", || names.iter().all(|name| delivered(&case.volume(), name) == "two").then_some(()));
    let told = running.stderr().matches("delivered 200 files").count();
    assert!(told <= 12, "{told} generations for one change of 200");
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_server_that_hangs_does_not_hold_the_end_up() {
    let stage = Stage::new("6s", "1h");
    let login = stage.space.approle(&stage.case, &[&stage.creds()]);
    let proxy = Proxy::before(stage.space.bao.port);
    let mut running = stage.delivering(&stage.space.vault_at(&proxy.address(), &login));
    proxy.always(Plan::Hang);
    let before = proxy.requests().len();
    running.until("renewal under way", || (proxy.requests().len() > before).then_some(()));
    let asked = Instant::now();
    running.signal(libc::SIGTERM);
    let outcome = running.end();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(outcome.err().contains("ends by itself"), "{outcome}");
}

#[test]
fn a_signal_in_any_phase_ends_it_and_leaves_nothing() {
    for millis in [0, 5, 15, 30, 60, 120] {
        let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
        let kv = space.kv2(&[("a", json!({ "k": "one" }))]);
        let login = space.approle(&case, &[&format!("{kv}/data/*")]);
        let config = format!("{}files: {{ a: \"vault:{kv}/data/a#k\" }}\n", space.vault(&login));
        let running = case.with_files(&config).command("sidecar").start();
        std::thread::sleep(Duration::from_millis(millis));
        running.signal(libc::SIGTERM);
        let outcome = running.end();
        // Before it has blocked its signals it ends as any program does.
        assert!(matches!((outcome.code(), outcome.signal()), (Some(0 | 143), _) | (_, Some(15))), "{outcome}");
        for accessor in space.accessors() {
            assert!(!space.bao.token_lives(&accessor), "a token lives on ({millis} ms)");
        }
    }
}

/// How often `needle` stands in the private memory of a process.
fn copies(pid: i32, needle: &str) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut memory = fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|flags| flags.starts_with("rw"))) {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let (start, end) = (number(start), number(end));
        let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
        if memory.seek(SeekFrom::Start(start)).is_err() || memory.read_exact(&mut bytes).is_err() {
            continue;
        }
        found += bytes.windows(needle.len()).filter(|window| *window == needle.as_bytes()).count();
    }
    found
}

#[test]
fn no_old_value_and_at_most_one_copy_of_a_current_one_stays_in_memory() {
    needs_root!();
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let kv = space.kv2(&[("a", json!({ "k": "canary-old-a81c" })), ("b", json!({ "k": "canary-kept-77e2" }))]);
    let login = space.approle(&case, &[&format!("{kv}/data/*")]);
    let config = format!(
        "{}refresh: 1s\nfiles: {{ a: \"vault:{kv}/data/a#k\", \
         both: {{ template: \"{{{{ secret('vault:{kv}/data/a#k') }}}}+{{{{ secret('vault:{kv}/data/b#k') }}}}\" }} }}\n",
        space.vault(&login)
    );
    let mut running = case.with_files(&config).command("sidecar").start();
    running.until("first delivery", || (!generation(&case.volume()).is_empty()).then_some(()));
    space.bao.write(&format!("{kv}/data/a"), json!({ "data": { "k": "canary-new-5b3d" } }));
    running.until("change", || (delivered(&case.volume(), "a") == "canary-new-5b3d").then_some(()));
    // Between two rounds of reads nothing is under way.
    let pid = running.pid();
    let mut last = (0, 0, 0);
    running.until("quiet memory", || {
        last = (copies(pid, "canary-old-a81c"), copies(pid, "canary-new-5b3d"), copies(pid, "canary-kept-77e2"));
        std::thread::sleep(Duration::from_millis(100));
        (last.0 == 0 && last.1 <= 1 && last.2 <= 1).then_some(())
    });
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(137));
        assert_eq!(copies(pid, "canary-old-a81c"), 0, "an old value stays in memory");
    }
    running.signal(libc::SIGTERM);
    assert_eq!(running.end().code(), Some(0));
}
