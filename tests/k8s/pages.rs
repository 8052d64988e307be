//! The pages: every link leads somewhere, every page is in the book, and what the security pages name exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{INJECT, root, text};

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> =
        ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|page| root().join(page)).into();
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    pages.sort();
    pages
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The text without fenced blocks, which hold no links.
fn prose(page: &str) -> String {
    let mut is_code = false;
    let lines = page.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// The targets of the links and pictures of a page.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let starts = prose.match_indices("](").map(|(at, _)| &prose[at + 2..]);
    starts.filter_map(|rest| Some(rest[..rest.find(')')?].to_owned())).collect()
}

/// The anchors that GitHub and mdBook make of headings: small letters, digits, `-` and `_`; blanks become `-`.
fn anchors(page: &str) -> BTreeSet<String> {
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let slug = |heading: &str| -> String {
        let letters = heading.to_lowercase();
        letters
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(slug).collect()
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let content = read(&page);
        for link in links(&content) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) =
                link.split_once('#').map_or((link.as_str(), None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if let Some(anchor) = anchor.filter(|_| target.extension().is_some_and(|extension| extension == "md")) {
                assert!(anchors(&read(&target)).contains(anchor), "{}: {link}: no such heading", page.display());
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "{checked}");
}

/// A browser takes `<no value>` for an element and shows nothing.
#[test]
fn no_text_of_a_page_reads_as_an_element() {
    for page in pages() {
        for line in prose(&read(&page)).lines() {
            let outside: String = line.split('`').step_by(2).collect();
            let element = outside.match_indices('<').find(|(at, _)| outside[at + 1..].starts_with(char::is_alphabetic));
            let element = element.filter(|(at, _)| !outside[at + 1..].starts_with("http"));
            assert_eq!(element, None, "{}: {line}", page.display());
        }
    }
}

#[test]
fn every_page_of_the_docs_is_in_the_book_and_can_be_reached() {
    let summary = links(&read(&root().join("docs/SUMMARY.md")));
    let listed: BTreeSet<PathBuf> = summary.iter().map(|link| root().join("docs").join(link)).collect();
    for page in pages().iter().filter(|page| page.starts_with(root().join("docs")) && !page.ends_with("SUMMARY.md")) {
        assert!(listed.contains(page), "docs/SUMMARY.md lacks {}", page.display());
    }
}

/// In the book, links that leave `docs/` lead to the repository.
#[test]
fn the_book_leads_to_the_repository_where_a_link_leaves_it() {
    let book = r#"[{"root": "."}, {"sections": [{"Chapter": {"content": "[a](../README.md#files) [b](helm.md) [c](../deploy/base)", "sub_items": []}}]}]"#;
    let script = read(&root().join("docs/repository-links"));
    let Some(output) = crate::support::python(&script, &[], book) else { return };
    let said = text(&output.stdout);
    for expected in ["/blob/main/README.md#files)", "[b](helm.md)", "/blob/main/deploy/base)"] {
        assert!(said.contains(expected), "{expected}: {said}{}", text(&output.stderr));
    }
}

/// Every file below a folder, if it is one.
fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { below(&path, found) } else { found.push(path) }
    }
}

/// Every test that is written `directory/file: name`, and whether it is there.
fn missing_tests(page: &str) -> Vec<String> {
    let spans = page.split('`').skip(1).step_by(2);
    let named = spans.filter_map(|span| {
        let (place, name) = span.split_once(": ")?;
        let is_word = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
        };
        let is_test = is_word(place, "_/") && is_word(name, "_") && name.contains('_');
        is_test.then_some((span, place, name))
    });
    let is_missing = |place: &str, name: &str| {
        let base = if place.starts_with("src/") { root() } else { root().join("tests") };
        let mut files = vec![base.join(format!("{place}.rs"))];
        below(&base.join(place), &mut files);
        let marks = [format!("fn {name}("), format!("::{name}\"")]; // the second in a suite with a harness of its own
        !files
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok())
            .any(|code| marks.iter().any(|mark| code.contains(mark)))
    };
    named.filter(|(_, place, name)| is_missing(place, name)).map(|(span, ..)| span.to_owned()).collect()
}

#[test]
fn the_security_pages_name_tests_that_exist() {
    for page in ["docs/compliance.md", "SECURITY.md"] {
        let content = read(&root().join(page));
        assert!(content.matches(": a_").count() > 10, "{page} names its tests as directory/file: name");
        assert_eq!(missing_tests(&content), [""; 0], "{page}");
    }
    assert_eq!(
        missing_tests("`it/leak: nothing_of_the_kind` `remote: true` `no test`"),
        ["it/leak: nothing_of_the_kind"]
    );
}

/// The rows of the attackers' tables: what they try, what holds, the test, what does not hold.
fn attacks(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    rows.filter(|cells| cells.len() == 4 && cells[0] != "They might try" && !cells[0].starts_with("---")).collect()
}

#[test]
fn every_attack_of_the_security_page_has_a_test_or_says_that_it_is_not_tested() {
    let page = read(&root().join("SECURITY.md"));
    let rows = attacks(&page);
    assert!(rows.len() > 50, "{}", rows.len());
    for cells in rows {
        let has_test = cells[2].split('`').skip(1).step_by(2).any(|span| span.contains(": "));
        assert!(has_test || cells[2].starts_with("Not tested"), "{:?} has no test: {:?}", cells[0], cells[2]);
        assert!(!cells.iter().any(|cell| cell.trim().is_empty()), "{:?} has an empty cell", cells[0]);
    }
    let other =
        attacks("| They might try | What holds | Test | What does not hold |\n|---|---|---|---|\n| a | b | c | d |");
    assert_eq!(other, [["a", "b", "c", "d"]]);
}

#[test]
fn the_compliance_pages_commands_run() {
    let page = read(&root().join("docs/compliance.md"));
    let block = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let bin = Path::new(INJECT).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let commands: Vec<&str> = block.lines().map(|line| line.strip_prefix("$ ").unwrap()).collect();
    assert!(commands.len() >= 4);
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).env("PATH", &path).current_dir(root()).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{command}: {}", text(&output.stderr));
    }
}
