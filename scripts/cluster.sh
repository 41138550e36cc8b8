#!/usr/bin/env bash
# A local network of validators: up N | status | kill ID | start ID | down. A thin wrapper around `gongsuan cluster`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
binary=${GONGSUAN_BIN:-}
if [ -z "$binary" ]; then
  (cd "$root" && cargo build --release --quiet -p gongsuan)
  binary=${CARGO_TARGET_DIR:-$root/target}/release/gongsuan
fi
cd "$root"
case ${1:-} in
  up) exec "$binary" cluster up "${2:-4}" ;;
  kill | start)
    [ -n "${2:-}" ] || { echo "usage: scripts/cluster.sh $1 ID" >&2; exit 2; }
    exec "$binary" cluster "$1" "$2"
    ;;
  status | check) exec "$binary" cluster "$1" ;;
  down) exec "$binary" cluster down --purge ;;
  *)
    echo "usage: scripts/cluster.sh up [N] | status | check | kill ID | start ID | down" >&2
    exit 2
    ;;
esac
