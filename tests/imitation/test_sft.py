# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Supervised fine-tuning: it learns, resumes exactly, and writes what the policy loads."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import recordings
import sft_runs
import torch
from tensordict import TensorDict

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, load_embodiment, load_gr00t
from gr00t_rl_ext.gr00t.weights import CheckpointWeights
from gr00t_rl_ext.imitation import sft_checkpoint
from gr00t_rl_ext.imitation.sft import TimeDistribution
from gr00t_rl_ext.imitation.sft_options import SftOptions
from gr00t_rl_ext.imitation.sft_run import SftRun
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.options import FlowActorOptions, Gr00tOptions
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.robot.task_spec import TaskSpec


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sft_runs.dataset(tmp_path_factory.mktemp("sft") / "data")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # action keys of the dataset are not the checkpoint's: its statistics are replaced
    return sft_runs.tiny(tmp_path_factory.mktemp("sft") / "base")


def weights(run: SftRun) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in run.trainer.model.state_dict().items()}


def test_it_learns_its_demonstrations_by_heart(base: Path, tmp_path: Path):
    data = recordings.write(tmp_path / "data", recordings.episode(6), recordings.episode(4, seed=1))
    train = ("projector", "dit", "vl_self_attention")
    run = sft_runs.run(data, base, steps=240, batch_size=32, holdout=0.0, train=train)
    first = run.evaluate(0.0)
    while run.trainer.steps_done < 240:
        run.trainer.step()
    last = run.evaluate(0.0)
    assert last["held_out_loss"] < 0.15 * first["held_out_loss"]
    # the actions are uniform in [-1, 1]: the best constant would be off by 0.5
    assert first["action_error"] > 0.4
    assert last["action_error"] < 0.2
    by_key = [last[f"action_error/{key}"] for key in ("arm", "arm", "gripper")]
    assert last["action_error"] == pytest.approx(sum(by_key) / 3)


def test_actions_are_sampled_with_as_much_noise_as_asked_for(data: Path, base: Path):
    """The same numbers, scaled: neither the loss nor what is trained depends on it."""
    default, one, none = (sft_runs.run(data, base, **scale) for scale in ({}, {"noise_scale": 1}, {"noise_scale": 0}))
    measured = [run.trainer.evaluate() for run in (default, one, none)]
    assert measured[0] == measured[1]
    assert measured[0]["held_out_loss"] == measured[2]["held_out_loss"]
    assert measured[0]["action_error"] != measured[2]["action_error"]
    (chunks,) = none.trainer.held_out.chunks(np.arange(2), 4)
    obs, model = chunks.encoder.complete(chunks.obs), none.trainer.model
    with torch.no_grad():
        zeros = torch.zeros(2, model.action_horizon, model.max_action_dim)
        expected = model.sample(chunks.encoder.context(obs), chunks.encoder.head_state(obs), zeros)
        sampled = none.trainer.sample(chunks, np.random.default_rng(0))
    torch.testing.assert_close(sampled, chunks.encoder.decode_action(expected, obs))


@pytest.mark.parametrize("train", [("projector",), ("dit",), ("vl_self_attention",), ("language",), ("full",)])
def test_only_what_was_asked_for_changes(data: Path, base: Path, train: tuple[str, ...]):
    run = sft_runs.run(data, base, train=train, language_layers=int(train == ("language",)))
    before = weights(run)
    run.trainer.step()
    changed = {name for name, value in weights(run).items() if not torch.equal(value, before[name])}
    trained = run.trainer.freezing.parameters().keys()
    assert changed
    assert changed <= trained
    assert any(name.startswith("backbone.vision_model") for name in changed) == (train == ("full",))


@pytest.mark.parametrize(
    ("train", "kept"), [(("dit",), "features"), (("vl_self_attention",), "hidden"), (("full",), "front")]
)
def test_kept_features_equal_those_computed_anew(data: Path, base: Path, train: tuple[str, ...], kept: str):
    """What is trained on is what the policy computes from the images of the videos."""
    run = sft_runs.run(data, base, train=train, holdout=0.0)
    rows = np.array([0, 5, 11, 17])
    (chunks,) = run.trainer.train.chunks(rows, 4)
    assert kept in chunks.obs.keys()
    frames = [(one, t) for one in run.dataset for t in range(len(one))]
    images = np.stack([frames[row][0].images("front")[frames[row][1]] for row in rows])
    states = np.stack([np.concatenate([v[t] for v in one.state.values()]) for one, t in (frames[r] for r in rows)])
    fresh = TensorDict({"front": torch.from_numpy(images), "state": torch.from_numpy(states)}, batch_size=[4])
    encoder = chunks.encoder
    torch.testing.assert_close(
        encoder.complete(chunks.obs)["features"], encoder.encode(fresh)["features"], rtol=0, atol=1e-5
    )
    assert torch.equal(encoder.raw_state(chunks.obs), encoder.raw_state(fresh))


