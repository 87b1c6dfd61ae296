#!/bin/bash
# Installs what is missing, builds, and runs all tests. Ends with "N passed, N failed, N skipped"
# and fails when a test failed, a build failed or no test ran.
#
#   tests/run.sh [--quick] [--nightly] [--golden DIR]
#
# --quick    the release build and its tests only
# --nightly  with the tests labelled nightly, and longer fuzzing
# --golden   the folder of the large golden set; without it the committed set alone is compared
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

quick=no
nightly=no
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=yes ;;
    --nightly) nightly=yes ;;
    --golden)
      [ -d "${2:-}" ] || { echo "run.sh: --golden needs a folder" >&2; exit 2; }
      QUANTIZED_GOLDEN=$(cd "$2" && pwd)
      export QUANTIZED_GOLDEN
      shift
      ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done

jobs=$(nproc)
reports=build/test-reports
rm -rf "$reports"
mkdir -p "$reports"
passed=0
failed=0
skipped=0
failures=()

say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

# One check that is no test program of ctest: check NAME COMMAND…
check() {
  if "${@:2}"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    failures+=("$1")
  fi
}

finish() {
  say "done"
  [ ${#failures[@]} -eq 0 ] || printf 'failed: %s\n' "${failures[@]}"
  echo "golden data: ${QUANTIZED_GOLDEN:-the committed set only}"
  echo "$passed passed, $failed failed, $skipped skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
  exit
}

# build PRESET TARGET…
build() {
  local preset=$1 log=$reports/$1-build.log
  shift
  say "build $preset"
  if configure "$preset" >"$log" 2>&1 &&
    cmake --build "build/$preset" -j "$jobs" --target "$@" >>"$log" 2>&1; then
    return 0
  fi
  grep -v '^\[' "$log" | tail -n 60
  failed=$((failed + 1))
  failures+=("build $preset")
  return 1
}

configure() {
  [ -f "build/$1/build.ninja" ] || cmake --preset "$1"
}

# run_tests PRESET CTEST_ARGUMENT…: adds what ctest counted.
run_tests() {
  local preset=$1 report=$reports/$1.xml counts
  shift
  say "test $preset"
  local labels=(-LE nightly)
  [ $nightly = no ] || labels=()
  ctest --test-dir "build/$preset" -j "$jobs" --output-on-failure --output-junit "$PWD/$report" \
    "${labels[@]}" "$@" >"$reports/$preset-test.log" 2>&1
  local status=$?
  # Passed tests are of no interest, what failed and why is; what was skipped is summed up below.
  grep -v ' Passed \| Start \|(Skipped)$' "$reports/$preset-test.log" | tail -n 200
  if ! counts=$(python3 tests/support/junit_counts.py "$report"); then
    counts="0 1 0"
  fi
  read -r ok bad left <<<"$counts"
  [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1
  [ "$ok" -gt 0 ] || { echo "no test of $preset ran"; bad=$((bad + 1)); }
  passed=$((passed + ok))
  failed=$((failed + bad))
  skipped=$((skipped + left))
  [ "$bad" -eq 0 ] || failures+=("tests of $preset")
}

# clang-tidy, and with it clang's thread-safety analysis, on what differs from the main branch (on it:
# from the commit before). Builds no more than what sources include.
tidy() {
  local base sources log=$reports/tidy.log
  base=$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null)
  [ "$base" != "$(git rev-parse HEAD 2>/dev/null)" ] || base=HEAD~1
  if ! sources=$(git diff --name-only --diff-filter=d "$base" -- '*.cc' 2>/dev/null); then
    echo "skipped tidy: no earlier commit here to compare with"
    skipped=$((skipped + 1))
  elif [ -z "$sources" ]; then
    echo "tidy: no source differs from $base"
  elif build tidy proto/all; then
    say "tidy"
    check "tidy" xargs -P "$jobs" -n 1 clang-tidy-14 --quiet -p build/tidy <<<"$sources" >"$log" 2>&1
    grep -A 8 'error:' "$log" | tail -n 100
  fi
}

# The stand-in for the Hub, and our client, beside the real one from PyPI.
prove_server() {
  say "huggingface_hub"
  check "prove_server.sh" tests/hub/prove_server.sh >"$reports/prove-server.log" 2>&1
  cat "$reports/prove-server.log"
}

# All targets together: 2 minutes of processor time, an hour in the nightly run.
fuzz() {
  local total=120 targets=(tests/fuzz/*_fuzz.cc)
  [ $nightly = no ] || total=3600
  local each=$((total / ${#targets[@]})) before=$failed
  say "fuzz ${#targets[@]} targets for $each s each"
  check "fuzzing" tests/fuzz/run.sh "$each" >"$reports/fuzz.log" 2>&1
  if [ "$failed" = "$before" ]; then
    grep '^fuzz: ' "$reports/fuzz.log"
  else
    grep -v '^\[' "$reports/fuzz.log" | tail -n 100
  fi
}

say "packages"
deploy/install-packages.sh || { echo "run.sh: packages are missing" >&2; exit 1; }
say "model"
check "make_smollm2.sh" tests/support/make_smollm2.sh

build release all || finish
run_tests release
if [ $quick = no ]; then
  prove_server
  build asan core/all daemon/worker/all daemon/executors/all daemon/queue/all daemon/hub/all \
    tests/fuzz/all &&
    run_tests asan -R '^(core_|daemon_worker|daemon_executors|daemon_queue|daemon_hub|fuzz_)'
  # Of the kernels what runs on several threads: encoders, and tables made at first use. Executors with
  # the fake worker: the real one is a program of its own, and asan's.
  build tsan kernels/codecs/all kernels/iq_grids/all core/base/all daemon_executors_test \
    daemon/queue/all daemon/hub/all &&
    run_tests tsan \
      -R '^(kernels_.*(Threads|iq_grids)|core_base|daemon_executors_test|daemon_queue|daemon_hub)'
  tidy
  fuzz
fi
finish
