# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The launcher, in copies of the files that it reads.

What it does in Python is tested in ``tools/test_environment.py``. Here its interpreters are shell scripts that write
down how they were called, which takes milliseconds; at the end a few tests put both together, with true interpreters
and an installer that copies nothing.
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
TOOLS = ["bash", "cat", "cp", "dirname", "env", "mkdir", "readlink", "sha256sum", "sleep", "tail", "uname"]

INTERPRETER_STUB = """#!/bin/sh
here=${0%/*}
root=${1%/tools/*}
case "$2" in
probe) cat "$here/state" && [ -e "$here/has_isaaclab" ] ;;
describe) echo "/source:/metadata" ;;
install) echo "install $0" >> "$STUB_LOG" ;;
can_create) [ -e "$here/can_create" ] ;;
create)
    echo "create $0" >> "$STUB_LOG"
    mkdir -p "$root/.venv/bin"
    cp "$0" "$root/.venv/bin/python"
    printf %s "$3" > "$root/.venv/.stamp"
    ;;
import*) [ -e "$here/${2#import }" ] ;;
*)
    echo "$0" "$@"
    echo "cwd=$PWD OMP_NUM_THREADS=$OMP_NUM_THREADS PYTHONPATH=$PYTHONPATH"
    exit "${STUB_EXIT:-0}"
    ;;
esac
"""


