# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""encoder: what is cached is what the model computes, it is frozen, and widths that do not fit are refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from policies import POLICIES
from tensordict import TensorDict
from tiny_policy import SPEC, actor_critic, load_encoder, observations
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, build_tiny_checkpoint
from gr00t_rl_ext.gr00t.embodiment import METADATA_FILE
from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.base_checkpoint import fingerprint, tiny_checkpoint
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import Gr00tOptions


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may damage."""
    return Path(shutil.copytree(tiny_checkpoint(SPEC), tmp_path / "checkpoint"))


def edit_json(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def model_features(encoder: Gr00tEncoder, cameras: list[Tensor], batch: int) -> Tensor:
    """The model's own features, camera by camera, without the encoder."""
    ids, mask = encoder.inputs.prompt(SPEC.instruction, batch)
    pixels = encoder.inputs.pixel_values(cameras)
    return encoder.model.encode(pixel_values=pixels, input_ids=ids, attention_mask=mask).tokens


def test_features_replace_the_images_and_are_those_of_the_model(encoder: Gr00tEncoder) -> None:
    obs = observations()
    encoded = encoder.encode(obs)
    assert set(encoded.keys()) == {"state", "privileged", FEATURES}
    assert encoded.batch_size == obs.batch_size
    assert torch.equal(encoded["state"], obs["state"])
    expected = model_features(encoder, [obs["rgb"][..., :3], obs["rgb"][..., 3:]], 4)
    assert torch.equal(encoded[FEATURES], expected)
    assert encoded[FEATURES].shape == (4, *encoder.feature_shape)
    assert not encoded[FEATURES].requires_grad
    assert "rgb" in obs.keys(), "the caller's observation stays as it is"


def test_features_depend_on_every_camera_and_on_their_order(encoder: Gr00tEncoder) -> None:
    obs = observations()
    base = encoder.encode(obs)[FEATURES]
    for camera in (slice(0, 3), slice(3, 6)):
        changed = obs.clone()
        changed["rgb"][..., camera] = 255 - changed["rgb"][..., camera]
        assert not torch.equal(encoder.encode(changed)[FEATURES], base)
    swapped = obs.clone()
    swapped["rgb"] = swapped["rgb"].roll(3, dims=-1)
    assert not torch.equal(encoder.encode(swapped)[FEATURES], base)


def test_several_image_groups_are_read_in_the_order_of_the_spec(encoder: Gr00tEncoder) -> None:
    obs = observations()
    split = TensorDict(
        # the dictionary's order differs from the spec's
        {"wrist": obs["rgb"][..., 3:], "front": obs["rgb"][..., :3], "state": obs["state"]},
        batch_size=obs.batch_size,
    )
    spec = dataclasses.replace(SPEC, image_groups=("front", "wrist"))
    several = Gr00tEncoder(encoder.freezing, encoder.inputs, spec, encoder.fingerprint)
    encoded = several.encode(split)
    assert set(encoded.keys()) == {"state", FEATURES}
    assert torch.equal(encoded[FEATURES], encoder.encode(obs)[FEATURES])


def test_decisions_do_not_influence_each_other(encoder: Gr00tEncoder) -> None:
    obs = observations()
    together = encoder.encode(obs)[FEATURES]
    for index in range(4):
        alone = encoder.encode(obs[index : index + 1])[FEATURES]
        torch.testing.assert_close(alone[0], together[index], rtol=1e-4, atol=1e-5)


def test_calls_count_forward_passes_of_the_backbone(encoder: Gr00tEncoder) -> None:
    before = encoder.calls
    encoder.encode(observations())
    encoder.encode(observations(num_envs=1))
    encoder.state(observations())
    encoder.encoded_example(observations())
    assert encoder.calls == before + 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_example_has_the_layout_of_an_encoding(dtype: str) -> None:
    encoder, obs = load_encoder(dtype=dtype), observations()
    example, encoded = encoder.encoded_example(obs), encoder.encode(obs)
    assert encoder.calls == 1
    assert set(example.keys()) == set(encoded.keys())
    assert example.batch_size == encoded.batch_size
    for name in encoded.keys():
        assert example[name].shape == encoded[name].shape, name
        assert example[name].dtype == encoded[name].dtype, name
        assert example[name].device == encoded[name].device, name
    assert encoded[FEATURES].dtype == getattr(torch, dtype)


