//! The structure of the source: no import cycles between files, and no two public types of one
//! name.
//!
//! Reads `src` with a parser, resolves every path to the file that defines the item (through
//! re-exports), and looks for cycles. Test modules are left out.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, UseTree, Visibility,
    visit::{self, Visit},
};

/// A path of modules from the crate's root.
type ModulePath = Vec<String>;

/// The meaning of a name in a module.
#[derive(Debug, Clone)]
enum Name {
    /// An item that the module's file defines.
    Item,
    /// A child module.
    Module,
    /// Another path, by `use`: the segments, as they are written.
    Alias(Vec<String>),
}

#[derive(Debug, Default)]
struct Module {
    file: PathBuf,
    names: BTreeMap<String, Name>,
    globs: Vec<Vec<String>>,
    /// Every path that the module's code mentions, as it is written.
    paths: BTreeSet<Vec<String>>,
    /// The public types that it defines.
    types: Vec<String>,
}

type Modules = BTreeMap<ModulePath, Module>;

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("cfg")
            && a.meta
                .require_list()
                .is_ok_and(|l| l.tokens.to_string().contains("test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

/// Collects the paths that code mentions, in macros too.
struct Paths<'a>(&'a mut BTreeSet<Vec<String>>);

impl Visit<'_> for Paths<'_> {
    fn visit_path(&mut self, path: &syn::Path) {
        self.0
            .insert(path.segments.iter().map(|s| s.ident.to_string()).collect());
        visit::visit_path(self, path);
    }
    fn visit_macro(&mut self, mac: &syn::Macro) {
        self.visit_path(&mac.path);
        let text = mac.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        for word in words.filter(|w| w.contains("::") || w.starts_with(char::is_uppercase)) {
            self.0.insert(
                word.split("::")
                    .map(str::to_string)
                    .filter(|s| !s.is_empty())
                    .collect(),
            );
        }
    }
    fn visit_item_mod(&mut self, _: &syn::ItemMod) {}
    fn visit_item_use(&mut self, _: &syn::ItemUse) {}
    fn visit_visibility(&mut self, _: &Visibility) {}
    fn visit_attribute(&mut self, _: &Attribute) {}
    fn visit_item_fn(&mut self, f: &syn::ItemFn) {
        if !is_test(&f.attrs) {
            visit::visit_item_fn(self, f);
        }
    }
}

fn use_tree(tree: &UseTree, before: &mut Vec<String>, module: &mut Module) {
    match tree {
        UseTree::Path(p) => {
            before.push(p.ident.to_string());
            use_tree(&p.tree, before, module);
            before.pop();
        }
        UseTree::Group(g) => g.items.iter().for_each(|t| use_tree(t, before, module)),
        UseTree::Glob(_) => module.globs.push(before.clone()),
        UseTree::Name(_) | UseTree::Rename(_) => {
            let (ident, alias) = match tree {
                UseTree::Name(n) => (n.ident.to_string(), n.ident.to_string()),
                UseTree::Rename(r) => (r.ident.to_string(), r.rename.to_string()),
                _ => unreachable!(),
            };
            let mut target = before.clone();
            let alias = match (ident.as_str(), before.last()) {
                ("self", Some(last)) if alias == "self" => last.clone(),
                _ => alias,
            };
            if ident != "self" {
                target.push(ident);
            }
            module.names.insert(alias, Name::Alias(target));
        }
    }
}

fn is_public(v: &Visibility) -> bool {
    matches!(v, Visibility::Public(_))
}

fn read_file(path: &Path, at: &[String], out: &mut Modules) {
    let source = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let parsed = syn::parse_file(&source).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let folder = match path.file_name().unwrap().to_str().unwrap() {
        "mod.rs" | "lib.rs" => path.parent().unwrap().to_path_buf(),
        _ => path.with_extension(""),
    };
    read_items(&parsed.items, path, &folder, at, out);
}

fn read_items(items: &[Item], file: &Path, folder: &Path, at: &[String], out: &mut Modules) {
    let mut module = Module {
        file: file.to_path_buf(),
        ..Module::default()
    };
    for item in items.iter().filter(|i| !is_test(attributes(i))) {
        let mut define = |ident: &syn::Ident, public_type: bool| {
            module.names.insert(ident.to_string(), Name::Item);
            if public_type {
                module.types.push(ident.to_string());
            }
        };
        match item {
            Item::Const(i) => define(&i.ident, false),
            Item::Static(i) => define(&i.ident, false),
            Item::Fn(i) => define(&i.sig.ident, false),
            Item::Enum(i) => define(&i.ident, is_public(&i.vis)),
            Item::Struct(i) => define(&i.ident, is_public(&i.vis)),
            Item::Trait(i) => define(&i.ident, is_public(&i.vis)),
            Item::Type(i) => define(&i.ident, is_public(&i.vis)),
            Item::Macro(i) => i.ident.iter().for_each(|i| define(i, false)),
            Item::Use(i) => use_tree(&i.tree, &mut Vec::new(), &mut module),
            Item::Mod(i) => {
                let name = i.ident.to_string();
                let child: ModulePath = [at, std::slice::from_ref(&name)].concat();
                match &i.content {
                    Some((_, items)) => read_items(items, file, &folder.join(&name), &child, out),
                    None => {
                        let flat = folder.join(format!("{name}.rs"));
                        let nested = folder.join(&name).join("mod.rs");
                        let path = if flat.exists() { flat } else { nested };
                        read_file(&path, &child, out);
                    }
                }
                module.names.insert(name, Name::Module);
            }
            _ => {}
        }
        Paths(&mut module.paths).visit_item(item);
    }
    out.insert(at.to_vec(), module);
}

/// The target of a path.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Module(ModulePath),
    File(PathBuf),
}

