#!/usr/bin/env bash
# Compares quantize-fetch with curl to disk and a hash of what came, in the same run and over the
# same loopback: 1 GiB in one file and in four.
#   tests/bench/hub_vs_curl.sh [BUILD_DIR] [ROUNDS]
# BUILD_DIR (default build/release) has quantize-fetch and hub-server. Ours syncs the files to disk
# before it is done; curl does not. Debian's sha256sum does not use the processor's SHA instructions,
# OpenSSL does: both are shown, and the ratio is to the faster.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$(realpath "${1:-build/release}")
rounds=${2:-3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/one" "$work/four"
for i in 1 2 3 4; do
  head -c $((256 << 20)) /dev/urandom >"$work/four/model-0000$i-of-00004.safetensors"
done
cat "$work"/four/*.safetensors >"$work/one/model.safetensors"
# shellcheck source=tests/hub/private_server.sh
source tests/hub/private_server.sh "$build" me/one="$work/one" me/four="$work/four"
export HF_HOME=$work/hf LLM_QUANTIZE_CACHE=$work/cache

seconds() {  # COMMAND…: runs it, prints the wall time
  local from=$EPOCHREALTIME
  "$@" >/dev/null 2>&1
  awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.2f\n", b - a}'
}
fresh() { rm -rf "$work/cache" "$work/to" && mkdir "$work/to" && sync; }
get() {  # MODEL: its files with curl
  for file in "$work/$1"/*.safetensors; do
    curl --fail --silent --location --output "$work/to/${file##*/}" \
      "$HF_ENDPOINT/me/$1/resolve/main/${file##*/}"
  done
}
openssl_hash() { openssl dgst -sha256 "$work"/to/*; }
coreutils_hash() { sha256sum "$work"/to/*; }

printf '%-6s %10s %12s %12s %14s %8s\n' model curl openssl sha256sum quantize-fetch ratio
for ((round = 0; round < rounds; ++round)); do
  for model in one four; do
    fresh
    curl=$(seconds get "$model")
    openssl=$(seconds openssl_hash)
    coreutils=$(seconds coreutils_hash)
    fresh
    ours=$(seconds "$build/bin/quantize-fetch" fetch "me/$model")
    printf '%-6s %9ss %11ss %11ss %13ss %8s\n' "$model" "$curl" "$openssl" "$coreutils" "$ours" \
      "$(awk -v c="$curl" -v h="$openssl" -v o="$ours" 'BEGIN {printf "%.2f", (c + h) / o}')"
  done
done
