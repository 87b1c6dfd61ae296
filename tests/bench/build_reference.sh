#!/usr/bin/env bash
# Builds the reference tools in build/reference, unless they are there, and prints that folder:
# bin/llama-quantize, bin/llama-gguf-split, bin/libggml-base.so, and source/gguf-py, their Python reader.
# The source comes from the package index; the build has its default flags, because others change
# the bytes that the encoders give (docs/design/exactness.md).
#   build_reference.sh [--converter] [--calibration]
# --converter    also converter/bin/python, which can run source/convert_hf_to_gguf.py (several GB)
# --calibration  also bin/llama-imatrix and bin/llama-perplexity
set -euo pipefail

readonly version=0.3.36  # of llama-cpp-python, which carries llama.cpp of October 2026
top=$(cd "$(dirname "$0")/../.." && pwd)
folder=$top/build/reference

converter=no
tools=(llama-quantize llama-gguf-split)
for option in "$@"; do
  case $option in
    --converter) converter=yes ;;
    --calibration) tools+=(llama-imatrix llama-perplexity) ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
complete=yes
for tool in "${tools[@]}"; do
  [[ -x $folder/bin/$tool ]] || complete=no
done

if [[ $complete == no ]]; then
  mkdir -p "$folder"
  if [[ ! -d $folder/source ]]; then
    python3 -m venv "$folder/venv"
    "$folder/venv/bin/pip" install --quiet scikit-build-core
    "$folder/venv/bin/pip" download --quiet --no-deps --no-binary :all: --no-build-isolation \
      --dest "$folder" "llama-cpp-python==$version"
    rm -rf "$folder/source.part"
    mkdir "$folder/source.part"
    tar -xzf "$folder"/llama_cpp_python-*.tar.gz -C "$folder/source.part" --strip-components=3 \
      "llama_cpp_python-$version/vendor/llama.cpp"
    mv "$folder/source.part" "$folder/source"
  fi
  # Names a repository that is not there: ninja would configure again and again, and give up.
  rm -f "$folder/source/.git"
  # Virtual machines may show AMX and not run it; then the tools die of an illegal instruction.
  flags=()
  if grep -qw amx_tile /proc/cpuinfo; then
    flags=("-DCMAKE_CXX_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16")
  fi
  cmake -G Ninja -S "$folder/source" -B "$folder" -DCMAKE_BUILD_TYPE=Release "${flags[@]}" \
    -DLLAMA_CURL=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    >"$folder/configure.log"
  cmake --build "$folder" --target "${tools[@]}" >"$folder/build.log" ||
    { tail -n 40 "$folder/build.log" >&2; exit 1; }
fi
if [[ $converter == yes && ! -e $folder/converter/complete ]]; then
  python3 -m venv "$folder/converter"
  "$folder/converter/bin/pip" install --quiet \
    torch==2.15.0 transformers==4.57.6 sentencepiece==0.2.3 numpy==2.4.6
  touch "$folder/converter/complete"
fi
echo "$folder"
