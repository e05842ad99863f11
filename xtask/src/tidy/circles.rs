//! No circles between the modules of a crate: of two that lie side by side, at most one needs the other.
//!
//! What counts is what a module names outside of its tests: `use` lines, and paths that begin with `crate`, `self`, `super` or a module
//! below. A name is followed through `pub use` to where it is defined, so that what a folder's file only passes on is no
//! dependency on that file. A folder's own file that uses what lies in its folder *and* defines what is used there is one thing
//! over a few files; over more than [`ONE_THING`], composing the parts and what they share want two files.
//!
//! It cannot see: what macros make, methods (a call names no module), trait implementations, names that a glob brings, and a type that comes
//! back from a function without being named.

mod modules;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::{Finding, Sources};
use modules::{Crate, ModulePath};

/// Folders in which nobody lives by these rules: what is copied into new engines, and what tests build.
const ELSEWHERE: [&str; 3] = ["xtask/templates", "engines/fixtures", "xtask/tests"];

/// So many files, a folder's own one among them, may be one thing and need each other.
const ONE_THING: usize = 4;

/// Checks each crate of the tree.
pub(super) fn check(sources: &Sources) -> Vec<Finding> {
    let roots = sources.with_extension("rs").map(|(path, _)| path).filter(|path| is_root(path));
    roots.flat_map(|root| check_crate(&Crate::read(sources, root))).collect()
}

fn is_root(path: &Path) -> bool {
    let names: Vec<_> = path.iter().filter_map(|name| name.to_str()).collect();
    let source = matches!(names[..], [.., "src", "lib.rs" | "main.rs"] | [.., "src", "bin", _, "main.rs"]);
    source && !ELSEWHERE.iter().any(|folder| path.starts_with(folder))
}

fn check_crate(krate: &Crate) -> Vec<Finding> {
    let mut folders: BTreeMap<ModulePath, Folder> = BTreeMap::new();
    for (from, to, place) in krate.dependencies() {
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let folder = folders.entry(from[..common].to_vec()).or_default();
        folder.add(from.get(common), to.get(common), place);
    }
    folders.values().flat_map(Folder::circles).collect()
}

/// A place in a file: its path, and the line from 1.
type Place = (PathBuf, usize);

/// A module in its folder; none is the folder's own file.
type Name = Option<String>;

/// Which modules of a folder need which, and where that stands first.
#[derive(Debug, Default)]
struct Folder(BTreeMap<Name, BTreeMap<Name, Place>>);

impl Folder {
    fn add(&mut self, from: Option<&String>, to: Option<&String>, place: Place) {
        self.0.entry(from.cloned()).or_default().entry(to.cloned()).or_insert(place);
    }

    /// One finding for each group of modules that need each other, at the first line of the shortest way around: of modules side
    /// by side, or else with the folder's own file.
    fn circles(&self) -> Vec<Finding> {
        let beside = self.beside();
        let groups = beside.groups();
        if !groups.is_empty() {
            return groups.iter().filter_map(|group| beside.finding(group)).collect();
        }
        self.groups().iter().filter(|group| group.len() > ONE_THING).filter_map(|group| self.finding(group)).collect()
    }

    /// The same without the folder's own file.
    fn beside(&self) -> Self {
        let side = |name: &Name| name.is_some();
        let needs = |needs: &BTreeMap<Name, Place>| {
            needs.iter().filter(|(to, _)| side(to)).map(|(to, place)| (to.clone(), place.clone())).collect()
        };
        Self(self.0.iter().filter(|(from, _)| side(from)).map(|(from, to)| (from.clone(), needs(to))).collect())
    }

    /// Modules that need each other, group by group.
    fn groups(&self) -> Vec<BTreeSet<Name>> {
        let mut groups: Vec<BTreeSet<Name>> = Vec::new();
        for name in self.0.keys() {
            if groups.iter().any(|group| group.contains(name)) {
                continue;
            }
            let mutual = |other: &Name| self.reached(other).contains(name);
            let group: BTreeSet<Name> = self.reached(name).into_iter().filter(mutual).collect();
            if !group.is_empty() {
                groups.push(group);
            }
        }
        groups
    }

    fn next<'a>(&'a self, name: &Name) -> impl Iterator<Item = &'a Name> {
        self.0.get(name).into_iter().flat_map(BTreeMap::keys)
    }

    /// What `name` needs, and what that needs, and so on.
    fn reached(&self, name: &Name) -> BTreeSet<Name> {
        let mut reached = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            open.extend(self.next(name).filter(|next| reached.insert((*next).clone())));
        }
        reached
    }

    /// The shortest way from `start` back to it, without the last step's end.
    fn way_around(&self, start: &Name) -> Option<Vec<Name>> {
        let mut before: BTreeMap<&Name, &Name> = BTreeMap::new();
        let mut open = VecDeque::from([start]);
        while let Some(name) = open.pop_front() {
            for next in self.next(name) {
                if next == start {
                    let mut way = vec![name.clone()];
                    while way.last() != Some(start) {
                        let step = before.get(way.last()?)?;
                        way.push((*step).clone());
                    }
                    way.reverse();
                    return Some(way);
                }
                if !before.contains_key(next) {
                    before.insert(next, name);
                    open.push_back(next);
                }
            }
        }
        None
    }

    fn finding(&self, group: &BTreeSet<Name>) -> Option<Finding> {
        let way = group.iter().filter_map(|member| self.way_around(member)).min_by_key(Vec::len)?;
        let steps: Vec<String> = way
            .iter()
            .zip(way.iter().cycle().skip(1))
            .filter_map(|(from, to)| {
                let (path, line) = self.0.get(from)?.get(to)?;
                Some(format!("{} needs {} ({}:{line})", shown(from), shown(to), path.display()))
            })
            .collect();
        let (path, line) = self.0.get(way.first()?)?.get(way.get(1)?)?;
        let more = group.len() > way.len();
        let all = if more { format!("; {} modules in all need each other", group.len()) } else { String::new() };
        Some(Finding {
            path: path.clone(),
            line: *line,
            what: format!("modules in a circle: {}{all}", steps.join(", ")),
            hint: "move what both need into a module below both, or what composes them above both".into(),
        })
    }
}

