#!/bin/sh
# Installs the Debian 12 packages that building and testing need. Asks the package manager for what
# is missing and does nothing when nothing is. Needs root where something is missing.
set -eu

packages="
  g++ cmake ninja-build pkg-config ccache mold
  clang-14 clang-tidy-14 libclang-rt-14-dev
  ca-certificates git python3 python3-venv
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler
  libabsl-dev libspdlog-dev libfmt-dev libsqlite3-dev libssl-dev libcurl4-openssl-dev
  libhwy-dev libcli11-dev nlohmann-json3-dev libsimdjson-dev
  libpcre2-dev libutf8proc-dev libxxhash-dev libopenblas-dev liblapacke-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  fish mandoc zsh
"

if ! command -v dpkg-query >/dev/null; then
  echo "install-packages.sh: this system has no dpkg; install the counterparts of:$packages" >&2
  exit 1
fi

missing=""
for package in $packages; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=""
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "install-packages.sh: run as root to install:$missing" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update
# shellcheck disable=SC2086  # a list of words
apt-get install -y --no-install-recommends $missing
