#!/usr/bin/env bash
# Does on a machine with an NVIDIA GPU what machines without one cannot: in under ten minutes
#
#   bench/gpu/run.sh [--out gpu-results] [--device 0] [--minutes 9.5] [--built FOLDER] [--patience 1] [--quick]
#
# 1. all operations with their gradients, in each precision, and recorded networks, restorations and trainings, on the
#    GPU, against the same numbers as everywhere;
# 2. a PSLD step of Stable Diffusion 1.5 at 512x512, with random weights, against PyTorch on the same GPU in the same
#    precision: eager and compiled; time, peak of memory, steps of text to image;
# 3. kernels as fractions of ceilings that are measured in the same run, with NVIDIA's cuBLASLt where it is installed,
#    and with the own kernels alone; the same by Vulkan, where its loader is installed;
# 4. operations under compute-sanitizer, where that is installed.
#
# What the bars of this project need comes first: float32's correctness, steps in bfloat16, PyTorch compiled; the rest
# follows as time allows. It needs NVIDIA's driver, and Go with the modules of go.mod. A machine that has no Go or no
# network takes programs that were built on another one (Linux on amd64, or GOARCH says which):
#
#   bench/gpu/run.sh --build FOLDER                 # there; needs no GPU
#   bench/gpu/run.sh --built FOLDER                 # here; needs a checkout as well, for the tests' numbers
#
# For 2, PYTHON names a Python 3 with torch (for CUDA) and diffusers, which a folder in PYTHONPATH may hold; without
# these psld alone is measured. All that is printed lies in --out as well; summary.md there sets it beside the bars,
# and is written anew after each measurement. Each part has a limit, and all have one together: what fails or finds no
# time does not stop the rest, and is repeated at the end. --patience 2 doubles the limits of parts, for a slow
# processor. --quick takes small shapes and few steps, to try the script itself: see dry-run.sh.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=gpu-results number=0 minutes=9.5 patience=1 quick='' built='' build=''
while (($#)); do
  case $1 in
    --out) out=$2 && shift ;;
    --device) number=$2 && shift ;;
    --minutes) minutes=$2 && shift ;;
    --patience) patience=$2 && shift ;;
    --built) built=$2 && shift ;;
    --build) build=$2 && shift ;;
    --quick) quick=yes ;;
    *) echo "run.sh: unknown option $1" >&2 && exit 1 ;;
  esac
  shift
done
export CGO_ENABLED=0
names=(psld cuda.test vulkan.test)
if [[ -n $build ]]; then
  export GOOS=linux GOARCH=${GOARCH:-amd64}
  mkdir -p "$build"
  # Without the models in the program, which nothing here uses: half as much to send.
  : >"$build/empty"
  find "$PWD/psld/prior/default" -name '*.safetensors' | awk -v empty="$(cd "$build" && pwd)/empty" '
    { all = all sep "\"" $0 "\": \"" empty "\""; sep = ", " }
    END { print "{\"Replace\": {" all "}}" }' >"$build/overlay"
  make=(-trimpath -ldflags '-s -w' -overlay "$build/overlay")
  go build "${make[@]}" -tags cuda,vulkan -o "$build/psld" ./cmd/psld
  go test "${make[@]}" -tags cuda -c -o "$build/cuda.test" ./tensor/cuda
  go test "${make[@]}" -tags vulkan -c -o "$build/vulkan.test" ./tensor/vulkan
  rm "$build/empty" "$build/overlay"
  echo "run.sh: ${names[*]} are in $build"
  exit
fi
for name in ${built:+"${names[@]}"}; do
  [[ -x $built/$name ]] && continue
  echo "run.sh: --built $built has no program $name; run.sh --build makes it" >&2
  exit 1
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
bin=$out/bin
[[ -z $built ]] || bin=$(cd "$built" && pwd)
PYTHON=${PYTHON:-python3}
end=$(awk -v m="$minutes" 'BEGIN { print int(60 * m) }')
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
  summary >"$out/summary.md" || true
}

