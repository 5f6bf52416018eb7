#!/usr/bin/env bash
# One file that any Python 3.11 or newer of this platform runs: dist/slimstage.pyz, its dependencies by hash.
#   scripts/make_zipapp.sh VENV [FILE]
set -euo pipefail
venv=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${2:-dist/slimstage.pyz}
mkdir -p "$(dirname "$out")"
"$venv/bin/pip" install -q -q --disable-pip-version-check --require-hashes -r requirements/dist.txt
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
pip=("$venv/bin/pip" install -q -q --disable-pip-version-check --no-compile --target "$site")
"${pip[@]}" --require-hashes -r requirements/runtime.txt
"${pip[@]}" --no-deps .
# Extended: processes that the command starts find the package as well.
"$venv/bin/shiv" --site-packages "$site" --console-script slimstage --python "/usr/bin/env python3" \
  --extend-pythonpath --reproducible --compressed --output-file "$out"
ls -lh "$out"
