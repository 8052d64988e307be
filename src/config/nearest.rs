//! Suggests a known name for an unknown one.

/// The most similar name of `known`, if it is similar enough to be suggested.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 128; // a name longer than that is no slip of the finger
    if name.len() > LONGEST {
        return None;
    }
    let bare = bare(name);
    let allowed = (bare.len() / 3).clamp(1, 4);
    let near = known.into_iter().filter_map(|known| Some((distance(&bare, &self::bare(known), allowed)?, known)));
    near.min().filter(|(distance, _)| *distance < bare.len()).map(|(_, known)| known)
}

/// Ignores case and the separators `_` and `-`: `run_as`, `run-as` and `runAs` are equal.
fn bare(name: &str) -> Vec<char> {
    name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect()
}

/// The edit distance, if it is at most `limit`; swapping two neighbours is one edit (optimal string alignment). Only
/// the band around the diagonal is computed, because a pod may have a thousand wrong names.
fn distance(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let far = limit + 1;
    let mut before = vec![far; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).map(|edits| edits.min(far)).collect();
    let mut row = before.clone();
    for (i, &x) in a.iter().enumerate() {
        let (start, end) = (i.saturating_sub(limit), b.len().min(i + limit + 1));
        row[start] = if start == 0 { (i + 1).min(far) } else { far };
        for j in start..end {
            let y = b[j];
            let mut cost = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                cost = cost.min(before[j - 1] + 1);
            }
            row[j + 1] = cost.min(far);
        }
        if end < b.len() {
            row[end + 1] = far;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
        if last[start..=end].iter().chain(&before[start..=end]).all(|edits| *edits == far) {
            return None;
        }
    }
    Some(last[b.len()]).filter(|edits| *edits <= limit)
}

/// The suggestion `; did you mean "x"?`, or the list of known names.
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

    /// The whole table, as textbooks have it.
    fn in_full(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = if i == 0 || j == 0 {
                    i + j
                } else {
                    let replaced = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let edits = replaced.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    if swapped { edits.min(table[i - 2][j - 2] + 1) } else { edits }
                };
            }
        }
        table[a.len()][b.len()]
    }

    proptest::proptest! {
        #[test]
        fn the_band_holds_every_distance_that_counts(a in "[abc]{0,9}", b in "[abc]{0,9}", limit in 1_usize..5) {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            let edits = in_full(&a, &b);
            proptest::prop_assert_eq!(distance(&a, &b, limit), (edits <= limit).then_some(edits));
        }
    }
}
