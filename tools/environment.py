# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What ``isaaclab.sh`` does in Python: ask an interpreter what it has, let it find this extension, make ``.venv``.

It runs in environments that are not ours, so it imports the standard library alone, and it finds modules without
importing them: torch alone takes seconds. Interpreters of other versions than 3.12 are asked, too.
"""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[1]
SOURCE = REPO / "source"
METADATA = REPO / ".isaaclab" / "metadata"
VENV = REPO / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".stamp"
"""What ``.venv`` was made from; empty while it is half made, absent where others made it."""
LOG = VENV / "install.log"
NEEDED_GB = 10


class SetupError(RuntimeError):
    """An environment cannot be made or changed; the first line tells why, the others how to mend it."""


def say(text: str) -> None:
    """Print a message to standard error, because standard output belongs to the command."""
    print(f"[isaaclab.sh] {text}", file=sys.stderr, flush=True)


# -- What an interpreter has ------------------------------------------------------------------------------------------


def isaaclab_release() -> str | None:
    """The release of Isaac Lab that this interpreter finds, ``"unknown"`` where it has no metadata, None without it."""
    spec = find_spec("isaaclab")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).resolve().parent
    try:
        # A checkout's core package has a version of its own (28.0.0 in 3.0.0); the release stands in its VERSION.
        if package.parts[-3:] == ("source", "isaaclab", "isaaclab"):
            return (package.parents[2] / "VERSION").read_text(encoding="utf-8").strip()
        return metadata.version("isaaclab")
    except (OSError, metadata.PackageNotFoundError):
        return "unknown"


def extension_state() -> str:
    """``"installed"`` where Isaac Lab finds this repository's extension; else what keeps it from that."""
    spec = find_spec("gr00t_rl_ext")
    if spec is None or spec.origin is None:
        return "not installed"
    package = Path(spec.origin).resolve().parent
    if package != SOURCE / "gr00t_rl_ext":
        return f"installed from {package}"
    points = metadata.entry_points(group="isaaclab.tasks")
    return "installed" if any(point.name == "gr00t_rl_ext" for point in points) else "not installed"


def probe() -> bool:
    """Print the extension's state where Isaac Lab 3.0 is; else print what is there, and return False."""
    release = isaaclab_release()
    if release is None:
        return False
    if sys.version_info[:2] == (3, 12) and release.startswith(("3.", "unknown")):
        print(extension_state())
        return True
    print(f"Isaac Lab {release} on Python {sys.version_info[0]}.{sys.version_info[1]}")
    return False


# -- An environment that others made ----------------------------------------------------------------------------------


def describe() -> None:
    """Write the metadata that an installation would write, and print what Isaac Lab needs on PYTHONPATH to find it."""
    entry_points = ""
    for group, points in _read_toml("pyproject.toml")["project"]["entry-points"].items():
        entry_points += f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    version = _read_toml("config/extension.toml")["package"]["version"]
    info = METADATA / "gr00t_rl_ext-source.dist-info"
    try:
        info.mkdir(parents=True, exist_ok=True)
        _write(info / "METADATA", f"Metadata-Version: 2.1\nName: gr00t_rl_ext\nVersion: {version}\n")
        _write(info / "entry_points.txt", entry_points)
    except OSError as error:
        say(f"{error}: Isaac Lab will not list the tasks of this extension.")
    report_missing()
    print(f"{SOURCE}:{METADATA}")


