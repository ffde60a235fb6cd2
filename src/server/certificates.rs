//! The certificate, its key and the authorities of clients: read from files, given to every
//! encrypted front, and read again when the files change. What cannot be used changes nothing: the
//! fronts keep what they have, and it is said.
//!
//! TLS 1.3 alone is spoken: RFC 9103 section 7.2 demands it of transfers, DoQ has nothing else, and
//! whoever asks a DNSBL over TLS or HTTPS today speaks it. A session is resumed from this process's
//! memory, as rustls does by itself; new files forget all sessions, so that a client whose
//! authority is gone proves itself again. Early data (0-RTT) is not taken: it can be sent again by
//! whoever saw it, and a query that is one datagram over UDP has no use for it.

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

/// How often the files are looked at; a new certificate is in use so long after it was written, at
/// most.
pub const CHECK_EVERY: Duration = Duration::from_secs(10);
/// The largest file that is read: room for some hundred certificates.
const MAX_FILE: u64 = 1 << 20;

/// The protocol name of HTTP/2.
pub(super) const HTTP2: &[u8] = b"h2";
/// The protocol names that the fronts agree on with their clients (ALPN), the preferred first: DoT
/// and XoT (RFC 7858, RFC 9103 section 7.1), DoH over HTTP/2 (RFC 8484 section 5.2) and HTTP/1, DoQ
/// (RFC 9250 section 4.1), and the HTTP API.
const ALPN: [&[&[u8]]; 4] = [
    &[b"dot"],
    &[HTTP2, b"http/1.1", b"http/1.0"],
    &[b"doq"],
    &[b"http/1.1", b"http/1.0"],
];

/// Where the files are: PEM, as every tool writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and behind it those that lead to a root that clients know.
    pub certificate: PathBuf,
    /// Its private key; others than its owner and group may not read it.
    pub key: PathBuf,
    /// The authorities of client certificates, where clients are asked for one.
    pub clients: Option<PathBuf>,
}

/// What the fronts work with, made of one reading of the files.
pub struct Ready {
    /// DoT and XoT; clients may show a certificate.
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

/// What tells one state of a file from another: device, inode, size and both times.
type Stamp = [(u64, u64, u64, i64, i64, i64, i64); 3];

/// The files that are used and how they stood when they were read.
struct State {
    files: Files,
    stamp: Stamp,
    /// The last complaint of [`Certificates::check`], so that it is made once.
    said: Option<String>,
}

/// Certificates that were read and are not in use yet.
pub struct PreparedCertificates {
    ready: Ready,
    files: Files,
    stamp: Stamp,
}

/// The certificates of a running server.
pub struct Certificates {
    ready: ArcSwap<Ready>,
    state: Mutex<State>,
}

impl Certificates {
    /// Reads the files. The error names the file and what to do.
    pub fn open(files: Files) -> Result<Certificates, String> {
        // The stamp first: what is written meanwhile is seen by the next check.
        let stamp = files.stamp();
        let ready = ArcSwap::from_pointee(files.read()?);
        Ok(Certificates {
            ready,
            state: Mutex::new(State {
                files,
                stamp,
                said: None,
            }),
        })
    }

    /// What is in use.
    pub fn ready(&self) -> Arc<Ready> {
        self.ready.load_full()
    }

    /// Reads the files, which may be others than before, without using them yet. `None`: they have
    /// not changed.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn prepare(&self, files: &Files) -> Result<Option<PreparedCertificates>, String> {
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

