#!/usr/bin/env bash
# Builds go_reader against the Prometheus that Debian 12 packages, from Debian's packages alone.
#
#   build.sh OUTPUT
#
# Run as root: it installs Go and the libraries. Everything else happens in a temporary directory, which is removed.
set -euo pipefail

if [ $# != 1 ]; then
    echo "usage: $0 OUTPUT" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# What package tsdb imports (goleak is for a test helper in it), and no more: all of Prometheus would need far more.
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -qy --no-install-recommends ca-certificates debian-archive-keyring dpkg-dev xz-utils golang-go \
    golang-github-alecthomas-units-dev \
    golang-github-cespare-xxhash-dev \
    golang-github-dennwc-varint-dev \
    golang-github-edsrzf-mmap-go-dev \
    golang-github-go-kit-log-dev \
    golang-github-gogo-protobuf-dev \
    golang-github-golang-snappy-dev \
    golang-github-grafana-regexp-dev \
    golang-github-oklog-ulid-dev \
    golang-github-pkg-errors-dev \
    golang-github-prometheus-client-golang-dev \
    golang-github-prometheus-common-dev \
    golang-go.uber-atomic-dev \
    golang-golang-x-exp-dev \
    golang-golang-x-sync-dev \
    golang-golang-x-sys-dev \
    golang-gopkg-yaml.v2-dev \
    golang-uber-goleak-dev

# Debian packages Prometheus' library as source only. The source lists that this takes stay in the temporary directory.
mkdir -p "$work/lists/partial"
# shellcheck disable=SC2016 # apt's own variables
apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' | sort -u |
    sed 's|^|deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] |' >"$work/sources.list"
cat >"$work/apt.conf" <<EOF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$work/lists";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
EOF
export APT_CONFIG=$work/apt.conf
apt-get update -q
mkdir "$work/source"
(cd "$work/source" && apt-get source -q --only-source prometheus)

# Without modules Go takes each library from where Debian puts it, and asks no proxy.
gopath=$work/gopath
mkdir -p "$gopath/src/github.com/prometheus" "$gopath/src/go_reader" "$(dirname "$output")"
mv "$work"/source/prometheus-*/ "$gopath/src/github.com/prometheus/prometheus"
cp "$here/main.go" "$gopath/src/go_reader/"
export GOPATH=$gopath:/usr/share/gocode GO111MODULE=off GOFLAGS='' GOCACHE=$work/cache
cd "$gopath/src/go_reader"
go vet .
go build -trimpath -o "$output" .
