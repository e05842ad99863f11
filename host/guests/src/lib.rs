//! The programs that the host's tests run: one misbehaviour each, named by it, as a text in `programs/`.
//!
//! The list is made from the folder when this crate is built. The tests match over [`Guest`] to say how each has to end, and
//! such a match has no arm for what it does not know: a guest without a test does not compile. (A proc macro could read the
//! folder too, but is not run again when a file is added; and a test that looks for names in the tests' own sources would
//! take a mention for a test.)
//!
//! Nothing but tests and benchmarks is built from this. What the texts mean is said in `component.rs`, which turns them into
//! components:
//!
//! ```
//! let component = filemill_guests::guest!(counts);
//! assert!(component.starts_with(b"\0asm"));
//! ```

mod component;

pub use component::{component, component_for, text};

include!(concat!(env!("OUT_DIR"), "/list.rs"));

impl Guest {
    /// What it does: its file's name without `.wat`.
    pub fn name(self) -> &'static str {
        self.file().0
    }

    /// Its text.
    pub fn text(self) -> &'static str {
        self.file().1
    }

    /// Itself, as a component.
    pub fn component(self) -> Vec<u8> {
        component(self.text())
    }
}
