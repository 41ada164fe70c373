//! Certificates as files that change. The keys below are for these tests alone.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsConnector;

use super::*;

fn files(folder: &Path) -> Files {
    Files { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") }
}

fn write(files: &Files, certificate: &str, key: &str) {
    std::fs::write(&files.certificate, certificate).unwrap();
    std::fs::write(&files.key, key).unwrap();
}

/// What a client sees that trusts only this certificate.
async fn greeting(config: TlsConfig, trusted: &str) -> io::Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(config).accept(stream).await?;
        stream.write_all(b"hello").await?;
        stream.shutdown().await
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, TcpStream::connect(address).await?).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    server.await??;
    Ok(bytes)
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    write(&files, ONE, KEY_ONE);
    let (mut watched, first) = Watched::open(files.clone()).unwrap();
    assert_eq!(greeting(Arc::clone(&first), ONE).await.unwrap(), b"hello");
    assert!(greeting(first, TWO).await.is_err());
    assert!(watched.look().unwrap().is_none());

    // As if a minute had passed, so that the clock of the file system does not count.
    let mut look = || {
        watched.at = watched.at.checked_sub(READ_ANYWAY).unwrap();
        watched.look()
    };
    assert!(look().unwrap().is_none());
    write(&files, TWO, KEY_ONE);
    assert!(matches!(look(), Err(Error::Certificate { .. })));
    assert!(look().unwrap().is_none(), "what is broken is told once");
    std::fs::write(&files.certificate, "").unwrap();
    assert!(matches!(look(), Err(Error::Certificate { reason, .. }) if reason.contains("no certificate")));
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(matches!(look(), Err(Error::File { .. })));
    write(&files, TWO, KEY_TWO);
    let second = look().unwrap().unwrap();
    assert_eq!(greeting(second, TWO).await.unwrap(), b"hello");
}

#[tokio::test]
async fn the_acceptor_changes_its_certificate_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    write(&files, ONE, KEY_ONE);
    let config = ServerConfig {
        tls_certificate: Some(files.certificate.clone()),
        tls_key: Some(files.key.clone()),
        ..ServerConfig::default()
    };
    let acceptor = acceptor(&config).await.unwrap().unwrap();
    let current = || Arc::clone(&acceptor.current.read().unwrap());
    assert_eq!(greeting(current(), ONE).await.unwrap(), b"hello");
    write(&files, TWO, KEY_TWO);
    let start = Instant::now();
    while greeting(current(), TWO).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the old certificate stays");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_an_error_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    assert!(matches!(Watched::open(files.clone()), Err(Error::File { .. })));
    write(&files, ONE, "no key");
    assert!(matches!(Watched::open(files.clone()), Err(Error::Certificate { path, .. }) if path == files.key));
}

const ONE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBUTCB+KADAgECAhQrfCtnHcNCn3/uPIzkSabQXM6rizAKBggqhkjOPQQDAjAU
MRIwEAYDVQQDDAlsb2NhbGhvc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEw
MDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABMZfB/q4vwS3C+dTX1dlFd8MSDU+DI7VMQcYpyg+HvwFX++h4+SbSnoO
n+l2FXHBa0siiMgY0IJYHrzJIM68i6ajJjAkMBQGA1UdEQQNMAuCCWxvY2FsaG9z
dDAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0gAMEUCIQCz9Ro3EuhoKHwRhh7a
SWpRBOZrON4nqEwwYG0sNJADXQIgGWDZ+LhzMArbKK5VSCFn9L3jpbtumxvDPGRZ
CXbnJoc=
-----END CERTIFICATE-----
";
const KEY_ONE: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgIgVFrAeNnh+lUJrP
iNY1zTEejF/19oQP/beZI5D3M66hRANCAATGXwf6uL8EtwvnU19XZRXfDEg1PgyO
1TEHGKcoPh78BV/voePkm0p6Dp/pdhVxwWtLIojIGNCCWB68ySDOvIum
-----END PRIVATE KEY-----
";
const TWO: &str = "\
-----BEGIN CERTIFICATE-----
MIIBUTCB+KADAgECAhQhSDM1BVTUobZjrXMhtvoAduutwTAKBggqhkjOPQQDAjAU
MRIwEAYDVQQDDAlsb2NhbGhvc3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEw
MDAwMDBaMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49
AwEHA0IABBNGNs/uEuS/9Vtpu/kQdSh9vxrLqeQxqrf3rfkNhhG/+CgMBGhFsBYr
I3RB5OMEPHZQHmLWUFHmh6TJ8jDMhtujJjAkMBQGA1UdEQQNMAuCCWxvY2FsaG9z
dDAMBgNVHRMBAf8EAjAAMAoGCCqGSM49BAMCA0gAMEUCIBlhwbXqUmvtOz7A2+Zc
l0637CSzhq9S3z6tlDTFPAWhAiEA5+YQAZINpb6WKbCJqji+yaWj694rr+bZXjYH
5sAm2HQ=
-----END CERTIFICATE-----
";
const KEY_TWO: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5N8pE21oqpdc3tcw
cJIkbE2cX4+V4BYDLYQpGKGK9eKhRANCAAQTRjbP7hLkv/Vbabv5EHUofb8ay6nk
Maq39635DYYRv/goDARoRbAWKyN0QeTjBDx2UB5i1lBR5oekyfIwzIbb
-----END PRIVATE KEY-----
";
