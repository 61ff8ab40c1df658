//! Helpers shared by the suites in this package.
