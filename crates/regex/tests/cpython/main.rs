//! Our answers against CPython's `re`, which has the last word on everything in this crate.
//!
//! Tests that ask CPython or the installed fail2ban package say what is missing and pass where it is not there; the
//! recorded answers in `testdata/re` are compared everywhere.

mod adversarial;
mod generated;
mod oracle;
mod paths;
mod random;
mod shrink;
mod stock;
mod stock_filters;
mod tables;
mod vectors;
mod writer;
