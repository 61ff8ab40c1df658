//! Aggregations with mergeable partial states, and windows over time.
