# Shared by the scripts beside it, which source it under `set -euo pipefail`. Sets `root` and changes to it.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit
jobs=$(nproc)
# Clones in other folders share what ccache keeps.
export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=true

say() { printf '%s\n' "$*" >&2; }

# show_progress LOG: keeps what a build prints in LOG, and shows people a line for each tenth of it; on a terminal,
# one line that is written over.
show_progress() {
  local line at total tenth shown=0
  while IFS= read -r line; do
    printf '%s\n' "$line"
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\] ]] || continue
    at=${BASH_REMATCH[1]} total=${BASH_REMATCH[2]}
    tenth=$((10 * at / total))
    if [ -t 2 ]; then
      printf '\rbuilding   %d of %d   ' "$at" "$total" >&2
    elif [ "$total" -ge 10 ] && [ "$tenth" -gt "$shown" ]; then
      say "building   $at of $total"
    fi
    shown=$tenth
  done >"$1"
  if [ -t 2 ] && [ "$shown" -gt 0 ]; then printf '\r%40s\r' '' >&2; fi
}

# build PRESET TARGET...: configures and builds in the preset's directory; on failure, prints what went wrong.
build() {
  local preset=$1 folder=build log
  shift
  [ "$preset" = release ] || folder=build-$preset
  mkdir -p "$folder"
  log=$folder/build.log
  if ! cmake --preset "$preset" >"$log" 2>&1; then
    cat "$log" >&2
    say "configuring $folder failed"
    return 1
  fi
  # Ninja prints a failed step's output itself; successful steps are one line each.
  if ! NINJA_STATUS='[%f/%t] ' cmake --build "$folder" --parallel "$jobs" --target "$@" 2>&1 | show_progress "$log"; then
    grep -vE '^\[[0-9]+/[0-9]+\] ' "$log" | head -n 100 >&2 || true
    say "building $folder failed; all of it is in $root/$log"
    return 1
  fi
}
