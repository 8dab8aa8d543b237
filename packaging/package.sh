#!/usr/bin/env bash
# Makes what a release consists of, in target/packages: an archive and a Debian package with the program, its manual pages,
# completions and documentation, and SHA256SUMS of both.
# Usage: packaging/package.sh
# Needs cargo-deb (`cargo install --locked cargo-deb`) for the Debian package; without it there is none, and that is said. Where the
# compiler has the target x86_64-unknown-linux-musl, an archive with a static program is made, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
out=$target/packages
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
machine=$(uname --machine)
rm -rf "$out"
mkdir -p "$out"

cargo build --locked --release
program=$target/release/wattledger
"$program" man --out "$out/man" 2>/dev/null
gzip --best --no-name "$out"/man/*.1
mkdir "$out/completions"
"$program" completions bash >"$out/completions/wattledger.bash"
"$program" completions zsh >"$out/completions/_wattledger"
"$program" completions fish >"$out/completions/wattledger.fish"

# archive NAME PROGRAM: the same files in the same order with the same times give the same archive.
archive() {
    local name=$1 place=$out/$1
    mkdir "$place"
    cp "$2" README.md CHANGELOG.md SECURITY.md LICENSE-APACHE LICENSE-MIT "$place"
    cp --recursive docs "$out/man" "$out/completions" "$place"
    tar --create --gzip --file "$out/$name.tar.gz" --directory "$out" --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" "$name"
    rm -r "$place"
}
archive "wattledger-$version-$machine-linux" "$program"

static=x86_64-unknown-linux-musl
if rustc --print target-libdir --target $static >/dev/null 2>&1 && [[ -d $(rustc --print target-libdir --target $static) ]]; then
    cargo build --locked --release --target $static
    archive "wattledger-$version-$machine-linux-static" "$target/$static/release/wattledger"
else
    echo "no static program: the compiler has no target $static (rustup target add $static)"
fi

if cargo deb --version >/dev/null 2>&1; then
    cargo deb --no-build --no-strip --output "$out"
else
    echo "no Debian package: there is no cargo-deb (cargo install --locked cargo-deb)"
fi
rm -r "$out/man" "$out/completions"
(cd "$out" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
