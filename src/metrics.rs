//! `/metrics`: figures of store and actors, set when they are asked for. All names begin with
//! `ticketgate_`, in base units.

use metrics::{Key, Label, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use ticketgate_actors::actors::Cast;
use ticketgate_actors::logic::progress::Gait;
use ticketgate_actors::logic::pulse::Verdict;
use ticketgate_actors::model::{HistoryList, State};
use ticketgate_actors::ports::StoreError;

/// A recorder of our own, so that two services in one process (tests) do not share one.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }
}

const META: Metadata<'static> =
    Metadata::new("ticketgate", metrics::Level::INFO, Some("ticketgate"));

impl Metrics {
    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        let gauge = self.recorder.register_gauge(&key(name, labels), &META);
        // Exact up to 2^53.
        gauge.set(value as f64);
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.recorder.register_counter(&key(name, labels), &META).absolute(value);
    }

    /// Prometheus's text format.
    pub async fn render(&self, cast: &Cast, streams: usize) -> Result<String, StoreError> {
        let figures = cast.outside.reads.figures().await?;
        let views = &cast.outside.views;
        self.gauge("ticketgate_alarms", &[], figures.alarms);
        self.gauge("ticketgate_alarms_unsettled", &[], figures.unsettled_alarms);
        self.gauge("ticketgate_tickets", &[], figures.tickets);
        self.gauge("ticketgate_events_unsent", &[], figures.unsent_events);
        self.gauge("ticketgate_parked_messages", &[], figures.parked);
        for list in HistoryList::ALL {
            let rows = cast.outside.reads.history_count(list).await?;
            self.gauge("ticketgate_history_rows", &[("list", list.as_str())], rows);
        }
        // The store tells only the states that there are: one that has emptied goes back to 0.
        let mut requests = BTreeMap::new();
        let names = cast.outside.backends.names();
        for backend in &names {
            requests.extend(State::ALL.map(|state| ((backend, state.as_str()), 0)));
        }
        for (backend, state, count) in &figures.requests {
            requests.insert((backend, state.as_str()), *count);
        }
        for ((backend, state), count) in requests {
            let labels = [("backend", backend.as_str()), ("state", state)];
            self.gauge("ticketgate_requests", &labels, count);
        }
        for lane in &views.lanes {
            let labels = [("backend", lane.key().as_str())];
            self.counter("ticketgate_backend_calls_total", &labels, lane.calls);
            let held = u64::from(lane.glance.held.is_some());
            self.gauge("ticketgate_lane_held", &labels, held);
            if let Some(at) = lane.last_success {
                let seconds = u64::try_from(at.as_millis() / 1_000).unwrap_or(0);
                self.gauge("ticketgate_backend_last_success_timestamp_seconds", &labels, seconds);
            }
        }
        let now = cast.outside.clock.now().mono;
        for row in &views.canaries {
            let labels = [("backend", row.key().as_str())];
            let gauge =
                self.recorder.register_gauge(&key("ticketgate_canary_age_seconds", &labels), &META);
            gauge.set(row.age(now).as_secs_f64());
            self.gauge("ticketgate_flow_dead", &labels, u64::from(row.dead));
            self.counter("ticketgate_canary_rounds_total", &labels, row.rounds);
            self.counter("ticketgate_canary_rounds_given_up_total", &labels, row.given_up);
        }
        for row in &views.gaits {
            let hung = u64::from(matches!(row.value(), Gait::Hung(_)));
            self.gauge("ticketgate_lane_hung", &[("backend", row.key().as_str())], hung);
        }
        for row in &views.beats {
            let labels = [("origin", row.key().as_str())];
            // Who was never heard is neither up nor down.
            if row.verdict != Verdict::Unknown {
                let up = u64::from(row.verdict != Verdict::Expired);
                self.gauge("ticketgate_heartbeat_up", &labels, up);
                self.gauge("ticketgate_heartbeat_slow", &labels, {
                    u64::from(row.verdict == Verdict::Slow)
                });
            }
            self.counter("ticketgate_heartbeats_received_total", &labels, row.beats);
            self.counter("ticketgate_heartbeats_backlog_total", &labels, row.backlog);
            self.counter("ticketgate_heartbeats_repeated_total", &labels, row.repeats);
            self.counter("ticketgate_heartbeat_outages_total", &labels, row.outages);
        }
        let malformed =
            cast.beats.as_ref().map_or(0, |beats| beats.malformed.load(Ordering::Relaxed));
        self.counter("ticketgate_heartbeats_malformed_total", &[], malformed);
        for seat in cast.syncs.iter() {
            let plan = seat.settings().plan;
            let labels = [("sync", plan.name.as_str())];
            let noticed = seat.noticed.load(Ordering::Relaxed);
            self.counter("ticketgate_sync_notices_total", &labels, noticed);
        }
        let busy = views.clients.iter().filter(|client| client.guid.is_some()).count();
        self.gauge("ticketgate_clients_locked", &[], busy as u64);
        let waiting = views.waiting_for_clients.load(Ordering::Relaxed);
        self.gauge("ticketgate_clients_waiting", &[], waiting as u64);
        let intake = &cast.intake.figures;
        for (name, value) in [
            ("ticketgate_events_accepted_total", &intake.accepted),
            ("ticketgate_events_repeated_total", &intake.repeats),
            ("ticketgate_messages_parked_total", &intake.parked),
            ("ticketgate_source_clock_ahead_total", &intake.clock_ahead),
            ("ticketgate_events_published_total", &views.events_published),
            ("ticketgate_publishes_failed_total", &views.publishes_failed),
            ("ticketgate_history_offloaded_total", &views.history_offloaded),
            ("ticketgate_offloads_failed_total", &views.offloads_failed),
            ("ticketgate_heartbeats_sent_total", &views.beats_sent),
            ("ticketgate_heartbeats_unsent_total", &views.beats_unsent),
        ] {
            self.counter(name, &[], value.load(Ordering::Relaxed));
        }
        self.gauge("ticketgate_event_streams", &[], streams as u64);
        self.gauge("ticketgate_bus_connected", &[], u64::from(cast.outside.bus.connected()));
        Ok(self.handle.render())
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}
