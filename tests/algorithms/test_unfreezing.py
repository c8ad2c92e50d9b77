# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""PPO while parts of GR00T train: ratios, recomputed layers, stages, accumulation, checkpoints, the KL to step 0."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from counting import counted, layers
from made_up_experience import H, N, Runner, T, extras_of
from tiny_policy import actor_critic, load_encoder, observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.encoder import FEATURES, HIDDEN
from gr00t_rl_ext.policy.stages import MIN_EPISODES, FreezingOptions

EPOCHS, MINI_BATCHES = 2, 3


def make(
    *train: str, seed: int = 0, dtype: str = "float32", algorithm: dict[str, Any] | None = None, **options: Any
) -> Gr00tPPO:
    """An algorithm over a tiny GR00T of its own, which it may train."""
    torch.manual_seed(seed)
    options = {"language_layers": 1, "lora_rank": 4} | options
    encoder = load_encoder(freezing=FreezingOptions(train, **options), dtype=dtype)
    defaults = {"num_learning_epochs": EPOCHS, "num_mini_batches": MINI_BATCHES, "schedule": "fixed"}
    settings = defaults | {"target_kl": None, "learning_rate": 1e-3} | (algorithm or {})
    alg = Gr00tPPO(actor_critic(encoder, H, seed), observations(N), T, **settings)
    alg.train_mode()
    return alg


def trained(alg: Gr00tPPO) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in alg.freezing.state_dict().items()}


@pytest.mark.parametrize("part", ["language_lora", "language", "full"])
def test_the_first_ratio_is_one_and_the_part_learns(part: str) -> None:
    """In the second iteration the rollout begins with an observation that was encoded before the update."""
    alg = make(part)
    before = trained(alg)
    runner = Runner(alg)
    for _ in range(3):
        log = runner.iterate()
        assert log["train/first_ratio_error"] < 1e-5
    after = trained(alg)
    assert all(not torch.equal(before[name], after[name]) for name in before)
    assert log[f"train/grad_norm_{part}"] > 0
    assert log[f"train/learning_rate_{part}"] == 1e-3


@pytest.mark.parametrize("part", ["language_lora", "full"])
def test_the_first_ratio_is_one_in_bf16(part: str) -> None:
    runner = Runner(make(part, dtype="bfloat16", algorithm={"use_mixed_precision": True}))
    for _ in range(2):
        assert runner.iterate()["train/first_ratio_error"] < 1e-3


def test_fp16_trains_with_scaled_gradients() -> None:
    """Without it, gradients of 1e-8 and less would be zero."""
    alg = make("language_lora", dtype="float16")
    before = trained(alg)
    runner = Runner(alg)
    for _ in range(2):
        assert runner.iterate()["train/first_ratio_error"] < 1e-2
    assert alg.updater.scaler.is_enabled()
    assert alg.updater.scaler.get_scale() >= 2.0**15
    assert all(not torch.equal(before[name], value) for name, value in trained(alg).items())
    assert all(value.isfinite().all() for value in trained(alg).values())
    assert not make("language_lora").updater.scaler.is_enabled()
    assert not make(dtype="float16").updater.scaler.is_enabled()


@pytest.mark.parametrize(
    ("part", "recomputed"),
    [
        (None, set()),
        ("language_lora", {"language1"}),
        ("full", {"vision0", "vision1", "language0", "language1"}),
    ],
)
def test_the_update_recomputes_what_trains_and_nothing_else(part: str | None, recomputed: set[str]) -> None:
    alg = make(*([part] if part else []))
    runner = Runner(alg)
    runner.rollout()
    with counted(layers(alg.encoder.model)) as calls:
        alg.update()
    # and once more for the policy before the update, and for that at step 0
    assert calls == dict.fromkeys(recomputed, (EPOCHS + 2) * MINI_BATCHES)


def test_a_rollout_runs_all_layers_once_per_decision() -> None:
    """The last observation is encoded too."""
    alg = make("language_lora")
    with counted(layers(alg.encoder.model)) as calls:
        Runner(alg).rollout()
    assert {calls[name] for name in ("vision0", "vision1", "language0", "language1")} == {T + 1}


def test_the_layers_of_the_head_never_run_for_an_actor_that_does_not_read_it() -> None:
    alg = make("full")
    with counted(layers(alg.encoder.model)) as calls:
        Runner(alg).iterate()
    assert not any(name.startswith(("vl", "dit")) for name in calls)


# Stages


SCHEDULE = [{"train": ["language_lora"], "at_iteration": 1, "learning_rate": 2e-4}]


