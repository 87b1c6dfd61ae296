#!/bin/sh
# On a machine with a CUDA device: are its bytes the processor's, and what does it gain?
#
#   tests/bench/on_device.sh [BIN [DEVICE [LEVEL…]]]
#
# BIN has the programs of a build with CUDA (build/cuda/bin, or bin of a bundle that deploy/bundle.sh
# --tests made); DEVICE is "cuda" or "cuda:N". First all types on all kinds of rows against the plain
# encoders, then whole models of random weights. Fails at the first difference. Then running a model
# (calibration), whose results are near the processor's: its kernels, and a layer of a 7B model, for
# which it needs cuBLAS and 8 GB of memory. Needs 4 GB in $TMPDIR.
set -eu

bin=${1:-build/cuda/bin}
device=${2:-cuda}
if [ $# -gt 2 ]; then
  shift 2
else
  set -- Q8_0 Q4_0 Q2_K Q3_K_M Q4_K_M Q5_K_M Q6_K
fi
bin=$(cd "$bin" && pwd)
# The libraries of a bundle.
[ ! -d "$bin/../lib" ] || export LD_LIBRARY_PATH="$bin/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
nproc
# A device that cannot be used is a failure here, not a skipped test.
QUANTIZED_NEEDS_DEVICE=1 "$bin/kernels_cuda_test" --gtest_filter='*Cuda*' --gtest_brief=1

"$bin/make-synthetic-model" "$work/model.gguf" 4 4096 11008 32000
for threads in 1 "$(nproc)"; do
  echo "threads: $threads"
  "$bin/device_bench" "$work/model.gguf" "$work" "$device" "$threads" "$@"
done

QUANTIZED_NEEDS_DEVICE=1 "$bin/kernels_forward_cuda_test" --gtest_brief=1
"$bin/walk_device_bench" "$device"
