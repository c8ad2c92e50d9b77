#!/usr/bin/env bash
# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0
#
# Isaac Lab's commands, with this extension, in the environment that has Isaac Lab:
#   1. the active one (VIRTUAL_ENV, CONDA_PREFIX, python on PATH);
#   2. the one of the checkout at ISAACLAB_PATH;
#   3. .venv in this repository, created from requirements.lock on first use.
# The first two are never changed, except by --install, which says what it does.

set -euo pipefail

self="${BASH_SOURCE[0]}"
while [[ -L $self ]]; do
    target="$(readlink "$self")"
    [[ $target == /* ]] || target="$(dirname "$self")/$target"
    self="$target"
done
REPO="$(cd -P "$(dirname "$self")" && pwd)"
readonly REPO
readonly SOURCE="$REPO/source"
readonly VENV="$REPO/.venv"
readonly OWNED="$VENV/.created-by-isaaclab.sh" # written first: an environment with it and no stamp is half made
readonly STAMP="$VENV/.stamp"                  # written last: what the environment was made from
readonly INSTALL_LOG="$VENV/install.log"
readonly NEEDED_GB=10
readonly FORWARDED=(
    train train_multigpu play list_envs zero_agent random_agent leapp benchmark microbenchmark demo example teleop
)

say() { printf '[isaaclab.sh] %s\n' "$@" >&2; }

die() {
    local first="$1"
    shift
    printf '[isaaclab.sh] error: %s\n' "$first" >&2
    (($# == 0)) || printf '    %s\n' "$@" >&2
    exit 1
}

usage() {
    cat <<EOF
usage: isaaclab.sh COMMAND [ARGUMENTS]

Runs Isaac Lab's commands with the extension gr00t_rl_ext.

  -p, --python ARGS...    run the environment's Python
  -t, --test [ARGS...]    run the tests in $REPO with pytest; the slow ones: -t -m slow
  -i, --install           create or refresh the environment; into one that has Isaac Lab already,
                          install this extension alone (editable, no dependencies)
  -h, --help              show this text

Isaac Lab's own commands (each has its --help):
  train, train_multigpu   train a policy         list_envs                   list the tasks
  play                    play a policy          zero_agent, random_agent    step a task without a policy
  leapp                   export a policy        benchmark, microbenchmark   measure
  demo, example, teleop   Isaac Lab's programs

The environment is the first of these that has Isaac Lab 3.0:
  1. the active one: VIRTUAL_ENV, CONDA_PREFIX, python on PATH
  2. the checkout at ISAACLAB_PATH
  3. $VENV, created from requirements.lock on first use (minutes, 8 GB)
EOF
}

# ---------------------------------------------------------------------------------------------------------------------
# What an interpreter has
# ---------------------------------------------------------------------------------------------------------------------

# Prints: Python's version, Isaac Lab's version or "-", where this extension stands, whether pytest is there.
# Finds modules without importing them (torch alone takes seconds), and runs on any Python.
readonly PROBE='
import sys
version = "%d.%d" % sys.version_info[:2]
isaaclab, extension, pytest = "-", "absent", "-"
if sys.version_info[:2] == (3, 12):
    import os
    from importlib.util import find_spec
    sys.path[:] = [path for path in sys.path if path]
    spec = find_spec("isaaclab")
    if spec is not None and spec.origin:
        from importlib import metadata
        # A checkout has <root>/source/isaaclab/isaaclab, and the release in <root>/VERSION.
        folder = os.path.dirname(os.path.realpath(spec.origin))
        release = os.path.join(folder, "..", "..", "..", "VERSION")
        in_checkout = folder.endswith(os.path.join("source", "isaaclab", "isaaclab"))
        try:
            isaaclab = open(release).read().strip() if in_checkout else metadata.version("isaaclab")
        except (OSError, metadata.PackageNotFoundError):
            isaaclab = "unknown"
        spec = find_spec("gr00t_rl_ext")
        if spec is not None and spec.origin:
            here = os.path.realpath(spec.origin).startswith(os.path.realpath(sys.argv[1]) + os.sep)
            extension = "elsewhere"
            try:
                points = metadata.distribution("gr00t_rl_ext").entry_points
                if here and any(point.group == "isaaclab.tasks" for point in points):
                    extension = "installed"
            except metadata.PackageNotFoundError:
                extension = "absent"
        pytest = "pytest" if find_spec("pytest") else "-"
print("\t".join((version, isaaclab, extension, pytest)))
'

# probe PYTHON: sets PROBED_*; true if it is a Python 3.12 that has Isaac Lab 3.
probe() {
    local answer
    PROBED_VERSION="" PROBED_ISAACLAB="-" PROBED_EXTENSION="absent" PROBED_PYTEST="-"
    answer="$("$1" -c "$PROBE" "$SOURCE" 2>/dev/null </dev/null | tail -n 1)" || return 1
    IFS=$'\t' read -r PROBED_VERSION PROBED_ISAACLAB PROBED_EXTENSION PROBED_PYTEST <<<"$answer" || return 1
    [[ $PROBED_ISAACLAB == unknown || $PROBED_ISAACLAB == 3.* ]]
}

# choose PYTHON DESCRIPTION: takes the interpreter that was probed last.
choose() {
    PYTHON="$1" CHOSEN="$2" EXTENSION="$PROBED_EXTENSION" PYTEST="$PROBED_PYTEST"
}

# ---------------------------------------------------------------------------------------------------------------------
# 1. The active environment
# ---------------------------------------------------------------------------------------------------------------------

resolve_active() {
    local python seen="" origin
    for origin in VIRTUAL_ENV CONDA_PREFIX PATH; do
        case $origin in
            PATH) python="$(command -v python || command -v python3 || true)" ;;
            *) python="${!origin:-}" && python="${python:+$python/bin/python}" ;;
        esac
        [[ -n $python && -x $python && $python != "$seen" ]] || continue
        seen="$python"
        # The environment that this script maintains is kept up to date even when it is the active one.
        [[ -e $OWNED && $python -ef $VENV/bin/python && "$(cd "$(dirname "$python")/.." && pwd -P)" == "$VENV" ]] && continue
        if probe "$python"; then
            choose "$python" "the active environment ($origin)"
            return 0
        fi
        [[ $PROBED_ISAACLAB == - ]] || say "Skipping $python ($origin): it has Isaac Lab $PROBED_ISAACLAB, needed is 3.0."
    done
    return 1
}

# ---------------------------------------------------------------------------------------------------------------------
# 2. The checkout at ISAACLAB_PATH
# ---------------------------------------------------------------------------------------------------------------------

resolve_checkout() {
    local root="${ISAACLAB_PATH:-}" python tried=()
    [[ -n $root ]] || return 1
    [[ -d $root ]] || die "ISAACLAB_PATH is $root, which is not a folder." \
        "Set it to a checkout of Isaac Lab 3.0, or unset it to use $VENV."
    # Its environment's interpreter is called directly: Isaac Lab's launcher changes the working directory.
    for python in "$root"/{env_isaaclab,.venv}/bin/python "$root/_isaac_sim/python.sh"; do
        [[ -x $python ]] || continue
        tried+=("$python")
        if probe "$python"; then
            choose "$python" "the checkout $root"
            return 0
        fi
    done
    if [[ -x $root/isaaclab.sh ]]; then
        tried+=("$root/isaaclab.sh -p")
        python="$("$root/isaaclab.sh" -p -c 'import sys; print(sys.executable)' 2>/dev/null </dev/null | tail -n 1)" || python=""
        if [[ -x $python ]] && probe "$python"; then
            choose "$python" "the checkout $root"
            return 0
        fi
    fi
    die "ISAACLAB_PATH is $root, and none of its environments has Python 3.12 with Isaac Lab 3.0." \
        "Tried: ${tried[*]:-env_isaaclab, .venv, _isaac_sim and isaaclab.sh, which are not there}." \
        "Install it with $root/isaaclab.sh -i, or unset ISAACLAB_PATH to use $VENV."
}

# ---------------------------------------------------------------------------------------------------------------------
# 3. The repository's own environment
# ---------------------------------------------------------------------------------------------------------------------

stamp() {
    (cd "$REPO" && echo "$REPO" && sha256sum requirements.lock pyproject.toml setup.py config/extension.toml)
}

is_current() { [[ -x $VENV/bin/python && -f $STAMP && "$(<"$STAMP")" == "$(stamp)" ]]; }

# find_uv: prints the path of a uv that runs (pyenv's shim of it may refuse), or nothing.
find_uv() {
    local uv
    for uv in uv "$VENV/bin/uv" "${HOME:-}/.local/bin/uv"; do
        if "$uv" --version >/dev/null 2>&1 </dev/null; then
            command -v "$uv"
            return
        fi
    done
}

# find_python: prints "ok PATH" for the first Python 3.12 that can make an environment, else "bare PATH" or "none".
find_python() {
    local python uv answer bare="" candidates
    local check='
import sys
from importlib.util import find_spec
assert sys.version_info[:2] == (3, 12)
usable = find_spec("venv") and find_spec("ensurepip")
print("ok" if usable else "bare", getattr(sys, "_base_executable", "") or sys.executable)'
    # Every one on PATH, and pyenv's by path: its shims refuse when another version is selected for the folder.
    mapfile -t candidates < <(type -aP python3.12 python3 python)
    candidates+=("${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.12*/bin/python)
    uv="$(find_uv)"
    if [[ -n $uv ]] && python="$("$uv" python find --no-project --no-python-downloads 3.12 2>/dev/null)"; then
        candidates+=("$python")
    fi
    for python in "${candidates[@]}"; do
        answer="$("$python" -c "$check" 2>/dev/null </dev/null)" || continue
        if [[ $answer == ok\ * ]]; then
            echo "$answer"
            return
        fi
        [[ -n $bare ]] || bare="$answer"
    done
    echo "${bare:-none}"
}

