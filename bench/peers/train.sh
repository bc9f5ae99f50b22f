#!/usr/bin/env bash
# Times training steps of the pixel prior's network in psld and in PyTorch, in turn:
#
#   bench/peers/train.sh [--visits N]
#
# It needs Go and a python3 with torch (PYTHON names another one).
set -euo pipefail
visits=3
while (($#)); do
  case $1 in
    --visits) visits=$2; shift 2 ;;
    *) echo "unknown flag $1" >&2; exit 2 ;;
  esac
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$here/../.." && go build -o "$tmp/psld" ./cmd/psld)
for ((i = 0; i < visits; i++)); do
  for precision in f32 bf16; do
    "$tmp/psld" bench train --precisions "$precision" --json
    "${PYTHON:-python3}" "$here/train_torch.py" --dtype "$precision"
  done
done
