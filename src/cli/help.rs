//! The end of each help text: examples and exit codes. Lines are at most 80 columns wide.

use clap::Command;

/// The exit codes of `secret-exec`, shown in the help of every command.
pub(super) const EXEC_EXITS: &str = "\
Exit codes:
  the app's own, or 128+n when a signal ended it
  64   wrong usage or config            73   volume not in memory, not writable
  65   a secret is missing, malformed   75   a secret expired (onExpired: stop)
  69   backend not reached in time      77   login or read denied
  70   a bug                            126  command not executable
  71   privileges not dropped           127  command not found";

/// The exit codes of `secret-inject`.
pub(super) const INJECT_EXITS: &str = "\
Exit codes:
  0    done                              69  the webhook cannot listen
  1    something would change (--check), 70  a bug
       or was not migrated
  64   wrong usage or config             71  the webhook cannot confine itself
  65   a manifest is wrong or refused    73  a file cannot be written
  75 and 77 are of secret-exec only: a secret expired, a login or read denied.";

/// Examples of the commands of `secret-exec`.
pub(super) const EXEC_EXAMPLES: &[(&str, &str)] = &[
    (
        "init",
        "secret-exec init --config /etc/secret-exec.yaml
  secret-exec init --run-as 1000:1000 --volume /run/secret-exec/files \\
              --file api-token=vault:secret/data/api#token",
    ),
    (
        "sidecar",
        "secret-exec sidecar --config /etc/secret-exec.yaml
  secret-exec sidecar --file db.env=vault:database/creds/web,format=dotenv \\
              --on-change signal:HUP@nginx --metrics 0.0.0.0:9102",
    ),
    (
        "check",
        "secret-exec check --config /etc/secret-exec.yaml --online
  secret-exec check --config /etc/secret-exec.yaml --policy
  secret-exec check --config /etc/secret-exec.yaml --local-skeleton > local.yaml",
    ),
    ("status", "secret-exec status --json\n  secret-exec status --ready --state /run/app-state"),
    ("refresh", "secret-exec refresh\n  kubectl exec web-0 -c secret-exec -- /secret-exec refresh"),
    ("install", "secret-exec install /shared/secret-exec"),
    ("schema", "secret-exec schema > secret-exec.schema.json"),
    (
        "completions",
        "secret-exec completions bash > /etc/bash_completion.d/secret-exec
  secret-exec completions zsh > \"${fpath[1]}/_secret-exec\"",
    ),
    ("man", "secret-exec man | man -l -\n  secret-exec man check > secret-exec-check.1"),
];

/// Examples of the commands of `secret-inject`.
pub(super) const INJECT_EXAMPLES: &[(&str, &str)] = &[
    (
        "webhook",
        "secret-inject webhook --config /etc/injector.yaml --metrics 0.0.0.0:9102 \\
                --tls-cert /tls/tls.crt --tls-key /tls/tls.key",
    ),
    (
        "manifest",
        "secret-inject manifest --config injector.yaml < app.yaml | kubectl apply -f -
  secret-inject manifest --config injector.yaml -f app.yaml --check",
    ),
    (
        "migrate",
        "secret-inject migrate -f app.yaml > migrated.yaml
  secret-inject migrate --config injector.yaml --check deploy/*.yaml",
    ),
    (
        "certs",
        "secret-inject certs --out certs
  secret-inject certs --out certs --namespace secret-exec --days 90",
    ),
    ("schema", "secret-inject schema > injector.schema.json"),
    (
        "completions",
        "secret-inject completions bash > /etc/bash_completion.d/secret-inject
  secret-inject completions zsh > \"${fpath[1]}/_secret-inject\"",
    ),
    ("man", "secret-inject man | man -l -\n  secret-inject man manifest > secret-inject-manifest.1"),
];

/// Adds to the help of each command its examples and the program's exit codes.
pub(super) fn with_ends(mut program: Command, examples: &[(&'static str, &str)], exits: &str) -> Command {
    for (name, lines) in examples {
        program = program.mut_subcommand(name, |sub| sub.after_help(format!("Examples:\n  {lines}\n\n{exits}")));
    }
    program
}
