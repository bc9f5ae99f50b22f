#!/usr/bin/env bash
# Runs run.sh to its end on a machine without a GPU, with what there is in its place: the emulated driver, and programs
# that only look like PyTorch, nvidia-smi and compute-sanitizer:  bench/gpu/dry-run.sh [FOLDER]
#
# It shows that each part starts, that a part which fails or hangs does not stop the rest, and that the summary reads
# what the parts write. Its numbers mean nothing. FOLDER gets the results; it needs g++.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
out=${1:-$tmp/results}
mkdir "$tmp/bin"
export CGO_ENABLED=0

cat >"$tmp/bin/nvidia-smi" <<'END'
echo "index, name"
END
cat >"$tmp/bin/compute-sanitizer" <<'END'
[[ $2 != racecheck ]] || exit 9 # a part that fails
exec "${@:5}"
END
cat >"$tmp/bin/python-mock" <<'END'
if [[ $1 == -c ]]; then # are torch and diffusers there? where are libraries?
  exit 0
fi
[[ " $* " != *" --compile "* ]] || exec sleep 1000 # a part that hangs
[[ $1 == bench/peers/step_torch.py ]] && python3 -m py_compile "$1"
echo '{"seconds": 0.2, "unet_s": 0.1, "decoder_s": 0.05, "encoder_s": 0.05, "unet_alone_s": 0.02,' \
  '"peak_device_bytes": 12345678}'
END
chmod +x "$tmp"/bin/*

TMPDIR=$tmp go test -tags cuda -count=1 ./tensor/cuda/emulator
driver=$(find "$tmp" -name 'psld-cuda-emulator-*.so')
status=0
PATH=$tmp/bin:$PATH PYTHON=$tmp/bin/python-mock PSLD_CUDA_DRIVER=$driver PSLD_NVRTC=none PSLD_CUBLASLT=$driver \
  bash bench/gpu/run.sh --quick --out "$out" --minutes "${MINUTES:-9.5}" | tee "$tmp/said" || status=$?

[[ $status == 1 ]] # two parts fail by intent
grep -q '^FAILED: sanitizer-racecheck' "$tmp/said"
grep -q '^FAILED: PyTorch-compiled-bf16' "$tmp/said"
[[ $(grep -c '^FAILED' "$tmp/said") == 2 ]]
for who in psld-{bf16,f32,tf32,f16} psld-bf16-own-kernels psld-bf16-no-graphs PyTorch-{bf16,f32,tf32,f16}; do
  grep -q "^| $who |" "$out/summary.md"
done
grep -q '^| Linear .*| Conv2d ' <(tr '\n' ' ' <"$out/summary.md")
grep -q 'against PyTorch eager with autocast | at least 1 | .*: ' "$out/summary.md"
echo "dry-run.sh: every part ran"
