//! Imports point down and never in a circle, `unsafe` stays in one place, and the diagram of `src/lib.rs` is what is checked.
//!
//! The reader takes every `use` and every path that begins with `crate`, `super`, `self`, a child module or an imported
//! module, follows re-exports to the file that defines the name, and leaves `#[cfg(test)]` out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Storey by storey, from the ground: what may use what. What is below is allowed transitively.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sys", &[]),
    ("config", &["domain"]),
    ("identity", &["config", "sys"]),
    ("render", &["config"]),
    ("provider", &["identity"]),
    ("schedule", &["provider"]),
    ("deliver", &["render", "sys"]),
    ("process", &["sys"]),
    ("serve", &["sys", "config"]),
    ("plan", &["deliver", "identity"]),
    ("backend", &["schedule", "plan", "sys"]),
    ("checkpoint", &["provider", "sys"]),
    ("start", &["backend", "checkpoint", "plan"]),
    ("rotation", &["backend", "checkpoint", "plan", "schedule", "serve"]),
    ("k8s", &["render", "domain", "serve"]),
    ("run", &["start", "rotation", "process", "serve"]),
    ("cli", &["run", "k8s"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a module may use: everything below it.
fn below(module: &str) -> BTreeSet<&'static str> {
    below_in(ARROWS, module)
}

fn below_in<'a>(table: &[(&'a str, &[&'a str])], module: &str) -> BTreeSet<&'a str> {
    let direct = table.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, below)| below);
    direct.iter().flat_map(|name| below_in(table, name).into_iter().chain([*name])).collect()
}

/// `src/config/tree.rs` and `src/config.rs` belong to `config`; `src/lib.rs` and programs to nobody.
fn module_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (!matches!(first.as_str(), "lib" | "bin" | "main")).then_some(first)
}

/// Code without comments: `//…` to the end of a line, nested `/* */`, and the insides of string literals.
fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut depth = 0_u32;
    while let Some(first) = rest.chars().next() {
        let mut taken = first.len_utf8();
        if rest.starts_with("/*") || (depth > 0 && rest.starts_with("*/")) {
            depth = if rest.starts_with("/*") { depth + 1 } else { depth - 1 };
            taken = 2;
        } else if depth > 0 {
            out.extend((first == '\n').then_some('\n'));
        } else if rest.starts_with("//") {
            taken = rest.find('\n').unwrap_or(rest.len());
        } else if let Some(length) = raw_string(rest).or_else(|| string(rest)) {
            taken = length;
            out.extend(rest[..length].chars().filter(|c| *c == '\n'));
        } else if let Some(length) = character(rest) {
            taken = length;
        } else {
            out.push(first);
        }
        rest = &rest[taken..];
    }
    out
}

fn string(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(at + 2),
            _ => {}
        }
    }
    Some(rest.len())
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?.chars().take_while(|c| *c == '#').count();
    rest[1 + hashes..].starts_with('"').then_some(())?;
    let end = format!("\"{}", "#".repeat(hashes));
    let start = hashes + 2;
    Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escaped) = inside.strip_prefix('\\') {
        return escaped.char_indices().skip(1).find(|(_, c)| *c == '\'').map(|(at, _)| at + 3);
    }
    let first = inside.chars().next()?;
    inside[first.len_utf8()..].starts_with('\'').then(|| first.len_utf8() + 2)
}

/// The modules of a source tree, each with the file it is written in: `["config", "tree"]` is `src/config/tree.rs`.
struct Tree {
    /// By module path, the code of its file without comments, strings and tests.
    files: BTreeMap<Vec<String>, String>,
    /// By module path, what it imports or re-exports: a name, and the path it stands for.
    exports: BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
}

/// One import: the module that is written in one file uses something of another file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: Vec<String>,
    to: Vec<String>,
    line: usize,
}

