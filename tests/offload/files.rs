//! What the files hold, and which are cleaned up (C2, C3).

use crate::world::{LIST, Place, csv_files, row, settings, time};
use std::fs;
use std::os::unix::fs::symlink;
use ticketgate::archive::FileArchive;
use ticketgate_actors::logic::offload::{OffloadSettings, Span};
use ticketgate_actors::ports::{Archive, ArchiveError};

#[tokio::test]
async fn an_offload_leaves_exactly_max_minus_amount_and_a_second_one_appends() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    place.fill(10);
    assert_eq!(place.look("2026-11-21T10:00:00Z").await, Ok(0), "10 are not too many");
    place.fill(1);
    assert_eq!(place.look("2026-11-21T10:10:00Z").await, Ok(7));
    assert_eq!(place.in_table().await.len(), 4);
    let files = csv_files(&place.files);
    let day = place.files.join("status/2026_11_21");
    assert_eq!(files, [day.join("Offload_10_1.csv")]);
    let first = fs::read_to_string(&files[0]).unwrap();
    place.fill(20);
    assert_eq!(place.look("2026-11-21T10:59:00Z").await, Ok(20));
    assert_eq!(place.in_table().await.len(), 4);
    assert_eq!(csv_files(&place.files), files, "the same span, the same file");
    let both = fs::read_to_string(&files[0]).unwrap();
    assert!(both.starts_with(&first), "what was there stays as it was");
    assert_eq!((both.matches("ended_at").count(), both.lines().count()), (1, 28));
    place.fill(7);
    assert_eq!(place.look("2026-11-22T00:00:00Z").await, Ok(7));
    assert!(place.files.join("status/2026_11_22/Offload_00_1.csv").exists());
}

/// More than are carried at once: the file is copied for the second part.
#[tokio::test]
async fn a_backlog_goes_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    place.fill(50_020);
    assert_eq!(place.look("2026-11-21T10:00:00Z").await, Ok(50_016));
    let files = place.in_files();
    assert_eq!((files.len(), place.in_table().await.len()), (50_016, 4));
    assert!(files.values().all(|times| *times == 1));
}

#[tokio::test]
async fn rows_are_quoted_and_none_is_taken_for_a_formula() {
    let folder = tempfile::tempdir().unwrap();
    let archive = FileArchive::open(folder.path()).unwrap();
    let now = time("2026-11-21T10:00:00Z");
    let span = Span::of(now, &settings());
    let odd = ["=HYPERLINK(\"x\")", "+1", "-1", "@a", "\tt", "a,b", "two\nlines", "quo\"te", "é"];
    let rows: Vec<_> = (1..).zip(odd).map(|(n, text)| row(n, text)).collect();
    archive.append(LIST, span, rows.clone()).await.unwrap();
    let file = folder.path().join("status/2026_11_21/Offload_10_1.csv");
    let mut csv = csv::Reader::from_path(&file).unwrap();
    let cells: Vec<String> = csv.records().map(|it| it.unwrap()[10].to_owned()).collect();
    let safe: Vec<String> = odd
        .iter()
        .map(|it| {
            if it.starts_with(['=', '+', '-', '@', '\t']) {
                format!("'{it}")
            } else {
                it.to_string()
            }
        })
        .collect();
    assert_eq!(cells, safe);
    // Rows that stand there already are not written again.
    let before = fs::read(&file).unwrap();
    archive.append(LIST, span, rows.clone()).await.unwrap();
    assert_eq!(fs::read(&file).unwrap(), before);
    // Another installation's rows have the same numbers, and are others.
    let mut theirs = row(1, "theirs");
    theirs.cells[0] = "another request".into();
    archive.append(LIST, span, vec![theirs]).await.unwrap();
    assert_eq!(csv::Reader::from_path(&file).unwrap().records().count(), odd.len() + 1);
}

#[tokio::test]
async fn a_file_that_is_not_ours_is_left_alone_and_the_rows_stay() {
    for foreign in ["", "a,b\n1,2\n", "n,ended_at,instance\n1,x,y\n", "n,instance\n1\n"] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::below(folder.path());
        place.fill(11);
        let day = place.files.join("status/2026_11_21");
        fs::create_dir_all(&day).unwrap();
        let file = day.join("Offload_10_1.csv");
        fs::write(&file, foreign).unwrap();
        let failed = place.look("2026-11-21T10:10:00Z").await.unwrap_err();
        assert!(failed.to_string().contains("Offload_10_1.csv"), "{failed}");
        assert_eq!(fs::read_to_string(&file).unwrap(), foreign);
        assert_eq!(place.in_table().await.len(), 11, "{foreign}");
        fs::remove_file(&file).unwrap();
        assert_eq!(place.look("2026-11-21T11:10:00Z").await, Ok(7), "the next look takes another");
        assert_eq!(place.in_files().len(), 7);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_told_and_nothing_goes() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::below(folder.path());
    place.fill(11);
    // A file stands where the folder should be.
    fs::create_dir_all(&place.files).unwrap();
    fs::write(place.files.join("status"), "").unwrap();
    let failed = place.look("2026-11-21T10:10:00Z").await.unwrap_err();
    assert!(failed.to_string().contains("status"), "{failed}");
    assert_eq!(place.in_table().await.len(), 11);
    fs::remove_file(place.files.join("status")).unwrap();
    assert_eq!(place.look("2026-11-21T10:20:00Z").await, Ok(7), "it goes on where it stopped");
    assert!(FileArchive::open(&place.files.join("status/2026_11_21/Offload_10_1.csv")).is_err());
}

