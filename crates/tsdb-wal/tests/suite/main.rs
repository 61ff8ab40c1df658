//! Tests of the log through its public face, on simulated and real disks. The numbers W1 to W6 are
//! those of the failure catalogue that the project keeps.

#![expect(clippy::unwrap_used, reason = "a panic is the report of a test")]

mod concurrency;
mod crash;
mod damage;
mod faults;
mod generations;
mod golden;
mod round_trip;
mod support;
mod written_over;
