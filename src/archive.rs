//! The offload's folder: CSV files below a root (rules C1, C3).
//!
//! A file is never changed where it stands: it is copied to an unfinished one beside it, the new rows
//! follow, that one is synced and takes the old one's place, and the folders are synced. So whoever
//! reads sees the file before or after, and a power cut leaves one of both. Before it copies, it looks
//! which of the rows the file has already: by number and request, since another installation may write
//! to the same folder. One thing is done at a time, also when an actor was replaced while it was done.

use std::collections::HashSet;
use std::fs::{self, DirEntry, File};
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use ticketgate_actors::logic::offload::{OffloadSettings, Span, plain};
use ticketgate_actors::model::{HistoryList, HistoryRow, Timestamp};
use ticketgate_actors::ports::{Archive, ArchiveError, Soon};

/// Columns before those of the list.
const FIRST: [&str; 2] = ["n", "ended_at"];

/// What is done next; a test stops the process there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The unfinished file is whole, and may be in memory alone.
    Written,
    /// It is on disk.
    Synced,
    /// It has taken its place.
    Renamed,
    /// So have the folders on disk.
    FoldersSynced,
}

/// Called after each step.
pub type OnStep = Arc<dyn Fn(Step) + Send + Sync>;

/// [`Archive`] in a folder.
#[derive(Clone)]
pub struct FileArchive {
    root: PathBuf,
    on_step: OnStep,
    at_work: Arc<Mutex<()>>,
}

impl FileArchive {
    /// Below this folder, which is made where it is not there.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let probe = root.join(".ticketgate-can-write");
        File::create(&probe)?;
        fs::remove_file(&probe)?;
        Ok(Self::watched(root, Arc::new(|_| ())))
    }

    /// Tells each step.
    pub fn watched(root: &Path, on_step: OnStep) -> Self {
        Self { root: root.to_owned(), on_step, at_work: Arc::default() }
    }

    /// Runs on a thread that may block, one at a time.
    fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Soon<Result<T, ArchiveError>> {
        let this = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _alone = this.at_work.lock().unwrap_or_else(PoisonError::into_inner);
            work(&this)
        });
        Box::pin(async move {
            done.await.unwrap_or_else(|error| Err(ArchiveError::Failed(error.to_string())))
        })
    }

    fn add(&self, list: HistoryList, span: Span, rows: &[HistoryRow]) -> Result<(), ArchiveError> {
        if rows.is_empty() {
            return Ok(());
        }
        let of_list = self.root.join(list.as_str());
        let folder = of_list.join(span.folder());
        let (file, unfinished) = (folder.join(span.file()), folder.join(span.unfinished()));
        let failed = |error: io::Error| {
            ArchiveError::Failed(format!("{} cannot be written: {error}", file.display()))
        };
        let known = match File::open(&file) {
            Ok(old) => Some(known(old, list, rows).map_err(|why| {
                let what = format!("{} is left as it is: {why}", file.display());
                ArchiveError::NotOurs(what)
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let is_new = |row: &&HistoryRow| known.as_ref().is_none_or(|it| !it.rows.contains(&row.n));
        let new: Vec<&HistoryRow> = rows.iter().filter(is_new).collect();
        if new.is_empty() {
            // The file may have taken its place just before a power cut.
            return self.sync_folders(&[&folder, &of_list, &self.root]).map_err(failed);
        }
        if let Some(known) = &known
            && !known.same_columns
        {
            let what = format!("{} has other columns: move it away", file.display());
            return Err(ArchiveError::NotOurs(what));
        }
        fs::create_dir_all(&folder).map_err(failed)?;
        let old = known.is_some().then_some(file.as_path());
        self.write(old, &unfinished, list, &new).map_err(failed)?;
        fs::rename(&unfinished, &file).map_err(failed)?;
        (self.on_step)(Step::Renamed);
        self.sync_folders(&[&folder, &of_list, &self.root]).map_err(failed)
    }

    fn write(
        &self,
        old: Option<&Path>,
        to: &Path,
        list: HistoryList,
        rows: &[&HistoryRow],
    ) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(to)?);
        if let Some(old) = old {
            let mut old = File::open(old)?;
            io::copy(&mut old, &mut file)?;
            // Somebody's editor may have taken the last line's end.
            let mut last = [0];
            old.seek(SeekFrom::End(-1))?;
            old.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
            }
        }
        let mut csv = csv::Writer::from_writer(file);
        if old.is_none() {
            csv.write_record(FIRST.iter().chain(list.columns()))?;
        }
        for row in rows {
            let (n, at) = (row.n.to_string(), row.at.to_string());
            let cells = row.named().map(|(_, cell)| plain(cell));
            csv.write_record(
                [n.into(), at.into()]
                    .into_iter()
                    .chain(cells)
                    .map(|cell: std::borrow::Cow<'_, str>| cell.into_owned()),
            )?;
        }
        let mut file = csv.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
        file.flush()?;
        (self.on_step)(Step::Written);
        file.get_ref().sync_all()?;
        (self.on_step)(Step::Synced);
        Ok(())
    }

    fn sync_folders(&self, folders: &[&Path]) -> io::Result<()> {
        for folder in folders {
            File::open(folder)?.sync_all()?;
        }
        (self.on_step)(Step::FoldersSynced);
        Ok(())
    }
}

/// What a file has.
struct Known {
    /// Those of the rows in question that stand in it.
    rows: HashSet<u64>,
    same_columns: bool,
}

/// Reads a file of ours; why it is none, or damaged.
fn known(file: File, list: HistoryList, rows: &[HistoryRow]) -> Result<Known, String> {
    let told = |error: csv::Error| format!("it cannot be read: {error}");
    // Strict about the number of cells: a line that broke off is a damage.
    let mut csv = csv::Reader::from_reader(BufReader::new(file));
    let head = csv.headers().map_err(told)?.clone();
    let place = |name: &str| head.iter().position(|column| column == name);
    let (Some(n), Some(instance)) = (place("n"), place("instance")) else {
        return Err("it is no offload file".to_owned());
    };
    let same_columns = head.iter().eq(FIRST.iter().chain(list.columns()).copied());
    let asked: HashSet<(u64, &str)> = rows.iter().map(|row| (row.n, instance_of(row))).collect();
    let mut known = Known { rows: HashSet::new(), same_columns };
    for record in csv.records() {
        let record = record.map_err(told)?;
        let number = record.get(n).and_then(|cell| cell.parse().ok());
        let number: u64 = number.ok_or("a line of it has no number")?;
        if asked.contains(&(number, record.get(instance).unwrap_or_default())) {
            known.rows.insert(number);
        }
    }
    Ok(known)
}

fn instance_of(row: &HistoryRow) -> &str {
    row.cells.first().map_or("", String::as_str)
}

/// What lies in a folder, links not followed.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|it| it.is_dir())
}

