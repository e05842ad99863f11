//! The modules of a crate, as files, and what each names of the others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

use super::Place;
use crate::tidy::Sources;

/// A module's names from the crate's root on, which is empty itself.
pub(super) type ModulePath = Vec<String>;

/// So many times a name may be passed on by `pub use` before it is looked for no further.
const MAX_PASSED_ON: usize = 16;

/// A crate's modules that are part of what is built.
#[derive(Debug, Default)]
pub(super) struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

/// One module.
#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    children: BTreeSet<String>,
    /// Names that are brought in, and the path that they stand for as it is written.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths that are named, each with its line. What is only passed on is not among them.
    named: Vec<(Vec<String>, usize)>,
}

impl Crate {
    /// Reads the crate whose first file is `root`. What is no Rust names nothing: the compiler says so.
    pub(super) fn read(sources: &Sources, root: &Path) -> Self {
        let mut krate = Self::default();
        krate.read_file(sources, Vec::new(), root, root.parent().unwrap_or(Path::new("")));
        krate
    }

    /// `folder` is where the files of the modules declared in `file` lie.
    fn read_file(&mut self, sources: &Sources, path: ModulePath, file: &Path, folder: &Path) {
        let Some(parsed) = sources.text(file).and_then(|text| syn::parse_file(text).ok()) else { return };
        self.read_items(sources, path, file, folder, &parsed.items);
    }

    fn read_items(&mut self, sources: &Sources, path: ModulePath, file: &Path, folder: &Path, items: &[Item]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            match item {
                Item::Mod(inner) if !is_for_tests(&inner.attrs) => {
                    let name = inner.ident.to_string();
                    let below = folder.join(&name);
                    let child = [path.as_slice(), std::slice::from_ref(&name)].concat();
                    match &inner.content {
                        Some((_, items)) => self.read_items(sources, child, file, &below, items),
                        None => self.read_file(sources, child, &below.with_extension("rs"), &below),
                    }
                    module.children.insert(name);
                }
                Item::Mod(_) => {}
                item => module.visit_item(item),
            }
        }
        self.modules.insert(path, module);
    }

    /// Which module names something of which other one, and where: once for each name.
    pub(super) fn dependencies(&self) -> Vec<(ModulePath, ModulePath, Place)> {
        let mut dependencies = Vec::new();
        for (from, module) in &self.modules {
            for (named, line) in &module.named {
                if let Some(to) = self.defined_in(from, named, MAX_PASSED_ON).filter(|to| to != from) {
                    dependencies.push((from.clone(), to, (module.file.clone(), *line)));
                }
            }
        }
        dependencies
    }

    /// The module in which what is written as `named` in `from` is defined; none outside of this crate.
    fn defined_in(&self, from: &[String], named: &[String], steps: usize) -> Option<ModulePath> {
        let (first, mut rest) = named.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.to_vec(),
            "super" => from.split_last()?.1.to_vec(),
            child if self.modules.get(from)?.children.contains(child) => [from, std::slice::from_ref(first)].concat(),
            _ => return None,
        };
        while let Some((name, after)) = rest.split_first() {
            let module = self.modules.get(&at)?;
            if name == "super" {
                at.pop()?;
            } else if module.children.contains(name) {
                at.push(name.clone());
            } else if let Some(import) = module.imports.get(name).filter(|_| steps > 0) {
                let import = [import.as_slice(), after].concat();
                return self.defined_in(&at, &import, steps - 1).or(Some(at));
            } else {
                break;
            }
            rest = after;
        }
        self.modules.contains_key(&at).then_some(at)
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut leaves = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut leaves);
        let passed_on = !matches!(item.vis, Visibility::Inherited);
        for (path, name, line) in leaves {
            if !passed_on {
                self.named.push((path.clone(), line));
            }
            self.imports.insert(name, path);
        }
    }

    /// Who may see something is no need of it.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.named.push((names, path.span().start().line));
        }
        visit::visit_path(self, path);
    }
}

/// The paths that a `use` brings in, each with the name that it gets here and its line.
fn flatten(tree: &UseTree, path: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String, usize)>) {
    let line = tree.span().start().line;
    let mut leaf = |own: &str, name: &str| {
        let mut path = path.clone();
        if own != "self" || path.is_empty() {
            path.push(own.to_owned());
        }
        let name = if name == "self" { path.last().cloned().unwrap_or_default() } else { name.to_owned() };
        leaves.push((path, name, line));
    };
    match tree {
        UseTree::Name(name) => leaf(&name.ident.to_string(), &name.ident.to_string()),
        UseTree::Rename(rename) => leaf(&rename.ident.to_string(), &rename.rename.to_string()),
        UseTree::Glob(_) => leaf("*", "*"),
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            flatten(&inner.tree, path, leaves);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, path, leaves)),
    }
}

/// Whether something is there for tests only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test")))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
