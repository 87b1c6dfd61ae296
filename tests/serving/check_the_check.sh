#!/usr/bin/env bash
# Does check_directory.py find what is wrong? It must accept a good GPTQ directory and the same weights
# as AWQ with every loader, and refuse each damaged copy (damage.py) for the reason that the damage has.
#   check_the_check.sh GOOD_DIR SOURCE_DIR TEXT [KIND…]
# GOOD_DIR  symmetric, 4 bits, not act-order; compare_gptq.sh leaves one in OUT/gptqmodel
# KIND      these only, and not the good ones
set -euo pipefail

[[ $# -ge 3 ]] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
good=$1 source=$2 text=$3
shift 3
python=$("$here/setup.sh")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0
failed=0

# expect NAME STATUS REGULAR_EXPRESSION DIRECTORY OPTION…
expect() {
  local name=$1 status=$2 pattern=$3 directory=$4 got=0
  shift 4
  "$python" "$here/check_directory.py" "$directory" --source "$source" --text "$text" --windows 1 \
    "$@" >"$scratch/log" 2>&1 || got=$?
  if [[ $got == "$status" ]] && grep -Eq -- "$pattern" "$scratch/log"; then
    passed=$((passed + 1))
    echo "ok    $name"
  else
    failed=$((failed + 1))
    echo "WRONG $name: exit $got, expected $status and: $pattern"
    sed 's/^/      /' "$scratch/log" | tail -n 30
  fi
}

if [[ $# -eq 0 ]]; then
  expect good 0 '^kl_transformers +[0-9]' "$good"
  "$python" "$here/damage.py" awq "$good" "$scratch/awq"
  expect awq 0 '^kl_gptqmodel +[0-9]' "$scratch/awq"
  # A loader that is missing is no reason to pass.
  mkdir -p "$scratch/broken/gptqmodel"
  echo 'raise ImportError("not here")' >"$scratch/broken/gptqmodel/__init__.py"
  PYTHONPATH=$scratch/broken expect missing-loader 1 'FAIL +loader gptqmodel: .*not here' "$good" \
    --loaders own,gptqmodel
  expect no-directory 2 'not there' "$scratch/none"
fi
while IFS=$'\t' read -r kind pattern; do
  [[ $# -eq 0 || " $* " == *" $kind "* ]] || continue
  "$python" "$here/damage.py" "$kind" "$good" "$scratch/damaged"
  expect "$kind" 1 "^FAIL +.*($pattern)" "$scratch/damaged" --loaders own
done < <("$python" "$here/damage.py" list)
echo "$passed passed, $failed failed"
[[ $failed -eq 0 && $passed -gt 0 ]]
