//! Parses a YAML document that is not a configuration with the configuration's parser: the same rules, limits and
//! places.

use super::place::ConfigError;
use super::tree::ConfigErrors;
pub(crate) use super::tree::{Entry, Kind, Node, Style, Text};
use super::yaml::{self, Origin};

/// The most nodes after aliases are expanded.
const MAX_NODES: usize = 200_000;

/// Parses the text of `file`. The node is `None` after a syntax error; the mistakes are sorted, and none quotes a value.
pub(crate) fn parse(file: &str, text: &str) -> (Option<Node>, Vec<ConfigError>) {
    let mut mistakes = ConfigErrors::default();
    let node = yaml::parse_bounded(text, &Origin::File(file), MAX_NODES, &mut mistakes);
    (node, mistakes.sorted())
}
