//! Edits the text of a changed document: unchanged parts keep their bytes and comments.

use std::collections::BTreeSet;

use super::counterparts::counterparts;
use super::doc::Doc;
use super::ranges::{Entry, Kind, Node, parse};
use super::write;

/// The text with the changes from `old` to `new`; `None` where that is not simple (an anchor, merge key or flow
/// style around a change), so that the document must be written anew.
pub(super) fn rewrite(text: &str, old: &Doc, new: &Doc) -> Option<String> {
    let root = parse(text)?;
    let mut edits = Edits { text, found: Vec::new() };
    edits.value(old, new, &root)?;
    edits.apply()
}

/// A byte range and its replacement.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

/// The edits of a text.
struct Edits<'a> {
    text: &'a str,
    found: Vec<Edit>,
}

impl Edits<'_> {
    /// The text with all edits applied.
    fn apply(mut self) -> Option<String> {
        self.found.sort_by_key(|edit| (edit.start, edit.end));
        let mut out = String::with_capacity(self.text.len() * 2);
        let mut at = 0;
        for edit in &self.found {
            out.push_str(self.text.get(at..edit.start)?);
            out.push_str(&edit.text);
            at = edit.end;
        }
        out.push_str(self.text.get(at..)?);
        Some(out)
    }

    /// Adds an edit.
    fn edit(&mut self, start: usize, end: usize, text: String) {
        self.found.push(Edit { start, end, text });
    }

    /// Edits a value that is a map or a list both before and after.
    fn value(&mut self, old: &Doc, new: &Doc, node: &Node) -> Option<()> {
        match (old, new, &node.kind) {
            _ if old == new => Some(()),
            (Doc::Map(old), Doc::Map(new), Kind::Map(entries)) => self.map(old, new, node, entries),
            (Doc::List(old), Doc::List(new), Kind::List(items)) => self.list(old, new, items),
            _ => None,
        }
    }

    /// Edits a block map: removes, changes and adds entries. `None` if the order of kept entries changes.
    fn map(&mut self, old: &[(String, Doc)], new: &[(String, Doc)], node: &Node, entries: &[Entry]) -> Option<()> {
        if old.len() != entries.len() {
            return None;
        }
        let column = self.column(entries.first()?.start);
        let place = |key: &str| old.iter().position(|(known, _)| known == key);
        if !new.iter().any(|(key, _)| place(key).is_some()) {
            if node.has_anchor {
                return None;
            }
            // With a comment behind the last value: the new one may be a block of text, of which it would become a part.
            let end = self.line_end(node.end);
            let mut text = self.comments(entries, end, column);
            text.push_str(&rendered(&Doc::Map(new.to_vec()), column));
            self.edit(node.start, end, text);
            return Some(());
        }
        let mut moved = self.removed(old, new, entries, column)?;
        // The kept entry after which the next new ones are added, and new entries before any kept one.
        let mut last: Option<usize> = None;
        let mut first_ones = Vec::new();
        for (key, value) in new {
            match place(key) {
                Some(at) => {
                    if last.is_some_and(|last| last > at) {
                        return None;
                    }
                    last = Some(at);
                    if old[at].1 != *value {
                        self.entry(&old[at], value, &entries[at], column)?;
                    }
                }
                None => {
                    let added = (key.clone(), value.clone());
                    match last {
                        Some(at) => {
                            let comments = std::mem::take(&mut moved);
                            self.add_below(entries[at].value.end, &comments, &Doc::Map(vec![added]), column);
                        }
                        None => first_ones.push(added),
                    }
                }
            }
        }
        if !first_ones.is_empty() {
            let first = new.iter().find_map(|(key, _)| place(key))?;
            self.add_above(entries[first].start, &moved, &Doc::Map(first_ones), column);
        }
        Some(())
    }

    /// Removes entries. Returns the comments behind them, which go above what is added; where nothing is added, they stay.
    fn removed(
        &mut self,
        old: &[(String, Doc)],
        new: &[(String, Doc)],
        entries: &[Entry],
        column: usize,
    ) -> Option<String> {
        let is_in = |list: &[(String, Doc)], key: &String| list.iter().any(|(known, _)| known == key);
        let adds = new.iter().any(|(key, _)| !is_in(old, key));
        let mut moved = String::new();
        for ((key, _), entry) in old.iter().zip(entries) {
            if is_in(new, key) {
                continue;
            }
            (!entry.value.has_anchor).then_some(())?;
            let end = self.line_end(entry.value.end);
            let comments = self.comments(std::slice::from_ref(entry), end, column);
            let stays = if adds || comments.is_empty() { "" } else { comments.trim_end_matches(' ') };
            let indent = if stays.is_empty() { 0 } else { column };
            self.remove(entry.start, entry.value.end, format!("{}{stays}", " ".repeat(indent)))?;
            moved.push_str(if adds { &comments } else { "" });
        }
        Some(moved)
    }

    /// Edits the value of a kept key, or replaces the entry.
    fn entry(&mut self, old: &(String, Doc), new: &Doc, entry: &Entry, column: usize) -> Option<()> {
        let is_emptied =
            matches!(new, Doc::Map(inner) if inner.is_empty()) || matches!(new, Doc::List(inner) if inner.is_empty());
        if !is_emptied {
            let before = self.found.len();
            if self.value(&old.1, new, &entry.value).is_some() {
                return Some(());
            }
            self.found.truncate(before);
        }
        if entry.value.has_anchor {
            return None;
        }
        self.edit(entry.start, entry.value.end, rendered(&Doc::Map(vec![(old.0.clone(), new.clone())]), column));
        Some(())
    }

    /// Edits a block list: removes, changes and adds items.
    fn list(&mut self, old: &[Doc], new: &[Doc], items: &[Node]) -> Option<()> {
        if old.len() != items.len() {
            return None;
        }
        let dashes: Vec<usize> = items.iter().map(|item| self.dash(item.start)).collect::<Option<_>>()?;
        let column = self.column(*dashes.first()?);
        let kept = counterparts(old, new);
        let first = kept.iter().flatten().next().copied()?;
        let stays: BTreeSet<usize> = kept.iter().flatten().copied().collect();
        for at in (0..old.len()).filter(|at| !stays.contains(at)) {
            (!items[at].has_anchor).then_some(())?;
            self.remove(dashes[at], items[at].end, String::new())?;
        }
        let mut last = None;
        for (item, kept) in new.iter().zip(&kept) {
            match (kept, last) {
                (Some(at), _) => {
                    self.value(&old[*at], item, &items[*at])?;
                    last = Some(*at);
                }
                (None, Some(at)) => self.add_below(items[at].end, "", &Doc::List(vec![item.clone()]), column),
                (None, None) => self.add_above(dashes[first], "", &Doc::List(vec![item.clone()]), column),
            }
        }
        Some(())
    }

    /// The comments behind and between entries, up to byte `end`, each as a line of its own.
    fn comments(&self, entries: &[Entry], end: usize, column: usize) -> String {
        let mut out = String::new();
        for (at, entry) in entries.iter().enumerate() {
            let until = entries.get(at + 1).map_or(end, |next| next.start);
            let gap = self.text.get(entry.value.end..until).unwrap_or_default();
            for comment in gap.lines().map(str::trim).filter(|line| line.starts_with('#')) {
                out.push_str(&format!("{comment}\n{}", " ".repeat(column)));
            }
        }
        out
    }

    /// Replaces whole lines by others; `None` if other text precedes the range on its line.
    fn remove(&mut self, start: usize, end: usize, kept: String) -> Option<()> {
        let line = self.line_start(start);
        self.text[line..start].chars().all(|c| c == ' ').then_some(())?;
        let end = self.line_end(end);
        self.edit(line, (end + 1).min(self.text.len()), kept);
        Some(())
    }

    /// Adds lines below the line of byte `end`, with `comments` above them.
    fn add_below(&mut self, end: usize, comments: &str, added: &Doc, column: usize) {
        let at = self.line_end(end);
        self.edit(at, at, format!("\n{}{comments}{}", " ".repeat(column), rendered(added, column)));
    }

    /// Adds lines above an entry or item, and above its comments.
    fn add_above(&mut self, start: usize, comments: &str, added: &Doc, column: usize) {
        let line = self.line_start(start);
        let (indent, text) = (" ".repeat(column), format!("{comments}{}", rendered(added, column)));
        if !self.text[line..start].chars().all(|c| c == ' ') {
            // The entry is on the line of its item's dash.
            return self.edit(start, start, format!("{text}\n{indent}"));
        }
        let mut at = line;
        while at > 0 {
            let above = self.line_start(at - 1);
            let row = &self.text[above..at - 1];
            let is_about_it = row.trim_start().starts_with('#') && row.len() - row.trim_start().len() >= column;
            if !is_about_it {
                break;
            }
            at = above;
        }
        self.edit(at, at, format!("{indent}{text}\n"));
    }

    /// The position of the dash before an item, if only comments and white space are between them.
    fn dash(&self, start: usize) -> Option<usize> {
        let mut end = start;
        loop {
            let from = self.line_start(end);
            let row = &self.text[from..end];
            let comment =
                row.match_indices('#').find(|(at, _)| row[..*at].trim_end_matches([' ', '\t']).len() < *at || *at == 0);
            let before = comment.map_or(row, |(at, _)| &row[..at]).trim_end();
            if !before.is_empty() {
                return before.ends_with('-').then(|| from + before.len() - 1);
            }
            end = from.checked_sub(1)?;
        }
    }

    /// The start of the line of byte `at`.
    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The end of the line of byte `at`, without the newline.
    fn line_end(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |newline| at + newline)
    }

    /// The column of byte `at`, in characters.
    fn column(&self, at: usize) -> usize {
        self.text[self.line_start(at)..at].chars().count()
    }
}

