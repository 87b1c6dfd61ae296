#!/usr/bin/env bash
# Compares our encoders with the reference encoders in bytes and speed.
#   tests/bench/encoders_vs_reference.sh [BUILD_DIR] [encoders_bench options]
# BUILD_DIR (default build/release) has encoders_bench. build_reference.sh makes the reference.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=build/release
if [[ $# -gt 0 && $1 != -* ]]; then build=$1; shift; fi
if [[ ! -x $build/bin/encoders_bench ]]; then
  echo "$build/bin/encoders_bench: not built" >&2
  exit 1
fi
reference=$(tests/bench/build_reference.sh)
exec "$build/bin/encoders_bench" --reference="$reference/bin/libggml-base.so" "$@"
