# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reading checkpoints, and the text of every error a user can cause."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, load_gr00t
from gr00t_rl_ext.gr00t.checkpoint import new_directory, resolve_checkpoint


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_tensors(directory: Path, shard: int, edit) -> None:
    file = sorted(directory.glob("model-*.safetensors"))[shard]
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def fails(path: str | Path, *texts: str, **options: object) -> None:
    """Loading fails with a message that contains all of ``texts``."""
    with pytest.raises(Gr00tCheckpointError) as caught:
        load_gr00t(path, **options)  # pyright: ignore[reportArgumentType]
    for text in texts:
        assert text in str(caught.value), str(caught.value)


def test_shards_equal_a_single_file(tiny_copy: Path):
    sharded = load_gr00t(tiny_copy, dtype=torch.float32)
    tensors = {key: value for file in tiny_copy.glob("*.safetensors") for key, value in load_file(file).items()}
    for file in [*tiny_copy.glob("*.safetensors"), tiny_copy / "model.safetensors.index.json"]:
        file.unlink()
    save_file(tensors, tiny_copy / "model.safetensors")
    single = load_gr00t(tiny_copy, dtype=torch.float32)
    pairs = zip(sharded.state_dict().items(), single.state_dict().items(), strict=True)
    assert all(name == other and torch.equal(a, b) for (name, a), (other, b) in pairs)


def test_unused_keys_are_optional(tiny_copy: Path):
    """The published checkpoint has the pooling head and the LM head; fine-tuned ones may lack them."""

    def drop(tensors: dict[str, torch.Tensor]) -> None:
        for key in [k for k in tensors if "lm_head" in k or "vision_model.head" in k]:
            del tensors[key]

    for shard in (0, 1):
        edit_tensors(tiny_copy, shard, drop)
    load_gr00t(tiny_copy)


def test_the_critic_of_rlinf_is_not_read(tiny_copy: Path):
    critic = {"action_head.value_head.0.weight": torch.ones(2, 2)}
    edit_tensors(tiny_copy, 0, lambda tensors: tensors.update(critic))
    assert load_gr00t(tiny_copy).version == "N1.5"


def test_no_such_directory(tmp_path: Path):
    fails(tmp_path / "nowhere", "no such directory", "nowhere", "'nvidia/GR00T-N1.5-3B'")
    fails(str(tmp_path / "nowhere"), "no such directory")
    (tmp_path / "file").touch()
    fails(tmp_path / "file", "is a file; expected the directory of a GR00T checkpoint")


