//! One pattern of a rule file, and whether a path matches it: exactly as git has it, byte by byte.
//!
//! A pattern is matched as a set of states that are all tried at once, so that no pattern takes longer than its length times
//! that of the path, whatever whoever wrote it had in mind.

/// Longest pattern, in bytes: no path is longer.
pub(crate) const PATTERN_MAX_BYTES: usize = 4096;
/// Ways that the braces of one pattern may be read.
const BRACES_MAX: usize = 256;

/// One pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    /// As it was written.
    text: Vec<u8>,
    negated: bool,
    only_folders: bool,
    /// Holds for the path from the rule file on; else for the last part of any path.
    anchored: bool,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Literal(Vec<u8>),
    EndsWith(Vec<u8>),
    Wild { prefix: Vec<u8>, nodes: Vec<Node> },
}

/// One state; the next one is the one behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Byte(u8),
    /// Any byte but a slash.
    Any,
    /// One of these bytes, by their bits.
    Class(Box<[u64; 4]>),
    /// `*`: any number of bytes but slashes.
    Star,
    /// `**`: any number of bytes.
    Run,
    /// `**/`, its beginning: no folder at all, or the next state.
    Folders,
    /// `**/`: any number of bytes up to a slash.
    UpToSlash,
    /// What never matches: git does not refuse it either.
    Never,
}

impl Pattern {
    /// The pattern in a line of a rule file; `None` for a comment, an empty line and one that is too long.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        // Git ends a line there.
        let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
        if line.is_empty() || line[0] == b'#' || line.len() > PATTERN_MAX_BYTES {
            return None;
        }
        Some(Self::of(without_spaces(line)))
    }

    /// The patterns that `line` stands for where braces list alternatives.
    ///
    /// # Errors
    ///
    /// Says, for people, what is wrong with it.
    pub(crate) fn with_braces(line: &[u8]) -> Result<Vec<Self>, String> {
        if line.len() > PATTERN_MAX_BYTES {
            return Err(format!("it is longer than {PATTERN_MAX_BYTES} bytes"));
        }
        let patterns: Vec<Self> = expand(line)?.iter().filter_map(|line| Self::parse(line)).collect();
        if patterns.iter().any(Self::never_matches) {
            return Err("a bracket is not closed, or a backslash stands at its end".to_owned());
        }
        Ok(patterns)
    }

    fn of(line: &[u8]) -> Self {
        let (negated, rest) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (only_folders, body) = match rest.strip_suffix(b"/") {
            Some(body) => (true, body),
            None => (false, rest),
        };
        let anchored = body.contains(&b'/');
        let plain = plain_bytes(body);
        let ends_with = body.strip_prefix(b"*").filter(|tail| plain_bytes(tail) == tail.len());
        let form = match (anchored, ends_with) {
            (_, None) if plain == body.len() => Form::Literal(body.strip_prefix(b"/").unwrap_or(body).to_vec()),
            (false, Some(tail)) => Form::EndsWith(tail.to_vec()),
            // As in git, what is behind the plain beginning is read as a pattern of its own.
            _ => Form::Wild {
                prefix: body[..plain].strip_prefix(b"/").unwrap_or(&body[..plain]).to_vec(),
                nodes: nodes(&body[plain..]),
            },
        };
        let form = match form {
            // The last part of a path is compared as a whole.
            Form::Wild { prefix, .. } if !anchored => {
                debug_assert!(prefix.len() == plain, "it has no slash");
                Form::Wild { prefix: Vec::new(), nodes: nodes(body) }
            }
            other => other,
        };
        Self { text: line.to_vec(), negated, only_folders, anchored, form }
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether what matches is not left out.
    pub(crate) fn is_negated(&self) -> bool {
        self.negated
    }

    /// What it takes in memory, in bytes.
    pub(crate) fn size_bytes(&self) -> usize {
        let form = match &self.form {
            Form::Literal(text) | Form::EndsWith(text) => text.len(),
            Form::Wild { prefix, nodes } => {
                let classes = nodes.iter().filter(|node| matches!(node, Node::Class(_))).count();
                prefix.len() + size_of_val(nodes.as_slice()) + classes * size_of::<[u64; 4]>()
            }
        };
        size_of::<Self>() + self.text.len() + form
    }

    /// Whether it holds for `path`, whose parts are divided by slashes, from the folder of the rule file on; `name` is
    /// [`name_of`] it. As long as there are `steps`, of which it takes some.
    pub(crate) fn matches(&self, path: &[u8], name: &[u8], is_folder: bool, steps: &mut u64) -> bool {
        if self.only_folders && !is_folder {
            return false;
        }
        let subject = if self.anchored { path } else { name };
        match &self.form {
            Form::Literal(literal) => literal == subject,
            Form::EndsWith(tail) => subject.ends_with(tail),
            Form::Wild { prefix, nodes } => {
                subject.strip_prefix(prefix.as_slice()).is_some_and(|rest| matches_wild(nodes, rest, steps))
            }
        }
    }

    fn never_matches(&self) -> bool {
        matches!(&self.form, Form::Wild { nodes, .. } if nodes.contains(&Node::Never))
    }
}

