//! Measures how deep the tree of a query can get, from its tokens, before anything is built. The
//! parser itself keeps its stack on the heap, but trees are walked, printed and dropped by
//! recursion.

use crate::{
    ast::Span, diagnostic::Diagnostic, error::Error, lexer::SpannedToken, limits::DEPTH_MAX,
    token::Token,
};

/// Refuses tokens whose tree could be deeper than [`DEPTH_MAX`].
///
/// Inside one pair of parentheses a chain of n operators over operands of depth d makes a tree of
/// depth n + d at most, whatever binds stronger. Chains of AND and OR are flat in the tree: they
/// end one such chain, and add a level each to the whole.
pub(crate) fn check_depth(tokens: &[SpannedToken]) -> Result<(), Diagnostic> {
    let mut levels = vec![Level::default()];
    for (start, token, end) in tokens {
        let deepest = match token {
            Token::OpenParen => {
                levels.push(Level::default());
                levels.len() - 1
            }
            Token::CloseParen => {
                let inner = if levels.len() > 1 { levels.pop() } else { None };
                match (inner, levels.last_mut()) {
                    // One level for the parentheses, which may be a call's or a query's.
                    (Some(inner), Some(outer)) => outer.operand(inner.depth() + 1),
                    _ => 0, // A parenthesis too many: the parser says so.
                }
            }
            Token::Semicolon => {
                levels = vec![Level::default()];
                0
            }
            _ => levels.last_mut().map_or(0, |level| level.take(token)),
        };
        if deepest > DEPTH_MAX {
            return Err(Diagnostic::new(Error::TooDeep, Span::new(*start, *end)));
        }
    }
    Ok(())
}

/// What was seen between one pair of parentheses.
#[derive(Default)]
struct Level {
    /// The depth of the deepest chain that has ended.
    deepest: usize,
    /// Operators of the current chain.
    operators: usize,
    /// The depth of the deepest operand of the current chain, beyond a plain name.
    operand: usize,
    has_and: bool,
    has_or: bool,
}

impl Level {
    fn take(&mut self, token: &Token) -> usize {
        self.has_and |= *token == Token::And;
        self.has_or |= *token == Token::Or;
        if token.is_operator() {
            self.operators += 1;
        } else if token.is_hard_keyword() || *token == Token::Comma {
            self.deepest = self.chain();
            self.operators = 0;
            self.operand = 0;
        }
        self.chain()
    }

    fn operand(&mut self, depth: usize) -> usize {
        self.operand = self.operand.max(depth);
        self.chain()
    }

    fn chain(&self) -> usize {
        self.deepest.max(self.operators + self.operand)
    }

    fn depth(&self) -> usize {
        self.chain() + usize::from(self.has_and) + usize::from(self.has_or)
    }
}
