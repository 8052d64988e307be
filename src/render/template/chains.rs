//! Where an expression begins: minijinja's errors name one link of a chain.

use std::collections::BTreeMap;
use std::ops::Range;

use minijinja::machinery::Span;
use minijinja::machinery::ast::Expr;

/// Where `a.b[c](d)` and `a + b` start, by the bytes that minijinja's errors have: those of one link, or from the token
/// before.
#[derive(Debug, Default)]
pub(super) struct Chains(BTreeMap<(usize, usize), usize>);

impl Chains {
    pub(super) fn add(&mut self, expression: &Expr<'_>) {
        let span = expression.span();
        self.0.insert((start(span), span.end_offset as usize), base(expression));
    }

    /// Where the expression starts that these bytes belong to.
    pub(super) fn start(&self, link: &Range<usize>) -> usize {
        self.0.get(&(link.start, link.end)).copied().unwrap_or(link.start)
    }
}

pub(super) fn start(span: Span) -> usize {
    span.start_offset as usize
}

/// Where the innermost part of a chain starts, or the first operand of an operator.
pub(super) fn base(expression: &Expr<'_>) -> usize {
    match expression {
        Expr::GetAttr(link) => base(&link.expr),
        Expr::GetItem(link) => base(&link.expr),
        Expr::Slice(link) => base(&link.expr),
        Expr::Call(link) => base(&link.expr),
        Expr::BinOp(operation) => base(&operation.left),
        Expr::Compare(operation) => base(&operation.expr),
        Expr::IfExpr(choice) => base(&choice.true_expr),
        other => start(other.span()),
    }
}
