//! What was typed for `wattledger fetch` → one checked request.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono_tz::Tz;

use super::ConfigError;
use crate::meter::catalog::{Catalog, Quantity, Role};
use crate::source::remote::{
    Access, Aggregate, Credentials, Protocol, Pushdown, Request, Retry, Secret, Summed,
};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, Window, parse_duration_ms, parse_instant};

/// Environment variable with the password for `--user`.
pub const PASSWORD_VARIABLE: &str = "WATTLEDGER_PASSWORD";
/// Environment variable with a bearer token.
pub const TOKEN_VARIABLE: &str = "WATTLEDGER_BEARER_TOKEN";
/// Environment variables that name proxies, in capitals or not.
const PROXY_VARIABLES: [&str; 3] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"];

/// How a server is asked, as typed.
#[derive(Clone, Debug, Default)]
pub struct ServerFlags {
    /// `--prometheus`.
    pub prometheus: String,
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
    /// `--pushdown`: length of a step.
    pub pushdown: Option<String>,
}

/// Which time is meant, as typed.
#[derive(Clone, Debug, Default)]
pub struct TimeFlags {
    /// `--last`.
    pub last: Option<String>,
    /// `--from`.
    pub from: Option<String>,
    /// `--to`.
    pub to: Option<String>,
}

/// What was typed for `wattledger fetch`.
#[derive(Clone, Debug, Default)]
pub struct FetchFlags {
    /// The server.
    pub server: ServerFlags,
    /// The time.
    pub time: TimeFlags,
    /// `--out`.
    pub out: PathBuf,
    /// `--match`.
    pub selectors: Vec<String>,
}

/// Looks up a variable of the environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Checks the flags and reads the secrets. `variable` looks up the environment,
/// `now_ms` is the present: what lies after it is not there yet.
///
/// # Errors
///
/// For any value that cannot be, naming the flag; where a file with a secret cannot be read.
pub fn fetch_request(
    flags: &FetchFlags,
    catalog: &Catalog,
    now_ms: i64,
    variable: Variables<'_>,
) -> Result<Request, ConfigError> {
    let window = asked_window(&flags.time, now_ms, Tz::UTC)?;
    request(&flags.server, catalog, window, (flags.selectors.clone(), flags.out.clone()), variable)
}

/// The request for what a report over `window` reads, into a directory of its
/// own for this server under the cache.
///
/// Whole UTC days are asked for, and an hour more on either side of the window: the
/// intervals at its edges are known then, the day's best replica is that of the
/// whole day, and the blocks serve the next report too.
///
/// # Errors
///
/// As of [`fetch_request`]; also where no cache directory is known.
pub fn cached_request(
    server: &ServerFlags,
    catalog: &Catalog,
    cache: Option<&Path>,
    window: Window,
    now_ms: i64,
    variable: Variables<'_>,
) -> Result<Request, ConfigError> {
    let start_ms = window.start_ms.saturating_sub(HOUR_MS).div_euclid(DAY_MS).saturating_mul(DAY_MS);
    let day_after_ms = window
        .end_ms
        .saturating_add(HOUR_MS)
        .saturating_sub(1)
        .div_euclid(DAY_MS)
        .saturating_add(1)
        .saturating_mul(DAY_MS);
    let days = Window::new(start_ms, day_after_ms.min(last_minute(now_ms)));
    let cache = match cache {
        Some(directory) => directory.to_owned(),
        None => default_cache(variable)?,
    };
    let mut request = request(server, catalog, days, (Vec::new(), PathBuf::new()), variable)?;
    request.out = cache.join(request.cache_name());
    Ok(request)
}

