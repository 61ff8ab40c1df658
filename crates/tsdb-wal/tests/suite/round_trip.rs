//! What goes in comes out, on real files too.

use proptest::prelude::*;
use tsdb_core::env::{CrashChoice, Env, SimVfs};
use tsdb_wal::{Floor, Wal, WalOptions};

use crate::support::{DATABASE, options};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Sync,
    WriteOut,
    Seal,
    Idle,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Step::Append),
        1 => (1000_usize..5000).prop_map(|length| Step::Append(vec![0; length])),
        3 => Just(Step::Sync),
        2 => Just(Step::WriteOut),
        1 => Just(Step::Seal),
        1 => Just(Step::Idle),
        1 => Just(Step::Reopen),
    ]
}

type Frames = Vec<(u64, u64, Vec<u8>)>;

fn open_all(env: &Env, options: &WalOptions) -> (Wal, Frames) {
    let mut frames = Vec::new();
    let opened = Wal::open(env, options.clone(), Floor::default(), |frame| {
        frames.push((frame.generation, frame.seq, frame.payload.to_vec()));
        Ok::<(), ()>(())
    });
    (opened.unwrap().0, frames)
}

/// Carries out the steps and checks every reopening against what was appended.
fn check(env: &Env, options: &WalOptions, steps: &[Step]) -> Frames {
    let (mut wal, frames) = open_all(env, options);
    assert_eq!(frames, []);
    let mut model = Frames::new();
    for step in steps {
        match step {
            Step::Append(payload) => {
                let seq = wal.append(payload).unwrap();
                model.push((wal.generation(), seq, payload.clone()));
            }
            Step::Sync => assert_eq!(wal.sync().unwrap(), model.len() as u64),
            Step::WriteOut => assert_eq!(wal.write_out().unwrap(), model.len() as u64),
            Step::Seal => wal.begin_generation(|_| ()).unwrap(),
            Step::Idle => drop(wal.mark_idle().unwrap()),
            Step::Reopen => {
                wal.write_out().unwrap();
                drop(wal);
                let (reopened, frames) = open_all(env, options);
                assert_eq!(frames, model);
                wal = reopened;
            }
        }
    }
    wal.mark_clean().unwrap();
    model
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any frames, in any segments and generations, come back as they were, from the disk alone.
    #[test]
    fn write_read_consistency(steps in prop::collection::vec(step(), 1..60)) {
        let vfs = SimVfs::new(31);
        let model = check(&vfs.env(), &options(), &steps);
        let (_, frames) = open_all(&vfs.crash(CrashChoice::KeepNone).env(), &options());
        prop_assert_eq!(frames, model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn write_read_consistency_on_real_files(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let options = WalOptions {
            dir: dir.path().join("deep/wal"),
            database_id: DATABASE,
            ..options()
        };
        let model = check(&Env::real(), &options, &steps);
        let (_, frames) = open_all(&Env::real(), &options);
        prop_assert_eq!(frames, model);
    }
}

/// The usual sizes, with frames of many sizes up to beyond the window of the reader.
#[test]
fn large_frames_on_real_files() {
    let dir = tempfile::tempdir().unwrap();
    let options = WalOptions::new(dir.path().join("wal"), DATABASE);
    let sizes = [0, 1, 100, 256 << 10, (256 << 10) - 25, 3 << 20, 17, 9 << 20, 5];
    let steps: Vec<Step> = sizes
        .iter()
        .flat_map(|size| [Step::Append(vec![3; *size]), Step::Sync])
        .chain([Step::Reopen])
        .collect();
    check(&Env::real(), &options, &steps);
}