def test_hub_id_in_the_local_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_checkpoint: Path):
    """What was downloaded before is found without a network."""
    from huggingface_hub import constants

    repository, revision = tmp_path / "models--somebody--a-model", "0" * 40
    shutil.copytree(tiny_checkpoint, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert resolve_checkpoint("somebody/a-model") == repository / "snapshots" / revision
    assert load_gr00t("somebody/a-model").version == "N1.5"


def test_hub_id_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    fails(
        "nobody/no-model",
        "'nobody/no-model' is no local directory",
        "cannot be reached (LocalEntryNotFoundError). HF_HUB_OFFLINE is set, so only the local cache was searched.",
        "hf download nobody/no-model",
    )


def test_directory_without_config(tmp_path: Path):
    (tmp_path / "checkpoint-2000").mkdir()
    fails(tmp_path, "has no config.json", "It holds checkpoint-2000", "one level deeper")


def test_config_that_is_no_json(tiny_copy: Path):
    (tiny_copy / "config.json").write_text('{"architectures": [')
    fails(tiny_copy, "config.json", "is not valid JSON", "copy it again")
    (tiny_copy / "config.json").write_text("[]")
    fails(tiny_copy, "holds a JSON list; expected an object")


@pytest.mark.parametrize(
    ("model_type", "architectures"), [("llama", ["LlamaForCausalLM"]), ("Gr00tN1d8", ["Gr00tN1d8"]), (None, None)]
)
def test_another_kind_of_model(tiny_copy: Path, model_type: str | None, architectures: list[str] | None):
    edit_json(tiny_copy / "config.json", model_type=model_type, architectures=architectures)
    for file in tiny_copy.glob("*.safetensors"):  # its weights, if there are any, need not be ours to be told
        file.unlink()
    fails(
        tiny_copy,
        f"holds a model of another kind: model_type {model_type!r}, architectures {architectures or []}.",
        "Known versions of GR00T: N1.5 (model_type 'gr00t_n1_5', architectures GR00T_N1_5 or GR00TN15); "
        "N1.6 (model_type 'Gr00tN1d6', architectures Gr00tN1d6); "
        "N1.7 (model_type 'Gr00tN1d7', architectures Gr00tN1d7)",
    )


def test_incomplete_configs(tiny_copy: Path):
    config = json.loads((tiny_copy / "config.json").read_text())
    del config["backbone_cfg"]
    (tiny_copy / "config.json").write_text(json.dumps(config))
    fails(tiny_copy, "has no field 'backbone_cfg' for the backbone")
    del config["action_head_cfg"]
    (tiny_copy / "config.json").write_text(json.dumps(config))
    fails(tiny_copy, "has no field 'diffusion_model_cfg' for the action head")


def test_unsupported_backbone_option(tiny_copy: Path):
    edit_json(tiny_copy / "eagle_config.json", use_pixel_shuffle=True)
    fails(tiny_copy, "use_pixel_shuffle is True; only False is supported")


def test_feature_widths_that_disagree(tiny_copy: Path):
    head = json.loads((tiny_copy / "config.json").read_text())["action_head_cfg"]
    edit_json(tiny_copy / "config.json", action_head_cfg=head | {"backbone_embedding_dim": 65})
    fails(tiny_copy, "features have 64 channels", "backbone_embedding_dim = 65")


def test_no_weights(tiny_copy: Path):
    for file in [*tiny_copy.glob("*.safetensors"), tiny_copy / "model.safetensors.index.json"]:
        file.unlink()
    fails(tiny_copy, "holds no weights; expected model.safetensors, or model.safetensors.index.json with its shards")


def test_missing_shard(tiny_copy: Path):
    (tiny_copy / "model-00002-of-00002.safetensors").unlink()
    fails(tiny_copy, "lacks 1 of the 2 shards", "model-00002-of-00002.safetensors", "Download or copy them again")


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".x.safetensors", "model.bin", 3, None]
)
def test_an_index_that_names_files_elsewhere(tiny_copy: Path, tmp_path: Path, name: Any):
    """Such a file was read, and saving wrote to it."""
    outside = tmp_path / "model.safetensors"
    outside.write_bytes(b"precious")
    index = tiny_copy / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"][next(iter(content["weight_map"]))] = name
    index.write_text(json.dumps(content))
    fails(
        tiny_copy, f"names the shard {str(name)!r}; expected names of .safetensors files beside it", "Nothing outside"
    )
    assert outside.read_bytes() == b"precious"


def test_a_link_out_of_the_checkpoint_is_not_copied(tiny_copy: Path, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("token")
    model = load_gr00t(tiny_copy, dtype=torch.float32)
    (tiny_copy / "notes.txt").symlink_to(secret)
    with pytest.raises(Gr00tCheckpointError, match=r"notes.txt' is a link to .*secret.txt', outside of the checkpoint"):
        model.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # and before anything is trained
    fails(tiny_copy, "notes.txt' is a link to", "Put the file itself there, or remove the link")


def test_weights_may_be_links(tiny_copy: Path, tmp_path: Path):
    store = tmp_path / "store"
    store.mkdir()
    for file in tiny_copy.glob("*.safetensors"):
        file.symlink_to(file.rename(store / file.name))
    load_gr00t(tiny_copy, dtype=torch.float32).save_pretrained(tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))


def test_links_of_the_hubs_cache_are_followed(tiny_copy: Path, tmp_path: Path):
    repository = tmp_path / "models--somebody--a-model"
    snapshot, blobs = repository / "snapshots" / "0" / "checkpoint-1", repository / "blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(path for path in sorted(tiny_copy.rglob("*")) if path.is_file()):
        (blobs / str(number)).write_bytes(file.read_bytes())
        link = snapshot / file.relative_to(tiny_copy)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blobs / str(number))
    load_gr00t(snapshot, dtype=torch.float32).save_pretrained(tmp_path / "out")
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    load_gr00t(tmp_path / "out", dtype=torch.float32)


@pytest.mark.parametrize("content", [{}, {"weight_map": {}}, {"weight_map": "model.safetensors"}])
def test_index_without_shards(tiny_copy: Path, content: dict):
    (tiny_copy / "model.safetensors.index.json").write_text(json.dumps(content))
    fails(tiny_copy, "index.json' names no shards: expected the field weight_map, tensor name -> file", "Copy it again")


