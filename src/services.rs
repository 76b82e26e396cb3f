//! The file of a backend's ticketing services: `name,host,port,path,tls,user,timeout,selected`.
//!
//! What always holds: what was exported and is imported again, is exported as the same bytes. A value that
//! a spreadsheet would take for a formula has a quote before it in the file, and none here. There is no
//! column for a secret: who signs in with what, the backend's `[auth]` says.

use crate::words;
use std::collections::BTreeSet;
use ticketgate_actors::model::{Service, ServiceTable};

/// Services of one backend.
pub const SERVICES_MAX: usize = 100;
/// Bytes of a file.
pub const FILE_MAX: usize = 64 * 1024;

const COLUMNS: [&str; 8] = ["name", "host", "port", "path", "tls", "user", "timeout", "selected"];
/// Characters of a name, and of a user.
const NAME_MAX: usize = 64;
const USER_MAX: usize = 256;
/// Characters of a host, as DNS has it, and of a path.
const HOST_MAX: usize = 253;
const PATH_MAX: usize = 1_024;
/// What a spreadsheet takes for a formula's beginning, and the quote that is put before it.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\''];

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1; 0: the whole file.
    pub line: u64,
    /// The column; empty: all of it.
    pub field: &'static str,
    /// In words.
    pub what: String,
}

impl Fault {
    fn of(line: u64, field: &'static str, what: impl Into<String>) -> Self {
        Self { line, field, what: what.into() }
    }
}

