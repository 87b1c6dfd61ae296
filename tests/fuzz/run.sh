#!/bin/bash
# Fuzzes every parser for a bounded time, as many at once as there are cores:
#   tests/fuzz/run.sh [SECONDS PER TARGET, default 60]
# Builds the targets of the `asan` preset. New inputs go to build/fuzz/corpus, crashing ones to
# build/fuzz/artifacts, whose path is printed. Exit code 1 if any target found something.
set -euo pipefail
seconds=${1:-60}
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

cmake --preset asan >/dev/null
cmake --build build/asan --target fuzz_targets

# fuzz_one NAME: prints one line, after it the end of the log when something was found.
fuzz_one() {
  local name=$1 log=build/fuzz/$1.log failed=""
  mkdir -p "build/fuzz/corpus/$name"
  "build/asan/bin/fuzz_$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="build/fuzz/artifacts/$name-" \
    "build/fuzz/corpus/$name" "$here/corpus/$name" >"$log" 2>&1 || failed=yes
  echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s${failed:+, FAILED}"
  [ -z "$failed" ] || { tail -n 40 "$log"; return 1; }
}

mkdir -p build/fuzz/artifacts
export -f fuzz_one
export seconds here
# shellcheck disable=SC2016  # $1 is for the shell that xargs starts
printf '%s\n' tests/fuzz/*_fuzz.cc | sed 's,.*/,,; s,_fuzz.cc$,,' |
  xargs -P "$(nproc)" -I '{}' bash -c 'fuzz_one "$1"' _ '{}'
