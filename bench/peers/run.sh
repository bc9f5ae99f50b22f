#!/usr/bin/env bash
# Compares psld's kernels with OpenBLAS, PyTorch and oneDNN on this machine and prints tables in Markdown:
#
#   bench/peers/run.sh [--threads N] [--visits N] [--filter RE]
#
# What is missing it installs where it can: OpenBLAS and a C compiler by apt-get (as root or by sudo without a
# password), PyTorch by pip in a virtual environment in PEERS_VENV (default ~/.cache/psld-peers; on Linux some
# gigabytes, PIP_INDEX_URL=https://download.pytorch.org/whl/cpu makes it one). What it cannot, it leaves
# out and says so. PYTHON names a Python 3 with torch installed. Nothing in the working
# tree is written. Close other programs first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
say() { echo "run.sh: $*" >&2; }

PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import sys; assert sys.version_info >= (3, 8)' 2>"$tmp/log"; then
  say "no Python 3.8 or later ($PYTHON); PYTHON names another one"
  exit 1
fi
CGO_ENABLED=0 go build -o "$tmp/psld" ./cmd/psld
options=(--psld "$tmp/psld")

compile() { cc -O2 -o "$tmp/openblas" bench/peers/openblas.c -lopenblas >"$tmp/log" 2>&1; }
if ! compile; then
  root=()
  ((EUID == 0)) || root=(sudo -n)
  say "installing libopenblas-dev and gcc"
  {
    timeout 120 "${root[@]}" apt-get update -q &&
      timeout 300 "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libopenblas-dev gcc libc6-dev
  } >"$tmp/apt" 2>&1 || tail -2 "$tmp/apt" >&2
fi
if compile; then
  options+=(--openblas "$tmp/openblas")
else
  say "SKIPPED OpenBLAS: $(tail -1 "$tmp/log")"
fi

if ! "$PYTHON" -c 'import torch' 2>"$tmp/log"; then
  venv=${PEERS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/psld-peers}
  if ! "$venv/bin/python" -c 'import torch' 2>>"$tmp/log"; then
    say "installing PyTorch in $venv"
    { "$PYTHON" -m venv "$venv" && timeout 1800 "$venv/bin/pip" install -q torch numpy; } >"$tmp/log" 2>&1 || true
  fi
  torch=$venv/bin/python
else
  torch=$PYTHON
fi
if "$torch" -c 'import torch' 2>>"$tmp/log"; then
  options+=(--torch "$torch")
else
  say "SKIPPED PyTorch and oneDNN: $(tail -1 "$tmp/log")"
fi

"$PYTHON" bench/peers/compare.py "${options[@]}" "$@"
