//! TEMP
use crate::units::Watts;
pub struct M { pub name: &'static str, pub tdp: Watts, pub cores: Option<u32>, pub threads: Option<u32>, pub score: f64 }
pub fn find_cpu(_: &str) -> Option<M> { None }
pub fn find_gpu(_: &str) -> Option<M> { None }
#[derive(Clone, Debug, Default)] pub enum CpuModel { #[default] TdpCurve }
impl CpuModel { pub fn power(&self, u: f64, t: Watts) -> Watts { t * u } }
impl std::fmt::Display for CpuModel { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("tdp-curve/1") } }
pub const SOCKET_MAX_POWER: Watts = Watts(600.0);
pub const GPU_MAX_POWER: Watts = Watts(1200.0);
pub fn max_power(t: Option<Watts>, d: Watts) -> Watts { t.map_or(d, |t| t * 1.5) }
pub fn memory_power(b: f64, w: f64) -> Watts { Watts(b / 1e9 * w) }