/// Resolves a path that is written in a module; `None` if it leads out of the crate or is a local
/// name.
fn resolve(modules: &Modules, from: &[String], path: &[String], depth: u32) -> Option<Target> {
    let (mut at, mut rest) = (from.to_vec(), path);
    let mut rooted = false;
    while let [first, more @ ..] = rest {
        match first.as_str() {
            "crate" if !rooted => at.clear(),
            "self" if !rooted => {}
            "super" => drop(at.pop()?),
            _ => break,
        }
        (rooted, rest) = (true, more);
    }
    walk(modules, at, rest, rooted, depth)
}

fn walk(
    modules: &Modules,
    at: ModulePath,
    rest: &[String],
    rooted: bool,
    depth: u32,
) -> Option<Target> {
    let [name, more @ ..] = rest else {
        return rooted.then_some(Target::Module(at));
    };
    if depth == 0 {
        return None;
    }
    let module = modules.get(&at)?;
    match module.names.get(name) {
        Some(Name::Item) => Some(Target::File(module.file.clone())),
        Some(Name::Module) => {
            let child = [&at[..], std::slice::from_ref(name)].concat();
            walk(modules, child, more, true, depth - 1)
        }
        Some(Name::Alias(target)) => match resolve(modules, &at, target, depth - 1)? {
            Target::Module(module) => walk(modules, module, more, true, depth - 1),
            file @ Target::File(_) => Some(file),
        },
        None => {
            module
                .globs
                .iter()
                .find_map(|glob| match resolve(modules, &at, glob, depth - 1)? {
                    Target::Module(module) if module != at => {
                        walk(modules, module, rest, true, depth - 1)
                    }
                    _ => None,
                })
        }
    }
}

/// Whether a file belongs to a module below the one that another file defines. Such a file is part
/// of that module and may use the items of its parent.
fn is_below(file: &Path, parent: &Path) -> bool {
    let folder = match parent.file_name().unwrap().to_str().unwrap() {
        "mod.rs" | "lib.rs" => parent.parent().unwrap().to_path_buf(),
        _ => parent.with_extension(""),
    };
    file.starts_with(folder)
}

/// By importing and imported file: the imported names.
type Imports = BTreeMap<(PathBuf, PathBuf), BTreeSet<String>>;

fn imports(modules: &Modules) -> Imports {
    let mut out = Imports::new();
    for (at, module) in modules {
        let used = module.names.values().filter_map(|n| match n {
            Name::Alias(target) => Some(target),
            _ => None,
        });
        let facade = module.file.ends_with("mod.rs") || module.file.ends_with("lib.rs");
        // A facade that re-exports what its children define does not depend on them.
        let used = used.filter(|_| !facade);
        for path in module.paths.iter().chain(used) {
            if let Some(Target::File(file)) = resolve(modules, at, path, 16)
                && file != module.file
                && !is_below(&module.file, &file)
            {
                let names = out.entry((module.file.clone(), file)).or_default();
                names.insert(path.join("::"));
            }
        }
    }
    out
}

/// The cycles: sets of files each of which reaches all others.
fn cycles(imports: &Imports) -> Vec<Vec<PathBuf>> {
    let files: BTreeSet<&PathBuf> = imports.keys().flat_map(|(a, b)| [a, b]).collect();
    let reach = |start: &PathBuf| -> BTreeSet<&PathBuf> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![start.clone()]);
        while let Some(file) = open.pop() {
            for (_, to) in imports.keys().filter(|(from, _)| *from == file) {
                if seen.insert(to) {
                    open.push(to.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        files.iter().map(|f| (*f, reach(f))).collect();
    let mut out: BTreeSet<Vec<PathBuf>> = BTreeSet::new();
    for (file, to) in reached.iter().filter(|(f, to)| to.contains(**f)) {
        let both = to.iter().filter(|t| reached[**t].contains(*file));
        out.insert(both.map(|t| (*t).clone()).collect());
    }
    out.into_iter().collect()
}

fn modules() -> Modules {
    let mut out = Modules::new();
    read_file(Path::new("src/lib.rs"), &[], &mut out);
    out
}

#[test]
fn files_do_not_import_each_other_in_cycles() {
    let imports = imports(&modules());
    assert!(imports.len() > 500, "only {} imports found", imports.len());
    let mut report = String::new();
    let cycles = cycles(&imports);
    for cycle in &cycles {
        report += &format!("a cycle of {} files:\n", cycle.len());
        for ((from, to), names) in &imports {
            if cycle.contains(from) && cycle.contains(to) {
                report += &format!(
                    "  {} imports {names:?} from {}\n",
                    from.display(),
                    to.display()
                );
            }
        }
    }
    assert!(cycles.is_empty(), "{} cycles: {report}", cycles.len());
}

#[test]
fn no_two_public_types_share_a_name() {
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for module in modules().values() {
        for name in &module.types {
            found
                .entry(name.clone())
                .or_default()
                .push(module.file.clone());
        }
    }
    found.retain(|_, files| files.len() > 1);
    assert!(found.is_empty(), "{} names: {found:#?}", found.len());
}
