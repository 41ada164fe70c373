//! The HTTP server.

use std::path::PathBuf;

use mullama_web::EmbeddingTokens;

use crate::field::{Kind, section, whole};
use crate::secret::Secret;

section! {
    /// The HTTP server: where it listens, who may use it, and how much at once.
    pub struct ServeConfig {
        /// The address to listen on, or a name of this machine. Default 127.0.0.1.
        host: String = "127.0.0.1".to_owned(), Kind::Text, Restart;
        /// The port to listen on; 0 takes a free one. Default 8080.
        port: u16 = 8_080, whole(0, 65_535), Restart;
        /// Threads for HTTP; the models have their own. Default 2.
        threads: u32 = 2, whole(1, 256), Restart;
        /// Connections: limits on heads and time.
        http: HttpConfig = HttpConfig::default(), Kind::Section(HttpConfig::FIELDS), Restart;
        /// HTTPS.
        tls: TlsConfig = TlsConfig::default(), Kind::Section(TlsConfig::FIELDS), Restart;
        /// Who may use it.
        auth: AuthConfig = AuthConfig::default(), Kind::Section(AuthConfig::FIELDS), Live;
        /// What pages of other origins may do.
        cors: CorsConfig = CorsConfig::default(), Kind::Section(CorsConfig::FIELDS), Live;
        /// How much work is taken.
        limits: LimitsConfig = LimitsConfig::default(), Kind::Section(LimitsConfig::FIELDS), Live;
        /// Vectors.
        embeddings: EmbeddingsConfig = EmbeddingsConfig::default(), Kind::Section(EmbeddingsConfig::FIELDS), NextRequest;
    }
}

section! {
    /// Connections: limits on heads and time.
    pub struct HttpConfig {
        /// Connections at the same time; new ones then wait in the system's queue. Default 10,000.
        max_connections: usize = 10_000, whole(1, 1 << 20), Restart;
        /// Connections at the same time from one address (IPv6: one /64); one more is closed at once. Behind a proxy all have
        /// the proxy's address. Unset (default): only `max_connections` counts.
        max_connections_per_address: Option<usize> = None, whole(1, 1 << 20), Restart;
        /// Bytes of a request's head; a longer one is 431. Default 65,536.
        max_head_bytes: usize = 64 << 10, whole(8 << 10, 1 << 20), Restart;
        /// Headers of a request; one more is 431. Default 100.
        max_headers: usize = 100, whole(1, 1_000), Restart;
        /// Time for a head to arrive, and for the handshake of TLS, in ms. Default 10,000.
        head_timeout_ms: u64 = 10_000, whole(10, 600_000), Restart;
        /// Silence in a body that is waited for, in ms. Default 30,000.
        body_timeout_ms: u64 = 30_000, whole(10, 3_600_000), Restart;
        /// How long a client may take nothing of its answer, in ms. Default 30,000.
        write_timeout_ms: u64 = 30_000, whole(10, 3_600_000), Restart;
        /// How long a connection is kept without a request, in ms. Default 75,000.
        idle_timeout_ms: u64 = 75_000, whole(10, 3_600_000), Restart;
        /// When told to end: time in which it is not ready, but still takes requests, in ms. Default 5,000.
        shutdown_grace_ms: u64 = 5_000, whole(0, 600_000), Restart;
        /// After that: time for the requests that run, in ms. Default 45,000.
        shutdown_timeout_ms: u64 = 45_000, whole(0, 3_600_000), Restart;
        /// How long a stream waits for its first token before it answers 200, in ms. Default 10,000.
        first_event_timeout_ms: u64 = 10_000, whole(0, 600_000), NextRequest;
        /// Silence after which a stream sends a comment, in ms. Default 15,000.
        keep_alive_ms: u64 = 15_000, whole(100, 600_000), NextRequest;
    }
}

section! {
    /// HTTPS. Both files are read again when they change.
    pub struct TlsConfig {
        /// The certificate and those that vouch for it, as PEM. Unset (default): plain HTTP.
        certificate: Option<PathBuf> = None, Kind::Path, Restart;
        /// The certificate's private key, as PEM.
        key: Option<PathBuf> = None, Kind::Path, Restart;
    }
}

section! {
    /// Who may use the server.
    pub struct AuthConfig {
        /// Keys that requests must bring. Empty (default): none is asked for. A file is the better place: `api_key_file`.
        api_keys: Vec<Secret> = Vec::new(), Kind::List(&Kind::Secret), Live;
        /// A file with further keys, one a line; read again when it changes. Default: none.
        api_key_file: Option<PathBuf> = None, Kind::Path, Live;
        /// Keys of those who may see and change the configuration over HTTP, from this machine: `GET` and `PATCH /admin/config`.
        /// Empty (default): nobody.
        admin_keys: Vec<Secret> = Vec::new(), Kind::List(&Kind::Secret), Live;
        /// A file with further keys of these, one a line; read again when it changes. Default: none.
        admin_key_file: Option<PathBuf> = None, Kind::Path, Live;
        /// Listen on addresses that others can reach, although no key is asked for. Default false.
        allow_unauthenticated: bool = false, Kind::Flag, Restart;
        /// Names by which this server is called, beside `localhost` and loopback addresses, where no key is asked for; `*`:
        /// any. Default: none.
        allowed_hosts: Vec<String> = Vec::new(), Kind::List(&Kind::Text), Live;
        /// Each key shares beginnings of prompts only with itself (true), or all with all (false, default).
        cache_by_key: bool = false, Kind::Flag, NextRequest;
    }
}

section! {
    /// What pages of other origins may do.
    pub struct CorsConfig {
        /// Origins whose pages may read answers, like `https://app.example.org`; `*`: any. Default: none.
        origins: Vec<String> = Vec::new(), Kind::List(&Kind::Text), Live;
    }
}

section! {
    /// How much work is taken.
    pub struct LimitsConfig {
        /// Bytes of a body at most. Default 32 MiB.
        max_body_bytes: usize = 32 << 20, whole(1 << 10, 1 << 30), Restart;
        /// Answers to one request at most (`n`). Default 8.
        max_choices: u32 = 8, whole(1, 64), NextRequest;
        /// Texts of one request for embeddings, or documents of one for ranking, at most. Default 2,048.
        max_inputs: usize = 2_048, whole(1, 1 << 20), NextRequest;
        /// Requests for work that are answered at the same time; one more is 429. Default 4,096.
        max_concurrent: usize = 4_096, whole(1, 1 << 20), Live;
        /// Requests for work in a minute that each key (without keys: all together) may make. Unset (default): any.
        requests_per_minute: Option<u32> = None, whole(1, u32::MAX as i128), Live;
        /// A request without a time limit of its own ends after this time, in ms. Unset (default): never.
        request_timeout_ms: Option<u64> = None, whole(1, 31_536_000_000), NextRequest;
    }
}

section! {
    /// Vectors.
    pub struct EmbeddingsConfig {
        /// What lists of tokens in requests mean: nothing (`reject`, default), or tokens of the model (`model`).
        tokens: EmbeddingTokens = EmbeddingTokens::Reject, Kind::Names(&["reject", "model"]), NextRequest;
        /// Cut vectors to the `dimensions` of a request. Default false: only models that were trained for it bear it.
        truncation: bool = false, Kind::Flag, NextRequest;
    }
}
