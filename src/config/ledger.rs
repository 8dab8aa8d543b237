//! What a report from a ledger needs besides the ledger: energy and prices stand in its rows.

use crate::carbon::{Basis, Contracts, Intensity, Matching, Purchases};
use crate::meter::names::Aliases;

use super::{ConfigError, ConfigFile, Request};
use crate::report::EnergyPrice;

/// See the module's description.
pub struct LedgerPlan {
    /// Title that fits the basis of the rows.
    pub title: String,
    /// Node names.
    pub aliases: Aliases,
    /// Contracts, certificates and residual mixes; `None` where the rows are of no direct, average factors.
    pub contracts: Option<Contracts>,
    /// How their volumes are matched.
    pub matching: Matching,
    /// Hardware bought.
    pub purchases: Option<Purchases>,
    /// What energy costs.
    pub price: Option<EnergyPrice>,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl LedgerPlan {
    /// Of rows that are priced by factors of `basis`.
    ///
    /// # Errors
    ///
    /// For any value that cannot be, naming the flag or key.
    pub fn new(request: &Request, file: &ConfigFile, basis: Basis) -> Result<Self, ConfigError> {
        let mut notes = Vec::new();
        let contracts = request.contracts.as_ref().or(file.site.contracts.as_ref());
        let contracts = contracts.map(|path| Contracts::read(path, &Intensity::shipped()?)).transpose()?;
        super::intensity::note_contracts(basis, contracts.is_some(), &mut notes);
        let purchases = file.site.purchases.as_ref().map(|path| Purchases::read(path)).transpose()?;
        Ok(Self {
            title: super::plan::title_of(basis),
            aliases: file.aliases()?,
            contracts: contracts.filter(|_| basis.is_scope_2()),
            matching: request.matching.or(file.site.matching).unwrap_or_default(),
            purchases,
            price: super::plan::energy_price(request, file)?,
            notes,
        })
    }
}
