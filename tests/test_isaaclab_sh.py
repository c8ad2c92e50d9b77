# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The launcher, in copies of the repository with environments that hold a stub of Isaac Lab.

Nothing is downloaded: the environments are real ones, made without pip, and the installer is a stub that writes down
how it was called.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
BASE_PYTHON = Path(getattr(sys, "_base_executable", sys.executable))
TOOLS = [
    *("awk", "basename", "bash", "cat", "cut", "df", "dirname", "env", "flock", "grep", "ls", "mkdir", "mv"),
    *("readlink", "rm", "sed", "sha256sum", "sleep", "tail", "tr", "uname"),
]

ISAACLAB_STUB = """
import os, sys
print("isaaclab", os.environ.get("STUB_NAME", ""), sys.executable, sys.argv[1:])
sys.exit(int(os.environ.get("STUB_EXIT", "0")))
"""

PIP_STUB = """
import importlib.metadata, os, pathlib, sys, sysconfig, time
arguments = sys.argv[1:]
with open(os.environ["STUB_LOG"], "a") as log:
    print("pip", *arguments, file=log)
if arguments[0] == "config" or "uv" in arguments:
    sys.exit(1)
site = pathlib.Path(sysconfig.get_path("purelib"))
if "-r" in arguments:
    print("installing", flush=True)
    (site / "half_made").touch()
    time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
    if os.environ.get("STUB_FAIL"):
        print("ERROR: " + os.environ["STUB_FAIL"])
        sys.exit(1)
    (site / "isaaclab").mkdir(exist_ok=True)
    (site / "isaaclab" / "__init__.py").touch()
    info = site / "isaaclab-3.0.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: isaaclab\\nVersion: 3.0.0\\n")
if "-e" in arguments:
    repo = pathlib.Path(arguments[-1]).resolve()
    (site / "gr00t_rl_ext.pth").write_text(str(repo / "source"))
    info = site / "gr00t_rl_ext-0.0.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: gr00t_rl_ext\\nVersion: 0.0.0\\n")
    (info / "entry_points.txt").write_text("[isaaclab.tasks]\\ngr00t_rl_ext = gr00t_rl_ext.tasks\\n")
"""


def site_packages(environment: Path) -> Path:
    return environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def write_distribution(site: Path, name: str, version: str) -> None:
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def make_environment(path: Path, isaaclab: str | None = "3.0.0") -> Path:
    """Makes an environment, with a stub of the given version of Isaac Lab; returns its interpreter."""
    subprocess.run([BASE_PYTHON, "-m", "venv", "--without-pip", path], check=True)
    if isaaclab:
        site = site_packages(path)
        (site / "isaaclab").mkdir()
        (site / "isaaclab" / "__init__.py").touch()
        (site / "isaaclab" / "__main__.py").write_text(ISAACLAB_STUB)
        write_distribution(site, "isaaclab", isaaclab)
    return path / "bin" / "python"


