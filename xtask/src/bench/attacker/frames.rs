//! As much of HTTP/2 (RFC 9113) as it takes to begin requests and never end them.

/// What a client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const SETTINGS: u8 = 4;
const INITIAL_WINDOW_SIZE: u8 = 4;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// An empty SETTINGS frame, which must follow the preface.
pub(super) fn settings() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[])
}

/// Settings by which no byte of any answer's body may be sent.
pub(super) fn settings_without_window() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, INITIAL_WINDOW_SIZE, 0, 0, 0, 0])
}

/// A whole GET without a token, on a stream of its own.
pub(super) fn get(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86]; // :method GET, :scheme http
    literal(&mut block, 4, path);
    literal(&mut block, 1, "attacker");
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// The head of a POST with a JSON body on a stream of its own. Nothing says that the body has ended.
pub(super) fn post(stream: u32, path: &str, token: &str) -> Vec<u8> {
    // Indices of the static table (RFC 7541, appendix A).
    let mut block = vec![0x83, 0x86]; // :method POST, :scheme http
    literal(&mut block, 4, path);
    literal(&mut block, 1, "attacker");
    literal(&mut block, 23, &format!("Bearer {token}"));
    literal(&mut block, 31, "application/json");
    frame(HEADERS, END_HEADERS, stream, &block)
}

/// A header field without indexing (RFC 7541 §6.2.2), its name from the static table, its value as it is.
fn literal(block: &mut Vec<u8>, name: usize, value: &str) {
    integer(block, 0, 4, name);
    integer(block, 0, 7, value.len());
    block.extend_from_slice(value.as_bytes());
}

/// An integer with a prefix of so many bits (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, flags: u8, bits: u8, value: usize) {
    let most = (1_usize << bits) - 1;
    if value < most {
        block.push(flags | value as u8);
        return;
    }
    block.push(flags | most as u8);
    let mut rest = value - most;
    while rest >= 0x80 {
        block.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    block.push(rest as u8);
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_those_of_the_specification() {
        // RFC 7541, appendices C.1.1 to C.1.3.
        for (bits, value, expected) in [(5, 10, vec![10]), (5, 1337, vec![31, 154, 10]), (8, 42, vec![42])] {
            let mut block = Vec::new();
            integer(&mut block, 0, bits, value);
            assert_eq!(block, expected, "{value}");
        }
    }

    #[test]
    fn a_request_has_its_fields_and_no_end() {
        let request = post(3, "/v1/uploads", "fm_x");
        assert_eq!(request[..9], [0, 0, (request.len() - 9) as u8, 1, 4, 0, 0, 0, 3]);
        // The path as C.2.2 has one, and the name `authorization` (23) in two bytes.
        assert_eq!(request[11..14], [0x04, 11, b'/']);
        assert!(request.windows(2).any(|bytes| bytes == [0x0f, 0x08]));
        assert_eq!(settings(), [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!(settings_without_window(), [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
        let request = get(5, "/v1/uploads");
        assert_eq!(request[..9], [0, 0, (request.len() - 9) as u8, 1, 5, 0, 0, 0, 5]);
    }
}
