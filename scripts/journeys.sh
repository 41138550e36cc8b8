#!/usr/bin/env bash
# The first five minutes of everybody the project is for: renter, provider, auditor, operator, embedder, benchmarker (all, without a name).
# Each runs the commands of its pages in docs/ as they stand, in an empty folder, and must be done within five minutes once things are built.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

target=${CARGO_TARGET_DIR:-$root/target}
if [ -z "${GONGSUAN_BIN:-}" ]; then
  cargo build --release --quiet -p gongsuan
  GONGSUAN_BIN=$target/release/gongsuan
fi
PATH=$(dirname "$(realpath "$GONGSUAN_BIN")"):$PATH
export PATH

blocks() { # MARK PAGE: the blocks of a page that begin with this mark
  awk -v mark="\`\`\`$1" '$0 == mark { on = 1; next } $0 == "```" { on = 0 } on' "$root/docs/$2.md"
}

page() { # PAGE: in an empty folder; what it started ends with it
  local dir
  dir=$(mktemp -d)
  {
    echo 'set -euo pipefail'
    echo 'trap '"'"'kill $(jobs -p) 2>/dev/null || true; gongsuan cluster down --purge 2>/dev/null || true'"'"' EXIT'
    blocks sh "$1"
  } >"$dir/.journey"
  (cd "$dir" && HOME=$dir timeout 300 bash .journey) >"$dir/.log" 2>&1 || {
    echo "docs/$1.md does not run:" >&2
    tail -n 40 "$dir/.log" >&2
    return 1
  }
  rm -rf "$dir"
}

journey() { # NAME
  local started=$SECONDS
  case $1 in
    renter) page quickstart && page renting ;;
    provider) page providing ;;
    auditor) page auditing ;;
    operator) page validating && page operations ;;
    embedder)
      page embedding
      blocks "sh cargo" embedding >"$target/journey-embedder.sh"
      bash -euo pipefail "$target/journey-embedder.sh" >/dev/null
      ;;
    benchmarker) cargo run --release --quiet -p gongsuan-benches -- match --json >"$target/journey-match.json" && grep -q '"rows"' "$target/journey-match.json" ;;
    *)
      echo "usage: scripts/journeys.sh [renter | provider | auditor | operator | embedder | benchmarker]" >&2
      return 2
      ;;
  esac || { echo "journey of the $1: FAILED" >&2; return 1; }
  echo "journey of the $1: $((SECONDS - started)) s"
}

if [ $# = 0 ]; then set -- renter provider auditor operator embedder benchmarker; fi
for name in "$@"; do journey "$name"; done
