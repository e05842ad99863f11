//! When an engine begins to read.

use std::sync::Arc;

use crate::input::UploadJob;
use crate::run::context::SpanContext;
use crate::telemetry::event;

/// Tells the first byte that an engine reads of a file.
pub(super) struct FirstByte(Option<(Arc<SpanContext>, u32, u32)>);

impl FirstByte {
    pub(super) fn of(context: &Arc<SpanContext>, job: &UploadJob) -> Self {
        Self(Some((Arc::clone(context), job.number, job.file.first_chunk)))
    }

    pub(super) fn read(&mut self) {
        if let Some((context, index, sequence)) = self.0.take() {
            event!("job first byte", upload = %context.lease.upload, index = index, sequence = sequence);
        }
    }
}
