//! Parses Kubernetes quantities (`32Mi`, `1G`, `0.5Gi`, `1e6`), precisely enough for comparisons.

/// A quantity in bytes, rounded down; `None` for other text.
pub(super) fn bytes(text: &str) -> Option<u64> {
    // The amounts compared here are far below the end of a float's exact integers.
    number(text).filter(|amount| (0.0..9e18).contains(amount)).map(|amount| amount as u64)
}

/// A quantity in thousandths, for units such as CPU that are divided (`500m`); `None` for other text.
pub(super) fn thousandths(text: &str) -> Option<u64> {
    number(text).map(|amount| (amount * 1e3).round()).filter(|amount| (0.0..9e18).contains(amount)).map(|n| n as u64)
}

/// A quantity as a float.
fn number(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("m", 1e-3),
    ];
    let unit = UNITS.iter().find_map(|(name, factor)| text.strip_suffix(name).map(|number| (number, *factor)));
    let (number, factor) = unit.unwrap_or((text, 1.0));
    let is_plain = number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let exponent = factor == 1.0;
    if !is_plain || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.' || (exponent && b"eE+-".contains(&b))) {
        return None;
    }
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them() {
        for (text, expected) in [
            ("32Mi", Some(32 << 20)),
            ("0.5Gi", Some(512 << 20)),
            ("1G", Some(1_000_000_000)),
            ("128974848", Some(128_974_848)),
            ("1e6", Some(1_000_000)),
            ("2E", Some(2_000_000_000_000_000_000)),
            ("500m", Some(0)),
            ("", None),
            ("Mi", None),
            ("-1Mi", None),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("x", None),
            ("1 Mi", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