def test_a_stage_opens_between_iterations(capsys: pytest.CaptureFixture[str]) -> None:
    alg = make(schedule=SCHEDULE)
    runner = Runner(alg)
    assert set(alg.storage.observations.keys()) == {FEATURES, "state", "privileged"}
    log = runner.iterate()
    assert log["train/stage"] == 0
    assert "train/learning_rate_language_lora" not in log
    assert set(alg.storage.observations.keys()) == {HIDDEN, "state", "privileged"}
    state = {name: alg.updater.optimizer.state[p]["exp_avg"].clone() for name, p in alg.actor.named_parameters()}
    assert [group["name"] for group in alg.updater.optimizer.param_groups] == ["actor", "critic", "language_lora"]
    assert alg.updater.optimizer.param_groups[2]["lr"] == 2e-4
    runner.rollout()
    for name, parameter in alg.actor.named_parameters():
        assert torch.equal(alg.updater.optimizer.state[parameter]["exp_avg"], state[name])
        assert alg.updater.optimizer.state[parameter]["step"] == EPOCHS * MINI_BATCHES
    before = trained(alg)
    alg.update()
    assert all(not torch.equal(before[name], value) for name, value in trained(alg).items())
    log = runner.logs[-1]
    assert log["train/first_ratio_error"] < 1e-5
    assert (log["train/stage"], log["train/learning_rate_language_lora"]) == (1, 2e-4)
    printed = capsys.readouterr().out
    assert "Iteration 0: gradients: frozen parameters have none; norms: nothing of GR00T trains" in printed
    assert "Iteration 1: stage 1 of 1: trains language_lora 0." in printed
    assert "Iteration 1: gradients: frozen parameters have none; norms: language_lora" in printed


def test_a_stage_opens_at_a_success_rate_of_enough_episodes() -> None:
    alg = make(schedule=[{"train": ["language_lora"], "at_success_rate": 0.5}])
    obs = observations(N)

    def iterate(successes: int) -> None:
        """Every decision ends an episode; the first so many environments succeed."""
        extras = extras_of(success=torch.arange(N) < successes)
        with torch.inference_mode():
            for _ in range(T):
                alg.act(obs)
                alg.process_env_step(obs, torch.randn(N), torch.ones(N, dtype=torch.long), extras)
            alg.compute_returns(obs)
        alg.update()

    assert N * T > MIN_EPISODES
    iterate(1)
    assert alg.freezing.stage == 0
    iterate(4)
    assert alg.freezing.stage == 1  # (1 + 4) / 8


def test_a_success_rate_of_few_episodes_opens_nothing() -> None:
    alg = make(schedule=[{"train": ["language_lora"], "at_success_rate": 0.5}])
    obs, dones = observations(N), torch.tensor([1, 0, 0, 0])
    with torch.inference_mode():
        for _ in range(T):
            alg.act(obs)
            alg.process_env_step(obs, torch.randn(N), dones, extras_of(success=dones.bool()))
        alg.compute_returns(obs)
    alg.update()
    assert alg.freezing.stage == 0


def test_every_stage_recomputes_what_trains() -> None:
    """And no more: what lies below the lowest part that trains was kept with the decision."""
    schedule = [
        {"train": ["language"], "at_iteration": 1},
        {"train": ["full"], "at_iteration": 2},
    ]
    runner = Runner(make(schedule=schedule))
    for recomputed in (set(), {"language1"}, {"vision0", "vision1", "language0", "language1"}):
        runner.rollout()
        with counted(layers(runner.alg.encoder.model)) as calls:
            runner.alg.update()
        assert calls == dict.fromkeys(recomputed, (EPOCHS + 2) * MINI_BATCHES)
        assert runner.logs[-1]["train/first_ratio_error"] < 1e-5


# Accumulation and checkpointing


@pytest.mark.parametrize("steps", [2, 3, 8])
@pytest.mark.parametrize("per_mini_batch", [False, True])
def test_accumulated_gradients_give_the_update_of_the_whole_mini_batch(steps: int, per_mini_batch: bool) -> None:
    """Also where the parts differ in size: mini-batches of 8 decisions in 3 parts."""
    results = []
    for count in (1, steps):
        settings = {"gradient_accumulation_steps": count, "normalize_advantage_per_mini_batch": per_mini_batch}
        # Adam divides by the gradient's size: with large steps it would magnify the rounding of near-zero gradients
        alg = make("language_lora", algorithm=settings | {"learning_rate": 1e-4})
        log = Runner(alg).iterate(2)
        results.append((log, {**trained(alg), **alg.actor.state_dict(), **alg.critic.state_dict()}))
    (log, whole), (accumulated_log, accumulated) = results
    for name, value in whole.items():
        torch.testing.assert_close(accumulated[name], value, rtol=0, atol=1e-6)
    for name in ("policy_loss", "value_loss", "entropy_loss", "approx_kl", "kl_to_base", "clipfrac", "grad_norm_actor"):
        assert accumulated_log[f"train/{name}"] == pytest.approx(log[f"train/{name}"], rel=1e-4, abs=1e-6), name