check_machine() {
    local system machine free_kb
    system="$(uname -s)" machine="$(uname -m)"
    case $system-$machine in
        Linux-x86_64 | Linux-aarch64) ;;
        *) die "This machine is $system on $machine; Isaac Lab 3.0's packages are built for Linux on x86_64 or aarch64." \
            "Use such a machine, or docker/ (see docker/README.md)." ;;
    esac
    [[ -w $REPO ]] || die "$REPO cannot be written, and the environment would be created in it." \
        "Make it writable, or activate an environment that has Isaac Lab 3.0."
    free_kb="$(df -Pk "$REPO" | awk 'NR == 2 {print $4}')"
    ((free_kb >= NEEDED_GB * 1024 * 1024)) || die "$((free_kb / 1024 / 1024)) GB are free on the disk of $REPO; needed are $NEEDED_GB GB." \
        "Free some, or activate an environment that has Isaac Lab 3.0."
}

# logged COMMAND...: runs it in the repository, its output in the log.
logged() {
    printf '$ %s\n' "$*" >>"$INSTALL_LOG"
    (cd "$REPO" && exec "$@") >>"$INSTALL_LOG" 2>&1 </dev/null
}

die_with_log() {
    say "The end of $INSTALL_LOG:"
    tail -n 15 "$INSTALL_LOG" | sed 's/^/    /' >&2
    die "$@"
}