@dataclass
class Checkout:
    """A copy of the files that the launcher reads, and an environment of variables without any Python in it."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def launcher(self) -> Path:
        return self.root / "isaaclab.sh"

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def installs(self) -> list[str]:
        """How often the pinned packages were installed: one line for each time."""
        log = Path(self.variables["STUB_LOG"])
        return [line for line in log.read_text().splitlines() if " -r " in line] if log.exists() else []

    def run(self, *arguments: str, cwd: Path | None = None, launcher: Path | None = None, **variables: str):
        return subprocess.run(
            [launcher or self.launcher, *arguments],
            cwd=cwd or self.root,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def python_used(self, **variables: str) -> str:
        """The environment in which `-p` runs."""
        result = self.run("-p", "-c", "import sys; print(sys.prefix)", **variables)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "repo with space"
    for name in ("isaaclab.sh", "pyproject.toml", "setup.py", "requirements.lock", "config/extension.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, root / name)
    package = root / "source" / "gr00t_rl_ext"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text("LOADED = True\n")

    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path, f"the launcher needs {tool}"
        (tools / tool).symlink_to(path)
    # The disk of a developer may be full; that the launcher looks is tested with its own stub.
    (tools / "df").unlink()
    write_script(tools / "df", "#!/bin/sh\necho header\necho disk 0 0 99999999 0 /\n")
    variables = {"PATH": str(tools), "HOME": str(tmp_path / "home"), "STUB_LOG": str(tmp_path / "installer.log")}
    return Checkout(root.resolve(), variables)


@pytest.fixture
def installable(checkout: Checkout, tmp_path: Path) -> Checkout:
    """With a Python 3.12 on PATH that creates environments whose pip is the stub."""
    pip = tmp_path / "pip_stub.py"
    pip.write_text(PIP_STUB)
    write_script(
        Path(checkout.variables["PATH"]) / "python3.12",
        f"""#!/usr/bin/env bash
        if [[ $1 == -c ]]; then echo "ok $0"; exit; fi
        "{BASE_PYTHON}" -m venv --without-pip "$3" || exit
        mkdir -p "$3/lib/python3.12/site-packages/pip"
        cat "{pip}" > "$3/lib/python3.12/site-packages/pip/__main__.py"
        : > "$3/lib/python3.12/site-packages/pip/__init__.py"
        """,
    )
    return checkout


# -- Commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], []])
def test_help_needs_no_environment(checkout: Checkout, arguments: list[str]):
    result = checkout.run(*arguments)
    assert result.returncode == 0
    for word in ("--python", "--test", "--install", "train", "play", "list_envs", "ISAACLAB_PATH", "requirements.lock"):
        assert word in result.stdout
    assert not checkout.venv.exists()


def test_unknown_command_names_the_known_ones(checkout: Checkout):
    result = checkout.run("trian", "--task", "X")
    assert result.returncode == 2
    assert "unknown command trian" in result.stderr
    for word in ("train", "play", "list_envs", "-p SCRIPT"):
        assert word in result.stderr
    assert not checkout.venv.exists()


@pytest.mark.parametrize("command", ["train", "play", "list_envs", "zero_agent", "random_agent"])
def test_isaaclab_commands_are_forwarded(checkout: Checkout, tmp_path: Path, command: str):
    make_environment(tmp_path / "env")
    result = checkout.run(command, "--task", "a b", VIRTUAL_ENV=str(tmp_path / "env"), STUB_EXIT="7")
    assert result.returncode == 7
    assert result.stdout.strip().endswith(str([command, "--task", "a b"]))


def test_working_directory_and_symlink(checkout: Checkout, tmp_path: Path):
    make_environment(tmp_path / "env")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "first").symlink_to(checkout.launcher)
    (tmp_path / "links" / "second").symlink_to("first")
    code = "import os, gr00t_rl_ext; print(os.getcwd()); print(gr00t_rl_ext.__file__)"
    result = checkout.run(
        "-p", "-c", code, cwd=tmp_path, launcher=tmp_path / "links" / "second", VIRTUAL_ENV=str(tmp_path / "env")
    )
    assert result.stdout.splitlines() == [
        str(tmp_path.resolve()),
        str(checkout.root / "source/gr00t_rl_ext/__init__.py"),
    ]


def test_tests_run_in_the_repository(checkout: Checkout, tmp_path: Path):
    make_environment(tmp_path / "env")
    result = checkout.run("-t", VIRTUAL_ENV=str(tmp_path / "env"))
    assert result.returncode == 1
    assert "has no pytest" in result.stderr
    assert "pip install pytest" in result.stderr

    pytest_stub = site_packages(tmp_path / "env") / "pytest"
    pytest_stub.mkdir()
    (pytest_stub / "__init__.py").touch()
    (pytest_stub / "__main__.py").write_text("import os, sys; print(os.getcwd(), sys.argv[1:])")
    result = checkout.run("-t", "-m", "slow", cwd=tmp_path, VIRTUAL_ENV=str(tmp_path / "env"))
    assert result.stdout.strip() == f"{checkout.root} ['-m', 'slow']"


# -- Which environment ------------------------------------------------------------------------------------------------


def test_order_of_environments(checkout: Checkout, tmp_path: Path):
    for name in ("active", "conda", "onpath", "lab/env_isaaclab", "repo with space/.venv"):
        make_environment(tmp_path / name)
    paths = f"{tmp_path / 'onpath' / 'bin'}:{checkout.variables['PATH']}"
    everything = {
        "VIRTUAL_ENV": str(tmp_path / "active"),
        "CONDA_PREFIX": str(tmp_path / "conda"),
        "PATH": paths,
        "ISAACLAB_PATH": str(tmp_path / "lab"),
    }
    expected = [
        ("VIRTUAL_ENV", "active"),
        ("CONDA_PREFIX", "conda"),
        ("PATH", "onpath"),
        ("ISAACLAB_PATH", "lab/env_isaaclab"),
    ]
    for variable, name in expected:
        assert checkout.python_used(**everything) == str(tmp_path / name)
        del everything[variable]
    assert checkout.python_used() == str(checkout.venv)
    assert checkout.installs == []


def test_active_environment_without_isaaclab_is_passed_over(checkout: Checkout, tmp_path: Path):
    make_environment(tmp_path / "active", isaaclab=None)
    make_environment(tmp_path / "lab" / ".venv")
    used = checkout.python_used(VIRTUAL_ENV=str(tmp_path / "active"), ISAACLAB_PATH=str(tmp_path / "lab"))
    assert used == str(tmp_path / "lab" / ".venv")


def test_other_release_of_isaaclab_is_passed_over_and_said(checkout: Checkout, tmp_path: Path):
    make_environment(tmp_path / "active", isaaclab="2.3.0")
    make_environment(tmp_path / "conda")
    variables = {"VIRTUAL_ENV": str(tmp_path / "active"), "CONDA_PREFIX": str(tmp_path / "conda")}
    result = checkout.run("-p", "-c", "import sys; print(sys.prefix)", **variables)
    assert result.stdout.strip() == str(tmp_path / "conda")
    assert "it has Isaac Lab 2.3.0, needed is 3.0" in result.stderr


@pytest.mark.parametrize(("release", "accepted"), [("3.0.0", True), ("2.3.0", False)])
def test_release_of_a_source_checkout(checkout: Checkout, tmp_path: Path, release: str, accepted: bool):
    """A checkout's core package has a version of its own (28.0.0 in 3.0.0); the release is in its VERSION."""
    lab = tmp_path / "lab"
    make_environment(lab / ".venv", isaaclab=None)
    write_distribution(site_packages(lab / ".venv"), "isaaclab", "28.0.0")
    (site_packages(lab / ".venv") / "isaaclab.pth").write_text(str(lab / "source" / "isaaclab"))
    (lab / "source" / "isaaclab" / "isaaclab").mkdir(parents=True)
    (lab / "source" / "isaaclab" / "isaaclab" / "__init__.py").touch()
    (lab / "VERSION").write_text(f"{release}\n")
    result = checkout.run("-p", "-c", "import isaaclab", ISAACLAB_PATH=str(lab))
    assert (result.returncode == 0) is accepted, result.stderr


