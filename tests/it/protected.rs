//! No reference and no path of a configuration reaches what is ours: identity files, state, volume, `/proc`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::*;

/// The login's files, and other names for one of them.
fn login(case: &Case) -> (String, Vec<String>) {
    let token = case.write("identity/token", "identity-canary");
    let inside = |name: &str| token.parent().unwrap().join(name).display().to_string();
    symlink(&token, inside("link")).unwrap();
    fs::hard_link(&token, inside("hard")).unwrap();
    let login = format!(
        "vault: {{ address: \"http://127.0.0.1:9\", auth: {{ method: token-file, path: {} }} }}\n",
        token.display()
    );
    let root = format!("/proc/self/root{}", token.display());
    (login, vec![inside("token"), inside("link"), inside("hard"), inside("../identity//token"), root])
}

#[test]
fn a_reference_to_the_logins_own_file_is_refused_in_every_mode_and_layer() {
    let case = Case::new();
    let (login, names) = login(&case);
    for name in &names {
        let config = format!("{login}files: {{ s: \"file:{name}\" }}\n");
        let says = ["config.yaml", "file s", "cannot read file:", "name another file"];
        for mode in ["init", "sidecar", "check"] {
            let outcome = case.with_files(&config).command(mode).output();
            outcome.refused(64, &says);
            assert!(!outcome.err().contains("identity-canary"), "{outcome}");
        }
        case.refused(case.with_files(&config), 64, &says);
        case.refused(case.with_files(&config).arg("--supervise"), 64, &says);
        let flag = format!("X=file:{name}");
        case.refused(case.with_config(&login).args(&["--env", &flag]), 64, &["--env", "env X"]);
        for config in [
            format!("files: {{ s: {{ template: \"{{{{ secret('file:{name}') }}}}\" }} }}\n"),
            format!("files: {{ s: {{ templateFile: \"{name}\" }} }}\n"),
            format!("secrets: {{ n: \"file:{name}\" }}\nfiles: {{ s: n }}\n"),
        ] {
            case.refused(case.with_files(&format!("{login}{config}")), 64, &["name another file"]);
        }
        let config = format!("envFrom: [ {{ from: \"file:{name}\" }} ]\n");
        case.refused(case.with_config(&format!("{login}{config}")), 64, &["envFrom", "name another file"]);
        let ca = login.replace("auth:", &format!("caFile: \"{name}\", auth:"));
        case.refused(case.with_config(&format!("{ca}env: {{ X: \"vault:a/b#c\" }}\n")), 64, &["vault.caFile"]);
    }
}

#[test]
fn the_callers_own_credentials_are_no_reference_either() {
    let case = Case::new();
    let home = case.write("home/.vault-token", "x").parent().unwrap().to_owned();
    for name in [".aws/config", ".aws/credentials", ".aws/sso/cache/a.json", "web-token", "container-token", "p-token"]
    {
        case.write(&format!("home/{name}"), "x");
    }
    fs::write(home.join(".aws/config"), format!("[default]\nweb_identity_token_file = {}/p-token\n", home.display()))
        .unwrap();
    let at = |name: &str| home.join(name).display().to_string();
    for name in [
        ".vault-token",
        ".aws/config",
        ".aws/credentials",
        ".aws/sso/cache/a.json",
        "web-token",
        "container-token",
        "p-token",
    ] {
        let run = case.run().args(&["--env", &format!("X=file:{}", at(name))]).env("HOME", home.to_str().unwrap());
        let run = run.env("AWS_WEB_IDENTITY_TOKEN_FILE", at("web-token"));
        let run = run.env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", at("container-token"));
        case.refused(run, 64, &["--env", "name another file"]);
    }
}

