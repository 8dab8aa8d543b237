//! `wattledger intensity fetch` against a server on this machine that answers in the forms of the providers, and against its faults.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use wattledger::carbon::fetch::{FetchError, FetchRequest, Fetched, Provider, fetch};
use wattledger::carbon::{Hints, Intensity, Scope, Sources, Store, Tier, Zone};
use wattledger::source::remote::Retry;
use wattledger::time::{DAY_MS, Window, parse_instant};

#[path = "scripted/mod.rs"]
mod scripted;
#[path = "support/mod.rs"]
mod support;

use scripted::{Seen, Server, answer, send};
use support::Bench;

fn instant(text: &str) -> i64 {
    parse_instant(text, chrono_tz::Tz::UTC).unwrap()
}

const KEY: &str = "s3cret/key+1";
/// A Thursday, on which a week of requests begins.
const WEEK: &str = "2026-03-05";

/// Fetches a day of `zone`, all keys being [`KEY`], without waiting.
fn fetch_day(
    server: &Server,
    zone: &str,
    provider: Option<Provider>,
    directory: &Path,
) -> Result<Fetched, FetchError> {
    fetch_at(server, zone, provider, directory, "2026-06-01", &|_| ())
}

fn fetch_at(
    server: &Server,
    zone: &str,
    provider: Option<Provider>,
    directory: &Path,
    now: &str,
    observer: &dyn Fn(&str),
) -> Result<Fetched, FetchError> {
    fetch(&FetchRequest {
        zone: Zone::from_id(zone),
        window: Window::new(instant(WEEK), instant(WEEK) + DAY_MS),
        provider,
        scope: Scope::LifeCycle,
        answers: directory.join("answers"),
        refresh: false,
        server: Some(server.url()),
        variable: &|_| Some(KEY.to_owned()),
        now_ms: instant(now),
        retry: Retry {
            retries: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(5),
        },
        pause: Duration::ZERO,
        observer,
    })
}

fn json(stream: &mut TcpStream, body: &str) {
    answer(stream, "200 OK", "application/json", body.as_bytes());
}

/// What a store gives once the answers are in it.
fn at(fetched: &Fetched, zone: &str, basis: &str, when: &str, directory: &Path) -> f64 {
    let store = Store::open_or_create(&directory.join("store")).unwrap();
    store.import(&fetched.files, &Hints { zone: Some(Zone::from_id(zone)), ..Hints::default() }).unwrap();
    let files = [directory.join("store")];
    let basis = Some(basis.parse().unwrap());
    let intensity = Intensity::open(&Sources { files: &files, basis, ..Sources::default() }).unwrap();
    let factor = intensity.factor_at(&Zone::from_id(zone), instant(when)).unwrap();
    assert_eq!(factor.tier, Tier::Hourly);
    factor.intensity.value()
}

/// The address that was asked, with its query decoded as far as it matters here.
fn target(seen: &Seen) -> String {
    seen.target
        .replace("%3A", ":")
        .replace("%5B", "[")
        .replace("%5D", "]")
        .replace("%27", "'")
        .replace("%3D", "=")
        .replace("%3E", ">")
        .replace("%3C", "<")
        .replace('+', " ")
        .replace("%2C", ",")
}

/// The words that are shown end somewhere, and a key that stands there is taken out before they are cut; so is the header that
/// a name and a password make.
#[test]
fn no_half_of_a_key_is_shown() {
    let bench = Bench::new();
    for padding in 280..301 {
        let text = format!("{}{KEY} {}", "x".repeat(padding), "eDpzM2NyZXQ=");
        let server =
            Server::start(move |_, stream| answer(stream, "403 Forbidden", "text/plain", text.as_bytes()));
        let provider = Some(Provider::ElectricityMaps);
        let error = fetch_day(&server, "DE", provider, &bench.path("")).unwrap_err().to_string();
        assert!(!error.contains("s3c"), "{error}");
    }
    // `s3cret/key+1:s3cret/key+1` in base 64.
    const PAIR: &str = "czNjcmV0L2tleSsxOnMzY3JldC9rZXkrMQ==";
    let server = Server::start(|seen, stream| {
        let said = seen.header("authorization").unwrap_or_default().to_owned();
        answer(stream, "403 Forbidden", "text/plain", said.as_bytes());
    });
    let error =
        fetch_day(&server, "CAISO_NORTH", Some(Provider::WattTime), &bench.path("")).unwrap_err().to_string();
    assert_eq!(server.seen()[0].header("authorization"), Some(&*format!("Basic {PAIR}")));
    assert!(error.contains("Basic [key]") && !error.contains(&PAIR[..6]), "{error}");
}

