//! The network's topology, from a CSV file or an SQL query.
//!
//! Columns by name: `object` is needed; `path`, `hop`, `node`, `port` and `owner` mean what they say;
//! every other column is an attribute. What always holds: a table is taken whole or not at all, and no
//! error repeats a password.

use crate::secrets::Secret;
use crate::words;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ticketgate_actors::actors::Outside;
use ticketgate_actors::logic::topology::{Hop, ROWS_MAX, Topology};
use tokio::sync::watch;
use tokio_postgres::{NoTls, SimpleQueryMessage};

/// A database must have answered within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A table that was never read is asked for again after this span.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// `[topology]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopologySection {
    /// A CSV file with a head.
    pub csv: Option<PathBuf>,
    /// Or an SQLite database, opened for reading only.
    pub sqlite: Option<PathBuf>,
    /// Or a PostgreSQL database: `postgresql://user@host:5432/name`.
    pub postgres: Option<String>,
    /// The file of its password.
    pub password_file: Option<PathBuf>,
    /// What is asked of the database.
    pub query: Option<String>,
    /// Read anew so often, 1s or more; without it, at the start and at `reload`.
    #[serde(with = "words::optional_duration")]
    pub refresh: Option<Duration>,
}

impl Default for TopologySection {
    fn default() -> Self {
        Self {
            csv: None,
            sqlite: None,
            postgres: None,
            password_file: None,
            query: None,
            refresh: Some(Duration::from_secs(3_600)),
        }
    }
}

impl TopologySection {
    /// What is wrong with the section: key, and what is allowed.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let database = self.sqlite.is_some() || self.postgres.is_some();
        let given = [self.csv.is_some(), self.sqlite.is_some(), self.postgres.is_some()];
        if given.into_iter().filter(|it| *it).count() > 1 {
            faults.push(("topology", "give one of csv, sqlite and postgres".to_owned()));
        }
        if database && self.query.is_none() {
            let what = "is needed: SELECT object, path, hop, node, port, owner FROM ...";
            faults.push(("topology.query", what.to_owned()));
        }
        if !database && self.query.is_some() {
            faults.push(("topology.query", "is asked of sqlite or postgres".to_owned()));
        }
        if self.password_file.is_some() && self.postgres.is_none() {
            faults.push(("topology.password_file", "belongs to postgres".to_owned()));
        }
        if self.refresh.is_some_and(|every| every < Duration::from_secs(1)) {
            faults.push(("topology.refresh", "must be at least 1s".to_owned()));
        }
        if let Some(url) = &self.postgres
            && let Err(what) = config_of(url)
        {
            faults.push(("topology.postgres", what));
        }
        faults
    }

    /// Is there anything to be read?
    pub fn is_given(&self) -> bool {
        self.csv.is_some() || self.sqlite.is_some() || self.postgres.is_some()
    }

    /// Reads the table.
    ///
    /// # Errors
    /// What is wrong with the file, the database or a row, in words.
    pub async fn load(&self) -> Result<Arc<Topology>, String> {
        let rows = if let Some(url) = &self.postgres {
            let asked = from_postgres(url, self.password_file.as_deref(), self.query());
            let late = || "the database did not answer within 60 s".to_owned();
            tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(|_| late())??
        } else {
            let section = self.clone();
            let read = tokio::task::spawn_blocking(move || section.read());
            read.await.map_err(|error| format!("the topology's reader died: {error}"))??
        };
        Ok(Arc::new(Topology::new(rows)))
    }

    fn query(&self) -> &str {
        self.query.as_deref().unwrap_or_default()
    }

    fn read(&self) -> Result<Vec<(String, Hop)>, String> {
        match (&self.csv, &self.sqlite) {
            (Some(file), _) => from_csv(file),
            (None, Some(file)) => from_sqlite(file, self.query()),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// Which column is which.
struct Columns(Vec<String>);

impl Columns {
    fn new(names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let names: Vec<String> = names.into_iter().collect();
        if !names.iter().any(|name| name == "object") {
            return Err(format!("no column is called \"object\"; there are: {}", names.join(", ")));
        }
        Ok(Self(names))
    }

    fn hop<'a>(&self, values: impl Iterator<Item = &'a str>) -> Result<(String, Hop), String> {
        let (mut object, mut hop) = (String::new(), Hop::default());
        for (name, value) in self.0.iter().zip(values) {
            let text = value.to_owned();
            match name.as_str() {
                "object" => object = text,
                "path" => hop.path = text,
                "node" => hop.node = text,
                "port" => hop.port = text,
                "owner" => hop.owner = text,
                "hop" if text.is_empty() => {}
                "hop" => {
                    hop.hop = text.parse().map_err(|_| "hop is no whole number".to_owned())?;
                }
                _ if text.is_empty() => {}
                _ => {
                    hop.attributes.insert(name.clone(), text);
                }
            }
        }
        match object.is_empty() {
            true => Err("object is empty".to_owned()),
            false => Ok((object, hop)),
        }
    }
}

/// Adds a row, or says which one is wrong.
fn add<'a>(
    rows: &mut Vec<(String, Hop)>,
    columns: &Columns,
    values: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    let row = rows.len() + 1;
    if row > ROWS_MAX {
        return Err(format!("there are more than {ROWS_MAX} rows"));
    }
    rows.push(columns.hop(values).map_err(|what| format!("row {row}: {what}"))?);
    Ok(())
}

