//! A store with history, a folder for the files, and what stands in both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ticketgate::archive::{FileArchive, OnStep};
use ticketgate::stores::{SqliteSettings, SqliteStore};
use ticketgate_actors::actors::{Carrier, OffloadFailed};
use ticketgate_actors::changes::{Applied, Change, ChangeSet, Past};
use ticketgate_actors::logic::offload::{Check, OffloadSettings};
use ticketgate_actors::model::{HistoryList, HistoryRow, Timestamp};
use ticketgate_actors::ports::{PastReads, Soon, Store, StoreError};
use ticketgate_actors::testing::ManualClock;

pub const LIST: HistoryList = HistoryList::Status;

pub fn settings() -> OffloadSettings {
    OffloadSettings {
        max_rows: 10,
        amount: 6,
        check: Check::Every(Duration::from_secs(1)),
        span_hours: 1,
        zone: jiff::tz::TimeZone::UTC,
        keep_files: Some(Duration::from_secs(86_400)),
    }
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub fn row(n: u64, reason: &str) -> HistoryRow {
    let cells = format!("request-{n},ticket,crm,INC{n},incident,create,probe/1,Failed,");
    let mut cells: Vec<String> = cells.split(',').map(str::to_owned).collect();
    *cells.last_mut().unwrap() = reason.to_owned();
    HistoryRow { n, list: LIST, at: Timestamp::from_millis(0), cells }
}

/// Where store and files are.
pub struct Place {
    pub data: PathBuf,
    pub files: PathBuf,
}

impl Place {
    pub fn below(folder: &Path) -> Self {
        Self { data: folder.join("data"), files: folder.join("files") }
    }

    pub fn store(&self) -> SqliteStore {
        let settings = SqliteSettings::new(&self.data);
        SqliteStore::open(settings, Arc::new(ManualClock::default()), "node-1".into()).unwrap()
    }

    /// Puts history into the table as if so many writes had ended; each request is named by the number
    /// that its row will have.
    pub fn fill(&self, rows: u64) {
        drop(self.store());
        let mut database = rusqlite::Connection::open(self.data.join("ticketgate.db")).unwrap();
        let database = database.transaction().unwrap();
        let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'history'";
        let last: i64 = database.query_row(last, [], |row| row.get(0)).unwrap();
        let last = u64::try_from(last).unwrap();
        for n in last + 1..=last + rows {
            let row = row(n, "=1+1");
            let cells = serde_json::to_string(&row.cells).unwrap();
            let sql = "INSERT INTO history (list, at, body) VALUES ('status', 0, ?1)";
            database.execute(sql, [cells]).unwrap();
        }
        let count = "INSERT INTO history_counts (list, n) VALUES ('status', ?1)
            ON CONFLICT (list) DO UPDATE SET n = n + ?1";
        database.execute(count, [i64::try_from(rows).unwrap()]).unwrap();
        database.commit().unwrap();
    }

    /// The requests of all rows in all files, each with how often it stands there. Every file must be
    /// whole, with one header.
    pub fn in_files(&self) -> BTreeMap<String, u32> {
        let mut found = BTreeMap::new();
        for path in csv_files(&self.files.join(LIST.as_str())) {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.ends_with('\n'), "{} is torn", path.display());
            assert_eq!(text.matches("n,ended_at,instance").count(), 1, "{}", path.display());
            let mut csv = csv::Reader::from_reader(text.as_bytes());
            let head = csv.headers().unwrap().clone();
            assert_eq!(head.len(), 2 + LIST.columns().len());
            for record in csv.records() {
                let record = record.unwrap();
                assert_eq!(format!("request-{}", &record[0]), record[2], "its number names it");
                assert_eq!(&record[10], "'=1+1", "no formula");
                *found.entry(record[2].to_owned()).or_default() += 1;
            }
        }
        found
    }

    pub fn carrier(&self, store: Arc<SqliteStore>, on_step: OnStep) -> Carrier {
        Carrier {
            store: store.clone(),
            reads: store,
            archive: Arc::new(FileArchive::watched(&self.files, on_step)),
            settings: settings(),
        }
    }

    /// One look, as the actor makes it.
    pub async fn look(&self, now: &str) -> Result<u64, OffloadFailed> {
        let carrier = self.carrier(Arc::new(self.store()), Arc::new(|_| ()));
        carrier.look(LIST, time(now), false).await
    }

    /// The requests of the rows in the table, oldest first.
    pub async fn in_table(&self) -> Vec<String> {
        let rows = self.store().history_between(LIST, 0, u64::MAX, 100_000).await.unwrap();
        rows.into_iter().map(|row| row.cells[0].clone()).collect()
    }
}

/// All files below a folder that are no unfinished ones.
pub fn csv_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(csv_files(&path));
        } else if path.extension().is_some_and(|it| it == "csv") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A store that tells when rows are about to leave, and when they have left.
pub struct Told {
    pub inner: Arc<SqliteStore>,
    pub tell: Arc<dyn Fn(&'static str) + Send + Sync>,
}

impl Store for Told {
    fn apply_each(&self, sets: Vec<ChangeSet>) -> Soon<Vec<Result<Vec<Applied>, StoreError>>> {
        let word = match &sets[0].0[0] {
            Change::Past(Past::Leave(..)) => "the mark",
            Change::Past(Past::Left { .. }) => "the removal",
            _ => "something else",
        };
        let (before, after) = match word {
            "the mark" => ("before the mark", "after the mark"),
            "the removal" => ("before the removal", "after the removal"),
            _ => ("", ""),
        };
        (self.tell)(before);
        let applied = self.inner.apply_each(sets);
        let tell = self.tell.clone();
        Box::pin(async move {
            let applied = applied.await;
            tell(after);
            applied
        })
    }
}
