//! Where the server is and how it lets one in: address, credentials, TLS, headers.

use std::path::PathBuf;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::RemoteError;

/// The header by which Mimir, Cortex and Loki tell whose data is meant.
const TENANT_HEADER: &str = "x-scope-orgid";
/// What stands in a message in place of a secret.
const REDACTED: &str = "[redacted]";
/// Shorter secrets are not searched for in messages: they would be found in every word.
const SHORTEST_SEARCHED: usize = 4;

/// A password, a token or the value of a header: never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` without the white space around it, which files end with.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Who asks.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// HTTP basic authentication.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: Secret,
    },
    /// A bearer token.
    Bearer(Secret),
}

/// Address and everything that goes with each request.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Base address, up to what stands before `/api/v1`.
    pub url: String,
    /// Who asks.
    pub credentials: Credentials,
    /// Further headers; their values are taken for secrets.
    pub headers: Vec<(String, Secret)>,
    /// PEM file with the certificates of the authority that signed the
    /// server's; it replaces those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the client's certificate and its chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the client's key; by default it is looked for in `cert_file`.
    pub key_file: Option<PathBuf>,
    /// User and password for the proxies of the environment. They are sent to those by themselves; here they
    /// stand so that no message repeats them.
    pub proxies: Vec<(String, Secret)>,
}

impl Access {
    /// The base address, checked.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Address`] for what is not `http` or `https`, and for an address with credentials in it.
    pub fn base(&self) -> Result<Url, RemoteError> {
        let wrong = |reason: &str, shown: &str| RemoteError::Address {
            text: shown.to_owned(),
            reason: reason.to_owned(),
        };
        // What does not parse could be a password anywhere: it is shown only where it has no `@`.
        let shown = if self.url.contains('@') { REDACTED } else { &self.url };
        let mut url = Url::parse(&self.url).map_err(|error| wrong(&error.to_string(), shown))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("expected `http://HOST…` or `https://HOST…`", shown));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("credentials do not belong into the address", REDACTED));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong(
                "expected nothing after the path",
                url.origin().ascii_serialization().as_str(),
            ));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    /// The headers of each request, marked so that no log shows the secret ones.
    pub(super) fn header_map(&self) -> Result<HeaderMap, RemoteError> {
        let mut map = HeaderMap::new();
        for (name, Secret(value)) in &self.headers {
            let wrong = |reason: &str| RemoteError::Header { name: name.clone(), reason: reason.to_owned() };
            let key: HeaderName = name.trim().parse().map_err(|_| wrong("that is not a header's name"))?;
            let mut text = HeaderValue::from_str(value)
                .map_err(|_| wrong("its value has characters that no header may have"))?;
            text.set_sensitive(true);
            map.append(key, text);
        }
        let authorization = match &self.credentials {
            Credentials::None => return Ok(map),
            Credentials::Basic { user, password } => {
                format!("Basic {}", base64(format!("{user}:{}", password.0).as_bytes()))
            }
            Credentials::Bearer(token) => format!("Bearer {}", token.0),
        };
        let mut value = HeaderValue::from_str(&authorization).map_err(|_| RemoteError::Header {
            name: "Authorization".to_owned(),
            reason: "the token has characters that no header may have".to_owned(),
        })?;
        value.set_sensitive(true);
        map.insert(AUTHORIZATION, value);
        Ok(map)
    }

    /// What decides whose data the server shows: tenant and user, no secrets.
    pub(super) fn identity(&self) -> Vec<(&'static str, &str)> {
        let tenants = self.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(TENANT_HEADER));
        let mut identity: Vec<_> = tenants.map(|(_, Secret(value))| ("tenant", value.as_str())).collect();
        if let Credentials::Basic { user, .. } = &self.credentials {
            identity.push(("user", user));
        }
        identity
    }

    /// `text` with every secret in it replaced: a server may repeat what it was sent.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut secrets: Vec<String> = Vec::new();
        let mut basic = |user: &str, password: &Secret| {
            secrets.extend([password.0.clone(), base64(format!("{user}:{}", password.0).as_bytes())]);
        };
        self.proxies.iter().for_each(|(user, password)| basic(user, password));
        match &self.credentials {
            Credentials::None => {}
            Credentials::Basic { user, password } => basic(user, password),
            Credentials::Bearer(token) => secrets.push(token.0.clone()),
        }
        for (_, Secret(value)) in &self.headers {
            // Of `Bearer …` the token alone is a secret as well.
            secrets.extend(value.split_once(' ').map(|(_, token)| token.trim().to_owned()));
            secrets.push(value.clone());
        }
        secrets.retain(|secret| secret.len() >= SHORTEST_SEARCHED);
        // One may begin another: the rest of the longer one would stay.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, REDACTED))
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().zip([16, 8, 0]).fold(0_u32, |bits, (byte, shift)| bits | u32::from(*byte) << shift);
        for (nth, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let letter = ALPHABET.get((bits >> shift & 63) as usize).copied().unwrap_or(b'=');
            text.push(if nth <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(url: &str) -> Result<String, String> {
        let access = Access { url: url.to_owned(), ..Access::default() };
        access.base().map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses() {
        assert_eq!(base("http://localhost:9090").unwrap(), "http://localhost:9090/");
        assert_eq!(base("https://mimir/prometheus").unwrap(), "https://mimir/prometheus/");
        for wrong in ["localhost:9090", "ftp://host", "http://", "http://host?x=1", "nonsense"] {
            assert!(base(wrong).is_err(), "{wrong}");
        }
        for secret in ["http://user:hunter2@host", "http://us er:hunter2@", "hunter2@host"] {
            let said = base(secret).unwrap_err();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn base64_as_in_rfc_4648() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let access = Access {
            url: "http://host".to_owned(),
            credentials: Credentials::Basic {
                user: "Aladdin".to_owned(),
                password: Secret::new("open sesame\n"),
            },
            headers: vec![
                ("X-Api-Key".to_owned(), Secret::new("k3y-0f-all")),
                // Begins with another one.
                ("X-Longer-Key".to_owned(), Secret::new("k3y-0f-all-doors")),
                ("X-Forwarded-Authorization".to_owned(), Secret::new("Bearer t0ken-of-mine")),
            ],
            ..Access::default()
        };
        let headers = access.header_map().unwrap();
        // The example of RFC 7617.
        assert_eq!(headers.get(AUTHORIZATION).unwrap(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        for shown in [
            format!("{access:?}"),
            format!("{headers:?}"),
            access.redact("open sesame, QWxhZGRpbjpvcGVuIHNlc2FtZQ== k3y-0f-all"),
            access.redact("keys k3y-0f-all-doors; bad token t0ken-of-mine"),
        ] {
            for secret in ["sesame", "k3y", "QWxh", "doors", "t0ken"] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }
}
