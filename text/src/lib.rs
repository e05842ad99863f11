//! The one way to a terminal, for every program: whatever is printed may hold a stranger's words.
//!
//! A server, an engine, a processor or a file's name can hold what a terminal obeys, what shows text in another order, or a
//! line that looks like the program's own. So nothing else in this repository writes to standard output or standard error
//! (`cargo xtask tidy` checks it): [`tell!`] and [`Lines`] print a line at a time and escape all of it, [`LogLine`] does the
//! same for a log. Nobody has to know which of the words in a line were a stranger's.
//!
//! ```
//! assert_eq!(filemill_text::shown("a\u{1b}[2J\nerror: b"), "a\\u{1b}[2J\\nerror: b");
//! ```

#[cfg(feature = "arguments")]
mod arguments;
mod escape;
mod log;
mod print;
mod reason;

#[cfg(feature = "arguments")]
pub use arguments::{parsed, parsed_or_said};
pub use escape::{cut, shown, shown_bytes, shown_json, shown_path};
pub use log::LogLine;
pub use print::{Lines, tell, tell_lines};
pub use reason::{chain, reason};
