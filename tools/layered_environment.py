# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Environments that other people's code runs in: layers over the project's, made once per user and never changed.

A file of pins names the code and all it needs. What the project's interpreter has at the pinned version (torch and
more) is taken from there, by a path that comes after the layer's own packages; the rest is installed into the layer.
The project's environment is only read.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.gr00t.checkpoint import new_directory

ONLY_FROM_PROJECT = ("torch", "torchvision")
"""Packages that are never installed into a layer: the pins leave out the CUDA libraries that they need."""


class OracleError(RuntimeError):
    """The other code cannot be run; the message says why and what to do."""


def oracle_python(lock: Path, name: str) -> Path:
    """Interpreter of an environment, which is made if there is none.

    It appears complete or not at all, under a name that is a hash of the pins and of the interpreter below, so that
    neither an interrupted installation nor one for other versions is ever used.

    Args:
        lock: File of pins.
        name: What it is for, such as ``lerobot-oracle``.

    Raises:
        OracleError: It cannot be made.
    """
    pins = read_pins(lock)
    installed = {pin.name: _installed_version(pin.name) for pin in pins}
    missing = missing_pins(pins, installed)
    if unfit := [pin for pin in missing if pin.name in ONLY_FROM_PROJECT]:
        raise OracleError(
            f"the oracle needs {', '.join(map(str, unfit))}; {sys.executable} has "
            f"{', '.join(f'{pin.name} {installed[pin.name]}' for pin in unfit)}. Run it in the environment that "
            "isaaclab.sh makes from requirements.lock"
        )
    shared = sorted({str(metadata.distribution(pin.name).locate_file("")) for pin in pins if pin not in missing})
    identity = [sys.version, sys.executable, shared, [str(pin) for pin in pins], [str(pin) for pin in missing]]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    target = cache_directory() / name / digest
    python = target / "bin" / "python"
    if not python.exists():
        with _one_at_a_time(target.parent):
            if not python.exists():
                _make(target, missing, shared, lock)
    return python


def run_in_environment(python: Path, script: Path, *arguments: Path) -> dict[str, str]:
    """Run a script in a layer; returns the JSON of its last line, such as the versions of its packages.

    Raises:
        OracleError: Its process failed.
    """
    # -I: nothing of this process's paths; -B: no bytecode into the project's environment
    command = [python, "-I", "-B", script, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise OracleError(f"{script.name} ended with {result.returncode}:\n{result.stderr[-4000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def read_pins(lock: Path) -> list[Requirement]:
    """The requirements in a file of pins."""
    return [Requirement(line) for line in lock.read_text(encoding="utf-8").splitlines()]


def missing_pins(pins: Sequence[Requirement], installed: Mapping[str, str | None]) -> list[Requirement]:
    """Those pins that the installed versions (name -> version or None) do not meet."""
    return [
        pin
        for pin in pins
        if (version := installed[pin.name]) is None or not pin.specifier.contains(version, prereleases=True)
    ]


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for leftover in folder.glob(".*-*/"):  # of processes that were killed: a living one would hold the lock
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _make(target: Path, missing: Sequence[Requirement], shared: Sequence[str], lock: Path) -> None:
    print(
        f"[oracle] Making the environment in {target} (once): {len(missing)} packages ...",
        file=sys.stderr,
        flush=True,
    )
    started = time.perf_counter()
    with new_directory(target) as layer:
        venv.EnvBuilder(with_pip=False, symlinks=True).create(layer)
        _install(layer / "bin" / "python", missing, lock)
        (packages,) = layer.glob("lib/python3*/site-packages")
        (packages / "project.pth").write_text("\n".join(shared) + "\n", encoding="utf-8")
    print(f"[oracle] Ready after {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def _install(python: Path, requirements: Sequence[Requirement], lock: Path) -> None:
    """Install exactly these; with uv where it works, else with the project's pip."""
    own = Path(sys.executable).parent
    uv = shutil.which("uv", path=os.pathsep.join([str(own), os.environ.get("PATH", os.defpath)]))
    commands = [[sys.executable, "-m", "pip", "--python", str(python), "install", "--no-input"]]
    if uv is not None:
        commands.insert(0, [uv, "pip", "install", "--python", str(python), "--compile-bytecode"])
    failures = []
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(f"{requirement}\n" for requirement in requirements))
        file.flush()
        for command in commands:
            result = subprocess.run(
                [*command, "--no-deps", "-r", file.name], capture_output=True, text=True, check=False
            )
            if result.returncode == 0:
                return
            failures.append(f"$ {' '.join(command)}\n{(result.stdout + result.stderr)[-2000:]}")
    raise OracleError(
        f"the packages of {lock} cannot be installed. PyPI must be reachable: set a proxy "
        "(HTTPS_PROXY) or a mirror (PIP_INDEX_URL, UV_DEFAULT_INDEX) and run it again\n" + "\n".join(failures)
    )