def test_a_file_holds_what_memory_holds(data: Path, base: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path))
    in_memory = sft_runs.run(data, base)
    in_file = sft_runs.run(data, base, cache_gib=0.0)
    # the second loss depends on the first gradient
    losses = [[run.trainer.step() for _ in range(2)] for run in (in_memory, in_file)]
    assert losses[0] == losses[1]
    assert list((tmp_path / "features").iterdir()) == [], "the files have no names"


def test_features_that_no_disk_can_hold(data: Path, base: Path, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1024))
    with pytest.raises(ValueError, match="features of 15 frames take 0.0 GiB.* has 0.0 GiB free. Raise --cache-gib"):
        sft_runs.run(data, base, cache_gib=0.0)
    # the advice
    sft_runs.run(data, base, cache_gib=0.1)


def test_chunks_end_with_their_episode(data: Path, base: Path):
    run = sft_runs.run(data, base, holdout=0.0)
    # the episodes have 3, 4, 5 and 6 steps: frame 8 is the second of the third
    (chunks,) = run.trainer.train.chunks(np.array([1, 8]), 4)
    actions = [np.concatenate(list(one.action.values()), axis=1) for one in run.dataset]
    assert torch.equal(chunks.actions[0], torch.from_numpy(actions[0][[1, 2, 2, 2]]))
    assert torch.equal(chunks.actions[1], torch.from_numpy(actions[2][1:]))
    assert chunks.real.tolist() == [[True, True, False, False], [True] * 4]


def test_several_instructions(tmp_path: Path, base: Path):
    """Each frame is encoded with the instruction of its episode; the loss is the mean over the frames."""
    data = sft_runs.dataset(tmp_path / "data", "lift the red cube", "push the button")
    run = sft_runs.run(data, base, holdout=0.0)
    texts = [part.encoder.spec.instruction for part in run.trainer.train.parts]
    assert texts == ["lift the red cube", "push the button"]
    # episodes 0 and 2 of the first (8 frames), 1 and 3 of the second (10)
    first, second = run.trainer.train.chunks(np.array([0, 8, 9, 17]), 4)
    assert (len(first.actions), len(second.actions)) == (1, 3)
    actions = [torch.from_numpy(np.concatenate(list(one.action.values()), axis=1)) for one in run.dataset]
    assert torch.equal(second.actions[2, 0], actions[3][-1])
    assert math.isfinite(run.trainer.step())


def test_a_resumed_run_equals_one_that_was_not_interrupted(data: Path, base: Path, tmp_path: Path):
    straight = sft_runs.run(data, base)
    losses = [straight.trainer.step() for _ in range(6)]
    broken = sft_runs.run(data, base)
    first = [broken.trainer.step() for _ in range(3)]
    broken.evaluate(1.0)
    broken.save(tmp_path / "out")
    resumed = sft_runs.run(data, base, resume=tmp_path / "out")
    assert first + [resumed.trainer.step() for _ in range(3)] == losses
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(straight).items())
    assert [row["step"] for row in resumed.curve] == [3]
    resumed.save(tmp_path / "out")  # replaces what was there
    assert json.loads((tmp_path / "out/sft/settings.json").read_text())["steps"] == 6


def test_resuming_needs_the_same_settings(data: Path, base: Path, tmp_path: Path):
    run = sft_runs.run(data, base)
    run.save(tmp_path / "out")
    text = "other settings; now learning_rate 0.001, then 0.003; holdout 0.5, then 0.25"
    with pytest.raises(ValueError, match=text):
        sft_runs.run(data, base, learning_rate=1e-3, holdout=0.5, resume=tmp_path / "out")
    (tmp_path / "out/sft/state.pt").write_bytes(b"no")
    with pytest.raises(ValueError, match="cannot be read"):
        sft_runs.run(data, base, resume=tmp_path / "out")


def policy(checkpoint: Path) -> Gr00tFlowActor:
    """The flow policy of a task whose state and action have the dataset's order, under names of their own."""
    spec = TaskSpec(
        instruction="lift the red cube",
        image_groups=("rgb",),
        cameras=("camera",),
        state_groups=("proprioception",),
        state_terms={"q": 3, "hand": 2},
        action_terms={"move": 2, "grip": 1},
    )
    freezing = FreezingOptions(train=("projector", "dit"))
    encoder = Gr00tEncoder.load(spec, Gr00tOptions(checkpoint=str(checkpoint)), "cpu", freezing, reads_head=True)
    return Gr00tFlowActor(encoder, FlowActorOptions(chunk_length=4))