/// Writes a table; none: the head alone.
pub fn written(table: Option<&ServiceTable>) -> String {
    let mut lines = vec![COLUMNS.join(",")];
    if let Some(table) = table {
        for service in &table.services {
            let timeout = service.timeout.map(words::format_duration).unwrap_or_default();
            let cells = [
                service.name.clone(),
                service.host.clone(),
                service.port.to_string(),
                service.path.clone(),
                service.tls.to_string(),
                service.user.clone().unwrap_or_default(),
                timeout,
                (service.name == table.selected).to_string(),
            ];
            lines.push(cells.map(|cell| quoted(&guarded(&cell))).join(","));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Reads a file; none: it has no services, and the backend's own address counts. `check` knows what the
/// backend can be told.
///
/// # Errors
/// The first mistake, with its line and field.
pub fn read(
    file: &[u8],
    check: impl Fn(&Service) -> Result<(), (&'static str, String)>,
) -> Result<Option<ServiceTable>, Fault> {
    if file.len() > FILE_MAX {
        return Err(Fault::of(0, "", format!("the file may have {FILE_MAX} bytes")));
    }
    let text = std::str::from_utf8(file).map_err(|_| Fault::of(0, "", "the file is no UTF-8"))?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut lines = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
        .into_records();
    head(lines.next())?;
    let mut table = ServiceTable { services: Vec::new(), selected: String::new() };
    let mut names = BTreeSet::new();
    for record in lines {
        let record = record.map_err(|error| Fault::of(0, "", format!("is no CSV: {error}")))?;
        let line = record.position().map_or(0, csv::Position::line);
        let wrong = |field, what: String| Fault::of(line, field, what);
        if table.services.len() >= SERVICES_MAX {
            return Err(Fault::of(line, "", format!("there may be {SERVICES_MAX} services")));
        }
        let cells: Vec<_> = record.iter().map(unguarded).collect();
        let (service, selected) = row(&cells).map_err(|(field, what)| wrong(field, what))?;
        check(&service).map_err(|(field, what)| wrong(field, what))?;
        if !names.insert(service.name.clone()) {
            return Err(wrong("name", format!("{:?} is there twice", service.name)));
        }
        if selected && !table.selected.is_empty() {
            let what = format!("{:?} is selected already, and only one can be", table.selected);
            return Err(wrong("selected", what));
        }
        if selected {
            table.selected.clone_from(&service.name);
        }
        table.services.push(service);
    }
    match (table.services.is_empty(), table.selected.is_empty()) {
        (true, _) => Ok(None),
        (false, true) => Err(Fault::of(0, "selected", "one of the services must be true here")),
        (false, false) => Ok(Some(table)),
    }
}

fn head(line: Option<csv::Result<csv::StringRecord>>) -> Result<(), Fault> {
    let wanted = COLUMNS.join(",");
    let found = match line {
        Some(Ok(line)) => line.iter().collect::<Vec<_>>().join(","),
        Some(Err(error)) => return Err(Fault::of(1, "", format!("is no CSV: {error}"))),
        None => String::new(),
    };
    if found.to_ascii_lowercase().contains("pass") {
        let what = "no secret stands in this file: it belongs into the backend's [auth]";
        return Err(Fault::of(1, "", what));
    }
    match found == wanted {
        true => Ok(()),
        false => Err(Fault::of(1, "", format!("the first line must be {wanted}"))),
    }
}

type Wrong = (&'static str, String);

fn row(cells: &[String]) -> Result<(Service, bool), Wrong> {
    let [name, host, port, path, tls, user, timeout, selected] = cells else {
        let what = format!("has {} columns; there must be {}", cells.len(), COLUMNS.len());
        return Err(("", what));
    };
    let service = Service {
        name: checked_name("name", name, NAME_MAX)?,
        host: checked_host(host)?,
        port: checked_port(port)?,
        path: checked_path(path)?,
        tls: truth("tls", tls)?,
        user: (!user.is_empty()).then(|| checked_name("user", user, USER_MAX)).transpose()?,
        timeout: match timeout.as_str() {
            "" => None,
            text => {
                let span = words::parse_duration(text);
                let span = span.map_err(|error| ("timeout", error.to_string()))?;
                if span.is_zero() {
                    return Err(("timeout", "must be more than 0s".to_owned()));
                }
                Some(span)
            }
        },
    };
    Ok((service, truth("selected", selected)?))
}

fn checked_name(field: &'static str, text: &str, most: usize) -> Result<String, Wrong> {
    let fits = (1..=most).contains(&text.chars().count());
    if !fits || text.trim() != text || text.chars().any(char::is_control) {
        let what = format!("has 1 to {most} characters, no line breaks, no spaces around it");
        return Err((field, what));
    }
    Ok(text.to_owned())
}

fn checked_host(text: &str) -> Result<String, Wrong> {
    let inner = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let good = match inner {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
    };
    if text.is_empty() || text.len() > HOST_MAX || !good {
        let what = "is a name, an IPv4 address, or an IPv6 address in brackets";
        return Err(("host", what.to_owned()));
    }
    Ok(text.to_owned())
}

fn checked_port(text: &str) -> Result<u16, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| ("port", "is a number from 1 to 65535".to_owned()))
}

fn checked_path(text: &str) -> Result<String, Wrong> {
    let allowed = |c: char| c.is_ascii_graphic() && !"?#\"<>\\".contains(c);
    let steps = text.split('/').any(|step| step == "." || step == "..");
    let begins = text.is_empty() || text.starts_with('/');
    if !begins || text.len() > PATH_MAX || !text.chars().all(allowed) || steps {
        let what = "is empty, or begins with / and has no query, no spaces, no . and no ..";
        return Err(("path", what.to_owned()));
    }
    Ok(text.to_owned())
}

fn truth(field: &'static str, text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err((field, "is true or false".to_owned())),
    }
}

/// As RFC 4180 has it, and only where it must be.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

fn guarded(cell: &str) -> String {
    if cell.starts_with(FORMULA) { format!("'{cell}") } else { cell.to_owned() }
}

fn unguarded(cell: &str) -> String {
    match cell.strip_prefix('\'') {
        Some(rest) if rest.starts_with(FORMULA) => rest.to_owned(),
        _ => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name,host,port,path,tls,user,timeout,selected\n";

    fn parse(rows: &str) -> Result<Option<ServiceTable>, Fault> {
        read(format!("{HEAD}{rows}").as_bytes(), |_| Ok(()))
    }

    #[test]
    fn what_was_exported_comes_back_to_the_byte() {
        let rows = "OSB one,osb1.example,8650,/ticketing,true,noc,20s,false\n\
                    \"two, \"\"spare\"\"\",[::1],1,,false,,,true\n\
                    '=cmd|' /c calc'!A0,10.0.0.1,443,/,true,'+user,1m,false\n\
                    ''quoted,h,80,/a/b,false,''=x,500ms,false\n";
        let table = parse(rows).unwrap().unwrap();
        assert_eq!(table.selected, "two, \"spare\"");
        let names: Vec<_> = table.services.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["OSB one", "two, \"spare\"", "=cmd|' /c calc'!A0", "'quoted"]);
        assert_eq!(table.services[3].user.as_deref(), Some("'=x"));
        let file = written(Some(&table));
        assert_eq!(file, format!("{HEAD}{rows}"));
        for line in file.lines() {
            assert!(!line.starts_with(['=', '+', '-', '@']), "{line}");
        }
        assert_eq!(read(file.as_bytes(), |_| Ok(())).unwrap().unwrap(), table);
        // As spreadsheets write it.
        let theirs = format!("\u{FEFF}{}", file.replace('\n', "\r\n"));
        assert_eq!(read(theirs.as_bytes(), |_| Ok(())).unwrap().unwrap(), table);
    }

    #[test]
    fn no_services_are_the_head_alone() {
        assert_eq!(parse("").unwrap(), None);
        assert_eq!(written(None), HEAD);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_field() {
        let good = "a,h,80,,false,,,true\n";
        for (row, line, field) in [
            (",h,80,,false,,,false", 3, "name"),
            (" b,h,80,,false,,,false", 3, "name"),
            ("a,h,80,,false,,,false", 3, "name"),
            ("b,,80,,false,,,false", 3, "host"),
            ("b,http://h,80,,false,,,false", 3, "host"),
            ("b,[::x],80,,false,,,false", 3, "host"),
            ("b,h,0,,false,,,false", 3, "port"),
            ("b,h,+80,,false,,,false", 3, "port"),
            ("b,h,65536,,false,,,false", 3, "port"),
            ("b,h,80,x,false,,,false", 3, "path"),
            ("b,h,80,/a?b=c,false,,,false", 3, "path"),
            ("b,h,80,/../x,false,,,false", 3, "path"),
            ("b,h,80,,yes,,,false", 3, "tls"),
            ("b,h,80,,false,a\tb,,false", 3, "user"),
            ("b,h,80,,false,,soon,false", 3, "timeout"),
            ("b,h,80,,false,,0s,false", 3, "timeout"),
            ("b,h,80,,false,,,true", 3, "selected"),
            ("b,h,80,,false,,,", 3, "selected"),
            ("b,h,80,,false,,", 3, ""),
        ] {
            let fault = parse(&format!("{good}{row}\n")).unwrap_err();
            assert_eq!((fault.line, fault.field), (line, field), "{row}: {fault:?}");
        }
        let none = parse("a,h,80,,false,,,false\n").unwrap_err();
        assert_eq!((none.line, none.field), (0, "selected"));
        let secret = read(b"name,host,port,path,tls,user,password,selected\n", |_| Ok(()));
        assert!(secret.unwrap_err().what.contains("no secret"));
        assert_eq!(read(b"", |_| Ok(())).unwrap_err().line, 1);
        assert!(read(&vec![b'x'; FILE_MAX + 1], |_| Ok(())).is_err());
        let many: String =
            (0..=SERVICES_MAX).map(|n| format!("s{n},h,80,,false,,,{}\n", n == 0)).collect();
        assert!(parse(&many).unwrap_err().what.contains("100 services"));
        let checked = read(format!("{HEAD}{good}").as_bytes(), |_| Err(("user", "no".to_owned())));
        assert_eq!(checked.unwrap_err(), Fault::of(2, "user", "no"));
    }
}
