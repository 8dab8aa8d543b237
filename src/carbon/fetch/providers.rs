//! Who can be asked, for what, and how.
//!
//! Sources: each provider's documentation, as of 2026.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::DateTime;
use reqwest::Url;
use serde_json::Value;

use super::FetchError;
use super::http::Ask;
use crate::carbon::import::{eia_respondent_of, eic_of};
use crate::carbon::{Scope, Zone};
use crate::time::{DAY_MS, HOUR_MS, Window};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// The UK Carbon Intensity API: Great Britain and its regions.
    Uk,
    /// RTE's éCO2mix, from ODRÉ: France.
    Rte,
    /// Energy-Charts of Fraunhofer ISE: countries of Europe.
    EnergyCharts,
    /// Electricity Maps: the world.
    ElectricityMaps,
    /// ENTSO-E's Transparency Platform: generation in countries of Europe.
    Entsoe,
    /// The U.S. Energy Information Administration: generation in balancing areas.
    Eia,
    /// WattTime: marginal, the world.
    WattTime,
}

/// What of a provider is asked.
pub(super) struct Question<'a> {
    pub(super) zone: &'a Zone,
    pub(super) scope: Scope,
    pub(super) window: Window,
    pub(super) now_ms: i64,
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Figures.
    Answer,
    /// In order, and without a figure.
    Empty,
}

/// The keys of a provider, in the order of its variables.
pub(super) struct Keys(Vec<String>);

impl Keys {
    /// What must not be seen, also as it stands in addresses and headers.
    pub(super) fn secrets(&self) -> Vec<String> {
        let coded = |key: &String| url_coded(key);
        let mut secrets: Vec<String> = self.0.iter().flat_map(|key| [key.clone(), coded(key)]).collect();
        // As it stands in a header for basic authentication.
        let pairs = self.0.windows(2).filter_map(|pair| Some(format!("{}:{}", pair.first()?, pair.last()?)));
        secrets.extend(pairs.map(|pair| BASE64.encode(pair)));
        secrets.retain(|secret| !secret.is_empty());
        // The longest first: a part of it may be one, too.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets
    }

    /// The token that a name and a password were exchanged for.
    pub(super) fn with_token(mut self, token: String) -> Self {
        self.0.insert(0, token);
        self
    }

    fn get(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }
}

fn address(base: &str, reason: impl std::fmt::Display) -> FetchError {
    FetchError::Address { text: base.to_owned(), reason: reason.to_string() }
}

/// The address of a provider; one with credentials in it is refused, and not repeated.
fn root(base: &str) -> Result<Url, FetchError> {
    let url = Url::parse(base).map_err(|error| address(base, error))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(address("the server", "credentials do not belong into an address"));
    }
    Ok(url)
}

