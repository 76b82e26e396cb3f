//! The broker's users as `docs/deployment.md` makes them: its own lines are read and run.

use crate::rabbit::Rabbit;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

const DOCUMENT: &str = include_str!("../../docs/deployment.md");
const PASSWORD: &str = "a-password-of-a-test";

/// The lines of the document, each as the arguments of `rabbitmqctl`.
pub struct Rights(Vec<Vec<String>>);

impl Rights {
    pub fn documented() -> Self {
        let commands = DOCUMENT.lines().filter_map(|line| line.strip_prefix("rabbitmqctl set_"));
        let words = |line: &str| {
            // Every pattern stands in single quotes, and none has a blank.
            let words = line.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
            words.collect::<Vec<_>>()
        };
        let lines: Vec<_> = commands.map(words).collect();
        assert_eq!(lines.len(), 6, "{lines:#?}");
        Self(lines)
    }

    fn users(&self) -> Vec<&str> {
        // permissions -p / USER
        let mut users: Vec<_> = self.0.iter().map(|line| line[3].as_str()).collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    pub async fn grant(&self, node: &Rabbit) {
        for user in self.users() {
            node.ctl(&["add_user", user, PASSWORD]).await;
        }
        for line in &self.0 {
            let verb = format!("set_{}", line[0]);
            let rest = line[1..].iter().map(String::as_str);
            node.ctl(&std::iter::once(verb.as_str()).chain(rest).collect::<Vec<_>>()).await;
        }
    }

    pub fn url(&self, node: &Rabbit, user: &str) -> String {
        assert!(self.users().contains(&user), "{user}");
        node.url().replace("guest:guest", &format!("{user}:{PASSWORD}"))
    }
}

#[test]
fn the_definitions_of_make_secrets_are_those_of_the_document() {
    let home = tempfile::tempdir().expect("a folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/make-secrets");
    let run = || {
        let done = Command::new(&script).arg(home.path()).output().expect("sh runs it");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::read_to_string(home.path().join("rabbitmq_definitions.json")).expect("made")
    };
    let definitions = run();
    assert_eq!(run(), definitions, "what exists is kept");
    let token = std::fs::read_to_string(home.path().join("ticketgate_token")).expect("made");
    assert_eq!(token.len(), 64);

    let definitions: Value = serde_json::from_str(&definitions).expect("it is JSON");
    let part = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
    let mut lines = Vec::new();
    for (list, names) in [
        ("permissions", &["user", "configure", "write", "read"][..]),
        ("topic_permissions", &["user", "exchange", "write", "read"][..]),
    ] {
        for one in definitions[list].as_array().expect("a list") {
            let head = [list.to_owned(), "-p".to_owned(), part(one, "vhost")];
            lines.push(head.into_iter().chain(names.iter().map(|name| part(one, name))).collect());
        }
    }
    // Who looks at the broker itself is not among the roles.
    lines.retain(|line: &Vec<String>| line[3] != "admin");
    let mut documented = Rights::documented().0;
    documented.sort();
    lines.sort();
    assert_eq!(lines, documented);
    for user in definitions["users"].as_array().expect("a list") {
        let file = format!("{}_amqp_password", part(user, "name"));
        let password = std::fs::read_to_string(home.path().join(file)).expect("made");
        assert_eq!(password, part(user, "password"));
    }
}

async fn channel(node: &Rabbit, rights: &Rights, user: &str) -> (Connection, Channel) {
    let url = rights.url(node, user);
    let connection = Connection::connect(&url, ConnectionProperties::default()).await;
    let connection = connection.expect("the user may connect");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    (connection, channel)
}

/// What a role tries that is not its own.
enum Try {
    Publish(&'static str, &'static str),
    Declare(&'static str),
    Bind(&'static str, &'static str, &'static str),
    Consume(&'static str),
}

async fn attempt(channel: &Channel, what: &Try) -> lapin::Result<()> {
    let none = FieldTable::default;
    match *what {
        Try::Publish(exchange, key) => {
            let (options, properties) =
                (BasicPublishOptions::default(), BasicProperties::default());
            let sent = channel.basic_publish(exchange.into(), key.into(), options, b"", properties);
            sent.await?.await?;
        }
        Try::Declare(queue) => {
            let options = QueueDeclareOptions { durable: true, ..Default::default() };
            channel.queue_declare(queue.into(), options, none()).await?;
        }
        Try::Bind(queue, exchange, key) => {
            let options = QueueBindOptions::default();
            channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none()).await?;
        }
        Try::Consume(queue) => {
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.into(), "".into(), options, none()).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_role_gets_more_than_its_own() {
    let node = Rabbit::started().await;
    let rights = Rights::documented();
    rights.grant(&node).await;
    let world = crate::world(&node, &rights, Default::default()).await;
    let ready = async || {
        let said: Value = serde_json::from_str(&world.get("/readyz").await.1).ok()?;
        (said["bus_connected"] == true).then_some(())
    };
    world.until("the bus is connected", ready).await;
    let (_own, own) = channel(&node, &rights, "subscriber").await;
    attempt(&own, &Try::Declare("subscriber.x")).await.expect("this is its own");
    attempt(&own, &Try::Bind("subscriber.x", "ticketgate.tickets", "ticket.#"))
        .await
        .expect("its own");

    for (user, what, tried) in [
        ("alarms", "a command", Try::Publish("ticketgate.commands", "command")),
        ("alarms", "an event", Try::Publish("ticketgate.tickets", "ticket.crm.incident.created")),
        ("alarms", "a key that is no alarm's", Try::Publish("ticketgate.alarms", "other")),
        ("alarms", "straight into a queue", Try::Publish("", "ticketgate.alarms.intake")),
        ("alarms", "hearing alarms", Try::Consume("ticketgate.alarms.intake")),
        ("subscriber", "an alarm", Try::Publish("ticketgate.alarms", "alarm.x.major")),
        ("subscriber", "hearing alarms", Try::Consume("ticketgate.alarms.intake")),
        (
            "subscriber",
            "write-backs",
            Try::Bind("subscriber.x", "ticketgate.tickets", "writeback.#"),
        ),
        ("subscriber", "alarms in its queue", Try::Bind("subscriber.x", "ticketgate.alarms", "#")),
        ("subscriber", "a queue of another name", Try::Declare("other")),
        ("script", "an alarm", Try::Publish("ticketgate.alarms", "alarm.x.major")),
        ("script", "a queue", Try::Declare("script.replies")),
        ("script", "hearing events", Try::Consume("ticketgate.noc")),
        ("ticketgate", "a queue of another name", Try::Declare("other")),
        ("ticketgate", "a foreign exchange", Try::Publish("amq.topic", "x")),
    ] {
        let (_open, channel) = channel(&node, &rights, user).await;
        let refused = attempt(&channel, &tried).await.expect_err(&format!("{user}: {what}"));
        assert!(refused.to_string().contains("ACCESS_REFUSED"), "{user}: {what}: {refused}");
    }
}