fn from_csv(file: &Path) -> Result<Vec<(String, Hop)>, String> {
    let wrong = |what: String| format!("{}: {what}", file.display());
    let reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file);
    let mut reader = reader.map_err(|error| wrong(error.to_string()))?;
    let head = reader.headers().map_err(|error| wrong(error.to_string()))?.clone();
    let columns = Columns::new(head.iter().map(str::to_owned)).map_err(wrong)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        add(&mut rows, &columns, record.iter()).map_err(wrong)?;
    }
    Ok(rows)
}

fn from_sqlite(file: &Path, query: &str) -> Result<Vec<(String, Hop)>, String> {
    let wrong = |error: rusqlite::Error| format!("{}: {error}", file.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(wrong)?;
    let mut statement = connection.prepare(query).map_err(wrong)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let columns = Columns::new(names)?;
    let mut found = statement.query([]).map_err(wrong)?;
    let mut rows = Vec::new();
    while let Some(row) = found.next().map_err(wrong)? {
        let mut values = Vec::with_capacity(columns.0.len());
        for n in 0..columns.0.len() {
            values.push(match row.get_ref(n).map_err(wrong)? {
                ValueRef::Null => String::new(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Text(text) | ValueRef::Blob(text) => {
                    String::from_utf8_lossy(text).into_owned()
                }
            });
        }
        add(&mut rows, &columns, values.iter().map(String::as_str))?;
    }
    Ok(rows)
}

fn config_of(url: &str) -> Result<tokio_postgres::Config, String> {
    let config: Result<tokio_postgres::Config, _> = url.parse();
    let config = config.map_err(|_| "is not postgresql://user@host:port/database".to_owned())?;
    match config.get_password() {
        Some(_) => Err("holds a password: give password_file instead".to_owned()),
        None => Ok(config),
    }
}

async fn from_postgres(
    url: &str,
    password: Option<&Path>,
    query: &str,
) -> Result<Vec<(String, Hop)>, String> {
    let mut config = config_of(url)?;
    if let Some(file) = password {
        config.password(Secret::from_file(file)?.expose());
    }
    let wrong = |error: tokio_postgres::Error| {
        let database = error.as_db_error().map(|it| it.message().to_owned());
        format!("the topology's database: {}", database.unwrap_or_else(|| error.to_string()))
    };
    let (client, connection) = config.connect(NoTls).await.map_err(wrong)?;
    let connection = tokio::spawn(connection);
    // The simple protocol gives every value as text, whatever its type.
    let answer = client.simple_query(query).await.map_err(wrong);
    drop(client);
    let _ = connection.await;
    let mut rows = Vec::new();
    let mut columns = None;
    for message in answer? {
        match message {
            SimpleQueryMessage::RowDescription(described) => {
                let names = described.iter().map(|column| column.name().to_owned());
                columns = Some(Columns::new(names)?);
            }
            SimpleQueryMessage::Row(row) => {
                let Some(columns) = &columns else { continue };
                let values = (0..row.len()).map(|n| row.get(n).unwrap_or_default());
                add(&mut rows, columns, values)?;
            }
            _ => {}
        }
    }
    Ok(rows)
}

/// The table at the start. A service that can take alarms does not wait for a database: until that
/// answers, objects are not found, and the log says so.
pub async fn first(section: &TopologySection) -> Arc<Topology> {
    match section.load().await {
        Ok(topology) => topology,
        Err(reason) => {
            tracing::error!(reason, "the topology cannot be read: no object is found until it can");
            Arc::default()
        }
    }
}

/// Reads the table anew, now and then; one that cannot be read leaves the old one. A section that was
/// changed by a reload has been read by that.
pub fn keep_fresh(mut sections: watch::Receiver<TopologySection>, outside: Arc<Outside>) {
    actix::spawn(async move {
        loop {
            let section = sections.borrow_and_update().clone();
            let every = section.refresh.filter(|_| section.is_given()).unwrap_or(Duration::MAX);
            // One that was never read is asked for again soon.
            let empty = section.is_given() && outside.policy().topology.is_empty();
            let pause = if empty { every.min(RETRY_AFTER) } else { every };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                changed = sections.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
            match section.load().await {
                Ok(topology) => outside.change_policy(|policy| policy.topology = topology),
                Err(reason) => tracing::warn!(reason, "the topology stays as it was"),
            }
        }
    });
}

/// For people: how large a table is.
pub fn in_words(topology: &Topology) -> String {
    format!("{} rows of {} objects", topology.rows(), topology.objects())
}

/// What a face shows of an object.
pub fn shown(topology: &Topology, object: &str) -> serde_json::Value {
    let hops = topology.of(object);
    serde_json::json!({
        "object": object,
        "found": !hops.is_empty(),
        "hops": hops.iter().map(|hop| serde_json::json!(hop)).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[tokio::test]
    async fn a_csv_file_is_read_by_its_head() {
        let text = "object,path,hop,node,port,owner,site\n\
            tx/1,A,2,core-1,1/1,backbone,\n\
            tx/1,A,1,edge-3,2/7,field,north\n\
            tx/2,,,edge-4,,,\n";
        let (_dir, csv) = file("t.csv", text);
        let section = TopologySection { csv: Some(csv), ..TopologySection::default() };
        assert_eq!(section.faults(), []);
        let topology = section.load().await.unwrap();
        let hops = topology.of("tx/1");
        assert_eq!((hops[0].node.as_str(), hops[1].node.as_str()), ("edge-3", "core-1"));
        assert_eq!(hops[0].attributes["site"], "north");
        assert!(hops[1].attributes.is_empty());
        assert_eq!(in_words(&topology), "3 rows of 2 objects");
        assert_eq!(shown(&topology, "tx/9")["found"], false);
    }

    #[tokio::test]
    async fn a_bad_table_is_not_taken_and_says_why() {
        for (text, says) in [
            ("path,hop\na,1\n", "no column is called \"object\""),
            ("object,hop\ntx/1,one\n", "row 1: hop is no whole number"),
            ("object,hop\ntx/1,1\n,2\n", "row 2: object is empty"),
            ("object,hop\ntx/1\n", "found record with 1 fields"),
        ] {
            let (_dir, csv) = file("t.csv", text);
            let section = TopologySection { csv: Some(csv), ..TopologySection::default() };
            let error = section.load().await.unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
        let nowhere = Some("/nowhere/t.csv".into());
        let section = TopologySection { csv: nowhere, ..TopologySection::default() };
        assert!(section.load().await.unwrap_err().contains("/nowhere/t.csv"));
    }

    #[tokio::test]
    async fn a_query_names_its_own_columns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch(
                "CREATE TABLE ne (name, seq, box); INSERT INTO ne VALUES ('tx/1', 1, 'e3')",
            )
            .unwrap();
        let query = |sql: &str| TopologySection {
            sqlite: Some(path.clone()),
            query: Some(sql.into()),
            ..TopologySection::default()
        };
        let topology =
            query("SELECT name AS object, seq AS hop, box AS node FROM ne").load().await.unwrap();
        assert_eq!(topology.of("tx/1")[0].node, "e3");
        let error = query("SELECT name FROM ne").load().await.unwrap_err();
        assert!(error.contains("there are: name"), "{error}");
        // It is opened for reading only.
        assert!(query("DELETE FROM ne RETURNING name AS object").load().await.is_err());
    }

    #[test]
    fn a_section_names_one_source_and_no_password() {
        let faults = |toml: &str| toml::from_str::<TopologySection>(toml).unwrap().faults();
        for (toml, key) in [
            ("csv = 'a'\nsqlite = 'b'\nquery = 'c'", "topology"),
            ("sqlite = 'b'", "topology.query"),
            ("csv = 'a'\nquery = 'c'", "topology.query"),
            ("csv = 'a'\nrefresh = '10ms'", "topology.refresh"),
            ("postgres = 'postgresql://u:secret@h/d'\nquery = 'c'", "topology.postgres"),
            ("postgres = 'nonsense'\nquery = 'c'", "topology.postgres"),
        ] {
            let found = faults(toml);
            assert_eq!(found.first().map(|it| it.0), Some(key), "{toml}: {found:?}");
            assert!(!format!("{found:?}").contains("secret"));
        }
    }
}
