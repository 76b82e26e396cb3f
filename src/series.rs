//! The last hours as figures in steps: what the dashboard draws. In memory, bounded, and lost with the
//! process: a Prometheus keeps what is to be kept.
//!
//! What always holds: one point a step, the oldest goes first; taking one costs a handful of counters a
//! backend, and no look into the store. Beside the sum there is a line for each backend to which some token
//! is limited, and for no other: a thousand backends would be a thousand lines of hours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::actors::{Counted, Tally, Views};
use ticketgate_actors::model::{BackendId, Timestamp};
use ticketgate_actors::ports::Clock;

/// From point to point: a storm shows within it.
pub const STEP: Duration = Duration::from_secs(10);
/// Points that are kept: 6 hours, a shift with some of the one before.
pub const POINTS_MAX: usize = 2_160;

/// What happened within one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// The step's end.
    pub at: Timestamp,
    /// Calls that ended.
    pub calls: u64,
    /// Creates that a backend took.
    pub made: u64,
    /// Calls that were not done, or of which it is not known.
    pub failed: u64,
    /// What a call took on average; none: there was no call.
    pub mean_ms: Option<f64>,
    /// What the longest took.
    pub longest_ms: Option<f64>,
}

/// The points, oldest first.
#[derive(Debug, Default)]
pub struct Series(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    all: VecDeque<Point>,
    /// Of backends that are looked at by themselves; with as many points as all of them together.
    by_backend: BTreeMap<BackendId, VecDeque<Point>>,
}

impl Series {
    /// Begins to take points, for as long as somebody else holds the series; of `watched` also by
    /// themselves.
    pub fn start(
        figures: impl Fn() -> Option<Figures> + 'static,
        watched: BTreeSet<BackendId>,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let series = Arc::new(Self::default());
        let kept = Arc::downgrade(&series);
        actix::spawn(async move {
            let mut before = Figures::default();
            loop {
                tokio::time::sleep(STEP).await;
                let (Some(series), Some(now)) = (kept.upgrade(), figures()) else { return };
                series.add(clock.now().wall, &watched, &before, &now);
                before = now;
            }
        });
        series
    }

    fn add(&self, at: Timestamp, watched: &BTreeSet<BackendId>, before: &Figures, now: &Figures) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        push(&mut lines.all, point(at, before.sum(), now.sum()));
        for backend in watched {
            let of = |figures: &Figures| figures.0.get(backend).copied().unwrap_or_default();
            let line = lines.by_backend.entry(backend.clone()).or_default();
            push(line, point(at, of(before), of(now)));
        }
    }

    /// The newest points, oldest first; of some backends alone, if they were watched.
    pub fn newest(&self, most: usize, of: Option<&BTreeSet<BackendId>>) -> Vec<Point> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = |line: &VecDeque<Point>| -> Vec<Point> {
            line.iter().skip(line.len().saturating_sub(most)).copied().collect()
        };
        let Some(of) = of else { return newest(&lines.all) };
        let lines: Vec<_> =
            of.iter().filter_map(|backend| lines.by_backend.get(backend)).map(newest).collect();
        let Some((first, others)) = lines.split_first() else { return Vec::new() };
        let mut sums = first.clone();
        for line in others {
            sums.iter_mut().zip(line).for_each(|(sum, more)| sum.add(more));
        }
        sums
    }
}

fn push(line: &mut VecDeque<Point>, point: Point) {
    if line.len() >= POINTS_MAX {
        line.pop_front();
    }
    line.push_back(point);
}

impl Point {
    /// Another backend's point of the same step.
    fn add(&mut self, more: &Self) {
        let took = |it: &Self| it.mean_ms.map_or(0.0, |mean| mean * it.calls as f64);
        let took = took(self) + took(more);
        self.calls += more.calls;
        self.made += more.made;
        self.failed += more.failed;
        self.mean_ms = (self.calls > 0).then(|| took / self.calls as f64);
        self.longest_ms = match (self.longest_ms, more.longest_ms) {
            (Some(one), Some(other)) => Some(one.max(other)),
            (one, other) => one.or(other),
        };
    }
}

