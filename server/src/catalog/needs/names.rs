//! Sets of names, as they are asked for, compared and written down.

use std::collections::BTreeSet;
use std::sync::Arc;

use filemill_api::ErrorBody;
use filemill_api::abilities::{HEADER_2, LONG_PARAMETERS, backend, backend_of, contract, contract_of, is_name};
use filemill_api::limits::MAX_NAMES;

use crate::refusal::{bad_request, beyond, shown};

/// The kind of engine that servers and nodes without names knew.
const COMPONENT: &str = "component";
/// Contracts that those had a bit for, and where the bits begin of nodes that also take long parameters.
const CONTRACT_BITS: std::ops::RangeInclusive<u32> = 1..=30;
const LONG_BITS: u32 = 32;

/// What nodes of one class have: names, ascending, each once. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Abilities(Arc<str>);

impl Abilities {
    /// What a node says that it has.
    ///
    /// # Errors
    /// `bad_request`: too many names, or one that can be none.
    pub(crate) fn of(names: &[String]) -> Result<Self, ErrorBody> {
        check_names("abilities", names)?;
        Ok(Self::from_names(names.iter().map(String::as_str)))
    }

    /// As it was written down; `bits` count where it was not, by a server that knows no names.
    pub(crate) fn written(names: Option<&str>, bits: i64) -> Self {
        names.map_or_else(|| Self::of_bits(bits), |names| Self(names.into()))
    }

    fn from_names<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(joined(names.collect()).into())
    }

    fn of_bits(bits: i64) -> Self {
        let has = |bit: u32| (bits >> bit) & 1 == 1;
        let contracts = CONTRACT_BITS.filter(|&major| has(major)).map(|major| contract(major, 0));
        let component = (bits != 0).then(|| backend(COMPONENT));
        let long = CONTRACT_BITS.into_iter().any(|major| has(major + LONG_BITS)).then(|| LONG_PARAMETERS.to_owned());
        let names: Vec<_> = contracts.chain(component).chain(long).collect();
        Self::from_names(names.iter().map(String::as_str))
    }

    /// What a server that knows no names can make of it: one bit for each contract whose first minor these nodes run, and another where they
    /// take long parameters.
    pub(crate) fn bits(&self) -> i64 {
        if !self.names().any(|name| backend_of(name) == Some(COMPONENT)) {
            return 0;
        }
        let long = self.has(LONG_PARAMETERS);
        let majors = self.names().filter_map(contract_of).filter(|&(_, minor)| minor == 0).map(|(major, _)| major);
        majors
            .filter(|major| CONTRACT_BITS.contains(major))
            .fold(0, |bits, major| bits | 1 << major | if long { 1 << (major + LONG_BITS) } else { 0 })
    }

    /// As it is written down.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|name| !name.is_empty())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names().any(|one| one == name)
    }

    /// Formats of headers that these nodes read. Every node reads the first.
    pub(crate) fn formats(&self) -> impl Iterator<Item = u8> {
        [(1, true), (2, self.has(HEADER_2))].into_iter().filter(|(_, reads)| *reads).map(|(format, _)| format)
    }
}

/// What a run needs: all names of one of these alternatives. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NeedSet(Arc<str>);

impl NeedSet {
    /// All of these names, which were checked.
    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(joined(names.into_iter().collect()).into())
    }

    /// What a release of the component backend needs that was built for this contract.
    pub(crate) fn component(major: u32, minor: u32) -> Self {
        Self::of([backend(COMPONENT).as_str(), contract(major, minor).as_str()])
    }

    /// Any of these.
    pub(crate) fn any(sets: impl IntoIterator<Item = Self>) -> Self {
        let sets: Vec<_> = sets.into_iter().collect();
        let alternatives: BTreeSet<&str> = sets.iter().flat_map(Self::alternatives).collect();
        Self(alternatives.into_iter().collect::<Vec<_>>().join("|").into())
    }

    /// These names beside what it needs.
    #[must_use]
    pub(crate) fn and(&self, names: &[&str]) -> Self {
        if names.is_empty() {
            return self.clone();
        }
        Self::any(self.alternatives().map(|one| Self::of(one.split(' ').chain(names.iter().copied()))))
    }

    /// As it is written down.
    pub(in crate::catalog) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn written(names: &str) -> Self {
        Self(names.into())
    }

    /// Whether such nodes have what it needs.
    pub(crate) fn met_by(&self, abilities: &Abilities) -> bool {
        self.alternatives().any(|names| names.split(' ').all(|name| abilities.has(name)))
    }

    /// The names, where there is one alternative only.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut alternatives = self.alternatives();
        match (alternatives.next(), alternatives.next()) {
            (Some(only), None) => only.split(' ').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// What none of these nodes has, of the alternative of which least is missing. Empty: each name is had by some of them, but all by
    /// none.
    pub(crate) fn lacks(&self, nodes: &[Abilities]) -> Vec<String> {
        let lacks = |names: &str| -> Vec<String> {
            let missing = names.split(' ').filter(|name| !nodes.iter().any(|node| node.has(name)));
            missing.map(ToOwned::to_owned).collect()
        };
        self.alternatives().map(lacks).min_by_key(Vec::len).unwrap_or_default()
    }

    pub(super) fn alternatives(&self) -> impl Iterator<Item = &str> {
        self.0.split('|')
    }
}

