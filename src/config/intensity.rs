//! Which intensities a plan has, and what its user should know of them.

use std::path::PathBuf;

use super::{ConfigError, ConfigFile, Request};
use crate::carbon::{Basis, Contracts, Intensity, Matching, PREFERENCE, Purchases, Scope, Sources, Zone};
use crate::time::Window;

/// The intensities of flags and file, and the zone of what names none.
pub(super) fn open(request: &Request, file: &ConfigFile) -> Result<(Intensity, Option<Zone>), ConfigError> {
    let shipped = Intensity::shipped()?;
    let named = request.zone.as_deref().or(file.site.zone.as_deref());
    let basis: Option<Basis> =
        request.basis.as_deref().or(file.site.basis.as_deref()).map(str::parse).transpose()?;
    let places = Places::new(request, file);
    if places.files.is_empty() && basis.is_none() {
        let zone = named.map(|name| shipped.zone(name)).transpose()?;
        return Ok((shipped, zone));
    }
    // The files may hold a zone that the shipped tables do not know.
    let default = named.map(|name| shipped.zone(name).unwrap_or_else(|_| Zone::from_id(name)));
    let intensity = Intensity::open(&places.sources(default.as_ref(), basis))?;
    let in_files = |zone: &Zone| {
        intensity.inputs().iter().flat_map(|input| &input.zones).any(|known| known.zone == *zone)
    };
    match (named, default) {
        (Some(name), Some(zone)) if !in_files(&zone) => {
            let zone = shipped.zone(name)?;
            Ok((intensity, Some(zone)))
        }
        (_, zone) => Ok((intensity, zone)),
    }
}

/// What the statement is made of besides the factors of the total (rules G4, G5).
#[derive(Debug, Default)]
pub struct StatementPlan {
    /// Contracts, certificates and residual mixes.
    pub contracts: Option<Contracts>,
    /// How their volumes are matched.
    pub matching: Matching,
    /// Life-cycle factors beside the direct ones, for what lies upstream; `None` where the total is not direct and average.
    pub upstream: Option<Intensity>,
    /// Hardware bought.
    pub purchases: Option<Purchases>,
    /// What energy costs.
    pub price: Option<crate::report::EnergyPrice>,
}

/// Says what becomes of contracts, or of there being none.
pub(super) fn note_contracts(basis: Basis, has_contracts: bool, notes: &mut Vec<String>) {
    if !basis.is_scope_2() {
        if has_contracts {
            notes.push(format!(
                "contracts are left aside: a market-based figure is of direct, average factors, and these are {basis} (`--basis direct`)"
            ));
        }
    } else if !has_contracts {
        notes.push(
            "no contracts stated (`--contracts`): the market-based figure takes location factors throughout"
                .to_owned(),
        );
    }
}

/// Reads what the statement is made of.
pub(super) fn statement(
    intensity: &Intensity,
    zone: Option<&Zone>,
    request: &Request,
    file: &ConfigFile,
    notes: &mut Vec<String>,
) -> Result<StatementPlan, ConfigError> {
    let contracts = request.contracts.as_ref().or(file.site.contracts.as_ref());
    let contracts = contracts.map(|path| Contracts::read(path, intensity)).transpose()?;
    let basis = intensity.basis();
    note_contracts(basis, contracts.is_some(), notes);
    let upstream = if basis.is_scope_2() {
        let places = Places::new(request, file);
        let life_cycle = Some(Basis { scope: Scope::LifeCycle, ..basis });
        Some(Intensity::open(&Sources { only_fitting: true, ..places.sources(zone, life_cycle) })?)
    } else {
        None
    };
    let purchases = file.site.purchases.as_ref().map(|path| Purchases::read(path)).transpose()?;
    let matching = request.matching.or(file.site.matching).unwrap_or_default();
    let contracts = contracts.filter(|_| basis.is_scope_2());
    let price = super::plan::energy_price(request, file)?;
    Ok(StatementPlan { contracts, matching, upstream, purchases, price })
}

/// Where flags and file have intensities from.
struct Places<'a> {
    files: &'a [PathBuf],
    /// Zones that are read from stores, besides that of what names none.
    zones: Vec<String>,
    preference: &'a [String],
}

