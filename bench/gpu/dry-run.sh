#!/usr/bin/env bash
# Runs run.sh to its end on a machine without a GPU, with what there is in its place: the emulated driver, and programs
# that only look like PyTorch, nvidia-smi and compute-sanitizer:  bench/gpu/dry-run.sh [FOLDER]
#
# It builds the programs first, and lets run.sh find no Go, as on a machine that has none.
# It shows that each part starts, that parts which fail do not stop the rest, and that the summary reads what the parts
# write. Its numbers mean nothing. FOLDER gets the results. It needs g++, or the emulated driver in PSLD_CUDA_DRIVER.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
out=${1:-$tmp/results}
mkdir "$tmp/bin"
export CGO_ENABLED=0

cat >"$tmp/bin/nvidia-smi" <<'END'
#!/usr/bin/env bash
echo "index, name"
END
cat >"$tmp/bin/compute-sanitizer" <<'END'
#!/usr/bin/env bash
[[ $2 != racecheck ]] || exit 9 # a part that fails
exec "${@:5}"
END
cat >"$tmp/bin/python-mock" <<'END'
#!/usr/bin/env bash
[[ $1 != -c ]] || exit 0 # are torch and diffusers there, and where are their libraries?
[[ " $* " != *" --compile "* ]] || exit 3 # another one
echo '{"seconds": 0.2, "unet_s": 0.1, "decoder_s": 0.05, "encoder_s": 0.05, "unet_alone_s": 0.02,' \
  '"peak_device_bytes": 12345678}'
END
echo 'exit 127' >"$tmp/bin/go"
chmod +x "$tmp"/bin/*

driver=${PSLD_CUDA_DRIVER:-}
if [[ -z $driver ]]; then
  TMPDIR=$tmp go test -tags cuda -count=1 ./tensor/cuda/emulator
  driver=$(find "$tmp" -name 'psld-cuda-emulator-*.so')
fi
bash bench/gpu/run.sh --build "$tmp/built"
status=0
PATH=$tmp/bin:$PATH PYTHON=$tmp/bin/python-mock PSLD_CUDA_DRIVER=$driver PSLD_NVRTC=none PSLD_CUBLASLT=$driver \
  bash bench/gpu/run.sh --quick --built "$tmp/built" --out "$out" --patience 10 --minutes 95 | tee "$tmp/said" ||
  status=$?

[[ $status == 1 ]] # two parts fail by intent
grep -q '^FAILED: sanitizer-racecheck' "$tmp/said"
grep -q '^FAILED: PyTorch-compiled-bf16' "$tmp/said"
[[ $(grep -c '^FAILED' "$tmp/said") == 2 ]]
for who in psld-{bf16,f32,tf32,f16} psld-bf16-own-kernels psld-bf16-no-graphs PyTorch-{bf16,f32,tf32,f16}; do
  grep -q "^| $who |" "$out/summary.md"
done
for name in Linear Conv2d; do
  grep -q "^| $name " "$out/summary.md"
done
grep -q 'against PyTorch eager with autocast | at least 1 | .*: ' "$out/summary.md"
echo "dry-run.sh: every part ran"
