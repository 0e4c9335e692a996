//! Writes the inputs that a target starts from: `fuzz-seeds TARGET DIRECTORY`.

use std::process::ExitCode;

use fuzz_bodies::TARGETS;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(name), Some(directory), None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: fuzz-seeds TARGET DIRECTORY");
        return ExitCode::from(2);
    };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("there is no target {name}; there are {}", names.join(", "));
        return ExitCode::from(2);
    };
    for (index, seed) in (target.seeds)().iter().enumerate() {
        let path = std::path::Path::new(&directory).join(format!("seed-{index:02}"));
        if let Err(error) = std::fs::write(&path, seed) {
            eprintln!("cannot write {}: {error}", path.display());
            return ExitCode::from(3);
        }
    }
    ExitCode::SUCCESS
}
