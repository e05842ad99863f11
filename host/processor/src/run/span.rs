//! The files of a leased span, run in groups that lie in the same chunks.

use filemill_runtime::Access;
use filemill_seal::FileSpan;

use super::context::SpanContext;
use super::parts::Span;
use super::{seek, stream, whole};
use crate::leases::Stop;
use crate::results::{JobEnd, end_all, submit};

/// Neighbouring files of a span that are worked on together.
enum Group {
    /// They lie in the same one or two chunks, which are held until all of them have run.
    Whole { files: Vec<(u32, FileSpan)>, first_chunk: u32, last_chunk: u32 },
    /// One file that is given to its engine chunk by chunk.
    Long(u32, FileSpan),
}

/// Runs every file of a span, and hands in the results.
///
/// # Errors
///
/// [`Stop`] says why some of it was not run.
pub(super) async fn work(span: &Span) -> Result<(), Stop> {
    let Span { parts, context, .. } = span;
    let lease = &context.lease;
    let files = match files(context) {
        Ok(files) => files,
        Err(why) => {
            tracing::warn!(upload = lease.upload, "refused: {why}");
            let about = Some((&context.upload, Some(context.release_digest)));
            return end_all(&parts.completions, lease, about, || JobEnd::Refused(why.clone())).await;
        }
    };
    for group in groups(span, files) {
        let (ended, files) = match group {
            Group::Long(index, file) => {
                let ended = match context.ready.described.access {
                    Access::Streaming => stream::run(span, index, file).await,
                    Access::Seekable => seek::run(span, index, file).await,
                };
                (ended, vec![(index, file)])
            }
            Group::Whole { files, first_chunk, last_chunk } => {
                (whole::run(span, &files, first_chunk, last_chunk).await, files)
            }
        };
        match ended {
            Err(Stop::Refused(why)) => {
                tracing::warn!(upload = lease.upload, "refused: {why}");
                let refused = files.into_iter().map(|(index, file)| (index, file, JobEnd::Refused(why.clone())));
                submit(&parts.completions, context.about(), refused.collect()).await?;
            }
            ended => ended?,
        }
    }
    if lease.open_jobs() > 0 { Err(parts.why_dropped(lease)) } else { Ok(()) }
}

/// The span's files, if they lie where the server says.
fn files(context: &SpanContext) -> Result<Vec<(u32, FileSpan)>, String> {
    let (layout, run) = (&context.upload.layout, &context.lease.run);
    let files = run
        .indexes
        .iter()
        .map(|index| {
            let span = layout.span(*index).ok_or_else(|| {
                format!("the server names file {index}, the header has {} files", layout.file_count())
            })?;
            Ok((*index, span))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let lies = files.first().zip(files.last()).map(|((_, first), (_, last))| (first.first_chunk, last.last_chunk));
    if lies == Some((run.first_chunk, run.last_chunk)) {
        Ok(files)
    } else {
        let (first, last) = (run.first_chunk, run.last_chunk);
        Err(format!("the server says that the files lie in chunks {first} to {last}, which the header contradicts"))
    }
}

fn groups(span: &Span, files: Vec<(u32, FileSpan)>) -> Vec<Group> {
    let fetcher = &span.fetcher;
    let half = fetcher.shared.budget_bytes() / 2;
    let mut groups = Vec::new();
    for (index, file) in files {
        let fits = match file.last_chunk - file.first_chunk {
            0 => true,
            // Two chunks are held at once: together they must leave room for others.
            1 => fetcher.most_bytes(file.first_chunk).saturating_add(fetcher.most_bytes(file.last_chunk)) <= half,
            _ => false,
        };
        match groups.last_mut() {
            Some(Group::Whole { files, first_chunk, last_chunk })
                if (*first_chunk, *last_chunk) == (file.first_chunk, file.last_chunk) =>
            {
                files.push((index, file));
            }
            _ if fits => {
                let (first_chunk, last_chunk) = (file.first_chunk, file.last_chunk);
                groups.push(Group::Whole { files: vec![(index, file)], first_chunk, last_chunk });
            }
            _ => groups.push(Group::Long(index, file)),
        }
    }
    groups
}