    /// Uses what [`prepare`](Self::prepare) has read.
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
            said: None,
        };
    }

    /// Looks at the files, as every [`CHECK_EVERY`] does.
    pub fn check(&self) {
        let files = self.state.lock().files.clone();
        let wrong = match self.prepare(&files) {
            Ok(prepared) => {
                prepared.into_iter().for_each(|p| self.apply(p));
                None
            }
            Err(e) => Some(format!("{e}; the old certificate stays in use")),
        };
        let mut state = self.state.lock();
        if state.said != wrong {
            if let Some(e) = &wrong {
                tracing::error!("{e}");
            }
            state.said = wrong;
        }
    }

    /// Looks at the files until the task is dropped.
    pub async fn watch(self: Arc<Self>) {
        let mut every = tokio::time::interval(CHECK_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            let this = self.clone();
            let _ = tokio::task::spawn_blocking(move || this.check()).await;
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.ready().pair.resolve(hello)
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Files {
    /// Reads them and makes them ready; or says what is wrong with which file.
    pub fn read(&self) -> Result<Ready, String> {
        let provider = Arc::new(ring::default_provider());
        let shown = self.certificate.display();
        let chain = certificates(&self.certificate)?;
        let not_after = chain
            .first()
            .and_then(|c| end_of(c))
            .ok_or_else(|| format!("{shown}: the first certificate cannot be read"))?;
        let metadata = fs::metadata(&self.key).map_err(|e| unread(&self.key, &e))?;
        if metadata.mode() & 0o007 != 0 {
            return Err(format!(
                "{}: anybody may use this key; run `chmod o= {0}`",
                self.key.display()
            ));
        }
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?).map_err(|e| match e {
            pem::Error::NoItemsFound => {
                format!(
                    "{}: there is no private key in it; it has to be PEM, without a password",
                    self.key.display()
                )
            }
            e => format!("{}: {e}", self.key.display()),
        })?;
        let pair = CertifiedKey::from_der(chain, key, &provider).map_err(|e| match e {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("{}: this is not the key of the certificate in {shown}; name the two that were made together", self.key.display())
            }
            rustls::Error::InvalidCertificate(e) => format!("{shown}: the first certificate cannot be read: {e:?}"),
            e => format!("{}: {e}", self.key.display()),
        })?;
        let clients = self
            .clients
            .as_deref()
            .map(|path| authorities(path, &provider))
            .transpose()?;
        let pair = Arc::new(SingleCertAndKey::from(pair));
        let [tls, https, quic, web] = ALPN.map(|alpn| {
            let builder = ServerConfig::builder_with_provider(provider.clone())
                .with_protocol_versions(&[&TLS13])
                .map_err(|e| e.to_string())?;
            let asks = clients.clone().filter(|_| alpn == ALPN[0]);
            let builder = match asks {
                Some(verifier) => builder.with_client_cert_verifier(verifier),
                None => builder.with_no_client_auth(),
            };
            let mut config = builder.with_cert_resolver(pair.clone());
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            Ok::<_, String>(Arc::new(config))
        });
        let quic = QuicServerConfig::try_from(quic?).map_err(|e| format!("QUIC: {e}"))?;
        Ok(Ready {
            tls: tls?,
            https: https?,
            quic: Arc::new(quic),
            web: web?,
            pair,
            not_after,
        })
    }

    /// How the files stand; what is not there is all zeros.
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

/// What a file that cannot be read is called.
fn unread(path: &Path, e: &std::io::Error) -> String {
    let hint = match e.kind() {
        std::io::ErrorKind::NotFound => "; [tls] of config.toml names it",
        std::io::ErrorKind::PermissionDenied => {
            "; the user that orbsd runs as has to read it, now and when it is renewed"
        }
        _ => "",
    };
    format!("{}: {e}{hint}", path.display())
}

fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let file = fs::File::open(path).map_err(|e| unread(path, &e))?;
    file.take(MAX_FILE + 1)
        .read_to_end(&mut out)
        .map_err(|e| unread(path, &e))?;
    if out.len() as u64 > MAX_FILE {
        return Err(format!(
            "{}: longer than {MAX_FILE} bytes; that is no file of certificates",
            path.display()
        ));
    }
    Ok(out)
}

/// The certificates of a PEM file, in order; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(path)?).collect();
    match read {
        Ok(all) if all.is_empty() => Err(format!(
            "{}: there is no certificate in it; it has to be PEM",
            path.display()
        )),
        Ok(all) => Ok(all),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

/// When a certificate ends (RFC 5280 section 4.1.2.5).
fn end_of(certificate: &[u8]) -> Option<Time> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp())
        .ok()
        .map(Time)
}

