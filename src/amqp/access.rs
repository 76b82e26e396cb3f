//! What opens the broker's door: address, user, password, certificates.
//!
//! What always holds: files are read anew for every connection, so that a new password or
//! certificate is used from the next connection on, without a restart; no error repeats a secret.
//! The broker's certificate is checked against its host name, with the system's authorities and
//! those of `ca_file`. There is no way to turn that off.

use super::settings::AmqpSettings;
use crate::secrets::Secret;
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::uri::{AMQPScheme, AMQPUri, SASLMechanism};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `[amqp.tls]`, for an `amqps://` URL. All files are PEM.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsFiles {
    /// Authorities that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Our certificate, with those between it and the authority, for a broker that asks for one.
    pub cert_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
}

/// Where the broker is, and as whom we come. Not `Debug`: it holds the password.
pub(super) struct Access {
    pub uri: AMQPUri,
    pub tls: OwnedTLSConfig,
}

/// A key below `amqp`, and what is wrong with it.
type Fault = (&'static str, String);

impl Access {
    /// Reads the URL, and every file.
    pub fn read(settings: &AmqpSettings) -> Result<Self, Fault> {
        let url = settings.url.expose_secret();
        let mut uri: AMQPUri = url.parse().map_err(|_: String| {
            ("url", "cannot be read; write amqp://user:password@host:port/vhost".to_owned())
        })?;
        if let Some(file) = &settings.password_file {
            if has_password(url) {
                let what = "is given, and the URL has a password too: leave one of them out";
                return Err(("password_file", what.to_owned()));
            }
            let password = Secret::from_file(file).map_err(|what| ("password_file", what))?;
            uri.authority.userinfo.password = password.expose().to_owned();
        }
        if settings.tls.is_some() && uri.scheme != AMQPScheme::AMQPS {
            let what =
                "is given, but the connection is not encrypted: let the url begin with amqps://";
            return Err(("tls", what.to_owned()));
        }
        let tls = settings.tls.as_ref().map(tls).transpose()?.unwrap_or_default();
        if uri.query.auth_mechanism == Some(SASLMechanism::External) && tls.identity.is_none() {
            let what =
                "asks for auth_mechanism=external, which needs tls.cert_file and tls.key_file";
            return Err(("url", what.to_owned()));
        }
        let user = &uri.authority.userinfo;
        let by_password = uri.query.auth_mechanism != Some(SASLMechanism::External);
        let is_guest = user.username == "guest" && user.password == "guest";
        if by_password && is_guest && !is_local(&uri.authority.host) {
            let what = "signs in as guest with the password guest, which everybody knows, at a \
                        broker on another machine: make a user for Ticketgate";
            return Err(("url", what.to_owned()));
        }
        Ok(Self { uri, tls })
    }
}

/// A broker on this machine, which RabbitMQ itself lets guest reach.
fn is_local(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Without one, lapin's reader puts a default in.
fn has_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

fn tls(files: &TlsFiles) -> Result<OwnedTLSConfig, Fault> {
    let cert_chain = match &files.ca_file {
        Some(path) => Some(certificates("tls.ca_file", path)?),
        None => None,
    };
    let identity = match (&files.cert_file, &files.key_file) {
        (None, None) => None,
        (Some(cert), Some(key)) => Some(OwnedIdentity::PKCS8 {
            pem: certificates("tls.cert_file", cert)?.into_bytes(),
            key: private_key(key)?,
        }),
        (Some(_), None) => return Err(("tls.key_file", "is missing beside cert_file".to_owned())),
        (None, Some(_)) => return Err(("tls.cert_file", "is missing beside key_file".to_owned())),
    };
    Ok(OwnedTLSConfig { identity, cert_chain })
}

fn certificates(key: &'static str, path: &Path) -> Result<String, Fault> {
    let wrong = |what: String| (key, format!("{} {what}", path.display()));
    let pem =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(pem),
        _ => Err(wrong("holds no certificate (PEM)".to_owned())),
    }
}

fn private_key(path: &Path) -> Result<Vec<u8>, Fault> {
    let key = Secret::from_file(path).map_err(|what| ("tls.key_file", what))?;
    let pem = key.expose().as_bytes();
    match PrivateKeyDer::from_pem_slice(pem) {
        Ok(_) => Ok(pem.to_vec()),
        Err(_) => Err(("tls.key_file", format!("{} holds no private key (PEM)", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(url: &str, password_file: Option<&Path>, tls: Option<TlsFiles>) -> Option<Fault> {
        let settings = AmqpSettings {
            url: url.into(),
            password_file: password_file.map(Path::to_owned),
            tls,
            ..AmqpSettings::default()
        };
        Access::read(&settings).err()
    }

    #[test]
    fn the_password_comes_from_its_file_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("password");
        std::fs::write(&path, "p@ss/w:rd%\n").unwrap();
        let settings = AmqpSettings {
            url: "amqp://gate@h/%2f".into(),
            password_file: Some(path.clone()),
            ..AmqpSettings::default()
        };
        let user = Access::read(&settings).unwrap_or_else(|(_, what)| panic!("{what}")).uri;
        let user = user.authority.userinfo;
        assert_eq!((user.username.as_str(), user.password.as_str()), ("gate", "p@ss/w:rd%"));
        let (key, _) = fault("amqp://gate:other@h/%2f", Some(&path), None).unwrap();
        assert_eq!(key, "password_file");
        assert!(!has_password("amqp://h/a:b@c") && !has_password("amqp://user@h"));
    }

    #[test]
    fn guest_is_for_brokers_of_this_machine() {
        for url in ["amqp://127.0.0.1", "amqp://guest:guest@localhost:5672/%2f", "amqp://g:guest@h"]
        {
            assert_eq!(fault(url, None, None), None, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_names_its_key() {
        let home = tempfile::tempdir().unwrap();
        let empty = home.path().join("empty.pem");
        std::fs::write(&empty, "nothing\n").unwrap();
        let files = |ca: Option<&Path>, cert: Option<&Path>, key: Option<&Path>| {
            let [ca_file, cert_file, key_file] = [ca, cert, key].map(|it| it.map(Path::to_owned));
            Some(TlsFiles { ca_file, cert_file, key_file })
        };
        let there = Some(empty.as_path());
        for (url, tls, expected) in [
            ("nonsense", None, "url"),
            ("amqp://h", files(None, None, None), "tls"),
            ("amqps://h?auth_mechanism=external", None, "url"),
            ("amqp://guest:guest@broker.example", None, "url"),
            ("amqp://10.0.0.7", None, "url"),
            ("amqps://h", files(there, None, None), "tls.ca_file"),
            ("amqps://h", files(None, there, None), "tls.key_file"),
            ("amqps://h", files(None, None, there), "tls.cert_file"),
            ("amqps://h", files(None, there, there), "tls.cert_file"),
            ("amqps://h", files(Some(&home.path().join("gone")), None, None), "tls.ca_file"),
        ] {
            let (key, what) = fault(url, None, tls).unwrap();
            assert_eq!(key, expected, "{url}: {what}");
        }
        assert!(fault("amqps://gate:p@h", None, files(None, None, None)).is_none());
        assert_eq!(fault("amqp://u@h", Some(home.path()), None).unwrap().0, "password_file");
    }
}
