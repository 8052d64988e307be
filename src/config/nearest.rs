//! The known name that was probably meant.

/// The nearest of `known`, when one is near enough to be worth a suggestion.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 128; // a name longer than that is no slip of the finger
    if name.len() > LONGEST {
        return None;
    }
    let bare = bare(name);
    let best = known.into_iter().map(|known| (distance(&bare, &self::bare(known)), known)).min()?;
    let allowed = (bare.len() / 3).clamp(1, 4);
    (best.0 <= allowed && best.0 < bare.len()).then_some(best.1)
}

/// Without case and without the marks between words: `run_as`, `run-as` and `runAs` are one name.
fn bare(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// Edits from one to the other; two neighbours that changed places are one edit (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &y) in b.iter().enumerate() {
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                cost = cost.min(before[j - 1] + 1);
            }
            row.push(cost);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// `; did you mean "x"?`, or what there is.
pub(super) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(meant) => format!("; did you mean {meant:?}?"),
        None => format!("; expected {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_and_spellings_are_recognised() {
        let known = ["role", "mount", "tokenFile", "audience"];
        for (name, meant) in [
            ("rol", "role"),
            ("roel", "role"),
            ("Role", "role"),
            ("token_file", "tokenFile"),
            ("token-file", "tokenFile"),
            ("audiance", "audience"),
        ] {
            let found = nearest(name, known);
            assert!(found == Some(meant), "{name}: {found:?}");
        }
        assert_eq!(nearest("color", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(nearest("x", known), None);
        assert_eq!(suggestion("zz", ["a", "b"]), "; expected a, b");
    }
}
