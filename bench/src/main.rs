//! The binary `synod-bench`; everything is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    synod_bench::cli::main()
}