/// One backend, or all together.
#[derive(Clone, Copy, Debug, Default)]
struct Figure {
    counted: Counted,
    longest_us: u64,
}

/// The figures of each backend.
#[derive(Clone, Debug, Default)]
pub struct Figures(BTreeMap<BackendId, Figure>);

impl Figures {
    fn sum(&self) -> Figure {
        let mut all = Figure::default();
        for one in self.0.values() {
            all.counted.calls += one.counted.calls;
            all.counted.made += one.counted.made;
            all.counted.failed += one.counted.failed;
            all.counted.took_us += one.counted.took_us;
            all.longest_us = all.longest_us.max(one.longest_us);
        }
        all
    }
}

/// The figures of all backends, since the start; the longest call since this was asked last.
pub fn figures(views: &Views) -> Figures {
    let figure =
        |tally: &Tally| Figure { counted: tally.now(), longest_us: tally.take_longest_us() };
    Figures(views.tallies.iter().map(|row| (row.key().clone(), figure(row.value()))).collect())
}

fn point(at: Timestamp, before: Figure, now: Figure) -> Point {
    let since = |of: fn(&Counted) -> u64| of(&now.counted).saturating_sub(of(&before.counted));
    let calls = since(|it| it.calls);
    // Exact up to 2^53 microseconds, which is 285 years.
    let ms = |us: u64| us as f64 / 1_000.0;
    let took = ms(since(|it| it.took_us));
    let any = (calls > 0).then_some(());
    Point {
        at,
        calls,
        made: since(|it| it.made),
        failed: since(|it| it.failed),
        mean_ms: any.map(|()| took / calls as f64),
        longest_ms: any.map(|()| ms(now.longest_us)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(calls: u64, made: u64, failed: u64, took_us: u64, longest_us: u64) -> Figure {
        Figure { counted: Counted { calls, made, failed, took_us }, longest_us }
    }

    #[test]
    fn a_point_is_what_happened_since_the_one_before() {
        let (before, now) = (counted(10, 4, 1, 5_000, 900), counted(14, 6, 2, 13_000, 4_000));
        let at = Timestamp::from_millis(7);
        let expected =
            Point { at, calls: 4, made: 2, failed: 1, mean_ms: Some(2.0), longest_ms: Some(4.0) };
        assert_eq!(point(at, before, now), expected);
        let quiet = point(at, now, now);
        assert_eq!((quiet.calls, quiet.mean_ms, quiet.longest_ms), (0, None, None));
    }

    #[test]
    fn the_oldest_point_goes_first_and_watched_backends_have_lines_of_their_own() {
        let series = Series::default();
        let [a, b, c] = ["a", "b", "c"].map(BackendId::new);
        let watched = BTreeSet::from([a.clone(), b.clone()]);
        let mut before = Figures::default();
        for n in 0..POINTS_MAX as u64 + 3 {
            let at = Timestamp::from_millis(i64::try_from(n).unwrap());
            let of = |calls, us| counted(calls * (n + 1), n + 1, 0, us * calls * (n + 1), us);
            let figures = [(&a, of(1, 4_000)), (&b, of(3, 8_000)), (&c, of(5, 1_000_000))];
            let now = Figures(figures.map(|(id, figure)| (id.clone(), figure)).into());
            series.add(at, &watched, &before, &now);
            before = now;
        }
        let all = series.newest(usize::MAX, None);
        assert_eq!((all.len(), all[0].calls), (POINTS_MAX, 9));
        assert_eq!(all[0].at, Timestamp::from_millis(3));
        assert_eq!(series.newest(1, None)[0].at, all[POINTS_MAX - 1].at);
        let both = series.newest(1, Some(&watched))[0];
        assert_eq!((both.calls, both.made, both.longest_ms), (4, 2, Some(8.0)));
        assert_eq!(both.mean_ms, Some(7.0));
        assert_eq!(series.newest(1, Some(&BTreeSet::from([a])))[0].mean_ms, Some(4.0));
        assert_eq!(series.newest(1, Some(&BTreeSet::from([c]))), [], "nobody is limited to it");
    }
}
