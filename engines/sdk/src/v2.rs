//! Engines for contract 2, which is asynchronous: an engine is given a stream, and hands out findings and artifacts while it
//! runs.
//!
//! ```
//! use filemill_engine::v2::{Engine, Finding, Input, Output, Severity};
//! use filemill_engine::{Description, Failure, File, NoParameters, Report};
//! use serde::Serialize;
//!
//! struct Nulls;
//!
//! #[derive(Serialize)]
//! struct Found {
//!     nulls: usize,
//! }
//!
//! impl Engine for Nulls {
//!     type Parameters = NoParameters;
//!
//!     fn describe() -> Description {
//!         filemill_engine::description!()
//!     }
//!
//!     async fn analyze(
//!         _file: &File,
//!         input: &mut Input,
//!         output: &Output,
//!         _parameters: NoParameters,
//!     ) -> Result<Report, Failure> {
//!         let mut nulls = 0;
//!         let mut piece = Vec::with_capacity(64 * 1024);
//!         while input.read(&mut piece).await? > 0 {
//!             nulls += piece.iter().filter(|byte| **byte == 0).count();
//!         }
//!         if nulls > 0 {
//!             output.found(Finding::new("null-byte", Severity::Low, "there are null bytes"));
//!         }
//!         let mut artifact = output.artifact("nulls.txt", "text/plain");
//!         artifact.write(nulls.to_string()).await?;
//!         artifact.finish().await?;
//!         Report::new(format!("{nulls} null bytes"), &Found { nulls })
//!     }
//! }
//!
//! filemill_engine::v2::export!(Nulls);
//!
//! // In a test, without any host:
//! let ran = filemill_engine::v2::run::<Nulls>("a.bin", *b"a\0b", "{}");
//! assert_eq!(ran.findings.len(), 1);
//! assert_eq!(ran.report.expect("a report").json(), r#"{"nulls":1}"#);
//! ```

mod engine;
mod input;
mod output;

#[doc(inline)]
pub use crate::export_v2 as export;
#[doc(hidden)]
pub use engine::Exported;
pub use engine::{Engine, Run, run};
pub use input::Input;
pub use output::{ArtifactWriter, Finding, Output, Severity};

/// Exports a [`v2::Engine`](crate::v2::Engine) from the component that its crate becomes: `v2::export!(Table);`, once a crate.
#[doc(hidden)]
#[macro_export]
macro_rules! export_v2 {
    ($engine:ty) => {
        const _: () = {
            // A native build exports nothing: two engines in one test or benchmark would export the same names.
            const fn is_engine<E: $crate::v2::Engine>() {}
            is_engine::<$engine>();
            #[cfg(target_arch = "wasm32")]
            type Exported = $crate::v2::Exported<$engine>;
            #[cfg(target_arch = "wasm32")]
    $crate::bindings::v2::export!(Exported with_types_in $crate::bindings::v2);
        };
    };
}
