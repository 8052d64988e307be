//! Adds secret-exec to pods that ask for it; see `secret-inject --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    secret_exec::cli::inject::main()
}
