#!/usr/bin/env bash
# Takes pictures of the page, as docs/serve.png, by a Chromium that a test drives:
#   bash docs/serve.sh [FOLDER]
# FOLDER gets all of them: start, form, run and result, on a desk and on a phone, light and dark.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=$(realpath -m "${1:-$(mktemp -d)}")
mkdir -p "$folder"
tmp=$(mktemp -d)
trap 'kill $server; wait $server || true; rm -rf "$tmp"' EXIT
go build -o "$tmp/psld" ./cmd/psld
"$tmp/psld" serve --listen 127.0.0.1:0 --data "$tmp/data" >"$tmp/address" 2>"$tmp/log" &
server=$!
until [[ -s $tmp/address ]]; do
  kill -0 $server || { cat "$tmp/log" >&2; exit 1; }
  sleep 0.1
done
PSLD_SCREENSHOTS_OF=$(cat "$tmp/address") PSLD_SCREENSHOTS_IN=$folder \
  go test ./psld/server -count 1 -timeout 60m -run '^TestScreenshots$'
cp "$folder/result-desk-light.png" docs/serve.png
echo "docs/serve.png, and more in $folder"