@pytest.mark.parametrize("kept", [0.5, 0.001, 0.0])
def test_truncated_shard(tiny_copy: Path, kept: float):
    file = tiny_copy / "model-00001-of-00002.safetensors"
    content = file.read_bytes()
    size = int(len(content) * kept)
    file.write_bytes(content[:size])
    # where the header was lost as well, nobody knows the full size
    expected = f", expected {len(content):,}" if kept == 0.5 else ""
    fails(
        tiny_copy,
        "model-00001-of-00002.safetensors",
        f"is truncated or no safetensors file: it has {size:,} bytes{expected} (",
    )


def test_missing_and_unexpected_keys(tiny_copy: Path):
    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors["action_head.future_tokens.scale"] = tensors.pop("action_head.future_tokens.weight")
        tensors["backbone.eagle_model.language_model.model.layers.2.extra.weight"] = torch.zeros(1)

    edit_tensors(tiny_copy, 0, edit)
    fails(
        tiny_copy,
        "1 tensors are missing: action_head.future_tokens.weight",
        "2 tensors are unexpected: action_head.future_tokens.scale, "
        "backbone.eagle_model.language_model.model.layers.2.extra.weight",
        "known and unused are only backbone.eagle_model.vision_model.vision_model.head.*, "
        "backbone.eagle_model.language_model.lm_head.*",
    )


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(torch.int8, "I8"), (torch.uint8, "U8"), (torch.float8_e4m3fn, "F8_E4M3"), (torch.float8_e5m2, "F8_E5M2")],
)
def test_quantised_weights(tiny_copy: Path, dtype: torch.dtype, name: str):
    """Said before the names are compared: quantised checkpoints hold scales besides, which are not the point."""

    def quantise(tensors: dict[str, torch.Tensor]) -> None:
        for key in ("action_head.model.proj_out_1.weight", "action_head.state_encoder.layer1.W"):
            tensors[key] = tensors[key].to(dtype)
        tensors["action_head.model.proj_out_1.weight_scale"] = torch.ones(1)

    edit_tensors(tiny_copy, 0, quantise)
    fails(
        tiny_copy,
        f"2 tensors in {str(tiny_copy)!r} are not of type BF16, F16, F32, F64: action_head.model.proj_out_1.weight "
        f"({name}), action_head.state_encoder.layer1.W ({name}). Quantised weights are not read",
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_floating_types(tiny_copy: Path, dtype: torch.dtype):
    """In the file, and asked for."""
    exact = load_gr00t(tiny_copy, dtype=torch.float32)
    for shard in (0, 1):
        edit_tensors(tiny_copy, shard, lambda tensors: tensors.update({k: v.to(dtype) for k, v in tensors.items()}))
    stored, asked = load_gr00t(tiny_copy, dtype=torch.float32), load_gr00t(tiny_copy, dtype=dtype)
    for before, a, b in zip(exact.parameters(), stored.parameters(), asked.parameters(), strict=True):
        assert torch.equal(a, before.to(dtype).float())
        assert b.dtype == dtype
        assert torch.equal(b, before.to(dtype))


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn, torch.complex64, "bfloat16", None])
def test_types_that_nothing_is_loaded_as(tiny_checkpoint: Path, dtype: object):
    expected = "expected one of torch.bfloat16, torch.float16, torch.float32, torch.float64"
    with pytest.raises(ValueError, match=re.escape(f"dtype is {dtype!r}; {expected}")):
        load_gr00t(tiny_checkpoint, dtype=dtype)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("value", "found"),
    [(math.nan, "2 NaN of 256"), (math.inf, "2 infinite of 256"), (-math.inf, "2 infinite of 256")],
)
def test_weights_that_are_not_finite(tiny_copy: Path, value: float, found: str):
    def damage(tensors: dict[str, torch.Tensor]) -> None:
        tensors["action_head.future_tokens.weight"][1, :2] = value
        # another robot's, which nobody loads
        tensors["action_head.state_encoder.layer1.W"][:31] = value

    original = (tiny_copy / "model-00001-of-00002.safetensors").read_bytes()
    edit_tensors(tiny_copy, 0, damage)
    fails(
        tiny_copy,
        f"1 tensors in {str(tiny_copy)!r} hold numbers that are not finite: action_head.future_tokens.weight ({found}, "
        "in model-00001-of-00002.safetensors). Every action would be NaN. Download or copy the files again",
        dtype=torch.float16,
    )
    (tiny_copy / "model-00001-of-00002.safetensors").write_bytes(original)
    load_gr00t(tiny_copy, dtype=torch.float16)


