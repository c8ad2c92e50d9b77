# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The estimate of memory is what training really allocates, and what cannot fit is refused before it is allocated."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from allocated_memory import peak_allocated
from made_up_experience import H, Runner
from tiny_policy import OBS_GROUPS, SPEC, load_encoder, observations
from torch._subclasses.fake_tensor import FakeTensor

from gr00t_rl_ext.algorithms import construction, footprint
from gr00t_rl_ext.algorithms.footprint import DrivenAlgorithm, without_reading_weights
from gr00t_rl_ext.algorithms.options import PpoOptions
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.footprint import estimate as memory
from gr00t_rl_ext.footprint.estimate import BatchSizes, MemoryEstimate, PhaseMemory, _fitting_sizes
from gr00t_rl_ext.footprint.trace import MemoryTrace
from gr00t_rl_ext.gr00t.images import ImageRecipe, ImageTransform
from gr00t_rl_ext.gr00t.weights import CheckpointWeights
from gr00t_rl_ext.policy.base_checkpoint import tiny_checkpoint
from gr00t_rl_ext.robot.task_spec import TASK, TaskSpec

NUM_ENVS, NUM_STEPS = 16, 4
GAUSSIAN, FLOW = "gaussian_actor:Gr00tGaussianActor", "flow_actor:Gr00tFlowActor"


@pytest.fixture(autouse=True)
def task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TaskSpec, "from_env", classmethod(lambda cls, *_, **__: SPEC))
    tiny_checkpoint(SPEC)


@dataclass(frozen=True)
class Agent:
    """Settings as on the command line."""

    train: tuple[str, ...] = ()
    freezing: dict[str, Any] = field(default_factory=dict)
    algorithm: dict[str, Any] = field(default_factory=dict)
    critic: dict[str, Any] = field(default_factory=dict)
    flow: dict[str, Any] | None = None
    """None: the Gaussian policy."""

    def build(self) -> Any:
        """As rsl_rl's runner does, over an environment that is asked for nothing."""
        actor_class, sections = (GAUSSIAN, {}) if self.flow is None else (FLOW, {"flow": self.flow})
        freezing = {"train": list(self.train), "lora_rank": 4} | self.freezing
        cfg = {
            "algorithm": {
                "class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO",
                "schedule": "fixed",
                "num_learning_epochs": 1,
                **self.algorithm,
            },
            "actor": {"class_name": f"gr00t_rl_ext.policy.{actor_class}", "chunk_length": H, "freezing": freezing}
            | sections,
            "critic": {"class_name": "gr00t_rl_ext.policy.critic:Gr00tCritic", **self.critic},
            "obs_groups": OBS_GROUPS,
            "num_steps_per_env": NUM_STEPS,
            "multi_gpu": None,
        }
        unwrapped = SimpleNamespace(configure_decisions=lambda *args, **kwargs: None)
        env = SimpleNamespace(unwrapped=unwrapped, num_envs=NUM_ENVS)
        return construction.build(observations(NUM_ENVS), env, cfg, "cpu")  # type: ignore[arg-type]


class EstimatedError(ValueError):
    """Ends the construction once there is an estimate."""


def estimate_of(monkeypatch: pytest.MonkeyPatch, agent: Agent) -> MemoryEstimate:
    original = construction.estimate_footprint

    def stop(*args: Any) -> None:
        raise EstimatedError(original(*args))

    with monkeypatch.context() as patches:
        patches.setattr(construction, "estimate_footprint", stop)
        with pytest.raises(EstimatedError) as error:
            agent.build()
    return error.value.args[0]


def estimate_and_peak(monkeypatch: pytest.MonkeyPatch, agent: Agent) -> tuple[MemoryEstimate, int]:
    """The estimate, and the peak of building the agent and training it for two iterations."""
    estimate = estimate_of(monkeypatch, agent)
    monkeypatch.setattr(construction, "estimate_footprint", lambda *_: estimate)
    # safetensors allocates what it reads by itself, where torch's profiler does not see it
    read = CheckpointWeights.read
    monkeypatch.setattr(CheckpointWeights, "read", lambda self, *args: read(self, *args).clone())

    def train() -> None:
        alg = agent.build()
        alg.train_mode()
        if isinstance(alg, Gr00tPPO):
            Runner(alg).iterate(2)
            return
        driven = DrivenAlgorithm(alg, lambda: observations(NUM_ENVS).select("rgb", "state"))
        for _ in range(2):
            driven.rollout()
            driven.update()

    return estimate, peak_allocated(train)


HEAD = ("projector", "dit")
NO_KL = {"kl_to_base_coef": 0.0}
GRPO = {"class_name": "gr00t_rl_ext.algorithms.grpo:Gr00tGRPO"}
SMALL = {"num_steps": 2}
"""Steps of the flow."""

