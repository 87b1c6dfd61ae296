# shellcheck shell=bash
# For scripts: sourced with BUILD_DIR and what hub-server is to serve (NAME=FOLDER…), starts it and
# points HF_ENDPOINT at it, with no setting of the user's Hub in the way. $work is the script's
# scratch folder, made before; what the server was asked for is told in $work/requests. It ends with
# StopServer; at exit that is done and $work is removed.
: "${work:?}"

StopServer() {
  exec 3>&- || true
  if [[ -n $server_pid ]]; then wait "$server_pid" || true; fi
  server_pid=
}
trap 'StopServer; rm -rf "$work"' EXIT

mkfifo "$work/in"
"$1/bin/hub-server" "${@:2}" <"$work/in" >"$work/requests" &
server_pid=$!
exec 3>"$work/in"
until grep -q HF_ENDPOINT "$work/requests"; do sleep 0.1; done
# shellcheck disable=SC2046  # one assignment
export $(head -1 "$work/requests")
unset HF_TOKEN HF_HUB_OFFLINE HF_HUB_CACHE
