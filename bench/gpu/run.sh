#!/bin/sh
# The GPU comparison on a machine without a network. docs/benchmarks.md says what to carry.
#
#   bench/gpu/run.sh pack DIRECTORY TARGET   cut every file of DIRECTORY into pieces, with hashes
#   bench/gpu/run.sh add FOLDER              copy what FOLDER carries into the store; as often as
#                                            it takes to bring everything
#   bench/gpu/run.sh measure [OPTIONS]       join, verify, install, measure; OPTIONS of measure.py
#
# The store is $STORE, /tmp/whisperdrop-gpu unless set:
#
#   wheels/*.whl               the Python packages; none of them: $PYTHON has everything already
#   wheels/SHA256SUMS, *.part-*    wheels too large for one go, as `pack` writes them
#   weights/MODEL/             a CTranslate2 model, as `pack` writes it
#   audio/                     manifest.jsonl and its files; without it the bundled recordings
#
# CUDA_LIBRARIES names further folders to look for libcublas.so.12 and libcudnn.so.9 in.
set -eu

STORE=${STORE:-/tmp/whisperdrop-gpu}
PYTHON=${PYTHON:-python3}
PIECE=${PIECE:-8m}
ROOT=$(cd "$(dirname "$0")/../.." && pwd)

pack() {
  mkdir -p "$2"
  target=$(cd "$2" && pwd)
  cd "$1"
  for file in *; do
    [ -f "$file" ] || continue
    split -b "$PIECE" -d -a 4 "$file" "$target/$file.part-"
    sha256sum "$file"
  done >"$target/SHA256SUMS"
}

add() {
  mkdir -p "$STORE"
  cp -R "$1/." "$STORE/"
}

# The whole files of a folder that came in pieces; a missing or damaged piece ends everything.
join_pieces() (
  cd "$1"
  [ -f SHA256SUMS ] || exit 0
  while read -r _ file; do
    [ -f "$file" ] || cat "$file".part-* >"$file"
  done <SHA256SUMS
  if ! sha256sum --check --quiet SHA256SUMS; then
    echo "$1 is not complete" >&2
    # Joined anew the next time, when the piece is there.
    while read -r _ file; do rm -f "$file"; done <SHA256SUMS
    exit 1
  fi
)

install() {
  for folder in "$STORE/wheels" "$STORE/weights"/*; do
    if [ -d "$folder" ]; then join_pieces "$folder"; fi
  done
  set -- "$STORE"/wheels/*.whl
  if [ -e "$1" ]; then
    if [ ! -e "$STORE/venv/done" ]; then
      rm -rf "$STORE/venv"
      "$PYTHON" -m venv "$STORE/venv"
      "$STORE/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-index --no-deps --no-compile "$@"
      touch "$STORE/venv/done"
    fi
    PYTHON=$STORE/venv/bin/python
  fi
}

measure() {
  install
  # CTranslate2 opens these by name when it first computes; the wheels keep them in the venv.
  libraries=${CUDA_LIBRARIES:-}
  for folder in "$STORE"/venv/lib/python3*/site-packages/nvidia/*/lib; do
    if [ -d "$folder" ]; then libraries=$libraries${libraries:+:}$folder; fi
  done
  export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  export PYTHONPATH="$ROOT:$ROOT/layers/core:$ROOT/functions/worker:$ROOT/infra/local"
  export PYTHONUNBUFFERED=1
  export MODEL_DIR="${MODEL_DIR:-$STORE/models}"
  models=
  for folder in "$STORE/weights"/*; do
    if [ -d "$folder" ]; then models=$models${models:+,}$folder; fi
  done
  if [ -n "$models" ]; then set -- --models "$models" "$@"; fi
  if [ -d "$STORE/audio" ]; then set -- --audio "$STORE/audio" "$@"; fi
  cd "$ROOT"
  exec "$PYTHON" -m bench.gpu.measure "$@"
}

case ${1:-} in
  pack | add | measure) verb=$1; shift; "$verb" "$@" ;;
  *) sed -n '2,9p' "$0" >&2; exit 2 ;;
esac
