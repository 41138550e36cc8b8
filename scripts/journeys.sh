#!/usr/bin/env bash
# The first five minutes of everybody the project is for: renter, provider, auditor, operator, embedder, benchmarker (all, without a name).
# Each runs the commands of its pages in docs/ as they stand, and must be done within five minutes once things are built.
# GONGSUAN_BIN and GONGSUAN_BENCH name programs that are built already (target/release/gongsuan, target/release/gongsuan-bench).
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
target=${CARGO_TARGET_DIR:-$root/target}

# The program of a package on the path, built unless a variable names it.
program() { # VARIABLE PACKAGE NAME
  local named=${!1:-}
  if [ -z "$named" ]; then
    cargo build --release --quiet -p "$2"
    named=$target/release/$3
  fi
  PATH=$(dirname "$(realpath "$named")"):$PATH
}

blocks() { # MARK PAGE: the blocks of a page that begin with this mark
  awk -v mark="\`\`\`$1" '$0 == mark { on = 1; next } $0 == "```" { on = 0 } on' "$root/docs/$2.md"
}

run() { # PAGE SCRIPT FOLDER: within five minutes; what it printed is shown if it fails
  local log
  log=$(mktemp)
  (cd "$3" && timeout 300 bash -euo pipefail "$2") >"$log" 2>&1 </dev/null || {
    echo "docs/$1.md does not run:" >&2
    tail -n 40 "$log" >&2
    return 1
  }
  rm "$log"
}

page() { # PAGE [MARK]: in an empty folder that is also the home; what it started ends with it
  local dir
  dir=$(mktemp -d)
  {
    echo 'trap '"'"'kill $(jobs -p) 2>/dev/null || true; gongsuan cluster down --purge 2>/dev/null || true'"'"' EXIT'
    blocks "${2:-sh}" "$1"
  } >"$dir/.journey"
  HOME=$dir run "$1" "$dir/.journey" "$dir" && rm -rf "$dir"
}

examples() { # what the crates show, in the source tree
  local script
  script=$(mktemp)
  blocks "sh cargo" embedding >"$script"
  # Building is not part of the five minutes.
  # shellcheck disable=SC2046 # each name is two words
  cargo build --quiet $(grep -o -e '--example [a-z_]*' "$script")
  run embedding "$script" "$root" && rm "$script"
}

journey() { # NAME
  program GONGSUAN_BIN gongsuan gongsuan
  [ "$1" != benchmarker ] || program GONGSUAN_BENCH gongsuan-benches gongsuan-bench
  local started=$SECONDS
  case $1 in
    renter) page quickstart && page renting ;;
    provider) page providing ;;
    auditor) page auditing ;;
    operator) page validating && page operations ;;
    embedder) page embedding && examples ;;
    benchmarker) page benchmarks "sh bench" ;;
    *)
      echo "usage: scripts/journeys.sh [renter | provider | auditor | operator | embedder | benchmarker]" >&2
      return 2
      ;;
  esac || { echo "journey of the $1: FAILED" >&2; return 1; }
  echo "journey of the $1: $((SECONDS - started)) s"
}

if [ $# = 0 ]; then set -- renter provider auditor operator embedder benchmarker; fi
for name in "$@"; do journey "$name"; done
