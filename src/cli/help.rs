//! `--help`, from the same table that parses.

use std::fmt::Write;

use super::args::SETTINGS;

const USAGE: &str = "\
secret-exec stands between a container and its secrets: it proves who the workload is to
Vault/OpenBao or AWS Secrets Manager, fetches secrets, writes them to memory only, drops
privileges and starts the app.

Usage:
  secret-exec [OPTIONS] -- COMMAND [ARG]...   fetch, deliver, drop privileges, exec
  secret-exec --supervise [OPTIONS] -- CMD    the same, but stay as its parent
  secret-exec init     [OPTIONS]              fetch, deliver, exit
  secret-exec sidecar  [OPTIONS]              fetch, deliver, keep fresh until SIGTERM, then revoke
  secret-exec check    [OPTIONS] [--online | --policy | --local-skeleton]
                                              explain the plan; try it; print the least policy; print a --local file
  secret-exec status   [--ready] [--json]     ask a running supervisor or sidecar
  secret-exec refresh  [--json]               ask it to read everything again
  secret-exec install PATH                    copy this program to PATH
  secret-exec schema                          print the JSON Schema of the config file

Options:
";

const TAIL: &str = "
References:
  vault:PATH[?version=N][#KEY]     the logical path, as in `vault read`
  vault:PATH?[param=value&…][#KEY] a write, as in `vault write`
  aws-sm:NAME-OR-ARN[?stage=S&version=V&role=ARN][#KEY]
  arn:aws…:secretsmanager:REGION:ACCOUNT:secret:NAME[:json-key:stage:version]
  file:PATH[#KEY]                  a file already mounted
  NAME[#KEY]                       an entry of `secrets` in the config

Exit codes: the app's own; 64 usage or config; 65 a secret is missing or malformed; 69 backend not
reached in time; 71 privileges; 73 volume; 77 denied; 126/127 command not executable/not found.
";

/// The whole text.
pub(super) fn text() -> String {
    let mut out = String::from(USAGE);
    let mut row = |name: &str, value: Option<&str>, help: &str| {
        let left = value.map_or_else(|| format!("--{name}"), |value| format!("--{name} {value}"));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  {left:<24} {help}");
    };
    row("config", Some("FILE"), "settings and references, YAML");
    row("annotations", Some("FILE"), "the pod's annotations, a downward-API file");
    for setting in SETTINGS {
        row(setting.name, setting.value, setting.help);
    }
    row("help", None, "this text");
    row("version", None, "the version");
    out.push_str(TAIL);
    out
}
