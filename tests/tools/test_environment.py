# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What ``isaaclab.sh`` does in Python: in this process, with search paths of its own and installers that pretend."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path: Path) -> ModuleType:
    """The module in a copy of the repository, which it finds by its own path."""
    root = (tmp_path / "repo").resolve()
    for name in ("tools/environment.py", "pyproject.toml", "config/extension.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, root / name)
    make_package(root / "source", "gr00t_rl_ext")
    spec = importlib.util.spec_from_file_location("environment_of_a_copy", root / "tools/environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the only one with packages on this interpreter's search path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), sysconfig.get_path("stdlib")])
    # Python's own finders: an editable installation adds another
    monkeypatch.setattr(sys, "meta_path", [BuiltinImporter, FrozenImporter, PathFinder])
    for name in ("isaaclab", "gr00t_rl_ext", "pip", "setuptools"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return folder


def make_package(site: Path, name: str) -> None:
    (site / name).mkdir(parents=True)
    (site / name / "__init__.py").touch()
    importlib.invalidate_caches()


def make_distribution(site: Path, name: str, version: str, entry_points: str = "") -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    importlib.invalidate_caches()


def prepend(monkeypatch: pytest.MonkeyPatch, path: Path | str) -> None:
    """Put a folder before the search path. pytest's own method would restore the wrong list after ``site``."""
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    importlib.invalidate_caches()


# -- What an interpreter has ------------------------------------------------------------------------------------------


def test_file_compiles_on_old_interpreters():
    """They are asked like others; the syntax of Python 3.8 is enough."""
    ast.parse((REPO / "tools/environment.py").read_text(), feature_version=(3, 8))


@pytest.mark.parametrize(
    ("release", "python", "usable", "output"),
    [
        ("3.0.0", (3, 12), True, "not installed"),
        ("3.1.2", (3, 12), True, "not installed"),
        ("2.3.0", (3, 12), False, "Isaac Lab 2.3.0 on Python 3.12"),
        ("2.3.0", (3, 11), False, "Isaac Lab 2.3.0 on Python 3.11"),
        ("3.0.0", (3, 13), False, "Isaac Lab 3.0.0 on Python 3.13"),
        ("without metadata", (3, 12), True, "not installed"),
        (None, (3, 12), False, ""),
    ],
)
def test_probe(
    environment: ModuleType,
    site: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    release: str | None,
    python: tuple[int, int],
    usable: bool,
    output: str,
):
    if release:
        make_package(site, "isaaclab")
    if release and release[0].isdigit():
        make_distribution(site, "isaaclab", release)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "version_info", python)
        assert environment.main("probe") == (0 if usable else 1)
    assert capsys.readouterr().out.strip() == output


@pytest.mark.parametrize(("release", "usable"), [("3.0.0", True), ("2.3.0", False)])
def test_release_of_a_source_checkout(
    environment: ModuleType, site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, usable: bool
):
    """A checkout's core package has a version of its own (28.0.0 in 3.0.0); the release is in its VERSION."""
    make_distribution(site, "isaaclab", "28.0.0")
    make_package(tmp_path / "lab/source/isaaclab", "isaaclab")
    prepend(monkeypatch, tmp_path / "lab/source/isaaclab")
    (tmp_path / "lab/VERSION").write_text(f"{release}\n")
    assert environment.isaaclab_release() == release
    assert environment.probe() is usable


def test_extension_state(environment: ModuleType, site: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert environment.extension_state() == "not installed"
    with monkeypatch.context() as patch:
        make_package(tmp_path / "other", "gr00t_rl_ext")
        prepend(patch, tmp_path / "other")
        assert environment.extension_state() == f"installed from {(tmp_path / 'other/gr00t_rl_ext').resolve()}"
    prepend(monkeypatch, environment.SOURCE)
    assert environment.extension_state() == "not installed"  # importable, and Isaac Lab does not see its tasks
    make_distribution(site, "gr00t_rl_ext", "0.1.0", "[isaaclab.tasks]\ngr00t_rl_ext = gr00t_rl_ext.tasks\n")
    assert environment.extension_state() == "installed"


# -- An environment that others made ----------------------------------------------------------------------------------


def test_described_extension_counts_as_installed(
    environment: ModuleType, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    for name in ("rsl_rl.lib", "Transformers"):
        make_distribution(site, name, "1.0")
    assert environment.main("describe") == 0
    output = capsys.readouterr()
    for path in reversed(output.out.strip().split(":")):
        prepend(monkeypatch, path)
    assert environment.extension_state() == "installed"
    (advice,) = [line for line in output.err.splitlines() if "Install them with: " in line]
    command = shlex.split(advice.split("with: ")[1])
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert "safetensors>=0.8" in command  # quoted: a shell would write the output to a file
    assert not {"rsl-rl-lib==5.5.1", "transformers==5.10.4", "isaaclab[video]>=3.0.0"} & set(command)


def test_metadata_that_cannot_be_written(environment: ModuleType, site: Path, capsys: pytest.CaptureFixture):
    (environment.REPO / ".isaaclab").touch()
    assert environment.main("describe") == 0
    assert "Isaac Lab will not list the tasks of this extension" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("modules", "command"),
    [
        (["pip", "setuptools"], "PYTHON -m pip install --quiet --no-deps --no-build-isolation -e REPO"),
        (["pip"], "PYTHON -m pip install --quiet --no-deps -e REPO"),
        (["uv"], "/bin/uv pip install --python PYTHON --quiet --no-deps -e REPO"),
    ],
)
def test_install(
    environment: ModuleType, site: Path, monkeypatch: pytest.MonkeyPatch, modules: list[str], command: str
):
    called = []
    monkeypatch.setattr(environment, "find_uv", lambda: "/bin/uv" if "uv" in modules else None)
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: called.append(" ".join(command)) or SimpleNamespace(returncode=0)
    )
    for module in modules:
        make_package(site, module)
    assert environment.main("install") == 0
    assert called == [command.replace("PYTHON", sys.executable).replace("REPO", str(environment.REPO))]


def test_install_that_fails(
    environment: ModuleType, site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(environment, "find_uv", lambda: None)
    assert environment.main("install") == 1
    error = capsys.readouterr().err
    assert f"[isaaclab.sh] error: {sys.executable} has no pip, and no uv was found.\n    Install one of them:" in error

    make_package(site, "pip")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    assert environment.main("install") == 1
    error = capsys.readouterr().err
    assert "The installation failed; the messages above give the reason." in error
    assert f"still runs from {environment.SOURCE}" in error


# -- The repository's own environment ---------------------------------------------------------------------------------


class Installers:
    """In place of the commands that make and fill an environment: writes them down, and lets those chosen fail."""

    def __init__(self, environment: ModuleType):
        self.environment = environment
        self.commands: list[str] = []
        self.failing: tuple[str, ...] = ()
        self.found = "installed"

    def __call__(self, *command: str | Path) -> bool:
        text = " ".join(map(str, command))
        self.commands.append(text)
        with self.environment.LOG.open("a") as log:
            print(f"output of {text}", file=log)
        if any(part in text for part in self.failing):
            return False
        made = {" venv": "python", " uv": "uv"}
        for part, name in made.items():
            if part in text:
                (self.environment.VENV / "bin").mkdir(exist_ok=True)
                (self.environment.VENV / "bin" / name).touch()
        return True

    def runs(self, command: str | Path, *_: str) -> bool:
        return Path(command).is_relative_to(self.environment.VENV) and Path(command).exists()


@pytest.fixture
def installers(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Installers:
    """A disk with room, no uv on this machine, and installers that pretend."""
    pretending = Installers(environment)
    monkeypatch.setattr(environment, "_logged", pretending)
    monkeypatch.setattr(environment, "_runs", pretending.runs)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=f"{pretending.found}\n"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=11 * 2**30))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "set by the user")
    return pretending


def venv_command(environment: ModuleType) -> str:
    return f"{getattr(sys, '_base_executable', sys.executable)} -m venv {environment.VENV}"


def pip_command(environment: ModuleType, arguments: str) -> str:
    return f"{environment.PYTHON} -m pip install --no-input --no-deps {arguments}"


def test_created_and_filled_by_uv(environment: ModuleType, installers: Installers, capsys: pytest.CaptureFixture):
    """Without a uv on this machine, pip installs one first."""
    assert environment.main("create", "made from this") == 0
    uv = f"{environment.VENV}/bin/uv pip install --python {environment.PYTHON} --no-deps"
    assert installers.commands == [
        venv_command(environment),
        pip_command(environment, "uv"),
        f"{uv} -r requirements.lock",
        pip_command(environment, "--no-build-isolation -e ."),
    ]
    assert environment.STAMP.read_text() == "made from this"
    error = capsys.readouterr().err
    assert f"Creating {environment.VENV} from requirements.lock" in error
    assert "Ready after 0 s." in error


@pytest.mark.parametrize("failing", [(" uv",), ("/bin/uv pip",)])
def test_filled_by_pip_where_uv_fails(
    environment: ModuleType, installers: Installers, failing: tuple[str], capsys: pytest.CaptureFixture
):
    installers.failing = failing
    environment.create("1")
    assert pip_command(environment, "-r requirements.lock") in installers.commands
    assert "Installing with pip, which is slower than uv" in capsys.readouterr().err


def test_refreshed_in_place(environment: ModuleType, installers: Installers, capsys: pytest.CaptureFixture):
    environment.create("1")
    installers.commands.clear()
    environment.create("2")
    assert f"Refreshing {environment.VENV}" in capsys.readouterr().err
    assert venv_command(environment) not in installers.commands
    assert environment.STAMP.read_text() == "2"


def test_failed_installation_is_explained_and_begins_afresh(
    environment: ModuleType, installers: Installers, capsys: pytest.CaptureFixture
):
    installers.failing = ("-r requirements.lock",)
    assert environment.main("create", "1") == 1
    error = capsys.readouterr().err
    for text in (
        f"The end of {environment.LOG}:\n",
        f"    output of {pip_command(environment, '-r requirements.lock')}\n",
        "error: The packages of requirements.lock could not be installed.\n    If the log has",
        *("HTTPS_PROXY", "PIP_INDEX_URL", "glibc", "build-essential", "free 10 GB"),
    ):
        assert text in error
    (environment.VENV / "left_over").touch()

    installers.failing = ()
    assert environment.main("create", "1") == 0
    assert "did not finish; starting it afresh" in capsys.readouterr().err
    assert not (environment.VENV / "left_over").exists()


@pytest.mark.parametrize(
    ("failing", "found", "message"),
    [
        (("-m venv",), "installed", "could not be created with"),
        (("-e .",), "installed", "gr00t_rl_ext could not be installed in"),
        ((), "not installed", "Isaac Lab 3.0 with gr00t_rl_ext is not found: not installed."),
        ((), "", "Isaac Lab 3.0 with gr00t_rl_ext is not found: no Isaac Lab."),
    ],
)
def test_environment_that_does_not_work_is_not_taken(
    environment: ModuleType,
    installers: Installers,
    capsys: pytest.CaptureFixture,
    failing: tuple[str, ...],
    found: str,
    message: str,
):
    installers.failing, installers.found = failing, found
    assert environment.main("create", "1") == 1
    assert message in capsys.readouterr().err
    assert environment.STAMP.read_text() == ""


def test_full_disk(environment: ModuleType, installers: Installers, monkeypatch: pytest.MonkeyPatch):
    """A refresh needs no room for a second environment."""
    environment.create("1")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3.5 * 2**30))
    environment.create("2")
    environment.STAMP.write_text("")
    installers.commands.clear()
    with pytest.raises(environment.SetupError, match=r"3.5 GB are free on the disk of .*; needed are 10 GB"):
        environment.create("3")
    assert installers.commands == []


