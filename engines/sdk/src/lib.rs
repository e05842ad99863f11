//! Write a Filemill engine in Rust: implement [`Engine`], export it, and read the file as [`std::io::Read`].
//!
//! ```
//! use std::io::BufRead as _;
//!
//! use filemill_engine::{Description, Engine, Failure, File, Input, NoParameters, Report};
//! use schemars::JsonSchema;
//! use serde::Serialize;
//!
//! struct Longest;
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Found {
//!     /// The longest line.
//!     #[schemars(title = "Longest line", extend("x-unit" = "By", "x-format" = "bytes", "x-column" = true))]
//!     longest: usize,
//! }
//!
//! impl Engine for Longest {
//!     type Parameters = NoParameters;
//!
//!     fn describe() -> Description {
//!         filemill_engine::description!().media_types(["text/*"]).report::<Found>()
//!     }
//!
//!     fn analyze(_file: &File, input: &mut Input, _parameters: NoParameters) -> Result<Report, Failure> {
//!         let mut longest = 0;
//!         for line in input.buffered().split(b'\n') {
//!             longest = longest.max(line?.len());
//!         }
//!         Report::new(format!("the longest line has {longest} bytes"), &Found { longest })
//!     }
//! }
//!
//! filemill_engine::export!(Longest);
//!
//! // In a test, without any host:
//! let report = filemill_engine::run::<Longest>("a.txt", "one\nthree\n", "{}").expect("a report");
//! assert_eq!(report.json(), r#"{"longest":5}"#);
//! ```
//!
//! The crate needs `crate-type = ["cdylib"]`, this crate, `serde` and `schemars`; `cargo xtask engine build` makes the
//! component. `export!` exports nothing from a native build, so that engines can be linked into tests and benchmarks.
//!
//! - **Reading.** [`Input::next`] gives whole pieces without copying them, [`Input::buffered`] is a `BufRead`, and
//!   [`Input`] itself `Read` and, for a seekable engine, `Seek`. An error of the input is carried through `io::Error`,
//!   and is itself again as a [`Failure`].
//! - **Parameters** are any `Deserialize`, best with `#[serde(deny_unknown_fields, default)]`; what does not fit becomes a
//!   `failed` that names the member.
//! - **Schemas** come from `schemars`, or are written out ([`Description::report_schema`]).
//! - **Contract 2**, asynchronous, with findings and artifacts while the engine runs: [`v2`].
//! - **Logging**: [`debug!`], [`info!`], [`warn!`], [`error!`]. A panic ends the run as `failed` with its message and place.

#[doc(hidden)]
pub mod bindings;
mod description;
mod engine;
mod failure;
mod host;
mod input;
mod parameters;
mod report;
pub mod v2;

pub use description::Description;
#[doc(hidden)]
pub use engine::Exported;
pub use engine::{Engine, File, run};
pub use failure::Failure;
pub use host::{Level, log, progress};
pub use input::{Buffered, HashAlgorithm, Input, InputError, Source};
pub use parameters::{NoParameters, PARAMETERS_MAX_BYTES};
pub use report::{Artifact, Report};

/// Exports an [`Engine`] from the component that its crate becomes: `export!(Table);`, once a crate.
#[macro_export]
macro_rules! export {
    ($engine:ty) => {
        const _: () = {
            // A native build exports nothing: two engines in one test or benchmark would export the same names.
            const fn is_engine<E: $crate::Engine>() {}
            is_engine::<$engine>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::Exported<$engine>;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::v1::export!(Exported with_types_in $crate::bindings::v1);
        };
    };
}
