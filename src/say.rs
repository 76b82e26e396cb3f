//! What a command says: on stdout what was asked for, on stderr what is beside it.
//!
//! `println!` panics when nobody reads any more (`ticketgate explain … | head -1`), so it is refused in this
//! crate, and all that a command prints goes through here. A reader that has gone is no error: what was asked
//! of the service is done all the same, and the exit code tells how that went. Any other failure is one: an
//! answer that a full disk cut short must not read as whole.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

/// Says a line on stdout. False: nobody reads any more.
///
/// # Errors
/// When it could not be written for any other reason.
pub fn line(text: impl Display) -> io::Result<bool> {
    part(format_args!("{text}\n"))
}

/// Says a piece of text on stdout, as it is. False: nobody reads any more.
///
/// # Errors
/// As [`line()`].
pub fn part(text: impl Display) -> io::Result<bool> {
    to(&mut io::stdout().lock(), text)
}

/// Says a line on stderr. Whether anybody reads it changes nothing.
pub fn aside(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn to(out: &mut impl Write, text: impl Display) -> io::Result<bool> {
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fails(ErrorKind);

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
        assert!(to(&mut Vec::new(), "a").unwrap());
        assert!(!to(&mut Fails(ErrorKind::BrokenPipe), "a").unwrap());
        assert!(to(&mut Fails(ErrorKind::StorageFull), "a").is_err());
    }
}
