//! The certificate, its key and the authorities of client certificates: read from files for every
//! encrypted listener, and read again when the files change. If the new files cannot be used, the
//! listeners keep their certificate, and an error is logged.
//!
//! Only TLS 1.3 is supported: RFC 9103 section 7.2 requires it for transfers, DoQ has no other
//! version, and current clients of DoT and DoH support it. Sessions are resumed from the memory of
//! this process, as rustls does by default. New files end all sessions, so that a client whose
//! authority was removed has to authenticate again. Early data (0-RTT) is not accepted: an attacker
//! can replay it.

use std::{
    fmt, fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use quinn::crypto::rustls::QuicServerConfig;
use tokio_rustls::rustls::{
    self, InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use crate::model::Time;

/// How often the files are checked: a renewed certificate is in use this long after it was written.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(10);
/// The largest file that is read, which has room for hundreds of certificates.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The protocol name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";
/// The protocol names of each transport (ALPN), the preferred first: DoT
/// and XoT (RFC 7858, RFC 9103 section 7.1), DoH over HTTP/2 (RFC 8484 section 5.2) and HTTP/1, DoQ
/// (RFC 9250 section 4.1), and the HTTP API.
const ALPN: [&[&[u8]]; 4] = [
    &[b"dot"],
    &[HTTP2, b"http/1.1", b"http/1.0"],
    &[b"doq"],
    &[b"http/1.1", b"http/1.0"],
];

/// The paths of the files, which are PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, followed by the intermediate certificates up to a root that clients trust.
    pub certificate: PathBuf,
    /// Its private key, readable only by its owner and group.
    pub key: PathBuf,
    /// The authorities of client certificates; `None` to request none from clients.
    pub clients: Option<PathBuf>,
}

/// The TLS configurations of all listeners, from one reading of the files.
pub struct TlsConfigs {
    /// DoT and XoT; clients may present a certificate.
    pub(super) tls: Arc<ServerConfig>,
    /// DoH.
    pub(super) https: Arc<ServerConfig>,
    /// The HTTP API and the public look-up.
    pub web: Arc<ServerConfig>,
    /// DoQ.
    pub(super) quic: Arc<QuicServerConfig>,
    /// The certificate and its key alone, for HTTP/3.
    pair: Arc<SingleCertAndKey>,
    /// When the certificate ends.
    pub not_after: Time,
}

/// The state of each file: device, inode, size, modification and change time.
type Stamp = [(u64, u64, u64, i64, i64, i64, i64); 3];

/// The files that are in use, and their state when they were read.
struct State {
    files: CertificateFiles,
    stamp: Stamp,
    /// The last error that [`Certificates::check`] has logged, so that it is logged once.
    reported: Option<String>,
}

/// Certificates that were read and are not in use yet.
pub struct PreparedCertificates {
    ready: TlsConfigs,
    files: CertificateFiles,
    stamp: Stamp,
}

/// The certificates of a running server.
pub struct Certificates {
    ready: ArcSwap<TlsConfigs>,
    state: Mutex<State>,
}

impl Certificates {
    /// Reads the files. The error names the file and the next step.
    pub fn open(files: CertificateFiles) -> Result<Certificates, String> {
        // The stamp is taken first, so that the next check notices files that are written
        // meanwhile.
        let stamp = files.stamp();
        let ready = ArcSwap::from_pointee(files.read()?);
        Ok(Certificates {
            ready,
            state: Mutex::new(State {
                files,
                stamp,
                reported: None,
            }),
        })
    }

    /// The configurations that are in use.
    pub fn current(&self) -> Arc<TlsConfigs> {
        self.ready.load_full()
    }

    /// Reads the files, which may be others than before, without using them yet. Returns `None` if
    /// they have not changed.
    ///
    /// # Errors
    ///
    /// The error names the file and what is wrong with it.
    pub fn prepare(
        &self,
        files: &CertificateFiles,
    ) -> Result<Option<PreparedCertificates>, String> {
        let state = self.state.lock();
        let stamp = files.stamp();
        if (&state.files, state.stamp) == (files, stamp) {
            return Ok(None);
        }
        drop(state);
        Ok(Some(PreparedCertificates {
            ready: files.read()?,
            files: files.clone(),
            stamp,
        }))
    }

    /// Uses the certificates that [`prepare`](Self::prepare) has read.
    pub fn apply(&self, prepared: PreparedCertificates) {
        let PreparedCertificates {
            ready,
            files,
            stamp,
        } = prepared;
        tracing::info!(certificate = %files.certificate.display(), "certificate loaded");
        self.ready.store(Arc::new(ready));
        *self.state.lock() = State {
            files,
            stamp,
            reported: None,
        };
    }

    /// Reads the files if they have changed, and logs each error once.
    pub fn check(&self) {
        let files = self.state.lock().files.clone();
        let error = match self.prepare(&files) {
            Ok(prepared) => {
                prepared.into_iter().for_each(|p| self.apply(p));
                None
            }
            Err(e) => Some(format!("{e}; the old certificate stays in use")),
        };
        let mut state = self.state.lock();
        if state.reported != error {
            if let Some(e) = &error {
                tracing::error!("{e}");
            }
            state.reported = error;
        }
    }

    /// Checks the files every [`CHECK_INTERVAL`] until the task is dropped.
    pub async fn watch(self: Arc<Self>) {
        let mut interval = tokio::time::interval(CHECK_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.check()).await;
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current().pair.resolve(hello)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl CertificateFiles {
    /// Reads the files. The error names the file and what is wrong with it.
    pub fn read(&self) -> Result<TlsConfigs, String> {
        let provider = Arc::new(ring::default_provider());
        let certificate_path = self.certificate.display();
        let chain = certificates(&self.certificate)?;
        let not_after = chain
            .first()
            .and_then(|c| end_of(c))
            .ok_or_else(|| format!("{certificate_path}: the first certificate cannot be read"))?;
        let metadata = fs::metadata(&self.key).map_err(|e| read_error(&self.key, &e))?;
        if metadata.mode() & 0o007 != 0 {
            let key = self.key.display();
            return Err(format!(
                "{key}: other users can read this key; run `chmod o= {key}`"
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?).map_err(|e| match e {
            pem::Error::NoItemsFound => error_in(
                &self.key,
                "no private key found; write it as PEM, without a password",
            ),
            e => error_in(&self.key, e),
        })?;
        let pair = CertifiedKey::from_der(chain, key, &provider).map_err(|e| match e {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("{}: this is not the key of the certificate in {certificate_path}; name two files that belong together", self.key.display())
            }
            rustls::Error::InvalidCertificate(e) => format!("{certificate_path}: the first certificate cannot be read: {e:?}"),
            e => error_in(&self.key, e),
        })?;
        let clients = self.clients.as_deref();
        let clients = clients
            .map(|path| authorities(path, &provider))
            .transpose()?;
        let pair = Arc::new(SingleCertAndKey::from(pair));
        let [tls, https, quic, web] = ALPN.map(|alpn| {
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&TLS13])
                .map_err(|e| e.to_string())?;
            let verifier = clients.clone().filter(|_| alpn == ALPN[0]);
            let builder = match verifier {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(pair.clone());
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Ok::<_, String>(Arc::new(config))
        });
        let quic = QuicServerConfig::try_from(quic?).map_err(|e| format!("QUIC: {e}"))?;
        Ok(TlsConfigs {
            tls: tls?,
            https: https?,
            quic: Arc::new(quic),
            web: web?,
            pair,
            not_after,
        })
    }

    /// The state of the files; all zeros for a file that is missing.
    fn stamp(&self) -> Stamp {
        [
            Some(&self.certificate),
            Some(&self.key),
            self.clients.as_ref(),
        ]
        .map(|path| match path.map(fs::metadata) {
            Some(Ok(m)) => (
                m.dev(),
                m.ino(),
                m.size(),
                m.mtime(),
                m.mtime_nsec(),
                m.ctime(),
                m.ctime_nsec(),
            ),
            _ => Default::default(),
        })
    }
}

/// The error of a file that cannot be read.
fn read_error(path: &Path, e: &std::io::Error) -> String {
    let hint = match e.kind() {
        std::io::ErrorKind::NotFound => "; [tls] of config.toml names it",
        std::io::ErrorKind::PermissionDenied => {
            "; the user that orbsd runs as has to read it, now and when it is renewed"
        }
        _ => "",
    };
    error_in(path, format_args!("{e}{hint}"))
}

/// An error that names its file.
fn error_in(path: &Path, what: impl fmt::Display) -> String {
    format!("{}: {what}", path.display())
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let file = fs::File::open(path).map_err(|e| read_error(path, &e))?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut out)
        .map_err(|e| read_error(path, &e))?;
    if out.len() as u64 > MAX_FILE_BYTES {
        let what = format_args!("longer than {MAX_FILE_BYTES} bytes; not a certificate file");
        return Err(error_in(path, what));
    }
    Ok(out)
}

/// The certificates of a PEM file, in order; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    match read {
        Ok(all) if all.is_empty() => Err(error_in(path, "no certificate found; write it as PEM")),
        Ok(all) => Ok(all),
        Err(e) => Err(error_in(path, e)),
    }
}