def test_the_state_is_normalised_with_the_checkpoints_statistics(tmp_path: Path) -> None:
    directory = build_tiny_checkpoint(
        tmp_path / "ranges",
        state_keys=SPEC.state_terms,
        action_keys=SPEC.action_terms,
        ranges={"state.joints": (0.0, 4.0), "state.object": (-10.0, 10.0)},
    )
    encoder = load_encoder(checkpoint=str(directory))
    obs = observations()
    obs["state"][:] = 1.0
    expected = torch.tensor([-0.5] * 9 + [0.1] * 7).expand(4, 16)
    torch.testing.assert_close(encoder.state(obs), expected)
    assert encoder.state_dim == 16


def test_several_state_groups_are_joined_in_the_order_of_the_spec(encoder: Gr00tEncoder) -> None:
    obs = observations()
    split = TensorDict({"b": obs["state"][:, 9:], "a": obs["state"][:, :9]}, batch_size=obs.batch_size)
    several = Gr00tEncoder(
        encoder.freezing, encoder.inputs, dataclasses.replace(SPEC, state_groups=("a", "b")), encoder.fingerprint
    )
    assert torch.equal(several.state(split), encoder.state(obs))


def test_the_heads_actions_become_the_environments_and_back(tmp_path: Path) -> None:
    directory = build_tiny_checkpoint(
        tmp_path / "ranges",
        state_keys=SPEC.state_terms,
        action_keys=SPEC.action_terms,
        ranges={"action.arm": (0.0, 4.0), "action.gripper": (-10.0, 10.0)},
    )
    encoder, obs = load_encoder(checkpoint=str(directory)), observations()
    normalized = torch.zeros(4, 16, encoder.model.max_action_dim)
    normalized[..., :8] = 0.5
    actions = encoder.decode_action(normalized, obs)
    torch.testing.assert_close(actions, torch.tensor([3.0] * 7 + [5.0]).expand(4, 16, 8))
    torch.testing.assert_close(encoder.encode_action(actions, obs), normalized)


# Frozen


def test_the_backbone_is_part_of_neither_actor_nor_critic(encoder: Gr00tEncoder) -> None:
    """So it reaches no checkpoint, no optimizer, no `train()` and no `to()`."""
    pair = actor_critic(encoder)
    frozen = {id(parameter) for parameter in encoder.model.parameters()}
    for module in (pair.actor, pair.critic):
        assert not frozen & {id(parameter) for parameter in module.parameters()}
        module.train()
        module.requires_grad_(True)
    assert set(pair.actor.state_dict()) == {f"adapter.{name}" for name in pair.actor.adapter.state_dict()}
    assert all(name.startswith(("feature_norm", "normalizer", "mlp")) for name in pair.critic.state_dict())
    assert encoder.freezing.check_gradients().num_trained == 0


# Fingerprint


def test_a_copy_has_the_same_fingerprint(checkpoint: Path) -> None:
    assert fingerprint(checkpoint) == fingerprint(tiny_checkpoint(SPEC))


