#!/usr/bin/env python3
"""Builds the tables of this folder that are not written by hand.

    python3 data/build.py --shapes em_shape_month_hour_utc_157zones.csv.gz

Needs Python 3.10, `pip` and `npm`, and nothing else. Every package is pinned by version below and the same input
gives the same bytes. What each table holds, and under which licence, is in SOURCES.md. Without `--shapes` the
table of shapes is left as it is.
"""

import argparse
import csv
import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from pathlib import Path

CO2JS = "0.19.0"  # npm @tgwf/co2: yearly intensities of Electricity Maps, and Ember's averages
COUNTRIES = "7.14.0"  # npm i18n-iso-countries: ISO 3166-1 codes and English names
CODECARBON = "3.3.2"  # PyPI codecarbon: the list of TDPs
CODECARBON_CORES = "3.0.2"  # the one release whose wheel carries the makers' own tables, which have core counts

YEARS = range(2021, 2026)
# Ember's figure for the world in this release of CO2.js is of 2024: Our World in Data, from the same source, prints
# 473.0 for 2024 and 484.4 for 2023.
WORLD_YEAR = 2024
WORLD_RANGE = (470.0, 476.0)

HERE = Path(__file__).resolve().parent

# What AI_Co2_Calculator users, Slurm clusters and market data call places that ISO 3166 calls otherwise.
EXTRA_ALIASES = {
    "DE-LU": "DE",
    # The one grid of the mainland, which Electricity Maps lists in place of the country.
    "Chile": "CL-SEN",
    "CHL": "CL-SEN",
    "CL": "CL-SEN",
    "Britain": "GB",
    "England": "GB",
    "Holland": "NL",
    "Czech": "CZ",
    "Bosnia": "BA",
    "Macedonia": "MK",
    "South Korea": "KR",
    "North Korea": "KP",
    "Viet Nam": "VN",
    "Vietnam": "VN",
    "Laos": "LA",
    "Syria": "SY",
    "Moldova": "MD",
    "Bolivia": "BO",
    "Venezuela": "VE",
    "Brunei": "BN",
    "Kosovo": "XK",
    "XKX": "XK",
    "Cape Verde": "CV",
    "Swaziland": "SZ",
    "Burma": "MM",
    "East Timor": "TL",
    "DR Congo": "CD",
    "DRC": "CD",
    "Democratic Republic of Congo": "CD",
    "Congo": "CG",
    "United States Virgin Islands": "VI",
    "British Virgin Islands": "VG",
    "Hong Kong SAR": "HK",
    "EL": "GR",
    "UK": "GB",
    "World": "WORLD",
    "OWID_WRL": "WORLD",
    "WLD": "WORLD",
    "Global": "WORLD",
}


# Names of parts of countries that say nothing without the country.
BARE_NAMES = {"East", "Main Islands", "Peninsula", "South Island", "Grant County", "Douglas County", "Victoria"}


def npm_package(name, version, folder):
    """The files of an npm package, by path inside it."""
    subprocess.run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    archive = sorted(folder.glob(f"*{version}.tgz"))[-1]
    with tarfile.open(archive) as tar:
        files = {m.name: tar.extractfile(m).read() for m in tar.getmembers() if m.isfile()}
    archive.unlink()
    return files


