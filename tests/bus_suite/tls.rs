//! The broker behind TLS: who is trusted, who is let in, and secrets that change while we run.

use crate::rabbit::{Rabbit, free_port};
use crate::shelf::until;
use crate::world::World;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use ticketgate::amqp::{AmqpSettings, TlsFiles};

/// Authorities and certificates, made anew.
struct Papers(TempDir);

impl Papers {
    fn made() -> Self {
        let papers = Self(TempDir::with_prefix("ticketgate-papers").expect("a folder"));
        for authority in ["ca", "stranger"] {
            papers.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
                 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
            ));
        }
        // The name of this machine is not in it.
        papers.signed("broker", "ca", "subjectAltName=IP:127.0.0.1");
        papers.signed("ticketgate", "ca", "extendedKeyUsage=clientAuth");
        papers.signed("nobody", "stranger", "extendedKeyUsage=clientAuth");
        papers
    }

    fn signed(&self, name: &str, by: &str, extension: &str) {
        std::fs::write(self.0.path().join("extension"), extension).expect("the extension");
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {by}.pem -CAkey {by}.key -CAcreateserial -days 2 \
             -extfile extension -out {name}.pem"
        ));
    }

    fn openssl(&self, args: &str) {
        let mut command = Command::new("openssl");
        command.args(args.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        let done = command.output().expect("openssl must be installed: apt-get install openssl");
        assert!(done.status.success(), "{args}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// A node that lets in only those whose certificate our authority has signed.
    async fn node(&self, port: u16) -> Rabbit {
        let [ca, cert, key] = ["ca.pem", "broker.pem", "broker.key"]
            .map(|name| self.file(name).display().to_string());
        let config = format!(
            "listeners.ssl.1 = 127.0.0.1:{port}\n\
             ssl_options.cacertfile = {ca}\nssl_options.certfile = {cert}\n\
             ssl_options.keyfile = {key}\nssl_options.verify = verify_peer\n\
             ssl_options.fail_if_no_peer_cert = true\n\
             auth_mechanisms.1 = PLAIN\nauth_mechanisms.2 = EXTERNAL\n\
             ssl_cert_login_from = common_name\n"
        );
        let mut node = Rabbit::prepared_with(&config, &["rabbitmq_auth_mechanism_ssl"]);
        node.start().await;
        node
    }

    fn tls(&self, ca: Option<&str>, who: Option<&str>) -> TlsFiles {
        TlsFiles {
            ca_file: ca.map(|name| self.file(name)),
            cert_file: who.map(|name| self.file(&format!("{name}.pem"))),
            key_file: who.map(|name| self.file(&format!("{name}.key"))),
        }
    }
}

async fn connected(settings: AmqpSettings) -> World {
    let world = World::rabbit_with(settings).await;
    until("the bus is connected", || world.bus.connected()).await;
    world
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the file is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_the_right_broker_is_trusted_and_only_the_right_client_let_in() {
    ticketgate::backends::install_tls();
    let papers = Papers::made();
    let port = free_port();
    let node = papers.node(port).await;
    let password = papers.file("password");
    write(&password, "first/p@ss\n");
    node.ctl(&["add_user", "gate", "first/p@ss"]).await;
    // Its certificate is all that it has.
    node.ctl(&["add_user", "ticketgate", "unused"]).await;
    node.ctl(&["clear_password", "ticketgate"]).await;
    for user in ["gate", "ticketgate"] {
        node.ctl(&["set_permissions", user, ".*", ".*", ".*"]).await;
    }
    let settings = |prefix: &str, url: &str, tls: TlsFiles| AmqpSettings {
        url: url.replace("PORT", &port.to_string()).as_str().into(),
        prefix: prefix.to_owned(),
        tls: Some(tls),
        ..AmqpSettings::default()
    };
    let both = papers.tls(Some("ca.pem"), Some("ticketgate"));

    let external = "amqps://127.0.0.1:PORT/%2f?auth_mechanism=external";
    let by_certificate = connected(settings("external", external, both.clone())).await;
    let listed = node.ctl(&["list_connections", "user", "auth_mechanism", "ssl"]).await;
    assert!(listed.contains("ticketgate\tEXTERNAL\ttrue"), "{listed}");
    by_certificate.amqp().close(crate::shelf::PATIENCE).await;

    let with_user = "amqps://gate@127.0.0.1:PORT/%2f";
    let by_password = AmqpSettings {
        password_file: Some(password.clone()),
        ..settings("password", with_user, both.clone())
    };
    let world = connected(by_password).await;
    // A new password: known to the broker, in the file, and no restart.
    node.ctl(&["change_password", "gate", "second"]).await;
    write(&password, "second\n");
    node.close_all_connections().await;
    until("the loss is seen", || !world.bus.connected()).await;
    until("it is back with its new password", || world.bus.connected()).await;
    world.amqp().close(crate::shelf::PATIENCE).await;

    let elsewhere = "amqps://localhost:PORT/%2f?auth_mechanism=external";
    for (what, url, tls, said) in [
        ("no authority", external, papers.tls(None, Some("ticketgate")), "certificate"),
        (
            "a stranger's",
            external,
            papers.tls(Some("stranger.pem"), Some("ticketgate")),
            "certificate",
        ),
        ("another name", elsewhere, both, "certificate"),
        ("a stranger", external, papers.tls(Some("ca.pem"), Some("nobody")), ""),
        ("no client certificate", with_user, papers.tls(Some("ca.pem"), None), ""),
    ] {
        let world = World::rabbit_with(settings("refused", url, tls)).await;
        until("it is told what is wrong", || world.amqp().trouble().is_some()).await;
        let trouble = world.amqp().trouble().unwrap_or_default();
        eprintln!("{what}: {trouble}");
        assert!(trouble.contains(said), "{what}: {trouble}");
        assert!(!world.bus.connected(), "{what}");
        world.amqp().close(crate::shelf::PATIENCE).await;
    }
}
