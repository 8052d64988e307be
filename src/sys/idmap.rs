//! The uids and gids mapped in this user namespace: in a rootless container most ids are not, and system calls
//! refuse them.

/// The mapped ids of one kind, as ranges of first id and count (user_namespaces(7), "User and group ID mappings").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IdMap(Vec<(u32, u32)>);

impl IdMap {
    /// Reads `/proc/self/uid_map` or `gid_map`; all ids if it cannot be read.
    pub(super) fn read(path: &str) -> Self {
        std::fs::read_to_string(path).ok().and_then(|text| Self::parse(&text)).unwrap_or_else(Self::all)
    }

    /// Every id, as outside of any user namespace.
    pub(super) fn all() -> Self {
        Self(vec![(0, u32::MAX)])
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Parses lines of an id inside, the same id outside, and a count; `None` for other text.
    fn parse(text: &str) -> Option<Self> {
        let line = |line: &str| {
            let fields: Vec<u32> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
            let [here, _, count] = fields[..] else { return None };
            Some((here, count))
        };
        text.lines().map(line).collect::<Option<_>>().map(Self)
    }

    /// Whether a process in this namespace can have the id.
    pub(super) fn contains(&self, id: u32) -> bool {
        self.0.iter().any(|(first, count)| id.checked_sub(*first).is_some_and(|offset| offset < *count))
    }
}

/// Whether setgroups(2) is permitted: not where an unprivileged user created the namespace.
pub(super) fn may_set_groups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").map_or(true, |text| text.trim() != "deny")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_usable_where_a_line_covers_it() {
        let map = IdMap::parse("         0       1000          1\n         1     100000      65536\n").unwrap();
        assert!(map.contains(0) && map.contains(1) && map.contains(65_536));
        assert!(!map.contains(65_537) && !map.contains(u32::MAX));
        assert!(IdMap::all().contains(0) && IdMap::all().contains(u32::MAX - 1));
        assert!(!IdMap::parse("").unwrap().contains(0), "a namespace nobody gave any ids");
        assert_eq!(IdMap::parse("0 0"), None);
        assert_eq!(IdMap::parse("a b c"), None);
    }
}