def report_missing() -> None:
    """Report the requirements that are not installed in any version, with the command that installs them."""
    missing = []
    for requirement in _read_toml("pyproject.toml")["project"]["dependencies"]:
        name = re.split(r"[^\w.-]", requirement)[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            if name != "isaaclab":  # a checkout of it that is on PYTHONPATH has no metadata
                missing.append(requirement)
    if missing:
        say(f"Missing in that environment: {', '.join(missing)}")
        say(f"Install them with: {shlex.join([sys.executable, '-m', 'pip', 'install', *missing])}")


def install() -> None:
    """Install this extension, and nothing else, into the environment of this interpreter.

    Raises:
        SetupError: There is no installer, or it fails.
    """
    installer = [sys.executable, "-m", "pip", "install"]
    if find_spec("pip") is None:
        uv = find_uv()
        if uv is None:
            raise SetupError(
                f"{sys.executable} has no pip, and no uv was found.\n"
                f"Install one of them: {sys.executable} -m ensurepip, or pip install uv"
            )
        installer = [uv, "pip", "install", "--python", sys.executable]
    isolation = ["--no-build-isolation"] if find_spec("setuptools") else []  # isolated, it downloads setuptools
    say(f"Installing gr00t_rl_ext (editable, no dependencies) into {sys.executable} ...")
    command = [*installer, "--quiet", "--no-deps", *isolation, "-e", str(REPO)]
    if subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise SetupError(
            "The installation failed; the messages above give the reason.\n"
            f"Without it, isaaclab.sh still runs from {SOURCE}."
        )
    report_missing()
    say("Done.")


# -- The repository's own environment ---------------------------------------------------------------------------------


def find_uv() -> str | None:
    """The first uv that runs; pyenv's shim of it may refuse."""
    candidates = [shutil.which("uv"), str(VENV / "bin" / "uv"), os.path.expanduser("~/.local/bin/uv")]
    return next((uv for uv in candidates if uv and _runs(uv, "--version")), None)


def can_create() -> bool:
    """Whether this interpreter can make ``.venv``; Debian's lacks ensurepip, which uv does without."""
    return sys.version_info[:2] == (3, 12) and (find_spec("ensurepip") is not None or find_uv() is not None)


def create(stamp: str) -> None:
    """Create or refresh ``.venv`` from requirements.lock, one process at a time.

    Args:
        stamp: What it is made from, written last. A process that waited for another does nothing if it finds it there.

    Raises:
        SetupError: It cannot be made; the next call makes it afresh.
    """
    started = time.monotonic()
    if not os.access(REPO, os.W_OK):
        raise SetupError(
            f"{REPO} cannot be written, and the environment would be created in it.\n"
            "Make it writable, or activate an environment that has Isaac Lab 3.0."
        )
    with VENV.with_suffix(".lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)  # installers that outlive this process keep the lock
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another isaaclab.sh is installing {VENV}; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if STAMP.exists() and STAMP.read_text(encoding="utf-8") == stamp:
                return
        if STAMP.exists() and STAMP.read_text(encoding="utf-8") and _runs(PYTHON, "-c", ""):
            say(f"Refreshing {VENV} ...")
            STAMP.write_text("", encoding="utf-8")
        else:
            if STAMP.exists():
                say(f"An earlier installation of {VENV} did not finish; starting it afresh.")
            _make_environment()
        _fill_environment()
        _write(STAMP, stamp)
    say(f"Ready after {time.monotonic() - started:.0f} s.")


def _make_environment() -> None:
    if VENV.exists():
        shutil.rmtree(VENV)
    free_gb = shutil.disk_usage(REPO).free / 2**30
    if free_gb < NEEDED_GB:
        raise SetupError(
            f"{free_gb:.1f} GB are free on the disk of {REPO}; needed are {NEEDED_GB} GB.\n"
            "Free some, or activate an environment that has Isaac Lab 3.0."
        )
    say(f"Creating {VENV} from requirements.lock (1 to 5 minutes, 9 GB) ...")
    VENV.mkdir()
    STAMP.write_text("", encoding="utf-8")
    # The interpreter below this one, which may be that of an earlier .venv.
    base = getattr(sys, "_base_executable", sys.executable)
    if find_spec("ensurepip") is not None:
        command = [base, "-m", "venv"]
    else:
        command = [find_uv(), "venv", "--allow-existing", "--seed", "--no-project", "--python", base]
    if not _logged(*command, VENV):
        raise _failure(f"The environment {VENV} could not be created with {base}.")


def _fill_environment() -> None:
    """The lock is complete, so nothing is resolved; setuptools is in it, so the extension builds without a download."""
    pip = (PYTHON, "-m", "pip", "install", "--no-input", "--no-deps")
    _share_index_with_uv()
    uv = find_uv() or (find_uv() if _logged(*pip, "uv") else None)
    if uv is None or not _logged(uv, "pip", "install", "--python", PYTHON, "--no-deps", "-r", "requirements.lock"):
        say("Installing with pip, which is slower than uv ...")
        if not _logged(*pip, "-r", "requirements.lock"):
            raise _failure(
                "The packages of requirements.lock could not be installed.\n"
                "If the log has errors of connections or certificates: PyPI must be reachable; set a proxy\n"
                "(HTTPS_PROXY), a mirror (PIP_INDEX_URL) or certificates (SSL_CERT_FILE) and run it again.\n"
                "If it finds no matching version: the mirror lacks it, or this machine's glibc is older than 2.35.\n"
                "If it misses a compiler (on aarch64): apt install build-essential\n"
                f"If no space is left: free {NEEDED_GB} GB."
            )
    if not _logged(*pip, "--no-build-isolation", "-e", "."):
        raise _failure(f"gr00t_rl_ext could not be installed in {VENV}.")
    # -I: nothing of the user's PYTHONPATH
    check = subprocess.run([PYTHON, "-I", __file__, "probe"], capture_output=True, text=True, check=False)
    if check.stdout.strip() != "installed":
        found = check.stdout.strip() or "no Isaac Lab"
        raise _failure(f"The installation ran, but in {VENV} Isaac Lab 3.0 with gr00t_rl_ext is not found: {found}.")


def _logged(*command: str | Path) -> bool:
    """Run a command in the repository, its output in the log; returns whether it succeeded."""
    with LOG.open("a") as log:
        print("$", *command, file=log, flush=True)
        # Not close_fds, so that the command keeps the lock, see create().
        files = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "close_fds": False}
        return subprocess.run(command, cwd=REPO, check=False, **files).returncode == 0


def _failure(message: str) -> SetupError:
    say(f"The end of {LOG}:")
    for line in LOG.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]:
        print(f"    {line}", file=sys.stderr)
    return SetupError(message)


def _share_index_with_uv() -> None:
    """uv does not read pip's configuration; a mirror that is set there is meant for both."""
    if not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & os.environ.keys():
        command = [PYTHON, "-m", "pip", "config", "get", "global.index-url"]
        configured = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        if index := os.environ.get("PIP_INDEX_URL", configured):
            os.environ["UV_DEFAULT_INDEX"] = index


def _runs(*command: str | Path) -> bool:
    try:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all, because other processes may be reading it."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def _read_toml(name: str) -> dict[str, Any]:
    import tomllib  # absent in old interpreters, which are probed like others

    return tomllib.loads((REPO / name).read_text(encoding="utf-8"))


def main(command: str, *arguments: str) -> int:
    """Run the function of a command; returns the exit status, which is 1 where it fails or returns False."""
    commands = {"probe": probe, "describe": describe, "install": install, "can_create": can_create, "create": create}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return 1 if commands[command](*arguments) is False else 0
    except (SetupError, OSError) as error:
        first, *others = str(error).splitlines()
        say("\n    ".join([f"error: {first}", *others]))
    except KeyboardInterrupt:
        say("error: Interrupted. The next start begins the installation afresh.")
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
