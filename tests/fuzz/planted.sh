#!/bin/sh
# Shows that the fuzz targets find bugs: for each planted/TARGET.BUG.patch, which takes one check out of
# a parser, builds fuzz_TARGET from a patched copy of the tree and demands that it crashes within a
# bounded number of runs. It starts from the valid seeds only: what it finds, it finds by mutation.
# Usage: tests/fuzz/planted.sh [TARGET.BUG…], default all.
set -eu
runs=5000000
seconds=600
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
[ $# -gt 0 ] || set -- $(ls "$here/planted" | sed -n 's/\.patch$//p')

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT INT TERM
git ls-files -z --cached --others --exclude-standard |
  tar --null --ignore-failed-read -T - -cf - 2>/dev/null | tar -xf - -C "$copy"
# Lets ccache take objects that were built in another folder.
export CCACHE_BASEDIR="$copy" CCACHE_NOHASHDIR=1
cmake --preset asan -S "$copy" >/dev/null

failed=""
for bug in "$@"; do
  target=${bug%%.*}
  patch -s -p1 -d "$copy" <"$here/planted/$bug.patch"
  if ! cmake --build "$copy/build/asan" --target "fuzz_$target" >"$copy/build.log" 2>&1; then
    tail -n 40 "$copy/build.log"
    exit 1
  fi
  log="$copy/$bug.log"
  mkdir "$copy/found-$bug" "$copy/corpus-$bug"  # the second takes what the run adds to the seeds
  # The artifact tells a crash of the target from a run that never began.
  if "$copy/build/asan/bin/fuzz_$target" -seed=1 -runs="$runs" -max_total_time="$seconds" \
      -timeout=10 -rss_limit_mb=2048 -max_len=65536 -artifact_prefix="$copy/found-$bug/" \
      "$copy/corpus-$bug" "$here/corpus/$target/valid" >"$log" 2>&1 || [ -z "$(ls "$copy/found-$bug")" ]; then
    tail -n 5 "$log"
    echo "planted: $bug: not found in $runs runs or $seconds s"
    failed="$failed $bug"
  else
    echo "planted: $bug: found as $(ls "$copy/found-$bug")"
    grep -m 1 -E "CHECK failed|ERROR: |runtime error" "$log"
  fi
  patch -s -R -p1 -d "$copy" <"$here/planted/$bug.patch"
done
[ -z "$failed" ] || { echo "planted: failed:$failed"; exit 1; }
