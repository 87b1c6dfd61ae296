# shellcheck shell=bash
# For scripts that measure: sourced, starts the daemon of BIN_DIR=$1 with a state of its own, so that
# no other build's answers, and lets llm-quantize find it by LLM_QUANTIZE_HOST. Stopped at exit.
daemon_state=$(mktemp -d)
mkdir -m 700 "$daemon_state/run"
"$1/quantized" --socket "$daemon_state/run/s" --state-dir "$daemon_state" --slots 1 \
  2>"$daemon_state/log" &
daemon_pid=$!
trap 'kill "$daemon_pid" 2>/dev/null; wait "$daemon_pid" 2>/dev/null; rm -rf "$daemon_state"' EXIT
for ((i = 0; i < 600; ++i)); do
  [[ ! -S $daemon_state/run/s ]] || break
  kill -0 "$daemon_pid" 2>/dev/null || { cat "$daemon_state/log" >&2; exit 1; }
  sleep 0.05
done
export LLM_QUANTIZE_HOST=unix:$daemon_state/run/s
