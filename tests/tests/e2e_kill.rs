//! The promise, tested from outside: see `tsdb_tests::torture::kill9`, of which `cargo xtask torture` runs longer ones.

use tsdb_tests::seed::Seed;
use tsdb_tests::torture::kill9;

/// Kills in one run of the test.
const KILLS: usize = 20;

#[test]
fn nothing_acknowledged_is_ever_lost_doubled_or_torn() {
    let toll = kill9::run(&mut Seed::from_environment(), &mut |kills| kills < KILLS);
    println!("{toll}");
    assert!(toll.batches >= 100 && toll.looks >= 50, "the test tested nothing: {toll}");
}
