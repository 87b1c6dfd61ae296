#!/bin/sh
# Fuzzes every parser for a bounded time: tests/fuzz/run.sh [SECONDS PER TARGET, default 60].
# Builds the `fuzz` preset. New inputs go to build/fuzz/corpus, crashing ones to build/fuzz/artifacts,
# whose path is printed. Exit code 1 if any target found something.
set -eu
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target fuzz_targets

failed=""
for program in build/fuzz/bin/fuzz_*; do
  name=$(basename "$program" | sed 's/^fuzz_//')
  mkdir -p "build/fuzz/corpus/$name" build/fuzz/artifacts
  echo "fuzz: $name for $seconds s"
  if ! "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
      -print_final_stats=1 -artifact_prefix="build/fuzz/artifacts/$name-" \
      "build/fuzz/corpus/$name" "$here/corpus/$name" >"build/fuzz/$name.log" 2>&1; then
    failed="$failed $name"
    tail -n 40 "build/fuzz/$name.log"
  fi
  sed -n 's/^stat::number_of_executed_units: */fuzz: executed inputs: /p' "build/fuzz/$name.log"
done
[ -z "$failed" ] || { echo "fuzz: failed:$failed"; exit 1; }
