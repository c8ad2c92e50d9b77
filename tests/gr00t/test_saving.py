# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Writing checkpoints, for both versions: what was not trained keeps every bit, and nothing is ever half written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tModel, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.weights import CheckpointWeights

Source = Callable[..., Path]


@pytest.fixture(params=["N1.5", "N1.6", "N1.7"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    """Writes a checkpoint with its tensors in a data type: N1.5 in two shards, N1.7 in a single file."""

    def build(dtype: torch.dtype = torch.float32) -> Path:
        shards = 2 if request.param == "N1.5" else 1
        directory = build_tiny_checkpoint(tmp_path / "source", version=request.param, num_shards=shards)
        for file in directory.glob("*.safetensors"):
            tensors = {key: tensor.to(dtype) for key, tensor in load_file(file).items()}
            save_file(tensors, file, metadata={"format": "pt", "of": "this test"})
        if shards == 1:
            (directory / "model.safetensors.index.json").unlink()
            (file,) = directory.glob("*.safetensors")
            file.rename(directory / "model.safetensors")
        return directory

    return build


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def read_all(directory: Path) -> dict[str, Tensor]:
    return {key: value for file in directory.glob("*.safetensors") for key, value in load_file(file).items()}


@pytest.mark.parametrize("loaded", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_what_was_loaded_is_written_bit_by_bit(
    source: Source, tmp_path: Path, stored: torch.dtype, loaded: torch.dtype
):
    """Keys, shapes, data types, shards, metadata, configs, statistics, processor and tokenizer: every byte."""
    checkpoint = source(stored)
    model = load_gr00t(checkpoint, dtype=loaded)
    model.save_pretrained(tmp_path / "out")
    before, after = contents(checkpoint), contents(tmp_path / "out")
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == []
    again = load_gr00t(tmp_path / "out", dtype=loaded)
    assert again.config.raw == model.config.raw
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
    assert not list(tmp_path.glob(".*")), "the temporary directory was left behind"


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
def test_what_was_trained_is_written_and_nothing_else(source: Source, tmp_path: Path, stored: torch.dtype):
    checkpoint = source(stored)
    model = load_gr00t(checkpoint, dtype=torch.float32)
    trained = [*model.action_head.parameters(), next(model.backbone.parameters())]
    with torch.no_grad():
        for parameter in trained:
            parameter.mul_(1.25).add_(0.01)
    model.save_pretrained(tmp_path / "out")
    before, after = read_all(checkpoint), read_all(tmp_path / "out")
    assert {key: (t.shape, t.dtype) for key, t in before.items()} == {k: (t.shape, t.dtype) for k, t in after.items()}
    entries = model.checkpoint_entries()
    places = [entries[name] for name, p in model.named_parameters() if any(p is other for other in trained)]
    assert {key for key in before if not torch.equal(before[key], after[key])} == {place.key for place in places}
    for place in places:
        if place.slot is not None:
            changed = (before[place.key] != after[place.key]).flatten(1).any(1)
            assert changed.nonzero().flatten().tolist() == [model.embodiment_slot], place.key
    again = load_gr00t(tmp_path / "out", dtype=torch.float32)
    pairs = zip(again.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(a, b.to(stored).float()) for a, b in pairs)


def test_weights_are_written_the_published_way_round(source: Source, tmp_path: Path):
    """(slots, in, out), which is not the order of a linear layer."""
    checkpoint = source()
    model = load_gr00t(checkpoint, dtype=torch.float32)
    layer = model.action_head.state_encoder.layer1
    with torch.no_grad():
        layer.weight.copy_(torch.arange(layer.weight.numel()).view_as(layer.weight))
        layer.bias.fill_(7.0)
    model.save_pretrained(tmp_path / "out")
    after, slot = read_all(tmp_path / "out"), model.embodiment_slot
    expected = torch.arange(layer.weight.numel()).float().view(layer.out_features, layer.in_features).T
    assert torch.equal(after["action_head.state_encoder.layer1.W"][slot], expected)
    assert after["action_head.state_encoder.layer1.b"][slot].unique().tolist() == [7.0]


def test_one_trained_value_takes_its_tensor_along(source: Source, tmp_path: Path):
    """A model in bfloat16 whose tensor was trained is written as it acts; the others keep their float32 bits."""
    checkpoint = source()
    model = load_gr00t(checkpoint, dtype=torch.bfloat16)
    weight = model.action_head.vlln.weight
    assert isinstance(weight, Tensor)
    with torch.no_grad():
        weight[0] += 1.0
    model.save_pretrained(tmp_path / "out")
    before, after = read_all(checkpoint), read_all(tmp_path / "out")
    assert {key for key in before if not torch.equal(before[key], after[key])} == {"action_head.vlln.weight"}
    assert torch.equal(after["action_head.vlln.weight"], weight.float())


def test_the_model_does_not_follow_its_files(source: Source):
    """It holds copies: with memory-mapped weights this would change them."""
    checkpoint = source()
    model = load_gr00t(checkpoint, dtype=torch.float32)
    before = [parameter.clone() for parameter in model.parameters()]
    for file in checkpoint.glob("*.safetensors"):
        with file.open("r+b") as stream:
            stream.seek(file.stat().st_size // 2)
            stream.write(bytes(file.stat().st_size // 2))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_directory_with_content_is_left_alone(source: Source, tmp_path: Path):
    checkpoint = source()
    model = load_gr00t(checkpoint)
    before = contents(checkpoint)
    for directory in (checkpoint, str(checkpoint)):
        with pytest.raises(FileExistsError, match="is not empty and was not written by this function"):
            model.save_pretrained(directory)
    assert contents(checkpoint) == before
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="is a file; give a directory that does not exist yet"):
        model.save_pretrained(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    model.save_pretrained(tmp_path / "empty")
    assert contents(tmp_path / "empty") == before


def fails_to_save(model: Gr00tModel, directory: Path, *texts: str) -> None:
    with pytest.raises(Gr00tCheckpointError) as caught:
        model.save_pretrained(directory)
    for text in ("the checkpoint that this model was loaded from", "other embodiment slots", *texts):
        assert text in str(caught.value), str(caught.value)
    assert not directory.exists()


def test_the_source_is_gone(source: Source, tmp_path: Path):
    checkpoint = source()
    model = load_gr00t(checkpoint)
    weights = sorted(file.name for file in checkpoint.glob("*.safetensors"))
    (checkpoint / weights[-1]).rename(tmp_path / "away")
    fails_to_save(model, tmp_path / "out", f"{str(checkpoint)!r}, no longer has {weights[-1]}.", "Put it back where")
    shutil.rmtree(checkpoint)
    fails_to_save(model, tmp_path / "out", f"no longer has {', '.join(['config.json', *weights])}.")


@pytest.mark.parametrize("pattern", ["*.safetensors", "config.json"])
def test_the_source_has_changed(source: Source, tmp_path: Path, pattern: str):
    checkpoint = source()
    model = load_gr00t(checkpoint)
    file = sorted(checkpoint.glob(pattern))[-1]
    content, state = file.read_bytes(), file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    fails_to_save(model, tmp_path / "out", f"has changed since then: {file.name}.", "or load the model anew")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    model.save_pretrained(tmp_path / "out")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("function", ["copyfile", "overwrite"])
def test_an_interrupted_save_leaves_nothing(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, error: BaseException
):
    model = load_gr00t(source(), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.action_head.parameters():
            parameter.add_(1.0)
    holder = shutil if function == "copyfile" else CheckpointWeights
    original, calls = getattr(holder, function), []

    def fail_the_third_time(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 3:
            raise error
        return original(*arguments)

    monkeypatch.setattr(holder, function, fail_the_third_time)
    with pytest.raises(type(error)):
        model.save_pretrained(tmp_path / "out")
    assert len(calls) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    monkeypatch.undo()
    model.save_pretrained(tmp_path / "out")
    assert contents(tmp_path / "out").keys() == contents(tmp_path / "source").keys()
