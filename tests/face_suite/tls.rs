//! The face's own certificate, made by openssl.

use crate::world::{PATIENCE, free_address};
use std::process::Command;
use ticketgate::{app, backends, config, telemetry::LogLevel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[actix::test]
async fn the_face_speaks_tls_with_its_own_certificate_and_nothing_else() {
    backends::install_tls();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", &file("key.pem"), "-out", &file("cert.pem")])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let text = format!(
        "[store]\ndir = {:?}\n[http]\nlisten = \"{}\"\ntls_cert = {:?}\ntls_key = {:?}\n\
         token = \"0123456789abcdef\"\n",
        file("data"),
        free_address(),
        file("cert.pem"),
        file("key.pem"),
    );
    let loaded = config::parse("test", &text, std::iter::empty()).unwrap();
    let service = app::start(&loaded, LogLevel::fixed()).await.unwrap();
    let cert = std::fs::read(folder.path().join("cert.pem")).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&cert).unwrap()])
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let url = |path: &str| format!("https://{}{path}", service.address);
    let me = client.get(url("/api/v1/me")).bearer_auth("0123456789abcdef").send().await.unwrap();
    assert_eq!(me.status(), 200);
    assert!(me.headers().contains_key("strict-transport-security"));
    let form = [("token", "0123456789abcdef")];
    let signed_in = client.post(url("/sign-in")).form(&form).send().await.unwrap();
    let cookie = signed_in.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("Secure"), "{cookie}");

    let ask = async |ca: Option<&str>, token: Option<&str>| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_ticketgate"));
        command.args(["alarm", "list", "--url", &format!("https://{}", service.address)]);
        command.args(ca.iter().flat_map(|ca| ["--ca-file", ca]));
        command.env_remove("TICKETGATE_TOKEN").env_remove("TICKETGATE_TOKEN_FILE");
        command.envs(token.map(|token| ("TICKETGATE_TOKEN", token)));
        let output = command.output().await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let ca = file("cert.pem");
    let (code, told) = ask(None, None).await;
    assert!(told.contains(" is not trusted (") && told.contains("--ca-file FILE"), "{told}");
    assert_eq!(code, Some(1), "{told}");
    let (code, told) = ask(Some(&ca), None).await;
    assert!(told.contains("asks for a token: set TICKETGATE_TOKEN_FILE"), "{told}");
    assert_eq!(code, Some(1), "{told}");
    let (_, told) = ask(Some(&ca), Some("fedcba9876543210")).await;
    assert!(told.contains("does not know the token that was brought"), "{told}");
    let (code, told) = ask(Some(&ca), Some("0123456789abcdef")).await;
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let (_, told) = ask(Some(&file("key.pem")), None).await;
    assert!(told.contains("key.pem holds no certificate (PEM)"), "{told}");

    let mut plain = TcpStream::connect(service.address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    timeout(PATIENCE, plain.read_to_end(&mut said)).await.unwrap().ok();
    assert!(!said.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&said));

    let other = std::fs::write(folder.path().join("other.pem"), "nothing\n");
    other.unwrap();
    let wrong = text.replace("key.pem", "other.pem");
    let told = config::parse("test", &wrong, std::iter::empty()).unwrap_err().to_string();
    assert!(told.contains("http.tls_key") && !told.contains("nothing"), "{told}");
}