def test_checkout_whose_launcher_knows_the_python(checkout: Checkout, tmp_path: Path):
    python = make_environment(tmp_path / "somewhere")
    write_script(tmp_path / "lab" / "isaaclab.sh", f'#!/usr/bin/env bash\ncd /\nshift\nexec "{python}" "$@"\n')
    assert checkout.python_used(ISAACLAB_PATH=str(tmp_path / "lab")) == str(tmp_path / "somewhere")


def test_checkout_without_isaaclab_is_an_error(checkout: Checkout, tmp_path: Path):
    python = make_environment(tmp_path / "lab" / ".venv", isaaclab=None)
    result = checkout.run("-p", "-c", "pass", ISAACLAB_PATH=str(tmp_path / "lab"))
    assert result.returncode == 1
    for text in (f"ISAACLAB_PATH is {tmp_path / 'lab'}", str(python), "isaaclab.sh -i", "unset ISAACLAB_PATH"):
        assert text in result.stderr
    result = checkout.run("-p", "-c", "pass", ISAACLAB_PATH=str(tmp_path / "nowhere"))
    assert "is not a folder" in result.stderr


def test_extension_runs_from_source_and_the_environment_stays_as_it_is(checkout: Checkout, tmp_path: Path):
    make_environment(tmp_path / "env")
    before = sorted(site_packages(tmp_path / "env").rglob("*"))
    code = (
        "from importlib.metadata import entry_points, version\n"
        "(point,) = entry_points(group='isaaclab.tasks')\n"
        "print(point.value, point.load().LOADED, version('gr00t_rl_ext'))"
    )
    result = checkout.run("-p", "-B", "-c", code, VIRTUAL_ENV=str(tmp_path / "env"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("gr00t_rl_ext.tasks True ")
    assert "gr00t_rl_ext is not installed" in result.stderr
    assert "pip install --no-deps -e" in result.stderr
    assert "rsl-rl-lib==5.5.1" in result.stderr  # missing in the stub, and named with the command that installs it
    after = [path for path in site_packages(tmp_path / "env").rglob("*") if "__pycache__" not in path.parts]
    assert sorted(after) == before


def test_environment_that_the_launcher_did_not_make(checkout: Checkout):
    make_environment(checkout.venv, isaaclab=None)
    result = checkout.run("-p", "-c", "pass")
    assert result.returncode == 1
    assert "was not made by isaaclab.sh and has no Isaac Lab 3.0" in result.stderr
    assert "Remove it" in result.stderr


# -- The first start --------------------------------------------------------------------------------------------------


def test_no_python(checkout: Checkout):
    result = checkout.run("-p", "-c", "pass")
    assert result.returncode == 1
    for text in ("No Python 3.12 was found", "pyenv install 3.12", "uv python install 3.12", "ISAACLAB_PATH"):
        assert text in result.stderr
    assert not checkout.venv.exists()


def test_python_of_another_version_and_broken_shim(checkout: Checkout):
    tools = Path(checkout.variables["PATH"])
    write_script(tools / "python3.12", "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    write_script(tools / "python3", "#!/bin/sh\nexit 1\n")
    assert "No Python 3.12 was found" in checkout.run("-p").stderr


def test_python_without_venv(checkout: Checkout):
    write_script(Path(checkout.variables["PATH"]) / "python3.12", '#!/bin/sh\necho "bare $0"\n')
    result = checkout.run("-p", "-c", "pass")
    assert result.returncode == 1
    assert "no ensurepip" in result.stderr
    assert "apt install python3.12-venv" in result.stderr


def test_pyenv_is_found_by_path(installable: Checkout, tmp_path: Path):
    tools = Path(installable.variables["PATH"])
    (tmp_path / "pyenv/versions/3.12.9/bin").mkdir(parents=True)
    shutil.move(tools / "python3.12", tmp_path / "pyenv/versions/3.12.9/bin/python")
    write_script(tools / "python3.12", "#!/bin/sh\nexit 127\n")
    assert installable.python_used(PYENV_ROOT=str(tmp_path / "pyenv")) == str(installable.venv)


def test_unsupported_machine(installable: Checkout):
    uname = Path(installable.variables["PATH"]) / "uname"
    uname.unlink()
    write_script(uname, "#!/bin/sh\n[ $1 = -s ] && echo Darwin || echo arm64\n")
    result = installable.run("-p", "-c", "pass")
    assert result.returncode == 1
    assert "This machine is Darwin on arm64" in result.stderr
    assert "Linux on x86_64 or aarch64" in result.stderr


def test_full_disk(installable: Checkout):
    write_script(Path(installable.variables["PATH"]) / "df", "#!/bin/sh\necho header\necho disk 0 0 3145728 0 /\n")
    result = installable.run("-p", "-c", "pass")
    assert result.returncode == 1
    assert "3 GB are free" in result.stderr
    assert "needed are 10 GB" in result.stderr
    assert installable.installs == []


def test_second_start_installs_nothing(installable: Checkout):
    first = installable.run("-p", "-c", "import isaaclab, gr00t_rl_ext; print(gr00t_rl_ext.__file__)")
    assert first.returncode == 0, first.stderr
    assert first.stdout.strip() == str(installable.root / "source/gr00t_rl_ext/__init__.py")
    assert "Creating" in first.stderr
    calls = Path(installable.variables["STUB_LOG"]).read_text()

    second = installable.run("-p", "-c", "import isaaclab, gr00t_rl_ext")
    assert second.returncode == 0
    assert second.stderr == ""
    assert Path(installable.variables["STUB_LOG"]).read_text() == calls
    assert len(installable.installs) == 1

    # The same environment, activated by its user.
    active = installable.run("-p", "-c", "import isaaclab", VIRTUAL_ENV=str(installable.venv))
    assert (active.returncode, active.stderr) == (0, "")


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml", "setup.py", "config/extension.toml"])
def test_changed_requirements_are_installed_once(installable: Checkout, changed: str):
    installable.python_used()
    with (installable.root / changed).open("a") as file:
        file.write("\n# changed\n")
    result = installable.run("-p", "-c", "pass", VIRTUAL_ENV=str(installable.venv))
    assert "Refreshing" in result.stderr
    installable.python_used()
    assert len(installable.installs) == 2


def test_failed_installation_is_explained_and_redone(installable: Checkout):
    failed = installable.run("-p", "-c", "pass", STUB_FAIL="Could not connect to the index")
    assert failed.returncode == 1
    for text in ("Could not connect to the index", "could not be installed", "HTTPS_PROXY", "install.log"):
        assert text in failed.stderr
    (installable.venv / "left_over").touch()

    again = installable.run("-p", "-c", "import isaaclab")
    assert again.returncode == 0, again.stderr
    assert "did not finish; starting it afresh" in again.stderr
    assert not (installable.venv / "left_over").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_installation_is_redone(installable: Checkout, how: signal.Signals):
    process = subprocess.Popen(
        [installable.launcher, "-p", "-c", "pass"],
        env=installable.variables | {"STUB_SLEEP": "30"},
        start_new_session=True,
        # a shell starts its background jobs, and so these tests, with SIGINT ignored, which children inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    half_made = site_packages(installable.venv) / "half_made"
    deadline = time.monotonic() + 30
    while not half_made.exists():
        assert time.monotonic() < deadline, "the installer was not reached"
        time.sleep(0.05)
    os.killpg(process.pid, how)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode != 0
    assert how == signal.SIGKILL or "Interrupted" in stderr

    result = installable.run("-p", "-c", "import isaaclab, gr00t_rl_ext")
    assert result.returncode == 0, result.stderr
    assert "did not finish; starting it afresh" in result.stderr
    assert installable.run("-p", "-c", "pass").stderr == ""


def test_two_first_starts_install_once(installable: Checkout):
    command = [installable.launcher, "-p", "-c", "import isaaclab, gr00t_rl_ext"]
    variables = installable.variables | {"STUB_SLEEP": "1"}
    processes = [
        subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    messages = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], messages
    assert len(installable.installs) == 1
    assert any("waiting for it" in message for message in messages)


def test_uv_is_preferred(installable: Checkout):
    """A uv that runs installs the packages; one that refuses to run, as pyenv's shims do, is passed over."""
    uv = Path(installable.variables["PATH"]) / "uv"
    write_script(
        uv,
        """#!/usr/bin/env bash
        [[ $1 == pip ]] || exit 0
        echo uv "$@" >> "$STUB_LOG"
        exec "$4" -m pip install "${@:5}"
        """,
    )
    installable.python_used()
    assert installable.installs[0].startswith("uv pip install --python")

    write_script(uv, "#!/bin/sh\nexit 127\n")
    shutil.rmtree(installable.venv)
    installable.python_used()
    assert installable.installs[-1].startswith("pip install --no-input --no-deps -r")


def test_install_into_an_environment_that_has_isaaclab(checkout: Checkout, tmp_path: Path):
    make_environment(tmp_path / "env")
    site = site_packages(tmp_path / "env")
    (site / "pip").mkdir()
    (site / "pip" / "__init__.py").touch()
    (site / "pip" / "__main__.py").write_text(PIP_STUB)
    result = checkout.run("-i", VIRTUAL_ENV=str(tmp_path / "env"))
    assert result.returncode == 0, result.stderr
    assert "editable, no dependencies" in result.stderr
    assert checkout.installs == []
    # Now nothing is left to say.
    assert checkout.run("-p", "-c", "import gr00t_rl_ext", VIRTUAL_ENV=str(tmp_path / "env")).stderr == ""


def test_install_refreshes_the_own_environment(installable: Checkout):
    assert installable.run("--install").returncode == 0
    assert installable.run("--install").returncode == 0
    assert len(installable.installs) == 2
    refused = installable.run("--install", "core")
    assert refused.returncode == 1
    assert "takes no arguments, and got: core" in refused.stderr
