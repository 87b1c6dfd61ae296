#!/bin/sh
# From a fresh Debian 12 to a quantized model: installs packages, builds, makes a real model and
# quantizes it through a daemon that the command starts. What is done already is not done again.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
cd "$top"

say() { printf '== %s\n' "$*" >&2; }

say "packages"
deploy/install-packages.sh
say "build (build/release)"
[ -f build/release/build.ninja ] || cmake --preset release
cmake --build build/release --target llm-quantize quantized quantize-worker quantize-fetch
say "model (build/models)"
model=$(tests/support/make_smollm2.sh)
say "llm-quantize quantize $model gguf -q Q4_K_M -o build/quickstart"
exec build/release/bin/llm-quantize quantize "$model" gguf -q Q4_K_M -o build/quickstart