def test_other_weights_have_another_fingerprint(tmp_path: Path) -> None:
    first, other = (build_tiny_checkpoint(tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert fingerprint(first) != fingerprint(other)


def test_other_statistics_have_another_fingerprint(checkpoint: Path) -> None:
    """The same weights behind another normalisation of the state are another base for the adapter."""
    before = fingerprint(checkpoint)
    file = checkpoint / METADATA_FILE
    metadata = json.loads(file.read_text())
    metadata["new_embodiment"]["statistics"]["state"]["joints"]["max"][0] = 3.0
    file.write_text(json.dumps(metadata))
    assert fingerprint(checkpoint) != before


# Loading


def test_the_tiny_checkpoint_is_built_once_and_per_task() -> None:
    directory = tiny_checkpoint(SPEC)
    stamp = (directory / "config.json").stat().st_mtime_ns
    assert tiny_checkpoint(SPEC) == directory
    assert (directory / "config.json").stat().st_mtime_ns == stamp
    other = dataclasses.replace(SPEC, action_terms={"arm": 6})
    assert tiny_checkpoint(other) != directory


def test_the_slot_is_the_one_of_the_tag_where_a_checkpoint_knows_several_robots(checkpoint: Path) -> None:
    file = checkpoint / METADATA_FILE
    edit_json(file, gr1=json.loads(file.read_text())["new_embodiment"])
    assert load_encoder(checkpoint=str(checkpoint), embodiment_tag="gr1").model.embodiment_slot == 24
    assert load_encoder(checkpoint=str(checkpoint)).model.embodiment_slot == 31
    assert load_encoder(checkpoint=str(checkpoint), embodiment_tag="gr1", embodiment_slot=5).model.embodiment_slot == 5


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`gr00t.dtype` is 'int4'; expected 'auto', 'float32', 'bfloat16', 'float16'"):
        load_encoder(dtype="int4")


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Gr00tCheckpointError, match="no such directory: .*nowhere"):
        load_encoder(checkpoint=str(tmp_path / "nowhere"))


def test_a_model_of_another_kind_is_refused(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", model_type="llama", architectures=["LlamaForCausalLM"])
    with pytest.raises(Gr00tCheckpointError, match="holds a model of another kind: model_type 'llama'.*N1.5"):
        load_encoder(checkpoint=str(checkpoint))


def test_missing_statistics_are_refused(checkpoint: Path) -> None:
    (checkpoint / METADATA_FILE).unlink()
    with pytest.raises(Gr00tCheckpointError, match="has no statistics"):
        load_encoder(checkpoint=str(checkpoint))


def test_a_missing_tokenizer_is_refused(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(Gr00tCheckpointError, match="holds no tokenizer"):
        load_encoder(checkpoint=str(checkpoint))


@pytest.mark.parametrize("tag", ["gr1", "my_robot"])
def test_an_unknown_embodiment_is_refused_with_those_that_exist(checkpoint: Path, tag: str) -> None:
    with pytest.raises(Gr00tCheckpointError, match=f"embodiment tag '{tag}'.*available are new_embodiment"):
        load_encoder(checkpoint=str(checkpoint), embodiment_tag=tag)


def test_a_state_of_another_width_than_the_statistics_is_refused(checkpoint: Path) -> None:
    spec = dataclasses.replace(SPEC, state_terms={"joints": 9, "object": 5})
    with pytest.raises(
        Gr00tCheckpointError,
        match=r"state has 14 dimensions \(joints 9, object 5\), but the checkpoint's statistics for 'new_embodiment'"
        r" describe 16 \(joints \(9, min_max\), object \(7, min_max\)\).*embodiment_tag",
    ):
        load_encoder(spec, checkpoint=str(checkpoint))


def test_actions_of_another_width_than_the_statistics_are_refused(checkpoint: Path) -> None:
    spec = dataclasses.replace(SPEC, action_terms={"arm": 6})
    with pytest.raises(Gr00tCheckpointError, match=r"action has 6 dimensions \(arm 6\).*describe 8 \(arm \(7"):
        load_encoder(spec, checkpoint=str(checkpoint))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("state_terms", r"state has 70 dimensions \(wide 70\); the checkpoint takes at most 64"),
        ("action_terms", r"action has 70 dimensions \(wide 70\); the checkpoint takes at most 32"),
    ],
)
def test_more_dimensions_than_the_model_takes_are_refused(checkpoint: Path, field: str, text: str) -> None:
    spec = dataclasses.replace(SPEC, **{field: {"wide": 70}})
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_encoder(spec, checkpoint=str(checkpoint))
    with pytest.raises(ValueError, match="add up to 70; expected 1 to"):
        load_encoder(spec)


def test_gr00t_n1_7(tmp_path: Path) -> None:
    """Another version is a checkpoint's path and an embodiment tag, nothing else."""
    path = build_tiny_checkpoint(
        tmp_path / "n1_7",
        version="N1.7",
        state_keys=SPEC.state_terms,
        action_keys=SPEC.action_terms,
        embodiment_tag="my_robot",
        horizon=8,
    )
    processor = json.loads((path / "processor_config.json").read_text())["processor_kwargs"]
    processor["modality_configs"]["my_robot"]["action"]["delta_indices"] = list(range(5))
    edit_json(path / "processor_config.json", processor_kwargs=processor)
    options = Gr00tOptions(checkpoint=str(path), embodiment_tag="my_robot")
    encoder = Gr00tEncoder.load(SPEC, options, "cpu")
    assert (encoder.model.version, encoder.model.embodiment_slot) == ("N1.7", 31)
    obs = observations(2)
    encoded = encoder.encode(obs)
    assert encoded[FEATURES].shape == encoder.encoded_example(obs)[FEATURES].shape == (2, *encoder.feature_shape)
    expected = model_features(encoder, [obs["rgb"][..., :3], obs["rgb"][..., 3:]], 2)
    assert torch.equal(encoded[FEATURES], expected)
    assert encoder.state(obs).shape == (2, 16)
    assert (encoder.action_horizon, encoder.model.action_horizon) == (5, 8)
    before = encoder.fingerprint
    edit_json(path / "processor_config.json", note="the policy sees the state through this file")
    assert fingerprint(path) != before


def test_a_float32_model_leaves_the_precision_to_the_caller() -> None:
    """``agent.algorithm.use_mixed_precision`` reaches the action head."""
    policy = POLICIES["flow, sde, one step"].build()
    encoded = policy.encoder.encode(observations())
    _, recorded = policy.actor.decide(encoded, stochastic=True)
    assert recorded is not None
    decisions = Decisions(torch.zeros(4, 32), recorded, torch.ones(4, 4, dtype=torch.bool))
    with torch.no_grad():
        exact, _ = policy.actor.distribution(encoded, decisions)
        with torch.autocast("cpu", torch.bfloat16):
            mixed, _ = policy.actor.distribution(encoded, decisions)
    error = float((mixed - exact).abs().max() / exact.abs().max())
    assert 1e-4 < error < 0.1


def fitted(tmp_path: Path, **robot: object) -> Gr00tEncoder:
    """A checkpoint that says this of the robot, in our task."""
    keys = {"state_keys": SPEC.state_terms, "action_keys": SPEC.action_terms, "video_keys": SPEC.cameras} | robot
    return load_encoder(checkpoint=str(build_tiny_checkpoint(tmp_path / "checkpoint", **keys)))


@pytest.mark.parametrize(
    ("robot", "message"),
    [
        (
            {"action_keys": {"arm": 3, "gripper": 1}},
            r"action has 8 dimensions \(arm 7, gripper 1\), but .* describe 4 \(arm \(3,.*change the task's action"
            " terms, say in `agent.actor.gr00t.mapping`",
        ),
        (
            {"state_keys": {"joints": 9}},
            "change the task's state terms .`agent.obs_groups.actor` names the observation",
        ),
        (
            {"state_keys": {"object": 7, "joints": 9}},
            "The task's state is joints, object, but .* the same keys in another order: object, joints. Change the",
        ),
        (
            {"video_keys": ("camera",)},
            r"shows the cameras camera, wrist, but .* was trained on camera. .*`env.cameras=\[camera\]`",
        ),
        ({"video_keys": ("wrist", "camera")}, "was trained on wrist, camera"),
    ],
)
def test_what_the_checkpoint_says_of_the_robot_must_be_true_of_the_task(
    tmp_path: Path, robot: dict[str, object], message: str
) -> None:
    with pytest.raises(Gr00tCheckpointError, match=message):
        fitted(tmp_path, **robot)


def test_other_names_are_matched_by_position(tmp_path: Path) -> None:
    fitted(tmp_path, state_keys={"a": 9, "b": 7}, action_keys={"c": 8}, video_keys=("d",))


def test_states_far_outside_of_the_statistics_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the warning advises silences it: the mapping, with units."""
    ranges = {"state.joints": (-4.0, 4.0), "state.object": (-4.0, 4.0)}
    base = build_tiny_checkpoint(
        tmp_path / "checkpoint", state_keys=SPEC.state_terms, action_keys=SPEC.action_terms, ranges=ranges
    )
    obs = observations()
    load_encoder(checkpoint=str(base)).encode(obs)
    assert capsys.readouterr().out == ""
    obs["state"][:, :9] *= 57.3
    load_encoder(checkpoint=str(base)).encode(obs)
    printed = capsys.readouterr().out
    assert "state.joints, dimension" in printed
    assert "Likely another unit (degrees for radians" in printed
    assert "`agent.actor.gr00t.mapping`" in printed
    assert "state.object" not in printed
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("state:\n  joints: {term: joints, from: deg, to: rad}\n  object: object\n")
    load_encoder(checkpoint=str(base), mapping=str(mapping)).encode(obs)
    # nor are the statistics of the tiny GR00T of a task, which are made up
    load_encoder().encode(obs)
    assert capsys.readouterr().out == ""