/// C3.
#[tokio::test]
async fn clean_up_touches_only_what_is_named_as_ours() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("files");
    let archive = FileArchive::open(&root).unwrap();
    let write = |path: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    };
    let old = [
        "files/status/2026_11_01/Offload_10_1.csv",
        "files/status/2026_11_01/Offload_11_1.csv",
        "files/tickets/2026_10_31/Offload_00_24.csv",
        "files/failed/2026_11_02/Offload_10_1.csv",
        "files/status/2026_11_20/.Offload_10_1.csv.part",
    ];
    let stays = [
        "files/status/2026_11_20/Offload_22_1.csv",
        "files/status/2026_11_21/.Offload_22_1.csv.part",
        "files/failed/2026_11_02/notes.txt",
        "files/failed/2026_11_02/Offload_10_1.csv.gz",
        "files/failed/2026_11_02/Offload_1_1.csv",
        "files/failed/2026_11_02/below/Offload_10_1.csv",
        "files/failed/2026_11_2/Offload_10_1.csv",
        "files/failed/Offload_10_1.csv",
        "files/others/2026_11_01/Offload_10_1.csv",
        "files/2026_11_01/Offload_10_1.csv",
        "elsewhere/2026_11_01/Offload_10_1.csv",
    ];
    old.iter().chain(&stays).for_each(|path| write(path));
    // Links lead out of the root.
    let elsewhere = folder.path().join("elsewhere");
    symlink(elsewhere.join("2026_11_01"), root.join("status/2026_11_03")).unwrap();
    fs::create_dir_all(root.join("status/2026_11_04")).unwrap();
    let link = root.join("status/2026_11_04/Offload_10_1.csv");
    symlink(elsewhere.join("2026_11_01/Offload_10_1.csv"), &link).unwrap();
    // A folder with the name of a file; an empty folder that we did not empty.
    fs::create_dir_all(root.join("status/2026_11_05/Offload_10_1.csv")).unwrap();
    fs::create_dir_all(root.join("status/2026_11_06")).unwrap();

    let now = time("2026-11-21T22:30:00Z");
    let for_ever = OffloadSettings { keep_files: None, ..settings() };
    assert_eq!(archive.clean(now, for_ever).await, Ok(1), "the unfinished one alone");
    assert_eq!(archive.clean(now, settings()).await, Ok(4));
    assert_eq!(archive.clean(now, settings()).await, Ok(0));
    for path in old {
        assert!(!folder.path().join(path).exists(), "{path}");
    }
    for path in stays {
        assert!(folder.path().join(path).exists(), "{path}");
    }
    assert!(link.is_symlink() && root.join("status/2026_11_03").is_symlink());
    assert!(root.join("status/2026_11_05/Offload_10_1.csv").is_dir());
    assert!(root.join("status/2026_11_06").is_dir());
    for emptied in ["status/2026_11_01", "tickets/2026_10_31"] {
        assert!(!root.join(emptied).exists(), "{emptied} is empty and goes");
    }
    assert!(root.join("failed/2026_11_02").exists(), "somebody's notes are in it");
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_of_the_file_alone() {
    let folder = tempfile::tempdir().unwrap();
    let archive = FileArchive::open(folder.path()).unwrap();
    let span = Span::of(time("2026-11-21T10:00:00Z"), &settings());
    archive.append(LIST, span, Vec::new()).await.unwrap();
    assert_eq!(csv_files(folder.path()).len(), 0, "nothing to write, no file");
    archive.append(LIST, span, vec![row(1, "a")]).await.unwrap();
    let file = folder.path().join("status/2026_11_21/Offload_10_1.csv");
    // An editor took the last line's end away.
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.trim_end()).unwrap();
    archive.append(LIST, span, vec![row(2, "b")]).await.unwrap();
    assert_eq!(csv::Reader::from_path(&file).unwrap().records().filter(Result::is_ok).count(), 2);
    // Columns of another version: what stands there already is known, more is refused.
    fs::write(&file, "n,ended_at,instance\n1,now,request-1\n").unwrap();
    archive.append(LIST, span, vec![row(1, "a")]).await.unwrap();
    let refused = archive.append(LIST, span, vec![row(2, "b")]).await.unwrap_err();
    assert!(matches!(&refused, ArchiveError::NotOurs(why) if why.contains("other columns")));
}