def test_repository_that_cannot_be_written(
    environment: ModuleType, installers: Installers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(environment.SetupError, match="cannot be written, and the environment would be created in it"):
        environment.create("1")
    assert not environment.VENV.exists()


def test_environment_that_cannot_be_removed(
    environment: ModuleType, installers: Installers, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "elsewhere").mkdir()
    environment.VENV.symlink_to(tmp_path / "elsewhere")
    assert environment.main("create", "1") == 1
    assert "[isaaclab.sh] error: Cannot call rmtree on a symbolic link" in capsys.readouterr().err


def test_interruption_is_told(environment: ModuleType, installers: Installers, monkeypatch, capsys):
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "_logged", interrupt)
    assert environment.main("create", "1") == 1
    assert "Interrupted. The next start begins the installation afresh." in capsys.readouterr().err
    assert environment.STAMP.read_text() == ""


def test_interpreter_without_ensurepip(environment: ModuleType, installers: Installers, monkeypatch):
    """Debian's: uv makes the environment, and without uv it cannot."""
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    assert environment.main("can_create") == 1
    monkeypatch.setattr(environment, "find_uv", lambda: "/bin/uv")
    assert environment.main("can_create") == 0
    environment.create("1")
    assert installers.commands[0].startswith("/bin/uv venv --allow-existing --seed --no-project --python /")