fn shown(name: &Name) -> String {
    name.as_ref().map_or_else(|| "the folder's own file".into(), |name| format!("`{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<const N: usize>(files: [(&str, &str); N]) -> Vec<String> {
        check(&Sources::from(files)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_modules_that_need_each_other_are_found_with_both_lines() {
        let found = found([
            ("a/src/lib.rs", "//! .\nmod one;\nmod two;\n"),
            ("a/src/one.rs", "//! .\nuse crate::two::B;\npub struct A(B);\n"),
            ("a/src/two.rs", "//! .\npub struct B;\n\nfn f(_: super::one::A) {}\n"),
        ]);
        let expected = "a/src/one.rs:2: modules in a circle: `one` needs `two` (a/src/one.rs:2), `two` needs `one` (a/src/two.rs:4); hint:";
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }

    #[test]
    fn deep_below_counts_for_the_folders_that_lie_side_by_side() {
        let found = found([
            ("a/src/main.rs", "//! .\nmod one;\nmod two;\n"),
            ("a/src/one.rs", "//! .\nmod deep;\n"),
            ("a/src/one/deep.rs", "//! .\nuse crate::two::{self, C, inner::{B, D}};\n"),
            ("a/src/two.rs", "//! .\nmod inner;\n"),
            ("a/src/two/inner.rs", "//! .\nuse crate::one::deep;\npub struct B;\n"),
        ]);
        assert!(found.len() == 1 && found[0].contains("`one` needs `two`"), "{found:?}");
    }

    #[test]
    fn what_a_folders_file_passes_on_is_followed_to_where_it_is_defined() {
        let passing = [
            ("a/src/lib.rs", "//! .\nmod one;\nmod two;\npub use one::A;\npub use two::B;\n"),
            ("a/src/one.rs", "//! .\npub struct A;\n"),
            ("a/src/two.rs", "//! .\nuse crate::A;\npub struct B(A);\n"),
        ];
        assert_eq!(found(passing), [""; 0]);
        let mut circle = passing;
        circle[1].1 = "//! .\nuse crate::B;\npub struct A;\n";
        assert_eq!(found(circle).len(), 1, "the same through the crate's face");
    }

    #[test]
    fn a_file_that_composes_many_parts_and_holds_what_they_share_is_found() {
        let folder = |parts: &[&str]| {
            let mut files = vec![("a/src/lib.rs".to_owned(), "//! .\nmod node;\n".to_owned())];
            let mut own = String::from("//! .\npub struct Shared;\n");
            for part in parts {
                own += &format!("mod {part};\nuse {part}::run as {part}_run;\n");
                files
                    .push((format!("a/src/node/{part}.rs"), "//! .\nuse super::Shared;\npub fn run() {}\n".to_owned()));
            }
            files.push(("a/src/node.rs".to_owned(), own));
            Sources::of(files)
        };
        assert_eq!(check(&folder(&["a", "b", "c"])), [], "one thing over a few files");
        let found = check(&folder(&["a", "b", "c", "d"]));
        assert!(found.len() == 1 && found[0].what.contains("5 modules in all"), "{found:?}");
        assert!(found[0].what.contains("the folder's own file needs `a` (a/src/node.rs:4)"), "{found:?}");
    }

    #[test]
    fn tests_and_what_only_tests_use_do_not_count() {
        let found = found([
            ("a/src/lib.rs", "//! .\nmod one;\nmod two;\n"),
            ("a/src/one.rs", "//! .\nuse crate::two::B;\npub struct A(B);\n"),
            (
                "a/src/two.rs",
                "//! .\npub struct B;\n#[cfg(test)]\nuse crate::one::A;\n#[cfg(test)]\nmod tests {\n    use crate::one::A;\n}\n",
            ),
        ]);
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_way_over_three_modules_is_one_finding() {
        let found = found([
            ("a/src/lib.rs", "//! .\nmod one;\nmod two;\nmod three;\n"),
            ("a/src/one.rs", "//! .\nuse crate::two;\n"),
            ("a/src/two.rs", "//! .\nfn f() { crate::three::g() }\n"),
            ("a/src/three.rs", "//! .\nuse super::one as first;\n"),
        ]);
        assert!(found.len() == 1 && found[0].contains("`two` needs `three`"), "{found:?}");
    }
}
