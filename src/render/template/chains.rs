//! Where an expression begins: minijinja's errors point to one link of a chain.

use std::collections::BTreeMap;
use std::ops::Range;

use minijinja::machinery::Span;
use minijinja::machinery::ast::Expr;

/// The start of chains such as `a.b[c](d)` and `a + b`, by the byte range in minijinja's errors, which covers one link
/// or begins at the token before.
#[derive(Debug, Default)]
pub(super) struct Chains(BTreeMap<(usize, usize), usize>);

impl Chains {
    /// Records the start of an expression.
    pub(super) fn add(&mut self, expression: &Expr<'_>) {
        let span = expression.span();
        self.0.insert((start(span), span.end_offset as usize), base(expression));
    }

    /// The start of the expression with this byte range.
    pub(super) fn start(&self, link: &Range<usize>) -> usize {
        self.0.get(&(link.start, link.end)).copied().unwrap_or(link.start)
    }
}

/// The byte offset at which a span begins.
pub(super) fn start(span: Span) -> usize {
    span.start_offset as usize
}

/// The start of the innermost part of a chain, or of the first operand of an operator.
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