def test_a_nan_in_the_slot_that_is_loaded(tiny_copy: Path):
    edit_tensors(tiny_copy, 0, lambda tensors: tensors["action_head.state_encoder.layer1.b"][31, :3].fill_(math.nan))
    fails(tiny_copy, "action_head.state_encoder.layer1.b (3 NaN of 64, in model-00001")
    load_gr00t(tiny_copy, embodiment_slot=30)


def test_weights_beyond_the_range_of_half_precision(tiny_copy: Path):
    edit_tensors(tiny_copy, 0, lambda tensors: tensors["action_head.future_tokens.weight"][0, 0].fill_(1e6))
    fails(
        tiny_copy,
        "1 tensors in",
        "do not fit into torch.float16: action_head.future_tokens.weight (up to 1e+06, in model-00001-of-00002",
        "Load the checkpoint in bfloat16 or float32",
        dtype=torch.float16,
    )
    for dtype in (torch.bfloat16, torch.float32):
        load_gr00t(tiny_copy, dtype=dtype)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "adapter_config.json"])
def test_an_adapter_beside_the_weights(tiny_copy: Path, tmp_path: Path, name: str):
    """Whether the weights have it merged into them is not known."""
    (tiny_copy / name).touch()
    fails(tiny_copy, f"{str(tiny_copy)!r} holds an adapter ({name}), which is not read", "merge_and_unload", "move the")
    (tiny_copy / name).rename(tmp_path / name)
    load_gr00t(tiny_copy)


def test_an_adapter_alone(tmp_path: Path):
    """What LoRA fine-tuning of N1.5 writes."""
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        (tmp_path / name).touch()
    fails(tmp_path, "holds an adapter (adapter_model.safetensors, adapter_config.json)", "Merge it into the weights")


def test_wrong_shape(tiny_copy: Path):
    edit_tensors(tiny_copy, 0, lambda t: t.update({"action_head.future_tokens.weight": torch.zeros(4, 63)}))
    fails(tiny_copy, "action_head.future_tokens.weight", "has shape (4, 63); the checkpoint's configs describe (4, 64)")


def test_slot_out_of_range(tiny_checkpoint: Path):
    for slot in (-1, 32):
        fails(tiny_checkpoint, f"embodiment_slot is {slot}", "expected 0 to 31", "gr1: 24", embodiment_slot=slot)


def test_slot_that_cannot_be_inferred(tiny_copy: Path, reference_checkpoint: Path):
    fails(reference_checkpoint, "embodiment_slot is None", "has no statistics", "new_embodiment: 31")
    metadata = tiny_copy / "experiment_cfg" / "metadata.json"
    edit_json(metadata, gr1={})
    fails(tiny_copy, "statistics of exactly one known embodiment", "has statistics for new_embodiment, gr1")
    assert load_gr00t(tiny_copy, embodiment_slot=24).embodiment_slot == 24
    metadata.write_text(json.dumps({"my_robot": {}}))
    fails(tiny_copy, "has statistics for my_robot")


def test_unknown_attention_implementation(tiny_checkpoint: Path):
    with pytest.raises(ValueError, match="attn_implementation is 'flash'; expected one of eager, sdpa"):
        load_gr00t(tiny_checkpoint, attn_implementation="flash")


def test_resolve_accepts_strings_and_paths(tiny_checkpoint: Path):
    assert resolve_checkpoint(str(tiny_checkpoint)) == resolve_checkpoint(tiny_checkpoint) == tiny_checkpoint


def test_a_failed_write_leaves_nothing(tmp_path: Path):
    def write() -> None:
        with new_directory(tmp_path / "out") as target:
            (target / "half").touch()
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_failed_replacement_keeps_the_old(tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(RuntimeError), new_directory(tmp_path / "out", may_replace=lambda _: True):
        raise RuntimeError
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["old"]
    with new_directory(tmp_path / "out", may_replace=lambda _: True) as target:
        (target / "new").touch()
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["new"]
    (tmp_path / "file").touch()
    message = "is a file; give a directory that does not exist yet"
    with pytest.raises(FileExistsError, match=message), new_directory(tmp_path / "file"):
        pass