fn url_coded(text: &str) -> String {
    let Ok(mut url) = Url::parse("http://x/") else { return text.to_owned() };
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

/// Countries that Energy-Charts has, by the zones' ids.
const ENERGY_CHARTS: [&str; 34] = [
    "AL", "AT", "BA", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU",
    "IE", "IT", "LT", "LU", "LV", "MD", "ME", "MK", "NL", "NO", "PL", "PT", "RO", "RS", "SE", "SI", "SK",
];
/// RTE's settled figures begin so long before now; what is younger stands in another data set.
const RTE_SETTLED_MS: i64 = 45 * DAY_MS;
/// Regions of Great Britain by number, and three countries and the whole.
const UK_REGIONS: std::ops::RangeInclusive<u32> = 1..=18;

impl Provider {
    /// Everyone, in the order in which they are taken.
    pub const ALL: [Self; 7] = [
        Self::Uk,
        Self::Rte,
        Self::EnergyCharts,
        Self::ElectricityMaps,
        Self::Eia,
        Self::Entsoe,
        Self::WattTime,
    ];

    /// The name on the command line, and of the folder of its answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uk => "uk",
            Self::Rte => "rte",
            Self::EnergyCharts => "energy-charts",
            Self::ElectricityMaps => "electricity-maps",
            Self::Entsoe => "entsoe",
            Self::Eia => "eia",
            Self::WattTime => "watttime",
        }
    }

    pub(super) const fn address(self) -> &'static str {
        match self {
            Self::Uk => "https://api.carbonintensity.org.uk",
            Self::Rte => "https://odre.opendatasoft.com",
            Self::EnergyCharts => "https://api.energy-charts.info",
            Self::ElectricityMaps => "https://api.electricitymaps.com",
            Self::Entsoe => "https://web-api.tp.entsoe.eu",
            Self::Eia => "https://api.eia.gov",
            Self::WattTime => "https://api.watttime.org",
        }
    }

    /// Where its keys are looked for.
    pub const fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Uk | Self::Rte | Self::EnergyCharts => &[],
            Self::ElectricityMaps => &["ELECTRICITY_MAPS_TOKEN"],
            Self::Entsoe => &["ENTSOE_TOKEN"],
            Self::Eia => &["EIA_API_KEY"],
            Self::WattTime => &["WATTTIME_USER", "WATTTIME_PASSWORD"],
        }
    }

    pub(super) fn keys(self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Keys, FetchError> {
        let key = |name: &&'static str| {
            let found = variable(name).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
            found.ok_or(FetchError::NoKey { provider: self.name(), variable: name })
        };
        Ok(Keys(self.variables().iter().map(key).collect::<Result<_, _>>()?))
    }

    /// True if it knows the zone.
    pub fn has(self, zone: &Zone) -> bool {
        let id = zone.as_str();
        match self {
            Self::Uk => id == "GB" || uk_region(id).is_some(),
            Self::Rte => id == "FR",
            Self::EnergyCharts => ENERGY_CHARTS.contains(&id),
            Self::ElectricityMaps => true,
            Self::Entsoe => eic_of(id).is_some(),
            Self::Eia => eia_respondent_of(id).is_some(),
            // Its regions have names of their own.
            Self::WattTime => id.contains('_'),
        }
    }

    /// The first that has the zone and whose key is there.
    pub(super) fn choose(zone: &Zone, variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.has(zone) && provider.keys(variable).is_ok())
    }

    pub(super) fn file_name(self, zone: &Zone, scope: Scope, chunk: Window) -> String {
        let day = |at_ms: i64| {
            DateTime::from_timestamp_millis(at_ms)
                .map(|at| at.format("%Y-%m-%d").to_string())
                .unwrap_or_default()
        };
        let zone: String = zone
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' })
            .collect();
        let scope = match (self, scope) {
            (Self::ElectricityMaps, Scope::Direct) => "_direct",
            _ => "",
        };
        let extension = if self == Self::Entsoe { "xml" } else { "json" };
        format!("{zone}{scope}_{}_{}.{extension}", day(chunk.start_ms), day(chunk.end_ms))
    }

    /// Where keys are exchanged for a token, if they are.
    pub(super) fn login(self, base: &str, keys: &Keys) -> Result<Option<Ask>, FetchError> {
        if self != Self::WattTime {
            return Ok(None);
        }
        let url = root(base)?.join("/login").map_err(|error| address(base, error))?;
        let basic = Some((keys.get(0).to_owned(), keys.get(1).to_owned()));
        Ok(Some(Ask { url, headers: Vec::new(), basic }))
    }

    /// The token of an answer to [`Self::login`].
    pub(super) fn token(self, bytes: &[u8]) -> Result<String, FetchError> {
        let said: Option<Value> = serde_json::from_slice(bytes).ok();
        let token = said.as_ref().and_then(|said| said.get("token")?.as_str());
        token.map(str::to_owned).ok_or_else(|| FetchError::Answer {
            provider: self.name(),
            reason: "it gave no token for the name and the password".to_owned(),
        })
    }

    /// What to ask: one after the other until one has an answer.
    pub(super) fn questions(
        self,
        base: &str,
        question: &Question<'_>,
        keys: &Keys,
    ) -> Result<Vec<Ask>, FetchError> {
        let Question { zone, scope, window, now_ms } = *question;
        let root = root(base)?;
        let to = |path: &str, pairs: &[(&str, String)]| -> Result<Url, FetchError> {
            let mut url = root.join(path).map_err(|error| address(base, error))?;
            if !pairs.is_empty() {
                url.query_pairs_mut().extend_pairs(pairs);
            }
            Ok(url)
        };
        let at = |at_ms: i64, form: &str| {
            DateTime::from_timestamp_millis(at_ms).map(|at| at.format(form).to_string()).unwrap_or_default()
        };
        const MINUTES: &str = "%Y-%m-%dT%H:%MZ";
        let (start, end) = (at(window.start_ms, MINUTES), at(window.end_ms, MINUTES));
        let ask = |url| Ask { url, headers: Vec::new(), basic: None };
        Ok(match self {
            Self::Uk => {
                let path = match uk_region(zone.as_str()) {
                    Some(region) => format!("/regional/intensity/{start}/{end}/regionid/{region}"),
                    None => format!("/intensity/{start}/{end}"),
                };
                vec![ask(to(&path, &[])?)]
            }
            Self::Rte => {
                let sets = ["eco2mix-national-cons-def", "eco2mix-national-tr"];
                let is_settled = window.end_ms.saturating_add(RTE_SETTLED_MS) <= now_ms;
                let order = if is_settled { sets } else { [sets[1], sets[0]] };
                let condition = format!("date_heure >= date'{start}' and date_heure < date'{end}'");
                let of_set = |set: &str| {
                    let path = format!("/api/explore/v2.1/catalog/datasets/{set}/exports/json");
                    let pairs = [
                        ("select", "date_heure,taux_co2".to_owned()),
                        ("where", condition.clone()),
                        ("order_by", "date_heure".to_owned()),
                    ];
                    to(&path, &pairs).map(ask)
                };
                order.into_iter().map(of_set).collect::<Result<_, _>>()?
            }
            Self::EnergyCharts => {
                let country = zone.as_str().to_lowercase();
                vec![ask(to("/co2eq", &[("country", country), ("start", start), ("end", end)])?)]
            }
            Self::ElectricityMaps => {
                let factors = if scope == Scope::Direct { "direct" } else { "lifecycle" };
                let pairs = [
                    ("zone", zone.as_str().to_owned()),
                    ("start", start),
                    ("end", end),
                    ("emissionFactorType", factors.to_owned()),
                ];
                let url = to("/v3/carbon-intensity/past-range", &pairs)?;
                vec![Ask { headers: vec![("auth-token", keys.get(0).to_owned())], ..ask(url) }]
            }
            Self::Entsoe => {
                const COMPACT: &str = "%Y%m%d%H%M";
                let pairs = [
                    ("securityToken", keys.get(0).to_owned()),
                    ("documentType", "A75".to_owned()),
                    ("processType", "A16".to_owned()),
                    ("in_Domain", eic_of(zone.as_str()).unwrap_or_default().to_owned()),
                    ("periodStart", at(window.start_ms, COMPACT)),
                    ("periodEnd", at(window.end_ms, COMPACT)),
                ];
                vec![ask(to("/api", &pairs)?)]
            }
            Self::Eia => {
                const HOURS: &str = "%Y-%m-%dT%H";
                // Its stamps are the end of their hour.
                let first_ms = window.start_ms.saturating_add(HOUR_MS);
                let pairs = [
                    ("api_key", keys.get(0).to_owned()),
                    ("frequency", "hourly".to_owned()),
                    ("data[0]", "value".to_owned()),
                    ("facets[respondent][]", eia_respondent_of(zone.as_str()).unwrap_or_default().to_owned()),
                    ("start", at(first_ms, HOURS)),
                    ("end", at(window.end_ms, HOURS)),
                    ("sort[0][column]", "period".to_owned()),
                    ("sort[0][direction]", "asc".to_owned()),
                    ("offset", "0".to_owned()),
                    // A week of hours and at most 20 kinds of plant.
                    ("length", "5000".to_owned()),
                ];
                vec![ask(to("/v2/electricity/rto/fuel-type-data/data/", &pairs)?)]
            }
            Self::WattTime => {
                let pairs = [
                    ("region", zone.as_str().to_owned()),
                    ("start", start),
                    ("end", end),
                    ("signal_type", "co2_moer".to_owned()),
                ];
                let url = to("/v3/historical", &pairs)?;
                vec![Ask { headers: vec![("Authorization", format!("Bearer {}", keys.get(0)))], ..ask(url) }]
            }
        })
    }

    /// Tells figures from an answer without any, and both from what is no answer.
    pub(super) fn judge(self, bytes: &[u8]) -> Result<Body, FetchError> {
        let wrong = |reason: String| FetchError::Answer { provider: self.name(), reason };
        let text = String::from_utf8_lossy(bytes);
        if self == Self::Entsoe {
            if text.contains("<GL_MarketDocument") {
                return Ok(Body::Answer);
            }
            let reason = text.split_once("<text>").and_then(|(_, rest)| rest.split_once("</text>"));
            return match reason {
                Some((reason, _)) if reason.contains("No matching data") => Ok(Body::Empty),
                Some((reason, _)) => Err(wrong(reason.to_owned())),
                None => Err(wrong("what came is no market document".to_owned())),
            };
        }
        if text.trim_start().starts_with('<') {
            return Err(wrong("what came is a web page".to_owned()));
        }
        let whole: Value =
            serde_json::from_slice(bytes).map_err(|error| wrong(format!("what came is no JSON: {error}")))?;
        let list = match self {
            Self::Uk => whole.pointer("/data/data").or(whole.get("data")),
            Self::Rte => Some(&whole),
            Self::EnergyCharts => whole.get("unix_seconds"),
            Self::ElectricityMaps => whole.get("data").or(whole.get("history")),
            Self::Eia => whole.pointer("/response/data"),
            Self::WattTime => whole.get("data"),
            Self::Entsoe => None,
        };
        let Some(list) = list.and_then(Value::as_array) else {
            let said = ["/error/message", "/error", "/message", "/detail"]
                .iter()
                .find_map(|at| whole.pointer(at)?.as_str());
            return Err(wrong(
                said.unwrap_or("what came has none of the fields that it should have").to_owned(),
            ));
        };
        let has_figure = match self {
            // Rows are there for times to come, without a value.
            Self::Rte => list.iter().any(|row| row.get("taux_co2").is_some_and(Value::is_number)),
            Self::EnergyCharts => {
                let values = whole.get("co2eq").and_then(Value::as_array);
                values.is_some_and(|values| values.iter().any(Value::is_number))
            }
            _ => !list.is_empty(),
        };
        Ok(if has_figure { Body::Answer } else { Body::Empty })
    }
}

