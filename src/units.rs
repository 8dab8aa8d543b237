//! Physical quantities as types, so that a joule is never added to a watt.
//!
//! Conversions live here and nowhere else. Inside the library energy is in
//! joules, power in watts, emissions in grams of CO2 equivalent; kilowatt-hours
//! appear only where a report or a factor needs them.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// Joules in one kilowatt-hour: 1000 W × 3600 s.
pub const JOULES_PER_KWH: f64 = 3_600_000.0;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
        pub struct $name(pub f64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0.0);
            /// The unit's symbol, as printed after a number.
            pub const UNIT: &'static str = $unit;

            /// The bare number, in the type's unit.
            pub fn value(self) -> f64 {
                self.0
            }
        }

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0 + other.0)
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                self.0 += other.0;
            }
        }

        impl Sub for $name {
            type Output = Self;
            fn sub(self, other: Self) -> Self {
                Self(self.0 - other.0)
            }
        }

        impl Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl Mul<f64> for $name {
            type Output = Self;
            fn mul(self, factor: f64) -> Self {
                Self(self.0 * factor)
            }
        }

        impl Div<f64> for $name {
            type Output = Self;
            fn div(self, divisor: f64) -> Self {
                Self(self.0 / divisor)
            }
        }
    };
}

quantity!(
    /// Energy, in joules.
    Joules,
    "J"
);
quantity!(
    /// Power, in watts.
    Watts,
    "W"
);
quantity!(
    /// Energy, in kilowatt-hours: the unit of bills and of carbon factors.
    KilowattHours,
    "kWh"
);
quantity!(
    /// Emissions, in grams of CO2 equivalent.
    GramsCo2e,
    "gCO2e"
);
quantity!(
    /// Carbon intensity of electricity, in grams of CO2 equivalent per kilowatt-hour.
    GramsPerKwh,
    "gCO2e/kWh"
);
quantity!(
    /// A length of time, in seconds.
    Seconds,
    "s"
);

impl Joules {
    /// The same energy in kilowatt-hours.
    pub fn to_kwh(self) -> KilowattHours {
        KilowattHours(self.0 / JOULES_PER_KWH)
    }

    /// Mean power of this energy spread over `duration`; zero over no time.
    pub fn mean_power(self, duration: Seconds) -> Watts {
        if duration.0 > 0.0 { Watts(self.0 / duration.0) } else { Watts::ZERO }
    }
}

impl KilowattHours {
    /// The same energy in joules.
    pub fn to_joules(self) -> Joules {
        Joules(self.0 * JOULES_PER_KWH)
    }

    /// Emissions of this energy at `intensity`.
    pub fn emissions(self, intensity: GramsPerKwh) -> GramsCo2e {
        GramsCo2e(self.0 * intensity.0)
    }
}

impl Watts {
    /// Energy of this power held for `duration`.
    pub fn energy(self, duration: Seconds) -> Joules {
        Joules(self.0 * duration.0)
    }
}

impl Seconds {
    /// From milliseconds, the resolution of every timestamp.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kilowatt_hour_is_3_6_megajoules() {
        assert_eq!(Joules(3.6e6).to_kwh(), KilowattHours(1.0));
        assert_eq!(KilowattHours(2.5).to_joules(), Joules(9.0e6));
    }

    #[test]
    fn a_watt_for_an_hour_at_344_g_per_kwh() {
        let energy = Watts(1000.0).energy(Seconds(3600.0));
        assert_eq!(energy.to_kwh().emissions(GramsPerKwh(344.0)), GramsCo2e(344.0));
        assert_eq!(energy.mean_power(Seconds(7200.0)), Watts(500.0));
        assert_eq!(energy.mean_power(Seconds(0.0)), Watts::ZERO);
    }
}
