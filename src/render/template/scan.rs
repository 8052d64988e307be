//! Walks a template's syntax tree: finds every `secret('…')`, and every other use of that name.
//!
//! The matches have no wildcard, so that a statement or expression added by a feature of minijinja must be handled here
//! first.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::machinery::ast::{self, BinOpKind, CallArg, Expr, Spanned, Stmt};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::super::step::Step;
use super::chains::{Chains, base, start};
use super::pick::Pick;
use super::{SecretCallError, TemplateErrorKind};

/// The most tokens of one tag: the parser recurses over some of them without a limit of its own.
const TOKENS: usize = 500;
/// The most `elif`s of one template: they nest in the syntax tree.
const BRANCHES: usize = 250;

/// What was found in a template, each with its byte offset.
pub(super) struct Found {
    pub(super) calls: Vec<(usize, String)>,
    pub(super) used: Used,
    pub(super) chains: Chains,
    pub(super) optional: Optional,
    /// What the text picks literally: `secret('db').username`.
    pub(super) picks: Vec<Pick>,
    /// Attribute names and string literals, which an error may quote as keys.
    pub(super) written: BTreeSet<String>,
}

/// The filters, tests and methods that a template uses, with byte offsets.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) filters: Vec<(usize, String)>,
    pub(super) tests: Vec<(usize, String)>,
    /// Calls of methods, `value.method()`.
    pub(super) methods: Vec<(usize, String)>,
}

/// What may be missing, because the template checks it with `default` or `is defined`.
#[derive(Debug, Default)]
pub(super) struct Optional {
    pub(super) keys: BTreeSet<String>,
    /// Whole `secret('…')` calls.
    pub(super) literals: BTreeSet<String>,
    /// Something without a literal name: a variable, a computed key, an attribute passed to a filter.
    pub(super) anything: bool,
}

/// Scans a template; refuses misuse of `secret`, unknown names and syntax errors.
pub(super) fn scan(text: &str, syntax: &SyntaxConfig) -> Result<Found, (usize, TemplateErrorKind)> {
    let syntax_fault = |error: &minijinja::Error| {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        (error.range().unwrap_or_default().start, TemplateErrorKind::Syntax(detail))
    };
    bound(text, syntax)?;
    let tree = parse(text, "template", syntax.clone()).map_err(|error| syntax_fault(&error))?;
    let mut walk = Walk::default();
    walk.statement(&tree);
    let is_known = |name: &str| ["range", "dict", "namespace", "loop"].contains(&name) || walk.set.contains(name);
    let unknown = walk.names.iter().filter(|(_, name)| !is_known(name));
    let unknown = unknown
        .map(|(offset, name)| (*offset, TemplateErrorKind::UnknownName { name: (*name).to_owned(), entry: None }));
    let misused = walk.misused.iter().map(|(offset, misuse)| (*offset, TemplateErrorKind::Secret(*misuse)));
    match misused.chain(unknown).min_by_key(|(offset, _)| *offset) {
        Some(fault) => Err(fault),
        None => Ok(Found {
            calls: walk.calls,
            used: walk.used,
            chains: walk.chains,
            optional: walk.optional,
            picks: walk.picks,
            written: walk.written,
        }),
    }
}

/// Refuses a text that would exhaust the stack of the recursive parser. Invalid tokens are left to the parser.
fn bound(text: &str, syntax: &SyntaxConfig) -> Result<(), (usize, TemplateErrorKind)> {
    let (mut tokens, mut branches) = (0, 0);
    for (token, span) in tokenize(text, false, syntax.clone()).map_while(Result::ok) {
        match token {
            Token::VariableStart | Token::BlockStart => tokens = 0,
            Token::Ident("elif") => branches += 1,
            _ => {}
        }
        tokens += 1;
        let too_complex = |what| Err((start(span), TemplateErrorKind::TooComplex(what)));
        if tokens > TOKENS {
            return too_complex("this tag is too long; split it with {% set %}");
        }
        if branches > BRANCHES {
            return too_complex("the template has too many elif");
        }
    }
    Ok(())
}

/// The state of the walk.
#[derive(Default)]
struct Walk<'t> {
    calls: Vec<(usize, String)>,
    used: Used,
    misused: Vec<(usize, SecretCallError)>,
    /// Names that are read.
    names: Vec<(usize, &'t str)>,
    /// Names that are set anywhere in the template.
    set: BTreeSet<&'t str>,
    chains: Chains,
    optional: Optional,
    picks: Vec<Pick>,
    /// Variables that hold a `secret('…')` or a part of one.
    stand_ins: BTreeMap<&'t str, Pick>,
    written: BTreeSet<String>,
}