impl FromStr for Provider {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let folded = text.trim().to_lowercase();
        let found = Self::ALL.into_iter().find(|provider| provider.name() == folded);
        found.ok_or_else(|| FetchError::UnknownProvider { text: text.to_owned() })
    }
}

/// The region of `GB-13`.
fn uk_region(id: &str) -> Option<u32> {
    id.strip_prefix("GB-")?.parse().ok().filter(|region| UK_REGIONS.contains(region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(zone: &str, keys: &[&str]) -> Option<Provider> {
        let variable = |name: &str| keys.contains(&name).then(|| "k".to_owned());
        Provider::choose(&Zone::from_id(zone), &variable)
    }

    #[test]
    fn the_first_that_has_the_zone_and_a_key() {
        assert_eq!(choice("GB", &[]), Some(Provider::Uk));
        assert_eq!(choice("GB-13", &[]), Some(Provider::Uk));
        assert_eq!(choice("FR", &[]), Some(Provider::Rte));
        assert_eq!(choice("DE", &["ELECTRICITY_MAPS_TOKEN"]), Some(Provider::EnergyCharts));
        assert_eq!(choice("JP-TK", &[]), None);
        assert_eq!(choice("JP-TK", &["ELECTRICITY_MAPS_TOKEN"]), Some(Provider::ElectricityMaps));
        assert_eq!(choice("CAISO_NORTH", &["WATTTIME_USER", "WATTTIME_PASSWORD"]), Some(Provider::WattTime));
        assert!("nobody".parse::<Provider>().is_err());
    }

    #[test]
    fn keys_are_secrets_in_every_form() {
        let keys = Keys(vec!["a b&c".to_owned()]);
        assert_eq!(keys.secrets(), ["a+b%26c", "a b&c"]);
        // Name and password, as `printf a:b | base64` has them.
        let keys = Keys(vec!["a".to_owned(), "b".to_owned()]);
        assert!(keys.secrets().contains(&"YTpi".to_owned()), "{:?}", keys.secrets());
    }

    #[test]
    fn no_figure_is_told_from_no_answer() {
        let judge = |provider: Provider, text: &str| {
            provider.judge(text.as_bytes()).map_err(|error| error.to_string())
        };
        assert_eq!(judge(Provider::Uk, "{\"data\":[]}"), Ok(Body::Empty));
        assert_eq!(judge(Provider::Rte, "[{\"date_heure\":\"x\",\"taux_co2\":null}]"), Ok(Body::Empty));
        assert_eq!(judge(Provider::EnergyCharts, "{\"unix_seconds\":[1],\"co2eq\":[null]}"), Ok(Body::Empty));
        let none = "<Acknowledgement_MarketDocument><Reason><code>999</code><text>No matching data found</text></Reason></Acknowledgement_MarketDocument>";
        assert_eq!(judge(Provider::Entsoe, none), Ok(Body::Empty));
        assert!(
            judge(Provider::Eia, "{\"error\":{\"code\":\"X\",\"message\":\"no such respondent\"}}")
                .unwrap_err()
                .contains("no such respondent")
        );
        assert!(judge(Provider::WattTime, "<html></html>").unwrap_err().contains("web page"));
        assert!(judge(Provider::ElectricityMaps, "{}").is_err());
    }
}
