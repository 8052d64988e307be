//! The tokens of a template, as the lexer finds them and the parser reads them.

use super::error::SyntaxError;

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    LeftDelimiter,
    RightDelimiter,
    LeftParen,
    RightParen,
    Space,
    Assign,
    Declare,
    Pipe,
    Comma,
    /// Another printable character, which is always a syntax error.
    Char,
    Bool,
    CharConstant,
    Number,
    String,
    RawString,
    Identifier,
    Variable,
    Field,
    Dot,
    Nil,
    Keyword,
    End,
}

/// A token, with its offset and text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'t> {
    pub(super) kind: Kind,
    pub(super) at: usize,
    pub(super) text: &'t str,
}

/// The tokens of a template, and the error behind them, which is reported only when parsing reaches it.
#[derive(Debug)]
pub(super) struct Tokens<'t> {
    input: &'t str,
    tokens: Vec<Token>,
    error: (usize, SyntaxError),
}

/// A token, with the offsets of its text, which fit into 32 bits: no template is larger than 1 MiB.
#[derive(Debug)]
struct Token {
    kind: Kind,
    start: u32,
    end: u32,
}

impl<'t> Tokens<'t> {
    /// No tokens of this template yet.
    pub(super) fn new(input: &'t str) -> Self {
        let error = (input.len(), SyntaxError::Syntax("unexpected EOF".into()));
        Self { input, tokens: Vec::with_capacity(128), error }
    }

    /// Adds the next token.
    pub(super) fn push(&mut self, Item { kind, at, text }: Item<'t>) {
        let offset = |at: usize| u32::try_from(at).expect("no template is larger than 1 MiB");
        self.tokens.push(Token { kind, start: offset(at), end: offset(at + text.len()) });
    }

    /// The tokens up to an error.
    pub(super) fn until(self, error: (usize, SyntaxError)) -> Self {
        Self { error, ..self }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The kind of the token at this place; `None` behind the last one.
    pub(super) fn kind(&self, place: usize) -> Option<Kind> {
        self.tokens.get(place).map(|token| token.kind)
    }

    /// The text of the tokens at these places.
    pub(super) fn text(&self, places: std::ops::Range<usize>) -> &'t str {
        match &self.tokens[places] {
            [] => "",
            [first, .., last] | [first @ last] => &self.input[first.start as usize..last.end as usize],
        }
    }

    /// The token at this place, or the error that is there.
    pub(super) fn item(&self, place: usize) -> Result<Item<'t>, (usize, SyntaxError)> {
        let Some(token) = self.tokens.get(place) else { return Err(self.error.clone()) };
        let (at, end) = (token.start as usize, token.end as usize);
        Ok(Item { kind: token.kind, at, text: &self.input[at..end] })
    }
}