create_venv() {
    local found python uv
    found="$(find_python)" uv="$(find_uv)"
    python="${found#* }"
    if [[ $found == none ]]; then
        die "No Python 3.12 was found; Isaac Lab 3.0 runs on no other version." \
            "Looked for: python3.12, python3 and python on PATH, pyenv's versions, uv's versions." \
            "Get it with one of: apt install python3.12 python3.12-venv; pyenv install 3.12; uv python install 3.12" \
            "Or activate an environment that has Isaac Lab 3.0, or set ISAACLAB_PATH to a checkout of it."
    fi
    [[ $found == ok\ * || -n $uv ]] || die "$python has no venv or no ensurepip module, so it cannot create an environment." \
        "On Debian and Ubuntu: apt install python3.12-venv. Or install uv, which needs neither: pip install uv"
    rm -rf "$VENV"
    mkdir "$VENV"
    : >"$OWNED"
    if [[ $found == ok\ * ]]; then
        logged "$python" -m venv "$VENV"
    else
        logged "$uv" venv --allow-existing --seed --no-project --python "$python" "$VENV"
    fi || die_with_log "The environment $VENV could not be created with $python."
}

# The lock is complete, so nothing is resolved; setuptools is in it, so the extension is built without a download.
fill_venv() {
    local uv index pip=("$VENV/bin/python" -m pip install --no-input)
    uv="$(find_uv)"
    if [[ -z $uv ]] && logged "${pip[@]}" --quiet uv; then
        uv="$VENV/bin/uv"
    fi
    # uv does not read pip's configuration; a mirror that is set there is meant for both.
    if [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]]; then
        index="${PIP_INDEX_URL:-$("$VENV/bin/python" -m pip config get global.index-url 2>/dev/null || true)}"
        [[ -z $index ]] || export UV_DEFAULT_INDEX="$index"
    fi
    if [[ -z $uv ]] || ! logged "$uv" pip install --python "$VENV/bin/python" --no-deps -r requirements.lock; then
        ! grep -q 'No space left' "$INSTALL_LOG" || die_with_log "The disk is full." "Free $NEEDED_GB GB and run it again."
        say "Installing with uv failed; trying pip, which is slower ..."
        logged "${pip[@]}" --no-deps -r requirements.lock ||
            die_with_log "The packages of requirements.lock could not be installed." \
                "If the log speaks of connections or certificates: PyPI must be reachable; set a proxy (HTTPS_PROXY)," \
                "a mirror (PIP_INDEX_URL) or certificates (SSL_CERT_FILE) and run it again." \
                "If it finds no matching version: the mirror lacks it, or this machine's glibc is older than 2.35." \
                "If it misses a compiler (on aarch64): apt install build-essential"
    fi
    logged "${pip[@]}" --no-deps --no-build-isolation -e . || die_with_log "gr00t_rl_ext could not be installed in $VENV."
}

