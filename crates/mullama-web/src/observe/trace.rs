//! W3C Trace Context, level 1: the header `traceparent`.

use http::HeaderMap;

use super::TRACEPARENT;
use crate::id;

/// The trace that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    id: String,
    sampled: bool,
}

impl Trace {
    /// `None` unless there is exactly one such header and it is valid.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next().filter(|_| values.next().is_none())?;
        parse(value.to_str().ok()?)
    }

    /// 32 hexadecimal digits.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The header for what follows: the same trace, a new span.
    pub(super) fn next(&self) -> String {
        let mut span = id::new("");
        span.truncate(SPAN);
        format!("00-{}-{span}-{:02x}", self.id, u8::from(self.sampled))
    }
}

/// `00-{trace: 32 digits}-{parent: 16 digits}-{flags: 2 digits}`; later versions may have more behind it.
fn parse(text: &str) -> Option<Trace> {
    let mut parts = text.splitn(5, '-');
    let version = parts.next().filter(|part| is_hex(part, 2) && *part != "ff")?;
    let id = parts.next().filter(|part| is_hex(part, 32) && part.bytes().any(|byte| byte != b'0'))?;
    parts.next().filter(|part| is_hex(part, SPAN) && part.bytes().any(|byte| byte != b'0'))?;
    let flags = parts.next().filter(|part| is_hex(part, 2))?;
    if version == "00" && parts.next().is_some() {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    Some(Trace { id: id.to_owned(), sampled: flags & 1 == 1 })
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

const SPAN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn what_the_standard_allows_is_read() {
        for (text, sampled) in [
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02", false),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later", true),
        ] {
            let trace = parse(text).unwrap();
            assert_eq!((trace.id(), trace.sampled), (ID, sampled), "{text}");
            let next = trace.next();
            assert_eq!(parse(&next), Some(trace), "{next}");
            assert!(!next.contains("00f067aa0ba902b7"));
        }
    }

    #[test]
    fn what_it_does_not_is_left_alone() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(Trace::of(&headers), None);
        let value: http::HeaderValue = format!("00-{ID}-00f067aa0ba902b7-01").parse().unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert!(Trace::of(&headers).is_some());
        headers.append(TRACEPARENT, value);
        assert_eq!(Trace::of(&headers), None);
    }
}
