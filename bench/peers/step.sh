#!/usr/bin/env bash
# Compares one PSLD step of Stable Diffusion 1.5 with PyTorch's, in turn, and prints a table in Markdown:
#
#   bench/peers/step.sh [--size 512] [--threads 2] [--visits 1] [--max-mem 6GiB] [--dtypes "bf16 f32"]
#
# Each visit is a process of its own with random weights; the figures are medians. PYTHON names a Python 3 with torch and
# diffusers (default: python3). PyTorch takes 12 GiB in bf16 and 16 GiB or more in f32. Close other programs first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
size=512 threads=$(nproc) visits=1 dtypes="bf16 f32" maxmem=
while (($#)); do
  case $1 in
    --size) size=$2 ;;
    --threads) threads=$2 ;;
    --visits) visits=$2 ;;
    --max-mem) maxmem=$2 ;;
    --dtypes) dtypes=$2 ;;
    *) echo "step.sh: unknown option $1" >&2 && exit 1 ;;
  esac
  shift 2
done
PYTHON=${PYTHON:-python3}
if ! "$PYTHON" -c 'import torch, diffusers' 2>/dev/null; then
  echo "step.sh: $PYTHON has no torch and diffusers (pip install torch diffusers); PYTHON names another one" >&2
  exit 1
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
CGO_ENABLED=0 go build -o "$tmp/psld" ./cmd/psld
for ((i = 0; i < visits; i++)); do
  for dtype in $dtypes; do
    "$tmp/psld" bench step --random --json --steps 1 --size "$size" --threads "$threads" --dtype "$dtype" ${maxmem:+--max-mem "$maxmem"} | sed 's/^{/{"who": "psld", /'
    "$PYTHON" bench/peers/step_torch.py --steps 1 --size "$size" --threads "$threads" --dtype "$dtype" | sed 's/^{/{"who": "PyTorch", /'
  done
done >"$tmp/rows"
"$PYTHON" - "$tmp/rows" <<'PYTHON_END'
import collections, json, statistics, sys
rows = collections.defaultdict(list)
for line in open(sys.argv[1]):
    r = json.loads(line)
    rows[r["dtype"], r["who"]].append(r)
print("| | s/step | UNet | decoder | encoder | UNet forward alone | peak GiB |\n|---|---:|---:|---:|---:|---:|---:|")
mid = lambda v, name: statistics.median(r[name] for r in v)
for (dtype, who), v in rows.items():
    name = who + (" " + v[0]["torch"].split("+")[0] if "torch" in v[0] else "")
    cells = [f"{mid(v, k):.1f}" for k in ("seconds", "unet_s", "decoder_s", "encoder_s", "unet_alone_s")]
    print(f"| {dtype}, {name} | " + " | ".join(cells) + f" | {mid(v, 'peak_rss_bytes') / 2**30:.1f} |")
PYTHON_END