impl Tree {
    /// The tree of these files: a path below `src` and the text of each.
    fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut files: BTreeMap<_, _> =
            sources.into_iter().map(|(path, text)| (module_path(path), without_tests(&code(text)))).collect();
        let only_tests = |path: &[String]| path.iter().any(|name| name == "tests");
        files.retain(|path, _| !only_tests(path));
        let mut tree = Self { files, exports: BTreeMap::new() };
        for (module, text) in &tree.files {
            let mut exports = BTreeMap::new();
            for Import { at, leaf, .. } in paths(text, module, &|_| false) {
                exports.extend(leaf.map(|leaf| (leaf, at)));
            }
            tree.exports.insert(module.clone(), exports);
        }
        tree
    }

    /// The file that defines what a path names: re-exports are followed.
    fn file_of(&self, path: &[String], depth: usize) -> Option<Vec<String>> {
        let mut module: Vec<String> = Vec::new();
        for (place, name) in path.iter().enumerate() {
            let mut below = module.clone();
            below.push(name.clone());
            if self.files.contains_key(&below) {
                module = below;
                continue;
            }
            let exported = self.exports.get(&module).and_then(|exports| exports.get(name));
            if let (Some(target), true) = (exported, depth < 8) {
                let rest = [target.as_slice(), &path[place + 1..]].concat();
                return self.file_of(&rest, depth + 1);
            }
            break;
        }
        self.files.contains_key(&module).then_some(module)
    }

    /// Every import of every file. What a file takes of the modules that it is a part of is no arrow: they are one thing.
    fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (module, text) in &self.files {
            let is_child = |name: &str| {
                let mut below = module.clone();
                below.push(name.to_owned());
                self.files.contains_key(&below)
            };
            for path in paths(text, module, &is_child) {
                let Some(to) = self.file_of(&path.at, 0) else { continue };
                if !module.starts_with(&to) {
                    arrows.insert(Arrow { from: module.clone(), to, line: path.line });
                }
            }
        }
        arrows
    }

    /// Files that import each other in a circle, directly or through others: each circle once, sorted.
    fn circles(&self) -> Vec<Vec<String>> {
        let mut next: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
        for arrow in self.arrows() {
            next.entry(arrow.from).or_default().insert(arrow.to);
        }
        let reach = |from: &Vec<String>| {
            let mut seen: BTreeSet<Vec<String>> = BTreeSet::new();
            let mut open = vec![from.clone()];
            while let Some(file) = open.pop() {
                for to in next.get(&file).into_iter().flatten() {
                    if seen.insert(to.clone()) {
                        open.push(to.clone());
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<_, _> = next.keys().map(|file| (file.clone(), reach(file))).collect();
        let mut circles = BTreeSet::new();
        for (file, all) in reached.iter().filter(|(file, all)| all.contains(*file)) {
            let members = all.iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)));
            circles.insert(members.map(|member| member.join("/")).collect::<Vec<_>>());
        }
        circles.into_iter().collect()
    }

    /// Imports from a module that is not below, by the table.
    fn upward(&self, table: &[(&str, &[&str])]) -> Vec<String> {
        let mut wrong = Vec::new();
        for Arrow { from, to, line } in self.arrows() {
            let (Some(user), Some(used)) = (from.first(), to.first()) else { continue };
            if matches!(user.as_str(), "bin" | "lib") || user == used {
                continue;
            }
            if !below_in(table, user).contains(used.as_str()) {
                wrong.push(format!(
                    "src/{}.rs:{line}: {user} uses {}, which is not below it",
                    from.join("/"),
                    to.join("/")
                ));
            }
        }
        wrong
    }
}

/// A path that a file names.
struct Import {
    /// From the root of the crate.
    at: Vec<String>,
    line: usize,
    /// The name that a `use` gives it.
    leaf: Option<String>,
}

/// `config/tree.rs` and `config/tree/mod.rs` are the module `config::tree`.
fn module_path(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// Code without its `#[cfg(test)] mod … { … }`.
fn without_tests(code: &str) -> String {
    match code.find("#[cfg(test)]\nmod ") {
        Some(at) if code[at..].lines().nth(1).is_some_and(|line| line.ends_with('{')) => code[..at].to_owned(),
        _ => code.to_owned(),
    }
}

/// Words and `::`, `{`, `}`, `,`, `;`, `*`, with their lines.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = code[at..].chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            c if is_word(c) => code[at..].find(|c| !is_word(c)).unwrap_or(code.len() - at),
            ':' if code[at..].starts_with("::") => 2,
            c => c.len_utf8(),
        };
        if !first.is_whitespace() {
            found.push((&code[at..at + length], line));
        }
        line += usize::from(first == '\n');
        at += length;
    }
    found
}

