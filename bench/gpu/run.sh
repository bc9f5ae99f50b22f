#!/usr/bin/env bash
# Does on a machine with an NVIDIA GPU what machines without one cannot: in under ten minutes
#
#   bench/gpu/run.sh [--out gpu-results] [--device 0] [--quick]
#
# 1. all operations with their gradients, in float32 and on tensor cores, and recorded networks, restorations and
#    trainings, on the GPU, against the same numbers as everywhere;
# 2. kernels as fractions of ceilings that are measured in the same run;
# 3. a PSLD step of Stable Diffusion 1.5 at 512x512, with random weights, against PyTorch on the same GPU: eager and
#    compiled, float32 and bfloat16; time, peak of memory, steps of text to image;
# 4. operations under compute-sanitizer, where that is installed;
# 5. the same kernels by Vulkan, where its loader is installed.
#
# It needs Go and NVIDIA's driver. For 3, PYTHON names a Python 3 with torch (for CUDA) and diffusers; without these
# psld alone is measured. All that is printed lies in --out as well. What fails does not stop the rest, and is repeated
# at the end. --quick takes small shapes and few steps, to try the script itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=gpu-results number=0 quick=
while (($#)); do
  case $1 in
    --out) out=$2 && shift ;;
    --device) number=$2 && shift ;;
    --quick) quick=yes ;;
    *) echo "run.sh: unknown option $1" >&2 && exit 1 ;;
  esac
  shift
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
PYTHON=${PYTHON:-python3}
export CGO_ENABLED=0
failed=()

# part NAME LIMIT COMMAND... runs a command for at most LIMIT seconds and keeps what it says.
part() {
  local name=$1 limit=$2 t0=$SECONDS
  shift 2
  echo "=== $name"
  if ! timeout "$limit" "$@" 2>&1 | tee "$out/$name.txt"; then
    failed+=("$name")
  fi
  echo "    $((SECONDS - t0)) s"
}

# rows NAME LIMIT COMMAND... is part for a command that prints a line of JSON, which goes to steps.json too.
rows() {
  part "$@"
  { grep '^{' "$out/$1.txt" || true; } | sed "s/^{/{\"who\": \"$1\", /" >>"$out/steps.json"
}

tests() { PSLD_CUDA_HARDWARE=$number go test -tags cuda -count=1 -timeout 5m "$@" ./tensor/cuda; }
export -f tests
export number

go build -tags cuda,vulkan -o "$out/psld" ./cmd/psld
if command -v nvidia-smi >/dev/null; then
  part machine 20 nvidia-smi --query-gpu=index,name,driver_version,memory.total,clocks.max.sm --format=csv
fi
part devices 60 "$out/psld" info
part suite 200 bash -c "tests -v -run '^(TestHardware|TestSuite)$'"

cuda=cuda:$number
kernels=(--seconds 0.2) size=512 steps=5 model=(--random)
[[ -n $quick ]] && kernels=(--quick) size=64 steps=1 model=(--tiny)
for dtype in f32 bf16; do
  part "kernels-$dtype" 60 "$out/psld" bench kernels --device "$cuda" --dtype "$dtype" "${kernels[@]}"
done

: >"$out/steps.json"
for dtype in f32 bf16; do
  rows "psld-$dtype" 90 "$out/psld" bench step "${model[@]}" --json --device "$cuda" --dtype "$dtype" --size "$size" \
    --steps "$steps"
done
if "$PYTHON" -c 'import torch, diffusers; assert torch.cuda.is_available()' 2>/dev/null; then
  export CUDA_VISIBLE_DEVICES=$number
  for dtype in f32 bf16; do
    rows "PyTorch-$dtype" 90 "$PYTHON" bench/peers/step_torch.py --device cuda --dtype "$dtype" --size "$size" \
      --steps "$steps"
  done
  rows PyTorch-compiled-bf16 180 "$PYTHON" bench/peers/step_torch.py --device cuda --dtype bf16 --size "$size" \
    --steps "$steps" --compile
  unset CUDA_VISIBLE_DEVICES
else
  echo "run.sh: SKIPPED PyTorch: $PYTHON has no torch for CUDA with diffusers" >&2
fi

if command -v compute-sanitizer >/dev/null; then
  go test -tags cuda -c -o "$out/cuda.test" ./tensor/cuda
  few='TestHardware/(f32|bf16)/(Softmax|GroupNorm/.3|LayerNorm|Attention/1x1x33|Linear/.3|Sum)'
  for tool in memcheck racecheck; do
    part "sanitizer-$tool" 60 env PSLD_CUDA_HARDWARE="$number" compute-sanitizer --tool "$tool" --error-exitcode 9 \
      "$out/cuda.test" -test.run "$few"
  done
else
  echo "run.sh: SKIPPED compute-sanitizer: it is not installed" >&2
fi
if "$out/psld" info | grep -q 'vulkan: NVIDIA'; then
  part kernels-vulkan 60 "$out/psld" bench kernels --device vulkan "${kernels[@]}"
fi

echo "=== steps of PSLD at ${size}x$size"
if command -v "$PYTHON" >/dev/null; then
  "$PYTHON" - "$out/steps.json" <<'PYTHON_END' | tee "$out/steps.md"
import json, sys
print("| | ms/step | UNet | decoder | encoder | text to image it/s | peak GiB on the GPU |")
print("|---|---:|---:|---:|---:|---:|---:|")
for line in open(sys.argv[1]):
    r = json.loads(line)
    ms = " | ".join(f"{1e3 * r[k]:.1f}" for k in ("seconds", "unet_s", "decoder_s", "encoder_s"))
    print(f"| {r['who']} | {ms} | {1 / r['unet_alone_s']:.1f} | {r.get('peak_device_bytes', 0) / 2**30:.2f} |")
PYTHON_END
else
  cat "$out/steps.json"
fi
echo "=== done in $SECONDS s; all of it is in $out"
if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