/// Who vouches for clients: asked for a certificate, a client may come without, but not with one
/// that nobody vouches for.
fn authorities(
    path: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for (i, cert) in certificates(path)?.into_iter().enumerate() {
        roots.add(cert).map_err(|e| {
            format!(
                "{}: certificate {} cannot be read: {e}",
                path.display(),
                i + 1
            )
        })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated();
    verifier
        .build()
        .map_err(|e| format!("{}: {e}", path.display()))
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

    /// A certificate for these names and its key, as PEM.
    pub fn issue(by: &Authority, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        (
            CertificateParams::new(names)
                .unwrap()
                .signed_by(&key, by)
                .unwrap()
                .pem(),
            key.serialize_pem(),
        )
    }

    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The three files in a folder: a certificate of `ns.example`, and the authority as that of
    /// clients.
    pub fn files(folder: &Path, by: &Authority) -> Files {
        let (certificate, key) = issue(by, &["ns.example"]);
        let files = Files {
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
    fn what_is_wrong_with_the_files_is_said_with_the_file() {
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
        let cases: [(Files, &[&str]); 9] = [
            (
                Files {
                    certificate: dir.path().join("none"),
                    ..good.clone()
                },
                &["none: ", "[tls] of config.toml"],
            ),
            (
                Files {
                    certificate: at("empty.pem", ""),
                    ..good.clone()
                },
                &["empty.pem: there is no certificate"],
            ),
            (
                Files {
                    certificate: at("broken.pem", broken),
                    ..good.clone()
                },
                &["broken.pem", "cannot be read"],
            ),
            (
                Files {
                    certificate: at("long.pem", &"x".repeat(MAX_FILE as usize + 1)),
                    ..good.clone()
                },
                &["long.pem: longer than"],
            ),
            (
                Files {
                    certificate: at("other.pem", &other),
                    ..good.clone()
                },
                &["k.pem: this is not the key", "other.pem"],
            ),
            (
                Files {
                    key: open,
                    ..good.clone()
                },
                &["open.pem: anybody may use this key", "chmod"],
            ),
            (
                Files {
                    key: at("nokey.pem", &other),
                    ..good.clone()
                },
                &["nokey.pem: there is no private key"],
            ),
            (
                Files {
                    clients: Some(at("noca.pem", "")),
                    ..good.clone()
                },
                &["noca.pem: there is no certificate"],
            ),
            (
                Files {
                    clients: Some(at("badca.pem", broken)),
                    ..good.clone()
                },
                &["badca.pem: certificate 1 cannot be read"],
            ),
        ];
        for (files, parts) in cases {
            let said = files.read().err().unwrap_or_default();
            assert!(parts.iter().all(|p| said.contains(p)), "{parts:?}: {said}");
        }
    }

    #[test]
    fn changed_files_are_taken_and_bad_ones_leave_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let ca = authority();
        let files = files(dir.path(), &ca);
        let certificates = Certificates::open(files.clone()).unwrap();
        let first = certificates.ready();
        assert!(certificates.prepare(&files).unwrap().is_none());
        assert!(
            Arc::ptr_eq(&first, &certificates.ready()),
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
            Arc::ptr_eq(&first, &certificates.ready()),
            "the key does not belong to it"
        );
        assert!(
            certificates
                .state
                .lock()
                .said
                .as_ref()
                .unwrap()
                .contains("not the key")
        );
        put(&files.key, &key);
        certificates.check();
        assert!(
            !Arc::ptr_eq(&first, &certificates.ready()),
            "taken by the check"
        );
        assert_eq!(certificates.state.lock().said, None);
        let other = Files {
            clients: None,
            ..files.clone()
        };
        certificates.apply(certificates.prepare(&other).unwrap().unwrap());
        assert!(certificates.prepare(&other).unwrap().is_none());
        let missing = Files {
            key: dir.path().join("none"),
            ..files.clone()
        };
        assert!(certificates.prepare(&missing).is_err());
        assert_eq!(certificates.state.lock().files, other);
    }
}
