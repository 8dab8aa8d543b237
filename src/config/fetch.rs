//! What was typed for `wattledger fetch` → one checked request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;

use super::ConfigError;
use crate::meter::catalog::Catalog;
use crate::source::remote::{Access, Credentials, Protocol, Request, Retry, Secret};
use crate::time::{MINUTE_MS, Window, parse_duration_ms, parse_instant};

/// Environment variable with the password for `--user`.
pub const PASSWORD_VARIABLE: &str = "WATTLEDGER_PASSWORD";
/// Environment variable with a bearer token.
pub const TOKEN_VARIABLE: &str = "WATTLEDGER_BEARER_TOKEN";

/// What was typed.
#[derive(Clone, Debug, Default)]
pub struct FetchFlags {
    /// `--prometheus`.
    pub prometheus: String,
    /// `--last`.
    pub last: Option<String>,
    /// `--from`.
    pub from: Option<String>,
    /// `--to`.
    pub to: Option<String>,
    /// `--out`.
    pub out: PathBuf,
    /// `--match`.
    pub selectors: Vec<String>,
    /// `--protocol`; the best one if absent.
    pub protocol: Option<Protocol>,
    /// `--user`.
    pub user: Option<String>,
    /// `--password-file`.
    pub password_file: Option<PathBuf>,
    /// `--bearer-token-file`.
    pub bearer_token_file: Option<PathBuf>,
    /// `--header`.
    pub headers: Vec<String>,
    /// `--header-file`.
    pub header_file: Option<PathBuf>,
    /// `--ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `--cert-file`.
    pub cert_file: Option<PathBuf>,
    /// `--key-file`.
    pub key_file: Option<PathBuf>,
    /// `--connections`.
    pub connections: usize,
    /// `--retries`.
    pub retries: u32,
    /// `--timeout`, in seconds.
    pub timeout_s: u64,
}

