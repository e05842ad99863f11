//! Writes the list of guests: for each text in `programs/` one variant of `Guest`, one call of `for_each_guest!` and one arm of
//! `guest!`.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=programs");
    let programs = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("programs");
    let mut names: Vec<String> = fs::read_dir(&programs)
        .expect("the folder is there")
        .map(|entry| entry.expect("it is readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "wat"))
        .map(|path| path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name").to_owned())
        .collect();
    names.sort();

    let [mut variants, mut all, mut each, mut texts, mut arms] = [const { String::new() }; 5];
    for name in &names {
        let variant = camel_case(name);
        writeln!(variants, "    #[doc = \"`{name}.wat`\"]\n    {variant},").expect("a string takes it");
        writeln!(all, "        Self::{variant},").expect("a string takes it");
        writeln!(each, "        $with!({name}, {variant});").expect("a string takes it");
        writeln!(arms, "    ({name}) => {{ $crate::Guest::{variant}.component() }};").expect("a string takes it");
        // Not the folder's path: another checkout that shares the target folder would look for it there.
        let text = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/programs/{name}.wat\"))");
        writeln!(texts, "            Self::{variant} => ({name:?}, {text}),").expect("a string takes it");
    }
    let list = format!(
        "/// A guest: one text in `programs/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guest {{
{variants}}}

impl Guest {{
    /// All of them, by name.
    pub const ALL: [Self; {count}] = [
{all}    ];

    /// Its file's name without `.wat`, and its text.
    const fn file(self) -> (&'static str, &'static str) {{
        match self {{
{texts}        }}
    }}
}}

/// Calls the macro `$with` with each guest's name and variant.
#[macro_export]
macro_rules! for_each_guest {{
    ($with:ident) => {{
{each}    }};
}}

/// The guest of that name, as a component.
#[macro_export]
macro_rules! guest {{
{arms}}}
",
        count = names.len(),
    );
    let to = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("list.rs");
    fs::write(to, list).expect("the output folder can be written");
}

/// `loops_in_start` as `LoopsInStart`.
fn camel_case(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
    };
    name.split('_').map(capital).collect()
}