/// Where caches lie by the XDG base directory specification.
fn default_cache(variable: Variables<'_>) -> Result<PathBuf, ConfigError> {
    let stated = |name: &str| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = stated("XDG_CACHE_HOME").or_else(|| stated("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("wattledger"))
        .ok_or_else(|| value("--cache", "neither XDG_CACHE_HOME nor HOME is set".to_owned(), None))
}

/// The series whose name fits the whole of a pattern.
fn by_name(pattern: &str) -> String {
    let escaped = pattern.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{{__name__=~\"{escaped}\"}}")
}

fn request(
    server: &ServerFlags,
    catalog: &Catalog,
    window: Window,
    (selectors, out): (Vec<String>, PathBuf),
    variable: Variables<'_>,
) -> Result<Request, ConfigError> {
    let pushdown = server.pushdown.as_deref().map(|step| pushdown(step, catalog)).transpose()?;
    if pushdown.is_some() && catalog.has_patterns() {
        let reason = "rows of `[[meter]]` with a pattern for `metric` have no sums".to_owned();
        return Err(value("--pushdown", reason, Some("name the metrics")));
    }
    let window = match &pushdown {
        Some(pushdown) if !selectors.is_empty() => {
            let reason = format!("sums of {} s are made for the catalog only", pushdown.step_ms / 1000);
            return Err(value("--match", reason, Some("leave out `--pushdown`")));
        }
        Some(pushdown) => whole_steps(window, pushdown.step_ms)?,
        None => window,
    };
    let access = Access {
        url: server.prometheus.clone(),
        credentials: credentials(server, variable)?,
        headers: headers(server)?,
        ca_file: server.ca_file.clone(),
        cert_file: server.cert_file.clone(),
        key_file: server.key_file.clone(),
        proxies: proxies(variable),
    };
    if server.key_file.is_some() && server.cert_file.is_none() {
        return Err(value("--key-file", "it needs `--cert-file`".to_owned(), None));
    }
    Ok(Request {
        access,
        window,
        metrics: catalog.metrics().map(str::to_owned).collect(),
        selectors: selectors.into_iter().chain(catalog.patterns().map(by_name)).collect(),
        out,
        protocol: server.protocol,
        pushdown,
        connections: server.connections.max(1),
        retry: Retry { retries: server.retries, ..Retry::default() },
        timeout: Duration::from_secs(server.timeout_s.max(1)),
    })
}

/// How each metric of the catalog is added up, in steps of `step`.
fn pushdown(step: &str, catalog: &Catalog) -> Result<Pushdown, ConfigError> {
    let step_ms = parse_duration_ms(step).map_err(|error| value("--pushdown", error.to_string(), None))?;
    if step_ms < MINUTE_MS || DAY_MS % step_ms != 0 {
        let reason = format!("`{step}` is less than a minute or does not divide a day");
        return Err(value("--pushdown", reason, Some("for example `--pushdown=1h`")));
    }
    let meters = catalog.meters().filter_map(|kind| {
        let aggregate = match kind.quantity {
            Quantity::Energy => Aggregate::Increase,
            Quantity::Power | Quantity::Utilisation | Quantity::Memory => Aggregate::Mean,
            Quantity::CpuTime => Aggregate::CpuTime,
            Quantity::PowerLimit => Aggregate::Last,
            _ => return None,
        };
        // A value well below the smallest that means "no value" is one.
        let below = kind.blank.iter().copied().reduce(f64::min).map(|blank| blank * 0.99);
        Some((kind.metric.clone(), Summed { aggregate, binding: kind.binding.clone(), below }))
    });
    // Hourly samples of these would tell wrong times of boots and outages.
    let facts = catalog.facts().filter(|(_, role)| !matches!(role, Role::Up | Role::BootTime));
    let last = Summed { aggregate: Aggregate::Last, binding: None, below: None };
    let facts = facts.map(|(metric, _)| (metric.to_owned(), last.clone()));
    Ok(Pushdown { step_ms, metrics: meters.chain(facts).collect() })
}

/// The whole steps of the UTC day that lie in `window`.
fn whole_steps(window: Window, step_ms: i64) -> Result<Window, ConfigError> {
    let floor = |at_ms: i64| at_ms.div_euclid(step_ms).saturating_mul(step_ms);
    let ceiling = |at_ms: i64| floor(at_ms.saturating_add(step_ms).saturating_sub(1));
    let steps = Window::new(ceiling(window.start_ms), floor(window.end_ms));
    if steps.is_empty() {
        return Err(value("--pushdown", format!("{window} holds no whole step"), None));
    }
    Ok(steps)
}

fn value(setting: &str, reason: String, hint: Option<&str>) -> ConfigError {
    ConfigError::Value { setting: setting.to_owned(), reason, hint: hint.map(str::to_owned) }
}

/// A scrape may be on its way; whole minutes also make a repeated command the same one.
fn last_minute(now_ms: i64) -> i64 {
    now_ms.div_euclid(MINUTE_MS).saturating_mul(MINUTE_MS)
}

/// The time that `--last`, or `--from` and `--to`, name; it ends with the last
/// whole minute at the latest. Times without an offset are of `zone`.
///
/// # Errors
///
/// For what is no time, empty or in the future, naming the flag.
pub fn asked_window(flags: &TimeFlags, now_ms: i64, zone: Tz) -> Result<Window, ConfigError> {
    let now_ms = last_minute(now_ms);
    let instant = |flag: &str, text: &str| {
        parse_instant(text, zone).map_err(|error| value(flag, error.to_string(), None))
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

fn credentials(flags: &ServerFlags, variable: Variables<'_>) -> Result<Credentials, ConfigError> {
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

/// User and password of the proxies that the environment names.
fn proxies(variable: Variables<'_>) -> Vec<(String, Secret)> {
    let names = PROXY_VARIABLES.iter().flat_map(|name| [(*name).to_owned(), name.to_ascii_lowercase()]);
    names
        .filter_map(|name| {
            let address = variable(&name)?;
            let rest = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest);
            let (credentials, _) = rest.rsplit_once('@')?;
            let (user, password) = credentials.split_once(':')?;
            // What is escaped there is sent as it is meant.
            Some((percent_decoded(user), Secret::new(&percent_decoded(password))))
        })
        .collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.filter(|_| *byte == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.unwrap_or(*byte));
        rest = after.get(if code.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The headers of `--header` and `--header-file`, a line each.
fn headers(flags: &ServerFlags) -> Result<Vec<(String, Secret)>, ConfigError> {
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

    #[test]
    fn a_pattern_of_names_becomes_a_selector() {
        assert_eq!(by_name(r"socket(\d+)_joules"), r#"{__name__=~"socket(\\d+)_joules"}"#);
        let matchers = crate::tsdb::Matcher::parse_selector(&by_name(r"socket(\d+)_joules")).unwrap();
        let fits = |name: &str| matchers.iter().all(|matcher| matcher.matches(name));
        assert!(fits("socket12_joules") && !fits("socketx_joules"));
    }

    /// 2026-11-24 04:30:59.5 UTC.
    const NOW_MS: i64 = 1_795_494_659_500;

    fn flags() -> FetchFlags {
        FetchFlags {
            server: ServerFlags { prometheus: "http://host".to_owned(), ..ServerFlags::default() },
            time: TimeFlags { last: Some("2h".to_owned()), ..TimeFlags::default() },
            ..FetchFlags::default()
        }
    }

    fn with(server: ServerFlags) -> FetchFlags {
        FetchFlags { server, ..flags() }
    }

    fn request(flags: &FetchFlags) -> Result<Request, String> {
        fetch_request(flags, &Catalog::shipped().unwrap(), NOW_MS, &|_| None)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn windows_end_with_the_last_whole_minute_at_the_latest() {
        let window = |last: Option<&str>, from: Option<&str>, to: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let time = TimeFlags { last: own(last), from: own(from), to: own(to) };
            let flags = FetchFlags { time, ..flags() };
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
        let server = flags().server;
        let basic =
            with(ServerFlags { user: Some("ali".to_owned()), password_file: Some(path), ..server.clone() });
        let Credentials::Basic { user, password } = request(&basic).unwrap().access.credentials else {
            panic!()
        };
        assert!(user == "ali" && password == Secret::new("open sesame"));
        let variables = |name: &str| Some(format!("the {name}"));
        let bearer = fetch_request(&flags(), &Catalog::shipped().unwrap(), NOW_MS, &variables)
            .unwrap()
            .access
            .credentials;
        assert!(
            matches!(bearer, Credentials::Bearer(token) if token == Secret::new("the WATTLEDGER_BEARER_TOKEN"))
        );
        let no_password = with(ServerFlags { user: Some("ali".to_owned()), ..server.clone() });
        assert!(request(&no_password).unwrap_err().contains("no password"));
        let broken = with(ServerFlags { headers: vec!["X-Key s3cret".to_owned()], ..server });
        assert!(!request(&broken).unwrap_err().contains("s3cret"));
    }

    /// 2026-11-23 10:00 to 12:00 UTC: with an hour on either side still one day,
    /// which was over by then; the day of the present ends with its last whole minute.
    #[test]
    fn a_report_reads_whole_days_from_a_cache_of_its_server() {
        let window = |from: &str, to: &str| {
            let instant = |text: &str| parse_instant(text, Tz::UTC).unwrap();
            Window::new(instant(from), instant(to))
        };
        let home = |name: &str| (name == "HOME").then(|| "/home/ali".to_owned());
        let request = |server: &ServerFlags, cache: Option<&Path>, from: &str, to: &str| {
            cached_request(server, &Catalog::shipped().unwrap(), cache, window(from, to), NOW_MS, &home)
                .unwrap()
        };
        let server = flags().server;
        let yesterday = request(&server, None, "2026-11-23T10:00:00", "2026-11-23T12:00:00");
        assert_eq!(yesterday.window, window("2026-11-23", "2026-11-24"));
        let edge = request(&server, None, "2026-11-23T00:30:00", "2026-11-24T04:00:00");
        assert_eq!(edge.window, window("2026-11-22", "2026-11-24T04:30:00"));
        assert!(yesterday.out.starts_with("/home/ali/.cache/wattledger"), "{}", yesterday.out.display());
        assert_eq!(yesterday.out, edge.out);
        let other = ServerFlags { prometheus: "http://other".to_owned(), ..server.clone() };
        let elsewhere = request(&other, Some(Path::new("c")), "2026-11-23", "2026-11-24");
        assert!(elsewhere.out.starts_with("c"));
        assert_ne!(elsewhere.out.file_name(), edge.out.file_name());
        let nowhere = cached_request(
            &server,
            &Catalog::shipped().unwrap(),
            None,
            window("2026-11-23", "2026-11-24"),
            NOW_MS,
            &|_| None,
        );
        assert!(nowhere.unwrap_err().to_string().contains("--cache"));
    }
}
