//! Who we say we are: tokens that are requested, names in envelopes, certificates.

use super::*;
use serde_json::json;
use std::process::{Command, Stdio};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

fn token(number: u32, more: serde_json::Value) -> Vec<u8> {
    let mut body = json!({ "access_token": format!("T{number}"), "token_type": "Bearer" });
    body.as_object_mut().unwrap().extend(fields(more));
    json(200, body)
}

fn with_tokens(backend: &Canned, tokens: &Canned, more: &str) -> Description {
    let token_url = tokens.url.replace("/api", "/token");
    simulated(
        &backend.url,
        &format!(
            "[auth]\ntype = 'oauth2'\ntoken_url = '{token_url}'\nclient_id = 'gate'\nclient_secret = 'SECRET'\n{more}"
        ),
    )
}

fn tickets() -> Vec<u8> {
    json(201, json!({ "id": "1" }))
}

fn bearers(heard: &[String]) -> Vec<&str> {
    let token =
        |said: &'_ str| said.find("authorization: Bearer ").map_or(said.len(), |at| at + 22);
    heard.iter().map(|said| said[token(said)..].lines().next().unwrap_or_default()).collect()
}

#[tokio::test]
async fn a_token_is_requested_once_and_renewed_before_it_expires() {
    let backend = Canned::answering(tickets()).await;
    let life = json!({ "expires_in": 100 });
    let tokens = Canned::in_turn(vec![token(1, life.clone()), token(2, life)]).await;
    let clock = Arc::new(ManualClock::default());
    let description =
        with_tokens(&backend, &tokens, "scope = 'a b'\nparameters = { audience = 'x' }");
    let adapter = adapter_at(&description, Arc::clone(&clock));
    let late = |seconds| {
        let send_by = ManualClock::default().now().mono.plus(Duration::from_secs(seconds));
        Call { send_by, ..call(create("x")) }
    };
    // It is good for 100 s, and renewed 60 s before that.
    for (seconds, expected) in [(0, "T1"), (39, "T1"), (2, "T2")] {
        clock.advance(Duration::from_secs(seconds));
        assert_eq!(kind(&adapter.call(late(60)).await.answer).0, "done");
        assert_eq!(*bearers(&backend.heard()).last().unwrap(), expected);
    }
    let asked = tokens.heard();
    assert_eq!(asked.len(), 2);
    // gate:SECRET
    assert!(asked[0].contains("authorization: Basic Z2F0ZTpTRUNSRVQ=\r\n"), "{}", asked[0]);
    let form = asked[0].split_once("\r\n\r\n").unwrap().1;
    assert_eq!(form, "grant_type=client_credentials&scope=a+b&audience=x");
}

