//! The state of one rendering: fetched values, the time, and limits of steps and bytes.

use std::collections::BTreeSet;

use crate::config::MissingKey;
use crate::domain::{Fetches, Source};

use super::super::limits::{FUEL, GROWTH};
use super::converted::ConvertedSecrets;
use super::value::{Scratch, Value};

/// The deepest nesting of a value that a template builds.
const DEPTH: usize = 64;

/// The state of one rendering.
pub(super) struct Rendering<'a> {
    pub(super) fetches: &'a Fetches,
    pub(super) converted: &'a ConvertedSecrets,
    pub(super) missing_key: MissingKey,
    /// The sources that were named, fetched or not.
    pub(super) sources: BTreeSet<Source>,
    /// Whether some of them are not fetched.
    pub(super) is_incomplete: bool,
    pub(super) scratch: Scratch,
    /// Whether the scratch may contain pending values.
    pub(super) is_scratch_pending: bool,
    /// Seconds since 1970.
    pub(super) now: u64,
    fuel: u64,
    room: usize,
}

impl<'a> Rendering<'a> {
    pub(super) fn new(
        fetches: &'a Fetches,
        converted: &'a ConvertedSecrets,
        missing_key: MissingKey,
        now: u64,
    ) -> Self {
        let scratch = Scratch::default();
        Self {
            fetches,
            converted,
            missing_key,
            sources: BTreeSet::new(),
            is_incomplete: false,
            scratch,
            is_scratch_pending: false,
            now,
            fuel: FUEL,
            room: GROWTH,
        }
    }

    /// Counts a step; fails at the limit.
    pub(super) fn step(&mut self) -> Result<(), String> {
        self.steps(1)
    }

    /// Counts several steps; fails at the limit.
    pub(super) fn steps(&mut self, count: u64) -> Result<(), String> {
        let left = self.fuel.checked_sub(count);
        self.fuel = left.unwrap_or(0);
        left.map(drop).ok_or_else(|| format!("it does more than {FUEL} steps"))
    }

    /// Counts comparisons of values, many of which take as long as a step; fails at the limit.
    pub(super) fn compared(&mut self, count: usize) -> Result<(), String> {
        const A_STEP: usize = 16;
        self.steps(count.div_ceil(A_STEP) as u64)
    }

    /// The steps so far.
    #[cfg(test)]
    pub(super) fn taken(&self) -> u64 {
        FUEL - self.fuel
    }

    /// Counts bytes that a function looks at; fails at the limit.
    pub(super) fn look(&mut self, bytes: usize) -> Result<(), String> {
        const A_STEP: usize = 4 << 10;
        self.steps((bytes / A_STEP) as u64)
    }

    /// Charges memory for a value that is about to be built; fails at the limit.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), String> {
        let too_much = || format!("the values it makes are larger than {} MiB in all", GROWTH >> 20);
        self.room = self.room.checked_sub(bytes).ok_or_else(too_much)?;
        Ok(())
    }

    /// Charges the pieces that a text is about to be cut into; fails at the limit.
    pub(super) fn pieces(&mut self, count: usize) -> Result<(), String> {
        const PIECE: usize = 64;
        self.grow(count.saturating_mul(PIECE))
    }

    /// Charges a built value with everything in it, and checks its depth.
    pub(super) fn nested(&mut self, value: Value) -> Result<Value, String> {
        self.weigh(&value, DEPTH)?;
        Ok(value)
    }

    /// Charges a value recursively.
    fn weigh(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        let depth = depth.checked_sub(1).ok_or("values are nested deeper than 64 levels")?;
        self.grow(value.weight())?;
        match value {
            Value::List(items, _) => items.iter().try_for_each(|item| self.weigh(item, depth)),
            Value::Map(map, _) => {
                map.iter().try_for_each(|(key, item)| self.grow(key.len()).and_then(|()| self.weigh(item, depth)))
            }
            Value::Scratch(_) => Err("a scratch cannot be put into a value".to_owned()),
            _ => Ok(()),
        }
    }
}
