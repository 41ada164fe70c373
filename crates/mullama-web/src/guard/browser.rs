//! Keeps pages of other sites out: DNS rebinding by the header `Host`, forged requests by `Origin`, answers by CORS.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{HOST, HeaderName, ORIGIN, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Uri};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::work::{LIMIT, REMAINING, RESET};
use crate::config::WebConfig;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// Refuses requests that a page of another site makes a browser send.
pub(crate) async fn known_caller(State(state): State<AppState>, request: Request, next: Next) -> Response {
    match check(&state.config(), state.keys().required(), &request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// What pages of other origins may read: nothing, but for those of the configuration at this moment. To be put outside of
/// whatever asks for keys: browsers ask first, and without one.
pub(crate) async fn cors(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let rest = service_fn(move |request| {
        let next = next.clone();
        async move { Ok::<_, Infallible>(next.run(request).await) }
    });
    match cors_layer(&state.config()).layer(rest).oneshot(request).await {
        Ok(response) => response.map(Body::new),
        Err(never) => match never {},
    }
}

fn cors_layer(config: &WebConfig) -> CorsLayer {
    if config.cors_origins.is_empty() {
        return CorsLayer::new();
    }
    let origins = if any(&config.cors_origins) {
        AllowOrigin::any()
    } else {
        // An origin that is no header is none that a browser sends.
        AllowOrigin::list(config.cors_origins.iter().filter_map(|origin| plain(origin).parse::<HeaderValue>().ok()))
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        // OpenAI's client for JavaScript sends a dozen of its own.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(Duration::from_secs(600))
}

fn check<B>(config: &WebConfig, keys: bool, request: &http::Request<B>) -> ApiResult<()> {
    let host = host(request.headers())?;
    if !keys && !is_probe(request) {
        // Of a request to a proxy the address counts too.
        for authority in [host.as_ref(), request.uri().authority()].into_iter().flatten() {
            if !is_known(config, authority) {
                let message = format!(
                    "This server is not called `{}`. Where no API key is asked for, only its known names are answered: \
                     `localhost`, loopback addresses, and those of `allowed_hosts`.",
                    authority.host()
                );
                return Err(ApiError::forbidden("host_not_allowed", message));
            }
        }
    }
    if request.method().is_safe() {
        return Ok(());
    }
    for origin in request.headers().get_all(ORIGIN) {
        if !is_allowed(config, origin, host.as_ref()) {
            let message = "Pages of this origin may not call this server: it is not among `cors_origins`.";
            return Err(ApiError::forbidden("origin_not_allowed", message));
        }
    }
    Ok(())
}

/// Asks only how it is; Kubernetes asks by an address.
fn is_probe<B>(request: &http::Request<B>) -> bool {
    let path = request.uri().path();
    request.method().is_safe() && (["/health", "/v1/health"].contains(&path) || path.starts_with("/health/"))
}

/// `Host`. Browsers send it always; who sends none is none.
fn host(headers: &HeaderMap) -> ApiResult<Option<Authority>> {
    let mut all = headers.get_all(HOST).into_iter();
    let (first, second) = (all.next(), all.next());
    let bad = |message: &str| ApiError::invalid("host", message).code("invalid_host");
    match (first, second) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(bad("The request has several headers `Host`.")),
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok().filter(|host| !host.as_str().contains('@'));
            host.map(Some).ok_or_else(|| bad("The header `Host` is neither a name nor an address."))
        }
    }
}

fn is_known(config: &WebConfig, authority: &Authority) -> bool {
    let name = authority.host().trim_end_matches('.');
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
        || any(&config.allowed_hosts)
        || config.allowed_hosts.iter().any(|allowed| {
            let allowed = allowed.trim_end_matches('.').trim_start_matches('[').trim_end_matches(']');
            allowed.eq_ignore_ascii_case(address)
        })
}

fn is_allowed(config: &WebConfig, origin: &HeaderValue, host: Option<&Authority>) -> bool {
    if any(&config.cors_origins) {
        return true;
    }
    let Ok(origin) = origin.to_str() else { return false };
    if config.cors_origins.iter().any(|allowed| plain(allowed).eq_ignore_ascii_case(origin)) {
        return true;
    }
    // `null` has no authority.
    let uri = origin.parse::<Uri>().ok();
    let same = |uri: &Uri, host: &Authority| {
        let default = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return false,
        };
        uri.host().is_some_and(|name| name.eq_ignore_ascii_case(host.host()))
            && uri.port_u16().unwrap_or(default) == host.port_u16().unwrap_or(default)
    };
    uri.zip(host).is_some_and(|(uri, host)| same(&uri, host))
}

fn any(list: &[String]) -> bool {
    list.iter().any(|entry| entry == "*")
}

/// As browsers write it.
fn plain(origin: &str) -> &str {
    origin.trim_end_matches('/')
}

