//! The alarms of a run: about 400 bytes of JSON each, which name their backend themselves.

use jiff::Timestamp;

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0)
}

/// The id of an alarm, which carries the time of its publication.
pub fn id(n: usize, at_us: u64) -> String {
    format!("{n}@{at_us}")
}

/// When the alarm of that id was published.
pub fn published_us(id: &str) -> Option<u64> {
    id.split_once('@')?.1.parse().ok()
}

/// Alarm number `n`, for that backend.
pub fn alarm(n: usize, backend: usize) -> (String, Vec<u8>) {
    let now = Timestamp::now();
    let id = id(n, u64::try_from(now.as_microsecond()).unwrap_or(0));
    let body = format!(
        r#"{{"id":"{id}","source":"bench","state":"raised","severity":"major","raised_at":"{now:.3}","object":"tx/{n}/port-7","object_name":"Transmitter {n}, port 7","alarm_type":"communicationsAlarm","probable_cause":"lossOfSignal","text":"No signal at the input for more than ten seconds","properties":{{"site":"B-{backend}"}},"ticket":{{"backend":"b{backend}"}}}}"#
    );
    (id, body.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_has_about_400_bytes_and_tells_its_time() {
        let (id, body) = alarm(12_345, 1);
        assert!((350..450).contains(&body.len()), "{}", body.len());
        assert!(published_us(&id).is_some_and(|at| at.abs_diff(now_us()) < 1_000_000));
        let alarm: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(alarm["ticket"]["backend"], "b1");
    }
}
