//! What is read of stores, and the basis of a total.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::import::Probe;
use super::store::{SourceFigures, Store};
use super::zone::ZoneNames;
use super::{Basis, CarbonError, Sources, Zone};

/// What a store has of the zones that are asked for.
pub(super) struct Stored {
    directory: PathBuf,
    zones: Vec<(Zone, BTreeMap<Basis, Vec<OfSource>>)>,
}

/// What one file of a store has of one source.
pub(super) struct OfSource {
    pub(super) path: PathBuf,
    pub(super) figures: SourceFigures,
}

impl Stored {
    pub(super) fn read(
        directory: &Path,
        sources: &Sources<'_>,
        names: &ZoneNames,
    ) -> Result<Self, CarbonError> {
        let store = Store::open(directory)?;
        let mut known = store.zones()?;
        if let Some(wanted) = sources.zones {
            let wanted: Vec<Zone> = wanted
                .iter()
                .map(|name| names.find(name).unwrap_or_else(|| Zone::from_id(name.trim())))
                .chain(sources.default_zone.cloned())
                .collect();
            known.retain(|zone| wanted.contains(zone));
        }
        let mut zones = Vec::new();
        for zone in known {
            let mut by_basis: BTreeMap<Basis, Vec<OfSource>> = BTreeMap::new();
            for path in store.files(&zone)? {
                for (basis, by_source) in store.figures(&path)? {
                    let figures = by_source.into_values();
                    let of_sources = figures.map(|figures| OfSource { path: path.clone(), figures });
                    by_basis.entry(basis).or_default().extend(of_sources);
                }
            }
            zones.push((zone, by_basis));
        }
        Ok(Self { directory: directory.to_path_buf(), zones })
    }

    pub(super) fn has(&self, basis: Basis) -> bool {
        self.bases().contains(&basis)
    }

    /// What it has; where that is more than one thing, its user says which is meant.
    fn only_basis(&self) -> Result<Basis, CarbonError> {
        let bases: Vec<Basis> = self.bases().into_iter().collect();
        match bases.as_slice() {
            [only] => Ok(*only),
            _ => Err(CarbonError::ManyBases { path: self.directory.clone(), bases }),
        }
    }

    fn bases(&self) -> BTreeSet<Basis> {
        self.zones.iter().flat_map(|(_, by_basis)| by_basis.keys().copied()).collect()
    }

    pub(super) fn of_basis(self, basis: Basis) -> impl Iterator<Item = (Zone, Vec<OfSource>)> {
        let zones = self.zones.into_iter();
        zones.filter_map(move |(zone, mut by_basis)| Some((zone, by_basis.remove(&basis)?)))
    }
}

/// The basis of the total: what was asked for, or what the files have.
pub(super) fn settle_basis(
    probes: &[Probe],
    stored: &[Stored],
    wanted: Option<Basis>,
) -> Result<Basis, CarbonError> {
    // Files that leave the choice follow a store.
    let is_open = wanted.is_none() && probes.iter().all(|probe| probe.only_basis().is_none());
    let basis = match stored.iter().find(|stored| is_open && !stored.bases().is_empty()) {
        None => basis_of_files(probes, wanted)?,
        Some(_) if stored.iter().any(|stored| stored.has(Basis::SHIPPED)) => Basis::SHIPPED,
        Some(first) => first.only_basis()?,
    };
    for stored in stored {
        if let Some(other) = stored.bases().first().filter(|_| !stored.has(basis)) {
            return Err(CarbonError::WrongBasis {
                path: stored.directory.clone(),
                basis: *other,
                wanted: basis,
            });
        }
    }
    Ok(basis)
}

/// As [`settle_basis`], by the files alone.
fn basis_of_files(probes: &[Probe], wanted: Option<Basis>) -> Result<Basis, CarbonError> {
    // Generation serves either scope: what was asked for decides.
    let basis_of = |probe: &Probe| {
        let only = probe.only_basis()?;
        Some(wanted.filter(|wanted| probe.column(*wanted).is_ok()).unwrap_or(only))
    };
    let mut with_one_basis = probes.iter().filter_map(|probe| Some((probe, basis_of(probe)?)));
    let Some((first, first_basis)) = with_one_basis.next() else {
        return Ok(wanted.unwrap_or(Basis::SHIPPED));
    };
    if let Some((second, second_basis)) = with_one_basis.find(|(_, basis)| *basis != first_basis) {
        return Err(CarbonError::MixedBasis {
            first: first.path.clone(),
            first_basis,
            second: second.path.clone(),
            second_basis,
        });
    }
    match wanted {
        Some(wanted) if wanted != first_basis => {
            Err(CarbonError::WrongBasis { path: first.path.clone(), basis: first_basis, wanted })
        }
        _ => Ok(first_basis),
    }
}
