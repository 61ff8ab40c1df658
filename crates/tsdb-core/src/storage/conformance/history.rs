//! Carries out scripts: [`Runner`] plays operations against a subject and the model side by side; a script
//! that shows a violation is cut down to the operations that matter.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::compare::{compare, compare_everything};
use super::dump::fingerprint;
use super::model::Model;
use super::script::{Op, RowSpec, Target, script};
use super::writer::Writer;
use super::{Subject, Verdict, Violation, ensure};
use crate::storage::{DeleteRequest, Snapshot};
use crate::{CatalogueChange, NamespaceId, Result, Ticket};

/// Runs that cutting a script down may take.
const SHRINK_RUNS_MAX: usize = 300;

/// Plays operations against a subject and a model of it.
pub struct Runner {
    subject: Box<dyn Subject>,
    model: Model,
    writer: Writer,
    held: VecDeque<(Arc<dyn Snapshot>, Model)>,
    last_seq: u64,
}

impl Runner {
    /// A runner over a store that is empty.
    pub fn new(subject: Box<dyn Subject>) -> Runner {
        Runner {
            subject,
            model: Model::new(),
            writer: Writer::new(),
            held: VecDeque::new(),
            last_seq: 0,
        }
    }

    /// The subject.
    pub fn subject(&self) -> &dyn Subject {
        &*self.subject
    }

    /// What the store must hold.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The namespace that `target` names now, if there is one.
    pub fn namespace(&self, target: &Target) -> Option<NamespaceId> {
        let found = self.model.catalogue().namespace(&target.database, target.policy.as_deref());
        found.ok().map(|namespace| namespace.id)
    }

    /// Carries out one operation.
    ///
    /// # Errors
    /// The first violation that it shows.
    pub fn play(&mut self, op: &Op) -> Verdict {
        let store = self.subject.store();
        match op {
            Op::Write(target, rows) => self.write(target, rows)?,
            Op::Delete { target, measurements, filter, time } => {
                let Some(namespace) = self.namespace(target) else { return Ok(()) };
                let (measurements, filter) = (measurements.clone(), filter.clone());
                self.delete(DeleteRequest { namespace, measurements, filter, time: *time })?;
            }
            Op::Change(change) => self.change(change)?,
            Op::Retain(now_ns) => {
                let (moved, due) = (store.retain(*now_ns)?, self.model.retain(*now_ns));
                ensure(moved == due, || format!("{moved} cutoffs moved, must be {due}"))?;
            }
            Op::Flush => store.flush()?,
            Op::Compact => store.compact()?,
            Op::Seal => self.subject.seal(),
            Op::Step(choice) => self.subject.step(*choice),
            Op::Reopen | Op::Crash => {
                drop(store);
                self.restart(matches!(op, Op::Crash))?;
            }
            Op::Hold => self.held.push_back((store.snapshot()?, self.model.clone())),
            Op::Release => {
                self.held.pop_front();
            }
            Op::Check(seed) => self.check(*seed)?,
        }
        Ok(())
    }

    fn write(&mut self, target: &Target, rows: &[RowSpec]) -> Verdict {
        let Some(namespace) = self.namespace(target) else { return Ok(()) };
        let ticket = self.writer.append(&*self.subject.store(), namespace, rows)??;
        let seq = self.settle(ticket)?;
        self.take_number(seq)?;
        self.model.write(seq, namespace, rows);
        Ok(())
    }

    fn delete(&mut self, request: DeleteRequest) -> Verdict {
        let ticket = self.subject.store().delete(&request)?;
        let seq = self.settle(ticket)?;
        self.take_number(seq)?;
        self.model.delete(seq, &request);
        Ok(())
    }

    /// A change is refused by the store exactly when the model refuses it, and by the same words.
    fn change(&mut self, change: &CatalogueChange) -> Verdict {
        let outcome = self.subject.store().change_catalogue(change);
        let found = outcome.and_then(|ticket| self.settle(ticket)).map(|_| ());
        let due = self.model.change(change);
        ensure(found == due, || format!("{change:?} gave {found:?}, must be {due:?}"))
    }

    /// Waits for a ticket that nothing but the subject's own steps completes.
    fn settle(&self, ticket: Ticket) -> Result<u64> {
        self.subject.settle();
        let number = ticket.seq();
        let outcome = ticket.wait();
        debug_assert!(outcome.as_ref().is_ok_and(|seq| *seq == number) || outcome.is_err());
        outcome
    }

    /// Numbers only grow, and what is complete is visible.
    fn take_number(&mut self, seq: u64) -> Verdict {
        let last = std::mem::replace(&mut self.last_seq, seq);
        ensure(seq > last, || format!("number {seq} was given after {last}"))?;
        let visible = self.subject.store().snapshot()?.statistics().visible;
        ensure(visible >= seq, || format!("{seq} is complete, {visible} is visible"))
    }

