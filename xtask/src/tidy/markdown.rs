//! As much of Markdown as links, headings and code need.

use std::collections::{BTreeMap, BTreeSet};

/// A link, picture or reference definition.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// From 1.
    pub(super) line: usize,
    pub(super) target: String,
}

/// A text in backticks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// From 1.
    pub(super) line: usize,
    pub(super) text: String,
}

/// The links of `text`: `[…](target)`, `[…]: target`, `href="target"` and `src="target"`, outside of code.
pub(super) fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        let (prose, _) = split_code(prose);
        let mut add = |target: &str| links.push(Link { line, target: target.to_owned() });
        for (at, _) in prose.match_indices("](") {
            if let Some(target) = destination(&prose[at + 2..]) {
                add(target);
            }
        }
        let definition = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]:"));
        let definition = definition.filter(|(label, _)| !label.contains(']') && !label.starts_with('^'));
        if let Some(target) = definition.and_then(|(_, target)| target.split_whitespace().next()) {
            add(target.trim_matches(['<', '>']));
        }
        for attribute in ["href=\"", "src=\""] {
            for (at, _) in prose.match_indices(attribute) {
                if let Some((target, _)) = prose[at + attribute.len()..].split_once('"') {
                    add(target);
                }
            }
        }
    }
    links
}

/// The texts in backticks, outside of code blocks.
pub(super) fn inline_code(text: &str) -> Vec<Code> {
    let codes = |(line, prose)| split_code(prose).1.into_iter().map(move |text| Code { line, text });
    prose(text).flat_map(codes).collect()
}

/// The anchors that a reader can be sent to: of each heading, as forges make them, and of each `id` or `name`.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut seen = BTreeMap::new();
    for (_, line) in prose(text) {
        let marks = line.bytes().take_while(|&byte| byte == b'#').count();
        if let (1..=6, Some(title)) = (marks, line[marks..].strip_prefix(' ')) {
            let slug = slug(title.trim().trim_end_matches('#').trim_end());
            let count = seen.entry(slug.clone()).or_insert(0);
            anchors.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
            *count += 1;
        }
        for attribute in ["id=\"", "name=\""] {
            for (at, _) in line.match_indices(attribute) {
                anchors.extend(line[at + attribute.len()..].split_once('"').map(|(id, _)| id.to_owned()));
            }
        }
    }
    anchors
}

/// A heading's anchor: lower case, without punctuation, spaces as hyphens.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    let mut rest = title;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            // A link counts with its text alone.
            ']' if rest.starts_with('(') => rest = rest.split_once(')').map_or("", |(_, after)| after),
            ' ' => slug.push('-'),
            '-' | '_' => slug.push(character),
            _ if character.is_alphanumeric() => slug.extend(character.to_lowercase()),
            _ => {}
        }
    }
    slug
}

/// The numbered lines of `text` outside of code blocks in fences.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let length = ["```", "~~~"].iter().find(|mark| start.starts_with(**mark)).map(|mark| {
            let mark = mark.as_bytes()[0];
            start.bytes().take_while(|&byte| byte == mark).count()
        });
        match (fence, length) {
            (None, Some(length)) => fence = Some(&start[..length]),
            (None, None) => return Some((index + 1, line)),
            (Some(open), Some(_)) if start.trim_end().trim_start_matches(open).is_empty() => fence = None,
            (Some(open), Some(length)) if start.starts_with(open) && start.trim_end().len() == length => fence = None,
            (Some(_), _) => {}
        }
        None
    })
}

/// A line without what is in backticks, and that.
fn split_code(line: &str) -> (String, Vec<String>) {
    let mut prose = String::new();
    let mut codes = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find('`') {
        prose.push_str(&rest[..at]);
        rest = &rest[at..];
        let ticks = rest.bytes().take_while(|&byte| byte == b'`').count();
        let (mark, after) = rest.split_at(ticks);
        let Some(end) = after.find(mark) else {
            prose.push_str(rest);
            return (prose, codes);
        };
        codes.push(after[..end].trim().to_owned());
        rest = &after[end + ticks..];
    }
    prose.push_str(rest);
    (prose, codes)
}

/// The destination at the start of what follows `](`.
fn destination(rest: &str) -> Option<&str> {
    if let Some(rest) = rest.strip_prefix('<') {
        return rest.split_once('>').map(|(target, _)| target);
    }
    let mut depth = 0;
    let end = rest.char_indices().find(|(_, character)| match character {
        '(' => {
            depth += 1;
            false
        }
        ')' if depth > 0 => {
            depth -= 1;
            false
        }
        ')' | ' ' => true,
        _ => false,
    })?;
    Some(&rest[..end.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_every_form_are_found_and_those_in_code_are_not() {
        let text = "[a](b.md) ![p](c.png \"title\") [d](<e f.md>) `[g](h)`\n```text\n[i](j.md)\n```\n[k]: l.md\n<a href=\"m.md\">m</a> [n](o_(p).md)\n[^1]: a note\n";
        let found = links(text);
        let targets: Vec<_> = found.iter().map(|link| (link.line, link.target.as_str())).collect();
        let first = [(1, "b.md"), (1, "c.png"), (1, "e f.md"), (5, "l.md")];
        assert_eq!(targets, [&first[..], &[(6, "o_(p).md"), (6, "m.md")]].concat());
    }

    #[test]
    fn anchors_are_made_as_forges_make_them() {
        let text = "# The `way` of a file\n\n## A & B: C_d\n## A & B: C_d\n### [Link](to.md) – end\n```\n# no heading\n```\n<a id=\"own\"></a>\n#no\n";
        let anchors = anchors(text);
        let expected = ["a--b-c_d", "a--b-c_d-1", "link--end", "own", "the-way-of-a-file"];
        assert_eq!(anchors.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn texts_in_backticks_are_found_with_their_lines() {
        let found = inline_code("a `b` and ``c ` d``\n\n```\n`no`\n```\nan `open one\n`e`\n");
        let texts: Vec<_> = found.iter().map(|code| (code.line, code.text.as_str())).collect();
        assert_eq!(texts, [(1, "b"), (1, "c ` d"), (7, "e")]);
    }
}
