#!/bin/sh
# Makes a folder that runs on a machine without our packages (glibc 2.34 or newer):
#
#   deploy/bundle.sh [--tests] BUILD FOLDER        then    FOLDER/run llm-quantize …
#
# FOLDER/bin gets the stripped programs of the build and its CUDA module, FOLDER/lib all libraries
# they need but glibc's. With --tests also what tests/bench/on_device.sh runs.
set -eu

tests=no
if [ "${1:-}" = --tests ]; then
  tests=yes
  shift
fi
[ $# -eq 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
build=$1
folder=$2

programs="llm-quantize quantized quantize-worker libquantized_cuda.so"
[ $tests = no ] || programs="$programs kernels_cuda_test make-synthetic-model device_bench"

mkdir -p "$folder/bin" "$folder/lib"
for program in $programs; do
  # What was not built is left out: a build without the service has no client, one without nvcc no
  # module.
  [ -f "$build/bin/$program" ] || { echo "bundle.sh: without $program" >&2; continue; }
  strip -o "$folder/bin/$program" "$build/bin/$program"
  chmod 755 "$folder/bin/$program"
done
[ -n "$(ls "$folder/bin")" ] || { echo "bundle.sh: no program in $build/bin" >&2; exit 1; }

ldd "$folder"/bin/* | awk '$2 == "=>" { print $3 }' | sort -u |
  grep -vE '/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*)\.so\.[0-9]+$' |
  while read -r library; do cp -L "$library" "$folder/lib/"; done

cat >"$folder/run" <<'RUN'
#!/bin/sh
# run PROGRAM ARGUMENT…: a program of bin with the libraries of lib.
here=$(cd "$(dirname "$0")" && pwd)
program=$1
shift
export LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/bin/$program" "$@"
RUN
chmod 755 "$folder/run"
if [ $tests = yes ]; then
  cp "$(dirname "$0")/../tests/bench/on_device.sh" "$folder/"
fi
du -sh "$folder"
