//! Takes the credentials out of URLs before they are shown: providers of RPC put keys into user names, paths and queries.

/// A segment of a path that is this long is taken for a key. Words such as `solana-mainnet` are shorter.
const KEY_CHARS_MIN: usize = 20;
const MASK: &str = "***";

/// `text` with the credentials of every URL in it replaced by `***`. What is no URL stays as it is.
#[must_use]
pub fn credentials(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, url) = rest.split_at(at + "://".len());
        let end = url
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ','))
            .unwrap_or(url.len());
        masked.push_str(before);
        put_masked(&mut masked, &url[..end]);
        rest = &url[end..];
    }
    masked.push_str(rest);
    masked
}

/// A URL without its scheme.
fn put_masked(out: &mut String, url: &str) {
    let (url, fragment) = cut(url, '#');
    let (url, query) = cut(url, '?');
    let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => {
            out.push_str(MASK);
            out.push('@');
            out.push_str(host);
        }
        None => out.push_str(authority),
    }
    let segments = path.split('/').map(|segment| {
        if segment.chars().count() >= KEY_CHARS_MIN {
            MASK
        } else {
            segment
        }
    });
    out.push_str(&segments.collect::<Vec<_>>().join("/"));
    if let Some(query) = query {
        out.push('?');
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            None => MASK.to_owned(),
        });
        out.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    if fragment.is_some() {
        out.push('#');
        out.push_str(MASK);
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_queries_fragments_and_long_segments_are_masked() {
        for (url, shown) in [
            ("https://user:pass@h:1/x", "https://***@h:1/x"),
            ("https://token@h", "https://***@h"),
            ("https://a@b@h/", "https://***@h/"),
            ("https://h/?api-key=abc", "https://h/?api-key=***"),
            ("https://h?a=1&b&c=", "https://h?a=***&***&c=***"),
            ("https://h/v2/0123456789abcdef0123/x", "https://h/v2/***/x"),
            ("https://h/#secret", "https://h/#***"),
        ] {
            assert_eq!(credentials(url), shown);
        }
    }

    #[test]
    fn every_url_of_a_list_is_masked_and_nothing_else_changes() {
        let list = r#"["https://u:p@a:1", "https://b?k=v", "c"]"#;
        let shown = r#"["https://***@a:1", "https://b?k=***", "c"]"#;
        assert_eq!(credentials(list), shown);
        for plain in [
            "https://api.mainnet-beta.solana.com",
            "http://[::1]:8899",
            "\"/a/very/long/path/0123456789abcdef0123/?x=1\"",
            "user:pass@host",
            "",
        ] {
            assert_eq!(credentials(plain), plain);
        }
    }
}