/// A packed answer could unfold to anything.
#[test]
fn a_packed_answer_is_refused() {
    let bench = Bench::new();
    let server = Server::start(|_, stream| {
        // The name of the packed file is what an answer would begin with.
        answer(
            stream,
            "200 OK",
            "application/xml",
            b"\x1f\x8b\x08\x08\0\0\0\0\0\x03<GL_MarketDocument\0\x03\0\0\0\0\0\0\0\0\0",
        );
    });
    let error = fetch_day(&server, "DE", Some(Provider::Entsoe), &bench.path("")).unwrap_err().to_string();
    assert!(error.contains("packed"), "{error}");
}

#[test]
fn the_three_that_want_no_key() {
    let server = Server::start(|seen, stream| {
        let path = seen.target.as_str();
        if path.contains("/regional/") {
            json(
                stream,
                "{\"data\":{\"regionid\":13,\"shortname\":\"London\",\"data\":[{\"from\":\"2026-03-05T00:00Z\",\"to\":\"2026-03-05T00:30Z\",\"intensity\":{\"forecast\":134,\"index\":\"moderate\"}}]}}",
            );
        } else if path.contains("/intensity/") {
            json(
                stream,
                "{\"data\":[{\"from\":\"2026-03-05T00:00Z\",\"to\":\"2026-03-05T00:30Z\",\"intensity\":{\"forecast\":211,\"actual\":206,\"index\":\"high\"}}]}",
            );
        } else if path.contains("cons-def") {
            json(stream, "[]");
        } else if path.contains("eco2mix") {
            json(
                stream,
                "[{\"date_heure\":\"2026-03-05T00:00:00+00:00\",\"taux_co2\":17},{\"date_heure\":\"2026-03-05T00:30:00+00:00\",\"taux_co2\":18}]",
            );
        } else {
            json(
                stream,
                &format!(
                    "{{\"unix_seconds\":[{},{}],\"co2eq\":[322,null],\"co2eq_forecast\":[null,300]}}",
                    instant(WEEK) / 1000,
                    instant(WEEK) / 1000 + 900
                ),
            );
        }
    });
    let check = |zone: &str, provider: Provider, basis: &str, expected: f64, asked: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        let before = server.seen().len();
        let fetched = fetch_day(&server, zone, None, directory.path()).unwrap();
        assert_eq!((fetched.provider, fetched.asked, fetched.files.len()), (provider, 1, 1));
        assert_eq!(at(&fetched, zone, basis, "2026-03-05T00:05:00Z", directory.path()), expected);
        let seen = server.seen();
        for words in asked {
            assert!(
                seen[before..].iter().any(|seen| target(seen).contains(words)),
                "{words}: {:?}",
                seen[before..].iter().map(target).collect::<Vec<_>>()
            );
        }
        assert!(seen[before].header("user-agent").unwrap().starts_with("wattledger/"));
    };
    let week = "2026-03-05T00:00Z/2026-03-12T00:00Z";
    check("GB", Provider::Uk, "direct", 206.0, &[&format!("GET /intensity/{week}")]);
    check("GB-13", Provider::Uk, "direct", 134.0, &[&format!("GET /regional/intensity/{week}/regionid/13")]);
    check(
        "DE",
        Provider::EnergyCharts,
        "life-cycle production",
        322.0,
        &["/co2eq?country=de&start=2026-03-05T00:00Z&end=2026-03-12T00:00Z"],
    );
    // What is settled is asked first; it has nothing yet, so the other set is.
    check(
        "FR",
        Provider::Rte,
        "direct production",
        17.0,
        &[
            "eco2mix-national-cons-def/exports/json?select=date_heure,taux_co2&where=date_heure >= date'2026-03-05T00:00Z' and date_heure < date'2026-03-12T00:00Z'",
            "eco2mix-national-tr/exports/json",
        ],
    );
}