/// When a certificate ends (RFC 5280 section 4.1.2.5).
fn end_of(certificate: &[u8]) -> Option<Time> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp())
        .ok()
        .map(Time)
}

/// The verifier of client certificates. A client may present none, but not one of another
/// authority.
fn authorities(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for (i, cert) in certificates(path)?.into_iter().enumerate() {
        let number = i + 1;
        let unreadable = |e| {
            error_in(
                path,
                format_args!("certificate {number} cannot be read: {e}"),
            )
        };
        roots.add(cert).map_err(unreadable)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated();
    verifier.build().map_err(|e| error_in(path, e))
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    pub type Authority = CertifiedIssuer<'static, KeyPair>;

    pub fn authority() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// Issues a certificate for these names; returns it and its key as PEM.
    pub fn issue(authority: &Authority, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        (
            CertificateParams::new(names)
                .unwrap()
                .signed_by(&key, authority)
                .unwrap()
                .pem(),
            key.serialize_pem(),
        )
    }

    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes the three files into a folder: a certificate of `ns.example`, its key, and the
    /// authority of client certificates.
    pub fn files(folder: &Path, by: &Authority) -> CertificateFiles {
        let (certificate, key) = issue(by, &["ns.example"]);
        let files = CertificateFiles {
            certificate: folder.join("c.pem"),
            key: folder.join("k.pem"),
            clients: Some(folder.join("ca.pem")),
        };
        put(&files.certificate, &certificate);
        put(&files.key, &key);
        put(&folder.join("ca.pem"), &by.pem());
        files
    }

    #[test]
    fn error_names_the_file_and_what_is_wrong_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority();
        let good = files(dir.path(), &ca);
        assert!(good.read().is_ok());
        let at = |name: &str, text: &str| {
            let path = dir.path().join(name);
            put(&path, text);
            path
        };
        let (other, other_key) = issue(&ca, &["ns.example"]);
        let open = at("open.pem", &other_key);
        fs::set_permissions(&open, fs::Permissions::from_mode(0o604)).unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cases: [(CertificateFiles, &[&str]); 9] = [
            (
                CertificateFiles {
                    certificate: dir.path().join("none"),
                    ..good.clone()
                },
                &["none: ", "[tls] of config.toml"],
            ),
            (
                CertificateFiles {
                    certificate: at("empty.pem", ""),
                    ..good.clone()
                },
                &["empty.pem: no certificate"],
            ),
            (
                CertificateFiles {
                    certificate: at("broken.pem", broken),
                    ..good.clone()
                },
                &["broken.pem", "cannot be read"],
            ),
            (
                CertificateFiles {
                    certificate: at("long.pem", &"x".repeat(MAX_FILE_BYTES as usize + 1)),
                    ..good.clone()
                },
                &["long.pem: longer than"],
            ),
            (
                CertificateFiles {
                    certificate: at("other.pem", &other),
                    ..good.clone()
                },
                &["k.pem: this is not the key", "other.pem"],
            ),
            (
                CertificateFiles {
                    key: open,
                    ..good.clone()
                },
                &["open.pem: other users can read this key", "chmod"],
            ),
            (
                CertificateFiles {
                    key: at("nokey.pem", &other),
                    ..good.clone()
                },
                &["nokey.pem: no private key"],
            ),
            (
                CertificateFiles {
                    clients: Some(at("noca.pem", "")),
                    ..good.clone()
                },
                &["noca.pem: no certificate"],
            ),
            (
                CertificateFiles {
                    clients: Some(at("badca.pem", broken)),
                    ..good.clone()
                },
                &["badca.pem: certificate 1 cannot be read"],
            ),
        ];
        for (files, parts) in cases {
            let reported = files.read().err().unwrap_or_default();
            assert!(
                parts.iter().all(|p| reported.contains(p)),
                "{parts:?}: {reported}"
            );
        }
    }

    #[test]
    fn changed_files_are_loaded_and_invalid_ones_keep_the_old_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority();
        let files = files(dir.path(), &ca);
        let certificates = Certificates::open(files.clone()).unwrap();
        let first = certificates.current();
        assert!(certificates.prepare(&files).unwrap().is_none());
        assert!(
            Arc::ptr_eq(&first, &certificates.current()),
            "nothing changed"
        );
        let (certificate, key) = issue(&ca, &["ns.example"]);
        put(&files.certificate, &certificate);
        for _ in 0..2 {
            let error = certificates.prepare(&files).err().unwrap();
            assert!(error.contains("not the key"), "{error}");
        }
        certificates.check();
        assert!(
            Arc::ptr_eq(&first, &certificates.current()),
            "the key does not belong to it"
        );
        assert!(
            certificates
                .state
                .lock()
                .reported
                .as_ref()
                .unwrap()
                .contains("not the key")
        );
        put(&files.key, &key);
        certificates.check();
        assert!(
            !Arc::ptr_eq(&first, &certificates.current()),
            "loaded by the check"
        );
        assert_eq!(certificates.state.lock().reported, None);
        let other = CertificateFiles {
            clients: None,
            ..files.clone()
        };
        certificates.apply(certificates.prepare(&other).unwrap().unwrap());
        assert!(certificates.prepare(&other).unwrap().is_none());
        let missing = CertificateFiles {
            key: dir.path().join("none"),
            ..files.clone()
        };
        assert!(certificates.prepare(&missing).is_err());
        assert_eq!(certificates.state.lock().files, other);
    }
}