impl<'t> Walk<'t> {
    fn statements(&mut self, statements: &[Stmt<'t>]) {
        statements.iter().for_each(|statement| self.statement(statement));
    }

    /// Walks a statement.
    fn statement(&mut self, statement: &Stmt<'t>) {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                self.target(&each.target);
                self.expression(&each.iter);
                let item = self.list(&each.iter);
                self.stand_in(&each.target, item);
                self.optional(&each.filter_expr);
                self.statements(&each.body);
                self.statements(&each.else_body);
            }
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr);
                self.statements(&condition.true_body);
                self.statements(&condition.false_body);
            }
            Stmt::WithBlock(with) => {
                for (target, value) in &with.assignments {
                    self.target(target);
                    self.stand_in(target, self.pick(value));
                    self.expression(value);
                }
                self.statements(&with.body);
            }
            Stmt::Set(set) => {
                self.target(&set.target);
                self.stand_in(&set.target, self.pick(&set.expr));
                self.expression(&set.expr);
            }
            Stmt::SetBlock(set) => {
                self.target(&set.target);
                self.optional(&set.filter);
                self.statements(&set.body);
            }
            Stmt::AutoEscape(block) => {
                self.expression(&block.enabled);
                self.statements(&block.body);
            }
            Stmt::FilterBlock(block) => {
                self.expression(&block.filter);
                self.statements(&block.body);
            }
            Stmt::Do(call) => self.call(&call.call),
        }
    }

    /// Walks the target of an assignment.
    fn target(&mut self, target: &Expr<'t>) {
        match target {
            Expr::Var(name) if name.id == "secret" => {
                self.misused.push((start(name.span()), SecretCallError::Shadowed))
            }
            Expr::Var(name) => {
                self.set.insert(name.id);
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.target(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.target(item)),
            other => self.expression(other), // namespace.attribute
        }
    }

    /// Records what a variable now holds.
    fn stand_in(&mut self, target: &Expr<'t>, pick: Option<Pick>) {
        if let Expr::Var(name) = target {
            match pick {
                Some(pick) => _ = self.stand_ins.insert(name.id, pick),
                None => _ = self.stand_ins.remove(name.id),
            }
        }
    }

    /// What an expression picks from a `secret('…')`; `None` if nothing, or nested too deep.
    fn pick(&self, expression: &Expr<'t>) -> Option<Pick> {
        const DEEPEST: usize = 16;
        let pick = match expression {
            Expr::Var(name) => self.stand_ins.get(name.id).cloned(),
            Expr::Call(call) => match (&call.expr, call.args.as_slice()) {
                (Expr::Var(name), [CallArg::Pos(Expr::Const(literal))]) if name.id == "secret" => {
                    literal.value.as_str().map(|literal| Pick { literal: literal.to_owned(), path: Vec::new() })
                }
                _ => None,
            },
            Expr::GetAttr(attribute) => {
                self.pick(&attribute.expr).map(|pick| pick.with(Step::Key(attribute.name.to_owned())))
            }
            Expr::GetItem(item) => match &item.subscript_expr {
                Expr::Const(key) => match key.value.as_str() {
                    Some(key) => self.pick(&item.expr).map(|pick| pick.with(Step::Key(key.to_owned()))),
                    None => self.pick(&item.expr).map(|pick| pick.with(Step::Item)),
                },
                _ => None,
            },
            Expr::Filter(filter) if ["first", "last"].contains(&filter.name) => {
                filter.expr.as_ref().and_then(|of| self.pick(of)).map(|pick| pick.with(Step::Item))
            }
            Expr::Slice(slice) => self.pick(&slice.expr),
            _ => None,
        };
        pick.filter(|pick| pick.path.len() <= DEEPEST)
    }

    /// Records what an expression picks, if anything.
    fn picked(&mut self, expression: &Expr<'t>) {
        let pick = self.pick(expression).filter(|pick| !pick.path.is_empty());
        self.picks.extend(pick);
    }

    /// Records that every item of a value is used; returns what an item is.
    fn list(&mut self, expression: &Expr<'t>) -> Option<Pick> {
        let item = self.pick(expression).filter(|pick| !pick.path.is_empty())?.with(Step::Item);
        self.picks.push(item.clone());
        Some(item)
    }

    /// Records that a value is calculated with.
    fn number(&mut self, expression: &Expr<'t>) {
        let pick = self.pick(expression);
        self.picks.extend(pick.map(|pick| pick.with(Step::Number)));
    }

    /// Walks an expression, if there is one.
    fn optional(&mut self, expression: &Option<Expr<'t>>) {
        expression.iter().for_each(|expression| self.expression(expression));
    }

    fn expressions(&mut self, expressions: &[Expr<'t>]) {
        expressions.iter().for_each(|expression| self.expression(expression));
    }

    /// Walks an expression.
    fn expression(&mut self, expression: &Expr<'t>) {
        self.chains.add(expression);
        match expression {
            Expr::Var(name) if name.id == "secret" => {
                self.misused.push((start(name.span()), SecretCallError::NotCalled))
            }
            Expr::Var(name) => self.names.push((start(name.span()), name.id)),
            Expr::Const(literal) => self.written.extend(literal.value.as_str().map(str::to_owned)),
            Expr::Slice(slice) => {
                self.expression(&slice.expr);
                [&slice.start, &slice.stop, &slice.step].into_iter().for_each(|bound| self.optional(bound));
            }
            Expr::UnaryOp(operation) => self.expression(&operation.expr),
            Expr::BinOp(operation) => {
                if is_arithmetic(operation.op) {
                    [&operation.left, &operation.right].into_iter().for_each(|operand| self.number(operand));
                }
                self.expression(&operation.left);
                self.expression(&operation.right);
            }
            Expr::Compare(chain) => {
                self.expression(&chain.expr);
                chain.ops.iter().for_each(|operation| self.expression(&operation.expr));
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.test_expr);
                self.expression(&choice.true_expr);
                self.optional(&choice.false_expr);
            }
            Expr::Filter(filter) => self.filter(filter),
            Expr::Test(test) => self.test(test),
            Expr::GetAttr(attribute) => {
                self.written.insert(attribute.name.to_owned());
                self.picked(expression);
                self.expression(&attribute.expr);
            }
            Expr::GetItem(item) => {
                self.picked(expression);
                self.expression(&item.expr);
                self.expression(&item.subscript_expr);
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.expressions(&list.items),
            Expr::Tuple(tuple) => self.expressions(&tuple.items),
            Expr::Map(map) => {
                self.expressions(&map.keys);
                self.expressions(&map.values);
            }
        }
    }

    /// Walks a filter, and records what it uses of its value.
    fn filter(&mut self, filter: &Spanned<ast::Filter<'t>>) {
        self.optional(&filter.expr);
        self.used.filters.push((start(filter.span()), filter.name.to_owned()));
        match filter.name {
            "default" | "d" => filter.expr.iter().for_each(|expression| self.may_be_missing(expression)),
            "join" | "first" | "last" | "batch" | "slice" => {
                filter.expr.iter().for_each(|expression| _ = self.list(expression));
            }
            "map" | "groupby" | "select" | "reject" | "selectattr" | "rejectattr" => {
                self.optional.anything = true;
            }
            _ => {}
        }
        self.arguments(&filter.args);
    }

    /// Walks a test such as `is defined`.
    fn test(&mut self, test: &Spanned<ast::Test<'t>>) {
        self.expression(&test.expr);
        self.used.tests.push((start(test.span()), test.name.to_owned()));
        if ["defined", "undefined"].contains(&test.name) {
            self.may_be_missing(&test.expr);
        }
        self.arguments(&test.args);
    }

    /// Walks a call; records `secret('…')`.
    fn call(&mut self, call: &Spanned<ast::Call<'t>>) {
        let Expr::Var(name) = &call.expr else {
            if let Expr::GetAttr(method) = &call.expr {
                self.used.methods.push((base(&method.expr), method.name.to_owned()));
            }
            self.expression(&call.expr);
            return self.arguments(&call.args);
        };
        if name.id != "secret" {
            self.expression(&call.expr);
            return self.arguments(&call.args);
        }
        let offset = start(name.span());
        match call.args.as_slice() {
            [CallArg::Pos(Expr::Const(literal))] => match literal.value.as_str() {
                Some(literal) => self.calls.push((offset, literal.to_owned())),
                None => self.misused.push((offset, SecretCallError::Argument)),
            },
            other => {
                self.misused.push((offset, SecretCallError::Argument));
                self.arguments(other);
            }
        }
    }

    /// Records that an expression may be missing.
    fn may_be_missing(&mut self, expression: &Expr<'t>) {
        match expression {
            Expr::GetAttr(attribute) => {
                self.optional.keys.insert(attribute.name.to_owned());
            }
            Expr::GetItem(item) => match &item.subscript_expr {
                Expr::Const(key) => self.optional.keys.extend(key.value.as_str().map(str::to_owned)),
                _ => self.optional.anything = true,
            },
            Expr::Call(call) => match call.args.as_slice() {
                [CallArg::Pos(Expr::Const(literal))] => {
                    self.optional.literals.extend(literal.value.as_str().map(str::to_owned));
                }
                _ => self.optional.anything = true,
            },
            _ => self.optional.anything = true,
        }
    }

    /// Walks the arguments of a call.
    fn arguments(&mut self, arguments: &[CallArg<'t>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.expression(value),
                CallArg::PosSplat(value) | CallArg::KwargSplat(value) => self.expression(value),
            }
        }
    }
}

/// Whether an operation needs numbers (`+` joins lists too).
fn is_arithmetic(operation: BinOpKind) -> bool {
    matches!(
        operation,
        BinOpKind::Sub | BinOpKind::Mul | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem | BinOpKind::Pow
    )
}
