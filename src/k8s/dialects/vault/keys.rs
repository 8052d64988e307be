//! The table of all annotations of the Agent Injectors of Vault and OpenBao, and their treatment.

use super::super::table::Fate::{self, Denied, Honoured, Ignored};
use super::super::table::Key;
use super::super::table::Value::{self, Any, Bool, Count, Duration, Integer, Quantity};

/// Builds a row of the table.
const fn key(name: &'static str, value: Value, fate: Fate, own: &'static str) -> Key {
    Key { name, value, fate, own }
}

const HERE: Fate = Honoured("the same");
const NO_CACHE: &str = "there is no proxy to Vault in the pod: the app reads files, or talks to Vault itself";
const RESOURCES: &str = "`secret-exec.dev/resources`";
const CONNECTIONS: Fate = Ignored("connections are few, and closed after each round");
const ENDS: &str = "a start that fails ends within secret-exec.dev/timeout; later an outage keeps the last files";
const BOUNDED: Fate = Ignored("secret-exec.dev/timeout bounds a start, and retries wait longer each time");

/// The table of annotations.
pub(in crate::k8s::dialects) static KEYS: &[Key] = &[
    key(
        "agent-inject",
        Bool,
        Honoured("asks for injection; no other key does"),
        "not needed: any annotation of secret-exec.dev requests injection; `secret-exec.dev/inject: \"false\"` switches off",
    ),
    key(
        "agent-inject-status",
        Any,
        Honoured("`injected` leaves the pod alone"),
        "not needed: injecting twice changes nothing",
    ),
    key(
        "agent-inject-secret-NAME",
        Any,
        Honoured("the secret at this path, as the default template writes it, unless there is a template of its own"),
        "`secret-exec.dev/file.NAME: vault:PATH#KEY`, or `secret-exec.dev/secret.NAME` for templates",
    ),
    key(
        "agent-inject-template-NAME",
        Any,
        Honoured("the template, in the same language; checked at admission"),
        "`secret-exec.dev/template.NAME`; its syntax is checked at admission",
    ),
    key(
        "agent-inject-template-file-NAME",
        Any,
        Denied("the injected container has no such file; put the text into agent-inject-template-NAME"),
        "the text in `secret-exec.dev/template.NAME`; in modes exec and supervise also `templateFile` in `secret-exec.dev/config`",
    ),
    key("agent-template-left-delim-NAME", Any, HERE, "`leftDelimiter` of the file in `secret-exec.dev/config`"),
    key("agent-template-right-delim-NAME", Any, HERE, "`rightDelimiter` of the file in `secret-exec.dev/config`"),
    key(
        "agent-inject-default-template",
        Any,
        Honoured("`map` or `json`, to the byte"),
        "`secret-exec.dev/format.NAME`, for each file",
    ),
    key(
        "agent-inject-file-NAME",
        Any,
        Honoured("the file's name below its volume path"),
        "the file is called NAME; with `/` in it: `files` in `secret-exec.dev/config`",
    ),
    key(
        "agent-inject-perms-NAME",
        Any,
        Honoured(
            "the mode, without rights for everybody: who may read by `0644` is the pod's group, and a warning says so",
        ),
        "`mode` in `secret-exec.dev/config`: `files: { key: { from: …, mode: \"0440\" } }`",
    ),
    key(
        "agent-inject-command-NAME",
        Any,
        Honoured(
            "`kill`, `pkill` and `killall` with a signal and a process, and a POST to loopback by `curl` or `wget`, become `secret-exec.dev/on-change`; `chmod MODE` of its file is the file's mode; `kill … 1`, which never reached the app, is ignored with a warning; the injected container has no shell, so any other command is refused",
        ),
        "`secret-exec.dev/on-change`: `signal:HUP@nginx`, `http:http://127.0.0.1:8080/reload`; with `supervise`: `restart`",
    ),
    key(
        "agent-inject-containers",
        Any,
        Honoured("these containers, or all; init containers always, unless agent-pre-populate is false"),
        "`secret-exec.dev/containers` (theirs: every container; ours: the only or default one)",
    ),
    key(
        "agent-inject-token",
        Bool,
        Honoured("the login's token in the file `token`; it is read again with `refresh`"),
        "`secret-exec.dev/file.token: vault:auth/token/lookup-self#id`; with it the app may do all that the Vault role may",
    ),
    key("agent-image", Any, Ignored("the operator's image is injected"), "the operator's `image`"),
    key(
        "agent-request-namespace",
        Any,
        Ignored("nothing in the pod reads it"),
        "not needed: nothing in the pod reads it",
    ),
    key(
        "agent-init-first",
        Bool,
        Honoured("ours always runs first, or right after the last native sidecar"),
        "not needed: ours runs first, or right after the last native sidecar",
    ),
    key(
        "agent-pre-populate",
        Bool,
        Honoured("the app never starts without its secrets; `false` leaves init containers out"),
        "not needed: the app never starts without its secrets",
    ),
    key(
        "agent-pre-populate-only",
        Bool,
        Honoured("an init container only, which leaves token and leases to their end"),
        "`secret-exec.dev/mode: init`",
    ),
    key(
        "agent-configmap",
        Any,
        Denied(
            "an agent's own configuration is not run here; write it as annotations: docs/coming-from-vault-agent-injector.md says which",
        ),
        "`secret-exec.dev/config`",
    ),
    key(
        "agent-extra-secret",
        Any,
        Denied(
            "nothing of the app's is mounted into the injected container; a private CA is the operator's vault.ca, or tls-secret with ca-cert",
        ),
        "not supported: nothing of the app's is mounted into ours",
    ),
    key(
        "agent-copy-volume-mounts",
        Any,
        Ignored("nothing of the app's is mounted into the injected container, and nothing there reads it"),
        "not supported: nothing of the app's is mounted into ours",
    ),
    key("agent-limits-cpu", Quantity, HERE, RESOURCES),
    key("agent-limits-mem", Quantity, Honoured("the same; at least the volume's size and 16Mi"), RESOURCES),
    key("agent-limits-ephemeral", Quantity, HERE, RESOURCES),
    key("agent-requests-cpu", Quantity, HERE, RESOURCES),
    key("agent-requests-mem", Quantity, HERE, RESOURCES),
    key("agent-requests-ephemeral", Quantity, HERE, RESOURCES),
    key(
        "agent-revoke-on-shutdown",
        Bool,
        Honoured("token and leases are always revoked when a sidecar ends"),
        "not needed: token and leases are revoked when the pod ends",
    ),
    key(
        "agent-revoke-grace",
        Count,
        Honoured("with agent-revoke-on-shutdown: so many seconds later"),
        "`secret-exec.dev/revoke-delay`",
    ),
    key(
        "agent-run-as-user",
        Integer,
        Honoured("the user of the injected container; root is refused"),
        "`secret-exec.dev/run-as: \"UID:GID\"`; not needed for reading",
    ),
    key(
        "agent-run-as-group",
        Integer,
        Honoured("its group"),
        "`secret-exec.dev/run-as: \"UID:GID\"`; not needed for reading",
    ),
    key(
        "agent-run-as-same-user",
        Bool,
        Honoured("the user of the first container"),
        "`secret-exec.dev/run-as: \"UID:GID\"`; not needed for reading",
    ),
    key(
        "agent-set-security-context",
        Bool,
        Ignored("a security context is always set, as Pod Security \"restricted\" expects"),
        "not needed: always set, as Pod Security \"restricted\" asks",
    ),
    key(
        "agent-share-process-namespace",
        Bool,
        Honoured("`true` shares it; a pod that says `false` itself is refused"),
        "not needed: set when `secret-exec.dev/on-change` names a process, and only then",
    ),
    key(
        "agent-service-account-token-volume-name",
        Any,
        Ignored("a token with its own audience is projected into the injected container"),
        "not needed: the token is projected with its own audience",
    ),
    key("agent-cache-enable", Bool, Denied(NO_CACHE), "not supported: there is no proxy to Vault in the pod"),
    key(
        "agent-cache-use-auto-auth-token",
        Any,
        Ignored(NO_CACHE),
        "not supported: there is no proxy to Vault in the pod",
    ),
    key("agent-cache-listener-port", Any, Ignored(NO_CACHE), "not supported: there is no proxy to Vault in the pod"),
    key("agent-cache-exit-on-err", Bool, Ignored(NO_CACHE), "not supported: there is no proxy to Vault in the pod"),
    key(
        "agent-enable-quit",
        Bool,
        Ignored("there is no quit endpoint: a native sidecar ends with the pod"),
        "not needed: a native sidecar ends with the pod",
    ),
    key(
        "agent-telemetry-NAME",
        Any,
        Ignored("metrics are served with secret-exec.dev/metrics"),
        "`secret-exec.dev/metrics`",
    ),
    key(
        "agent-metrics-listener-port",
        Integer,
        Ignored("metrics are served with secret-exec.dev/metrics"),
        "`secret-exec.dev/metrics`",
    ),
    key(
        "agent-json-patch",
        Any,
        Denied("what is injected is the operator's; another webhook may change the container, and that stays"),
        "not supported: what is injected is the operator's; another webhook may change our container, and that stays",
    ),
    key(
        "agent-init-json-patch",
        Any,
        Denied("what is injected is the operator's; another webhook may change the container, and that stays"),
        "not supported: what is injected is the operator's; another webhook may change our container, and that stays",
    ),
    key(
        "agent-auto-auth-exit-on-err",
        Bool,
        Ignored(ENDS),
        "not needed: a start that fails ends, within `secret-exec.dev/timeout`; later an outage keeps the last files",
    ),
    key(
        "template-config-exit-on-retry-failure",
        Bool,
        Ignored(ENDS),
        "not needed: a start that fails ends, within `secret-exec.dev/timeout`; later an outage keeps the last files",
    ),
    key(
        "error-on-missing-key-NAME",
        Bool,
        Honoured("`false`, the default: a missing key is written as `<no value>`"),
        "`errorOnMissingKey` of the file in `secret-exec.dev/config`, for Go templates; in a Jinja template a missing key is always an error, unless it says `default`",
    ),
    key("template-static-secret-render-interval", Duration, HERE, "`secret-exec.dev/refresh`"),
    key(
        "template-lease-renewal-threshold",
        Any,
        Honoured("a part of the lease from 0.3 to 0.8; Vault's injector only"),
        "`secret-exec.dev/renewal-at`",
    ),
    key(
        "template-max-connections-per-host",
        Integer,
        CONNECTIONS,
        "not needed: connections are few, and closed after each round",
    ),
    key(
        "agent-disable-idle-connections",
        Any,
        CONNECTIONS,
        "not needed: connections are few, and closed after each round",
    ),
    key("agent-disable-keep-alives", Any, CONNECTIONS, "not needed: connections are few, and closed after each round"),
    key("go-max-procs", Any, Ignored("the program works on one thread"), "not needed: it works on one thread"),
    key(
        "secret-volume-path",
        Any,
        Honoured("the files stand there; `/vault/secrets` by default"),
        "`secret-exec.dev/volume`",
    ),
    key(
        "secret-volume-path-NAME",
        Any,
        Honoured("this file stands there"),
        "not supported: one directory for all; names with `/` in `secret-exec.dev/config` make folders",
    ),
    key(
        "preserve-secret-case",
        Bool,
        Honoured("names are lower case without it"),
        "not needed: names are as you write them",
    ),
    key(
        "preserve-secret-case-NAME",
        Bool,
        Honoured("the same for one name"),
        "not needed: names are as you write them",
    ),
    key("role", Any, HERE, "`secret-exec.dev/vault-role`"),
    key(
        "namespace",
        Any,
        Honoured("the same, unless the operator sets `vault.namespace`"),
        "`secret-exec.dev/vault-namespace`",
    ),
    key(
        "service",
        Any,
        Honoured("the operator's address, or one that `allowAddresses` lists"),
        "the operator's `vault.address`; `secret-exec.dev/vault-address` where `allowAddresses` lists it",
    ),
    key(
        "auth-type",
        Any,
        Honoured("kubernetes, jwt or aws, unless the operator sets another"),
        "the operator's `vault.auth.method`; `secret-exec.dev/vault-auth-method` where the operator leaves it open",
    ),
    key(
        "auth-path",
        Any,
        Honoured("the mount, with or without `auth/`, unless the operator sets another"),
        "the operator's `vault.auth.mount`; `secret-exec.dev/vault-auth-mount` where the operator leaves it open",
    ),
    key(
        "auth-config-NAME",
        Any,
        Honoured(
            "`role`, `region` and `header-value`; paths of tokens are ignored with a warning, because the token is projected",
        ),
        "the operator's `vault.auth`, and `secret-exec.dev/vault-auth-role` and its like",
    ),
    key("auth-min-backoff", Duration, BOUNDED, "`secret-exec.dev/timeout` bounds all of it"),
    key("auth-max-backoff", Duration, BOUNDED, "`secret-exec.dev/timeout` bounds all of it"),
    key("client-max-retries", Any, BOUNDED, "`secret-exec.dev/timeout` bounds all of it"),
    key("client-timeout", Any, BOUNDED, "`secret-exec.dev/timeout` bounds all of it"),
    key(
        "ca-cert",
        Any,
        Honoured(
            "a file of `tls-secret`, below `/vault/tls/`, where the operator sets no `vault.ca`; else the operator's CA counts, with a warning",
        ),
        "the operator's `vault.ca`",
    ),
    key(
        "tls-secret",
        Any,
        Honoured(
            "the files of it that `ca-cert`, `client-cert` and `client-key` name are mounted into the injected container",
        ),
        "the operator's `vault.ca`",
    ),
    key(
        "ca-key",
        Any,
        Ignored("the key of a CA is nothing that a client needs"),
        "not supported: an injected container has no files of the app's; `vault.auth.method: cert` by hand",
    ),
    key(
        "client-cert",
        Any,
        Honoured("a file of `tls-secret`, below `/vault/tls/`"),
        "not supported: an injected container has no files of the app's; `vault.auth.method: cert` by hand",
    ),
    key(
        "client-key",
        Any,
        Honoured("a file of `tls-secret`, below `/vault/tls/`"),
        "not supported: an injected container has no files of the app's; `vault.auth.method: cert` by hand",
    ),
    key(
        "tls-server-name",
        Any,
        Ignored("the operator's vault.tlsServerName counts"),
        "the operator's `vault.tlsServerName`; never by annotation",
    ),
    key(
        "tls-skip-verify",
        Bool,
        Ignored("certificates are verified; only the operator may switch that off (vault.skipVerify)"),
        "the operator's `vault.skipVerify`; never by annotation",
    ),
    key(
        "proxy-address",
        Any,
        Ignored("the operator's vault.proxy counts"),
        "the operator's `vault.proxy`; never by annotation",
    ),
    key("log-level", Any, Honoured("trace, debug, info, warn or error"), "`secret-exec.dev/log-level`"),
    key("log-format", Any, Honoured("standard or json"), "`secret-exec.dev/log-format`"),
];