AGENTS = {
    "Gaussian": Agent(algorithm={"num_mini_batches": 1}),
    "Gaussian, values of steps, no KL": Agent(critic={"values": "step"}, algorithm=NO_KL),
    "language, checkpointing": Agent(("language",), {"language_layers": 1, "gradient_checkpointing": True}),
    "stages": Agent(freezing={"schedule": [{"train": ["full"], "at_iteration": 1}]}),
    "flow": Agent(HEAD, flow=SMALL),
    "flow, all steps, values of steps": Agent(HEAD, critic={"values": "step"}, flow=SMALL | {"score": "all_steps"}),
    "flow, accumulation": Agent(HEAD, algorithm={"gradient_accumulation_steps": 3, "num_mini_batches": 1}, flow=SMALL),
    "flow, LoRA, no KL": Agent(("dit_lora",), algorithm=NO_KL, flow=SMALL),
    "GRPO, Gaussian": Agent(algorithm=GRPO),
    "GRPO, flow": Agent(HEAD, algorithm=GRPO | NO_KL, flow=SMALL),
    "flow, VL self-attention": Agent(("vl_self_attention", *HEAD), critic={"detach": False}, flow=SMALL),
}


MADE_OF_OTHERS = ("Gaussian", "flow", "flow, all steps, values of steps")
"""What these are made of is in the others."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in MADE_OF_OTHERS)) for name in AGENTS],
)
def test_the_estimate_is_the_measured_peak(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 3 % (GRPO, which copies the observations of environments that go on: 5 %); 15 % are promised. The second
    iteration of "stages" is in another stage."""
    estimate, peak = estimate_and_peak(monkeypatch, AGENTS[name])
    assert estimate.total == pytest.approx(peak, rel=0.05 if "GRPO" in name else 0.03)


def test_images_at_time_outs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are encoded while those of the next decision are there as well."""
    plain, images = (
        estimate_of(monkeypatch, Agent(algorithm={"bootstrap_images": value})).rollout for value in (False, True)
    )
    assert images.activations - plain.activations >= observations(NUM_ENVS)["rgb"].nbytes


def test_random_numbers_and_weights_are_those_without_the_estimate_which_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    estimated = Agent().build()
    printed = capsys.readouterr().out
    assert "memory at the peak, MiB   rollout    update" in printed
    assert "of 16 environments; of 16 decisions" in printed
    monkeypatch.setattr(construction, "estimate_footprint", lambda *_: SimpleNamespace(describe=lambda: ""))
    torch.manual_seed(3)
    plain = Agent().build()
    for (name, first), second in zip(
        estimated.actor.state_dict().items(), plain.actor.state_dict().values(), strict=True
    ):
        assert torch.equal(first, second), name


def test_what_cannot_fit_is_refused_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent(("language",), {"language_layers": 2})
    loaded = []
    totals: list[float] = []
    check = footprint.require_memory

    def with_a_tenth_too_little(model: Any, sizes: BatchSizes, free: int, alternatives: Any) -> MemoryEstimate:
        totals.append(model.estimate(sizes).total)
        return check(model, sizes, int(0.9 * totals[0]), alternatives)

    monkeypatch.setattr(footprint, "require_memory", with_a_tenth_too_little)
    monkeypatch.setattr(Gr00tPPO, "compile", lambda *_: loaded.append(1))
    with pytest.raises(ValueError, match=r"Training needs .* MiB of memory, but only .* MiB are free") as error:
        agent.build()
    assert not loaded
    text, total = str(error.value), totals[0] / 2**20
    assert f"needs {total:.2f} MiB of memory, but only {0.9 * total:.2f} MiB are free" in text
    assert "Each of these settings alone makes it fit: " in text
    for setting in ("--num_envs ", "agent.algorithm.num_mini_batches=", "agent.algorithm.gradient_accumulation_steps="):
        assert setting in text
    # what it says is true
    assert "`agent.actor.freezing.gradient_checkpointing=true`" in text
    dataclasses.replace(agent, freezing=agent.freezing | {"gradient_checkpointing": True}).build()


class Proportional:
    """Stands for a model: so many bytes per decision that is stored, or in a part of a mini-batch."""

    def __init__(self, stored: int, part: int) -> None:
        self.stored, self.part = stored, part

    def estimate(self, sizes: BatchSizes) -> MemoryEstimate:
        update = PhaseMemory(0, 0, self.part * sizes.part_size)
        return MemoryEstimate(sizes, 0, {"obs": self.stored * sizes.num_decisions}, PhaseMemory(0, 0, 0), update)


@pytest.mark.parametrize(
    "sizes", [BatchSizes(12, 5, 4), BatchSizes(7, 6, 14), BatchSizes(16, 4, 4), BatchSizes(3, 1, 1)]
)
@pytest.mark.parametrize("model", [Proportional(1, 0), Proportional(0, 1), Proportional(1, 10)])
def test_only_what_ppo_accepts_is_named(model: Proportional, sizes: BatchSizes) -> None:
    """Of all free memories, and it is the nearest of what PPO accepts and what fits."""
    fields = {
        "--num_envs": "num_envs",
        "agent.num_steps_per_env": "num_steps_per_env",
        "agent.algorithm.num_mini_batches": "num_mini_batches",
    }

    def accepted(name: str, value: int) -> bool:
        changed = dataclasses.replace(sizes, **{name: value})
        options = PpoOptions(num_mini_batches=changed.num_mini_batches, normalize_advantage_per_mini_batch=True)
        try:
            options.check_rollout(changed.num_envs, changed.num_steps_per_env)
        except ValueError:
            return False
        return True

    def fits(usable: int, name: str, value: int) -> bool:
        return model.estimate(dataclasses.replace(sizes, **{name: value})).total <= usable

    named = 0
    for usable in range(model.estimate(sizes).total):
        found = [setting.replace("=", " ").split(" ") for setting in _fitting_sizes(model, sizes, usable)]  # type: ignore[arg-type]
        settings = {fields[name]: int(value) for name, value in found if name in fields}
        named += len(settings)
        for name in fields.values():
            now = getattr(sizes, name)
            fewer = name != "num_mini_batches"
            candidates = range(now - 1, 0, -1) if fewer else range(now + 1, sizes.num_decisions + 1)
            nearest = (value for value in candidates if accepted(name, value) and fits(usable, name, value))
            assert settings.get(name) == next(nearest, None), (usable, name)
    assert named > 0 or sizes.num_decisions < 4


@pytest.mark.parametrize("algorithm", [{}, GRPO])
def test_several_tasks_are_estimated(
    algorithm: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which task an episode had cannot be read from tensors without values."""
    told = {"instructions": (SPEC.instruction, "lift the cube"), "tasks": ("stack", "lift")}
    spec = dataclasses.replace(SPEC, **told)
    monkeypatch.setattr(TaskSpec, "from_env", classmethod(lambda cls, *_, **__: spec))
    monkeypatch.setattr(sys.modules[__name__], "observations", lambda num_envs: with_tasks(num_envs))
    monkeypatch.setitem(OBS_GROUPS, "critic", [*OBS_GROUPS["critic"], TASK])
    Agent(algorithm=algorithm).build()
    printed = capsys.readouterr().out
    assert "not estimated" not in printed
    assert "memory" in printed


