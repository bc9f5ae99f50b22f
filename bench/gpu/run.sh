#!/usr/bin/env bash
# Does on a machine with an NVIDIA GPU what machines without one cannot: in under ten minutes
#
#   bench/gpu/run.sh [--out gpu-results] [--device 0] [--minutes 9.5] [--patience 1] [--quick]
#
# 1. all operations with their gradients, in each precision, and recorded networks, restorations and trainings, on the
#    GPU, against the same numbers as everywhere;
# 2. a PSLD step of Stable Diffusion 1.5 at 512x512, with random weights, against PyTorch on the same GPU in the same
#    precision: eager and compiled; time, peak of memory, steps of text to image;
# 3. kernels as fractions of ceilings that are measured in the same run, with NVIDIA's cuBLASLt where it is installed,
#    and with the own kernels alone; the same by Vulkan, where its loader is installed;
# 4. operations under compute-sanitizer, where that is installed.
#
# It needs Go and NVIDIA's driver. For 2, PYTHON names a Python 3 with torch (for CUDA) and diffusers; without these
# psld alone is measured. All that is printed lies in --out as well; summary.md there sets it beside the bars that this
# project has. Each part has a limit, and all have one together: what fails or finds no time does not stop the rest,
# and is repeated at the end. --patience 2 doubles the limits of parts, for a slow processor. --quick takes small
# shapes and few steps, to try the script itself: see dry-run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=gpu-results number=0 minutes=9.5 patience=1 quick=
while (($#)); do
  case $1 in
    --out) out=$2 && shift ;;
    --device) number=$2 && shift ;;
    --minutes) minutes=$2 && shift ;;
    --patience) patience=$2 && shift ;;
    --quick) quick=yes ;;
    *) echo "run.sh: unknown option $1" >&2 && exit 1 ;;
  esac
  shift
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
PYTHON=${PYTHON:-python3}
end=$(awk -v m="$minutes" 'BEGIN { print int(60 * m) }')
export CGO_ENABLED=0
failed=() skipped=()

skip() {
  echo "=== SKIPPED $1"
  skipped+=("$1")
}

# part NAME LIMIT COMMAND... runs a command for at most LIMIT seconds, or what is left, and keeps what it says.
part() {
  local name=$1 limit=$(($2 * patience)) t0=$SECONDS left=$((end - SECONDS))
  shift 2
  if ((left < 5)); then
    failed+=("$name: no time left")
    return
  fi
  ((limit <= left)) || limit=$left
  echo "=== $name"
  if ! timeout -k 5 "$limit" "$@" 2>&1 | tee "$out/$name.txt"; then
    failed+=("$name, after $((SECONDS - t0)) of at most $limit s")
  elif grep -q 'warning: no tests to run' "$out/$name.txt"; then
    failed+=("$name: no test ran")
  fi
  echo "    $((SECONDS - t0)) s"
}

# rows NAME LIMIT COMMAND... is part for a command that prints lines of JSON, which go to rows.json too.
rows() {
  part "$@"
  [[ -f $out/$1.txt ]] || return 0
  { grep '^{' "$out/$1.txt" || true; } | sed "s/^{/{\"who\": \"$1\", /" >>"$out/rows.json"
}

