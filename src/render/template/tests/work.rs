//! A template ends soon, whatever a single operation costs.

use std::time::Duration;

use super::*;
use crate::sys::clock;

/// What a rendering may take in these tests, on a busy machine and without optimization.
const SOON: Duration = Duration::from_secs(20);

/// A limit that a few looks at the large values reach.
const FEW: usize = 4 << 20;

fn large() -> Fetches {
    let entries = |mark: &str| (0..4_000).map(|n| format!(r#""key{n}":"{mark}{n}""#)).collect::<Vec<_>>().join(",");
    let items = (0..3_000).map(|n| format!(r#""{}""#, n % 7)).collect::<Vec<_>>().join(",");
    let web: &'static str =
        format!(r#"{{"big":{{{}}},"twin":{{{0}}},"list":[{items}],"text":"{}"}}"#, entries("v"), "t".repeat(300_000))
            .leak();
    let sums: &'static str = format!("{{{}}}", entries("v")).leak();
    fetches(&[("vault:database/creds/web", Backend::Map(web)), ("aws-sm:prod/stripe", Backend::Whole(sums.as_bytes()))])
}

fn outcome(text: &str, fetches: &Fetches) -> Result<usize, String> {
    outcome_within(WORK, text, fetches)
}

fn outcome_within(work: usize, text: &str, fetches: &Fetches) -> Result<usize, String> {
    let template = Template::compile(text, &named()).map_err(|error| error.to_string())?;
    let start = clock::boottime();
    let result =
        template.render_within(work, fetches).map(|bytes| bytes.expose().len()).map_err(|error| error.to_string());
    let took = clock::boottime().saturating_sub(start);
    eprintln!("{took:>8.1?} {} {text}", result.as_ref().map_or_else(|e| e.clone(), |n| format!("{n} bytes")));
    assert!(took < SOON, "{took:?}: {text}");
    result
}

/// Repeats an expression in as many turns as the steps allow.
fn turns(before: &str, expression: &str) -> String {
    format!("{before}{{% for i in range(9000) %}}{{% if {expression} %}}{{% endif %}}{{% endfor %}}")
}

#[test]
fn an_operation_that_costs_as_much_as_its_operand_is_counted() {
    let (fetches, mut uncounted) = (large(), Vec::new());
    let list = "{% set l = range(99000) | list %}";
    let lists = "{% set l = range(49000) | list %}{% set m = range(49000) | list %}";
    let text = "{% set t = 'a' * 4000000 %}{% set u = 'a' * 3999999 ~ 'b' %}";
    let map = "{% set d = secret('db').big %}{% set e = secret('db').twin %}";
    for (before, expression) in [
        (list, "-1 in l"),
        (list, "-1 not in l"),
        (list, "-1 in l in [true]"),
        (list, "-1 is in(l)"),
        (list, "[-1] | select('in', l)"),
        (list, "l | sum"),
        (list, "l | max"),
        (list, "l | min"),
        (list, "l | last"),
        (list, "l | sort"),
        (list, "l | unique"),
        (list, "l | join"),
        (list, "l | reverse"),
        (list, "l | list"),
        (list, "l | string"),
        (list, "l | select('eq', -1)"),
        (list, "l | reject('number')"),
        (list, "l | map('abs')"),
        (list, "l | batch(99000)"),
        (list, "l | slice(2)"),
        (list, "l | zip(l)"),
        (list, "l | chain(l)"),
        (list, "l | groupby('x', default=1)"),
        (list, "l[1:]"),
        (list, "l[98999:]"),
        (list, "l + l"),
        (list, "[l]"),
        (list, "l ~ ''"),
        (list, "loop.changed(l, i)"),
        (list, "loop.cycle(*l)"),
        ("", "range(99000) | length < range(98000) | last"),
        ("", "98999 in range(99000)"),
        (lists, "l == m"),
        (lists, "l != m"),
        (lists, "l < m"),
        (lists, "l <= m"),
        (lists, "l > m"),
        (lists, "l >= m"),
        (lists, "l == m == l"),
        (lists, "l is eq(m)"),
        (lists, "l is ne(m)"),
        (lists, "l is lt(m)"),
        (lists, "l is ge(m)"),
        (lists, "m in [l]"),
        (lists, "[l, m] | max"),
        (lists, "loop.changed(l if i is odd else m)"),
        (text, "'x' in t"),
        (text, "t == u"),
        (text, "t < u"),
        (text, "t is lower"),
        (text, "t is startingwith(t)"),
        (text, "t is endingwith(t)"),
        (text, "t is sameas(t)"),
        (text, "t | length"),
        (text, "t | int(0)"),
        (text, "t | float(0)"),
        (text, "t[-1]"),
        (text, "t[3999998]"),
        (text, "t[3999998:]"),
        (text, "t[::-3999999]"),
        (text, "t | attr(3999998)"),
        (text, "t | replace('x', '')"),
        (text, "t | trim('a')"),
        (text, "{t: 1}[u] is undefined"),
        (text, "t | default(u, true) | upper"),
        (text, "t ~ ''"),
        (text, "dict(a=t) == dict(a=u)"),
        ("{% set t = 'a' * 4000000 %}{% set d = {t: 1} %}{% set u = 'a' * 3999999 ~ 'b' %}", "d[u] is undefined"),
        (map, "d == e"),
        (map, "d | first"),
        (map, "d | list"),
        (map, "d | items"),
        (map, "d | dictsort"),
        (map, "d | json"),
        (map, "dict(d, a=1)"),
        (map, "dict(d)"),
        (map, "d | chain(e)"),
        (map, "d is iterable"),
        (map, "d | map('upper')"),
        ("", "secret('stripe') ~ ''"),
        ("", "secret('db').text | length"),
        ("", "'x' in secret('db').text"),
        ("", "'x' in secret('db').list"),
        ("", "secret('db').list | sort | first"),
        ("", "secret('db').list | groupby('x', default='')"),
    ] {
        let text = turns(before, expression);
        let outcome = outcome_within(FEW, &text, &fetches);
        let limits = [GROWN, "its operations look at more than", "writes more than"];
        if !outcome.as_ref().is_err_and(|error| limits.iter().any(|limit| error.contains(limit))) {
            uncounted.push((text, outcome));
        }
    }
    assert!(uncounted.is_empty(), "{uncounted:#?}");
}

#[test]
fn an_operation_that_looks_at_one_item_costs_little() {
    let (fetches, mut counted) = (large(), Vec::new());
    for (before, expression) in [
        ("", "range(99000)[98999]"),
        ("{% set r = range(99000) %}", "r == i"),
        ("{% set d = secret('db').big %}", "d"),
        ("{% set d = secret('db').big %}", "not d"),
        ("{% set d = secret('db').big %}", "d | length"),
        ("{% set d = secret('db').big %}", "d.key3999"),
        ("{% set d = secret('db').big %}", "d['key' ~ i % 4000]"),
        ("{% set d = secret('db').big %}", "d.nope is undefined"),
        ("{% set d = secret('db').big %}", "('key' ~ i % 4000) in d"),
        ("", "secret('stripe')"),
        ("", "secret('stripe') | length"),
        ("", "secret('stripe').nope is undefined"),
    ] {
        let text = turns(before, expression);
        let steps = outcome_within(8 * FEW, &text, &fetches).err();
        if let Some(error) = steps.filter(|error| !error.contains("steps")) {
            counted.push((text, error));
        }
    }
    assert!(counted.is_empty(), "{counted:#?}");
}

#[test]
fn the_whole_limit_is_done_within_a_moment() {
    let fetches = large();
    for expression in ["l | sort", "t | length"] {
        let before = "{% set l = range(49000) | map('string') | list %}{% set m = range(49000) | map('string') | list %}\
                      {% set t = 'a' * 1000000 %}";
        let error = outcome(&turns(before, expression), &fetches).unwrap_err();
        assert!(error.contains("its operations look at more than 128 MiB") || error.contains(GROWN), "{error}");
    }
}

#[test]
fn one_operation_costs_no_more_than_its_operands() {
    let fetches = large();
    for text in [
        "{{ ('a' * 1000000) | trim('b' * 1000000 ~ 'a') }}",
        "{% set t = 'a' * 8000000 %}{{ ['a', 'a', 'a', 'a'] * 1 }}{{ range(9000) | map('replace', 0, t) | length }}",
        "{% set t = 'a' * 8000000 %}{{ 'a,' * 9000 | split(',') | map('replace', 'a', t) | length }}",
        "{% set n = namespace() %}{% set n.x = n %}{{ [n, n] | map(attribute='x.' * 99999 ~ 'x') | length }}",
        "{{ ('ab' * 99999) | map('select', 'in', *('cd' * 99999)) | length }}",
        "{{ ['a'] | select(*range(99999)) | length }}",
        "{% set k = [secret('stripe')] %}{% set k = [k, k, k, k, k, k, k, k] %}{% set k = [k, k, k, k, k, k, k, k] %}\
         {% set k = [k, k, k, k, k, k, k, k] %}{% set k = [k, k, k, k, k, k, k, k] %}{{ k | json | length }}",
        "{{ range(99999) | map('string') | sort | unique | list | length }}",
    ] {
        _ = outcome(text, &fetches);
    }
}

#[test]
fn misses_of_a_key_are_kept_once() {
    let fetches = large();
    let text =
        "{% set k = 'k' * 300000 %}{% for i in range(9000) %}{{ secret('db').big[k] | default('') }}{% endfor %}";
    _ = outcome(text, &fetches);
    let text = "{% for i in range(9000) %}{{ secret('db').big['a' ~ i] | default('') }}{% endfor %}";
    assert_eq!(outcome(text, &fetches), Ok(0));
}

#[test]
fn a_value_that_holds_itself_ends_with_an_error() {
    let fetches = large();
    let chain = "{% set s = namespace(cur=namespace()) %}{% set first = s.cur %}{% for i in range(19000) %}{% set c = s.cur %}\
                 {% set m = namespace() %}{% set c.x = m %}{% set s.cur = m %}{% endfor %}";
    let pair = "{% set n = namespace() %}{% set m = namespace() %}{% set n.x = m %}{% set m.x = n %}";
    for text in [
        chain.to_owned(),
        chain.replace("c.x = m", "c.x = [m]"),
        chain.replace("c.x = m", "c.x = {'a': m}"),
        chain.replace("c.x = m", "c.x = (m, 1)"),
        "{% set s = namespace(cur=none) %}{% for i in range(19000) %}{% set s.cur = namespace(x=s.cur) %}{% endfor %}".to_owned(),
        "{% set s = namespace(cur={}) %}{% for i in range(9000) %}{% set s.cur = s.cur | chain({'a': 1}) %}{% endfor %}{{ s.cur.b is undefined }}".to_owned(),
        "{% set s = namespace(cur=[]) %}{% for i in range(9000) %}{% set s.cur = s.cur | chain([]) %}{% endfor %}{{ s.cur | length }}".to_owned(),
        "{% set s = namespace(cur=[]) %}{% for i in range(9000) %}{% set s.cur = s.cur | zip([]) %}{% endfor %}{{ s.cur | length }}".to_owned(),
        "{% set s = namespace(cur=[1]) %}{% for i in range(9000) %}{% set s.cur = s.cur[0:] %}{% endfor %}{{ s.cur | length }}".to_owned(),
        "{% set s = namespace(cur=[1]) %}{% for i in range(9000) %}{% set s.cur = s.cur | reverse %}{% endfor %}{{ s.cur | length }}".to_owned(),
        format!("{pair}{{{{ n == m }}}}"),
        format!("{pair}{{{{ n < m }}}}"),
        format!("{pair}{{{{ n ~ m }}}}"),
        format!("{pair}{{{{ [n] | string }}}}"),
        format!("{pair}{{{{ n | upper }}}}"),
        format!("{pair}{{{{ n in [m] }}}}"),
        format!("{pair}{{{{ 'a' in n }}}}"),
        format!("{pair}{{{{ n in 'a' }}}}"),
        format!("{pair}{{{{ n | json }}}}"),
        format!("{pair}{{{{ n is lower }}}}"),
        format!("{pair}{{{{ n is startingwith(m) }}}}"),
        format!("{pair}{{{{ dict(a=n) == dict(a=m) }}}}"),
        format!("{pair}{{{{ range(n) }}}}"),
        format!("{pair}{{{{ {{n: 1}}[m] }}}}"),
        format!("{pair}{{% for i in [1, 2] %}}{{{{ loop.changed(n if loop.first else m) }}}}{{% endfor %}}"),
        format!("{pair}{{{{ [n, m] | sort | length }}}}"),
        format!("{pair}{{{{ [n, m] | unique | length }}}}"),
        "{% for i in [1] %}{{ loop.cycle() }}{% endfor %}".to_owned(),
        "{% for i in [1] %}{{ loop.cycle(*[]) }}{% endfor %}".to_owned(),
        "{% for i in [1] %}{% set f = loop %}{{ f.cycle() }}{% endfor %}".to_owned(),
    ] {
        _ = outcome(&text, &fetches);
    }
}

#[test]
fn a_template_over_thousands_of_values_is_rendered() {
    let fetches = large();
    for (text, bytes) in [
        ("{% for k, v in secret('db').big | items %}{{ k }}={{ v | dotenv }}\n{% endfor %}", 61_780),
        ("{% for k in secret('db').big %}{{ k }}={{ secret('db').big[k] | default('') }}\n{% endfor %}", 53_780),
        ("{% for k in secret('db').big %}{% if k in secret('db').twin %}x{% endif %}{% endfor %}", 4_000),
        (
            "{% for i in secret('db').list %}{% if i in ['1', '2', '3'] and not loop.last %}x{% endif %}{% endfor %}",
            1_286,
        ),
        ("{{ secret('db').big | json | length }}", 5),
        ("{{ secret('db').list | map('int') | sort | unique | join(',') }}", 13),
        (
            "{% for g in secret('db').list | groupby('nope', default='x') %}{{ g.grouper }}{{ g.list | length }}{% endfor %}",
            5,
        ),
        (
            "{% for i in range(2900) %}{% if (secret('db').list | length) > 2999 and secret('db').list[i] != 'x' %}x{% endif %}{% endfor %}",
            2_900,
        ),
        (
            "{{ secret('db').list[2999] }}{{ secret('db').list[-1] }}{{ range(99000)[-1] }}{{ secret('db').text[-1] }}{{ range(9)[2:4] | join }}",
            10,
        ),
    ] {
        assert_eq!(outcome(text, &fetches), Ok(bytes), "{text}");
    }
}
