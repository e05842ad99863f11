//! What many callers ask at once, written in one transaction each: opening, advancing, cancelling, reporting, completing.

mod advance;
mod cancel;
mod complete;
mod open;
mod report;

pub(super) use advance::{AdvanceAsk, Advancing};
pub(super) use cancel::{CancelAsk, Cancelling};
pub(super) use complete::{CompleteAsk, Completing};
pub(super) use open::{OneOpening, OpenAsk, Opening, TaskNeeds, length_of};
pub(super) use report::{ReportAsk, Reporting};
