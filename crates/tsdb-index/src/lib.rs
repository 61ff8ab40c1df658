//! Which series match and where their rows may lie: series registry, inverted index, time index.
