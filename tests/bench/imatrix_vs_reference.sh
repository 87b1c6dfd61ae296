#!/usr/bin/env bash
# Our importance matrix and llama-imatrix's, of the same model and text: what they cost, and how good
# models are that are quantized with either. llama-quantize encodes with both, so that the matrix alone
# differs; llama-perplexity measures.
#   imatrix_vs_reference.sh MODEL_DIR CALIBRATION_TEXT EVALUATION_TEXT OUT
# CALIBRATION_TEXT holds CHUNKS chunks and no more: a job takes its windows from all of it, the peer the first.
# From the environment:
#   BIN_DIR            where llm-quantize is (default build/release/bin); it makes the F16 file, too
#   F16                a GGUF file of MODEL_DIR to take instead of making one
#   CHUNKS             chunks of 512 tokens to calibrate with (default 16)
#   EVALUATION_CHUNKS  chunks of 512 tokens to measure on (default 6)
#   LEVELS             default "Q2_K IQ3_S Q4_K_M"
#   SKIP_REFERENCE=1   takes the reference's last figures in OUT; SKIP_OURS=1 measures it alone
# CPU seconds are user and system of the whole process. Ours are those of a job that measures the matrix
# and quantizes, less those of one that quantizes with the matrix it wrote.
set -euo pipefail

[[ $# -eq 4 ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
model=$(realpath "$1") calibration=$(realpath "$2") evaluation=$(realpath "$3")
mkdir -p "$4"
out=$(cd "$4" && pwd)
bin=${BIN_DIR:-$here/../../build/release/bin}
chunks=${CHUNKS:-16}
read -ra levels <<<"${LEVELS:-Q2_K IQ3_S Q4_K_M}"
threads=$(nproc)
tools=$("$here/build_reference.sh" --calibration)/bin
f16=${F16:-$out/f16.gguf}

if [[ ${SKIP_OURS:-} != 1 || ! -f $f16 ]]; then
  # shellcheck source=tests/serving/private_daemon.sh
  source "$here/../serving/private_daemon.sh" "$bin"
fi

# quantize NAME LEVEL OPTION…: our job; its result is OUT/NAME.json, its file OUT/NAME.gguf.
quantize() {
  local name=$1 level=$2
  shift 2
  "$bin/llm-quantize" --format json --progress none quantize "$model" gguf -q "$level" -o "$out" \
    -n "$name.gguf" --overwrite --no-checkpoints --threads "$threads" "$@" >"$out/$name.json" \
    2>"$out/$name.log" || { cat "$out/$name.json" "$out/$name.log" >&2; exit 1; }
}

# measured FILE COMMAND…: writes CPU seconds and peak memory in MB to FILE.
measured() {
  python3 - "$@" <<'PROGRAM'
import resource, subprocess, sys
done = subprocess.run(sys.argv[2:], stdout=open(sys.argv[1] + ".log", "w"), stderr=subprocess.STDOUT)
if done.returncode:
    sys.exit(f"{sys.argv[2]}: exit code {done.returncode}, see {sys.argv[1]}.log")
u = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{u.ru_utime + u.ru_stime:.1f} {u.ru_maxrss * 1024 / 1e6:.0f}", file=open(sys.argv[1], "w"))
PROGRAM
}

# perplexity NAME FILE OPTION…: OUT/NAME.ppl gets the perplexity and the mean KL divergence from F16.
perplexity() {
  local name=$1 file=$2
  shift 2
  OMP_WAIT_POLICY=PASSIVE "$tools/llama-perplexity" -m "$file" -f "$evaluation" -c 512 -t "$threads" \
    --chunks "${EVALUATION_CHUNKS:-6}" --kl-divergence-base "$out/f16.logits" "$@" \
    >"$out/$name.ppl.log" 2>&1 || { tail -n 20 "$out/$name.ppl.log" >&2; exit 1; }
  # Lines may begin with a time stamp.
  sed -nE 's/^.*(Final estimate: PPL|Mean PPL\(Q\)) *[=:] *([0-9.]+).*$/ppl \2/p
    s/^.*Mean +KLD: *([0-9.]+).*$/kl \1/p' "$out/$name.ppl.log" |
    awk '{ value[$1] = $2 } END { if (!value["ppl"]) exit 1; print value["ppl"], value["kl"] + 0 }' \
      >"$out/$name.ppl" || { echo "$out/$name.ppl.log: no perplexity in it" >&2; exit 1; }
}

# quality MATRIX: quantizes with OUT/MATRIX.imatrix.gguf, or without for `none`, and measures.
quality() {
  local level options=()
  [[ $1 == none ]] || options=(--imatrix "$out/$1.imatrix.gguf")
  for level in "${levels[@]}"; do
    "$tools/llama-quantize" "${options[@]}" "$f16" "$out/scratch.gguf" "$level" "$threads" \
      >"$out/$1.$level.log" 2>&1 || { tail -n 20 "$out/$1.$level.log" >&2; exit 1; }
    perplexity "$1.$level" "$out/scratch.gguf" --kl-divergence
    rm "$out/scratch.gguf"
  done
}

[[ -f $f16 ]] || quantize f16 F16
matrices=(none reference)
if [[ ${SKIP_REFERENCE:-} != 1 ]]; then
  # Waiting threads sleep: spinning would count as work where the machine is shared.
  OMP_WAIT_POLICY=PASSIVE measured "$out/reference.cost" "$tools/llama-imatrix" -m "$f16" \
    -f "$calibration" -c 512 --chunks "$chunks" -t "$threads" -o "$out/reference.imatrix.gguf"
  perplexity f16 "$f16"
  quality none
  quality reference
fi
if [[ ${SKIP_OURS:-} != 1 ]]; then
  matrices+=(ours)
  matrix=$out/ours.imatrix.gguf
  rm -f "$matrix"
  quantize ours-both Q4_K_M --calibration-data "$calibration" --calibration-samples "$chunks" \
    --sequence-length 512 --imatrix-out "$matrix"
  quantize ours-quantize Q4_K_M --imatrix "$matrix"
  python3 - "$out" >"$out/ours.cost" <<'PROGRAM'
import json, sys
both, one = (json.load(open(f"{sys.argv[1]}/ours-{n}.json")) for n in ("both", "quantize"))
print(f"{both['metadata']['cpu_seconds'] - one['metadata']['cpu_seconds']:.1f} {both['peak_memory_bytes'] / 1e6:.0f}")
PROGRAM
  quality ours
fi

tokens=$((chunks * 512))
printf '%-10s %8s %10s %8s\n' matrix 'CPU s' 'tokens/s' MB
for matrix in "${matrices[@]:1}"; do
  read -r cpu memory <"$out/$matrix.cost"
  printf '%-10s %8s %10s %8s\n' "$matrix" "$cpu" "$(awk "BEGIN { printf \"%.0f\", $tokens / $cpu }")" "$memory"
done
read -r ppl kl <"$out/f16.ppl"
printf '\n%-10s %-8s %10s %10s\n%-10s %-8s %10s %10s\n' matrix level perplexity 'KL, nats' - F16 "$ppl" -
for matrix in "${matrices[@]}"; do
  for level in "${levels[@]}"; do
    read -r ppl kl <"$out/$matrix.$level.ppl"
    printf '%-10s %-8s %10s %10s\n' "$matrix" "$level" "$ppl" "$kl"
  done
done
