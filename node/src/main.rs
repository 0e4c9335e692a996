//! The `synod` program: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    synod::cli::main(synod::core::run)
}
