//! What users copy works: the examples run as they stand, and every manifest and config is one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of the repository; what it printed.
fn runs(script: &str) -> String {
    let output = Command::new(root().join(script)).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{script}: {}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

#[test]
fn the_quickstart_shows_the_main_job_and_leaves_nothing() {
    let said = runs("examples/quickstart/run");
    for text in ["vault:secret/data/db", "-r--------", "app.conf", "(scrubbed)", "become root      refused"] {
        assert!(
            said.contains(text) || text.starts_with("become root") && said.contains("change groups"),
            "no {text:?} in\n{said}"
        );
    }
    assert!(!said.contains("POSSIBLE"), "{said}");
    let left = fs::read_dir("/dev/shm")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("secret-exec-quickstart"));
    assert_eq!(left.count(), 0);
}

#[test]
fn the_openbao_example_gives_its_credential_back() {
    let said = runs("examples/openbao/run");
    for text in ["the database knows me as v-approle-web", "and nothing is left behind", "the credential is revoked"] {
        assert!(said.contains(text), "no {text:?} in\n{said}");
    }
}

/// The words of an instruction in a Dockerfile's exec form.
fn words(dockerfile: &str, instruction: &str) -> Vec<String> {
    let line = dockerfile.lines().find_map(|line| line.strip_prefix(instruction)).unwrap();
    serde_json::from_str(line.trim()).unwrap()
}

#[test]
fn the_wrapped_entrypoint_of_the_dockerfile_starts_its_app() {
    let folder = root().join("examples/docker");
    let dockerfile = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    let (entrypoint, command) = (words(&dockerfile, "ENTRYPOINT"), words(&dockerfile, "CMD"));
    assert_eq!((entrypoint[0].as_str(), entrypoint.last().unwrap().as_str()), ("/secret-exec", "--"));
    // Where the image has it, the folder has it.
    let case = Case::new();
    let here = |word: &str| {
        let copied = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")?.split_once(' '));
        let source = copied.filter(|(_, target)| *target == word).map(|(source, _)| source).next();
        source.map_or_else(|| word.into(), |source| case.write(source, fs::read(folder.join(source)).unwrap()))
    };
    let options: Vec<PathBuf> = entrypoint[1..entrypoint.len() - 1].iter().map(|word| here(word)).collect();
    let app: Vec<PathBuf> = command.iter().map(|word| here(word)).collect();
    fs::set_permissions(&app[0], std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let local = case.write("local.yaml", fs::read(folder.join("local.yaml")).unwrap());
    let run = case.run().args(&options).arg("--volume").arg(case.volume()).arg("--local").arg(local).app(&app);
    let said = run.output().ok();
    assert_eq!(said, "started with --port=8080\nSTRIPE_KEY has 9 characters\ndb.env has 2 variables\n");
}

#[test]
fn two_tmpfs_of_docker_are_all_that_a_user_without_rights_needs() {
    needs_root!();
    let folder = root().join("examples/docker");
    let compose = fs::read_to_string(folder.join("compose.yaml")).unwrap();
    let tmpfs: Vec<&str> = compose.lines().filter_map(|line| line.trim().strip_prefix("- /run/secret-exec")).collect();
    assert_eq!(tmpfs, ["", "-state"], "the two mounts of the test are those of the example");
    assert!(compose.contains("user: \"1000:1000\""));
    let case = Case::new();
    let copy = |name: &str| {
        let path = case.write(name, fs::read(folder.join(name)).unwrap());
        own(&path, 1000);
        path
    };
    let (config, local, server) = (copy("secret-exec.yaml"), copy("local.yaml"), copy("server"));
    fs::set_permissions(&server, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    // As docker mounts them, in a namespace of their own; /run is covered, so that the machine's stays as it is.
    let mounts = "mount -t tmpfs -o mode=755 run /run && mkdir /run/secret-exec /run/secret-exec-state && for at in \
                  /run/secret-exec /run/secret-exec-state; do mount -t tmpfs -o mode=1777,nosuid,nodev,noexec tmpfs $at || exit 99; \
                  done; exec setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs --bounding-set -all \"$0\" \"$@\"";
    let run = |supervise: &[&str]| {
        let run = case.run_bare().root().args(supervise).arg("--config").arg(&config).arg("--local").arg(&local);
        run.within(&["unshare", "--mount", "--propagation", "private", "sh", "-c", mounts])
    };
    let app = [server.display().to_string(), "--port=8080".to_owned()];
    let expected = "started with --port=8080\nSTRIPE_KEY has 9 characters\ndb.env has 2 variables\n";
    let wrapped = run(&[]).app(&app).output();
    assert_eq!(wrapped.ok(), expected, "{wrapped}");
    let ask = format!("{} && ls -ld $SECRET_EXEC_DIR && exec {} status", app.join(" "), program().display());
    let supervised = run(&["--supervise"]).app(&["/bin/sh", "-c", &ask]).output();
    let said = supervised.ok();
    assert!(said.starts_with(expected) && said.contains("/run/secret-exec/files\n"), "{supervised}");
    assert!(said.contains("ready: supervise"), "{supervised}");
    for outcome in [&wrapped, &supervised] {
        assert!(!outcome.err().contains("warning"), "{outcome}");
    }
    // Without them the message says what to mount, or to name.
    let bare =
        "mount -t tmpfs -o mode=755 run /run && exec setpriv --reuid 1000 --regid 1000 --clear-groups \"$0\" \"$@\"";
    let api = case.write("api", "k");
    own(&api, 1000);
    let file = format!("a=file:{}", api.display());
    let bare_run = |volume: &[&str]| {
        let run = case.run_bare().root().args(&["--file", &file]).args(volume);
        run.within(&["unshare", "--mount", "--propagation", "private", "sh", "-c", bare]).sh("cat $SECRET_EXEC_DIR/a")
    };
    let advice = "--volume, such as /dev/shm/secret-exec";
    bare_run(&[]).output().refused(73, &["cannot make /run/secret-exec", "--tmpfs", advice]);
    let shared = base().1.join(format!("shared-{}", unique()));
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    assert_eq!(bare_run(&["--volume", shared.join("files").to_str().unwrap()]).output().ok(), "k");
}

/// Every YAML file below a folder.
fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.ends_with("helm") {
            continue; // a chart: templates, which `tests/k8s/helm.rs` renders
        }
        if path.is_dir() {
            yaml_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

#[test]
fn every_manifest_and_config_we_ship_is_valid() {
    let case = Case::new();
    let schema = case.write("schema.json", case.run_bare().command("schema").output().ok().as_bytes());
    let mut files = Vec::new();
    yaml_files(&root().join("deploy"), &mut files);
    yaml_files(&root().join("examples"), &mut files);
    // A `--local` file answers references, and Helm and docker compose have files of their own: none is a config.
    let others = ["secrets.yaml", "local.yaml", "plugin.yaml", "compose.yaml"];
    files.retain(|path| path.file_name().is_some_and(|name| !others.iter().any(|other| name == *other)));
    assert!(files.len() >= 3, "{files:?}");
    let output =
        Command::new(python()).arg(root().join("tests/parts/manifests.py")).arg(schema).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