    fn restart(&mut self, crash: bool) -> Verdict {
        self.held.clear();
        self.writer.forget();
        let _kept = if crash { self.subject.crash() } else { self.subject.reopen() };
        // Whether or not there was something to restart, everything acknowledged is there.
        compare_everything(&*self.subject.store(), &self.model, self.last_seq)
            .map_err(|violation| violation.within(if crash { "after a crash" } else { "reopened" }))
    }

    fn check(&self, seed: u64) -> Verdict {
        let store = self.subject.store();
        compare_everything(&*store, &self.model, seed)?;
        let same = fingerprint(&*store)? == self.model.fingerprint()?;
        ensure(same, || "the dump differs and no comparison tells where".to_owned())?;
        for (place, (snapshot, model)) in self.held.iter().enumerate() {
            compare(&**snapshot, model, seed)
                .map_err(|violation| violation.within(format!("snapshot {place}, taken before")))?;
        }
        Ok(())
    }
}

/// Plays the script of `seed` on a new subject; a violation comes with the shortest script found.
pub(super) fn check_script(make: &dyn Fn() -> Box<dyn Subject>, seed: u64, ops: usize) -> Verdict {
    let script = script(seed, ops)?;
    let Err(first) = play(make, &script) else { return Ok(()) };
    let (script, violation) = shrink(make, script, first);
    let lines: Vec<String> = script.iter().map(ToString::to_string).collect();
    let what =
        format!("{violation}\nseed {seed}, shortest script found:\n  {}", lines.join("\n  "));
    Err(Violation { what })
}

/// Plays a whole script. A panic of the store counts as a violation, so that its script is cut down too.
fn play(make: &dyn Fn() -> Box<dyn Subject>, script: &[Op]) -> Verdict {
    let run = || {
        let mut runner = Runner::new(make());
        for (number, op) in script.iter().enumerate() {
            let context = |violation: Violation| violation.within(format!("operation {number}"));
            runner.play(op).map_err(context)?;
        }
        Ok(())
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Violation::new(format!("panic: {}", text.unwrap_or_default())))
    })
}

/// Leaves out ever smaller pieces as long as some violation remains, in the manner of delta debugging
/// (Zeller, Hildebrandt 2002): first operations, then rows of the batches that are left.
fn shrink(
    make: &dyn Fn() -> Box<dyn Subject>,
    script: Vec<Op>,
    violation: Violation,
) -> (Vec<Op>, Violation) {
    let mut shrinker = Shrinker { make, runs: 0, violation };
    let mut script = shrinker.shorten(script, |ops| ops.to_vec());
    for place in 0..script.len() {
        let Some(Op::Write(target, rows)) = script.get(place).cloned() else { continue };
        let before = script.clone();
        let rows = shrinker.shorten(rows, |rows| {
            let write = Op::Write(target.clone(), rows.to_vec());
            let others =
                |(n, op): (usize, &Op)| if n == place { write.clone() } else { op.clone() };
            before.iter().enumerate().map(others).collect()
        });
        if let Some(op) = script.get_mut(place) {
            *op = Op::Write(target, rows);
        }
    }
    (script, shrinker.violation)
}

struct Shrinker<'a> {
    make: &'a dyn Fn() -> Box<dyn Subject>,
    runs: usize,
    /// What the shortest script shows.
    violation: Violation,
}

impl Shrinker<'_> {
    /// The shortest list found for which the script that `script` makes of it still shows a violation.
    fn shorten<T: Clone>(&mut self, mut list: Vec<T>, script: impl Fn(&[T]) -> Vec<Op>) -> Vec<T> {
        let mut piece = list.len().div_ceil(2).max(1);
        loop {
            let mut start = 0;
            while start < list.len() && self.runs < SHRINK_RUNS_MAX {
                let mut shorter = list.clone();
                shorter.drain(start..(start + piece).min(list.len()));
                self.runs += 1;
                match play(self.make, &script(&shorter)) {
                    Err(found) => (list, self.violation) = (shorter, found),
                    Ok(()) => start += piece,
                }
            }
            if piece == 1 {
                return list;
            }
            piece = piece.div_ceil(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;
    use crate::storage::Storage;

    struct InMemory(Arc<MemoryStore>);

    impl Subject for InMemory {
        fn store(&self) -> Arc<dyn Storage> {
            Arc::clone(&self.0) as Arc<dyn Storage>
        }

        fn seal(&self) {
            panic!("this one cannot be sealed");
        }
    }

    /// Of a long script only the operation that matters is left, also when it panics.
    #[test]
    fn scripts_are_cut_down_to_what_matters() {
        let make = || -> Box<dyn Subject> { Box::new(InMemory(Arc::new(MemoryStore::new()))) };
        let mut script: Vec<Op> = script(3, 30).unwrap();
        script.retain(|op| *op != Op::Seal);
        script.insert(17, Op::Seal);
        let first = play(&make, &script).unwrap_err();
        assert!(first.what.contains("cannot be sealed"), "{first}");
        let (shortest, violation) = shrink(&make, script, first);
        assert_eq!(shortest, [Op::Seal]);
        assert!(violation.what.contains("cannot be sealed"), "{violation}");
    }
}
