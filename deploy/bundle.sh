#!/bin/sh
# Makes a folder that runs on a machine without our packages (glibc 2.34 or newer):
#
#   deploy/bundle.sh [--tests] [--cublas] BUILD FOLDER        then    FOLDER/run llm-quantize …
#
# FOLDER/bin gets the stripped programs of the build and its CUDA modules, FOLDER/lib all libraries
# they need but glibc's and cuBLAS: that is half a gigabyte, which only running a model on a device
# needs, and comes with --cublas; without, the machine's own is used. With --tests also what
# tests/bench/on_device.sh runs.
set -eu

tests=no
cublas=no
while :; do
  case ${1:-} in
    --tests) tests=yes ;;
    --cublas) cublas=yes ;;
    *) break ;;
  esac
  shift
done
[ $# -eq 2 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }
build=$1
folder=$2

programs="llm-quantize quantized quantize-worker quantize-fetch libquantized_cuda.so libquantized_forward_cuda.so"
[ $tests = no ] || programs="$programs kernels_cuda_test kernels_forward_cuda_test \
  make-synthetic-model device_bench walk_device_bench"
# What comes from the machine that the folder goes to.
left_out='/(libc|libm|libdl|libpthread|librt|libresolv|ld-linux[^/]*)\.so\.[0-9]+$'
[ $cublas = yes ] || left_out="$left_out|/libcublas(Lt)?\.so\.[0-9]+\$"

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
  grep -vE "$left_out" |
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