def with_tasks(num_envs: int) -> Any:
    from tiny_policy import observations as plain

    return plain(num_envs).set(TASK, torch.eye(2)[torch.arange(num_envs) % 2])


def test_settings_of_freezing_that_nothing_reads_are_refused_before_the_estimate() -> None:
    with pytest.raises(ValueError, match=r"`agent.actor.freezing` has no field 'typo'. Its fields are: gradient_check"):
        Agent(freezing={"typo": 1}).build()


def test_a_program_that_cannot_be_traced_is_trained_all_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise NotImplementedError("aten::new")

    monkeypatch.setattr(memory.MemoryModel, "estimate", fail)
    Agent().build()
    assert "memory: not estimated (NotImplementedError: aten::new)" in capsys.readouterr().out


# A GR00T on fake tensors


def test_loading_a_checkpoint_reads_no_weights() -> None:
    with MemoryTrace() as trace, without_reading_weights():
        encoder = load_encoder(dtype="bfloat16")
        parameters = list(encoder.model.parameters())
        assert all(isinstance(parameter, FakeTensor) for parameter in parameters)
        assert {parameter.dtype for parameter in parameters} == {torch.bfloat16}
        size = 2 * sum(parameter.numel() for parameter in parameters)
        assert size <= trace.live()["other"] < 1.05 * size  # buffers and statistics besides
    assert load_encoder().model.action_head.vlln.weight.isfinite().all(), "files are read again"


def test_what_is_cached_between_calls_is_not_fake_afterwards() -> None:
    """GR00T N1.7 resizes images by area, with weights that are computed once per size."""

    def pixels() -> torch.Tensor:
        inputs = load_encoder().inputs
        inputs.images = ImageTransform(ImageRecipe((56, 56), "area", edge=56))
        return inputs.pixel_values([torch.full((1, 64, 64, 3), 51, dtype=torch.uint8)] * 2)

    with MemoryTrace(), without_reading_weights():
        assert isinstance(pixels(), FakeTensor)
    torch.testing.assert_close(pixels(), torch.full((2, 3, 56, 56), 2 * 51 / 255 - 1))