# make_venv WHY: creates or refreshes .venv, one process at a time.
make_venv() {
    local why="$1" started=$SECONDS
    if command -v flock >/dev/null && { exec 9>"$VENV.lock"; } 2>/dev/null && ! flock -n 9; then
        say "Another isaaclab.sh is installing $VENV; waiting for it ..."
        flock 9
    fi
    if [[ $why == needed ]] && is_current; then # somebody else made it meanwhile
        { exec 9>&-; } 2>/dev/null || true
        return
    fi
    check_machine
    trap 'die "Interrupted. The next start begins the installation afresh."' INT TERM
    if [[ -f $STAMP ]] && "$VENV/bin/python" -c '' 2>/dev/null; then
        say "Refreshing $VENV ..."
        rm -f "$STAMP"
    else
        [[ ! -e $OWNED ]] || say "An earlier installation of $VENV did not finish; starting it afresh."
        say "Creating $VENV from requirements.lock (1 to 5 minutes, 8 GB) ..."
        create_venv
    fi
    fill_venv
    probe "$VENV/bin/python" && [[ $PROBED_EXTENSION == installed ]] ||
        die_with_log "The installation ran, but $VENV has Isaac Lab: $PROBED_ISAACLAB, gr00t_rl_ext: $PROBED_EXTENSION."
    stamp >"$STAMP.new"
    mv "$STAMP.new" "$STAMP"
    trap - INT TERM
    { exec 9>&-; } 2>/dev/null || true
    say "Ready after $((SECONDS - started)) s."
}

resolve_own() {
    if [[ -d $VENV && ! -e $OWNED ]]; then # somebody else's: used as it is
        probe "$VENV/bin/python" || die "$VENV was not made by isaaclab.sh and has no Isaac Lab 3.0 (Python: ${PROBED_VERSION:-none}, Isaac Lab: $PROBED_ISAACLAB)." \
            "Remove it, and the next start creates it; or install into it: $VENV/bin/python -m pip install -e '${REPO}[ovphysx,dev]'"
        choose "$VENV/bin/python" "$VENV"
        return
    fi
    is_current || make_venv needed
    PROBED_EXTENSION=installed PROBED_PYTEST=pytest
    choose "$VENV/bin/python" "$VENV"
}

# ---------------------------------------------------------------------------------------------------------------------
# An environment in which this extension is not installed
# ---------------------------------------------------------------------------------------------------------------------

# Writes the metadata that an installation would write, so that Isaac Lab finds the entry point through PYTHONPATH
# and the environment stays as it is; prints the requirements that are missing.
readonly DESCRIBE='
import os, re, sys, tomllib
from importlib import metadata
repo, folder = sys.argv[1:]
with open(os.path.join(repo, "pyproject.toml"), "rb") as file:
    project = tomllib.load(file)["project"]
with open(os.path.join(repo, "config", "extension.toml"), "rb") as file:
    version = tomllib.load(file)["package"]["version"]
info = os.path.join(folder, "gr00t_rl_ext-source.dist-info")
texts = {"METADATA": "Metadata-Version: 2.1\nName: gr00t_rl_ext\nVersion: %s\n" % version, "entry_points.txt": ""}
for group, points in project["entry-points"].items():
    texts["entry_points.txt"] += "[%s]\n" % group + "".join("%s = %s\n" % point for point in points.items())
try:
    os.makedirs(info, exist_ok=True)
    for name, text in texts.items():
        with open(os.path.join(info, name + ".new"), "w") as file:
            file.write(text)
        os.replace(os.path.join(info, name + ".new"), os.path.join(info, name))
