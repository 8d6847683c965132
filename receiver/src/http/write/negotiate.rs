//! Which protocol a request speaks, from its headers alone, before its body is looked at.
//!
//! Read as RFC 9110 has it (section 8.3.1): case-insensitive names, optional white space, quoted values.

use axum::http::{HeaderMap, HeaderName, header};

use crate::ingest::Version;

/// The version, or what is wrong with the headers.
pub(in crate::http) fn negotiate(headers: &HeaderMap) -> Result<Version, String> {
    let encoding = text(headers, header::CONTENT_ENCODING)?;
    if !encoding.is_empty() && !encoding.eq_ignore_ascii_case("snappy") {
        return Err(format!("Content-Encoding `{encoding}` is not supported: send snappy\n"));
    }
    let content_type = text(headers, header::CONTENT_TYPE)?;
    // Very old senders send none, and mean 1.0.
    if content_type.is_empty() {
        return Ok(Version::V1);
    }
    let (media_type, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !media_type.trim().eq_ignore_ascii_case("application/x-protobuf") {
        return Err(format!(
            "Content-Type `{content_type}` is not supported: send application/x-protobuf\n"
        ));
    }
    match parameter(parameters, "proto").as_deref() {
        None => Ok(Version::V1),
        Some(message) => {
            let known = [Version::V1, Version::V2].into_iter().find(|v| v.message() == message);
            known.ok_or_else(|| {
                format!(
                    "protobuf message `{message}` is not supported: send {} (remote write 1.0) or {} (2.0)\n",
                    Version::V1.message(),
                    Version::V2.message()
                )
            })
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Result<&str, String> {
    match headers.get(&name) {
        None => Ok(""),
        Some(value) => {
            value.to_str().map(str::trim).map_err(|_| format!("{name} is not readable text\n"))
        }
    }
}

/// The value of one parameter of `a=b; c="d"`.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let (name, after) = rest.split_once('=')?;
        // RFC 9110 has no white space there; some senders do.
        let after = after.trim_start_matches([' ', '\t']);
        let value;
        if let Some(quoted) = after.strip_prefix('"') {
            let mut unquoted = String::new();
            let mut characters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, character)) = characters.next() {
                match character {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => unquoted.extend(characters.next().map(|(_, escaped)| escaped)),
                    other => unquoted.push(other),
                }
            }
            value = unquoted;
            rest = &quoted[end..];
        } else {
            let end = after.find(';').unwrap_or(after.len());
            value = after[..end].trim().to_owned();
            rest = &after[end..];
        }
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn check(content_type: &str, encoding: &str, expected: Option<Version>) {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)]
        {
            if !value.is_empty() {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        assert_eq!(negotiate(&headers).ok(), expected, "{content_type:?} {encoding:?}");
    }

    #[test]
    fn headers() {
        let v1 = Some(Version::V1);
        let v2 = Some(Version::V2);
        check("", "", v1);
        check("application/x-protobuf", "snappy", v1);
        check("Application/X-Protobuf ; Proto=\"prometheus.WriteRequest\"", "Snappy", v1);
        check("application/x-protobuf; charset=x; proto=prometheus.WriteRequest", "", v1);
        check("application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy", v2);
        check("application/x-protobuf; proto=io.prometheus.write.v2.Request", "snappy", v2);
        check("application/x-protobuf ;\tPROTO=\"io.prometheus.write.v2.Request\" ", "", v2);
        check("application/x-protobuf;a=\";proto=x\";proto=io.prometheus.write.v2.Request", "", v2);
        check("application/x-protobuf;proto=\"io.prometheus.write.v2\\.Request\"", "", v2);
        check("application/x-protobuf;proto=unknown", "snappy", None);
        check("application/x-protobuf;proto=", "snappy", None);
        check("application/x-protobuf;proto=IO.prometheus.write.v2.Request", "snappy", None);
        check("application/json", "snappy", None);
        check("application/x-protobuffer", "snappy", None);
        check("application/x-protobuf", "gzip", None);
        check("application/x-protobuf", "zstd", None);
        check("application/x-protobuf; =; \"", "", v1);
    }
}
