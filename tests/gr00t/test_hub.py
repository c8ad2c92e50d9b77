# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Names of checkpoints on the hub, what is downloaded of them, and what cannot be had; without a network."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.utils import filter_repo_objects

from gr00t_rl_ext.gr00t import Gr00tCheckpointError
from gr00t_rl_ext.gr00t.checkpoint import COMPANION_PATTERNS, resolve_checkpoint
from gr00t_rl_ext.gr00t.hub import HubId


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nvidia/GR00T-N1.5-3B", HubId("nvidia/GR00T-N1.5-3B")),
        ("nvidia/GN1x-Tuned@gn1_6", HubId("nvidia/GN1x-Tuned", revision="gn1_6")),
        ("a/b/checkpoint-2000", HubId("a/b", "checkpoint-2000")),
        ("a/b/c/d@refs/pr/1", HubId("a/b", "c/d", "refs/pr/1")),
        ("a/b@feature/x", HubId("a/b", revision="feature/x")),
        ("a/b@refs/pr/1", HubId("a/b", revision="refs/pr/1")),
        ("./a/b", None),
        ("/a/b", None),
        ("a/../b", None),
        ("a", None),
        ("a/b@", None),
    ],
)
def test_names(text: str, expected: HubId | None):
    assert HubId.parse(text) == expected
    if expected is not None:
        assert HubId.parse(str(expected)) == expected


FILES = (
    *("config.json", "model-00001-of-00002.safetensors", "experiment_cfg/metadata.json", "processor/statistics.json"),
    *("optimizer.pt", "checkpoint-1000/config.json", "checkpoint-1000/model.safetensors", "videos/a.mp4"),
    *("checkpoint-1000/optimizer.pt", "other/model.safetensors", "checkpoint-1000/processor/statistics.json"),
    *("other/config.json", "videos/notes.txt", "other/experiment_cfg/metadata.json", "checkpoint-1000/runs/a.json"),
)
"""Of a repository with a checkpoint at its top, and others below."""


@pytest.mark.parametrize(
    ("hub_id", "expected"),
    [
        ("a/b", FILES[:4]),
        ("a/b/checkpoint-1000", (*FILES[5:7], FILES[10])),
    ],
)
def test_nothing_else_is_downloaded(hub_id: str, expected: tuple[str, ...]):
    found = HubId.parse(hub_id)
    assert found is not None
    kept: set[str] = set()
    for allowed, ignored in found.patterns(["*.safetensors", *COMPANION_PATTERNS]):
        kept |= set(filter_repo_objects(FILES, allow_patterns=allowed, ignore_patterns=ignored))
    assert sorted(kept) == sorted(expected)


def cached(root: Path, checkpoint: Path, folder: str = "", revision: str = "main") -> Path:
    """A checkpoint in the hub's local cache."""
    repository, commit = root / "models--somebody--a-model", "0" * 40
    shutil.copytree(checkpoint, repository / "snapshots" / commit / folder)
    (repository / "refs").mkdir()
    (repository / "refs" / revision).write_text(commit)
    return repository / "snapshots" / commit / folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_folder_and_a_revision_in_the_local_cache(offline: Path, tiny_checkpoint: Path):
    there = cached(offline, tiny_checkpoint, "checkpoint-2000", "gn1_6")
    assert resolve_checkpoint("somebody/a-model/checkpoint-2000@gn1_6") == there
    assert resolve_checkpoint("somebody/a-model/checkpoint-2000@gn1_6", weights=False) == there
    with pytest.raises(Gr00tCheckpointError, match="'somebody/a-model' has no folder 'elsewhere' at revision 'gn1_6'"):
        resolve_checkpoint("somebody/a-model/elsewhere@gn1_6")
    with pytest.raises(Gr00tCheckpointError, match="has no config.json; expected the directory .* one level deeper"):
        resolve_checkpoint("somebody/a-model@gn1_6")
    with pytest.raises(Gr00tCheckpointError, match="hf download somebody/a-model --revision other --include 'x/.*'"):
        resolve_checkpoint("somebody/a-model/x@other")


def test_a_revision_that_does_not_exist(monkeypatch: pytest.MonkeyPatch):
    from huggingface_hub import errors

    def refuse(*_: Any, **__: Any) -> str:
        raise errors.RevisionNotFoundError("404", response=SimpleNamespace(headers={}, request=None))  # type: ignore[arg-type]

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(Gr00tCheckpointError, match="'a/b' has no revision 'gn1_7'; expected one of its branches, tags"):
        resolve_checkpoint("a/b@gn1_7")
    with pytest.raises(Gr00tCheckpointError, match="'gn1_7/x'; .* A folder stands before it: a/b/x@gn1_7"):
        resolve_checkpoint("a/b@gn1_7/x")


def test_small_files_come_without_the_weights(monkeypatch: pytest.MonkeyPatch, tiny_checkpoint: Path):
    """What a checkpoint says is checked before gigabytes are downloaded."""
    asked: list[str] = []

    def download(repository: str, **options: Any) -> str:
        asked.extend(options["allow_patterns"])
        return str(tiny_checkpoint)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolve_checkpoint("a/b", weights=False) == tiny_checkpoint
    assert not any("safetensors" in pattern for pattern in asked)
    resolve_checkpoint("a/b")
    assert "*.safetensors" in asked
