//! TQL, the query language: lexer, grammar, syntax tree, checks and diagnostics.
