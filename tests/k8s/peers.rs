//! Whoever comes from another injector finds every key it has, with ours beside it or the reason why there is none.

use std::collections::BTreeSet;

use crate::support::root;

/// `vault-k8s`, agent-inject/agent/annotations.go.
const VAULT_AGENT: &str = "
agent-auto-auth-exit-on-err agent-cache-enable agent-cache-exit-on-err agent-cache-listener-port
agent-cache-use-auto-auth-token agent-configmap agent-copy-volume-mounts agent-disable-idle-connections
agent-disable-keep-alives agent-enable-quit agent-extra-secret agent-image agent-init-first agent-init-json-patch agent-inject
agent-inject-command-NAME agent-inject-containers agent-inject-default-template agent-inject-file-NAME
agent-inject-perms-NAME agent-inject-secret-NAME agent-inject-status agent-inject-template-NAME
agent-inject-template-file-NAME agent-inject-token agent-json-patch agent-limits-cpu agent-limits-ephemeral agent-limits-mem
agent-metrics-listener-port agent-pre-populate agent-pre-populate-only agent-request-namespace agent-requests-cpu
agent-requests-ephemeral agent-requests-mem agent-revoke-grace agent-revoke-on-shutdown agent-run-as-group
agent-run-as-same-user agent-run-as-user agent-service-account-token-volume-name agent-set-security-context
agent-share-process-namespace agent-telemetry-NAME auth-config-NAME auth-max-backoff auth-min-backoff auth-path auth-type
ca-cert ca-key client-cert client-key client-max-retries client-timeout error-on-missing-key-NAME go-max-procs log-format
log-level namespace preserve-secret-case proxy-address role secret-volume-path secret-volume-path-NAME service
template-config-exit-on-retry-failure template-lease-renewal-threshold template-max-connections-per-host
template-static-secret-render-interval tls-secret agent-template-left-delim-NAME agent-template-right-delim-NAME
preserve-secret-case-NAME
tls-server-name tls-skip-verify";

/// `vault-secrets-webhook` and `secrets-webhook`, pkg/common/common.go.
const BANK_VAULTS: &str = "
enable-json-log log-level mutate mutate-containers mutate-probes provider psp-allow-privilege-escalation readonly-root-fs
registry-skip-verify run-as-group run-as-non-root run-as-user secret-init-daemon secret-init-delay secret-init-image
secret-init-image-pull-policy secret-init-json-log service-account-token-volume-name token-auth-mount transit-batch-size
transit-key-id transit-path vault-addr vault-agent vault-agent-configmap vault-agent-cpu vault-agent-cpu-limit
vault-agent-cpu-request vault-agent-env-variables vault-agent-memory vault-agent-memory-limit vault-agent-memory-request
vault-agent-once vault-agent-share-process-namespace vault-auth-method vault-client-timeout vault-configfile-path
vault-ct-configmap vault-ct-cpu vault-ct-image vault-ct-inject-in-initcontainers vault-ct-memory vault-ct-once
vault-ct-pull-policy vault-ct-secrets-mount-path vault-ct-share-process-namespace vault-env-daemon vault-env-delay
vault-env-from-path vault-env-image vault-env-image-pull-policy vault-env-passthrough vault-from-path vault-image
vault-image-pull-policy vault-ignore-missing-secrets vault-log-level vault-namespace vault-passthrough vault-path vault-role
vault-service-account-token-volume-name vault-serviceaccount vault-skip-verify vault-tls-secret vault-token-auth-mount
vault-transit-batch-size vault-transit-key-id vault-transit-path";

/// The driver's `SecretProviderClass`, and the parameters of the providers for Vault and AWS.
const CSI: &str = "
provider secretObjects secretName type labels annotations data secretProviderClass nodePublishSecretRef vaultAddress
vaultNamespace roleName vaultKubernetesMountPath vaultAuthMountPath audience vaultCACertPath vaultCADirectory
vaultTLSServerName vaultSkipTLSVerify vaultTLSClientCertPath vaultTLSClientKeyPath objectName secretPath secretKey secretArgs
method filePermission encoding objectAlias objectType objectVersion objectVersionLabel jmesPath objectTemplate region
failoverRegion failoverObject pathTranslation usePodIdentity preferredAddressType";

/// The rows of a page's tables: what is theirs, what is ours.
fn rows(page: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("docs").join(page)).unwrap();
    let text = &text[text
        .find("## Every annotation")
        .or(text.find("## Annotations"))
        .or(text.find("## SecretProvider"))
        .unwrap()..];
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    rows.filter(|(theirs, _)| *theirs != "theirs").map(|(theirs, ours)| (theirs.to_owned(), ours.to_owned())).collect()
}

/// What stands between backticks, without a value behind a colon.
fn names(theirs: &str) -> impl Iterator<Item = &str> {
    theirs.split('`').skip(1).step_by(2).map(|name| name.split(':').next().unwrap())
}

/// The code knows each key of the Agent Injectors, and no other.
#[test]
fn the_dialect_of_vault_has_every_key() {
    let known: BTreeSet<&str> = secret_exec::k8s::dialects::docs::vault_agent_injector_keys().into_iter().collect();
    let theirs: BTreeSet<&str> = VAULT_AGENT.split_whitespace().collect();
    assert_eq!(known, theirs);
}

#[test]
fn every_key_of_the_peers_is_answered() {
    for (page, known) in [
        ("coming-from-vault-agent-injector.md", VAULT_AGENT),
        ("coming-from-bank-vaults.md", BANK_VAULTS),
        ("coming-from-secrets-store-csi.md", CSI),
    ] {
        let rows = rows(page);
        let said: BTreeSet<&str> = rows.iter().flat_map(|(theirs, _)| names(theirs)).collect();
        let theirs: BTreeSet<&str> = known.split_whitespace().collect();
        let missing: Vec<_> = theirs.difference(&said).collect();
        assert!(missing.is_empty(), "{page} does not answer {missing:?}");
        let invented: Vec<_> = said.difference(&theirs).filter(|name| !name.starts_with("--")).collect();
        assert!(invented.is_empty(), "{page} has keys that are not theirs: {invented:?}");
        for (theirs, ours) in &rows {
            let is_answered = [
                "secret-exec.dev/",
                "the operator's",
                "not needed: ",
                "not supported",
                "`vault:",
                "`aws-sm:",
                "` of the file",
                "#KEY",
            ]
            .iter()
            .any(|answer| ours.contains(answer));
            assert!(is_answered, "{page}: {theirs}: {ours}");
        }
    }
}
