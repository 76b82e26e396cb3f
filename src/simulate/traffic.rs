//! The lines (connections) that carry ticket calls, the calls under way on them, and how many of
//! each there were at once.
//!
//! What always holds: a line carries at most one call at a time (HTTP/1.1), and counts from its
//! first ticket call; whoever only reads the ledger is no client. Before a new call is counted,
//! every other line is asked whether its client has closed it, and ended if so: the server may
//! hear of a new call before it gets to the old line's close, and must not take a client that
//! closed first for two.
//!
//! What it leaves to others: telling when a call begins and ends (`calls`).

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;

use super::report::Report;

/// Counts what is under way, and remembers the most there ever was at once.
#[derive(Debug, Default)]
struct Gauge {
    now: u64,
    most: u64,
    overlap_since_ms: Option<u64>,
    longest_overlap_ms: u64,
}

impl Gauge {
    fn rise(&mut self, now_ms: u64) {
        self.now += 1;
        self.most = self.most.max(self.now);
        if self.now == 2 {
            self.overlap_since_ms = Some(now_ms);
        }
    }

    fn fall(&mut self, now_ms: u64) {
        self.longest_overlap_ms = self.longest_overlap_ms(now_ms);
        self.now = self.now.saturating_sub(1);
        if self.now < 2 {
            self.overlap_since_ms = None;
        }
    }

    fn longest_overlap_ms(&self, now_ms: u64) -> u64 {
        let running = self.overlap_since_ms.map_or(0, |since| now_ms.saturating_sub(since));
        running.max(self.longest_overlap_ms)
    }
}

/// Calls and lines at once, of one backend or of all.
#[derive(Debug, Default)]
struct Gauges {
    calls: Gauge,
    lines: Gauge,
}

impl Gauges {
    fn tell(&self, report: &mut Report, now_ms: u64) {
        report.in_flight = self.calls.now;
        report.max_in_flight = self.calls.most;
        report.longest_overlap_ms = self.calls.longest_overlap_ms(now_ms);
        report.connections = self.lines.now;
        report.max_connections = self.lines.most;
    }
}

/// Tells one line from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineId(u64);

#[derive(Debug)]
struct Line {
    socket: Option<Arc<TcpStream>>,
    backends: Vec<String>,
    calling: Option<String>,
}

impl Line {
    /// Whether the client has closed it. What it sent before and nobody has read yet hides that
    /// for a while; the server itself then finds out.
    fn is_closed(&self) -> bool {
        let Some(socket) = &self.socket else { return false };
        match socket.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            // The socket is the server's own, and so does not block.
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

/// All lines, with the gauges over them.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    lines: BTreeMap<LineId, Line>,
    last_id: u64,
    of_all: Gauges,
    of_backends: BTreeMap<String, Gauges>,
}

impl Traffic {
    /// The name of a line that was just opened; it does not count yet.
    pub fn new_line(&mut self) -> LineId {
        self.last_id += 1;
        LineId(self.last_id)
    }

    /// A call to a backend begins on a line. The socket is asked, later on, whether it is closed.
    pub fn begin_call(
        &mut self,
        id: LineId,
        socket: Option<&Arc<TcpStream>>,
        backend: &str,
        now_ms: u64,
    ) {
        let others = self.lines.iter().filter(|(other, _)| **other != id);
        let closed = others.filter(|(_, line)| line.is_closed()).map(|(other, _)| *other);
        for other in closed.collect::<Vec<_>>() {
            self.close(other, now_ms);
        }
        self.end_call(id, now_ms);

        let gauges = self.of_backends.entry(backend.to_owned()).or_default();
        let line = self.lines.entry(id).or_insert_with(|| {
            self.of_all.lines.rise(now_ms);
            Line { socket: socket.cloned(), backends: Vec::new(), calling: None }
        });
        if !line.backends.iter().any(|known| known == backend) {
            line.backends.push(backend.to_owned());
            gauges.lines.rise(now_ms);
        }
        line.calling = Some(backend.to_owned());
        gauges.calls.rise(now_ms);
        self.of_all.calls.rise(now_ms);
    }

