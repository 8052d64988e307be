//! What ends by itself without a lease, in the modes where nobody of ours stays.

use serde_json::json;

use support::*;

/// A corner with an SSH signer whose certificates live for an hour; its path.
fn signer(space: &Space<'_>) -> String {
    let ssh = format!("ssh-{}", space.id);
    space.bao.write(&format!("sys/mounts/{ssh}"), json!({ "type": "ssh" }));
    space.bao.write(&format!("{ssh}/config/ca"), json!({ "generate_signing_key": true, "key_type": "ed25519" }));
    let role = json!({
        "key_type": "ca", "allow_user_certificates": true, "allowed_users": "*", "default_user": "app", "ttl": "1h",
    });
    space.bao.write(&format!("{ssh}/roles/web"), role);
    format!("{ssh}/sign/web")
}

const KEY: &str = "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIIJ5Jj2mVn0MJmNnYAoqTMsRnsAdzQp0kz1dWLHXdQXT";

#[test]
fn a_signed_key_that_dies_while_the_app_runs_is_refused_or_accepted() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let path = signer(&space);
    let login = space.approle(&case, &[&path]);
    let config = format!("{}env: {{ K: \"vault:{path}?public_key={KEY}#signed_key\" }}\n", space.vault(&login));
    let says = ["it has an end, and nothing would replace it", "--supervise", "--leave-leases", "expires at"];
    case.refused(case.with_config(&config), 64, &says);
    let files = config.replace("env:", "files:");
    case.with_files(&files).command("init").output().refused(64, &says);
    let outcome = case.with_config(&config).arg("--leave-leases").sh("printf %s \"$K\"").output();
    assert!(outcome.ok().contains("-cert-v01@openssh.com"), "{outcome}");
    assert!(outcome.err().contains("nothing replaces it, it expires at"), "{outcome}");
    // A signed key needs no token of ours.
    assert!(space.accessors().iter().all(|accessor| !space.bao.token_lives(accessor)));

    let shown = case.with_files(&files).command("check").arg("--online").output();
    assert!(shown.ok().contains("expires in 35") || shown.ok().contains("expires in 3600"), "{shown}");
    let refused = case.with_config(&config).command("check").args(&["--online", "--", "true"]).output();
    refused.refused(64, &["it has an end"]);
}

#[test]
fn a_child_token_that_is_accepted_keeps_its_parent_alive() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let login = space.approle(&case, &["auth/token/create"]);
    let config = format!("{}env: {{ T: \"vault:auth/token/create?ttl=1h#accessor\" }}\n", space.vault(&login));
    case.refused(case.with_config(&config), 64, &["it has an end, at the latest with our token"]);
    let outcome = case.with_config(&config).arg("--leave-leases").sh("printf %s \"$T\"").output();
    assert!(space.bao.token_lives(outcome.ok().trim()), "the app was given a dead token\n{outcome}");
}

#[test]
fn what_states_no_end_is_said_by_check() {
    let (case, space) = (Case::new(), Space::new(OpenBao::shared()));
    let mount = format!("transit-{}", space.id);
    space.bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "transit" }));
    space.bao.write(&format!("{mount}/keys/k"), json!({}));
    let path = format!("{mount}/encrypt/k");
    let login = space.approle(&case, &[&path]);
    let config = format!("{}env: {{ C: \"vault:{path}?plaintext=eA==#ciphertext\" }}\n", space.vault(&login));
    let shown = case.with_config(&config).command("check").arg("--online").output();
    assert!(shown.ok().contains("no end that we know"), "{shown}");
    case.with_config(&config).sh("true").output().ok();
}
