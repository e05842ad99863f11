//! Values of arguments, as they are written.

use std::time::Duration;

use filemill_client::UploadId;

pub(super) fn name_and_value(text: &str) -> Result<(String, String), String> {
    named(text).ok_or_else(|| "it is not NAME=VALUE".to_owned())
}

pub(super) fn name_and_file(text: &str) -> Result<(String, String), String> {
    named(text).ok_or_else(|| "it is not NAME=FILE: a parameter of the engine, and the file with its text".to_owned())
}

/// What stands before the first `=` and after it.
fn named(text: &str) -> Option<(String, String)> {
    let (name, what) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.to_owned(), what.to_owned()))
}

/// An upload's id, alone or with the index of a file in it.
pub(super) fn upload(text: &str) -> Result<UploadId, String> {
    if let Some((upload, _)) = place(text) {
        return Ok(upload);
    }
    text.parse().map_err(|_| {
        "it is not the id of an upload: 32 hex characters, and perhaps `/INDEX`, as `filemill status` prints them"
            .to_owned()
    })
}

/// An upload's id and the index of a file in it: UPLOAD/INDEX.
pub(crate) fn place(text: &str) -> Option<(UploadId, u32)> {
    let (upload, index) = text.split_once('/')?;
    Some((upload.parse().ok()?, index.parse().ok()?))
}

/// Nobody waits for longer than an hour.
const SETTLE_MAX_S: f64 = 3600.0;

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=SETTLE_MAX_S).contains(&seconds) {
        return Err(format!("not between 0 and {SETTLE_MAX_S} seconds"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_status_prints_of_a_file_names_its_upload() {
        let id = "ab".repeat(16);
        for given in [id.clone(), format!("{id}/0"), format!("{id}/12")] {
            assert_eq!(upload(&given).unwrap().to_string(), id, "{given}");
        }
        for bad in ["ab/0", "", "/", &format!("{id}/"), &format!("{id}/x"), &format!("{id}/0/1")] {
            assert!(upload(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_place_is_told_from_a_path() {
        assert_eq!(place(&format!("{}/7", "ab".repeat(16))).map(|(_, index)| index), Some(7));
        for path in ["a/b", "a", "ab/7", &format!("{}/x", "ab".repeat(16)), &format!("./{}/7", "ab".repeat(16))] {
            assert_eq!(place(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_missing_in_a_parameter_is_called_what_it_is() {
        assert!(name_and_file("/x/own.yar").unwrap_err().contains("NAME=FILE"));
        assert!(name_and_value("depth").unwrap_err().contains("NAME=VALUE"));
        assert_eq!(name_and_file("rules=a=b"), Ok(("rules".to_owned(), "a=b".to_owned())));
    }

    #[test]
    fn a_rest_time_is_a_number_of_seconds_within_an_hour() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for bad in ["-1", "3601", "NaN", "inf", "5s", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