/// Every path of a file that begins with `crate`, `self`, `super`, a child module, or a name that a `use` gave a module.
fn paths(code: &str, module: &[String], is_child: &dyn Fn(&str) -> bool) -> Vec<Import> {
    let tokens = tokens(code);
    let word = |at: usize| tokens.get(at).map_or("", |(text, _)| *text);
    let mut found: Vec<Import> = Vec::new();
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for at in 0..tokens.len() {
        let before = if at == 0 { "" } else { word(at - 1) };
        if before == "::" || before == "." || before == "$" {
            continue;
        }
        let (start, is_use) = if word(at) == "use" { (at + 1, true) } else { (at, before == "use") };
        if is_use && start == at {
            continue; // read with its `use`
        }
        let first = word(start);
        let mut base = match first {
            "crate" => Vec::new(),
            "self" | "super" => module.to_vec(),
            name if word(start + 1) == "::" && names.contains_key(name) && !is_use => names[name].clone(),
            name if is_use && !matches!(word(start + 1), "::" | ";" | "as") => {
                let _ = name;
                continue;
            }
            name if is_child(name) || (is_use && word(start + 1) == "::") => [module, &[name.to_owned()]].concat(),
            _ => continue,
        };
        if first == "self" && word(start + 1) != "::" {
            continue;
        }
        if first == "super" {
            base.pop();
        }
        let mut leaves = Vec::new();
        expand(&tokens, start + 1, base, first, &mut leaves);
        for (path, leaf) in leaves {
            if is_use && let Some(leaf) = &leaf {
                names.insert(leaf.clone(), path.clone());
            }
            found.push(Import { at: path, line: tokens[start].1, leaf: leaf.filter(|_| is_use) });
        }
    }
    found
}

/// Reads on behind the first segment: `::a::{b, c as d}`. Returns the place behind it.
fn expand(
    tokens: &[(&str, usize)],
    mut at: usize,
    mut path: Vec<String>,
    first: &str,
    leaves: &mut Vec<(Vec<String>, Option<String>)>,
) -> usize {
    let word = |at: usize| tokens.get(at).map_or("", |(text, _)| *text);
    let mut last = first.to_owned();
    while word(at) == "::" {
        at += 1;
        match word(at) {
            "{" => {
                at += 1;
                while !matches!(word(at), "}" | "") {
                    let mut inner = path.clone();
                    let name = word(at);
                    if name == "super" {
                        inner.pop();
                    } else if name != "self" && name != "," {
                        inner.push(name.to_owned());
                    }
                    at = if name == "," { at + 1 } else { expand(tokens, at + 1, inner, name, leaves) };
                }
                return at + 1;
            }
            "*" | "<" | "" => return at + 1,
            "super" => {
                path.pop();
            }
            name => {
                path.push(name.to_owned());
                last = name.to_owned();
            }
        }
        at += 1;
    }
    let mut leaf = if last == "self" { path.last().cloned() } else { Some(last) };
    if word(at) == "as" {
        leaf = Some(word(at + 1).to_owned());
        at += 2;
    }
    leaves.push((path, leaf));
    at
}

fn house() -> Tree {
    let src = root().join("src");
    let texts: Vec<(String, String)> = sources(&src)
        .into_iter()
        .map(|file| {
            let path = file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
            (path, fs::read_to_string(&file).unwrap())
        })
        .collect();
    Tree::new(texts.iter().map(|(path, text)| (path.as_str(), text.as_str())))
}

