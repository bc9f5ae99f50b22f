#!/usr/bin/env bash
# Makes the pictures of this folder, damage and restoration side by side, by the commands of README.md:
#   go build -o bin/ ./cmd/psld && bash docs/howto/pictures.sh bin/psld
# ImageMagick draws the scratches and writes the JPEGs.
set -Eeuo pipefail
psld=$(realpath "$1")
out=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
photo=$(realpath "$out/../../cmd/psld/flower.jpg")
cd "$(mktemp -d)"
x=x0.png
convert "$photo" -resize '160x160^' -gravity center -extent 160x160 -strip $x

# sheet NAME FLAGS... restores y.png.
sheet() {
  local name=$1
  shift
  "$psld" restore --quiet --in y.png --out x.png --sheet sheet.png "$@"
  convert sheet.png -resize '768x309>' -quality 90 -strip "$out/$name.jpg"
  echo "$name"
}

scratches=(-draw 'line 8,30 150,66' -draw 'line 20,56 56,110' -draw 'line 12,128 152,121')
convert $x -stroke '#e8e4d8' -strokewidth 2 "${scratches[@]}" y.png
convert -size 160x160 xc:black -stroke white -strokewidth 5 "${scratches[@]/line/stroke-linecap round line}" m.png
sheet hole --task inpaint --mask m.png
away=(-draw 'ellipse 385,429 105,61 0,360' -draw 'ellipse 600,410 40,30 0,360')
convert "$photo" -strip y.png
convert -size 640x427 xc:black -fill white "${away[@]}" m.png
sheet away --task inpaint --mask m.png --method patchmatch
"$psld" degrade --quiet --task inpaint-random --in $x --out y.png --mask-out m.png --sigma 0.02
sheet pixels --task inpaint-random --mask m.png
"$psld" degrade --quiet --task inpaint-box --box 0.25 --in $x --out y.png --mask-out m.png --sigma 0
sheet box --task inpaint-box --mask m.png
"$psld" degrade --quiet --task destripe --in $x --out y.png --mask-out m.png --sigma 0.02
sheet stripes --task destripe --mask m.png
"$psld" degrade --quiet --task sr4 --in $x --out y.png --sigma 0
sheet small --task sr4
"$psld" degrade --quiet --task deblur-gaussian --kernel-std 2 --in $x --out y.png --sigma 0.02
sheet blurred --task deblur-gaussian
"$psld" degrade --quiet --task deblur-motion --motion-length 13 --motion-angle 30 --in $x --out y.png --sigma 0.02
sheet shaken --task deblur-motion --motion-length 13 --motion-angle 30
"$psld" degrade --quiet --task denoise --in $x --out y.png --sigma 0.2
sheet noisy --task denoise
"$psld" degrade --quiet --task colourise --in $x --out y.png --sigma 0
sheet grey --task colourise