/// A map or list as YAML, indented to a column; the first line is not indented.
fn rendered(doc: &Doc, column: usize) -> String {
    let text = write::yaml(doc);
    let mut out = String::new();
    let body = text.strip_suffix('\n').unwrap_or(&text);
    for (number, line) in body.split('\n').enumerate() {
        if number > 0 {
            out.push('\n');
            if !line.is_empty() {
                out.extend(std::iter::repeat_n(' ', column));
            }
        }
        out.push_str(line);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::read::read;
    use super::*;

    fn doc(text: &str) -> Doc {
        read(text).unwrap().unwrap().0
    }

    fn rewritten(before: &str, after: &str) -> Option<String> {
        rewrite(before, &doc(before), &doc(after))
    }

    #[test]
    fn comments_blank_lines_and_spellings_stay() {
        let before = "\
# the web
kind: Pod   # a pod
metadata:
    # who
    name: 'web'

    annotations:
        # why
        b: \"2\"   # two
spec:

  containers:
    # the app
    - name: web   # first
      command: [ \"a\", 'b' ]

      # where
      image: web:1
    # beside it
    - image: other
      name: other
# the end
";
        let after = "\
kind: Pod
metadata: { name: web, annotations: { b: \"2\", c: new } }
spec:
  shareProcessNamespace: true
  containers:
  - name: web
    command: [x]
    image: web:1
    volumeMounts: [{ name: v, mountPath: /v }]
  - { image: other, name: other }
  initContainers: [{ name: i }]
";
        let expected = "\
# the web
kind: Pod   # a pod
metadata:
    # who
    name: 'web'

    annotations:
        # why
        b: \"2\"   # two
        c: new
spec:

  shareProcessNamespace: true
  containers:
    # the app
    - name: web   # first
      command:
      - x

      # where
      image: web:1
      volumeMounts:
      - name: v
        mountPath: /v
    # beside it
    - image: other
      name: other
  initContainers:
  - name: i
# the end
";
        assert_eq!(rewritten(before, after).as_deref(), Some(expected));
    }

    #[test]
    fn items_and_keys_are_added_and_taken_away_with_their_lines() {
        let before = "a:\n# one\n- name: x\n  k: |\n    text\n\n    more\n- name: y # y\n- name: z\nb: 1 # gone\n";
        let after = "a:\n- name: new\n- name: x\n  k: \"text\\n\\nmore\\n\"\n- name: z\n  k: \"two\\n\\n\"\nc:\n";
        let expected = "a:\n- name: new\n# one\n- name: x\n  k: |\n    text\n\n    more\n- name: z\n  k: |+\n    two\n\n# gone\nc: null\n";
        assert_eq!(rewritten(before, after).as_deref(), Some(expected));
    }

    #[test]
    fn an_object_of_a_list_is_the_same_by_its_name_and_an_item_without_one_by_its_place() {
        let before = "items:\n# first\n- kind: Pod\n  metadata:\n    name: p   # nm\n  spec: {a: \"x\"}  # cs\n- # second\n  # it\n  kind: X # x\n  \
                      metadata: {name: p}\n- kind: X\n  metadata: {name: q}\nlist:\n- # the app\n  a: 1 # one\n- b: 'q'\n";
        let after = "items:\n- kind: Pod\n  metadata:\n    name: p\n    new: 1\n  spec: {a: x}\n- kind: X\n  metadata: {name: p}\n  c: 1\n\
                     list:\n- a: 1\n  new: 2\n- b: q\n";
        let expected = "items:\n# first\n- kind: Pod\n  metadata:\n    name: p   # nm\n    new: 1\n  spec: {a: \"x\"}  # cs\n- # second\n  # it\n  kind: X # x\n  \
                        metadata: {name: p}\n  c: 1\nlist:\n- # the app\n  a: 1 # one\n  new: 2\n- b: 'q'\n";
        assert_eq!(rewritten(before, after).as_deref(), Some(expected));
    }

    #[test]
    fn what_shares_values_is_left_to_the_writer() {
        for (before, after) in [
            ("a: &x 1\nb: *x\n", "a: 2\nb: 3\n"),
            ("x: &x { a: 1 }\ny:\n  <<: *x\n", "a: 2\nb: 3\n"),
            ("k: 1\nx: &x\n  a: 1\ny: *x\n", "k: 1\nx:\n  a: 2\ny: { a: 1 }\n"),
            ("k: 1\nx:\n  a: &x 1\ny: *x\n", "k: 1\ny: 1\n"),
            ("l:\n- a: &x 1\n- b: *x\n", "l:\n- b: 1\n"),
        ] {
            assert_eq!(rewritten(before, after), None, "{before}");
        }
    }

    #[test]
    fn anchors_away_from_the_change_stay() {
        for (before, after, expected) in [
            ("a: &x 1 # a\nb: *x # b\nc: 1\n", "a: 1\nb: 1\nc: 2\n", "a: &x 1 # a\nb: *x # b\nc: 2\n"),
            ("a: &x 1\nb: *x # b\n", "a: 1\nb: 2\n", "a: &x 1\nb: 2 # b\n"),
            (
                "x: &x\n  a: 1 # one\nw:\n  <<: *x\n  b: 1\nz:\n  k: 1\n",
                "x: { a: 1 }\nw: { b: 1, a: 1 }\nz: { k: 1, new: 2 }\n",
                "x: &x\n  a: 1 # one\nw:\n  <<: *x\n  b: 1\nz:\n  k: 1\n  new: 2\n",
            ),
            (
                "l:\n- name: &i x\n- name: *i # it\nk: 1\n",
                "l: [{ name: x }, { name: x, m: 1 }]\nk: 1\n",
                "l:\n- name: &i x\n- name: *i # it\n  m: 1\nk: 1\n",
            ),
        ] {
            assert_eq!(rewritten(before, after).as_deref(), Some(expected), "{before}");
        }
    }

    #[test]
    fn comments_behind_what_is_taken_away_stand_where_it_stood() {
        for (before, after, expected) in [
            (
                "m:\n  a: 1 # one\n  # above\n  b: 2 # two\n  c: 3 # three\n",
                "m: { new: 1, c: 3 }\n",
                "m:\n  # one\n  # two\n  new: 1\n  # above\n  c: 3 # three\n",
            ),
            (
                "m:\n  a: 1 # one\n  # above\n  b: 2 # two\nk: 1\n",
                "m: { new: 1 }\nk: 1\n",
                "m:\n  # one\n  # above\n  # two\n  new: 1\nk: 1\n",
            ),
        ] {
            let found = rewritten(before, after).unwrap();
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
            assert_eq!(lines(&found), lines(expected), "{found}");
            assert_eq!(doc(&found), doc(after), "{found}");
        }
    }

    fn any_doc() -> impl Strategy<Value = Doc> {
        let leaf = prop_oneof![
            Just(Doc::Null),
            any::<i8>().prop_map(|n| Doc::Number(i64::from(n).into())),
            "[a-c# :\\n-]{0,6}".prop_map(Doc::Text)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            let map = prop::collection::vec(("(name|a|b|c)", inner.clone()), 0..4).prop_map(|entries| {
                let mut seen = std::collections::BTreeSet::new();
                Doc::Map(entries.into_iter().filter(|(key, _)| seen.insert(key.clone())).collect())
            });
            prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Doc::List), map]
        })
    }

    proptest! {
        /// The caller reads back what comes and has another way; this says how rarely that is needed.
        #[test]
        fn what_is_rewritten_is_what_was_meant(before in any_doc(), after in any_doc()) {
            if let Some(text) = rewrite(&write::yaml(&before), &before, &after) {
                let found = read(&text).map(|found| found.map_or(Doc::Null, |(doc, _)| doc));
                prop_assert_eq!(found, Ok(after), "{}", text);
            }
        }
    }
}
