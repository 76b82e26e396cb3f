//! What only a store on disk can be asked: reopening, a second service, kill -9, a full disk.

use crate::world::{World, alarm_ref, raise, take_in};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use ticketgate::stores::{OpenError, SqliteSettings, SqliteStore};
use ticketgate_actors::changes::{Applied, Change};
use ticketgate_actors::model::{Alarm, AlarmRef, Fence, Timestamp};
use ticketgate_actors::ports::{Reads, Store, StoreError};
use ticketgate_actors::testing::{ManualClock, alarm_event};

fn open(settings: SqliteSettings) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(settings, Arc::new(ManualClock::default()), "node-1".into())
}

fn world_of(settings: SqliteSettings, keep: TempDir) -> World {
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(settings, clock.clone(), "node-1".into()).unwrap();
    let store = Arc::new(store);
    World::new(store.clone(), store, clock, keep)
}

pub fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    world_of(SqliteSettings::new(folder.path()), folder)
}

fn database(folder: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(folder.join("ticketgate.db")).unwrap()
}

fn assert_whole(folder: &Path) {
    let verdict: String =
        database(folder).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

#[tokio::test]
async fn a_reopened_store_has_everything_and_its_fences_go_on() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("made/by/it");
    let settings = SqliteSettings::new(&dir);
    let store = open(settings.clone()).unwrap();
    assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    store.apply(raise("a").into()).await.unwrap();
    let first = store.apply(Change::TakeFences(100).into()).await.unwrap();
    let alarms = store.occurrences(alarm_ref("a")).await.unwrap();
    drop(store);
    assert!(!dir.join("ticketgate.db-wal").exists(), "the log is emptied at close");

    let store = open(settings).unwrap();
    assert_eq!(store.occurrences(alarm_ref("a")).await.unwrap(), alarms);
    let again = store.apply(raise("a").into()).await.unwrap();
    assert!(matches!(&again[0], Applied::TakenIn(taken) if taken.repeat));
    let next = store.apply(Change::TakeFences(1).into()).await.unwrap();
    let [Applied::Fences(Fence(first))] = first[..] else { panic!("{first:?}") };
    assert_eq!(next, [Applied::Fences(Fence(first + 100))]);
}

/// D3.
#[tokio::test]
async fn a_second_service_on_the_folder_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings::new(folder.path());
    let first = open(settings.clone()).unwrap();
    let refused = open(settings.clone()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }));
    let said = refused.to_string();
    assert!(said.contains(&folder.path().display().to_string()), "{said}");
    first.apply(raise("a").into()).await.unwrap();
    drop(first);
    open(settings).unwrap();
}

#[test]
fn a_folder_that_cannot_be_used_is_told_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings::new(folder.path());
    drop(open(settings.clone()).unwrap());

    let (add, empty) = ("INSERT INTO journal (body) VALUES (x'00')", "DELETE FROM journal");
    database(folder.path()).execute_batch(add).unwrap();
    let unreadable = open(settings.clone()).unwrap_err();
    assert!(unreadable.to_string().contains("its journal cannot be read"), "{unreadable}");
    database(folder.path()).execute_batch(empty).unwrap();

    database(folder.path()).pragma_update(None, "user_version", 99).unwrap();
    let newer = open(settings.clone()).unwrap_err();
    assert!(matches!(newer, OpenError::Newer { found: 99, known: 12, .. }), "{newer}");

    database(folder.path()).pragma_update(None, "application_id", 7).unwrap();
    let foreign = open(settings.clone()).unwrap_err();
    assert!(matches!(foreign, OpenError::Damaged { .. }), "{foreign}");

    std::fs::write(folder.path().join("ticketgate.db"), "no database, ".repeat(100)).unwrap();
    let damaged = open(settings).unwrap_err();
    assert!(matches!(damaged, OpenError::Damaged { .. }), "{damaged}");

    let below_a_file = folder.path().join("store.lock/data");
    let lost = open(SqliteSettings::new(below_a_file)).unwrap_err();
    assert!(matches!(lost, OpenError::NotWritable { .. }), "{lost}");
}

