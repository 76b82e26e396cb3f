//! The last hours as figures in steps: what the dashboard draws. In memory, bounded, and lost with the
//! process: a Prometheus keeps what is to be kept.
//!
//! What always holds: one point a step, the oldest goes first; taking one costs a handful of counters a
//! backend, and no look into the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ticketgate_actors::actors::{Counted, Views};
use ticketgate_actors::model::Timestamp;
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
pub struct Series(Mutex<VecDeque<Point>>);

impl Series {
    /// Begins to take points, for as long as somebody else holds the series.
    pub fn start(
        views: impl Fn() -> Option<Figures> + 'static,
        clock: Arc<dyn Clock>,
    ) -> Arc<Self> {
        let series = Arc::new(Self::default());
        let kept = Arc::downgrade(&series);
        actix::spawn(async move {
            let mut before = Figures::default();
            loop {
                tokio::time::sleep(STEP).await;
                let (Some(series), Some(now)) = (kept.upgrade(), views()) else { return };
                series.add(point(clock.now().wall, before, now));
                before = now;
            }
        });
        series
    }

    fn add(&self, point: Point) {
        let mut points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if points.len() >= POINTS_MAX {
            points.pop_front();
        }
        points.push_back(point);
    }

    /// The newest points, oldest first.
    pub fn newest(&self, most: usize) -> Vec<Point> {
        let points = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        points.iter().skip(points.len().saturating_sub(most)).copied().collect()
    }
}

/// All backends together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    counted: Counted,
    longest_us: u64,
}

/// The figures of all backends, since the start; the longest call since this was asked last.
pub fn figures(views: &Views) -> Figures {
    let mut all = Figures::default();
    for tally in &views.tallies {
        let one = tally.now();
        all.counted.calls += one.calls;
        all.counted.made += one.made;
        all.counted.failed += one.failed;
        all.counted.took_us += one.took_us;
        all.longest_us = all.longest_us.max(tally.take_longest_us());
    }
    all
}

fn point(at: Timestamp, before: Figures, now: Figures) -> Point {
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

    fn counted(calls: u64, made: u64, failed: u64, took_us: u64, longest_us: u64) -> Figures {
        Figures { counted: Counted { calls, made, failed, took_us }, longest_us }
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
    fn the_oldest_point_goes_first() {
        let series = Series::default();
        for n in 0..POINTS_MAX + 3 {
            let at = Timestamp::from_millis(i64::try_from(n).unwrap());
            series.add(Point { at, ..Point::default() });
        }
        let all = series.newest(usize::MAX);
        assert_eq!(all.len(), POINTS_MAX);
        assert_eq!(all[0].at, Timestamp::from_millis(3));
        assert_eq!(series.newest(1)[0].at, all[POINTS_MAX - 1].at);
    }
}
