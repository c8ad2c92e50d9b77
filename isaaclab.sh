#!/usr/bin/env bash
# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0
#
# Isaac Lab's commands, with this extension, in the environment that has Isaac Lab; usage() tells which that is.
# Environments that others made are never changed, except by --install, which prints what it does.

set -euo pipefail

REPO="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
readonly REPO
readonly ENVIRONMENT="$REPO/tools/environment.py" # what is done in Python; each function has its command there
readonly VENV="$REPO/.venv"
readonly STAMP="$VENV/.stamp" # what .venv was made from; empty while it is half made, absent where others made it
readonly PARALLEL_TESTS=(-n 2 --dist loadfile) # most tests keep one core busy; a later -n 0 runs one after the other

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
  3. $VENV, created from requirements.lock on first use (minutes, 9 GB)
EOF
}

say() { printf '[isaaclab.sh] %s\n' "$@" >&2; }

die() {
    say "error: $1"
    (($# == 1)) || printf '    %s\n' "${@:2}" >&2
    exit 1
}

# take PYTHON ORIGIN: chooses that interpreter if it has Isaac Lab 3.0; sets PYTHON, ORIGIN and the extension's STATE.
take() {
    [[ -x $1 ]] || return 1
    if STATE="$("$1" "$ENVIRONMENT" probe 2>/dev/null </dev/null | tail -n 1)"; then
        PYTHON="$1" ORIGIN="$2"
    else
        [[ -z $STATE ]] || say "Skipping $1 ($2): it has $STATE, needed is Isaac Lab 3.0 on Python 3.12."
        return 1
    fi
}

# take_given: takes an environment that others made; false if there is none, or if .venv is the active one.
take_given() {
    local name python
    for name in VIRTUAL_ENV CONDA_PREFIX PATH; do
        python="${!name:-}/bin/python"
        [[ $name != PATH ]] || python="$(type -P python || type -P python3)" || continue
        [[ -e $STAMP && ${python%/bin/*} -ef $VENV ]] && return 1
        take "$python" "the active environment, by $name" && return
    done
    if [[ -n ${ISAACLAB_PATH:-} ]]; then
        take_checkout
    elif [[ -d $VENV && ! -e $STAMP ]]; then
        take "$VENV/bin/python" "$VENV" || die "$VENV was not made by isaaclab.sh and has no Isaac Lab 3.0." \
            "Remove it, and the next start creates it; or install into it:" \
            "$VENV/bin/python -m pip install -e '${REPO}[ovphysx,dev]'"
    else
        return 1
    fi
}

take_checkout() {
    local root python
    root="$(cd "$ISAACLAB_PATH" &>/dev/null && pwd)" || die "ISAACLAB_PATH is $ISAACLAB_PATH, which is not a folder." \
        "Set it to a checkout of Isaac Lab 3.0, or unset it to use $VENV."
    # Its interpreters are called directly, because Isaac Lab's launcher changes the working directory.
    for python in "$root"/{env_isaaclab,.venv}/bin/python "$root/_isaac_sim/python.sh"; do
        take "$python" "the checkout $root" && return
    done
    python="$("$root/isaaclab.sh" -p -c 'import sys; print(sys.executable)' 2>/dev/null </dev/null | tail -n 1)" || true
    take "$python" "the checkout $root" || die "ISAACLAB_PATH is $root, and no environment of it has Isaac Lab 3.0." \
        "Looked for: env_isaaclab, .venv, _isaac_sim, and what its isaaclab.sh -p runs." \
        "Install it with $root/isaaclab.sh -i, or unset ISAACLAB_PATH to use $VENV."
}

# make_venv: creates or refreshes .venv, with the first Python 3.12 that can.
make_venv() {
    local python candidates
    [[ $(uname -sm) =~ ^Linux\ (x86_64|aarch64)$ ]] ||
        die "This machine is $(uname -sm); Isaac Lab 3.0's packages are built for Linux on x86_64 or aarch64." \
            "Use such a machine, or docker/ (see docker/README.md)."
    # pyenv's are found by path, because its shims refuse when another version is selected for the folder.
    mapfile -t candidates < <(
        type -aP python3.12 python3 python || true
        printf '%s\n' "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.12*/bin/python
        uv python find --no-project --system 3.12 2>/dev/null
    )
    for python in "${candidates[@]}"; do
        if "$python" "$ENVIRONMENT" can_create &>/dev/null </dev/null; then
            "$python" "$ENVIRONMENT" create "$(stamp)" </dev/null
            return
        fi
    done
    die "No Python 3.12 that can create environments was found; Isaac Lab 3.0 runs on no other version." \
        "Looked for: python3.12, python3 and python on PATH, pyenv's versions, uv's versions." \
        "Get it with one of: apt install python3.12 python3.12-venv; pyenv install 3.12; uv python install 3.12" \
        "If it has no ensurepip module: apt install python3.12-venv; or pip install uv, which does without." \
        "Or activate an environment that has Isaac Lab 3.0, or set ISAACLAB_PATH to a checkout of it."
}

stamp() (cd "$REPO" && echo "$REPO" && sha256sum requirements.lock pyproject.toml setup.py config/extension.toml)

# need_environment: sets PYTHON, and PYTHONPATH where this extension is not installed.
need_environment() {
    local paths install
    if ! take_given; then
        [[ -s $STAMP && -x $VENV/bin/python && "$(<"$STAMP")" == "$(stamp)" ]] || make_venv
        PYTHON="$VENV/bin/python" ORIGIN="$VENV"
    elif [[ $STATE != installed ]]; then
        say "$PYTHON ($ORIGIN) has Isaac Lab, and gr00t_rl_ext is $STATE: using $REPO/source."
        install="$(printf '%q ' "$PYTHON" -m pip install --no-deps -e "$REPO")"
        say "To install it there: ./isaaclab.sh -i, which runs $install"
        paths="$("$PYTHON" "$ENVIRONMENT" describe </dev/null | tail -n 1)"
        export PYTHONPATH="$paths${PYTHONPATH:+:$PYTHONPATH}"
    fi
}

main() {
    local command="${1:---help}"
    (($# == 0)) || shift
    case $command in
        -h | --help)
            usage
            ;;
        -p | --python)
            need_environment
            exec "$PYTHON" "$@"
            ;;
        -t | --test)
            need_environment
            "$PYTHON" -c 'import pytest' 2>/dev/null || die "$PYTHON ($ORIGIN) has no pytest, which runs the tests." \
                "Install it: $PYTHON -m pip install pytest pytest-timeout pytest-xdist"
            cd "$REPO"
            if "$PYTHON" -c 'import xdist' 2>/dev/null; then set -- "${PARALLEL_TESTS[@]}" "$@"; fi
            OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" exec "$PYTHON" -m pytest "$@"
            ;;
        -i | --install)
            (($# == 0)) || die "--install takes no arguments, and got: $*" \
                "Everything is installed; Isaac Lab's own selection is that of its checkout's isaaclab.sh."
            if take_given; then "$PYTHON" "$ENVIRONMENT" install; else make_venv; fi
            ;;
        train | train_multigpu | play | list_envs | zero_agent | random_agent | leapp | benchmark | microbenchmark | \
            demo | example | teleop)
            need_environment
            exec "$PYTHON" -m isaaclab "$command" "$@"
            ;;
        *)
            usage >&2
            say "error: unknown command $command; the known ones are above." "To run a script: $0 -p SCRIPT ARGUMENTS"
            exit 2
            ;;
    esac
}

main "$@"
