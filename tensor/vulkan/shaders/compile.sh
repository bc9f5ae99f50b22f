#!/usr/bin/env bash
# Compiles every kernel to SPIR-V beside it, or into the folder that is given:  bash compile.sh [FOLDER]
#
# It needs Debian's glslang-tools. .ci/run compares what it makes with what is checked in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
to=${1:-.}
for source in *.comp; do
  glslangValidator -V --quiet --target-env vulkan1.1 -o "$to/${source%.comp}.spv" "$source"
done
