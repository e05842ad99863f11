//! Looking into files whose names leave open which engine they are for.

use crate::content::Content;
use crate::engines::Engines;
use crate::error::Error;
use crate::source::Found;

/// Looks into those of the files whose names leave open which engine they are for, unless that was done before.
///
/// # Errors
///
/// [`Error::Stopped`] if the program ends meanwhile. One that cannot be read is of no kind: why it cannot be read is said by whoever
/// sends it.
pub(crate) async fn look_into(engines: &Engines, files: &mut [Found]) -> Result<(), Error> {
    let is_open = |file: &Found| file.content.is_none() && engines.needs_content(file);
    let open: Vec<(usize, Found)> =
        files.iter().enumerate().filter(|(_, file)| is_open(file)).map(|(at, file)| (at, file.clone())).collect();
    if open.is_empty() {
        return Ok(());
    }
    let look = |file: Found| file.open().and_then(Content::of).unwrap_or_else(|_| Content::unknown());
    let looked =
        tokio::task::spawn_blocking(move || open.into_iter().map(|(at, file)| (at, look(file))).collect::<Vec<_>>());
    for (at, content) in looked.await.map_err(|_| Error::Stopped)? {
        files[at].content = Some(content);
    }
    Ok(())
}
