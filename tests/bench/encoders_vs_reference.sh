#!/usr/bin/env bash
# Compares our encoders with the reference encoders in bytes and speed.
#   tests/bench/encoders_vs_reference.sh [BUILD_DIR] [encoders_bench options]
# BUILD_DIR (default build/release) has encoders_bench. The reference is the `libgguf` wheel, a
# plain build of the reference's C code, installed into a virtual environment in BUILD_DIR.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly version=0.2.2
build=build/release
if [[ $# -gt 0 && $1 != -* ]]; then build=$1; shift; fi
venv=$build/reference-venv

if [[ ! -x $build/bin/encoders_bench ]]; then
  echo "$build/bin/encoders_bench: not built" >&2
  exit 1
fi
if ! "$venv/bin/python" -c "import importlib.metadata as m; assert m.version('libgguf') == '$version'" 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --no-deps "libgguf==$version"
fi
library=$(find "$venv" -name '_libgguf*.so' | head -n 1)

# The library is a Python module. Its encoders call nothing of Python, but the loader wants every
# name to exist: stand-ins that nothing touches.
nm -D --undefined-only "$library" | awk '$2 ~ /^_?Py/ {print "char " $2 "[256];"}' |
  cc -shared -fPIC -x c - -o "$venv/python_names.so"

exec "$build/bin/encoders_bench" --reference="$PWD/$venv/python_names.so:$PWD/$library" "$@"
