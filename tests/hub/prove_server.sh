#!/usr/bin/env bash
# Holds our client and our stand-in for the Hub against the real huggingface_hub: it downloads from
# hub-server, what it gets equals what quantize-fetch gets byte for byte, and each takes a model from
# the other's cache without asking for a file.
#   tests/hub/prove_server.sh [BUILD_DIR]
# BUILD_DIR (default build/release) has quantize-fetch and hub-server. Makes a Python environment in
# build/hub-venv, for which it needs PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$(realpath "${1:-build/release}")
venv=build/hub-venv release=2.4.0
if ! "$venv/bin/pip" freeze 2>/dev/null | grep -qx "huggingface_hub==$release"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet "huggingface_hub==$release"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$venv/bin/python" tests/hub/make_model.py "$work/model"
# shellcheck source=tests/hub/private_server.sh
source tests/hub/private_server.sh "$build" me/model="$work/model"
export HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_PROGRESS_BARS=1 HF_HUB_DISABLE_UPDATE_CHECK=1

theirs=$work/theirs ours=$work/ours
fetch() {  # CACHE HF_HOME [OFFLINE]: prints the snapshot's folder, then the bytes that were fetched
  LLM_QUANTIZE_CACHE=$1 HF_HOME=$2 HF_HUB_OFFLINE=${3:-} "$build/bin/quantize-fetch" fetch me/model \
    2>/dev/null | "$venv/bin/python" -c "
import json, sys
answer = json.load(sys.stdin)
print(answer['path']); print(answer['fetched_bytes'])"
}
download() {  # HF_HUB_CACHE [offline]: prints the snapshot's folder
  HF_HOME=$work/hf HF_HUB_CACHE=$1 HF_HUB_OFFLINE=${2:-0} "$venv/bin/python" -c "
from huggingface_hub import snapshot_download
print(snapshot_download('me/model', allow_patterns=['*.json', '*.safetensors', '*.md']))"
}

snapshot=$(download "$theirs/hub")
mapfile -t fetched < <(fetch "$ours" "$work/none")
diff -r "$snapshot" "${fetched[0]}"
echo "same files: huggingface_hub $release and quantize-fetch ($(du -shL "$snapshot" | cut -f1))"

# The same blobs under the same names, linked alike.
diff <(cd "$theirs/hub/models--me--model" && find blobs snapshots refs -printf '%p %l\n' | sort) \
  <(cd "$ours/hub/models--me--model" && find blobs snapshots refs -printf '%p %l\n' | sort)
echo "same layout: blobs, snapshots, refs"

# Ours in theirs: offline, and online without a request for a file's bytes.
again=$(download "$ours/hub" 1)
[[ $again == "${fetched[0]}" ]]
again=$(download "$ours/hub")
[[ $again == "${fetched[0]}" ]]
echo "huggingface_hub takes our cache, offline and online"

# Theirs in ours.
mapfile -t adopted < <(fetch "$work/adopting" "$theirs")
diff -r "$snapshot" "${adopted[0]}"
[[ ${adopted[1]} == 0 ]]
mapfile -t offline < <(fetch "$work/nowhere" "$theirs" 1)
diff -r "$snapshot" "${offline[0]}"
echo "quantize-fetch takes theirs, offline and online"

StopServer
bytes=$(grep -c "^cdn GET" "$work/requests")
weights=$(find "$work/model" -name '*.safetensors' | wc -l)
echo "requests for bytes of $weights weight files by the two first downloads: $bytes"
# Theirs: one for each file. Ours: one for each chunk of 16 MiB.
chunks=$(find "$work/model" -name '*.safetensors' -printf '%s\n' | awk '{n += int(($1 + 16777215) / 16777216)} END {print n}')
[[ $bytes == $((weights + chunks)) ]]
