//! The binary `synod-compare`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    synod_compare::cli::main()
}
