//! The face's own certificate.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::Path;

/// Reads a chain of certificates and its key, both PEM.
///
/// # Errors
/// The key of the config at fault, and what is wrong; the file's content is not repeated.
pub fn server(cert: &Path, key: &Path) -> Result<ServerConfig, (&'static str, String)> {
    crate::backends::install_tls();
    let unread = |path: &Path, error: rustls::pki_types::pem::Error| {
        format!("the file {} holds none that can be read: {error}", path.display())
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| ("http.tls_cert", unread(cert, error)))?;
    if chain.is_empty() {
        let what = format!("the file {} holds no certificate", cert.display());
        return Err(("http.tls_cert", what));
    }
    let key =
        PrivateKeyDer::from_pem_file(key).map_err(|error| ("http.tls_key", unread(key, error)))?;
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| ("http.tls_key", format!("does not fit the certificate: {error}")))
}