/// The last part of a path, to be asked for once for many patterns.
pub(crate) fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The line without the spaces at its end, unless a backslash stands before them.
fn without_spaces(line: &[u8]) -> &[u8] {
    let (mut end, mut position) = (0, 0);
    while position < line.len() {
        match line[position] {
            b' ' => position += 1,
            b'\\' => {
                position += 2;
                // Git leaves such a line as it is.
                if position > line.len() {
                    return line;
                }
                end = position;
            }
            _ => {
                position += 1;
                end = position;
            }
        }
    }
    &line[..end]
}

/// How many bytes from the beginning stand for nothing but themselves.
fn plain_bytes(pattern: &[u8]) -> usize {
    pattern.iter().position(|byte| b"*?[\\".contains(byte)).unwrap_or(pattern.len())
}

fn nodes(pattern: &[u8]) -> Vec<Node> {
    let mut nodes = Vec::with_capacity(pattern.len());
    let mut position = 0;
    while position < pattern.len() {
        let begin = position;
        position += 1;
        match pattern[begin] {
            b'\\' => {
                nodes.push(pattern.get(position).map_or(Node::Never, |byte| Node::Byte(*byte)));
                position += 1;
            }
            b'?' => nodes.push(Node::Any),
            b'*' => {
                let stars = pattern[begin..].iter().take_while(|byte| **byte == b'*').count();
                position = begin + stars;
                let rest = &pattern[position..];
                let alone = (begin == 0 || pattern[begin - 1] == b'/')
                    && (rest.is_empty() || rest.starts_with(b"/") || rest.starts_with(b"\\/"));
                match (stars > 1 && alone, rest.first()) {
                    (true, Some(b'/')) => {
                        nodes.extend([Node::Folders, Node::UpToSlash]);
                        position += 1;
                    }
                    (true, _) => nodes.push(Node::Run),
                    (false, _) => nodes.push(Node::Star),
                }
            }
            b'[' => {
                let (class, length) = class(&pattern[begin..]);
                nodes.push(class.map_or(Node::Never, |bits| Node::Class(Box::new(bits))));
                position = begin + length;
            }
            byte => nodes.push(Node::Byte(byte)),
        }
    }
    nodes
}

/// The bytes that the bracket at the beginning of `pattern` stands for, and its length; none if it is not closed or names a
/// class that there is not.
fn class(pattern: &[u8]) -> (Option<[u64; 4]>, usize) {
    let broken = (None, pattern.len());
    let mut position = 1;
    let negated = matches!(pattern.get(position), Some(b'!' | b'^'));
    position += usize::from(negated);
    let mut bits = [0_u64; 4];
    let mut set = |byte: u8| bits[usize::from(byte >> 6)] |= 1 << (byte & 63);
    // The byte that a range may begin with.
    let mut previous = None;
    let mut first = true;
    loop {
        let Some(&byte) = pattern.get(position) else { return broken };
        if byte == b']' && !first {
            break;
        }
        first = false;
        match byte {
            b'\\' => {
                let Some(&escaped) = pattern.get(position + 1) else { return broken };
                set(escaped);
                previous = Some(escaped);
                position += 2;
            }
            b'-' if previous.is_some() && pattern.get(position + 1).is_some_and(|next| *next != b']') => {
                position += 1;
                if pattern[position] == b'\\' {
                    position += 1;
                }
                let Some(&last) = pattern.get(position) else { return broken };
                (previous.unwrap_or(last)..=last).for_each(&mut set);
                previous = None;
                position += 1;
            }
            b'[' if pattern.get(position + 1) == Some(&b':') => {
                let begin = position + 2;
                let Some(length) = pattern[begin..].iter().position(|byte| *byte == b']') else { return broken };
                let name = pattern[begin..begin + length].strip_suffix(b":");
                match name {
                    // A bracket like any other.
                    None => {
                        set(b'[');
                        previous = Some(b'[');
                        position += 1;
                    }
                    Some(name) => {
                        let Some(holds) = named_class(name) else { return broken };
                        (0..=u8::MAX).filter(holds).for_each(&mut set);
                        previous = None;
                        position = begin + length + 1;
                    }
                }
            }
            byte => {
                set(byte);
                previous = Some(byte);
                position += 1;
            }
        }
    }
    if negated {
        bits = bits.map(|word| !word);
    }
    (Some(bits), position + 1)
}

