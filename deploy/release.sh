#!/usr/bin/env bash
# Builds the program for all systems, without cgo:  bash deploy/release.sh [VERSION [FOLDER]]
# VERSION is that of git where it is left out; the commit is inside as well. FOLDER (dist) gets an archive for each
# system, .zip for Windows, and SHA256SUMS. The same commit and the same Go give the same bytes of the program.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=${1:-$(git describe --tags --always --dirty)}
[[ $version != */* ]] || { echo "VERSION $version has a slash: the folder comes second" >&2; exit 1; }
out=${2:-dist}
commit=$(git rev-parse HEAD)
[[ -z $(git status --porcelain --untracked-files=no) ]] || commit+=-dirty
targets=${PSLD_TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}
mkdir -p "$out"
out=$(cd "$out" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

for target in $targets; do
  os=${target%/*} arch=${target#*/}
  name=psld-$version-$os-$arch
  program=psld
  [[ $os != windows ]] || program=psld.exe
  mkdir "$tmp/$name"
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -buildvcs=false -trimpath \
    -ldflags "-s -w -X main.release=$version -X main.commit=$commit" -o "$tmp/$name/$program" ./cmd/psld
  cp LICENSE NOTICE README.md "$tmp/$name"
  archive=$out/$name.tar.gz
  if [[ $os == windows ]] && command -v zip >/dev/null; then
    archive=$out/$name.zip
    rm -f "$archive"
    (cd "$tmp" && TZ=UTC find "$name" -exec touch -d '2020-01-01' {} + && TZ=UTC zip -qrX "$archive" "$name")
  else
    tar -C "$tmp" --owner=0 --group=0 --sort=name --mtime='UTC 2020-01-01' -czf "$archive" "$name"
  fi
  echo "$archive"
done
(cd "$out" && shopt -s nullglob && sha256sum psld-"$version"-*.{tar.gz,zip} >SHA256SUMS)
echo "$out/SHA256SUMS"
