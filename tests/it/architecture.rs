//! The arrows of the house point down, `unsafe` stays in one place, and the diagram says what is checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Storey by storey, from the ground: what may use what. What is below is allowed transitively.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sys", &[]),
    ("config", &["domain"]),
    ("identity", &["config"]),
    ("render", &["config"]),
    ("provider", &["identity"]),
    ("rotate", &["provider"]),
    ("deliver", &["render", "sys"]),
    ("process", &["sys"]),
    ("serve", &["sys", "config"]),
    ("k8s", &["render", "domain"]),
    ("run", &["provider", "rotate", "render", "deliver", "process", "serve", "sys"]),
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

/// What a module may use: itself and everything below it.
fn below(module: &str) -> BTreeSet<&'static str> {
    let direct = ARROWS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, below)| below);
    direct.iter().flat_map(|name| below(name).into_iter().chain([*name])).collect()
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

/// The top modules a line's `crate::…` names: `crate::config::X` and `crate::{config, domain::X}`.
fn named(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = code[at + "crate::".len()..].trim_start();
        let word =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            None => found.push((line, word(rest))),
            Some(group) => {
                let (mut depth, mut start) = (0, 0);
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        ',' | '}' if depth == 0 => {
                            found.push((line, word(&group[start..at])));
                            start = at + 1;
                            if c == '}' {
                                break;
                            }
                        }
                        '}' => depth -= 1,
                        _ => {}
                    }
                }
            }
        }
    }
    found.retain(|(_, name)| !name.is_empty());
    found
}

#[test]
fn no_arrow_points_up() {
    let mut wrong = Vec::new();
    for file in sources(&root().join("src")) {
        let Some(module) = module_of(&file) else { continue };
        let text = code(&fs::read_to_string(&file).unwrap());
        let place = |line: usize| format!("{}:{line}", file.strip_prefix(root()).unwrap().display());
        if !ARROWS.iter().any(|(name, _)| *name == module) {
            wrong.push(format!("{}: the module {module} has no place in the house", place(1)));
            continue;
        }
        let allowed = below(&module);
        for (line, used) in named(&text) {
            if used != module && !allowed.contains(used.as_str()) {
                wrong.push(format!("{}: {module} uses {used}, which is not below it", place(line)));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_arrow_points_in_a_circle() {
    for (name, _) in ARROWS {
        assert!(!below(name).contains(name), "{name} is below itself");
    }
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

#[test]
fn the_reader_of_code_sees_uses_and_no_prose() {
    let text = "// crate::run is above\n/* crate::run /* nested */ */\nlet s = \"crate::run\";\nlet r = r#\"crate::cli\"#;\n\
                let q = '\"'; use crate::{config::{A, B}, domain};\nfn f<'a>(x: &'a crate::sys::Y) {}\n";
    let found: Vec<_> = named(&code(text)).into_iter().map(|(_, name)| name).collect();
    assert_eq!(found, ["config", "domain", "sys"]);
    assert_eq!(named(&code(text))[2].0, 6);
}