const EXPOSED: [HeaderName; 8] = [
    HeaderName::from_static("x-request-id"),
    RETRY_AFTER,
    HeaderName::from_static("retry-after-ms"),
    HeaderName::from_static("x-should-retry"),
    HeaderName::from_static("openai-processing-ms"),
    LIMIT,
    REMAINING,
    RESET,
];

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use http::StatusCode;
    use http::header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    };
    use tower::ServiceExt as _;

    use super::*;

    fn config(hosts: &[&str], origins: &[&str]) -> WebConfig {
        let owned = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
        WebConfig { allowed_hosts: owned(hosts), cors_origins: owned(origins), ..WebConfig::default() }
    }

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> http::Request<()> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn code(config: &WebConfig, keys: bool, request: &http::Request<()>) -> Option<&'static str> {
        check(config, keys, request).err().map(|error| error.code.unwrap())
    }

    #[test]
    fn only_known_names_are_answered_without_keys() {
        let config = config(&["models.example.org", "fe80::7"], &[]);
        let of = |host: &str| code(&config, false, &request("GET", "/v1/models", &[("host", host)]));
        for host in ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:1", "127.9.9.9", "[::1]:8080"] {
            assert_eq!(of(host), None, "{host}");
        }
        for host in ["models.example.org:443", "Models.Example.Org", "[fe80::7]", "[::ffff:127.0.0.1]:5"] {
            assert_eq!(of(host), None, "{host}");
        }
        for host in ["example.org", "10.0.0.1", "[::2]", "localhost.evil.org", "127.0.0.1.evil.org", "evillocalhost"] {
            assert_eq!(of(host), Some("host_not_allowed"), "{host}");
        }
        for host in ["localhost@evil.org", "a b", ""] {
            assert_eq!(of(host), Some("invalid_host"), "{host}");
        }
        let two = request("GET", "/", &[("host", "localhost"), ("host", "evil.org")]);
        assert_eq!(code(&config, true, &two), Some("invalid_host"));
        let absolute = request("GET", "http://evil.org/", &[("host", "localhost")]);
        assert_eq!(code(&config, false, &absolute), Some("host_not_allowed"));
        assert_eq!(code(&config, false, &request("GET", "/", &[])), None);
    }

    #[test]
    fn any_name_will_do_with_keys_for_probes_and_where_it_is_said() {
        let evil = |path: &str| request("GET", path, &[("host", "evil.org")]);
        assert_eq!(code(&config(&[], &[]), true, &evil("/v1/models")), None);
        assert_eq!(code(&config(&[], &[]), false, &evil("/health/ready")), None);
        assert_eq!(code(&config(&["*"], &[]), false, &evil("/v1/models")), None);
        assert_eq!(code(&config(&[], &[]), false, &evil("/healthy")), Some("host_not_allowed"));
    }

    #[test]
    fn foreign_pages_may_not_send() {
        let config = config(&[], &["https://app.example.org"]);
        let of = |method: &str, host: &str, origin: &str| {
            code(&config, true, &request(method, "/v1/models", &[("host", host), ("origin", origin)]))
        };
        for (host, origin) in [
            ("localhost:8080", "http://localhost:8080"),
            ("models.example.org", "https://models.example.org"),
            ("models.example.org:443", "https://models.example.org"),
            ("localhost:8080", "https://app.example.org"),
        ] {
            assert_eq!(of("POST", host, origin), None, "{origin} at {host}");
        }
        for (host, origin) in [
            ("localhost:8080", "http://localhost:3000"),
            ("localhost:8080", "http://localhost"),
            ("localhost:8080", "https://app.example.org.evil.org"),
            ("localhost:8080", "https://app.example.org:444"),
            ("localhost:8080", "null"),
            ("localhost:8080", ""),
            ("localhost", "file://localhost"),
        ] {
            assert_eq!(of("POST", host, origin), Some("origin_not_allowed"), "{origin} at {host}");
            assert_eq!(of("DELETE", host, origin), Some("origin_not_allowed"), "{origin} at {host}");
            assert_eq!(of("GET", host, origin), None, "{origin} at {host}");
        }
    }

    async fn preflight(origins: &[&str], origin: &str) -> Response {
        let app: Router = Router::new().layer(cors_layer(&config(&[], origins)));
        let request = http::Request::builder()
            .method("OPTIONS")
            .uri("/v1/chat/completions")
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, "authorization,x-stainless-os");
        app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn answers_are_closed_to_other_origins() {
        let response = preflight(&["https://app.example.org/"], "https://app.example.org").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.org");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization,x-stainless-os");
        for (origins, origin) in [(&["https://app.example.org"][..], "https://evil.org"), (&[], "https://evil.org")] {
            let response = preflight(origins, origin).await;
            assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{origins:?}");
        }
        assert_eq!(preflight(&["*"], "https://evil.org").await.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");

        let app: Router = Router::new().layer(cors_layer(&config(&[], &["https://app.example.org"])));
        let request = http::Request::builder().uri("/").header(ORIGIN, "https://app.example.org");
        let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let exposed = response.headers()[ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
        assert!(exposed.contains("x-request-id") && exposed.contains("x-ratelimit-reset-requests"), "{exposed}");
    }
}