/// Whether these can be names, and few enough.
///
/// # Errors
/// `bad_request`.
pub(in crate::catalog) fn check_names(what: &str, names: &[String]) -> Result<(), ErrorBody> {
    if names.len() > MAX_NAMES {
        return Err(beyond(what, MAX_NAMES));
    }
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => {
            Err(bad_request(format!("`{}` in {what} is no name: 1 to 64 characters of [a-z0-9.:_-]", shown(name))))
        }
        None => Ok(()),
    }
}

fn joined(names: BTreeSet<&str>) -> String {
    names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abilities(names: &[&str]) -> Abilities {
        Abilities::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names")
    }

    #[test]
    fn what_bits_said_and_what_names_say_is_the_same() {
        let all = abilities(&["contract:2.0", "contract:1.0", "backend:component", "long_parameters"]);
        assert_eq!(all.bits(), 0b110 | 0b110 << 32);
        assert_eq!(Abilities::written(None, all.bits()), all);
        assert_eq!(Abilities::written(None, 0b10), abilities(&["backend:component", "contract:1.0"]));
        assert_eq!(Abilities::written(None, 0).names().count(), 0);
        assert_eq!(abilities(&["contract:1.0", "backend:container"]).bits(), 0, "older servers know components only");
        assert_eq!(abilities(&["contract:1.1", "contract:31.0", "backend:component"]).bits(), 0);
        assert_eq!(Abilities::written(Some("a b"), 0b10), abilities(&["b", "a", "a"]));
    }

    #[test]
    fn a_minor_is_a_name_of_its_own() {
        let old = abilities(&["backend:component", "contract:1.0"]);
        let new = abilities(&["backend:component", "contract:1.0", "contract:1.1"]);
        assert!(NeedSet::component(1, 0).met_by(&old) && NeedSet::component(1, 0).met_by(&new));
        assert!(!NeedSet::component(1, 1).met_by(&old) && NeedSet::component(1, 1).met_by(&new));
    }

    #[test]
    fn any_alternative_is_enough_and_what_is_added_is_added_to_each() {
        let either = NeedSet::any([NeedSet::component(2, 0), NeedSet::component(1, 0)]);
        assert_eq!(either.as_str(), "backend:component contract:1.0|backend:component contract:2.0");
        let long = either.and(&["long_parameters"]);
        let node = abilities(&["backend:component", "contract:2.0"]);
        assert!(either.met_by(&node) && !long.met_by(&node));
        assert_eq!(long.lacks(&[node]), ["long_parameters"]);
        assert_eq!(either.and(&[]), either);
    }

    #[test]
    fn what_is_missing_is_named() {
        let needs = NeedSet::of(["gpu", "contract:2.1", "backend:container"]);
        let nodes = [abilities(&["gpu"]), abilities(&["backend:container"])];
        assert_eq!(needs.lacks(&nodes), ["contract:2.1"]);
        assert_eq!(needs.lacks(&[]), ["backend:container", "contract:2.1", "gpu"]);
        assert_eq!(NeedSet::of(["gpu", "backend:container"]).lacks(&nodes), [""; 0], "but no node has both");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let refuse =
            |names: &[&str]| Abilities::of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).is_err();
        assert!(refuse(&["a b"]) && refuse(&["a|b"]) && refuse(&[""]) && refuse(&["GPU"]));
        assert!(refuse(&vec!["x"; MAX_NAMES + 1]) && !refuse(&vec!["x"; MAX_NAMES]));
    }
}
