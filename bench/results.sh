#!/usr/bin/env bash
# Remakes docs/results.md: all methods on the five tasks of the poster, on photographs that no model was trained on.
#
#   bench/results.sh PHOTOS FLOWERS ALEXNET        # two folders of pictures; AlexNet's weights, for LPIPS
#
# N pictures (default 64) come evenly from both folders, SIZE pixels a side (default 64). PRESETS names a file of
# presets, such as psld tune wrote on other photographs. OUT (default results) has the finished cells: the same command
# goes on after a break. DOCS (default docs) is where the page and its pictures go. The rest of the arguments goes to
# psld eval.
set -euo pipefail
(($# >= 3)) || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 1; }
photos=$(realpath "$1") flowers=$(realpath "$2") alexnet=$(realpath "$3")
shift 3
here=$(realpath "$(dirname "$0")")
n=${N:-64} size=${SIZE:-64} out=$(realpath -m "${OUT:-results}") docs=$(realpath -m "${DOCS:-$here/../docs}")
presets=()
[[ -z ${PRESETS:-} ]] || presets=(--presets "$(realpath "$PRESETS")")
mkdir -p "$out" "$docs/results"
(cd "$here/.." && go build -o "$out/psld" ./cmd/psld)

# take FOLDER COUNT PREFIX copies pictures that lie evenly over a folder.
take() {
  local files i
  mapfile -t files < <(find "$1" -type f \( -name '*.jpg' -o -name '*.png' \) | sort)
  for ((i = 0; i < $2; i++)); do
    cp "${files[i * ${#files[@]} / $2]}" "$out/photos/$3-$(printf %03d "$i").${files[i * ${#files[@]} / $2]##*.}"
  done
}
rm -rf "$out/photos"
mkdir "$out/photos"
take "$photos" $(((n + 1) / 2)) a
take "$flowers" $((n / 2)) b

tasks=inpaint-random,inpaint-box,sr4,deblur-gaussian,deblur-motion
methods=psld,gmldps,ldps,dps,mcg,score-sde,ddrm,pnp-admm,diffpir,tv
"$out/psld" eval --data "$out/photos" --n 0 --size "$size" --tasks "$tasks" --methods "$methods" --seed 1 \
  --metrics psnr,ssim,lpips-alex --lpips-weights "$alexnet" "${presets[@]}" --out "$out" "$@" >/dev/null

# ours TASK METRIC is the mean of psld: its column in table.csv is found by the head.
ours() {
  awk -F, -v task="$1" -v metric="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == metric) column = i }
    $1 == task && $2 == "psld" { printf(metric ~ /psnr/ ? "%.2f" : "%.3f", $column) }' "$out/table.csv"
}
pair() { echo "$(ours "$1" psnr_db) / $(ours "$1" lpips-alex)"; }

for file in "$out"/*.png; do cp "$file" "$docs/results/"; done
{
  cat <<TEXT
# All methods on the tasks of the poster

Made by \`bench/results.sh PHOTOS FLOWERS ALEXNET\` with $n photographs of ${size}x$size pixels that trained no model.
Every method runs on the embedded models; which and with what parameters stands at the end.

TEXT
  sed '/^Configuration:/,$d' "$out/table.md"
  echo
  echo "## Pictures"
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
  sed -e "s#@random@#$(pair inpaint-random)#; s#@box@#$(pair inpaint-box)#; s#@sr4@#$(pair sr4)#" \
    -e "s#@gauss@#$(pair deblur-gaussian)#; s#@motion@#$(pair deblur-motion)#" -e "s#@n@#$n#; s#@size@#$size#g" \
    "$here/poster.md"
  echo
  echo "## Configuration"
  echo
  sed '1,/^Configuration:/d' "$out/table.md" | sed -e '1{/^$/d}' -e 's#--lpips-weights [^ ]*#--lpips-weights ALEXNET#'
} >"$docs/results.md"
echo "wrote $docs/results.md"