#[test]
fn no_arrow_points_up() {
    let tree = house();
    let mut wrong = tree.upward(ARROWS);
    for module in tree.files.keys().filter_map(|path| path.first()) {
        if !matches!(module.as_str(), "bin" | "lib") && !ARROWS.iter().any(|(name, _)| name == module) {
            wrong.push(format!("the module {module} has no place in the table of arrows"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = house().circles();
    let wrong: Vec<_> = circles.iter().map(|circle| circle.join(" ")).collect();
    assert!(wrong.is_empty(), "files that import each other in a circle:\n{}", wrong.join("\n"));
}

#[test]
fn no_arrow_of_the_table_points_in_a_circle() {
    for (name, _) in ARROWS {
        assert!(!below(name).contains(name), "{name} is below itself");
    }
}

#[test]
fn a_made_up_circle_of_files_is_found() {
    let direct =
        [("a/mod.rs", "mod b;\nmod c;\n"), ("a/b.rs", "use super::c::C;\n"), ("a/c.rs", "fn f() { super::b::g() }\n")];
    assert_eq!(Tree::new(direct).circles(), [["a/b", "a/c"]]);
    // Through a re-export, a grouped import of the crate, a name given by `use`, and two modules.
    let long = [
        ("a/mod.rs", "mod b;\npub use b::{B as Other, E};\n"),
        ("a/b.rs", "use crate::{x, c::{self, D}};\nfn f() { c::g() }\n"),
        ("c.rs", "use crate::d;\nfn g() { d::h() }\n"),
        ("d.rs", "fn h() -> crate::a::Other {}\n#[cfg(test)]\nmod tests {\n use crate::x::Y;\n}\n"),
        ("x.rs", "use crate::d::h;\n"),
    ];
    assert_eq!(Tree::new(long).circles(), [["a/b", "c", "d", "x"]]);
    let none = [
        ("a/mod.rs", "mod b;\nmod c;\npub struct T;\nuse c::C;\n"),
        ("a/b.rs", "use super::T;\n"),
        ("a/c.rs", "use super::b::B;\n// use crate::a\n"),
    ];
    assert!(Tree::new(none).circles().is_empty());
}

#[test]
fn a_made_up_upward_arrow_is_found() {
    let table: &[(&str, &[&str])] = &[("low", &[]), ("middle", &["low"]), ("high", &["middle"])];
    let fine =
        [("low.rs", ""), ("middle/mod.rs", "use crate::low::A;\n"), ("high.rs", "use crate::{low::A, middle};\n")];
    assert!(Tree::new(fine).upward(table).is_empty());
    let wrong = [
        ("low.rs", "fn f() {}\nfn g() { crate::high::h() }\n"),
        ("middle/mod.rs", "mod inner;\n"),
        ("middle/inner.rs", "use super::super::high::{self, X};\n"),
        ("high.rs", ""),
    ];
    let found = Tree::new(wrong).upward(table);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("src/low.rs:2: low uses high"), "{found:?}");
    assert!(found[1].starts_with("src/middle/inner.rs:1: middle uses high"), "{found:?}");
}

#[test]
fn unsafe_code_stands_in_sys_alone() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        if module_of(&file).as_deref() == Some("sys") {
            continue;
        }
        let text = code(&fs::read_to_string(&file).unwrap());
        for (number, line) in text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let lifts_the_ban = line.contains("allow") || line.contains("expect");
            if words.clone().any(|word| word == "unsafe" || (word == "unsafe_code" && lifts_the_ban)) {
                wrong.push(format!("{}:{}: {}", file.strip_prefix(root()).unwrap().display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_diagram_in_the_library_says_what_is_checked() {
    let text = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let diagram = text.split("```text").nth(1).expect("src/lib.rs has a ```text diagram").split("```").next().unwrap();
    let table: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    // `a ─► b c      d ─► e`: parts are set apart by several blanks; a remark in brackets is prose.
    for line in diagram.lines().map(|line| line.trim_start_matches("//!").trim()) {
        let line =
            line.split_once(' ').map_or("", |(storey, rest)| if storey.parse::<u8>().is_ok() { rest } else { "" });
        for part in line.split("   ").map(str::trim).filter(|part| !part.is_empty()) {
            let steps: Vec<_> = part.split("─►").map(|step| step.split('(').next().unwrap()).collect();
            for pair in steps.windows(2) {
                for from in pair[0].split(['|', ' ', '·']).filter(|word| table.contains_key(word)) {
                    for to in pair[1].split(['|', ' ', '·']).filter(|word| !word.is_empty()) {
                        if !below(from).contains(to) {
                            wrong.push(format!("the diagram has {from} ─► {to}, the table has not"));
                        }
                    }
                }
            }
        }
    }
    for line in text.lines() {
        let module = line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "));
        let Some(module) = module.and_then(|rest| rest.strip_suffix(';')) else { continue };
        let is_drawn = diagram.split(|c: char| !c.is_alphanumeric()).any(|word| word == module);
        if !is_drawn {
            wrong.push(format!("the module {module} is not in the diagram"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Words of a private vocabulary: a name of the field (Kubernetes, Vault, Unix) says the same.
const PRIVATE_WORDS: &[&str] = &["asked", "told", "ours", "held", "wish", "whom", "gather", "namesakes", "errands"];

#[test]
fn names_are_of_the_field_and_not_of_a_private_vocabulary() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let text = without_tests(&code(&fs::read_to_string(&file).unwrap()));
        if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            for name in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
                if name.to_lowercase().split('_').any(|word| PRIVATE_WORDS.contains(&word)) {
                    wrong.push(format!("{}:{}: {name}", file.strip_prefix(root()).unwrap().display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Lines of a file without its tests.
const MOST_LINES: usize = 400;
/// Lines of a function.
const MOST_LINES_OF_A_FUNCTION: usize = 60;
/// Fields of a type.
const MOST_FIELDS: usize = 10;

/// What is too large in a file: `file`, `fn NAME` or `struct NAME`, with its size.
fn too_large(text: &str) -> Vec<(String, usize)> {
    let production = text.find("#[cfg(test)]\nmod ").filter(|at| text[*at..].lines().nth(1).unwrap().ends_with('{'));
    let lines: Vec<&str> = text[..production.unwrap_or(text.len())].lines().collect();
    let mut found = vec![("file".to_owned(), lines.len(), MOST_LINES)];
    for (number, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let words: Vec<&str> =
            line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        let kind = words.iter().position(|word| matches!(*word, "fn" | "struct"));
        let Some((at, name)) = kind.and_then(|at| Some((at, *words.get(at + 1)?))) else { continue };
        let is_declared = words[..at]
            .iter()
            .all(|w| matches!(*w, "pub" | "crate" | "super" | "in" | "async" | "const" | "unsafe" | "self"));
        if !is_declared || line.trim_start().starts_with("//") || line.ends_with(';') {
            continue;
        }
        let end = format!("{}}}", " ".repeat(indent));
        let Some(length) = lines[number..].iter().position(|line| *line == end) else { continue };
        if words[at] == "fn" {
            found.push((format!("fn {name}"), length + 1, MOST_LINES_OF_A_FUNCTION));
        } else {
            let field = " ".repeat(indent + 4);
            let is_field = |line: &&&str| {
                let name = line.strip_prefix(&field).map(|rest| {
                    rest.trim_start_matches("pub")
                        .trim_start_matches("(crate)")
                        .trim_start_matches("(super)")
                        .trim_start()
                });
                let name = name.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_'));
                name.is_some_and(|name| {
                    name.split_once(": ").is_some_and(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
                })
            };
            found.push((
                format!("struct {name}"),
                lines[number..number + length].iter().filter(is_field).count(),
                MOST_FIELDS,
            ));
        }
    }
    found.into_iter().filter(|(_, size, most)| size > most).map(|(what, size, _)| (what, size)).collect()
}

#[test]
fn files_functions_and_types_are_small_enough_to_be_read_at_once() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let path = file.strip_prefix(root().join("src")).unwrap().display().to_string();
        if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        for (what, size) in too_large(&fs::read_to_string(&file).unwrap()) {
            wrong.push(format!("src/{path}: {what} has {size}"));
        }
    }
    assert!(wrong.is_empty(), "more lines or fields than may be:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_too_large_is_found() {
    let long = format!("pub(crate) async fn long() {{\n{}}}\n", "    line();\n".repeat(59));
    assert_eq!(too_large(&long), [("fn long".to_owned(), 61)]);
    let wide = format!("struct Wide {{\n{}}}\n", "    pub(super) field: u8,\n".repeat(11));
    assert_eq!(too_large(&wide), [("struct Wide".to_owned(), 11)]);
    let tests = format!("fn short() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(500));
    assert_eq!(too_large(&tests), []);
    assert_eq!(too_large(&"\n".repeat(401)), [("file".to_owned(), 401)]);
}

#[test]
fn the_reader_of_code_sees_uses_and_no_prose() {
    let text = "// crate::run is above\n/* crate::run /* nested */ */\nlet s = \"crate::run\";\nlet r = r#\"crate::cli\"#;\n\
                let q = '\"'; use crate::{config::{A, B}, domain};\nfn f<'a>(x: &'a crate::sys::Y) {}\n";
    let found: Vec<_> = paths(&code(text), &[], &|_| false);
    let shown: Vec<_> = found.iter().map(|path| path.at.join("::")).collect();
    assert_eq!(shown, ["config::A", "config::B", "domain", "sys::Y"]);
    assert_eq!(found[3].line, 6);
}