@pytest.mark.parametrize("train", [("projector", "dit"), ("full",)])
def test_the_policy_acts_as_the_trainer(data: Path, base: Path, tmp_path: Path, train: tuple[str, ...]):
    """Through rsl_rl's side, from a task's observations, from the checkpoint that was written."""
    run = sft_runs.run(data, base, train=train, holdout=0.0)
    for _ in range(3):
        run.trainer.step()
    run.save(tmp_path / "out")
    one = run.dataset[0]
    (chunks,) = run.trainer.train.chunks(np.arange(len(one)), 4)
    with torch.no_grad():
        expected = run.trainer.sample(chunks, np.random.default_rng(3))

    actor = policy(tmp_path / "out")
    state = torch.from_numpy(np.concatenate(list(one.state.values()), axis=1))
    obs = TensorDict({"rgb": torch.from_numpy(one.images("front")), "proprioception": state}, batch_size=[len(one)])
    shape = len(one), 4, 8
    noise = torch.from_numpy(np.random.default_rng(3).standard_normal(shape, dtype=np.float32))
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch, "randn", lambda *_, **__: noise)
        actions, _ = actor.decide(actor.encoder.encode(obs), stochastic=False)
    torch.testing.assert_close(actions, expected, rtol=0, atol=1e-5)


def test_what_is_written(data: Path, base: Path, tmp_path: Path):
    """A GR00T checkpoint with the dataset's statistics, the other robots untouched, and the curve beside it."""
    run = sft_runs.run(data, base)
    run.trainer.step()
    run.evaluate(0.5)
    run.save(tmp_path / "out")
    model = load_gr00t(tmp_path / "out", dtype=torch.float32)
    assert all(torch.equal(value, weights(run)[name]) for name, value in model.state_dict().items())
    robot = load_embodiment(tmp_path / "out", "new_embodiment")
    values = np.concatenate([one.action["arm"] for one in run.dataset])
    ends = torch.from_numpy(np.stack([values.min(0), values.max(0)]))
    padded = torch.cat([ends, torch.zeros(2, 1)], dim=1)
    assert torch.allclose(robot.action.normalize(padded)[:, :2], torch.tensor([[-1.0, -1.0], [1.0, 1.0]]))
    assert robot.video_keys == ("front",)
    row = (tmp_path / "out/sft/curve.csv").read_text().splitlines()
    assert row[0] == "step,train_loss,held_out_loss,action_error,action_error/arm,action_error/gripper"
    assert row[1].startswith("1,0.5,")
    assert len(json.loads((tmp_path / "out/sft/curve.json").read_text())) == 1
    # the slots of other robots
    slot = model.embodiment_slot
    name = "action_head.state_encoder.layer1.b"
    before, after = (CheckpointWeights(path).read(name) for path in (base, tmp_path / "out"))
    others = [index for index in range(32) if index != slot]
    assert torch.equal(before[others], after[others])
    assert not torch.equal(before[slot], after[slot])
    # not taken for a random one, which may be replaced
    with pytest.raises(FileExistsError):
        sft_runs.tiny(tmp_path / "out")


def test_statistics_of_the_checkpoint_may_be_kept(data: Path, tmp_path: Path):
    keys = {"state_keys": {"joints": 3, "pose": 2}, "action_keys": {"arm": 2, "gripper": 1}}
    base = sft_runs.tiny(tmp_path / "base", **keys, ranges={"action.arm": (-4.0, 4.0)})
    run = sft_runs.run(data, base, keep_statistics=True)
    run.save(tmp_path / "out")
    name = "experiment_cfg/metadata.json"
    assert (tmp_path / "out" / name).read_bytes() == (base / name).read_bytes()
    other = sft_runs.tiny(tmp_path / "other")
    with pytest.raises(Gr00tCheckpointError, match="describe the state as joint_position 7.* the dataset has joints 3"):
        sft_runs.run(data, other, keep_statistics=True)


def test_a_small_gr00t_is_made_for_a_dataset(data: Path):
    run = sft_runs.run(data, "small", horizon=5, train=("full",))
    model = run.trainer.model
    assert (model.action_horizon, model.backbone.image_size) == (5, 32)
    assert 0.9e6 < sum(p.numel() for p in model.parameters()) < 1.1e6
    assert math.isfinite(run.trainer.step())


def test_n1_7_with_its_own_statistics(data: Path, tmp_path: Path):
    keys = {"state_keys": {"joints": 3, "pose": 2}, "action_keys": {"arm": 2, "gripper": 1}}
    base = sft_runs.tiny(tmp_path / "base", version="N1.7", image_size=256, video_keys=["front"], **keys)
    run = sft_runs.run(data, base, keep_statistics=True)
    assert math.isfinite(run.trainer.step())
    run.save(tmp_path / "out")
    assert load_gr00t(tmp_path / "out").version == "N1.7"
    with pytest.raises(Gr00tCheckpointError, match="is a GR00T N1.7.*Use --keep-statistics"):
        sft_runs.run(data, base)


