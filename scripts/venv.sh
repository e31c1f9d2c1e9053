#!/usr/bin/env bash
# Make a virtual environment with this project in it: scripts/venv.sh FOLDER EXTRAS, e.g. scripts/venv.sh .venv cpu
# Needs Python >= 3.10 only; copes with a Python that came without venv or pip.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1 extras=$2

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    echo "talkinghead needs Python >= 3.10: install it, or name one with PYTHON=/path/to/python3" >&2
    return 1
}

install_with_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

make_venv() {
    local python=$1
    "$python" -m venv "$folder" 2>/dev/null && return
    rm -rf "$folder"
    if install_with_apt python3-venv && "$python" -m venv "$folder" 2>/dev/null; then return; fi
    rm -rf "$folder"
    "$python" -m pip install --quiet --user virtualenv 2>/dev/null ||
        "$python" -m pip install --quiet --user --break-system-packages virtualenv 2>/dev/null || true
    "$python" -m virtualenv --quiet "$folder" && return
    echo "cannot make a virtual environment: install python3-venv (apt-get install python3-venv)" >&2
    return 1
}

python=$(find_python)
[ -x "$folder/bin/python" ] && "$folder/bin/python" -m pip --version >/dev/null 2>&1 || make_venv "$python"
echo "installing talkinghead[$extras] into $folder ..." >&2
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
touch "$folder/.ready"