def wheel(name, version, folder):
    """The files of a wheel, by path inside it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", folder, f"{name}=={version}"], check=True)
    with zipfile.ZipFile(sorted(folder.glob(f"{name}-{version}-*.whl"))[-1]) as archive:
        return {item: archive.read(item) for item in archive.namelist()}


def javascript_data(source):
    """The object after `const data =` in a file of CO2.js, which is JSON but for `\\xHH`."""
    text = source.decode("utf-8")
    text = text[text.index("{") :]
    text = re.sub(r"\\x([0-9A-Fa-f]{2})", r"\\u00\1", text)
    return json.JSONDecoder().raw_decode(text)[0]


def write_table(name, comment, header, rows):
    """A CSV that can be split at its commas: no field may hold a comma, a quote or a line break."""
    lines = [f"# {comment}", ",".join(header)]
    for row in rows:
        fields = [str(field) for field in row]
        broken = [field for field in fields if re.search(r'[,"\n\r]', field)]
        assert not broken and len(fields) == len(header), row
        lines.append(",".join(fields))
    (HERE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(lines) - 2} rows, {(HERE / name).stat().st_size} bytes")


def plain(text):
    """A name without what would break a line of CSV."""
    return re.sub(r"\s+", " ", text.replace(",", " ").replace('"', "")).strip()


def folded(text):
    """The form in which names are compared, as `carbon::zone` folds them."""
    letters = unicodedata.normalize("NFKD", text)
    return "".join(c for c in letters.lower() if c.isascii() and c.isalnum())


def intensity(files):
    """Yearly means, the world's mean, and the names of zones."""
    path = "package/dist/esm/data/electricity-maps/yearly_{}.js"
    years = {year: javascript_data(files[path.format(year)]) for year in YEARS}
    names = {zone: plain(row["zone"]["zoneName"]) for year in YEARS for zone, row in years[year].items()}
    rows = []
    for zone in sorted(names):
        for year in YEARS:
            row = years[year].get(zone)
            value = row and row["carbonIntensity"]["value"]
            if value is None:
                continue
            assert row["carbonIntensity"]["unit"] == "gCO2eq/kWh" and 0 <= value < 3000, (zone, year, row)
            rows.append((zone, names[zone], year, value, "life-cycle average consumption"))
    average = javascript_data(files["package/dist/esm/data/average-intensities.min.js"])
    world = average["WORLD"]
    assert WORLD_RANGE[0] < world < WORLD_RANGE[1], "the world's figure is of another year: look it up"
    rows.append(("WORLD", "World", WORLD_YEAR, world, "life-cycle average consumption"))
    comment = f"Electricity Maps, ODbL 1.0, via @tgwf/co2 {CO2JS}; WORLD: Ember, CC BY 4.0. See SOURCES.md."
    write_table("intensity_annual.csv", comment, ("zone", "name", "year", "gco2e_per_kwh", "basis"), rows)
    return names


def aliases(files, names):
    """Every other name of a zone, as long as it names one zone only."""
    found = {}

    def add(alias, zone):
        key = folded(alias)
        if key and alias != zone:
            found.setdefault(key, {})[zone] = plain(alias)

    codes = json.loads(files["package/codes.json"])
    english = json.loads(files["package/langs/en.json"])["countries"]
    for alpha2, alpha3, *_ in codes:
        add(alpha3, alpha2)
        spellings = english.get(alpha2, [])
        for name in [spellings] if isinstance(spellings, str) else spellings:
            add(name, alpha2)
    for zone, name in names.items():
        if "-" not in zone or (folded(name) not in found and name not in BARE_NAMES):
            add(name, zone)
    for alias, zone in EXTRA_ALIASES.items():
        found[folded(alias)] = {zone: alias}
    ids = set(names) | {code[0] for code in codes}
    rows = []
    for key in sorted(found):
        zones = found[key]
        zone, alias = next(iter(zones.items()))
        if len(zones) == 1 and (alias.upper() not in ids or alias in EXTRA_ALIASES):
            rows.append((alias, zone))
    comment = f"Other names of zones: i18n-iso-countries {COUNTRIES} (MIT) and Electricity Maps' zone names (ODbL 1.0)."
    write_table("zone_aliases.csv", comment, ("alias", "zone"), rows)


