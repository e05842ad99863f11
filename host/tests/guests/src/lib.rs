//! The programs that the host's tests run: one misbehaviour each, named by it, as a text beside this crate.
//!
//! The list is made from the folder when this crate is built. The tests match over [`Guest`] to say how each has to end, and
//! such a match has no arm for what it does not know: a guest without a test does not compile. (A proc macro could read the
//! folder too, but is not run again when a file is added; and a test that looks for names in the tests' own sources would
//! take a mention for a test.)
//!
//! Nothing but tests is built from this. What the texts mean is said in `host/tests/it/guest.rs`.

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
}
