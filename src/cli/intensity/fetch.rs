//! `wattledger intensity fetch`.

use std::path::PathBuf;
use std::time::Duration;

use super::import::{print, zone};
use crate::carbon::fetch::{FetchRequest, Provider, fetch};
use crate::carbon::{Basis, Hints, Scope, Store};
use crate::cli::output::note;
use crate::cli::{Failure, Outcome};
use crate::config::{TimeFlags, asked_window};
use crate::retry::Retry;

/// Wait between two requests to one provider.
const PAUSE: Duration = Duration::from_secs(1);

/// Fetches the carbon intensity of a zone from a provider into a store.
///
/// Great Britain, France and most countries of Europe are had without a key; Electricity Maps, ENTSO-E, the EIA and WattTime want one, which is
/// read from the environment. Answers are kept as they came, and a week that is over is asked for once.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  wattledger intensity fetch --zone DE --last 7d --store intensity
  wattledger intensity fetch --zone GB --from 2026-10-01 --to 2026-11-01 --store intensity
  ELECTRICITY_MAPS_TOKEN=… wattledger intensity fetch --zone JP-TK --last 1d --store intensity
  wattledger report --snapshot SNAPSHOT --jobs sacct.txt --zone DE --intensity intensity \\
      --basis \"life-cycle production\"

Keys: ELECTRICITY_MAPS_TOKEN, ENTSOE_TOKEN, EIA_API_KEY, WATTTIME_USER and WATTTIME_PASSWORD.
Proxies are taken from HTTPS_PROXY and NO_PROXY.

Exit status: 0 done, 1 failed, 2 wrong usage, 3 done but data was left out (with --strict).")]
pub(super) struct Args {
    /// Country or zone; regions of Great Britain are `GB-1` to `GB-18`, those of WattTime as it calls them.
    #[arg(long, visible_alias = "country", value_name = "ZONE")]
    zone: String,
    /// Length of time up to now, or up to --to: `7d`, `36h`.
    #[arg(long, value_name = "LENGTH", conflicts_with = "from", required_unless_present = "from")]
    last: Option<String>,
    /// Start of the time (UTC unless it has an offset).
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// End of the time, which does not belong to it; default: now.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Directory of the store; made if it is not there.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Whom to ask: `uk`, `rte`, `energy-charts`, `electricity-maps`, `entsoe`, `eia`, `watttime`; default: the first that has the zone.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// `direct` or `life-cycle` (default), where the provider has both.
    #[arg(long, value_name = "WORDS")]
    basis: Option<String>,
    /// Ask again for what is there.
    #[arg(long)]
    refresh: bool,
    /// Exit with status 3 if anything had to be left out.
    #[arg(long)]
    strict: bool,
    /// Another address than the provider's.
    #[arg(long, value_name = "URL", hide = true)]
    server: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let now_ms = chrono::Utc::now().timestamp_millis();
    let time = TimeFlags { last: args.last.clone(), from: args.from.clone(), to: args.to.clone() };
    let window = asked_window(&time, now_ms, chrono_tz::Tz::UTC)?;
    let basis: Option<Basis> = args.basis.as_deref().map(str::parse).transpose()?;
    let provider = args.provider.as_deref().map(str::parse::<Provider>).transpose()?;
    let zone = zone(&args.zone)?;
    let store = Store::open_or_create(&args.store)?;
    let variable = |name: &str| std::env::var(name).ok();
    let observer = |line: &str| note(line);
    let fetched = fetch(&FetchRequest {
        zone: zone.clone(),
        window,
        provider,
        scope: basis.map_or(Scope::LifeCycle, |basis| basis.scope),
        answers: store.answers(),
        refresh: args.refresh,
        server: args.server.clone(),
        variable: &variable,
        now_ms,
        retry: Retry::default(),
        pause: PAUSE,
        observer: &observer,
    })?;
    let answered = fetched.asked.saturating_sub(fetched.empty.len());
    let kept = fetched.files.len().saturating_sub(answered);
    if basis.is_some() && fetched.provider != Provider::ElectricityMaps {
        note(format_args!(
            "note: {} has one kind of figure: `--basis` changes nothing",
            fetched.provider.name()
        ));
    }
    note(format_args!("{}: {} weeks asked for, {kept} were there", fetched.provider.name(), fetched.asked));
    for empty in &fetched.empty {
        note(format_args!("left out   {} has nothing from {empty}", fetched.provider.name()));
    }
    let summary = store.import(
        &fetched.files,
        &Hints {
            zone: Some(zone),
            // Weeks are no editions.
            release: Some(format!("{} API", fetched.provider.name())),
            ..Hints::default()
        },
    )?;
    let is_lossy = print(&summary) || !fetched.empty.is_empty();
    Ok(if is_lossy && args.strict { Outcome::LeftOut } else { Outcome::Done })
}
