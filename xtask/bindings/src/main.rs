//! `xtask-bindings WIT FOLDER`: generates `engine.h`, `engine.c` and the object that carries the contract's types, from the WIT in one
//! folder into another.
//!
//! `cargo xtask engine build` calls it for engines in C. It is no part of `xtask` because what it is made from takes as long to
//! compile as all else of that.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let [wit, folder] = arguments.as_slice() else { bail!("usage: xtask-bindings WIT FOLDER") };
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    for (name, bytes) in generated(wit)?.iter() {
        let file = folder.join(name);
        fs::write(&file, bytes).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(())
}

fn generated(wit: &Path) -> Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).map_err(|error| anyhow!("`{}`: {error:#}", wit.display()))?;
    let world = resolve.select_world(&[package], Some("engine"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}