fn named_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// States that are reached, by their bits; the last one is the end of the pattern.
trait States: Default {
    /// Whether it is reached for the first time.
    fn add(&mut self, state: usize) -> bool;
    fn has(&self, state: usize) -> bool;
    /// Hands out each state, in order, and then has none.
    fn drain(&mut self, each: impl FnMut(usize));
    fn is_empty(&self) -> bool;

    /// Reaches `state`, and all that is reached from there without a byte.
    fn reach(&mut self, nodes: &[Node], mut state: usize) {
        // Whoever reached it before went on from there, too.
        while self.add(state) {
            match nodes.get(state) {
                Some(Node::Star | Node::Run) => state += 1,
                Some(Node::Folders) => {
                    self.add(state + 1);
                    state += 2;
                }
                _ => return,
            }
        }
    }
}

/// Those of nearly every pattern: many names are asked for, and this is done for each of their bytes.
#[derive(Default)]
struct FewStates(u64);

impl States for FewStates {
    fn add(&mut self, state: usize) -> bool {
        let former = self.0;
        self.0 |= 1 << state;
        self.0 != former
    }

    fn has(&self, state: usize) -> bool {
        self.0 & (1 << state) != 0
    }

    fn drain(&mut self, mut each: impl FnMut(usize)) {
        let mut word = std::mem::take(&mut self.0);
        while word != 0 {
            each(word.trailing_zeros() as usize);
            word &= word - 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// Those of a long pattern.
#[derive(Default)]
struct ManyStates {
    words: Vec<FewStates>,
}

impl States for ManyStates {
    fn add(&mut self, state: usize) -> bool {
        let word = state / 64;
        if word >= self.words.len() {
            self.words.resize_with(word + 1, FewStates::default);
        }
        self.words[word].add(state % 64)
    }

    fn has(&self, state: usize) -> bool {
        self.words.get(state / 64).is_some_and(|word| word.has(state % 64))
    }

    fn drain(&mut self, mut each: impl FnMut(usize)) {
        for (index, word) in self.words.iter_mut().enumerate() {
            word.drain(|state| each(index * 64 + state));
        }
    }

    fn is_empty(&self) -> bool {
        self.words.iter().all(States::is_empty)
    }
}

impl Node {
    /// Whether it stands for exactly one byte.
    fn is_one(&self) -> bool {
        matches!(self, Self::Byte(_) | Self::Any | Self::Class(_))
    }

    /// Whether the next state is reached by `byte`.
    fn goes_on(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::Any => byte != b'/',
            Self::Class(bits) => byte != b'/' && bits[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0,
            Self::UpToSlash => byte == b'/',
            Self::Star | Self::Run | Self::Folders | Self::Never => false,
        }
    }

    /// Whether it still is reached after `byte`.
    fn stays(&self, byte: u8) -> bool {
        match self {
            Self::Star => byte != b'/',
            Self::Run | Self::UpToSlash => true,
            _ => false,
        }
    }
}

fn matches_wild(nodes: &[Node], text: &[u8], steps: &mut u64) -> bool {
    // Many patterns are an ending.
    if let Some((Node::Star, ending)) = nodes.split_first()
        && ending.iter().all(Node::is_one)
    {
        let Some(begin) = text.len().checked_sub(ending.len()) else { return false };
        let has_ending = ending.iter().zip(&text[begin..]).all(|(node, byte)| node.goes_on(*byte));
        return has_ending && !text[..begin].contains(&b'/');
    }
    // Mostly it is no match from the first byte on.
    if let (Some(Node::Byte(wanted)), begin) = (nodes.first(), text.first())
        && begin != Some(wanted)
    {
        return false;
    }
    // Or from the last.
    if let (Some(Node::Byte(wanted)), end) = (nodes.last(), text.last())
        && end != Some(wanted)
    {
        return false;
    }
    match nodes.len() < 64 {
        true => matches_by::<FewStates>(nodes, text, steps),
        false => matches_by::<ManyStates>(nodes, text, steps),
    }
}

fn matches_by<S: States>(nodes: &[Node], text: &[u8], steps: &mut u64) -> bool {
    let (mut now, mut next) = (S::default(), S::default());
    now.reach(nodes, 0);
    for byte in text {
        // Going through the words of many states is work, too.
        *steps = steps.saturating_sub(nodes.len() as u64 / 64);
        now.drain(|state| {
            *steps = steps.saturating_sub(1);
            let Some(node) = nodes.get(state) else { return };
            if node.goes_on(*byte) {
                next.reach(nodes, state + 1);
            }
            if node.stays(*byte) {
                next.reach(nodes, state);
            }
        });
        if next.is_empty() || *steps == 0 {
            return false;
        }
        std::mem::swap(&mut now, &mut next);
    }
    now.has(nodes.len())
}

/// The lines that `line` stands for: `*.{jpg,png}` is `*.jpg` and `*.png`.
fn expand(line: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let mut whole = vec![line.to_vec()];
    let mut done = Vec::new();
    while let Some(line) = whole.pop() {
        match first_braces(&line)? {
            None => done.push(line),
            Some((begin, end, alternatives)) => {
                for alternative in alternatives.into_iter().rev() {
                    whole.push([&line[..begin], alternative, &line[end..]].concat());
                }
            }
        }
        if whole.len() + done.len() > BRACES_MAX {
            return Err(format!("its braces stand for more than {BRACES_MAX} patterns"));
        }
    }
    Ok(done)
}

type Braces<'a> = (usize, usize, Vec<&'a [u8]>);

/// Where the first braces begin and end, and what is between their commas.
fn first_braces(line: &[u8]) -> Result<Option<Braces<'_>>, String> {
    let (mut position, mut depth, mut begin, mut part) = (0, 0_usize, 0, 0);
    let mut alternatives = Vec::new();
    while position < line.len() {
        match line[position] {
            b'\\' => position += 1,
            b'[' if depth == 0 => {
                if let (Some(_), length) = class(&line[position..]) {
                    position += length - 1;
                }
            }
            b'{' => {
                depth += 1;
                if depth == 1 {
                    (begin, part) = (position, position + 1);
                }
            }
            b',' if depth == 1 => {
                alternatives.push(&line[part..position]);
                part = position + 1;
            }
            b'}' if depth == 0 => return Err("a brace is closed that was not opened".to_owned()),
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    alternatives.push(&line[part..position]);
                    return Ok(Some((begin, position + 1, alternatives)));
                }
            }
            _ => {}
        }
        position += 1;
    }
    if depth > 0 { Err("a brace is not closed".to_owned()) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let pattern = Pattern::parse(pattern.as_bytes()).unwrap();
        pattern.matches(path.as_bytes(), name_of(path.as_bytes()), false, &mut u64::MAX.clone())
    }

    #[test]
    fn a_pattern_takes_no_longer_than_its_length_times_that_of_the_path() {
        let begin = std::time::Instant::now();
        let hostile = format!("/{}b", "*a".repeat(2000));
        assert!(!matches(&hostile, &"a".repeat(4000)));
        let hostile = format!("/{}b", "**/".repeat(1300));
        assert!(!matches(&hostile, &"a/".repeat(2000)));
        assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
    }

    #[test]
    fn no_more_steps_are_taken_than_there_are() {
        let pattern = Pattern::parse(format!("/{}b", "*?".repeat(20)).as_bytes()).unwrap();
        let path = format!("{}b", "a".repeat(240));
        let mut steps = 1000;
        assert!(!pattern.matches(path.as_bytes(), path.as_bytes(), false, &mut steps) && steps == 0);
    }

    #[test]
    fn a_long_pattern_matches_as_a_short_one_does() {
        // One byte more than fits into a word, and a few less.
        for length in [60, 61, 62, 63, 64, 65, 127, 128, 129, 2000] {
            let name = "a".repeat(length);
            for (pattern, path, expected) in [
                (format!("/{name}?"), format!("{name}b"), true),
                (format!("/{name}?"), name.clone(), false),
                (format!("/?{name}"), format!("b{name}"), true),
                (format!("/**/[{name}]*/{name}*"), format!("x/aa/{name}b"), true),
                (format!("/**/{name}*"), format!("x/y/{name}"), true),
                (format!("/**/{name}*"), format!("x/y/b{name}"), false),
                (format!("/*{name}"), format!("bb{name}"), true),
                (format!("/\\{name}*b"), format!("{name}abab"), true),
            ] {
                assert_eq!(matches(&pattern, &path), expected, "{pattern} {path}");
            }
        }
    }

    #[test]
    fn braces_list_alternatives_where_they_are_read_at_all() {
        let texts = |line: &str| {
            let patterns = Pattern::with_braces(line.as_bytes())?;
            Ok::<_, String>(
                patterns.iter().map(|one| String::from_utf8_lossy(one.text()).into_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(texts("*.{jpg,png}").unwrap(), ["*.jpg", "*.png"]);
        assert_eq!(texts("a{b{c,d},}[{]").unwrap(), ["abc[{]", "abd[{]", "a[{]"]);
        assert_eq!(texts(r"a\{b").unwrap(), [r"a\{b"]);
        for bad in ["a/{b", "a}", "a[b", "a\\", &"{a,b}".repeat(20)] {
            assert!(texts(bad).is_err(), "{bad}");
        }
        assert!(matches("{a,b}", "{a,b}") && !matches("{a,b}", "a"), "git knows no braces");
    }
}
