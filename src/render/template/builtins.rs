//! The filters, tests and functions of minijinja, with the work that each of them does counted.

use std::sync::Arc;

use minijinja::value::{Rest, Value, ValueOrKwargs};
use minijinja::{Environment, State, filters, functions, tests};

use super::objects::{check_names, range};
use super::trail::Trail;
use super::work::{Cost, Counting, counted};

/// Adds all of them.
pub(super) fn add(environment: &mut Environment<'static>, trail: &Arc<Trail>) {
    let mut counting = Counting { environment, trail };
    add_filters(&mut counting);
    add_tests(&mut counting);
    let names = Arc::clone(trail);
    environment.add_function("range", range);
    environment.add_function("dict", counted(trail, Cost::Items, Value::from_function(functions::dict)));
    let namespace = Value::from_function(functions::namespace);
    let namespace = counted(trail, Cost::Items, namespace);
    environment.add_function("namespace", move |state: &mut State<'_, '_>, given: Rest<ValueOrKwargs>| {
        given.iter().try_for_each(|defaults| check_names(defaults, &names))?;
        namespace(state, given)
    });
}

/// Adds the filters.
fn add_filters(counting: &mut Counting<'_>) {
    macro_rules! all {
        ($cost:expr, $($name:ident),*) => {
            $(counting.filter(stringify!($name), $cost, filters::$name);)*
        };
    }
    all!(Cost::None, abs, bool, round, safe);
    all!(Cost::Item, attr);
    all!(Cost::Keys, first);
    all!(Cost::Text, length);
    counting.filter("count", Cost::Text, filters::length);
    all!(Cost::Sort, dictsort, sort, unique);
    all!(Cost::Characters, trim);
    all!(
        Cost::Items,
        capitalize,
        float,
        int,
        items,
        last,
        lines,
        list,
        lower,
        map,
        max,
        min,
        reject,
        rejectattr,
        reverse,
        select,
        selectattr,
        split,
        string,
        sum,
        title,
        upper
    );
}

/// Adds the tests. One that is written as an operator is added with each of its names.
fn add_tests(counting: &mut Counting<'_>) {
    macro_rules! all {
        ($cost:expr, $($function:ident: $($name:literal)*),*) => {
            $($(counting.test($name, $cost, tests::$function);)*)*
        };
    }
    all!(Cost::Search, is_in: "in");
    all!(
        Cost::Items,
        is_eq: "eq" "equalto" "==",
        is_ne: "ne" "!=",
        is_lt: "lt" "lessthan" "<",
        is_le: "le" "<=",
        is_gt: "gt" "greaterthan" ">",
        is_ge: "ge" ">=",
        is_sameas: "sameas",
        is_startingwith: "startingwith",
        is_endingwith: "endingwith",
        is_lower: "lower",
        is_upper: "upper",
        is_iterable: "iterable",
        is_filter: "filter",
        is_test: "test"
    );
}
