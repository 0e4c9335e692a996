//! What every measurement needs: the options, the programs, the folder, and whether to stop.

use std::path::PathBuf;
use std::time::Duration;

use crate::point::Point;
use crate::process::Stop;

/// The programs of ours that are run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// `synod`
    pub synod: PathBuf,
    /// `synod-bench`
    pub bench: PathBuf,
    /// The benchmark of the engine, if it is built.
    pub engine: Option<PathBuf>,
    /// The benchmark of the engine of rows, if it is built.
    pub tree: Option<PathBuf>,
}

/// The options that shape every measurement.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs: how often each point is measured on each system.
    pub runs: usize,
    /// Measured time of one load.
    pub seconds: Duration,
    /// Time of the same load before that.
    pub warmup: Duration,
    /// Preloaded keys.
    pub keys: u64,
    /// Keys of the engines' benchmarks.
    pub engine_keys: u64,
    /// Points.
    pub points: Vec<Point>,
    /// The first of the ports that the systems listen on.
    pub port_base: u16,
}

/// One comparison.
#[derive(Debug)]
pub struct Context {
    /// How it was asked for.
    pub options: Options,
    /// With what.
    pub programs: Programs,
    /// A fresh folder of this comparison.
    pub dir: PathBuf,
    /// Whether to stop.
    pub stop: Stop,
}

impl Context {
    /// A line of progress on standard error.
    pub fn say(&self, text: &str) {
        eprintln!("compare: {text}");
    }

    /// The port at `offset` of those reserved for the systems.
    pub fn port(&self, offset: u16) -> u16 {
        self.options.port_base.checked_add(offset).expect("the command line bounds the first port")
    }
}