# Libraries of PyTorch's packages are not where the system looks.
libraries() {
  local found
  found=$("$PYTHON" -c 'import glob, sysconfig
print("\n".join(glob.glob(sysconfig.get_path("purelib") + "/nvidia/*/lib/*")))' || true)
  : "${PSLD_NVRTC:=$(grep -m1 '/libnvrtc\.so\.[0-9]*$' <<<"$found" || true)}"
  : "${PSLD_CUBLASLT:=$(grep -m1 '/libcublasLt\.so\.[0-9]*$' <<<"$found" || true)}"
  export PSLD_NVRTC PSLD_CUBLASLT
}

: >"$out/rows.json"
cuda=cuda:$number torch=
kernels=(--seconds 0.1) size=512 steps=5 model=(--random) cases='^(TestHardware|TestSuite)$'
if [[ -n $quick ]]; then
  kernels=(--quick) size=64 steps=1 model=(--tiny) cases='^TestHardware$/^f16$/^(Linear|Softmax)$'
fi
step=("$out/psld" bench step "${model[@]}" --json --device "$cuda" --size "$size" --steps "$steps")
peer=("$PYTHON" bench/peers/step_torch.py --device cuda --size "$size" --steps "$steps")
few='^TestHardware$/./^(Softmax|GroupNorm|LayerNorm|Attention|Conv2d|Linear|Sum)$/3' # of the shapes, those with a 3
[[ -z $quick ]] || few=$cases
libraries
if "$PYTHON" -c 'import torch, diffusers; assert torch.cuda.is_available()' 2>/dev/null; then
  torch=yes
else
  skip "PyTorch: $PYTHON has no torch for CUDA with diffusers"
fi

part build 120 go build -tags cuda,vulkan -o "$out/psld" ./cmd/psld
part build-tests 120 go test -tags cuda -c -o "$out/cuda.test" ./tensor/cuda
if command -v nvidia-smi >/dev/null; then
  part machine 20 nvidia-smi --query-gpu=index,name,driver_version,memory.total,clocks.max.sm --format=csv
fi
part devices 60 "$out/psld" info
# The tests run in the folder of their package.
part suite 150 env -C tensor/cuda PSLD_CUDA_HARDWARE="$number" PSLD_CUBLASLT=none "$out/cuda.test" -test.v \
  -test.timeout $((140 * patience))s -test.run "$cases"

for dtype in bf16 f32 tf32 f16; do
  rows "psld-$dtype" 60 "${step[@]}" --dtype "$dtype"
  if [[ -n $torch ]]; then
    CUDA_VISIBLE_DEVICES=$number rows "PyTorch-$dtype" 60 "${peer[@]}" --dtype "$dtype"
  fi
done
rows psld-bf16-own-kernels 60 env PSLD_CUBLASLT=none "${step[@]}" --dtype bf16
rows psld-bf16-no-graphs 60 env PSLD_CUDA_GRAPHS=none "${step[@]}" --dtype bf16

for dtype in bf16 f32 tf32 f16; do
  rows "kernels-$dtype" 30 "$out/psld" bench kernels --json --device "$cuda" --dtype "$dtype" "${kernels[@]}"
done
rows kernels-bf16-own 30 env PSLD_CUBLASLT=none "$out/psld" bench kernels --json --device "$cuda" --dtype bf16 \
  "${kernels[@]}"
vulkan=$(sed -n 's/^device *\(vulkan[:0-9]*\): .*NVIDIA.*/\1/p' "$out/devices.txt" 2>/dev/null | head -1)
if [[ -n $vulkan ]]; then
  for dtype in f32 f16; do
    rows "kernels-vulkan-$dtype" 30 env PSLD_VULKAN_COOPERATIVE=1 "$out/psld" bench kernels --json --device "$vulkan" \
      --dtype "$dtype" "${kernels[@]}"
  done
  if [[ $vulkan == vulkan ]]; then # the tests take the first device
    part suite-vulkan 60 env PSLD_VULKAN_COOPERATIVE=1 go test -tags vulkan -count=1 \
      -run 'TestCooperative|TestHalves' ./tensor/vulkan
  fi
else
  skip "Vulkan: psld info lists no GPU of NVIDIA for it"
fi

if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    part "sanitizer-$tool" 45 env -C tensor/cuda PSLD_CUDA_HARDWARE="$number" PSLD_CUDA_GRAPHS=none compute-sanitizer \
      --tool "$tool" --error-exitcode 9 "$out/cuda.test" -test.run "$few"
  done
else
  skip "compute-sanitizer: it is not installed"
fi
if [[ -n $torch ]]; then # last: nobody knows how long the compiler takes
  CUDA_VISIBLE_DEVICES=$number rows PyTorch-compiled-bf16 300 "${peer[@]}" --dtype bf16 --compile
fi

echo "=== summary"
if command -v python3 >/dev/null; then
  python3 bench/gpu/summary.py "$out/rows.json" | tee "$out/summary.md"
else
  cat "$out/rows.json"
fi
echo "=== done in $SECONDS s; all of it is in $out"
((${#skipped[@]} == 0)) || printf 'SKIPPED: %s\n' "${skipped[@]}"
if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
