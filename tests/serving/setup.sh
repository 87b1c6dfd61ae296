#!/usr/bin/env bash
# Makes build/serving, the Python environment of the programs that people serve AWQ and GPTQ models
# with, and prints its interpreter. A complete one is left as it is: the packages' versions are those
# of requirements.txt. 6 GB, of which nothing runs on a GPU.
#   setup.sh [FOLDER]
set -euo pipefail

readonly gptqmodel=7.7.0
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-$here/../../build/serving}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
python=$folder/bin/python

# The stamp holds what was installed, so that another version here is installed over it.
stamp=$(cat "$here/requirements.txt" && echo "gptqmodel==$gptqmodel")
if [[ "$(cat "$folder/complete" 2>/dev/null)" != "$stamp" ]]; then
  rm -f "$folder/complete"
  {
    python3 -m venv "$folder"
    "$python" -m pip install --quiet --no-cache-dir -r "$here/requirements.txt"
    # A source package whose pyproject.toml setuptools before 77 refuse, hence the pinned one and no
    # isolated build. It lists maturin, which only its builders need: --no-deps.
    "$python" -m pip install --quiet --no-cache-dir --no-deps --no-build-isolation \
      "gptqmodel==$gptqmodel"
    # All of it must import here, and not in the middle of a check.
    CUDA_VISIBLE_DEVICES='' "$python" -c 'import accelerate, gguf, gptqmodel, optimum, torch'
  } >&2
  printf '%s\n' "$stamp" >"$folder/complete"
fi
echo "$python"
