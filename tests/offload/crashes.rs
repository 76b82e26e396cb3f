//! The process is killed with SIGKILL after every step of an offload. Then each row is in the table or
//! in a file, and after the next look exactly once in the files or in the table (C1, C2).

use crate::world::{LIST, Place, Told, time};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use ticketgate_actors::actors::Carrier;

const CHILD: &str = "TICKETGATE_TEST_OFFLOAD_CHILD";
const STOP_AT: &str = "TICKETGATE_TEST_OFFLOAD_STOP_AT";
const ROWS: u64 = 25;
const LEFT: usize = 4;

/// Every step, in order; and what must hold there: is the row that leaves in the table, in a file?
const STEPS: [(&str, bool, bool); 8] = [
    ("before the mark", true, false),
    ("after the mark", true, false),
    ("Written", true, false),
    ("Synced", true, false),
    ("Renamed", true, true),
    ("FoldersSynced", true, true),
    ("before the removal", true, true),
    ("after the removal", false, true),
];

/// Not a test of its own: in the process that the test below starts, it offloads until the step at
/// which it is to be killed, and says so.
#[tokio::test]
async fn a_child_offloads_until_it_is_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let stop_at = std::env::var(STOP_AT).unwrap();
    let tell = Arc::new(move |step: &str| {
        if step == stop_at {
            println!("arrived at {step}");
            loop {
                std::thread::park();
            }
        }
    });
    let place = Place::below(folder.as_ref());
    let store = Arc::new(place.store());
    let on_step = tell.clone();
    let carrier = place.carrier(store.clone(), Arc::new(move |step| on_step(&format!("{step:?}"))));
    let told = Arc::new(Told { inner: store, tell });
    let carrier = Carrier { store: told, ..carrier };
    carrier.look(LIST, time("2026-11-21T10:30:00Z"), false).await.unwrap();
    println!("arrived at the end");
}

/// Starts this program once more, and kills it when it has arrived.
fn killed_at(folder: &std::path::Path, step: &str) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crashes::a_child_offloads_until_it_is_killed", "--nocapture"])
        .env(CHILD, folder)
        .env(STOP_AT, step)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // The test harness may put its own words before the first.
    let arrived = lines.map_while(Result::ok).find(|line| line.contains("arrived at"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(arrived.is_some_and(|line| line.ends_with(step)), "it never came to {step}");
}

#[tokio::test]
async fn a_row_is_in_the_table_or_in_a_file_whenever_the_process_is_killed() {
    for (step, in_table, in_file) in STEPS {
        // Twice at the same step: into no file, and into one that has rows already.
        for earlier in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::below(folder.path());
            place.fill(ROWS);
            if earlier {
                assert_eq!(place.look("2026-11-21T10:00:00Z").await, Ok(21));
                place.fill(ROWS);
            }
            killed_at(folder.path(), step);

            let (table, files) = (place.in_table().await, place.in_files());
            let oldest = if earlier { "request-22" } else { "request-1" };
            let is = (table.contains(&oldest.to_owned()), files.contains_key(oldest));
            assert_eq!(is, (in_table, in_file), "{step}, {earlier}");
            let rows = if earlier { 2 * ROWS } else { ROWS };
            let expected: BTreeSet<String> = (1..=rows).map(|n| format!("request-{n}")).collect();
            let both: BTreeSet<String> = table.iter().chain(files.keys()).cloned().collect();
            assert_eq!(both, expected, "{step}: a row is in neither");
            assert!(files.values().all(|times| *times == 1), "{step}: {files:?}");

            // An hour later, so that a new file would be taken if it were not known where they went.
            place.look("2026-11-21T11:30:00Z").await.unwrap();
            let (table, files) = (place.in_table().await, place.in_files());
            assert_eq!(table.len(), LEFT, "{step}");
            assert!(files.values().all(|times| *times == 1), "{step}: {files:?}");
            assert!(table.iter().all(|row| !files.contains_key(row)), "{step}: both at rest");
            assert_eq!(table.len() + files.len(), expected.len(), "{step}");
            assert_eq!(place.look("2026-11-21T12:30:00Z").await, Ok(0), "{step}: at rest");
        }
    }
}

/// The mark was set, and the file went away before the next look: then nobody can know, and the rows
/// are written again rather than lost.
#[tokio::test]
async fn what_somebody_moved_away_is_written_again_and_never_lost() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    place.fill(ROWS);
    killed_at(folder.path(), "before the removal");
    std::fs::remove_dir_all(place.files.join(LIST.as_str())).unwrap();
    assert_eq!(place.look("2026-11-21T11:30:00Z").await, Ok(21));
    assert_eq!((place.in_files().len(), place.in_table().await.len()), (21, LEFT));
}

/// Rows are removed in pages of 1,000: killed after the first one, the rest is in both.
#[tokio::test]
async fn a_removal_that_was_cut_off_is_finished_and_nothing_is_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    place.fill(2_500);
    killed_at(folder.path(), "after the removal");
    assert_eq!((place.in_table().await.len(), place.in_files().len()), (1_500, 2_496));
    assert_eq!(place.look("2026-11-21T11:30:00Z").await, Ok(1_496));
    let files = place.in_files();
    assert!(files.values().all(|times| *times == 1));
    assert_eq!((place.in_table().await.len(), files.len()), (LEFT, 2_496));
}