impl FileArchive {
    fn remove_old(&self, now: Timestamp, settings: &OffloadSettings) -> io::Result<u64> {
        let mut gone = 0;
        // A list's folder that is a link leads out of the root.
        let lists = HistoryList::ALL.map(|list| self.root.join(list.as_str()));
        for of_list in lists.iter().filter(|path| is_folder(path)) {
            for day in entries(of_list)? {
                let name = day.file_name();
                let Some(date) = name.to_str().and_then(Span::day_of) else { continue };
                if !day.file_type()?.is_dir() {
                    continue;
                }
                let mut went = 0;
                for entry in entries(&day.path())? {
                    let name = entry.file_name();
                    let Some(name) = name.to_str() else { continue };
                    let Some(span) = Span::read(date, name) else { continue };
                    let finished = name == span.file();
                    if entry.file_type()?.is_file() && span.over(finished, now, settings) {
                        fs::remove_file(entry.path())?;
                        went += 1;
                    }
                }
                if went > 0 && entries(&day.path())?.is_empty() {
                    fs::remove_dir(day.path())?;
                }
                gone += went;
            }
        }
        Ok(gone)
    }
}

impl Archive for FileArchive {
    fn append(
        &self,
        list: HistoryList,
        span: Span,
        rows: Vec<HistoryRow>,
    ) -> Soon<Result<(), ArchiveError>> {
        self.alone(move |archive| archive.add(list, span, &rows))
    }

    fn clean(&self, now: Timestamp, settings: OffloadSettings) -> Soon<Result<u64, ArchiveError>> {
        self.alone(move |archive| {
            archive.remove_old(now, &settings).map_err(|error| {
                let what = format!("{} cannot be cleaned up: {error}", archive.root.display());
                ArchiveError::Failed(what)
            })
        })
    }
}
