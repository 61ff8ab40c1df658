//! Crash simulation: the engine on a simulated disk, one thread that takes its steps by a seed, and the
//! judgement of what a crash leaves.
//!
//! [`Run`] plays a script and notes when each write was begun and acknowledged, in operations of the disk;
//! [`Enumeration`] crashes a recorded run at every operation in several ways, opens what is left and
//! compares it with the model after each prefix of the writes that is allowed; [`live`] lets one store live on
//! through faults, rot, leaping clocks and crashes; [`lies`] and `tsdb_core::planted` have the planted errors
//! that they must find. What the disk may do is in `tsdb_core::env`.

mod crash;
pub mod lies;
mod life;
mod run;

pub use crash::{Enumeration, Tally, choices};
pub use life::{Deeds, Length, live};
pub use run::{Event, History, Run, Setup};