def write_script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def make_interpreter(path: Path, state: str = "installed", *marks: str) -> Path:
    """An interpreter that answers a probe with a state; marks tell what it has: ``has_isaaclab`` unless given."""
    write_script(path, INTERPRETER_STUB)
    (path.parent / "state").write_text(f"banner of some launcher\n{state}\n" if state else "")
    for mark in marks or ("has_isaaclab",):
        (path.parent / mark).touch()
    return path


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
    def log(self) -> list[str]:
        """How the interpreters and installers were called that change environments."""
        log = Path(self.variables["STUB_LOG"])
        return log.read_text().splitlines() if log.exists() else []

    def run(self, *arguments: str, cwd: Path | None = None, launcher: Path | None = None, **variables: str | Path):
        return subprocess.run(
            [launcher or self.launcher, *arguments],
            cwd=cwd or self.root,
            env=self.variables | {name: str(value) for name, value in variables.items()},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    def python_used(self, **variables: str | Path) -> Path:
        """The interpreter that runs for `-p`."""
        result = self.run("-p", "ARGUMENT", **variables)
        assert result.returncode == 0, result.stderr
        interpreter, argument = result.stdout.splitlines()[0].rsplit(" ", 1)
        assert argument == "ARGUMENT"
        return Path(interpreter)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root = tmp_path / "repo with space"
    files = ("isaaclab.sh", "tools/environment.py", "pyproject.toml", "setup.py", "requirements.lock")
    for name in (*files, "config/extension.toml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPO / name, root / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        path = shutil.which(tool)
        assert path, f"the launcher needs {tool}"
        (tools / tool).symlink_to(path)
    variables = {"PATH": str(tools), "HOME": str(tmp_path / "home"), "STUB_LOG": str(tmp_path / "stub.log")}
    return Checkout(root.resolve(), variables)


@pytest.fixture
def creator(checkout: Checkout) -> Path:
    """A Python 3.12 on PATH that can create environments."""
    return make_interpreter(Path(checkout.variables["PATH"]) / "python3.12", "", "can_create")


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
    for text in ("unknown command trian", "train", "play", "list_envs", f"{checkout.launcher} -p SCRIPT"):
        assert text in result.stderr
    assert not checkout.venv.exists()


@pytest.mark.parametrize(
    "command",
    [
        *("train", "train_multigpu", "play", "list_envs", "zero_agent", "random_agent", "leapp"),
        *("benchmark", "microbenchmark", "demo", "example", "teleop"),
    ],
)
def test_isaaclab_commands_are_forwarded(checkout: Checkout, tmp_path: Path, command: str):
    python = make_interpreter(tmp_path / "env/bin/python")
    result = checkout.run(command, "--task", "a b", VIRTUAL_ENV=tmp_path / "env", STUB_EXIT="7")
    assert result.returncode == 7
    assert result.stdout.startswith(f"{python} -m isaaclab {command} --task a b\n")
    assert result.stderr == ""
    assert command in checkout.run("-h").stdout


def test_tests_run_in_the_repository(checkout: Checkout, tmp_path: Path):
    """In two processes of one thread each, where pytest-xdist is; the user's own number of threads stays."""
    python = make_interpreter(tmp_path / "env/bin/python")
    result = checkout.run("-t", VIRTUAL_ENV=tmp_path / "env")
    assert result.returncode == 1
    assert f"{python} (the active environment, by VIRTUAL_ENV) has no pytest" in result.stderr
    assert "-m pip install pytest pytest-timeout pytest-xdist" in result.stderr

    (python.parent / "pytest").touch()
    result = checkout.run("-t", "-m", "slow", cwd=tmp_path, VIRTUAL_ENV=tmp_path / "env")
    assert result.stdout.splitlines()[0] == f"{python} -m pytest -m slow"
    assert f"cwd={checkout.root} OMP_NUM_THREADS=1 " in result.stdout

    (python.parent / "xdist").touch()
    result = checkout.run("-t", "-m", "slow", VIRTUAL_ENV=tmp_path / "env", OMP_NUM_THREADS="4")
    assert result.stdout.splitlines()[0] == f"{python} -m pytest -n 2 --dist loadfile -m slow"
    assert "OMP_NUM_THREADS=4 " in result.stdout


# -- Which environment ------------------------------------------------------------------------------------------------


def test_order_of_environments(checkout: Checkout, tmp_path: Path):
    names = ("active", "conda", "onpath", "lab/env_isaaclab", "repo with space/.venv")
    pythons = [make_interpreter(tmp_path / name / "bin/python") for name in names]
    everything: dict[str, str | Path] = {
        "VIRTUAL_ENV": tmp_path / "active",
        "CONDA_PREFIX": tmp_path / "conda",
        "PATH": f"{tmp_path / 'onpath/bin'}:{checkout.variables['PATH']}",
        "ISAACLAB_PATH": tmp_path / "lab",
    }
    for variable, python in zip(list(everything), pythons, strict=False):
        assert checkout.python_used(**everything) == python
        del everything[variable]
    assert checkout.python_used() == checkout.venv / "bin/python"
    assert checkout.log == []


def test_own_environment_comes_first_when_it_is_active(checkout: Checkout, creator: Path, tmp_path: Path):
    checkout.run("-i")
    make_interpreter(tmp_path / "lab/.venv/bin/python")
    (tmp_path / "link").symlink_to(checkout.venv)
    for active in (checkout.venv, tmp_path / "link"):
        used = checkout.python_used(VIRTUAL_ENV=active, ISAACLAB_PATH=tmp_path / "lab")
        assert used == checkout.venv / "bin/python"


def test_active_environment_without_isaaclab_is_passed_over(checkout: Checkout, tmp_path: Path):
    make_interpreter(tmp_path / "active/bin/python", "", "no Isaac Lab")
    python = make_interpreter(tmp_path / "lab/.venv/bin/python")
    result = checkout.run("-p", VIRTUAL_ENV=tmp_path / "active", ISAACLAB_PATH=tmp_path / "lab")
    assert result.stdout.startswith(str(python))
    assert result.stderr == ""


def test_other_release_of_isaaclab_is_passed_over_and_told(checkout: Checkout, tmp_path: Path):
    old = make_interpreter(tmp_path / "active/bin/python", "Isaac Lab 2.3.0 on Python 3.11", "no Isaac Lab 3")
    conda = make_interpreter(tmp_path / "conda/bin/python")
    result = checkout.run("-p", VIRTUAL_ENV=tmp_path / "active", CONDA_PREFIX=tmp_path / "conda")
    assert result.stdout.startswith(str(conda))
    for text in (f"Skipping {old} (the active environment, by VIRTUAL_ENV)", "it has Isaac Lab 2.3.0 on Python 3.11"):
        assert text in result.stderr


@pytest.mark.parametrize("name", ["env_isaaclab/bin/python", ".venv/bin/python", "_isaac_sim/python.sh"])
def test_interpreters_of_a_checkout(checkout: Checkout, tmp_path: Path, name: str):
    """The folder may be given relative to the caller's."""
    python = make_interpreter(tmp_path / "lab" / name)
    assert checkout.run("-p", cwd=tmp_path, ISAACLAB_PATH="lab").stdout.startswith(f"{python}\ncwd={tmp_path} ")


def test_checkout_whose_launcher_knows_the_python(checkout: Checkout, tmp_path: Path):
    python = make_interpreter(tmp_path / "somewhere/bin/python")
    write_script(tmp_path / "lab/isaaclab.sh", f'#!/bin/sh\ncd /\necho "[INFO] of Isaac Lab"\necho "{python}"\n')
    assert checkout.python_used(ISAACLAB_PATH=tmp_path / "lab") == python


def test_checkout_without_isaaclab_is_an_error(checkout: Checkout, tmp_path: Path):
    make_interpreter(tmp_path / "lab/.venv/bin/python", "", "no Isaac Lab")
    result = checkout.run("-p", ISAACLAB_PATH=tmp_path / "lab")
    assert result.returncode == 1
    for text in (f"ISAACLAB_PATH is {tmp_path / 'lab'}", ".venv", "lab/isaaclab.sh -i", "unset ISAACLAB_PATH"):
        assert text in result.stderr
    result = checkout.run("-p", ISAACLAB_PATH=tmp_path / "nowhere")
    assert f"ISAACLAB_PATH is {tmp_path / 'nowhere'}, which is not a folder" in result.stderr


@pytest.mark.parametrize("state", ["not installed", "installed from /other/checkout/gr00t_rl_ext"])
def test_environment_without_this_extension(checkout: Checkout, tmp_path: Path, state: str):
    """It runs from the source tree, which the message tells; following its advice changes that."""
    python = make_interpreter(tmp_path / "env/bin/python", state)
    result = checkout.run("-p", VIRTUAL_ENV=tmp_path / "env", PYTHONPATH="/mine")
    assert f"has Isaac Lab, and gr00t_rl_ext is {state}: using {checkout.root}/source.\n" in result.stderr
    advice = f"{python} -m pip install --no-deps -e {checkout.root}".replace("repo with space", r"repo\ with\ space")
    assert f"./isaaclab.sh -i, which runs {advice}" in result.stderr
    assert "PYTHONPATH=/source:/metadata:/mine\n" in result.stdout
    assert checkout.log == []

    assert checkout.run("-i", VIRTUAL_ENV=tmp_path / "env").returncode == 0
    assert checkout.log == [f"install {python}"]


def test_environment_that_the_launcher_did_not_make(checkout: Checkout, creator: Path):
    """It is used as it is, or refused; following the advice helps."""
    make_interpreter(checkout.venv / "bin/python", "", "no Isaac Lab")
    result = checkout.run("-p")
    assert result.returncode == 1
    assert f"{checkout.venv} was not made by isaaclab.sh and has no Isaac Lab 3.0" in result.stderr
    assert f"{checkout.venv}/bin/python -m pip install -e '{checkout.root}[ovphysx,dev]'" in result.stderr
    assert "Remove it, and the next start creates it" in result.stderr
    shutil.rmtree(checkout.venv)
    assert checkout.python_used() == checkout.venv / "bin/python"
    assert checkout.log == [f"create {creator}"]


# -- The repository's own environment ---------------------------------------------------------------------------------


def test_own_environment_is_created_once(checkout: Checkout, creator: Path):
    for _ in range(2):
        assert checkout.python_used() == checkout.venv / "bin/python"
    assert checkout.log == [f"create {creator}"]
    assert checkout.run("--install").returncode == 0
    assert len(checkout.log) == 2
    refused = checkout.run("--install", "core")
    assert refused.returncode == 1
    assert "takes no arguments, and got: core" in refused.stderr


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml", "setup.py", "config/extension.toml"])
def test_changed_requirements_are_installed_once(checkout: Checkout, creator: Path, changed: str):
    checkout.run("-i")
    with (checkout.root / changed).open("a") as file:
        file.write("\n# changed\n")
    for _ in range(2):
        checkout.python_used(VIRTUAL_ENV=checkout.venv)
    assert len(checkout.log) == 2


def test_half_made_environment_is_made_anew(checkout: Checkout, creator: Path):
    make_interpreter(checkout.venv / "bin/python")
    (checkout.venv / ".stamp").touch()
    checkout.python_used(VIRTUAL_ENV=checkout.venv)
    assert checkout.log == [f"create {creator}"]


def test_failed_creation_runs_nothing(checkout: Checkout, creator: Path):
    write_script(creator, '#!/bin/sh\n[ "$2" = can_create ]\n')
    for arguments in (["-p"], ["-i"], ["train"]):
        result = checkout.run(*arguments)
        assert (result.returncode, result.stdout) == (1, "")


def test_no_python(checkout: Checkout):
    """Neither those of other versions nor pyenv's shims that refuse are taken."""
    tools = Path(checkout.variables["PATH"])
    write_script(tools / "python3.12", "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n")
    make_interpreter(tools / "python3", "", "of another version")
    write_script(tools / "uv", "#!/bin/sh\nexit 127\n")
    result = checkout.run("-p")
    assert result.returncode == 1
    for text in (
        "No Python 3.12 that can create environments was found",
        *("apt install python3.12-venv", "pyenv install 3.12", "uv python install 3.12", "ISAACLAB_PATH"),
    ):
        assert text in result.stderr
    assert not checkout.venv.exists()


def test_python_of_pyenv_and_of_uv(checkout: Checkout, creator: Path, tmp_path: Path):
    write_script(creator, "#!/bin/sh\nexit 127\n")
    python = make_interpreter(tmp_path / "managed by uv/python", "", "can_create")
    write_script(creator.with_name("uv"), f'#!/bin/sh\n[ "$1 $2" = "python find" ] && echo "{python}"\n')
    checkout.run("-i")
    make_interpreter(tmp_path / "pyenv/versions/3.12.9/bin/python", "", "can_create")
    checkout.run("-i", PYENV_ROOT=tmp_path / "pyenv")
    assert checkout.log == [f"create {python}", f"create {tmp_path}/pyenv/versions/3.12.9/bin/python"]


def test_unsupported_machine(checkout: Checkout, creator: Path):
    creator.with_name("uname").unlink()
    write_script(creator.with_name("uname"), "#!/bin/sh\necho Darwin arm64\n")
    result = checkout.run("-p")
    assert result.returncode == 1
    assert "This machine is Darwin arm64" in result.stderr
    assert "Linux on x86_64 or aarch64" in result.stderr
    assert checkout.log == []


# -- With true interpreters -------------------------------------------------------------------------------------------

VENV_STUB = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
(folder / "bin").mkdir(parents=True, exist_ok=True)
(folder / "bin" / "python").symlink_to(pathlib.Path(sys.executable).resolve())
(folder / "bin" / "python3.12").symlink_to("python")
(folder / "pyvenv.cfg").write_text(f"home = {pathlib.Path(sys.executable).resolve().parent}\\n")
(folder / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
"""

PIP_STUB = """
import os, pathlib, sys, sysconfig, time
with open(os.environ["STUB_LOG"], "a") as log:
    print("pip", *sys.argv[1:], file=log)
if "config" in sys.argv or "uv" in sys.argv:
    sys.exit(1)
site = pathlib.Path(sysconfig.get_path("purelib"))
if "-r" in sys.argv:
    (site / "half_made").touch()
    time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
    (site / "isaaclab").mkdir(exist_ok=True)
    (site / "isaaclab" / "__init__.py").touch()
    info = site / "isaaclab-3.0.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: isaaclab\\nVersion: 3.0.0\\n")
if "-e" in sys.argv:
    (site / "gr00t_rl_ext.pth").write_text(str(pathlib.Path(sys.argv[-1]).resolve() / "source"))
    info = site / "gr00t_rl_ext-0.0.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: gr00t_rl_ext\\nVersion: 0.0.0\\n")
    (info / "entry_points.txt").write_text("[isaaclab.tasks]\\ngr00t_rl_ext = gr00t_rl_ext.tasks\\n")
"""


@pytest.fixture
def installable(checkout: Checkout, tmp_path: Path) -> Checkout:
    """With this Python on PATH, and modules before its own ones that make environments and install into them."""
    package = checkout.root / "source" / "gr00t_rl_ext"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text("LOADED = True\n")
    (Path(checkout.variables["PATH"]) / "python3.12").symlink_to(BASE_PYTHON.resolve())
    stubs = tmp_path / "stubs"
    stubs.mkdir()
    (stubs / "venv.py").write_text(VENV_STUB)
    (stubs / "pip.py").write_text(PIP_STUB)
    # The disk of a developer may be full; that this is looked at is tested elsewhere.
    launcher = checkout.root / "tools/environment.py"
    launcher.write_text(launcher.read_text().replace("NEEDED_GB = 10", "NEEDED_GB = 0"))
    checkout.variables["PYTHONPATH"] = str(stubs)
    return checkout


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
    site = installable.venv / "lib/python3.12/site-packages"
    deadline = time.monotonic() + 30
    while not (site / "half_made").exists():
        assert time.monotonic() < deadline, "the installer was not reached"
        time.sleep(0.02)
    (site / "left_over").touch()
    os.killpg(process.pid, how)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode != 0
    assert how == signal.SIGKILL or "Interrupted. The next start begins the installation afresh." in stderr

    # Active meanwhile: it is made anew by the interpreter below its own.
    active = {"VIRTUAL_ENV": installable.venv, "PATH": f"{installable.venv}/bin:{installable.variables['PATH']}"}
    result = installable.run("-p", "-c", "import isaaclab, gr00t_rl_ext; print(gr00t_rl_ext.__file__)", **active)
    assert result.stdout.strip() == str(installable.root / "source/gr00t_rl_ext/__init__.py"), result.stderr
    assert "did not finish; starting it afresh" in result.stderr
    assert not (site / "left_over").exists()
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
    assert len([line for line in installable.log if "-r requirements.lock" in line]) == 1
    assert any("waiting for it" in message for message in messages)


def test_runs_from_source_and_the_environment_stays_as_it_is(installable: Checkout, tmp_path: Path):
    """Called by a symlink from another folder; Isaac Lab finds the entry point in the metadata beside the source."""
    environment = tmp_path / "env"
    subprocess.run([BASE_PYTHON, tmp_path / "stubs/venv.py", environment], check=True)
    site = environment / "lib/python3.12/site-packages"
    (site / "isaaclab").mkdir()
    (site / "isaaclab/__init__.py").touch()
    before = sorted(environment.rglob("*"))
    (tmp_path / "links").mkdir()
    (tmp_path / "links/first").symlink_to(installable.launcher)
    (tmp_path / "links/second").symlink_to("first")
    code = (
        "import os\n"
        "from importlib.metadata import entry_points, version\n"
        "(point,) = entry_points(group='isaaclab.tasks')\n"
        "print(os.getcwd(), point.value, point.load().LOADED, version('gr00t_rl_ext') != '')"
    )
    result = installable.run(
        "-p", "-B", "-c", code, cwd=tmp_path, launcher=tmp_path / "links/second", VIRTUAL_ENV=environment
    )
    assert result.stdout == f"{tmp_path.resolve()} gr00t_rl_ext.tasks True True\n", result.stderr
    assert "gr00t_rl_ext is not installed: using" in result.stderr
    assert "rsl-rl-lib==5.5.1" in result.stderr  # missing in this environment
    assert sorted(environment.rglob("*")) == before
    assert installable.log == []
