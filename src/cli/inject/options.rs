//! The clap definition of `secret-inject`'s command line.

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, Command};

use crate::cli::help;
use crate::cli::options::{for_shells, switch, value};

const ABOUT: &str = "secret-inject adds secret-exec to pods that ask for it with secret-exec.dev/... annotations.";

const TAIL: &str = "\
Examples:
  secret-inject manifest --config injector.yaml < app.yaml | kubectl apply -f -
  secret-inject manifest --config injector.yaml -f app.yaml --check
  secret-inject migrate -f app.yaml > migrated.yaml
  secret-inject certs --out certs";

/// The whole command line of `secret-inject`.
pub(in crate::cli) fn command() -> Command {
    let file = |name, help| value(name, "FILE", help).action(ArgAction::Set);
    let program = Command::new("secret-inject")
        .about(ABOUT)
        .version(crate::cli::version::version())
        .after_help(format!("{TAIL}\n\n{}", help::INJECT_EXITS))
        .term_width(80)
        .subcommand(
            Command::new("webhook")
                .about("Serve the admission webhook: POST /mutate, and /livez, /readyz.")
                .override_usage("secret-inject webhook [OPTIONS] --config <FILE> --tls-cert <FILE>\n                             --tls-key <FILE>")
                .arg(file("config", "The injector's config, as YAML.").required(true))
                .arg(
                    file("tls-cert", "The server's certificate chain, as PEM; read again when it changes.")
                        .required(true),
                )
                .arg(file("tls-key", "Its private key, as PEM.").required(true))
                .arg(value("listen", "ADDR", "Where to serve.").default_value("0.0.0.0:8443"))
                .arg(value("metrics", "ADDR", "Serve health and metrics there. Default: off."))
                .arg(value("log-format", "text|json", "How log lines look.").default_value("text"))
                .arg(
                    value("log-level", "error|warn|info|debug|trace", "How much is logged.").default_value("info"),
                )
                .arg(value("sandbox", "off|log|on", "Whether the server confines itself. Default: on.")),
        )
        .subcommand(
            Command::new("manifest")
                .about(
                    "Inject offline: manifests in, manifests out. Also a KRM function (ResourceList) and a Helm \
                     post-renderer.",
                )
                .arg(file("config", "The injector's config, as YAML."))
                .arg(value("file", "FILE", "A manifest, instead of stdin; - is stdin.").short('f'))
                .arg(switch("check", "Print nothing; exit 1 when something would change."))
                .arg(files()),
        )
        .subcommand(
            Command::new("migrate")
                .about(
                    "Rewrite manifests for Vault's or OpenBao's Agent Injector, bank-vaults or the Secrets Store CSI driver with \
                     annotations of ours. A pod that cannot be migrated stays as it is, and is named on stderr.",
                )
                .arg(file("config", "The injector's config, to check the result with."))
                .arg(value("file", "FILE", "A manifest, instead of stdin; - is stdin.").short('f'))
                .arg(switch("check", "Print nothing; say what would change, and exit 1 when something would."))
                .arg(files()),
        )
        .subcommand(
            Command::new("certs")
                .about("Make self-signed certificates for the webhook; again in the same DIR rotates them.")
                .arg(value("out", "DIR", "Where they are written.").action(ArgAction::Set).required(true))
                .arg(value("service", "NAME", "The webhook's Service.").default_value("secret-inject"))
                .arg(value("namespace", "NAME", "Its namespace.").default_value("secret-exec"))
                .arg(value("days", "N", "How long they are valid.").default_value("365")),
        )
        .subcommand(Command::new("schema").about("Print the JSON Schema of the injector's config file."))
        .subcommands(for_shells())
        .subcommand(Command::new("version").about("Print the version.").hide(true));
    help::with_ends(program, help::INJECT_EXAMPLES, help::INJECT_EXITS)
}

/// Manifests given without `-f`.
fn files() -> Arg {
    Arg::new("files")
        .value_name("FILE")
        .help("The same as -f FILE.")
        .num_args(0..)
        .action(ArgAction::Append)
        .value_parser(ValueParser::os_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_consistent_and_its_help_fits_80_columns() {
        let mut command = command();
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}