#[test]
fn the_state_directory_the_volume_and_proc_are_no_reference() {
    let case = Case::new();
    let state = case.path("own-state");
    let below = |directory: &Path, name: &str| directory.join(name).display().to_string();
    for path in [
        below(&state, "state.json"),
        below(&case.volume(), "other"),
        "/proc/self/environ".to_owned(),
        "/dev/stdin".to_owned(),
        "/dev/fd/0".to_owned(),
        "/sys/kernel/uevent_seqnum".to_owned(),
        "/sys/fs/cgroup/cgroup.procs".to_owned(),
        "/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned(),
        "/var/run/secrets/eks.amazonaws.com/serviceaccount/token".to_owned(),
    ] {
        let config = format!("files: {{ s: \"file:{path}\" }}\n");
        let outcome = case.with_files(&config).args(&["--state", state.to_str().unwrap()]).command("init").output();
        outcome.refused(64, &["file s", "name another file"]);
    }
}

#[test]
fn what_the_kernel_shows_is_no_template_and_no_certificate() {
    let case = Case::new();
    std::os::unix::fs::symlink("/sys", case.path("linked")).unwrap();
    let linked = case.path("linked/kernel/uevent_seqnum").display().to_string();
    for path in ["/sys/kernel/uevent_seqnum", "/proc/self/environ", &linked] {
        case.refused(
            case.with_files(&format!("files: {{ s: {{ templateFile: \"{path}\" }} }}\n")),
            64,
            &["another file"],
        );
        let auth = format!("auth: {{ method: token-file, path: \"{}\" }}", case.path("token").display());
        let vault = |keys: &str| {
            format!("vault: {{ address: \"https://127.0.0.1:9\", {keys} }}\nenv: {{ X: \"vault:a/b#c\" }}\n")
        };
        case.write("token", "x");
        case.refused(
            case.with_config(&vault(&format!("caFile: \"{path}\", {auth}"))),
            64,
            &["vault.caFile", "another file"],
        );
        let auth = format!("auth: {{ method: token-file, path: \"{path}\" }}");
        case.refused(case.with_config(&vault(&auth)), 64, &["vault.auth.path", "another file"]);
    }
}

#[test]
fn an_annotation_of_a_pod_by_hand_runs_nothing_calls_nobody_and_reads_no_file_in_any_mode() {
    let case = Case::new();
    let mounted = case.secret("s", "value");
    let path = mounted.strip_prefix("file:").unwrap();
    for (key, value) in [
        ("on-change", "run:/bin/sh".to_owned()),
        ("on-change", "http:http://evil.example.com/".to_owned()),
        ("config", "onChange: [{ run: [/bin/sh] }]".to_owned()),
        ("config", "onChange: [{ http: 'http://127.0.0.1/', remote: true }]".to_owned()),
        ("config", format!("files: {{ a: {{ templateFile: {path} }} }}")),
        ("config", format!("vault: {{ caFile: {path} }}")),
        ("vault-ca-file", path.to_owned()),
        ("file.a", mounted.clone()),
    ] {
        let annotations = case.write("annotations", format!("secret-exec.dev/{key}=\"{value}\"\n"));
        let config = format!("files: {{ b: \"{mounted}\" }}\n");
        let says = [format!("annotation secret-exec.dev/{key}")];
        for mode in ["init", "sidecar", "check", "exec", "supervise"] {
            let run = case.with_files(&config).args(&["--annotations", annotations.to_str().unwrap()]);
            match mode {
                "exec" => drop(case.refused(run, 64, &[&says[0]])),
                "supervise" => drop(case.refused(run.arg("--supervise"), 64, &[&says[0]])),
                _ => run.command(mode).output().refused(64, &[&says[0]]),
            }
        }
    }
}

#[test]
fn an_annotation_names_no_file() {
    let case = Case::new();
    let mounted = case.secret("s", "value");
    for line in [
        format!("secret-exec.dev/file.s=\"{mounted}\"\n"),
        format!("secret-exec.dev/template.s=\"{{{{ secret('{mounted}') }}}}\"\n"),
        format!("secret-exec.dev/config=\"files: {{ s: '{mounted}' }}\"\n"),
        format!("secret-exec.dev/secret.n=\"{mounted}\"\nsecret-exec.dev/file.s=\"n\"\n"),
    ] {
        let annotations = case.write("annotations", line);
        let run = case.with_files("").args(&["--annotations", annotations.to_str().unwrap()]);
        let outcome = run.command("init").output();
        outcome.refused(64, &["annotation secret-exec.dev/", "annotations may not name files"]);
    }
}