#[tokio::test]
async fn a_token_that_is_refused_is_dropped_once() {
    for (answers, expected, tokens_used) in [
        (vec![http(401, "", ""), tickets()], "done", vec!["T1", "T2"]),
        (vec![http(401, "", ""), http(401, "", "")], "unauthorised", vec!["T1", "T2"]),
    ] {
        let backend = Canned::in_turn(answers).await;
        let life = || json!({ "expires_in": "3600" });
        let tokens =
            Canned::in_turn(vec![token(1, life()), token(2, life()), token(3, life())]).await;
        let description = with_tokens(&backend, &tokens, "send = 'body'");
        let answer = calls(&adapter(&description), create("x")).await;
        assert_eq!(kind(&answer).0, expected, "{answer:?}");
        assert_eq!(bearers(&backend.heard()), tokens_used);
        assert!(tokens.heard()[0].contains("client_secret=SECRET"));
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let scoped = token(1, json!({ "scope": "a" }));
    for (answer, expected, says) in [
        (
            json(401, json!({"error": "invalid_client", "error_description": "no"})),
            "unauthorised",
            "401",
        ),
        (json(400, json!({"error": "invalid_scope"})), "unauthorised", "400"),
        (scoped, "unauthorised", "scope b"),
        (http(500, "", ""), "not sent", "500"),
        (http(200, "content-type: text/html\r\n", "<html>"), "not sent", "200"),
        (json(200, json!({"access_token": ""})), "not sent", "without one"),
        (b"HTTP/1.1 200 X\r\n".to_vec(), "not sent", "no token"),
    ] {
        let backend = Canned::answering(tickets()).await;
        let tokens = Canned::answering(answer).await;
        let adapter = adapter(&with_tokens(&backend, &tokens, "scope = 'a b'"));
        let answer = calls(&adapter, create("x")).await;
        let (kind, reason) = kind(&answer);
        assert!(kind == expected && reason.contains(says), "{answer:?}");
        assert!(!format!("{answer:?}").contains("SECRET"));
        assert!(backend.heard().is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_name_and_a_digest_stand_in_the_envelope() {
    let answer = "<e:Envelope xmlns:e='http://schemas.xmlsoap.org/soap/envelope/'><e:Body>\
                  <t:CreateIncidentResponse xmlns:t='http://usms.example.net/ticketing/v2'>\
                  <t:TicketId>INC00000001</t:TicketId></t:CreateIncidentResponse></e:Body></e:Envelope>";
    let canned = Canned::answering(http(200, "content-type: text/xml\r\n", answer)).await;
    for (auth, says, hides) in [
        ("user = 'me'", "<wsse:Username>me</wsse:Username></wsse:UsernameToken>", "Password"),
        ("user = 'me', password = 'S<1'", "#PasswordText\">S&lt;1</wsse:Password>", "Nonce"),
        ("user = 'me', password = 'S<1', send = 'digest'", "#PasswordDigest\">", "S&lt;1"),
    ] {
        let description = described(&format!(
            "id = 'u'\npreset = 'usms'\nbase_url = '{}'\nauth = {{ type = 'wsse', {auth} }}",
            canned.url
        ));
        let given = fields(json!({"summary": "s", "severity": "major", "object": "o"}));
        let work = Work::Create { ticket: target(None), fields: given };
        let answer = calls(&adapter(&description), work).await;
        assert_eq!(kind(&answer), ("done", "INC00000001"), "{answer:?}");
        let said = canned.heard().pop().unwrap();
        assert!(said.contains(says) && !said.contains(hides), "{said}");
    }
}

/// An authority of ours, and what it has signed.
struct Papers(TempDir);

impl Papers {
    fn made() -> Self {
        let papers = Self(TempDir::new().unwrap());
        papers.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca \
             -keyout ca.key -out ca.pem",
        );
        for (name, extension) in
            [("server", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")]
        {
            std::fs::write(papers.0.path().join("extension"), extension).unwrap();
            papers.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
                 -keyout {name}.key -out {name}.csr"
            ));
            papers.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile extension -out {name}.pem"
            ));
        }
        papers
    }

    fn openssl(&self, args: &str) {
        let mut command = Command::new("openssl");
        command.args(args.split_whitespace()).current_dir(self.0.path()).stdin(Stdio::null());
        let done = command.output().expect("openssl is installed (scripts/install-test-needs)");
        assert!(done.status.success(), "{args}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// A server that lets in only whom our authority has signed.
    async fn server(&self) -> String {
        let certs: Vec<_> = CertificateDer::pem_file_iter(self.file("server.pem"))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.file("ca.pem")).unwrap()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(certs, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/api", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut socket) = acceptor.accept(socket).await else { continue };
                let mut said = Vec::new();
                while !is_whole(&said) && socket.read_buf(&mut said).await.unwrap_or(0) > 0 {}
                let _ = socket.write_all(&tickets()).await;
                let _ = socket.shutdown().await;
            }
        });
        url
    }
}

#[tokio::test]
async fn a_certificate_of_ours_opens_a_door_of_a_private_authority() {
    crate::backends::install_tls();
    let papers = Papers::made();
    let url = papers.server().await;
    let ca = format!("ca_file = '{}'", papers.file("ca.pem"));
    let ours = format!(
        "client_cert_file = '{}'\nclient_key_file = '{}'",
        papers.file("client.pem"),
        papers.file("client.key")
    );
    let with = |more: String| adapter(&simulated(&url, &more));
    let answer = calls(&with(format!("{ca}\n{ours}")), create("x")).await;
    assert_eq!(kind(&answer), ("done", "1"), "{answer:?}");
    let stranger = calls(&with(ours.clone()), create("x")).await;
    assert_eq!(kind(&stranger).0, "not sent", "who it is cannot be told: {stranger:?}");
    // Under TLS 1.3 a client hears only after its request that it is not let in.
    let nobody = calls(&with(ca.clone()), create("x")).await;
    assert!(["not sent", "in doubt"].contains(&kind(&nobody).0), "{nobody:?}");
    let broken =
        format!("{ca}\nclient_cert_file = '{0}'\nclient_key_file = '{0}'", papers.file("ca.pem"));
    let clock = Arc::new(ManualClock::default());
    let errors = simulated(&url, &broken).connect(clock).err().unwrap();
    assert_eq!(errors[0].key, "backend.osb.client_cert_file", "{errors:?}");
}
