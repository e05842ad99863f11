//! Rows without quotes, where a field is what stands between two delimiters: no reader needs to look at each byte.

use wide::u8x16;

use crate::profile::Profile;

/// The rows at the beginning of `bytes` that are there as a whole and before any quote.
pub(crate) fn whole_rows(bytes: &[u8]) -> &[u8] {
    let before = memchr::memchr(b'"', bytes).map_or(bytes, |quote| &bytes[..quote]);
    memchr::memrchr(b'\n', before).map_or(&[], |end| &before[..=end])
}

/// How many bytes are searched for marks before their fields are looked at.
const BATCH: usize = 4096;

/// Where fields end in a batch: room that is used again and again.
pub(crate) type Marks = [u16; BATCH];

/// Adds `rows`, which are whole and have no quotes, to `profile`. Rows end at line feeds and carriage returns, and those
/// without a byte are skipped.
pub(crate) fn read(rows: &[u8], delimiter: u8, marks: &mut Marks, profile: &mut Profile) {
    let mut begin = 0;
    let mut column = 0;
    let mut offset = 0;
    // In two steps, each of which is small enough to be kept in registers.
    for batch in rows.chunks(BATCH) {
        let count = find(batch, delimiter, marks);
        for mark in marks.iter().take(count) {
            let end = offset + usize::from(*mark);
            let Some((last, field)) = rows.get(begin..=end).and_then(|field| field.split_last()) else { return };
            begin = end + 1;
            if let Some(column) = profile.columns.get_mut(column) {
                column.add_written(field);
            }
            column += 1;
            if *last != delimiter {
                if column > 1 || !field.is_empty() {
                    profile.rows += 1;
                    profile.ragged_rows += u64::from(column != profile.all_columns);
                }
                column = 0;
            }
        }
        offset += batch.len();
    }
}

/// Notes where in `batch` a field ends, and returns how many do.
#[inline(never)]
fn find(batch: &[u8], delimiter: u8, marks: &mut Marks) -> usize {
    let [delimiter, line, carriage] = [delimiter, b'\n', b'\r'].map(u8x16::splat);
    let mut count = 0;
    let mut note = |block: [u8; 16], offset: usize| {
        let block = u8x16::new(block);
        let mut marked = (block.simd_eq(delimiter) | block.simd_eq(line) | block.simd_eq(carriage)).to_bitmask();
        while marked != 0 {
            // There are no more than bytes, so that the remainder is the count itself.
            marks[count % BATCH] = (offset as u32 + marked.trailing_zeros()) as u16;
            count += 1;
            marked &= marked - 1;
        }
    };
    let (blocks, rest) = batch.as_chunks::<16>();
    for (at, block) in blocks.iter().enumerate() {
        note(*block, at * 16);
    }
    if !rest.is_empty() {
        // What fills the last block up is no mark, because a delimiter is not null.
        let mut block = [0; 16];
        block[..rest.len()].copy_from_slice(rest);
        note(block, blocks.len() * 16);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rows_before_a_quote_are_plain() {
        assert_eq!(whole_rows(b"a\nb\nc"), b"a\nb\n");
        assert_eq!(whole_rows(b"a\nb,\"c\"\nd\n"), b"a\n");
        assert_eq!(whole_rows(b"\"a\"\nb\n"), b"");
        assert_eq!(whole_rows(b"a"), b"");
    }

    #[test]
    fn rows_of_every_length_are_cut_where_their_fields_end() {
        for length in 0..40 {
            let mut profile = Profile::new(9);
            profile.add_column(b"a");
            profile.add_column(b"b");
            let text = format!("{},{}\r\n\n{},\n", "x".repeat(length), "y".repeat(3), "z".repeat(length));
            read(text.as_bytes(), b',', &mut [0; BATCH], &mut profile);
            assert_eq!((profile.rows, profile.ragged_rows), (2, 0), "{length}");
            assert_eq!(profile.columns[0].distinct(), if length == 0 { 0 } else { 2 }, "{length}");
            assert_eq!(profile.columns[1].lengths, Some((3, 3)), "{length}");
        }
    }
}