def test_parts_have_the_size_of_the_mini_batch_over_the_steps() -> None:
    alg = make(algorithm={"gradient_accumulation_steps": 4})
    sizes = []
    loss = alg._loss
    alg._loss = lambda batch, whole: sizes.append(len(batch.rows)) or loss(batch, whole)  # type: ignore[method-assign]
    Runner(alg).iterate()
    assert sizes == [2] * 4 * MINI_BATCHES * EPOCHS


def test_gradient_checkpointing_gives_the_same_update() -> None:
    results = []
    for enabled in (False, True):
        alg = make("language", gradient_checkpointing=enabled)
        runner = Runner(alg)
        runner.rollout()
        with counted(layers(alg.encoder.model)) as calls:
            alg.update()
        results.append((calls["language1"], trained(alg)))
    (calls, plain), (recomputed_calls, recomputed) = results
    # what is computed without gradients is not computed again
    assert calls == (EPOCHS + 2) * MINI_BATCHES
    assert recomputed_calls == calls + EPOCHS * MINI_BATCHES
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, rtol=0, atol=1e-6)


# The reference policy


@pytest.mark.parametrize("part", ["language_lora", "full"])
def test_the_kl_is_to_the_policy_at_step_0(part: str) -> None:
    """With GR00T as it was loaded and the adapter as it was made, whatever both became since."""
    alg = make(part, algorithm={"learning_rate": 1e-2})
    initial = make(part)
    runner = Runner(alg)
    runner.iterate(2)
    obs = runner.obs
    with torch.no_grad():
        features = initial.encoder.encode(obs)[FEATURES]
        expected, _ = initial.actor.adapter.distribution(features, initial.encoder.state(obs))
    runner.rollout()
    alg.reference.keep_distributions(alg.storage, alg.updater.part_size(alg.storage))
    first = alg.storage.batch(slice(0, N))
    assert first.base is not None
    assert first.old is not None
    torch.testing.assert_close(first.base[0], expected)
    assert not torch.allclose(first.old[0], expected, atol=1e-2)


# Checkpoints


def checkpoint_of(alg: Gr00tPPO) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(alg.save(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_run_continues_identically_in_a_later_stage() -> None:
    first, second = make(schedule=SCHEDULE), make(schedule=SCHEDULE, seed=5)
    Runner(first).iterate(2)
    saved = checkpoint_of(first)
    assert (saved["stage"], saved["iteration"]) == (1, 2)
    assert set(saved["gr00t_state_dict"]) == set(first.freezing.parameters())
    assert second.load(saved, None, True)
    assert (second.freezing.stage, second.iteration) == (1, 2)
    for alg in (first, second):
        torch.manual_seed(9)
        Runner(alg, seed=7).iterate()
    for name, value in trained(first).items():
        assert torch.equal(trained(second)[name], value), name
    for name, value in first.actor.state_dict().items():
        assert torch.equal(second.actor.state_dict()[name], value), name


def test_a_checkpoint_of_other_parts_is_refused_with_the_arguments_that_it_needs() -> None:
    saved = checkpoint_of(make())
    text = r"do not fit the settings: .* Now train: language_lora. .* Add to the command line: .*freezing.train=\[\]"
    with pytest.raises(ValueError, match=text):
        make("language_lora").load(saved, None, True)
    schedule = [{"train": ["language_lora"], "at_iteration": 1}]
    alg = make(schedule=schedule)
    Runner(alg).iterate()
    with pytest.raises(ValueError, match="written in stage 1") as error:
        make(language_layers=2).load(checkpoint_of(alg), None, True)
    assert "written in stage 1 of its schedule" in str(error.value)
    assert "agent.actor.freezing.language_layers=1" in str(error.value)
    assert "\"agent.actor.freezing.schedule=[{'train':['language_lora'],'at_iteration':1}]\"" in str(error.value)


def test_a_frozen_model_adds_nothing_to_a_checkpoint() -> None:
    assert checkpoint_of(make())["gr00t_state_dict"] == {}