def test_times_follow_the_published_distribution():
    """t = (s - x) / s with x ~ Beta(1.5, 1), whose mean is 0.6."""
    times = TimeDistribution(1.5, 1.0, 0.999).sample(np.random.default_rng(0), 200_000)
    assert times.min() >= 0
    assert times.max() < 1
    assert float(times.mean()) == pytest.approx((0.999 - 0.6) / 0.999, abs=2e-3)
    # P(x <= 0.25) = 0.25 ** 1.5
    assert float((times >= (0.999 - 0.25) / 0.999).float().mean()) == pytest.approx(0.125, abs=3e-3)


def test_learning_rate():
    options = SftOptions(Path(), "small", steps=100, learning_rate=1.0, warmup=0.1)
    rates = [options.learning_rate_at(step) for step in range(100)]
    assert rates[:2] == pytest.approx([0.1, 0.2])
    assert rates[9:11] == [1.0, 1.0]
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 1e-3
    constant = dataclasses.replace(options, schedule="constant")
    assert constant.learning_rate_at(99) == 1.0


def test_a_loss_that_is_not_finite_names_its_cause(data: Path, base: Path):
    run = sft_runs.run(data, base)
    with torch.no_grad():
        next(iter(run.trainer.freezing.parameters().values())).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"step 0 is nan. Nothing was trained yet, .* of --checkpoint are not"):
        run.trainer.step()
    run = sft_runs.run(data, base, learning_rate=1e30)
    run.trainer.step()
    with pytest.raises(FloatingPointError, match=r"step 1 is nan. Lower --learning-rate \(1e\+30\)"):
        run.trainer.step()
    # the advice
    run = sft_runs.run(data, base, learning_rate=1e-3)
    assert all(math.isfinite(run.trainer.step()) for _ in range(2))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 0}, "--steps is 0; expected at least 1"),
        ({"schedule": "linear"}, "--schedule is 'linear'; expected one of cosine, constant"),
        ({"warmup": 1.0}, "--warmup is 1.0; expected a share"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0; expected a positive number"),
        ({"max_grad_norm": 0.0}, "--max-grad-norm is 0.0"),
        ({"eval_every": 0}, "--eval-every is 0; expected at least 1"),
        ({"keep_statistics": True}, "--keep-statistics needs a checkpoint that has some"),
    ],
)
def test_option_errors(changes: dict, text: str):
    with pytest.raises(ValueError, match=text):
        SftOptions(Path(), "small", **changes)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"cameras": ["front", "wrist"]}, "has no camera 'wrist'; it has front"),
        ({"holdout": 1.0}, "--holdout is 1.0"),
        ({"train": ["language"]}, "--language-layers is 0"),
        ({"train": ["language"], "language_layers": 9}, "--train and --language-layers cannot.*has 2 layers"),
        ({"train": ["dit", "dit"]}, "--train and --language-layers cannot.*trains already"),
        ({"embodiment_tag": "robot"}, "embodiment tag 'robot' has no published slot"),
    ],
)
def test_request_errors(data: Path, base: Path, request_: dict, text: str):
    with pytest.raises(ValueError, match=text):
        sft_runs.run(data, base, **request_)


def test_an_action_that_is_too_wide(data: Path, tmp_path: Path):
    base = sft_runs.tiny(tmp_path / "narrow", max_action_dim=2, action_keys={"arm": 2})
    with pytest.raises(Gr00tCheckpointError, match=r"3 dimensions exceed max_action_dim = 2: arm \(2"):
        sft_runs.run(data, base)


def test_a_dataset_without_cameras(tmp_path: Path, base: Path):
    data = sft_runs.dataset(tmp_path / "data")
    file = data / "meta/modality.json"
    modality = json.loads(file.read_text())
    file.write_text(json.dumps(modality | {"video": {}}))
    with pytest.raises(ValueError, match="has no cameras"):
        sft_runs.run(data, base)


def test_failures_are_left_out(tmp_path: Path, base: Path):
    data = recordings.write(tmp_path / "data", recordings.episode(success=False))
    with pytest.raises(ValueError, match="None of the 1 episodes"):
        sft_runs.run(data, base)
    assert sft_runs.run(data, base, keep_failures=True).trainer.step() > 0


def test_where_a_checkpoint_may_be_written(tmp_path: Path, base: Path):
    with pytest.raises(FileExistsError, match="the checkpoint to start from"):
        sft_checkpoint.check_out(base, str(base), resume=False)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="a file"):
        sft_checkpoint.check_out(tmp_path / "file", "small", resume=False)
    with pytest.raises(FileExistsError, match="is not empty.*--resume"):
        sft_checkpoint.check_out(tmp_path, "small", resume=False)
    with pytest.raises(FileNotFoundError, match="holds no run to resume"):
        sft_checkpoint.check_out(tmp_path, "small", resume=True)
