#!/usr/bin/env bash
# GPTQModel and llm-quantize on the same model, text and processor: cost and quality of GPTQ, 4 bits.
#   compare_gptq.sh MODEL_DIR TEXT OUT
# MODEL_DIR  a Hugging Face directory
# TEXT       the calibration set, 64 windows of 512 tokens and no more: a job takes its windows from all
#            of a text, the peer the first
# OUT        folder of the results: gptqmodel/ and ours/ (model directories), *.json, *.log
# From the environment:
#   EVALUATION  the text that quality is measured on (default TEXT: fit for no claim)
#   BIN_DIR     where llm-quantize is (default build/release/bin)
#   GROUP_SIZE  default 64
#   SKIP_PEER=1 takes GPTQModel's last result in OUT, if there is one; SKIP_OURS=1 measures the peer alone
#   CHECK_OPTIONS  more options for check_directory.py
# CPU seconds are user and system of the whole process (GPTQModel; Python's imports are given apart) and
# of the whole worker (ours, as the result's metadata has them). Memory is the peak of the same.
set -euo pipefail

[[ $# -eq 3 ]] || { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
model=$(cd "$1" && pwd) text=$(realpath "$2")
mkdir -p "$3"
out=$(cd "$3" && pwd)
evaluation=$(realpath "${EVALUATION:-$text}")
bin=${BIN_DIR:-$here/../../build/release/bin}
group_size=${GROUP_SIZE:-64}
python=$("$here/setup.sh")

if [[ ${SKIP_PEER:-} != 1 ]]; then
  rm -rf "$out/gptqmodel" "$out"/gptqmodel*.json
  # Waiting threads sleep: spinning would count as work where the machine is shared.
  OMP_WAIT_POLICY=PASSIVE "$python" "$here/quantize_with_gptqmodel.py" "$model" "$text" \
    "$out/gptqmodel" --group-size "$group_size" --json "$out/gptqmodel.json" \
    >"$out/gptqmodel.log" 2>&1 || { tail -n 20 "$out/gptqmodel.log" >&2; exit 1; }
fi

if [[ ${SKIP_OURS:-} != 1 ]]; then
  # shellcheck source=tests/serving/private_daemon.sh
  source "$here/private_daemon.sh" "$bin"
  rm -rf "$out/ours" "$out"/ours*.json
  "$bin/llm-quantize" --format json quantize "$model" gptq -q 4bit --group-size "$group_size" \
    --calibration-data "$text" --calibration-samples 64 --sequence-length 512 --no-checkpoints \
    --output-dir "$out" --output-name ours >"$out/ours.json" 2>"$out/ours.log" ||
    { cat "$out/ours.json" "$out/ours.log" >&2; exit 1; }
fi

status=0
sides=()
[[ ! -f $out/gptqmodel.json ]] || sides+=(gptqmodel)
[[ ${SKIP_OURS:-} == 1 ]] || sides+=(ours)
for side in "${sides[@]}"; do
  # A bad directory is a result, too: the table comes first, then the exit code.
  # shellcheck disable=SC2086  # several options
  "$python" "$here/check_directory.py" "$out/$side" --source "$model" --text "$evaluation" \
    --json "$out/$side.quality.json" ${CHECK_OPTIONS:-} >"$out/$side.check.log" 2>&1 || status=1
  [[ -f $out/$side.quality.json ]] || { tail -n 20 "$out/$side.check.log" >&2; exit 1; }
  grep '^FAIL' "$out/$side.check.log" | sed "s/^/$side: /" || true
done
"$python" "$here/comparison_table.py" "$out"
exit $status