def test_interpreter_of_another_version(environment: ModuleType, monkeypatch: pytest.MonkeyPatch):
    assert environment.can_create()
    monkeypatch.setattr(sys, "version_info", (3, 13))
    assert not environment.can_create()


def test_uv_that_refuses_to_run_is_passed_over(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As pyenv's shim of it does."""
    shim, uv = tmp_path / "shims/uv", tmp_path / ".local/bin/uv"
    for path, status in ((shim, 127), (uv, 0)):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\nexit {status}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(shim.parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environment.find_uv() == str(uv)
    uv.unlink()
    assert environment.find_uv() is None


@pytest.mark.parametrize(
    ("variables", "configured", "index"),
    [
        ({}, "", None),
        ({}, "of pip.conf", "of pip.conf"),
        ({"PIP_INDEX_URL": "of the user"}, "of pip.conf", "of the user"),
        ({"PIP_INDEX_URL": "of the user", "UV_DEFAULT_INDEX": "for uv"}, "", "for uv"),
        ({"PIP_INDEX_URL": "of the user", "UV_INDEX_URL": "for uv"}, "", None),
    ],
)
def test_uv_takes_the_index_of_pip(
    environment: ModuleType,
    installers: Installers,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    configured: str,
    index: str | None,
):
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.setenv(name, "removed after the test")
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    installers.found = configured
    environment._share_index_with_uv()
    assert os.environ.get("UV_DEFAULT_INDEX") == index
