#!/bin/sh
# How far each tier of carbon intensity is from the real hours of 2024: the tables of docs/intensity.md.
#
#   benches/intensity_tiers.sh [all | ZONE...]
#
# Needs Electricity Maps' hours of 2023 and 2024 as `em_lca_hourly_YEAR_157zones.csv.gz` in the directory DATA (default: beside the
# project, ../shared/real/intensity); their licence is why the project does not carry them. PROFILE is what cargo is given
# (default: --release).
set -eu

cd "$(dirname "$0")/.."
data=${DATA:-../shared/real/intensity}
for year in 2023 2024; do
    file=$data/em_lca_hourly_${year}_157zones.csv.gz
    if [ ! -f "$file" ]; then
        echo "$0: skipped: $file is not there; name its directory with DATA" >&2
        exit 0
    fi
done
exec cargo run --quiet ${PROFILE---release} --example intensity_tiers -- "$data" "$@"