/// On a full disk writes are answered, nothing is half-written, and work goes on when there is
/// room again.
#[tokio::test]
async fn a_full_disk_is_answered_and_survived() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_owned();
    let settings = SqliteSettings { max_pages: Some(200), ..SqliteSettings::new(&dir) };
    let world = world_of(settings, folder);
    let bulky = |id: &str, bytes: usize| {
        let mut event = alarm_event("probe", id);
        event.details.text = Some("x".repeat(bytes));
        take_in(id, event)
    };
    // Several a group, so that some stand beside the one that finds the disk full.
    let mut kept = Vec::new();
    let mut down = Vec::new();
    for group in 0..50 {
        let ids: Vec<String> = (0..4).map(|n| format!("{group}-{n}")).collect();
        let sets = ids.iter().map(|id| vec![bulky(id, 5_000)]).collect();
        for (id, answer) in ids.into_iter().zip(world.apply_each(sets).await) {
            match answer {
                Ok(_) => kept.push(id),
                Err(StoreError::Down(_)) => down.push(id),
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(!kept.is_empty() && !down.is_empty());
    let lonely = world.try_apply(bulky("lonely", 100_000)).await;
    assert!(matches!(lonely, Err(StoreError::Down(_))), "{lonely:?}");
    for (ids, rows) in [(&kept, 1), (&down, 0)] {
        for id in ids {
            assert_eq!(world.reads.occurrences(alarm_ref(id)).await.unwrap().len(), rows, "{id}");
        }
    }
    // Room is made in the database itself.
    world.clock.advance(Duration::from_secs(1));
    let mut parts = database(&dir);
    parts.busy_timeout(Duration::from_secs(5)).unwrap();
    let made = parts.transaction().unwrap();
    made.execute("DELETE FROM alarms WHERE id LIKE '0-%'", []).unwrap();
    made.commit().unwrap();
    drop(parts);
    world.try_apply(raise("after")).await.unwrap();
    drop(world.store);
    drop(world.reads);
    assert_whole(&dir);
}

/// A bug in one change must not take its neighbours or the writer with it.
#[tokio::test]
async fn a_change_that_panics_falls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_owned();
    let world = world_of(SqliteSettings::new(&dir), folder);
    world.apply(raise("unrouted")).await;
    // By hand, since no change leaves an alarm with work and without a backend. As a text, as older
    // versions have written it.
    let routed = world.alarm("unrouted").await;
    let unrouted = serde_json::to_string(&Alarm { backend: None, ..routed }).unwrap();
    database(&dir).execute("UPDATE alarms SET body = ?1", [unrouted]).unwrap();
    let before = world.alarm("unrouted").await;
    // A flow never runs for an alarm that goes nowhere; this one does.
    let decide = world.decide("unrouted", world.create("tg-a")).await;
    let panics = || Change::Decide(Box::new(decide.clone()));
    let lonely = world.try_apply(panics()).await;
    assert!(matches!(&lonely, Err(StoreError::Down(why)) if why.contains("routed")), "{lonely:?}");
    let answers = world
        .apply_each(vec![
            vec![raise("left")],
            vec![raise("with it"), panics()],
            vec![raise("right")],
        ])
        .await;
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
    assert_eq!(world.alarm("unrouted").await, before);
    assert_eq!(world.reads.occurrences(alarm_ref("with it")).await.unwrap(), []);
}

/// Whoever still waits when the store is dropped is answered.
/// Of the write-ahead log's file. A page is 4 KiB and its header.
fn wal_pages(folder: &Path) -> u64 {
    folder.join("ticketgate.db-wal").metadata().unwrap().len() / 4_120
}

async fn raise_many(store: &SqliteStore, what: &str) {
    for n in 0..200 {
        store.apply(raise(&format!("{what}{n}")).into()).await.unwrap();
    }
}

/// Two hundred commits are some 2,000 pages.
#[tokio::test]
async fn the_log_is_begun_anew_however_many_commits_come() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings { wal_pages: 32, ..SqliteSettings::new(folder.path()) };
    let store = open(settings).unwrap();
    raise_many(&store, "a").await;
    let short = wal_pages(folder.path());
    assert!(short < 200, "{short} pages");

    // Somebody who reads an old state keeps it from being begun anew, and nobody from committing.
    let reader = database(folder.path());
    reader.execute_batch("BEGIN").unwrap();
    let count = |reader: &rusqlite::Connection| -> i64 {
        reader.query_row("SELECT count(*) FROM alarms", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&reader), 200);
    raise_many(&store, "b").await;
    assert_eq!(count(&reader), 200);
    let long = wal_pages(folder.path());
    assert!(long > 1_000, "{long} pages");
    reader.execute_batch("COMMIT").unwrap();
    raise_many(&store, "c").await;
    raise_many(&store, "d").await;
    let again = wal_pages(folder.path());
    assert!(again < long + 200, "{long} pages, then {again}");
    assert_eq!(count(&reader), 800);
    drop((store, reader));
    assert_whole(folder.path());
}

