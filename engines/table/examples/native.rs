//! The same code without a sandbox, for a benchmark: prints the CPU time that one file takes, in microseconds, and the report's length.
//!
//! `cargo run --release --package table@0.1.0 --example native -- FILE`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::fs;

use filemill_engine::{Engine as _, File, Input, InputError, Source};
use table::{Parameters, Table};

/// A file on disk, read in pieces as the host gives them.
struct OnDisk {
    file: fs::File,
    size: u64,
}

impl Source for OnDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, max: u64) -> Result<Vec<u8>, InputError> {
        use std::io::Read as _;
        let mut piece = Vec::new();
        let read = (&mut self.file).take(max.min(1 << 20)).read_to_end(&mut piece);
        read.map_err(|error| InputError::Other(error.to_string()))?;
        Ok(piece)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a file")?;
    let file = fs::File::open(&path)?;
    let size = file.metadata()?.len();
    let mut input = Input::from_source(OnDisk { file, size });
    let report = Table::analyze(&File::new(path, size), &mut input, Parameters::default())
        .map_err(|failure| failure.sentence().to_owned())?;
    println!("{} {}", cpu_us()?, report.json().len());
    Ok(())
}

/// CPU time of this process, from its own entry in `/proc`, whose clock has 100 ticks a second.
fn cpu_us() -> Result<u64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).ok_or("no CPU time in /proc");
    Ok((ticks(11)? + ticks(12)?) * 10_000)
}