impl<'a> Places<'a> {
    fn new(request: &'a Request, file: &'a ConfigFile) -> Self {
        let in_file = file.site.intensity.as_deref().unwrap_or_default();
        Self {
            files: if request.intensity.is_empty() { in_file } else { &request.intensity },
            zones: named_zones(request, file).map(str::to_owned).collect(),
            preference: file.site.intensity_preference.as_deref().unwrap_or_default(),
        }
    }

    fn sources<'s>(&'s self, default_zone: Option<&'s Zone>, basis: Option<Basis>) -> Sources<'s> {
        Sources {
            files: self.files,
            default_zone,
            basis,
            zones: Some(&self.zones),
            preference: self.preference,
            only_fitting: false,
        }
    }
}

/// Zones that nodes and runs name.
fn named_zones<'a>(request: &'a Request, file: &'a ConfigFile) -> impl Iterator<Item = &'a str> {
    let of_nodes = file.hardware.iter().filter_map(|stated| stated.zone.as_deref());
    of_nodes.chain(request.run_zones.iter().map(String::as_str))
}

/// The zones whose factors a report may ask for, each once.
pub(super) fn used(
    intensity: &Intensity,
    zone: Option<&Zone>,
    request: &Request,
    file: &ConfigFile,
) -> Vec<Zone> {
    let named = named_zones(request, file).filter_map(|name| intensity.zone(name).ok());
    let mut zones: Vec<Zone> = zone.cloned().into_iter().chain(named).collect();
    zones.sort();
    zones.dedup();
    zones
}

/// Names of sources that no figure has: a slip would change nothing, in silence.
pub(super) fn unknown_preferences(intensity: &Intensity, file: &ConfigFile) -> Vec<String> {
    let is_known = |name: &str| {
        let shipped = PREFERENCE.into_iter();
        let own = intensity.inputs().iter().map(|input| input.source.as_ref());
        shipped.chain(own).any(|source| source.eq_ignore_ascii_case(name))
    };
    let named = file.site.intensity_preference.iter().flatten();
    named
        .filter(|name| !is_known(name))
        .map(|name| format!("`{name}` of `site.intensity_preference` is the source of nothing that is read"))
        .collect()
}

/// Files that do nothing for the zones or the time that are asked for, and countries of several zones.
pub(super) fn notes(intensity: &Intensity, used: &[Zone], window: Window) -> Vec<String> {
    const SHOWN: usize = 4;
    let mut notes = Vec::new();
    for zone in used {
        let parts = intensity.parts(zone);
        if let Some(first) = parts.first() {
            let parts = match parts.len() {
                1 => format!("a zone with factors of its own, `{first}`"),
                more => format!("{more} zones with factors of their own, such as `{first}`"),
            };
            notes.push(format!("`{zone}` is priced at the mean of the country, which has {parts}"));
        }
    }
    for input in intensity.inputs() {
        let name = input.path.display();
        let of_used: Vec<_> = input.zones.iter().filter(|known| used.contains(&known.zone)).collect();
        if of_used.is_empty() && !used.is_empty() {
            let has: Vec<String> =
                input.zones.iter().take(SHOWN).map(|known| known.zone.to_string()).collect();
            let more = if input.zones.len() > SHOWN { " and others" } else { "" };
            let wanted: Vec<String> = used.iter().map(|zone| format!("`{zone}`")).collect();
            notes.push(format!(
                "`{name}` has no factor of {}: it has {}{more}",
                wanted.join(", "),
                has.join(", ")
            ));
        }
        // A store keeps every year; that one of them is another is no slip.
        let is_file = input.format != crate::carbon::Format::Store;
        let is_elsewhere = |known: &&&crate::carbon::ZoneSummary| known.window.intersect(window).is_none();
        if let Some(known) =
            of_used.first().filter(|_| is_file && of_used.iter().all(|known| is_elsewhere(&known)))
        {
            notes.push(format!("`{name}` covers {}, and nothing of {window}", known.window));
        }
    }
    notes
}
