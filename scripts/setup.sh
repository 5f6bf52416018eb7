#!/usr/bin/env bash
# Everything that the project needs on a fresh Debian 12: packages, a virtual environment, Python packages by hash.
#   scripts/setup.sh VENV
set -euo pipefail
venv=$1
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# program or file → package: what is looked for, and what brings it
wanted=(
  "git git" "make make" "mmdebstrap mmdebstrap" "skopeo skopeo" "umoci umoci" "podman podman" "runc runc"
  "docker-registry docker-registry" "busybox busybox-static" "zstd zstd" "pigz pigz" "strace strace" "setfattr attr"
  "mkfs.ext4 e2fsprogs" "mkfs.xfs xfsprogs" "mkfs.btrfs btrfs-progs" "fuse-overlayfs fuse-overlayfs"
  "newuidmap uidmap" "qemu-aarch64-static qemu-user-static" "ip iproute2" "capsh libcap2-bin" "gcc gcc" "openssl openssl" "setpriv util-linux" "tar tar" "chromium chromium"
)
# A daemon of root's that starts with the machine: only a machine of CI gets it unasked. Tests that want it say so and skip.
[ -z "${CI:-}" ] || wanted+=("dockerd docker.io")
missing=()
for pair in "${wanted[@]}"; do
  read -r program package <<<"$pair"
  PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null 2>&1 || missing+=("$package")
done
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "These Debian packages are missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}" >&2
    exit 3
  fi
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install -q -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
"$venv/bin/pip" install -q -q --disable-pip-version-check --no-deps --no-build-isolation -e .