    /// The call on a line ends, if there is one.
    pub fn end_call(&mut self, id: LineId, now_ms: u64) {
        let Some(backend) = self.lines.get_mut(&id).and_then(|line| line.calling.take()) else {
            return;
        };
        self.of_all.calls.fall(now_ms);
        self.of_backends.entry(backend).or_default().calls.fall(now_ms);
    }

    /// A line is closed, and with it the call that it carries. Again is no harm.
    pub fn close(&mut self, id: LineId, now_ms: u64) {
        self.end_call(id, now_ms);
        let Some(line) = self.lines.remove(&id) else { return };
        self.of_all.lines.fall(now_ms);
        for backend in line.backends {
            self.of_backends.entry(backend).or_default().lines.fall(now_ms);
        }
    }

    /// Writes into a report what was measured over all backends.
    pub fn tell_all(&self, report: &mut Report, now_ms: u64) {
        self.of_all.tell(report, now_ms);
    }

    /// Writes into a report what was measured of one backend.
    pub fn tell(&self, backend: &str, report: &mut Report, now_ms: u64) {
        if let Some(gauges) = self.of_backends.get(backend) {
            gauges.tell(report, now_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(traffic: &Traffic, backend: &str, now_ms: u64) -> (u64, u64, u64, u64, u64) {
        let mut report = Report::default();
        traffic.tell(backend, &mut report, now_ms);
        let calls = (report.in_flight, report.max_in_flight, report.longest_overlap_ms);
        (calls.0, calls.1, calls.2, report.connections, report.max_connections)
    }

    #[test]
    fn calls_one_after_another_are_never_two() {
        let mut traffic = Traffic::default();
        let line = traffic.new_line();
        for now_ms in 0..10 {
            traffic.begin_call(line, None, "a", now_ms);
            traffic.end_call(line, now_ms);
        }
        assert_eq!(told(&traffic, "a", 10), (0, 1, 0, 1, 1));
        traffic.close(line, 10);
        traffic.close(line, 10);
        assert_eq!(told(&traffic, "a", 10), (0, 1, 0, 0, 1));
    }

    #[test]
    fn an_overlap_is_measured_in_number_and_in_time_by_backend() {
        let mut traffic = Traffic::default();
        let lines = [(); 3].map(|()| traffic.new_line());
        traffic.begin_call(lines[0], None, "a", 0);
        traffic.begin_call(lines[1], None, "b", 100);
        assert_eq!(told(&traffic, "a", 200), (1, 1, 0, 1, 1));
        traffic.begin_call(lines[2], None, "a", 300);
        assert_eq!(told(&traffic, "a", 310), (2, 2, 10, 2, 2));
        traffic.close(lines[0], 330);
        traffic.end_call(lines[2], 900);
        assert_eq!(told(&traffic, "a", 1_000), (0, 2, 30, 1, 2));
        assert_eq!(told(&traffic, "b", 1_000), (1, 1, 0, 1, 1));
        let mut all = Report::default();
        traffic.tell_all(&mut all, 1_000);
        assert_eq!((all.max_in_flight, all.longest_overlap_ms), (3, 800));
    }

    #[test]
    fn a_line_that_its_client_has_closed_ends_when_the_next_call_begins() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut traffic = Traffic::default();
        let mut connect = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = listener.accept().unwrap().0;
            server.set_nonblocking(true).unwrap();
            (client, Arc::new(server), traffic.new_line())
        };
        let (gone, stays, next) = (connect(), connect(), connect());
        traffic.begin_call(gone.2, Some(&gone.1), "a", 0);
        drop(gone.0);
        traffic.begin_call(stays.2, Some(&stays.1), "a", 1);
        assert_eq!(told(&traffic, "a", 1), (1, 1, 0, 1, 1));
        traffic.begin_call(next.2, Some(&next.1), "a", 2);
        assert_eq!(told(&traffic, "a", 2), (2, 2, 0, 2, 2));
    }
}
