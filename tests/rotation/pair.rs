//! What `docs/reading-a-pair.md` shows: nobody mixes two pairs, however the change falls, and the wrong way does.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

/// The code blocks of the page in a language.
fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reading-a-pair.md")).unwrap();
    let start = format!("\n```{language}\n");
    let parts = page.split(&start).skip(1).map(|rest| rest.split("\n```").next().unwrap());
    parts.map(str::to_owned).collect()
}

fn local(pair: &str) -> String {
    format!("vault:secret/data/db: {{ data: {{ username: user-{pair}, password: password-{pair} }} }}\n")
}

/// Runs a reader in a volume that a sidecar keeps fresh, and lets the pair change exactly between its two reads: the user
/// name it opens is a pipe, and nothing comes out of that before the change is there.
fn read_across_a_change(reader: &mut Command) -> String {
    let case = Case::new();
    let path = case.write("local.yaml", local("old"));
    let config = "refresh: 1s\nfiles: { username: \"vault:secret/data/db#username\", password: \"vault:secret/data/db#password\" }\n";
    let mut sidecar = case.with_files(config).arg("--local").arg(&path).command("sidecar").start();
    let volume = case.volume();
    let password = || fs::read_to_string(volume.join("password")).unwrap_or_default();
    sidecar.until("first pair", || (password() == "password-old").then_some(()));

    let generation = volume.join(fs::read_link(volume.join("..data")).unwrap());
    let pipe = generation.join("username");
    fs::set_permissions(&generation, fs::Permissions::from_mode(0o700)).unwrap();
    fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = reader.env("SECRET_EXEC_DIR", &volume).stdout(Stdio::piped()).spawn().unwrap();
    let mut end = wait_for("somebody reads the user name", || {
        fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&pipe).ok()
    });
    case.write("local.yaml", local("new"));
    sidecar.until("next pair", || (password() == "password-new").then_some(()));
    end.write_all(b"user-old").unwrap();
    drop(end);

    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success());
    sidecar.signal(libc::SIGTERM);
    sidecar.end();
    String::from_utf8(output.stdout).unwrap()
}

fn found(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.exists())
}

#[test]
fn two_reads_through_two_names_can_mix_two_pairs() {
    let script = format!("{}\nprintf '%s %s' \"$user\" \"$password\"", blocks("sh")[0]);
    assert_eq!(read_across_a_change(Command::new("sh").args(["-c", &script])), "user-old password-new");
}

#[test]
fn the_lines_for_the_shell_read_one_pair() {
    let script = format!("{}\nprintf '%s %s' \"$user\" \"$password\"", blocks("sh")[1]);
    assert_eq!(read_across_a_change(Command::new("sh").args(["-c", &script])), "user-old password-old");
}

#[test]
fn the_lines_for_python_read_one_pair() {
    let script = format!("{}\nprint(user, password, end='')", blocks("python")[0]);
    assert_eq!(read_across_a_change(Command::new(python()).args(["-c", &script])), "user-old password-old");
}

#[test]
fn the_lines_for_node_read_one_pair() {
    let Some(node) = found("node") else { return eprintln!("LEFT OUT the page's lines for Node.js (no node here)") };
    let script = format!("{}\nprocess.stdout.write(user + ' ' + password);", blocks("js")[0]);
    assert_eq!(read_across_a_change(Command::new(node).args(["-e", &script])), "user-old password-old");
}

#[test]
fn the_lines_for_java_read_one_pair() {
    let Some(java) = found("java").filter(|_| found("javac").is_some()) else {
        return eprintln!("LEFT OUT the page's lines for Java (no compiler here)");
    };
    let source = format!(
        "import java.nio.file.*;\nclass Pair {{ public static void main(String[] a) throws Exception {{\n{}\nSystem.out.print(user + \" \" + password); }} }}\n",
        blocks("java")[0]
    );
    let case = Case::new();
    let file = case.write("Pair.java", source);
    assert_eq!(read_across_a_change(Command::new(java).arg(file)), "user-old password-old");
}