except OSError as error:
    print("[isaaclab.sh] %s: Isaac Lab will not list the tasks of this extension." % error, file=sys.stderr)
missing = []
for requirement in project["dependencies"]:
    name = re.match("[A-Za-z0-9._-]+", requirement)[0]
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        if name != "isaaclab":
            missing.append(requirement)
print(" ".join(missing))
'

report_missing() {
    local missing="$1"
    [[ -z $missing ]] || say "Missing in that environment: $missing" "Install them with: $PYTHON -m pip install $missing"
}

use_source_tree() {
    local metadata="$REPO/.isaaclab/metadata" missing
    missing="$("$PYTHON" -c "$DESCRIBE" "$REPO" "$metadata" </dev/null | tail -n 1)"
    export PYTHONPATH="$SOURCE:$metadata${PYTHONPATH:+:$PYTHONPATH}"
    say "$PYTHON ($CHOSEN) has Isaac Lab, and gr00t_rl_ext is ${EXTENSION/absent/not} installed${EXTENSION/absent/}: using $SOURCE."
    say "To install it there: ./isaaclab.sh -i, which is $PYTHON -m pip install --no-deps -e $REPO"
    report_missing "$missing"
}

install_extension() {
    local isolation=() installer=("$PYTHON" -m pip install) uv
    if ! "$PYTHON" -c 'import pip' 2>/dev/null; then
        uv="$(find_uv)"
        [[ -n $uv ]] || die "$PYTHON ($CHOSEN) has no pip, and there is no uv on PATH." \
            "Install one of them: $PYTHON -m ensurepip, or pip install uv"
        installer=("$uv" pip install --python "$PYTHON")
    fi
    ! "$PYTHON" -c 'import setuptools' 2>/dev/null || isolation=(--no-build-isolation)
    say "Installing gr00t_rl_ext (editable, no dependencies) into $PYTHON ($CHOSEN) ..."
    "${installer[@]}" --quiet --no-deps "${isolation[@]}" -e "$REPO" ||
        die "The installation failed; the messages above say why." "Without it, isaaclab.sh still runs from $SOURCE."
    report_missing "$("$PYTHON" -c "$DESCRIBE" "$REPO" "$REPO/.isaaclab/metadata" </dev/null | tail -n 1)"
    say "Done."
}

# ---------------------------------------------------------------------------------------------------------------------
# Commands
# ---------------------------------------------------------------------------------------------------------------------

# need_environment: sets PYTHON, and the paths it needs.
need_environment() {
    resolve_active || resolve_checkout || resolve_own
    [[ $EXTENSION == installed ]] || use_source_tree
}

main() {
    local command="${1:---help}" known
    (($# == 0)) || shift
    case $command in
        -h | --help)
            usage
            return
            ;;
        -p | --python)
            need_environment
            exec "$PYTHON" "$@"
            ;;
        -t | --test)
            need_environment
            [[ $PYTEST == pytest ]] || die "$PYTHON ($CHOSEN) has no pytest, which runs the tests." \
                "Install it: $PYTHON -m pip install pytest pytest-timeout pytest-xdist"
            cd "$REPO"
            # Most tests keep one core busy. A later `-n 0` runs them one after the other.
            if "$PYTHON" -c 'import xdist' 2>/dev/null; then set -- -n 2 --dist loadfile "$@"; fi
            exec "$PYTHON" -m pytest "$@"
            ;;
        -i | --install)
            (($# == 0)) || die "--install takes no arguments, and got: $*" \
                "Everything is installed; Isaac Lab's own selection is that of its checkout's isaaclab.sh."
            if resolve_active || resolve_checkout || [[ -d $VENV && ! -e $OWNED ]]; then
                [[ -n ${PYTHON:-} ]] || resolve_own
                install_extension
            else
                make_venv install
            fi
            return
            ;;
    esac
    for known in "${FORWARDED[@]}"; do
        if [[ $command == "$known" ]]; then
            need_environment
            exec "$PYTHON" -m isaaclab "$command" "$@"
        fi
    done
    printf '[isaaclab.sh] error: unknown command %q\n' "$command" >&2
    printf '    Known: -p, -t, -i, -h, %s\n' "$(printf '%s, ' "${FORWARDED[@]}" | sed 's/, $//')" >&2
    printf '    To run a script: %s -p %s\n' "$0" "SCRIPT ARGUMENTS" >&2
    exit 2
}

main "$@"
