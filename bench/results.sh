#!/usr/bin/env bash
# Remakes docs/results.md: all methods on the five tasks of the poster, on photographs that no model was trained on.
#
#   bench/results.sh PHOTOS FLOWERS ALEXNET        # two folders of pictures; AlexNet's weights, for LPIPS
#
# N pictures (default 64) come evenly from both folders, SIZE pixels a side (default 64). PRESETS names a file of
# presets, such as psld tune wrote on other photographs. OUT (default results) has the finished cells: the same command
# goes on after a break, and measures again what has other parameters or another model since. METHODS names methods to
# measure beforehand: then there is no page. REFERENCE (default 8) is on how many pictures the published code's way of
# PSLD is measured, with its 200 steps. DOCS (default docs) is where the page and its pictures go. The rest of the
# arguments goes to psld eval.
set -euo pipefail
(($# >= 3)) || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 1; }
photos=$(realpath "$1") flowers=$(realpath "$2") alexnet=$(realpath "$3")
shift 3
here=$(realpath "$(dirname "$0")")
n=${N:-64} size=${SIZE:-64} out=$(realpath -m "${OUT:-results}") docs=$(realpath -m "${DOCS:-$here/../docs}")
presets=()
[[ -z ${PRESETS:-} ]] || presets=(--presets "$(realpath "$PRESETS")")
mkdir -p "$out"
(cd "$here/.." && go build -o "$out/psld" ./cmd/psld)

# take FOLDER COUNT SUFFIX copies pictures that lie evenly over a folder. Those of both folders alternate.
take() {
  local files i from
  mapfile -t files < <(find "$1" -type f \( -name '*.jpg' -o -name '*.png' \) | LC_ALL=C sort)
  ((${#files[@]} >= $2)) || { echo "$1 has ${#files[@]} pictures, want $2" >&2; exit 1; }
  for ((i = 0; i < $2; i++)); do
    from=${files[i * ${#files[@]} / $2]}
    cp "$from" "$out/photos/$(printf %03d "$i")-$3.${from##*.}"
  done
}
rm -rf "$out/photos"
mkdir "$out/photos"
take "$photos" $(((n + 1) / 2)) a
take "$flowers" $((n / 2)) b

tasks=inpaint-random,inpaint-box,sr4,deblur-gaussian,deblur-motion
methods=psld,gmldps,ldps,dps,mcg,score-sde,ddrm,pnp-admm,diffpir,tv
# measure METHODS FOLDER OPTIONS... makes or goes on with cells.
measure() {
  "$out/psld" eval --data "$out/photos" --size "$size" --tasks "$tasks" --methods "$1" --seed 1 --metrics \
    psnr,ssim,lpips-alex --lpips-weights "$alexnet" --out "$2" "${@:3}" >/dev/null
}
measure "${METHODS:-$methods}" "$out" --n 0 --grid 4 "${presets[@]}" "$@"
if [[ -n ${METHODS:-} && $METHODS != "$methods" ]]; then
  echo "cells of $METHODS are in $out; the page needs all methods"
  exit
fi
few=${REFERENCE:-8}
((few <= n)) || few=$n
published=(--reference --loop-noise 0.05 --steps 200 --gamma 0.1 --omega 1)
measure psld "$out/reference" --n "$few" --grid 0 "${published[@]}" "$@"

# tables WHAT METHODS reads table.csv, of both, and makes a part of the page.
tables() {
  sed 's/^\([^,]*\),psld,/\1,psld --reference,/' "$out/reference/table.csv" | grep -e --reference |
    cat "$out/table.csv" - | awk -F, -v what="$1" -v methods="$2" -v tasks="$tasks" -f "$here/tables.awk"
}
options="${*:+ $*}"
mkdir -p "$docs/results"
for file in "$out"/*.png; do cp "$file" "$docs/results/"; done
{
  cat <<TEXT
# All methods on the tasks of the poster

Made by \`bench/results.sh PHOTOS FLOWERS ALEXNET$options\` with $n photographs of ${size}x$size pixels that trained no
model, half of them of flowers. psld, gmldps and ldps run on the embedded latent model, but in all tasks except
\`inpaint-box\` from what diffpir makes on the embedded pixel model (\`from_diffpir\`); tv runs on none, all others on
the pixel model. Their parameters stand at the end. Those of psld and ddrm, of dps, mcg and score-sde in boxes, of dps
on random inpainting, and of score-sde in sr4 were found or held on training photographs, the others on a
few validation photographs (\`psld/presets.yaml\` tells), of which some may be among these.

In short: PSNR in dB / LPIPS (AlexNet), the best of each task in bold, and seconds a picture, the mean over the tasks.

$(tables short "$methods")

n/a: the method has no use for the task, see below. Methods that average over what may have been there (pnp-admm, tv)
have the higher PSNR, those that draw one of the possible pictures (psld, dps) the better LPIPS.

## All numbers

TEXT
  sed '/^Configuration:/,$d' "$out/table.md"
  "$out/psld" info | awk '{ name = $1; $1 = "" } name == "processor" { processor = $0 } name == "kernels" { kernels = $2 }
    END { print "Seconds are of this machine, beside whatever else ran on it:" processor ", kernels " kernels "." }'
  echo
  echo "## Pictures"
  cat <<TEXT

The authors and licences of the photographs are in [CREDITS.csv](../psld/prior/default/CREDITS.csv) and
[PHOTOS_CREDITS.csv](../psld/prior/default/PHOTOS_CREDITS.csv), on the rows marked "val".
TEXT
  for task in ${tasks//,/ }; do
    echo
    echo "\`$task\`:"
    echo
    echo "![$task: measurement, methods, truth](results/$task.png)"
  done
  echo
  echo "## Quality over time"
  for metric in psnr ssim lpips-alex; do
    echo
    echo "![$metric over seconds a picture](results/time-$metric.png)"
  done
  echo
  sed -e "s#@n@#$n#; s#@few@#$few#; s#@size@#$size#g; s#@published@#${published[*]}#" "$here/poster.md" | while IFS= read -r line; do
    case $line in
      @beside@) tables beside "psld,psld --reference,${methods#psld,}" ;;
      @order@) tables order "$methods" ;;
      @why@) cat "$here/order.md" ;;
      *) printf '%s\n' "$line" ;;
    esac
  done
  echo
  echo "## Configuration"
  echo
  sed '1,/^Configuration:/d' "$out/table.md" | sed -e '1{/^$/d}' -e 's#--lpips-weights [^ ]*#--lpips-weights ALEXNET#'
} >"$docs/results.md"
echo "wrote $docs/results.md"