# summary says what was measured up to now.
summary() {
  if command -v python3 >/dev/null; then
    python3 bench/gpu/summary.py "$out/rows.json"
  else
    cat "$out/rows.json"
  fi
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
kernels=(--seconds 0.1) size=512 steps=5 model=(--random) cases='' programs='^TestSuite$'
if [[ -n $quick ]]; then
  kernels=(--quick) size=32 steps=1 model=(--tiny) cases='/^(Linear|Softmax)$' programs='^TestHardware$/^f32$/^Sum$'
fi
step=("$bin/psld" bench step "${model[@]}" --json --device "$cuda" --size "$size" --steps "$steps")
peer=("$PYTHON" bench/peers/step_torch.py --device cuda --size "$size" --steps "$steps")
few='^TestHardware$/./^(Softmax|GroupNorm|LayerNorm|Attention|Conv2d|Linear|Sum)$/3' # of the shapes, those with a 3
[[ -z $quick ]] || few='^TestHardware$/^f16$/^(Linear|Softmax)$'
libraries
if "$PYTHON" -c 'import torch, diffusers; assert torch.cuda.is_available()' 2>"$out/torch.txt"; then
  torch=yes
else
  skip "PyTorch: $PYTHON has no torch for CUDA with diffusers: $(tail -n 1 "$out/torch.txt")"
fi

# test_cuda NAME LIMIT EXPRESSION runs tests on the GPU, in the folder of their package, with the own kernels alone.
test_cuda() {
  part "$1" "$2" env -C tensor/cuda PSLD_CUDA_HARDWARE="$number" PSLD_CUBLASLT=none "$bin/cuda.test" -test.v \
    -test.run "$3"
}

# measure DTYPE times the step by psld and by PyTorch.
measure() {
  rows "psld-$1" 60 "${step[@]}" --dtype "$1"
  [[ -z $torch ]] || CUDA_VISIBLE_DEVICES=$number rows "PyTorch-$1" 60 "${peer[@]}" --dtype "$1"
}

# time_kernels NAME DEVICE DTYPE [VARIABLE=VALUE] times single operations.
time_kernels() {
  rows "kernels-$1" 30 env "${@:4}" "$bin/psld" bench kernels --json --device "$2" --dtype "$3" "${kernels[@]}"
}

if [[ -z $built ]]; then
  part build 240 bash bench/gpu/run.sh --build "$bin"
fi
if command -v nvidia-smi >/dev/null; then
  part machine 20 nvidia-smi --query-gpu=index,name,driver_version,memory.total,clocks.max.sm --format=csv
fi
part devices 60 "$bin/psld" info
vulkan=$(sed -n 's/^device *\(vulkan[:0-9]*\): .*NVIDIA.*/\1/p' "$out/devices.txt" 2>/dev/null | head -1)
[[ -n $vulkan ]] || skip "Vulkan: psld info lists no GPU of NVIDIA for it"

test_cuda operations-f32 60 "^TestHardware\$/^f32\$$cases"
test_cuda programs 60 "$programs"
measure bf16
time_kernels f16 "$cuda" f16
[[ -z $vulkan ]] || time_kernels vulkan-f16 "$vulkan" f16 PSLD_VULKAN_COOPERATIVE=1
if [[ -n $torch ]]; then # nobody knows how long the compiler takes
  CUDA_VISIBLE_DEVICES=$number rows PyTorch-compiled-bf16 180 "${peer[@]}" --dtype bf16 --compile
fi
if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    part "sanitizer-$tool" 45 env -C tensor/cuda PSLD_CUDA_HARDWARE="$number" PSLD_CUDA_GRAPHS=none compute-sanitizer \
      --tool "$tool" --error-exitcode 9 "$bin/cuda.test" -test.run "$few"
  done
else
  skip "compute-sanitizer: it is not installed"
fi

for dtype in bf16 f16 tf32; do test_cuda "operations-$dtype" 40 "^TestHardware\$/^$dtype\$$cases"; done
time_kernels bf16 "$cuda" bf16
rows psld-bf16-own-kernels 60 env PSLD_CUBLASLT=none "${step[@]}" --dtype bf16
rows psld-bf16-no-graphs 60 env PSLD_CUDA_GRAPHS=none "${step[@]}" --dtype bf16
for dtype in f32 tf32 f16; do measure "$dtype"; done
for dtype in f32 tf32; do time_kernels "$dtype" "$cuda" "$dtype"; done
time_kernels bf16-own "$cuda" bf16 PSLD_CUBLASLT=none
if [[ -n $vulkan ]]; then
  time_kernels vulkan-f32 "$vulkan" f32
  time_kernels vulkan-f16-plain "$vulkan" f16
  if [[ $vulkan == vulkan ]]; then # the tests take the first device
    part suite-vulkan 60 env -C tensor/vulkan "$bin/vulkan.test" -test.v \
      -test.run 'TestCooperative|TestHalves|TestDevice'
  fi
fi

echo "=== summary"
summary | tee "$out/summary.md"
echo "=== done in $SECONDS s; all of it is in $out"
((${#skipped[@]} == 0)) || printf 'SKIPPED: %s\n' "${skipped[@]}"
if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