#[tokio::test]
async fn dropping_the_store_commits_what_is_queued() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings::new(folder.path());
    let store = open(settings.clone()).unwrap();
    let mut queued: Vec<_> = (0..64).map(|n| store.apply(raise(&n.to_string()).into())).collect();
    for waiting in &mut queued {
        // The first poll puts it into the queue; its answer may be there already.
        let _ = futures_util::poll!(waiting.as_mut());
    }
    let late = store.apply(raise("late").into());
    drop(store);
    assert_eq!(late.await, Err(StoreError::Down("the store is closed".into())));
    let store = open(settings).unwrap();
    for n in 0..64 {
        assert_eq!(store.occurrences(alarm_ref(&n.to_string())).await.unwrap().len(), 1);
    }
}

const CHILD: &str = "TICKETGATE_TEST_STORE_CHILD";

/// Not a test of its own: in the process that `child` starts, it writes until that process ends,
/// and says what was acknowledged.
#[tokio::test]
async fn a_child_writes_until_it_dies() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let store = Arc::new(open(SqliteSettings::new(dir)).unwrap());
    let writer = |worker: u32| {
        let store = store.clone();
        async move {
            for n in 0.. {
                let id = format!("{worker}-{n}");
                match store.apply(raise(&id).into()).await {
                    Ok(_) => println!("acknowledged {id}"),
                    Err(_) => return,
                }
            }
        }
    };
    futures_util::future::join_all((0..8).map(writer)).await;
}

/// Starts this program once more, to write into that folder; `shell` runs before it.
fn child(dir: &Path, shell: &str) -> std::process::Child {
    Command::new("sh")
        .args(["-c", &format!("{shell} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::a_child_writes_until_it_dies", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn assert_kept(dir: &Path, acknowledged: &[String]) {
    let store = open(SqliteSettings::new(dir)).unwrap();
    for id in acknowledged {
        let at = AlarmRef { source: "probe".into(), id: id.clone() };
        assert_eq!(store.occurrences(at).await.unwrap().len(), 1, "{id} is lost");
    }
    store.apply(raise("after").into()).await.unwrap();
    drop(store);
    assert_whole(dir);
}

fn acknowledged(line: std::io::Result<String>) -> Option<String> {
    // The test harness may put its own words before the first.
    line.ok()?.split_once("acknowledged ").map(|(_, id)| id.to_owned())
}

/// D2, G2.
#[tokio::test]
async fn after_kill_9_everything_acknowledged_is_there() {
    for enough in [1, 300, 700] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = child(folder.path(), "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut ids: Vec<String> = lines.by_ref().filter_map(acknowledged).take(enough).collect();
        child.kill().unwrap();
        ids.extend(lines.filter_map(acknowledged));
        child.wait().unwrap();
        assert!(ids.len() >= enough);
        assert_kept(folder.path(), &ids).await;
    }
}

/// D4: the process ends, and recovers on its next start.
#[tokio::test]
async fn after_an_io_error_on_commit_the_process_ends_and_nothing_acknowledged_is_lost() {
    use std::os::unix::process::ExitStatusExt;
    const SIGABRT: i32 = 6;
    let folder = tempfile::tempdir().unwrap();
    // Writing beyond 2 MiB of a file fails; ignoring the signal makes that an error.
    let mut child = child(folder.path(), "trap '' XFSZ; ulimit -f 4096;");
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ids: Vec<String> = lines.filter_map(acknowledged).collect();
    let ended = child.wait().unwrap();
    assert_eq!(ended.signal(), Some(SIGABRT), "{ended}");
    assert!(!ids.is_empty());
    assert_kept(folder.path(), &ids).await;
}

#[tokio::test]
async fn the_clock_is_read_when_a_set_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let settings = SqliteSettings::new(folder.path());
    let clock = Arc::new(ManualClock::default());
    let store = SqliteStore::open(settings, clock.clone(), "node-1".into()).unwrap();
    let kept = |alarms: Vec<ticketgate_actors::model::Alarm>| -> Timestamp { alarms[0].first_seen };
    let waiting = store.apply(raise("a").into());
    clock.advance(Duration::from_secs(5));
    waiting.await.unwrap();
    let first_seen = kept(store.occurrences(alarm_ref("a")).await.unwrap());
    assert_eq!(first_seen, Timestamp::from_millis(1_800_000_005_000));
}
