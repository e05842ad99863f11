//! The rooms of the server, in order: each uses those before it, and none that comes after. Of its domains, maintenance knows the queue,
//! the queue the catalog, and the catalog the accounts; the statements of each in the store are for it and those above it.
//!
//! It reads paths that begin with `crate::`, wherever they stand in the code. It does not see what a path through `super::` reaches
//! outside of its room, what a macro writes, nor what somebody is handed: a method of the store's may be called by whoever has the store.

use std::path::{Component, Path};

use super::{Finding, Sources};

/// Where the rooms are.
const ROOT: &str = "server/src";
/// What composes the rooms, and belongs to none.
const FRONT: [&str; 3] = ["lib", "main", "cli"];
/// The domains, the lowest first.
const DOMAINS: [&str; 4] = ["accounts", "catalog", "queue", "maintenance"];
/// The rooms, from the ground up. Those of one storey do not know each other.
const STOREYS: [&[&str]; 14] = [
    &["bounds", "descriptors", "digest", "gates", "recent", "shown"],
    &["callers", "storage"],
    &["listen", "store"],
    &["embedded", "random", "refusal", "retry"],
    &["start_error"],
    &["accounts"],
    &["catalog"],
    &["queue"],
    &["maintenance"],
    &["http"],
    &["domains"],
    &["config"],
    &["admin"],
    &["server"],
];

/// Checks every file of the server.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in sources.with_extension("rs") {
        let Ok(inside) = path.strip_prefix(ROOT) else { continue };
        let parts = parts_of(inside);
        let Some(room) = parts.first().map(String::as_str) else { continue };
        if FRONT.contains(&room) {
            continue;
        }
        let mut find = |line: usize, what: String, hint: &str| {
            findings.push(Finding { path: path.to_owned(), line, what, hint: hint.into() });
        };
        let Some(storey) = storey(room) else {
            find(
                1,
                format!("`{room}` is a room of the server that has no place among the others"),
                "give it one in `xtask/src/tidy/domains.rs`",
            );
            continue;
        };
        for (line, used) in paths(text) {
            let Some(other) = used.first() else { continue };
            let Some(other_storey) = self::storey(other) else { continue };
            if other != room && other_storey >= storey {
                find(
                    line,
                    format!("`{room}` uses `{other}`, which is not below it"),
                    "what both need goes below both; what a lower domain wants done above it, it writes down (`docs/decisions.md`)",
                );
            }
            let statements = used.get(1).filter(|_| other == "store").and_then(|inner| domain(inner));
            let own = if room == "store" { parts.get(1).and_then(|part| domain(part)) } else { domain(room) };
            if let (Some(statements), Some(own)) = (statements, own)
                && statements > own
            {
                find(
                    line,
                    format!("`{}` uses the statements of `{}`, which is above it", DOMAINS[own], DOMAINS[statements]),
                    "statements that both need go to the lower of them",
                );
            }
        }
    }
    findings
}

fn storey(room: &str) -> Option<usize> {
    STOREYS.iter().position(|rooms| rooms.contains(&room))
}

fn domain(name: &str) -> Option<usize> {
    DOMAINS.iter().position(|domain| *domain == name)
}

/// The modules of a file, `queue/lease/take.rs` for example, from the outside in.
fn parts_of(inside: &Path) -> Vec<String> {
    let names = inside.components().filter_map(|part| match part {
        Component::Normal(name) => name.to_str(),
        _ => None,
    });
    names.map(|name| name.strip_suffix(".rs").unwrap_or(name).to_owned()).collect()
}

/// The first two names of every path that begins with `crate::`, each with its line from 1.
fn paths(text: &str) -> Vec<(usize, Vec<String>)> {
    const START: &str = "crate::";
    // Comments may speak of whatever they like.
    let code: String = text.lines().flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"]).collect();
    let mut found = Vec::new();
    for (at, _) in code.match_indices(START) {
        // `$crate::` is a macro's way to name its own crate, and in whose file it stands is what counts.
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let line = code[..at].matches('\n').count() + 1;
        found.extend(names(&code[at + START.len()..], 2).into_iter().map(|names| (line, names)));
    }
    found
}

/// The paths that begin here, each as far as so many names.
fn names(code: &str, most: usize) -> Vec<Vec<String>> {
    if most == 0 {
        return vec![Vec::new()];
    }
    if let Some(list) = code.strip_prefix('{') {
        return items(list).iter().flat_map(|item| names(item.trim(), most)).collect();
    }
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    let inner = rest.strip_prefix("::").map_or_else(|| vec![Vec::new()], |rest| names(rest, most - 1));
    inner.into_iter().map(|inner| std::iter::once(name.to_owned()).chain(inner).collect()).collect()
}

/// The items of a list that has just begun, without those of the lists in it.
fn items(list: &str) -> Vec<&str> {
    let (mut items, mut from, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[from..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    items.retain(|item| !item.trim().is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Sources::from([(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_domain_that_uses_one_above_it_is_found_at_its_line() {
        let found = found("server/src/catalog/engines.rs", "//! Engines.\n\nuse crate::queue::Waking;\n");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("server/src/catalog/engines.rs:3: `catalog` uses `queue`"), "{found:?}");
    }

    #[test]
    fn every_way_to_write_it_is_found() {
        for text in [
            "use crate::{accounts, maintenance::Maintenance};\n",
            "use crate::{\n    accounts::{Caller, Scope},\n    http,\n};\n",
            "fn f() { crate::domains::Domains::start() }\n",
            "pub(crate) use crate::maintenance;\n",
            "mod tests {\n    use crate::http::Below;\n}\n",
        ] {
            assert_eq!(found("server/src/queue.rs", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_lies_below_may_be_used_and_comments_say_what_they_like() {
        for (path, text) in [
            ("server/src/maintenance/clock.rs", "use crate::queue::Waking;\nuse crate::catalog::Catalog;\n"),
            ("server/src/queue/lease/take.rs", "use crate::queue::core::Core;\nuse crate::store::queue::RunRow;\n"),
            (
                "server/src/queue/open.rs",
                "use crate::store::accounts::Row; // not crate::http\n/// As [`crate::http`].\n",
            ),
            ("server/src/store/queue/runs.rs", "use crate::store::{Store, Tx, catalog::Row};\n"),
            ("server/src/server.rs", "use crate::{config, domains, http};\n"),
            ("server/src/lib.rs", "pub use crate::server::Server;\n"),
            ("client/core/src/queue.rs", "use crate::maintenance;\n"),
        ] {
            assert_eq!(found(path, text), [""; 0], "{text}");
        }
    }

    #[test]
    fn statements_are_for_their_domain_and_those_above_it() {
        for (path, text) in [
            ("server/src/accounts/tokens.rs", "use crate::store::catalog::PoolRow;\n"),
            ("server/src/catalog/pools.rs", "use crate::store::{StoreError, queue::{RunRow, UploadRow}};\n"),
            ("server/src/store/catalog/nodes.rs", "use crate::store::queue::UploadRow;\n"),
        ] {
            let found = found(path, text);
            assert!(!found.is_empty() && found.iter().all(|found| found.contains("statements of")), "{found:?}");
        }
    }

    #[test]
    fn a_room_without_a_place_is_found() {
        let found = found("server/src/billing.rs", "//! Billing.\n");
        assert!(found.len() == 1 && found[0].contains("`billing`"), "{found:?}");
    }
}
