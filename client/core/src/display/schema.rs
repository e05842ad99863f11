//! What a JSON Schema says of a value, as far as it helps to show the value.

use super::node::Node;

/// Schemas that one leads to, at most: they may lead in a circle.
const HOPS_MAX: usize = 8;

/// What is said of one value: by a schema, and by those that it refers to.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    root: &'a Node,
    /// The outermost first: what it says goes before what it refers to.
    said: [Option<&'a Node>; HOPS_MAX],
}

impl<'a> View<'a> {
    pub(super) fn new(root: &'a Node, schema: &'a Node) -> Self {
        let mut said = [None; HOPS_MAX];
        let mut next = Some(schema);
        for place in &mut said {
            let Some(schema) = next else { break };
            *place = Some(schema);
            next = refers_to(root, schema);
        }
        Self { root, said }
    }

    fn nothing(self) -> Self {
        Self { root: self.root, said: [None; HOPS_MAX] }
    }

    /// A keyword that is a text.
    pub(super) fn text(&self, keyword: &str) -> Option<&'a str> {
        self.said().find_map(|schema| schema.field(keyword)?.as_text())
    }

    /// What is said of a field.
    pub(super) fn property(self, name: &str) -> Self {
        let found =
            self.said().find_map(|schema| schema.field("properties").and_then(|properties| properties.field(name)));
        let found = found.or_else(|| self.said().find_map(|schema| schema.field("additionalProperties")));
        found.map_or(self.nothing(), |schema| Self::new(self.root, schema))
    }

    /// What is said of the items of a list.
    pub(super) fn items(self) -> Self {
        let found = self.said().find_map(|schema| schema.field("items"));
        found.map_or(self.nothing(), |schema| Self::new(self.root, schema))
    }

    /// The same; without a word on the items, what is said of the list holds for each.
    pub(super) fn items_or_self(self) -> Self {
        if self.said().any(|schema| schema.field("items").is_some()) { self.items() } else { self }
    }

    fn said(&self) -> impl Iterator<Item = &'a Node> {
        self.said.into_iter().flatten()
    }
}

/// The schema that this one refers to: by name, or as the first of several that is not `null`.
fn refers_to<'a>(root: &'a Node, schema: &'a Node) -> Option<&'a Node> {
    if let Some(reference) = schema.field("$ref").and_then(Node::as_text) {
        let path = reference.strip_prefix('#')?;
        // JSON Pointer, RFC 6901.
        return path
            .split('/')
            .skip(1)
            .try_fold(root, |at, name| at.field(&name.replace("~1", "/").replace("~0", "~")));
    }
    ["anyOf", "oneOf", "allOf"].into_iter().find_map(|keyword| match schema.field(keyword)? {
        Node::List(schemas, _) => schemas.iter().find(|schema| {
            let kind = schema.field("type").and_then(Node::as_text);
            kind != Some("null")
        }),
        _ => None,
    })
}
