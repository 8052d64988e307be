//! Stands between a container and its secrets; see `secret-exec --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    secret_exec::cli::main()
}
