//! The lines of a Rust file that stand outside of everything: neither in braces nor in a text or a comment that spans lines.

/// A line at the top level of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopLine<'a> {
    /// From 1.
    pub(super) number: usize,
    pub(super) text: &'a str,
}

/// The lines of `source` that begin at the top level. Source that does not lex gives some lines, and no error.
pub(super) fn top_lines(source: &str) -> Vec<TopLine<'_>> {
    let lines: Vec<&str> = source.lines().collect();
    let mut scanner = Scanner { rest: source.as_bytes(), depth: 0, block: 0 };
    let mut top = Vec::new();
    let mut index = 0;
    let mut begins = true;
    loop {
        let at_top = begins && scanner.depth == 0 && scanner.block == 0;
        if let (true, Some(text)) = (at_top, lines.get(index)) {
            let number = index + 1;
            top.push(TopLine { number, text });
        }
        begins = false;
        match scanner.step() {
            Step::End => return top,
            Step::Within(lines) => index += lines,
            Step::Line => {
                index += 1;
                begins = true;
            }
        }
    }
}

struct Scanner<'a> {
    rest: &'a [u8],
    /// Open brackets of any kind.
    depth: usize,
    /// Open block comments; they nest.
    block: usize,
}

enum Step {
    End,
    /// Something was passed, and so many line ends in it: those of a text, after which no line of code begins.
    Within(usize),
    /// A line ended.
    Line,
}

impl Scanner<'_> {
    fn step(&mut self) -> Step {
        if self.block > 0 {
            return self.comment();
        }
        match self.rest {
            [] => Step::End,
            [b'\n', ..] => {
                self.skip(1);
                Step::Line
            }
            [b'/', b'/', ..] => {
                let end = self.rest.iter().position(|&byte| byte == b'\n');
                self.skip(end.unwrap_or(self.rest.len()));
                Step::Within(0)
            }
            [b'/', b'*', ..] => {
                self.block = 1;
                self.skip(2);
                Step::Within(0)
            }
            [b'"', ..] => {
                self.skip(1);
                self.string()
            }
            [b'\'', ..] => {
                self.quote();
                Step::Within(0)
            }
            [b'{' | b'(' | b'[', ..] => {
                self.depth += 1;
                self.skip(1);
                Step::Within(0)
            }
            [b'}' | b')' | b']', ..] => {
                self.depth = self.depth.saturating_sub(1);
                self.skip(1);
                Step::Within(0)
            }
            [byte, ..] if byte.is_ascii_alphanumeric() || *byte == b'_' => self.word(),
            _ => {
                self.skip(1);
                Step::Within(0)
            }
        }
    }

    fn skip(&mut self, count: usize) {
        self.rest = &self.rest[count.min(self.rest.len())..];
    }

    /// Skips `count` bytes, and counts the lines that end in them.
    fn skip_lines(&mut self, count: usize) -> Step {
        let count = count.min(self.rest.len());
        let lines = self.rest[..count].iter().filter(|&&byte| byte == b'\n').count();
        self.skip(count);
        Step::Within(lines)
    }

    fn comment(&mut self) -> Step {
        match self.rest {
            [] => return Step::End,
            [b'\n', ..] => {
                self.skip(1);
                return Step::Line;
            }
            [b'*', b'/', ..] => {
                self.block -= 1;
                self.skip(2);
            }
            [b'/', b'*', ..] => {
                self.block += 1;
                self.skip(2);
            }
            _ => self.skip(1),
        }
        Step::Within(0)
    }

    /// A word, and the raw text that may follow it: `r#"…"#`.
    fn word(&mut self) -> Step {
        let word = |byte: &u8| !(byte.is_ascii_alphanumeric() || *byte == b'_');
        let end = self.rest.iter().position(word).unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at(end);
        let hashes = after.iter().take_while(|&&byte| byte == b'#').count();
        let raw = matches!(name, b"r" | b"br" | b"cr") && after.get(hashes) == Some(&b'"');
        if !raw {
            self.skip(end);
            return Step::Within(0);
        }
        let mut close = vec![b'"'];
        close.extend(std::iter::repeat_n(b'#', hashes));
        let inner = end + hashes + 1;
        let length = self.rest[inner..].windows(close.len()).position(|window| window == close);
        self.skip_lines(length.map_or(self.rest.len(), |length| inner + length + close.len()))
    }

    /// The rest of a text after its opening quote.
    fn string(&mut self) -> Step {
        let mut at = 0;
        loop {
            match self.rest.get(at) {
                None => return self.skip_lines(self.rest.len()),
                Some(b'"') => return self.skip_lines(at + 1),
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
            }
        }
    }

    /// A character, or the quote of a lifetime.
    fn quote(&mut self) {
        let character = match self.rest {
            [_, b'\\', ..] => self.rest.iter().skip(3).position(|&byte| byte == b'\'').map(|at| at + 4),
            _ => {
                let width = std::str::from_utf8(&self.rest[1..self.rest.len().min(5)])
                    .or_else(|error| std::str::from_utf8(&self.rest[1..=error.valid_up_to()]))
                    .ok()
                    .and_then(|text| text.chars().next())
                    .map_or(1, char::len_utf8);
                (self.rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
            }
        };
        self.skip(character.unwrap_or(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(source: &str) -> Vec<(usize, &str)> {
        top_lines(source).into_iter().map(|line| (line.number, line.text)).collect()
    }

    #[test]
    fn what_stands_in_brackets_texts_and_comments_is_no_top_line() {
        let source = "//! doc {\nuse a::{\n    b,\n};\n/* use c; /* nested */\nuse d;\n*/\nconst E: &str = r#\"\nuse f; \"\n\"#;\nfn g() {\n    use h;\n}\n";
        let lines = top(source);
        let numbers: Vec<_> = lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 5, 8, 11], "{lines:?}");
    }

    #[test]
    fn characters_and_lifetimes_do_not_open_texts_or_brackets() {
        let source = "const A: char = '{';\nconst B: char = '\\'';\nconst C: char = '\"';\nfn d<'a>(e: &'a str) -> &'a str { e }\nconst F: char = 'ü';\nconst G: &str = \"\\\"{\";\nuse h;\n";
        assert_eq!(top(source).len(), 7);
    }

    #[test]
    fn a_text_over_lines_counts_its_lines() {
        let source = "const A: &str = \"one\nuse b;\n\";\nuse c;\n";
        assert_eq!(top(source), [(1, "const A: &str = \"one"), (4, "use c;")]);
    }

    #[test]
    fn broken_source_ends() {
        for source in ["\"", "'", "'\\", "r#\"", "/*", "}", "b'", "{\n"] {
            top(source);
        }
    }
}
