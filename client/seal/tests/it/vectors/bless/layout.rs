//! Layouts, by the example of what is easily got wrong.

use filemill_seal::{CHUNK_SIZE_MIN, Layout};

use crate::vectors::form::{LayoutCase, write};
use crate::vectors::layout_of;

const SIZE: u64 = CHUNK_SIZE_MIN as u64;

#[test]
#[ignore = "writes client/seal/vectors/layout.json"]
fn bless_layout() {
    let case = |name: &str, lengths: &[u64]| {
        let layout = Layout::new(CHUNK_SIZE_MIN, lengths.iter().copied()).expect("a layout");
        let (files, chunks, jobs) = layout_of(&layout);
        LayoutCase { name: name.to_owned(), chunk_size: CHUNK_SIZE_MIN, lengths: lengths.to_vec(), files, chunks, jobs }
    };
    let cases = [
        case("one empty file", &[0]),
        case("one small file", &[5]),
        case("exactly one chunk", &[SIZE]),
        case("one byte more than a chunk", &[SIZE + 1]),
        case("an empty file behind a full chunk", &[SIZE, 0]),
        case("an empty file between two full chunks", &[SIZE, 0, SIZE]),
        case("empty files before, between and behind", &[0, 0, 7, 0, 3 * SIZE - 7, 0, 0]),
        case("many small ones and one large", &[1, 2, 3, 2 * SIZE, 4, 5, 6]),
    ];
    write("layout.json", &cases);
}
