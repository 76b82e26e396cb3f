//! Alarm systems that are not ours, as Debian ships them: a Prometheus Alertmanager that posts to the
//! webhook, a syslog-ng that publishes to RabbitMQ. Nothing of them is changed but where they send.

use crate::process::{Process, append_to};
use crate::rabbit::{Rabbit, free_port};
use crate::world::{Setting, World};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use ticketgate::simulate::faults::Faults;

const CONFIG: &str = "[policy]\ndefault_backend = \"crm\"\n";

async fn world(config: &str, broker: Option<(String, String)>) -> World {
    let backends = vec![("crm", Faults::default(), "")];
    let config = format!("{CONFIG}{config}");
    World::started(Setting { broker, backends, config, ..Setting::default() }).await
}

/// What an alarm's ticket says there, once it is as wanted.
async fn ticket_once(world: &World, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    world
        .until(what, async || {
            let tickets = world.all("/api/v1/tickets").await;
            tickets.into_iter().find(|ticket| wanted(ticket))
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_alertmanager_raises_and_clears() {
    let token = "alertmanagers-own-token";
    let folder = tempfile::TempDir::with_prefix("ticketgate-alertmanager").unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token).unwrap();
    let source = format!(
        "[[source]]\nname = \"prometheus\"\npreset = \"alertmanager\"\ntoken_file = {file:?}\n"
    );
    let world = world(&source, None).await;
    let config = folder.path().join("alertmanager.yml");
    let text = format!(
        "route:\n  receiver: ticketgate\n  group_wait: 0s\n  group_interval: 1s\n  \
         repeat_interval: 1s\nreceivers:\n  - name: ticketgate\n    webhook_configs:\n      \
         - url: {}/webhooks/prometheus\n        send_resolved: true\n        http_config:\n          \
         authorization:\n            credentials: {token}\n",
        world.url()
    );
    std::fs::write(&config, text).unwrap();
    let at = format!("127.0.0.1:{}", free_port());
    let log = append_to(&world.file("alertmanager.log"));
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={at}"))
        .arg("--cluster.listen-address=")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let _alertmanager = Process::start(&mut command);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let alert = |extra: Value| {
        let mut alert = json!({
            "labels": {"alertname": "HighTemp", "instance": "rack:9100", "severity": "critical"},
            "annotations": {"summary": "81 degrees"},
        });
        alert.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!([alert]).to_string()
    };
    let tell = async |body: String| {
        let request = client.post(format!("http://{at}/api/v2/alerts")).body(body);
        let sent = request.header("content-type", "application/json").send().await;
        sent.is_ok_and(|answer| answer.status().is_success()).then_some(())
    };
    let body = alert(json!({}));
    world.until("Alertmanager takes the alert", async || tell(body.clone()).await).await;
    let open = |ticket: &Value| ticket["backend_id"].is_string() && ticket["status"] != "closed";
    let ticket = ticket_once(&world, "the ticket is made", open).await;
    assert_eq!(ticket["fields"]["summary"], "critical: HighTemp on rack:9100", "{ticket}");
    assert_eq!(ticket["fields"]["description"], "81 degrees", "{ticket}");

    // It says so again every second: that makes no second ticket, and no update.
    let repeated = async || {
        let told = world.figure("ticketgate_events_accepted_total").await;
        told.filter(|told| *told >= 3.0)
    };
    world.until("it was told three times", repeated).await;
    let ended = json!({"endsAt": "2026-11-21T10:00:00Z"});
    tell(alert(ended)).await.expect("Alertmanager takes the end");
    let closed = |ticket: &Value| ticket["status"] == "closed";
    ticket_once(&world, "the ticket is closed", closed).await;
    let requests = world.all("/api/v1/requests").await;
    let ops: Vec<_> = requests.iter().rev().map(|it| it["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["create", "close"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_syslog_ng_raises_over_amqp() {
    let node = Rabbit::shared().await;
    let source = "[[source]]\nname = \"syslog-ng\"\npreset = \"syslog-ng\"\n";
    let world = world(source, Some((node.url(), "foreign".to_owned()))).await;
    world.on_the_broker().await;
    let folder = tempfile::TempDir::with_prefix("ticketgate-syslog-ng").unwrap();
    let (config, port) = (folder.path().join("syslog-ng.conf"), free_port());
    let text = format!(
        "@version: 3.38\noptions {{ keep-hostname(yes); }};\nsource s {{ network(ip(\"127.0.0.1\") port({port}) transport(\"tcp\") \
         flags(syslog-protocol)); }};\n\
         destination d {{ amqp(host(\"127.0.0.1\") port({}) vhost(\"/\") username(\"guest\") \
         password(\"guest\") exchange(\"foreign.alarms\") exchange-type(\"topic\") persistent(yes) \
         routing-key(\"source.syslog-ng\") body(\"{}\")); }};\n\
         log {{ source(s); destination(d); flags(flow-control); }};\n",
        port_of(&node.url()),
        body_of_the_preset(),
    );
    std::fs::write(&config, text).unwrap();
    let log = append_to(&world.file("syslog-ng.log"));
    let mut command = Command::new("/usr/sbin/syslog-ng");
    command
        .args(["--foreground", "--stderr", "--no-caps"])
        .arg(format!("--cfgfile={}", config.display()))
        .arg(format!("--persist-file={}", folder.path().join("persist").display()))
        .arg(format!("--control={}", folder.path().join("control").display()))
        .arg(format!("--pidfile={}", folder.path().join("pid").display()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    let _syslog_ng = Process::start(&mut command);
    let say = async |line: &str| {
        use std::io::Write as _;
        let lines = line.to_owned();
        let sent = std::net::TcpStream::connect(("127.0.0.1", port))
            .and_then(|mut to| to.write_all(lines.as_bytes()));
        sent.is_ok().then_some(())
    };
    // RFC 5424: local0.err, local0.info, local0.err again.
    let lines = "<131>1 2026-11-21T10:00:00.000Z tx7 modulator 42 - - carrier lost\n\
                 <134>1 2026-11-21T10:00:01.000Z tx7 modulator 42 - - all quiet\n\
                 <131>1 2026-11-21T10:00:02.000Z tx7 modulator 42 - - carrier lost, spare too\n";
    world.until("syslog-ng takes the lines", async || say(lines).await).await;
    let newest = |ticket: &Value| ticket["fields"]["description"] == "carrier lost, spare too";
    let ticket = ticket_once(&world, "the ticket says the newest line", newest).await;
    assert_eq!(ticket["fields"]["summary"], "major: modulator on tx7", "{ticket}");
    assert_eq!(world.all("/api/v1/tickets").await.len(), 1);
    assert_eq!(world.all("/api/v1/parked").await.len(), 0);
}

fn port_of(url: &str) -> u16 {
    let behind = url.rsplit(':').next().unwrap_or_default();
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a port")
}

/// The body that the preset's own page tells an operator to configure.
fn body_of_the_preset() -> String {
    let preset = ticketgate::sources::preset("syslog-ng").unwrap();
    let line = preset.lines().find(|line| line.contains("body(")).unwrap();
    let from = line.find("body(\"").unwrap() + "body(\"".len();
    line[from..line.rfind("\")").unwrap()].to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_parked_and_takes_nothing_with_it() {
    let world = world("[[source]]\nname = \"prometheus\"\npreset = \"alertmanager\"\n", None).await;
    let good = json!({"status": "firing", "labels": {"alertname": "A", "severity": "minor"},
        "annotations": {}, "startsAt": "2026-11-21T10:00:00Z", "fingerprint": "f1"});
    let mut bad = good.clone();
    bad["startsAt"] = "yesterday".into();
    bad["fingerprint"] = "f2".into();
    let body = json!({"receiver": "t", "alerts": [bad, good]}).to_string();
    let (status, said) = world.post("/webhooks/prometheus", body).await;
    assert_eq!((status, &said), (202, &json!({"accepted": 1, "repeats": 0, "parked": 1})));
    let parked = world.all("/api/v1/parked").await;
    assert_eq!(parked[0]["field"], "raised_at", "{parked:?}");
    assert_eq!(parked[0]["inlet"], "/webhooks/prometheus");
    let (status, said) = world.post("/webhooks/prometheus", "<xml/>").await;
    assert_eq!(status, 400, "{said}");
    let (status, _) = world.post("/webhooks/nobody", "{}").await;
    assert_eq!(status, 404);
}