/// Checks the flags and reads the secrets. `variable` looks up the environment,
/// `now_ms` is the present: what lies after it is not there yet.
///
/// # Errors
///
/// For any value that cannot be, naming the flag; where a file with a secret cannot be read.
pub fn fetch_request(
    flags: &FetchFlags,
    now_ms: i64,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Request, ConfigError> {
    let window = window(flags, now_ms)?;
    let metrics = Catalog::shipped().map_err(|error| value("meter catalog", error.to_string(), None))?;
    let access = Access {
        url: flags.prometheus.clone(),
        credentials: credentials(flags, variable)?,
        headers: headers(flags)?,
        ca_file: flags.ca_file.clone(),
        cert_file: flags.cert_file.clone(),
        key_file: flags.key_file.clone(),
    };
    if flags.key_file.is_some() && flags.cert_file.is_none() {
        return Err(value("--key-file", "it needs `--cert-file`".to_owned(), None));
    }
    Ok(Request {
        access,
        window,
        metrics: metrics.metrics().map(str::to_owned).collect(),
        selectors: flags.selectors.clone(),
        out: flags.out.clone(),
        protocol: flags.protocol,
        connections: flags.connections.max(1),
        retry: Retry { retries: flags.retries, ..Retry::default() },
        timeout: Duration::from_secs(flags.timeout_s.max(1)),
    })
}

fn value(setting: &str, reason: String, hint: Option<&str>) -> ConfigError {
    ConfigError::Value { setting: setting.to_owned(), reason, hint: hint.map(str::to_owned) }
}

fn window(flags: &FetchFlags, now_ms: i64) -> Result<Window, ConfigError> {
    // A scrape may be on its way; whole minutes also make a repeated command the same one.
    let now_ms = now_ms.div_euclid(MINUTE_MS) * MINUTE_MS;
    let instant = |flag: &str, text: &str| {
        parse_instant(text, Tz::UTC).map_err(|error| value(flag, error.to_string(), None))
    };
    let end_ms = match &flags.to {
        Some(text) => instant("--to", text)?.min(now_ms),
        None => now_ms,
    };
    let start_ms = match (&flags.last, &flags.from) {
        (Some(text), None) => {
            let length_ms =
                parse_duration_ms(text).map_err(|error| value("--last", error.to_string(), None))?;
            end_ms.saturating_sub(length_ms)
        }
        (None, Some(text)) => instant("--from", text)?,
        _ => {
            return Err(value(
                "--last/--from",
                "expected one of them".to_owned(),
                Some("for example `--last 7d`"),
            ));
        }
    };
    let window = Window::new(start_ms, end_ms);
    if window.is_empty() {
        return Err(value("--from/--to", format!("{window} is empty, or not over yet"), None));
    }
    Ok(window)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

fn credentials(
    flags: &FetchFlags,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Credentials, ConfigError> {
    let token = match &flags.bearer_token_file {
        Some(path) => Some(read(path)?),
        // A user named with a flag beats a token that happens to be around.
        None => variable(TOKEN_VARIABLE).filter(|_| flags.user.is_none()),
    };
    match (&flags.user, token) {
        (Some(_), Some(_)) => {
            Err(value("--user", "it cannot go with `--bearer-token-file`".to_owned(), None))
        }
        (Some(user), None) => {
            let password = match &flags.password_file {
                Some(path) => Some(read(path)?),
                None => variable(PASSWORD_VARIABLE),
            };
            let hint = "give `--password-file`, or the variable WATTLEDGER_PASSWORD";
            let password =
                password.ok_or_else(|| value("--user", "there is no password".to_owned(), Some(hint)))?;
            Ok(Credentials::Basic { user: user.clone(), password: Secret::new(&password) })
        }
        (None, _) if flags.password_file.is_some() => {
            Err(value("--password-file", "it needs `--user`".to_owned(), None))
        }
        (None, Some(token)) => Ok(Credentials::Bearer(Secret::new(&token))),
        (None, None) => Ok(Credentials::None),
    }
}

/// The headers of `--header` and `--header-file`, a line each.
fn headers(flags: &FetchFlags) -> Result<Vec<(String, Secret)>, ConfigError> {
    let file = flags.header_file.as_deref().map(read).transpose()?.unwrap_or_default();
    let lines = file.lines().map(|line| ("--header-file", line)).filter(|(_, line)| !line.trim().is_empty());
    let typed = flags.headers.iter().map(|line| ("--header", line.as_str()));
    typed
        .chain(lines)
        .map(|(flag, line)| {
            // The line is not repeated: it may hold a secret.
            let (name, text) =
                line.split_once(':').ok_or_else(|| value(flag, "expected `NAME: VALUE`".to_owned(), None))?;
            Ok((name.trim().to_owned(), Secret::new(text)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24 04:30:59.5 UTC.
    const NOW_MS: i64 = 1_795_494_659_500;

    fn flags() -> FetchFlags {
        FetchFlags {
            prometheus: "http://host".to_owned(),
            last: Some("2h".to_owned()),
            ..FetchFlags::default()
        }
    }

    fn request(flags: &FetchFlags) -> Result<Request, String> {
        fetch_request(flags, NOW_MS, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn windows_end_with_the_last_whole_minute_at_the_latest() {
        let window = |last: Option<&str>, from: Option<&str>, to: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let flags = FetchFlags { last: own(last), from: own(from), to: own(to), ..flags() };
            request(&flags).map(|request| request.window.to_string())
        };
        assert_eq!(window(Some("2h"), None, None).unwrap(), "2026-11-24T02:30:00Z to 2026-11-24T04:30:00Z");
        assert_eq!(
            window(Some("1d"), None, Some("2026-11-02")).unwrap(),
            "2026-11-01T00:00:00Z to 2026-11-02T00:00:00Z"
        );
        assert_eq!(
            window(None, Some("2026-11-24"), Some("2027-01-01")).unwrap(),
            "2026-11-24T00:00:00Z to 2026-11-24T04:30:00Z"
        );
        for (last, from, to) in [
            (None, None, None),
            (Some("1d"), Some("2026-11-01"), None),
            (Some("soon"), None, None),
            (None, Some("2027-01-01"), None),
        ] {
            assert!(window(last, from, to).is_err());
        }
    }

    #[test]
    fn secrets_come_from_files_or_the_environment() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "open sesame\n").unwrap();
        let basic = FetchFlags { user: Some("ali".to_owned()), password_file: Some(path), ..flags() };
        let Credentials::Basic { user, password } = request(&basic).unwrap().access.credentials else {
            panic!()
        };
        assert!(user == "ali" && password == Secret::new("open sesame"));
        let variables = |name: &str| Some(format!("the {name}"));
        let bearer = fetch_request(&flags(), NOW_MS, &variables).unwrap().access.credentials;
        assert!(
            matches!(bearer, Credentials::Bearer(token) if token == Secret::new("the WATTLEDGER_BEARER_TOKEN"))
        );
        let no_password = FetchFlags { user: Some("ali".to_owned()), ..flags() };
        assert!(request(&no_password).unwrap_err().contains("no password"));
        let broken = FetchFlags { headers: vec!["X-Key s3cret".to_owned()], ..flags() };
        assert!(!request(&broken).unwrap_err().contains("s3cret"));
    }
}
