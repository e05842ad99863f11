//! What this node has, by name: it is leased only what needs nothing else. All of it is decided here.

use std::collections::BTreeSet;

use filemill_api::abilities::{HEADER_2, LONG_PARAMETERS, backend, contract, is_name};
use filemill_api::limits::MAX_NAMES;

use crate::error::NodeError;
use crate::releases::Backends;

/// What the names begin with that say something to Filemill itself.
const OWN: [&str; 3] = ["contract:", "backend:", "header:"];

/// Whether an operator may say that a node has what is called so: what the node knows of itself it says itself.
pub(crate) fn may_be_given(name: &str) -> bool {
    is_name(name) && name != LONG_PARAMETERS && !OWN.iter().any(|own| name.starts_with(own))
}

/// Names of all that this node has: the engines that its backends run, the headers that it reads, and what its operator says.
///
/// # Errors
///
/// [`NodeError::Config`], where they are more than a node may name.
pub(crate) fn abilities(backends: &Backends, given: &[String]) -> Result<Vec<String>, NodeError> {
    let contracts = backends.contracts().into_iter().map(|(major, minor)| contract(major, minor));
    let kinds = backends.kinds().map(backend);
    let own = [HEADER_2, LONG_PARAMETERS].into_iter().map(ToOwned::to_owned);
    let names: BTreeSet<String> = contracts.chain(kinds).chain(own).chain(given.iter().cloned()).collect();
    if names.len() > MAX_NAMES {
        let rule = "at most 64 names, with those that a processor gives itself";
        return Err(NodeError::Config { setting: "ability", rule });
    }
    Ok(names.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use filemill_runtime::{Runtime, RuntimeConfig};

    use super::*;

    fn backends() -> Backends {
        let runtime = Runtime::new(RuntimeConfig { slots: 1, ..RuntimeConfig::default() }).expect("a runtime");
        Backends::new(vec![Arc::new(runtime)])
    }

    #[test]
    fn a_node_names_each_minor_of_each_contract_and_what_its_operator_says() {
        let given = ["gpu".to_owned(), "licence:x".to_owned(), "gpu".to_owned()];
        let names = abilities(&backends(), &given).expect("they are few");
        let expected =
            ["backend:component", "contract:1.0", "contract:2.0", "gpu", "header:2", "licence:x", "long_parameters"];
        assert_eq!(names, expected);
        assert!(names.iter().all(|name| is_name(name)));
    }

    #[test]
    fn nobody_says_for_the_node_what_it_knows_itself() {
        for name in ["gpu", "a", "licence:x.y-z_1"] {
            assert!(may_be_given(name), "{name}");
        }
        for name in
            ["contract:3.0", "backend:container", "header:3", "long_parameters", "", "GPU", "a b", &"x".repeat(65)]
        {
            assert!(!may_be_given(name), "{name}");
        }
    }

    #[test]
    fn more_names_than_a_node_may_have_are_refused() {
        let given: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
        let error = abilities(&backends(), &given).expect_err("they are too many");
        assert!(error.to_string().starts_with("--ability takes at most 64 names"), "{error}");
        assert!(abilities(&backends(), &given[..59]).is_ok());
    }
}