def shapes(path):
    """Month and hour against the year's mean: one row a zone and month, 24 hours UTC, in thousandths."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    cells = {(int(row["month"]), int(row["hour_utc"])): row for row in table}
    assert len(cells) == len(table) == 12 * 24
    zones = sorted(key for key in table[0] if key not in ("month", "hour_utc"))
    days = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    rows = []
    for zone in zones:
        year = sum(float(cells[m, h][zone]) * days[m - 1] for m in range(1, 13) for h in range(24)) / (24 * 365)
        assert abs(year - 1) < 0.0005, (zone, year)
        for month in range(1, 13):
            thousandths = [round(1000 * float(cells[month, hour][zone])) for hour in range(24)]
            rows.append((zone, month, " ".join(map(str, thousandths))))
    comment = "Derived from Electricity Maps, release 2025-01-27, hours of 2021-2024, ODbL 1.0. See SOURCES.md."
    write_table("intensity_shape.csv", comment, ("zone", "month", "thousandths_of_year_mean_by_hour_utc"), rows)


def cpu_key(name):
    """One spelling a processor, to join lists that differ in trade marks and in case."""
    name = re.sub(r"[®™]|\((r|tm|R|TM)\)", " ", name.lower())
    name = re.sub(r"\b(processor|cpu|coprocessor)\b| with .*", " ", name)
    return " ".join(name.split())


def intel_threads(name, cores):
    """Threads of a server processor by Hyper-Threading, which ARK's table leaves out; None where a rule would guess."""
    if re.search(r"xeon 6\d{3}e\b|bronze (3104|3106|3204|3206r|3408u|3508u)\b", name):
        return cores
    if re.search(r"xeon e5-(1603|1607|2403|2407|2603|2609)\b", name):
        return cores
    if re.search(r"xeon (bronze|silver|gold|platinum|max|e5-[124]6|e5-24|e7-|6\d{3}p)", name):
        return 2 * cores
    return None


def makers_cores(files):
    """Cores and threads by processor, from the makers' own tables."""
    folder = "codecarbon/data/hardware/cpu_dataset_builder/"
    found = {}
    for name in ("amd_cpu_server_dataset.csv", "amd_cpu_desktop_dataset.csv"):
        for row in csv.DictReader(io.StringIO(files[folder + name].decode("utf-8-sig"))):
            cores, threads = row["# of CPU Cores"].strip(), row["# of Threads"].strip()
            if cores.isdigit() and threads.isdigit() and int(threads) >= int(cores) > 0:
                found.setdefault(cpu_key(row["Name"]), (int(cores), int(threads)))
    for row in csv.DictReader(io.StringIO(files[folder + "intel_cpu_ark_dataset.csv"].decode("utf-8-sig"))):
        cores = row["total_cores"].strip()
        if cores.isdigit() and int(cores) > 0:
            key = cpu_key(row["cpu_name"])
            found.setdefault(key, (int(cores), intel_threads(key, int(cores))))
    return found


# EPYC 7001 has a configurable TDP of "155/170 W": the default is 170.
EPYC_7001 = {"7261", "7281", "7301", "7351", "7351p", "7401", "7401p", "7501"}


def processors(newest, with_cores):
    """TDP, cores and threads."""
    cores = makers_cores(with_cores)
    text = newest["codecarbon/data/hardware/cpu_power.csv"].decode("utf-8-sig")
    rows, seen = [], set()
    for row in csv.DictReader(io.StringIO(text)):
        name = plain(row["Name"])
        key = cpu_key(name)
        try:
            watts = float(row["TDP"])
        except ValueError:
            continue  # "27.29.5": two steppings run together
        # Bare numbers ("4280") are Opterons without their name: they would match anything.
        if not re.match(r"(intel|amd|apple) ", key) or watts <= 0 or key in seen:
            continue
        if key.startswith("amd epyc ") and key.split()[2] in EPYC_7001:
            watts = 170.0
        seen.add(key)
        count, threads = cores.get(key, (None, None))
        rows.append((name, f"{watts:g}", count or "", threads or ""))
    rows.sort(key=lambda row: (row[0].lower(), row[0]))
    comment = f"codecarbon {CODECARBON}; cores and threads: codecarbon {CODECARBON_CORES}. MIT. See SOURCES.md."
    write_table("cpu_tdp.csv", comment, ("name", "tdp_w", "cores", "threads"), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shapes", type=Path, help="month × hour × zone, CSV, gzip")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        names = intensity(npm_package("@tgwf/co2", CO2JS, folder))
        aliases(npm_package("i18n-iso-countries", COUNTRIES, folder), names)
        processors(wheel("codecarbon", CODECARBON, folder), wheel("codecarbon", CODECARBON_CORES, folder))
    if arguments.shapes:
        shapes(arguments.shapes)


if __name__ == "__main__":
    main()