#[test]
fn those_that_want_one_get_it_where_they_look_for_it() {
    let server = Server::start(|seen, stream| {
        let path = seen.target.as_str();
        if path.contains("/login") {
            let is_right = seen.header("authorization").is_some_and(|value| value.starts_with("Basic "));
            if is_right {
                json(stream, "{\"token\":\"t0ken\"}")
            } else {
                answer(stream, "401 Unauthorized", "text/plain", b"no")
            }
        } else if path.contains("/v3/historical") {
            json(
                stream,
                "{\"meta\":{\"region\":\"CAISO_NORTH\",\"signal_type\":\"co2_moer\",\"units\":\"lbs_co2_per_mwh\"},\"data\":[{\"point_time\":\"2026-03-05T00:00:00+00:00\",\"value\":1000.0},{\"point_time\":\"2026-03-05T00:05:00+00:00\",\"value\":900.0}]}",
            );
        } else {
            json(
                stream,
                "{\"zone\":\"JP-TK\",\"data\":[{\"zone\":\"JP-TK\",\"carbonIntensity\":500,\"datetime\":\"2026-03-05T00:00:00.000Z\",\"emissionFactorType\":\"lifecycle\",\"flowTraced\":true}]}",
            );
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let fetched = fetch_day(&server, "JP-TK", None, directory.path()).unwrap();
    assert_eq!(fetched.provider, Provider::ElectricityMaps);
    assert_eq!(at(&fetched, "JP-TK", "life-cycle", "2026-03-05T00:05:00Z", directory.path()), 500.0);
    let seen = server.seen();
    assert_eq!(seen[0].header("auth-token"), Some(KEY));
    assert!(!seen[0].target.contains("s3cret"), "{}", seen[0].target);
    assert!(
        target(&seen[0]).contains(
            "zone=JP-TK&start=2026-03-05T00:00Z&end=2026-03-12T00:00Z&emissionFactorType=lifecycle"
        )
    );

    let directory = tempfile::tempdir().unwrap();
    let fetched = fetch_day(&server, "CAISO_NORTH", Some(Provider::WattTime), directory.path()).unwrap();
    let found = at(&fetched, "CAISO_NORTH", "direct marginal", "2026-03-05T00:01:00Z", directory.path());
    assert!((found - 453.592_37).abs() < 1e-9);
    let asked = server.asked("signal_type=co2_moer");
    assert_eq!(asked[0].header("authorization"), Some("Bearer t0ken"));
}

#[test]
fn generation_of_the_eia_and_of_entsoe() {
    let server = Server::start(|seen, stream| {
        if seen.target.contains("/v2/electricity") {
            // The hour that ends at 01:00: 300 MWh of coal at 820 g and 100 of wind at 11 are 617.75 g/kWh; then coal alone.
            let row = |hour: &str, fuel: &str, value: u32| {
                format!(
                    "{{\"period\":\"2026-03-05T{hour}\",\"respondent\":\"CISO\",\"fueltype\":\"{fuel}\",\"value\":\"{value}\",\"value-units\":\"megawatthours\"}}"
                )
            };
            let rows =
                [row("01", "COL", 300), row("01", "WND", 100), row("02", "COL", 5), row("02", "WND", 0)]
                    .join(",");
            json(
                stream,
                &format!(
                    "{{\"request\":{{\"params\":{{\"api_key\":\"{KEY}\"}}}},\"response\":{{\"total\":\"4\",\"data\":[{rows}]}}}}"
                ),
            );
        } else {
            let series = |kind: &str, quantity: u32| {
                format!(
                    "<TimeSeries><inBiddingZone_Domain.mRID codingScheme=\"A01\">10YPL-AREA-----S</inBiddingZone_Domain.mRID><curveType>A03</curveType>\
                         <MktPSRType><psrType>{kind}</psrType></MktPSRType><Period><timeInterval><start>2026-03-05T00:00Z</start>\
                         <end>2026-03-05T02:00Z</end></timeInterval><resolution>PT60M</resolution><Point><position>1</position>\
                         <quantity>{quantity}</quantity></Point></Period></TimeSeries>"
                )
            };
            // B05 is hard coal, B19 wind on land.
            let text = format!(
                "<?xml version=\"1.0\"?><GL_MarketDocument xmlns=\"urn:x\"><type>A75</type><process.processType>A16</process.processType>{}{}</GL_MarketDocument>",
                series("B05", 300),
                series("B19", 100)
            );
            answer(stream, "200 OK", "text/xml", text.as_bytes());
        }
    });
    for (zone, provider, asked) in [
        ("US-CAL-CISO", Provider::Eia, "facets[respondent][]=CISO&start=2026-03-05T01&end=2026-03-12T00"),
        (
            "PL",
            Provider::Entsoe,
            "documentType=A75&processType=A16&in_Domain=10YPL-AREA-----S&periodStart=202603050000&periodEnd=202603120000",
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let fetched = fetch_day(&server, zone, Some(provider), directory.path()).unwrap();
        let seen = server.seen();
        assert!(target(seen.last().unwrap()).contains(asked), "{}", target(seen.last().unwrap()));
        // The question comes back with the answer; the key does not stay.
        let kept = std::fs::read_to_string(&fetched.files[0]).unwrap();
        assert!(!kept.contains("s3cret"), "{kept}");
        for (basis, expected) in [("life-cycle production", 617.75), ("direct production", 570.0)] {
            let found = at(&fetched, zone, basis, "2026-03-05T00:30:00Z", directory.path());
            assert!((found - expected).abs() < 1e-9, "{zone} {basis}: {found}");
        }
    }
}

#[test]
fn a_week_that_is_over_is_asked_for_once() {
    let server = Server::start(|_, stream| {
        json(
            stream,
            "{\"data\":[{\"from\":\"2026-03-05T00:00Z\",\"to\":\"2026-03-05T00:30Z\",\"intensity\":{\"forecast\":211,\"actual\":206,\"index\":\"high\"}}]}",
        );
    });
    let directory = tempfile::tempdir().unwrap();
    for asked in [1, 0] {
        let fetched = fetch_day(&server, "GB", None, directory.path()).unwrap();
        assert_eq!((fetched.asked, fetched.files.len()), (asked, 1));
    }
    // Two days after its end figures may still change, and on its second day half of it is to come.
    for (now, end) in [("2026-03-14", "2026-03-12T00:00Z"), ("2026-03-06T09:10:00Z", "2026-03-06T09:00Z")] {
        let fetched = fetch_at(&server, "GB", None, directory.path(), now, &|_| ()).unwrap();
        assert_eq!((fetched.asked, fetched.files.len()), (1, 1), "{now}");
        assert!(
            server.seen().last().unwrap().target.ends_with(end),
            "{}",
            server.seen().last().unwrap().target
        );
    }
    let names: Vec<_> = std::fs::read_dir(directory.path().join("answers/uk"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["GB_2026-03-05_2026-03-12.json"]);
}

#[test]
fn passing_trouble_is_waited_out_and_the_rest_is_told() {
    let good = "{\"data\":[{\"from\":\"2026-03-05T00:00Z\",\"to\":\"2026-03-05T00:30Z\",\"intensity\":{\"forecast\":211,\"actual\":206,\"index\":\"high\"}}]}";
    let server = Server::start(move |seen, stream| match seen.nth {
        0 => answer(stream, "503 Service Unavailable", "text/plain", b"busy"),
        1 => send(stream, "429 Too Many Requests", &["Retry-After: 0", "Content-Length: 4"], b"slow"),
        2 => send(stream, "200 OK", &["Content-Length: 1000"], &good.as_bytes()[..40]),
        _ => json(stream, good),
    });
    let directory = tempfile::tempdir().unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let observer = |line: &str| told.lock().unwrap().push(line.to_owned());
    let fetched = fetch_at(&server, "GB", None, directory.path(), "2026-06-01", &observer).unwrap();
    assert_eq!(fetched.files.len(), 1);
    assert_eq!(server.seen().len(), 4);
    let told = told.into_inner().unwrap().join("\n");
    assert!(
        told.contains("status 503: busy") && told.contains("status 429") && told.contains("cut off"),
        "{told}"
    );

    // What does not pass: each names the provider and says what to try; nothing is kept, and no key is shown.
    let fails = |status: &'static str,
                 kind: &'static str,
                 body: &'static str,
                 zone: &str,
                 provider: Provider,
                 words: &[&str]| {
        let server = Server::start(move |_, stream| answer(stream, status, kind, body.as_bytes()));
        let directory = tempfile::tempdir().unwrap();
        let error = fetch_day(&server, zone, Some(provider), directory.path()).unwrap_err();
        let text = format!(
            "{error}: {:?} {}",
            std::error::Error::source(&error).map(ToString::to_string),
            error.hint().unwrap_or_default()
        );
        for word in words {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(!text.contains("s3cret"), "{text}");
        let left = std::fs::read_dir(directory.path().join("answers").join(provider.name()))
            .map_or(0, Iterator::count);
        assert_eq!(left, 0, "{text}");
        server.seen().len()
    };
    let maps = Provider::ElectricityMaps;
    fails(
        "401 Unauthorized",
        "application/json",
        "{\"error\":\"Invalid auth-token s3cret/key+1\"}",
        "DE",
        maps,
        &["refused the key (status 401)", "[key]", "ELECTRICITY_MAPS_TOKEN"],
    );
    fails(
        "404 Not Found",
        "text/plain",
        "no such zone",
        "DE",
        maps,
        &["electricity-maps answered with status 404: no such zone"],
    );
    fails(
        "200 OK",
        "text/html",
        "<!DOCTYPE html><html>Sign in</html>",
        "DE",
        Provider::EnergyCharts,
        &["a web page"],
    );
    fails(
        "200 OK",
        "application/json",
        "{\"error\":{\"code\":\"400 BadRequest\",\"message\":\"Invalid from\"}}",
        "GB",
        Provider::Uk,
        &["Invalid from"],
    );
    fails("200 OK", "application/json", "{\"data\":[]}", "GB", Provider::Uk, &["has nothing of `GB`"]);
    fails(
        "200 OK",
        "application/json",
        "{\"data\":[{\"hello\":1}]}",
        "GB",
        Provider::Uk,
        &["cannot be read as intensities"],
    );
    fails(
        "200 OK",
        "application/json",
        "{\"error\":\"the key s3cret/key+1 is over its quota\"}",
        "DE",
        maps,
        &["[key] is over its quota"],
    );
    fails("301 Moved", "text/plain", "", "GB", Provider::Uk, &["status 301"]);
    let tries = fails("500 Internal Server Error", "text/plain", "", "GB", Provider::Uk, &["status 500"]);
    assert_eq!(tries, 4);
    let server = Server::start(|_, stream| json(stream, "{}"));
    let directory = tempfile::tempdir().unwrap();
    let none =
        fetch(&FetchRequest { variable: &|_| None, ..request(&server, "DE", Some(maps), directory.path()) })
            .unwrap_err();
    assert!(none.to_string().contains("no `ELECTRICITY_MAPS_TOKEN`"), "{none}");
    let nobody =
        fetch(&FetchRequest { variable: &|_| None, ..request(&server, "JP", None, directory.path()) })
            .unwrap_err();
    assert!(nobody.hint().unwrap().contains("EIA_API_KEY"), "{nobody}");
    let elsewhere = fetch_day(&server, "FR", Some(Provider::Uk), directory.path()).unwrap_err();
    assert!(elsewhere.to_string().contains("uk has no intensity of `FR`"), "{elsewhere}");
    assert_eq!(server.seen().len(), 0);
}

fn request<'a>(
    server: &Server,
    zone: &str,
    provider: Option<Provider>,
    directory: &Path,
) -> FetchRequest<'a> {
    FetchRequest {
        zone: Zone::from_id(zone),
        window: Window::new(instant(WEEK), instant(WEEK) + DAY_MS),
        provider,
        scope: Scope::LifeCycle,
        answers: directory.join("answers"),
        refresh: false,
        server: Some(server.url()),
        variable: &|_| None,
        now_ms: instant("2026-06-01"),
        retry: Retry::default(),
        pause: Duration::ZERO,
        observer: &|_| (),
    }
}

/// The command as a user runs it: fetched into a store, twice, and shown.
#[test]
fn the_command_fills_a_store() {
    let server = Server::start(|seen, stream| {
        // The two weeks that March and the day before it touch.
        let day =
            if seen.target.contains("start=2026-02-26") { "2026-02-28T12:00Z" } else { "2026-03-05T12:00Z" };
        let seconds = instant(day) / 1000;
        json(stream, &format!("{{\"unix_seconds\":[{seconds},{}],\"co2eq\":[250,350]}}", seconds + 900));
    });
    let bench = Bench::new();
    let run = || {
        bench.run(&[
            "intensity",
            "fetch",
            "--zone",
            "Germany",
            "--from",
            "2026-02-28",
            "--to",
            "2026-03-06",
            "--store",
            "store",
            "--server",
            &server.url(),
        ])
    };
    let first = run();
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert!(first.stderr.contains("energy-charts: 2 weeks asked for, 0 were there"), "{}", first.stderr);
    assert!(first.stderr.contains("licence  Energy-Charts, Fraunhofer ISE, CC BY 4.0"), "{}", first.stderr);
    let second = run();
    assert!(
        second.stderr.contains("0 weeks asked for, 2 were there") && second.stderr.contains("nothing new"),
        "{}",
        second.stderr
    );
    assert_eq!(server.seen().len(), 2);
    let show = bench.run(&[
        "intensity",
        "show",
        "--zone",
        "DE",
        "--store",
        "store",
        "--from",
        "2026-03-05T12:00Z",
        "--to",
        "2026-03-05T12:30Z",
        "--csv",
    ]);
    assert!(show.stdout.contains("2026-03-05T12:15:00Z,350,hourly"), "{}", show.stdout);
    let ended = bench.run(&[
        "intensity",
        "fetch",
        "--zone",
        "DE",
        "--last",
        "1d",
        "--store",
        "store",
        "--provider",
        "nobody",
    ]);
    assert!(ended.code == 2 && ended.stderr.contains("energy-charts"), "{}", ended.stderr);
}
