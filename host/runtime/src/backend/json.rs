//! Whether what an engine says is what any contract asks for: one JSON object that any reader can take, one line, a media type.

use serde::de::IgnoredAny;

use super::text::printable;

/// The longest line, in bytes.
const MAX_LINE_BYTES: usize = 512;

/// How deeply objects and lists may nest in what an engine is given and in what it says: common readers (serde_json among them) stop at 128.
pub const JSON_MAX_DEPTH: usize = 100;

/// Why a text is not one JSON object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAnObject(pub(crate) String);

/// Checks that `json` is one JSON object, without building it: a report of a MiB would need a hundred as a tree.
pub(crate) fn check_object(json: &str) -> Result<(), NotAnObject> {
    match json.trim_ascii_start().bytes().next() {
        Some(b'{') => {}
        Some(_) => return Err(NotAnObject("it is another kind of value".to_owned())),
        None => return Err(NotAnObject("it is empty".to_owned())),
    }
    serde_json::from_str::<IgnoredAny>(json).map_err(|e| NotAnObject(e.to_string()))?;
    if depth(json) > JSON_MAX_DEPTH {
        return Err(NotAnObject(format!("it nests deeper than {JSON_MAX_DEPTH}")));
    }
    Ok(())
}

/// A line for people, made printable; or what is wrong with it.
pub(crate) fn check_line(line: &str) -> Result<String, String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("has {} bytes, at most {MAX_LINE_BYTES} are allowed", line.len()));
    }
    // A replaced character may take three bytes for one.
    Ok(printable(&line.replace(['\n', '\r', '\t'], " "), MAX_LINE_BYTES))
}

/// `type/subtype`, as far as that it is harmless.
pub(crate) fn is_media_type(text: &str) -> bool {
    text.len() <= 127 && text.contains('/') && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The deepest nesting of a text that is known to be JSON.
fn depth(json: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    most
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_pass() {
        for good in ["{}", " \n{\"a\": [1, {\"b\": \"}]{[\\\"\"}]}\n"] {
            assert_eq!(check_object(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_line_is_one_line_and_short() {
        assert_eq!(check_line("a\nb\u{1b}"), Ok("a b\u{fffd}".to_owned()));
        assert!(check_line(&"x".repeat(MAX_LINE_BYTES)).is_ok());
        assert!(check_line(&"x".repeat(MAX_LINE_BYTES + 1)).is_err());
    }

    #[test]
    fn everything_else_is_told_apart() {
        for bad in ["", "  ", "[]", "1", "\"{}\"", "{", "{} {}", "{\"a\":}", "{\"a\":NaN}"] {
            assert!(check_object(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_reader_would_refuse_as_too_deep_is_refused_here() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert_eq!(check_object(&nested(JSON_MAX_DEPTH)), Ok(()));
        serde_json::from_str::<serde_json::Value>(&nested(JSON_MAX_DEPTH)).expect("readable");
        assert!(check_object(&nested(JSON_MAX_DEPTH + 1)).is_err());
    }
}
