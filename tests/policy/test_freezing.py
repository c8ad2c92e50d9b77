# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""freezing: what trains in each mode and stage, what is recomputed for it, and settings that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from counting import counted, layers
from tiny_policy import SPEC, load_encoder, observations
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tModel, load_gr00t
from gr00t_rl_ext.policy.base_checkpoint import tiny_checkpoint
from gr00t_rl_ext.policy.encoder import FEATURES, HIDDEN
from gr00t_rl_ext.policy.freezing import Depth, Freezing
from gr00t_rl_ext.policy.stages import PARTS, FreezingOptions

ALL_HEAD = ("projector", "dit", "vl_self_attention")


def load_model(**options: Any) -> Gr00tModel:
    return load_gr00t(tiny_checkpoint(SPEC), **({"dtype": torch.float32} | options))


def freezing_of(*train: str, reads_head: bool = True, dtype: torch.dtype = torch.float32, **options: Any) -> Freezing:
    options = {"language_layers": 1, "lora_rank": 4} | options
    return Freezing(load_model(dtype=dtype), FreezingOptions(train, **options), reads_head=reads_head)


def inputs_of(model: Gr00tModel, batch: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    text = torch.tensor([[7, 8, 9]]).expand(batch, -1)
    image = torch.full((batch, model.backbone.tokens_per_image), model.backbone.image_token_index)
    size = model.backbone.image_size
    return {
        "pixel_values": torch.randn(batch, 3, size, size, generator=generator),
        "input_ids": torch.cat([image, text], dim=1),
    }


def flow_loss(model: Gr00tModel) -> Tensor:
    """A loss that depends on every weight that GR00T's actions depend on."""
    inputs = inputs_of(model)
    generator = torch.Generator().manual_seed(1)
    shape = (2, model.action_horizon, model.max_action_dim)
    action, noise = (torch.randn(*shape, generator=generator) for _ in range(2))
    state = torch.randn(2, 1, model.max_state_dim, generator=generator)
    context = model.condition(model.encode(**inputs))
    return model.flow_matching_loss(context, state, action, torch.ones(shape), noise, torch.tensor([0.2, 0.7]))


def features_of(model: Gr00tModel) -> Tensor:
    with torch.no_grad():
        return model.encode(**inputs_of(model)).tokens.float()


def sampled(model: Gr00tModel) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(2, model.action_horizon, model.max_action_dim, generator=generator)
    state = torch.randn(2, 1, model.max_state_dim, generator=generator)
    with torch.no_grad():
        return model.sample(model.condition(model.encode(**inputs_of(model))), state, noise)


@torch.no_grad()
def perturb(freezing: Freezing, scale: float = 0.05) -> None:
    generator = torch.Generator().manual_seed(3)
    for parameter in freezing.parameters().values():
        parameter += scale * torch.randn(parameter.shape, generator=generator)


# What trains


@pytest.mark.parametrize(
    ("train", "names"),
    [
        ((), ()),
        (("projector",), ("action_head.state_encoder.", "action_head.action_", "action_head.position_embedding.")),
        (("dit",), ("action_head.model.",)),
        (("vl_self_attention",), ("action_head.vlln.", "action_head.vl_self_attention.")),
        (("language",), ("backbone.language_model.layers.1.", "backbone.language_model.norm.")),
        (("full",), ("backbone.", "action_head.")),
    ],
)
def test_a_part_trains_its_own_weights_and_no_others(train: tuple[str, ...], names: tuple[str, ...]) -> None:
    freezing = freezing_of(*train)
    names = (*names, "action_head.future_tokens.") if "projector" in train else names
    expected = {name for name, _ in freezing.model.named_parameters() if names and name.startswith(names)}
    assert set(freezing.parameters()) == expected
    assert {name for name, p in freezing.model.named_parameters() if p.requires_grad} == expected


@pytest.mark.parametrize("part", PARTS)
def test_gradients_are_non_zero_for_all_that_trains_and_none_for_all_that_does_not(part: str) -> None:
    freezing = freezing_of(part)
    if part.endswith("_lora"):
        # B is zero at first, so that A has no gradient
        perturb(freezing)
    flow_loss(freezing.model).backward()
    report = freezing.check_gradients()
    assert report.zero == ()
    assert report.norms.keys() == {part}
    assert report.norms[part] > 0
    assert report.num_trained == len(freezing.parameters()) > 0
    trained = {id(p) for p in freezing.parameters().values()}
    assert all((p.grad is not None) == (id(p) in trained) for p in freezing.model.parameters())
    assert f"norms: {part} {report.norms[part]:.2e}" in report.describe()


def test_lora_gets_beside_every_target_of_the_dit() -> None:
    freezing = freezing_of("dit_lora", lora_dit_targets=("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj"))
    found = {name.partition(".lora_")[0] for name in freezing.parameters()}
    blocks = range(len(freezing.model.action_head.model.transformer_blocks))
    targets = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj")
    assert found == {f"action_head.model.transformer_blocks.{i}.{target}" for i in blocks for target in targets}
    shapes = {tuple(p.shape) for name, p in freezing.parameters().items() if "to_q" in name}
    assert shapes == {(4, 64), (64, 4)}


def test_lora_gets_beside_the_last_language_layers_only() -> None:
    freezing = freezing_of("language_lora", lora_language_targets=("q_proj", "down_proj"))
    found = {name.partition(".lora_")[0] for name in freezing.parameters()}
    layer = "backbone.language_model.layers.1"
    assert found == {f"{layer}.self_attn.q_proj", f"{layer}.mlp.down_proj"}


@pytest.mark.parametrize("train", [("dit_lora",), ("language_lora",), ("dit_lora", "language_lora")])
def test_lora_begins_with_what_the_model_computed(train: tuple[str, ...]) -> None:
    assert torch.equal(sampled(freezing_of(*train).model), sampled(load_model()))


def test_adapters_of_several_parts_act_together() -> None:
    """peft leaves only the latest one active by itself."""
    freezing = freezing_of("dit_lora", "language_lora")
    base = sampled(freezing.model)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in freezing.parameters().items():
        if "dit_lora" in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    assert not torch.allclose(sampled(freezing.model), base, atol=1e-3)


def test_trained_weights_are_float32_among_frozen_ones_of_lower_precision() -> None:
    freezing = freezing_of("dit_lora", "language_lora", "vl_self_attention", dtype=torch.bfloat16)
    trained = freezing.parameters()
    assert {p.dtype for p in trained.values()} == {torch.float32}
    frozen = {p.dtype for name, p in freezing.model.named_parameters() if name not in trained}
    assert frozen == {freezing.frozen_dtype} == {torch.bfloat16}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        flow_loss(freezing.model).backward()
    assert freezing.check_gradients().norms["vl_self_attention"] > 0


def test_an_actor_that_reads_features_trains_nothing_of_the_head() -> None:
    assert all(name.startswith("backbone.") for name in freezing_of("full", reads_head=False).parameters())


# What is recomputed


MODES: dict[str, tuple[tuple[str, ...], bool, Depth, set[str]]] = {
    "adapter": ((), False, Depth.FEATURES, set()),
    "adapter and language lora": (("language_lora",), False, Depth.HIDDEN, {"language1"}),
    "adapter and language": (("language",), False, Depth.HIDDEN, {"language1"}),
    "adapter and all": (("full",), False, Depth.IMAGES, {"vision0", "vision1", "language0", "language1"}),
    "dit": (("projector", "dit"), True, Depth.FEATURES, set()),
    "dit lora": (("dit_lora",), True, Depth.FEATURES, set()),
    "head": (ALL_HEAD, True, Depth.HIDDEN, {"vl0"}),
    "dit and language lora": (("dit_lora", "language_lora"), True, Depth.HIDDEN, {"language1", "vl0"}),
    "all": (("full",), True, Depth.IMAGES, {"vision0", "vision1", "language0", "language1", "vl0"}),
}


@pytest.mark.parametrize("mode", MODES)
def test_what_lies_below_the_boundary_is_kept_and_what_lies_above_recomputed(mode: str) -> None:
    train, reads_head, depth, recomputed = MODES[mode]
    options = FreezingOptions(train, language_layers=1, lora_rank=4)
    encoder = load_encoder(freezing=options, reads_head=reads_head)
    assert encoder.freezing.depth == depth
    modules = layers(encoder.model)
    below = {name for name in modules if name.startswith(("vision", "language", "vl" if reads_head else "language"))}
    with counted(modules) as calls:
        encoded = encoder.encode(observations())
    assert calls == dict.fromkeys(below, 1)
    kept = encoder.kept(encoded)
    example = encoder.encoded_example(observations())
    assert {name: (v.shape, v.dtype) for name, v in kept.items()} == {
        name: (v.shape, v.dtype) for name, v in example.items()
    }
    assert ("rgb" in kept.keys(), HIDDEN in kept.keys(), FEATURES in kept.keys()) == (
        depth == Depth.IMAGES,
        depth == Depth.HIDDEN,
        depth == Depth.FEATURES,
    )
    with counted(modules) as calls:
        completed = encoder.complete(kept)
    assert calls == dict.fromkeys(recomputed, 1)
    assert torch.equal(completed[FEATURES], encoded[FEATURES])
    assert completed[FEATURES].requires_grad == bool(recomputed)


def test_hidden_states_that_cannot_be_cut_mean_images(n1_7_model: Gr00tModel) -> None:
    """N1.7 adds image features after the first layers; no cut lies below those."""
    options = FreezingOptions(("language_lora",), language_layers=2)
    assert n1_7_model.backbone.first_cut == 1
    assert Freezing(n1_7_model, options).depth == Depth.IMAGES


@pytest.fixture
def n1_7_model() -> Gr00tModel:
    directory = Path(__file__).parents[1] / "data" / "gr00t_n1_7_tiny"
    return load_gr00t(directory, embodiment_slot=2, dtype=torch.float32)


# Stages


def test_stages_open_in_order_by_iteration() -> None:
    schedule = [
        {"train": ["vl_self_attention"], "at_iteration": 3, "learning_rate": 1e-6},
        {"train": ["language_lora"], "at_iteration": 5},
    ]
    freezing = freezing_of("dit_lora", schedule=schedule, learning_rate=2e-5)
    assert freezing.parts == ("dit_lora",)
    assert freezing.advance(2) == []
    (opened,) = freezing.advance(3)
    assert (opened.name, opened.learning_rate) == ("vl_self_attention", 1e-6)
    assert freezing.advance(4) == []
    (opened,) = freezing.advance(5)
    assert (opened.name, opened.learning_rate) == ("language_lora", None)
    assert freezing.advance(100) == []
    assert freezing.parts == ("dit_lora", "vl_self_attention", "language_lora")
    assert [group.learning_rate for group in freezing.groups] == [2e-5, 1e-6, None]
    assert (freezing.depth, freezing.cut) == (Depth.HIDDEN, 1)


def test_stages_open_by_success_rate_or_iteration_whichever_comes_first() -> None:
    schedule = [
        {"train": ["vl_self_attention"], "at_success_rate": 0.5, "at_iteration": 10},
        {"train": ["language_lora"], "at_success_rate": 0.8},
    ]
    freezing = freezing_of("dit_lora", schedule=schedule)
    assert freezing.advance(1, None) == []
    assert freezing.advance(2, 0.49) == []
    assert [group.name for group in freezing.advance(3, 0.5)] == ["vl_self_attention"]
    assert freezing.advance(1000, 0.79) == []
    assert [group.name for group in freezing.advance(1001, 0.8)] == ["language_lora"]
    other = freezing_of("dit_lora", schedule=schedule)
    assert [group.name for group in other.advance(10, 0.1)] == ["vl_self_attention"]


def test_several_stages_open_at_once_where_all_are_due() -> None:
    schedule = [{"train": ["vl_self_attention"], "at_iteration": 1}, {"train": ["projector"], "at_iteration": 2}]
    assert [group.name for group in freezing_of("dit_lora", schedule=schedule).advance(7)] == [
        "vl_self_attention",
        "projector",
    ]


def test_full_trains_what_did_not_train_yet() -> None:
    freezing = freezing_of("dit", schedule=[{"train": ["full"], "at_iteration": 1}])
    (group,) = freezing.advance(1)
    assert not any(name.startswith("action_head.model.") for name in group.parameters)
    assert {name for name, p in freezing.model.named_parameters() if p.requires_grad} == {
        name for name, _ in freezing.model.named_parameters()
    }


def test_gradients_are_right_after_every_stage() -> None:
    schedule = [
        {"train": ["vl_self_attention"], "at_iteration": 1},
        {"train": ["language"], "at_iteration": 2},
        {"train": ["full"], "at_iteration": 3},
    ]
    freezing = freezing_of("projector", schedule=schedule)
    counts = []
    for iteration in range(4):
        freezing.advance(iteration)
        freezing.model.zero_grad(set_to_none=True)
        flow_loss(freezing.model).backward()
        report = freezing.check_gradients()
        assert report.zero == ()
        counts.append(report.num_trained)
    assert counts == sorted(set(counts))
    assert counts[-1] == len(list(freezing.model.parameters()))


def test_a_gradient_of_a_frozen_parameter_is_reported() -> None:
    freezing = freezing_of("dit")
    flow_loss(freezing.model).backward()
    parameter = next(iter(freezing.model.backbone.parameters()))
    parameter.grad = torch.zeros_like(parameter)
    with pytest.raises(RuntimeError, match=r"1 frozen parameters of GR00T have a gradient, such as backbone\."):
        freezing.check_gradients()


def test_a_trained_parameter_that_the_loss_does_not_depend_on_is_reported() -> None:
    freezing = freezing_of("dit", "language")
    freezing.model.encode(**inputs_of(freezing.model)).tokens.sum().backward()
    with pytest.raises(
        RuntimeError, match=r"should train, but have no gradient, such as action_head\.model\..*does not"
    ):
        freezing.check_gradients()


def test_zero_gradients_are_named() -> None:
    freezing = freezing_of("dit_lora")
    flow_loss(freezing.model).backward()
    report = freezing.check_gradients()
    assert {name.partition(".lora_")[2][0] for name in report.zero} == {"A"}
    assert len(report.zero) == report.num_trained // 2
    assert f"Zero for {len(report.zero)} of {report.num_trained} tensors, such as action_head" in report.describe()


# The policy at step 0


@pytest.mark.parametrize("train", [("language_lora", "dit_lora"), ("full",), ("language", "dit_lora")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_reference_is_the_model_as_it_was_loaded(train: tuple[str, ...], dtype: torch.dtype) -> None:
    freezing = freezing_of(*train, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype != torch.float32):
        before = features_of(load_model(dtype=dtype))
        perturb(freezing)
        changed = features_of(freezing.model)
        with freezing.reference(), torch.inference_mode():
            reference = features_of(freezing.model)
        assert torch.equal(features_of(freezing.model), changed)
    assert torch.equal(reference, before)
    assert not torch.allclose(changed, before, atol=1e-2)
    assert {p.dtype for p in freezing.parameters().values()} == {torch.float32}


def test_the_reference_comes_back_after_an_error() -> None:
    freezing = freezing_of("full")
    perturb(freezing)
    changed = sampled(freezing.model)
    with pytest.raises(KeyError), freezing.reference():
        raise KeyError
    assert torch.equal(sampled(freezing.model), changed)


# Checkpoints


@pytest.mark.parametrize("train", [("dit_lora", "language_lora"), ("language", "projector"), ("full",)])
def test_the_trained_state_is_restored(train: tuple[str, ...]) -> None:
    trained, fresh = freezing_of(*train), freezing_of(*train)
    perturb(trained)
    fresh.load_state_dict({name: value.clone() for name, value in trained.state_dict().items()})
    assert torch.equal(sampled(fresh.model), sampled(trained.model))


def test_a_later_stage_is_restored() -> None:
    schedule = [{"train": ["vl_self_attention"], "at_success_rate": 0.5}, {"train": ["language"], "at_iteration": 9}]
    trained, fresh = (freezing_of("dit_lora", schedule=schedule) for _ in range(2))
    trained.advance(0, 0.9)
    perturb(trained)
    assert [group.name for group in fresh.restore(1)] == ["vl_self_attention"]
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(sampled(fresh.model), sampled(trained.model))
    with pytest.raises(ValueError, match="written in stage 3 .* only the stages 0 to 2"):
        fresh.restore(3)


@pytest.mark.parametrize("other", [{"train": ("projector",)}, {"train": ("dit_lora",), "lora_rank": 8}])
def test_a_state_of_other_settings_is_refused(other: dict[str, Any]) -> None:
    state = freezing_of("dit_lora").state_dict()
    freezing = freezing_of(*other.pop("train"), **other)
    with pytest.raises(ValueError, match=r"do not fit the settings: \d+ differ, such as .* Now train: (proj|dit_)"):
        freezing.load_state_dict(state)


@pytest.mark.parametrize("train", [("dit_lora", "language_lora"), ("projector", "language"), ("full",)])
def test_a_merged_model_acts_alike_and_can_be_saved(train: tuple[str, ...], tmp_path: Path) -> None:
    freezing = freezing_of(*train)
    base = sampled(freezing.model)
    perturb(freezing)
    before = sampled(freezing.model)
    assert not torch.allclose(before, base, atol=1e-2)
    model = freezing.merge()
    assert not any(p.requires_grad for p in model.parameters())
    assert not any("lora" in name or "base_layer" in name for name, _ in model.named_parameters())
    torch.testing.assert_close(sampled(model), before, rtol=1e-4, atol=1e-5)
    model.save_pretrained(tmp_path / "saved")
    saved = load_gr00t(tmp_path / "saved", dtype=torch.float32)
    assert torch.equal(sampled(saved), sampled(model))


def test_a_model_with_adapters_is_not_saved_by_accident(tmp_path: Path) -> None:
    freezing = freezing_of("dit_lora")
    with pytest.raises(ValueError, match=r"holds parameters that a checkpoint has no place for, such as .*base_layer"):
        freezing.model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


# Settings that cannot work


@pytest.mark.parametrize(
    ("train", "options", "text"),
    [
        (("everything",), {}, r"freezing.train` names 'everything'; there are the parts projector, dit, vl_self_a"),
        (
            ("language",),
            {"language_layers": 0},
            r"names 'language', but .*language_layers` is 0: .* from the last",
        ),
        (("language_lora",), {"language_layers": 0}, r"names 'language_lora', but .*language_layers` is 0"),
        (("language",), {"language_layers": 3}, r"language_layers` is 3; the checkpoint's language model has 2 layers"),
        (("language",), {"language_layers": -1}, r"language_layers` is -1; expected 0 or more"),
        (("dit", "dit"), {}, r"names 'dit', which trains already"),
        (("dit", "dit_lora"), {}, r"names 'dit_lora', but 'dit' trains too: adapters and the weights beside them"),
        (("language_lora", "full"), {}, r"names 'full', but 'language_lora' trains too"),
        (("full", "dit"), {}, r"names 'dit', which trains already"),
        (("dit_lora",), {"lora_rank": 0}, r"lora_rank` is 0 and `lora_alpha` 32.0; expected a rank of at least 1"),
        (("dit_lora",), {"lora_alpha": 0.0}, r"`lora_alpha` 0.0; expected .* positive alpha"),
        (
            ("dit_lora",),
            {"lora_dit_targets": ("to_q", "q_proj")},
            r"lora_dit_targets` names 'q_proj', which matches no linear layer. There are attn1.to_k, .*to_q, .*ff",
        ),
        (("dit_lora",), {"lora_dit_targets": ()}, r"lora_dit_targets` names no layer"),
        (
            ("language_lora",),
            {"lora_language_targets": ("to_q",)},
            r"lora_language_targets` names 'to_q', which .* There are mlp.down_proj, .*self_attn.q_proj",
        ),
        (("dit",), {"learning_rate": 0.0}, r"freezing.learning_rate` is 0.0; expected a positive number, or null"),
    ],
)
def test_settings_that_cannot_work_are_refused(train: tuple[str, ...], options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        freezing_of(*train, **options)


@pytest.mark.parametrize("part", ["projector", "dit", "vl_self_attention", "dit_lora"])
def test_parts_that_the_actor_does_not_read_are_refused(part: str) -> None:
    with pytest.raises(ValueError, match=rf"names '{part}' .*would not learn. This actor can train language_lora, la"):
        freezing_of(part, reads_head=False)


def test_a_part_that_the_checkpoint_does_not_have_is_refused() -> None:
    model = load_model()
    model.action_head.vlln = torch.nn.Identity()
    model.action_head.vl_self_attention = torch.nn.Identity()
    with pytest.raises(
        ValueError, match=r"names 'vl_self_attention' \(layer norm.*which this checkpoint does not have"
    ):
        Freezing(model, FreezingOptions(("vl_self_attention",)), reads_head=True)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ([{"at_iteration": 3}], r"schedule\[0\]` is .* does not fit \(train: Field required\). Expected `train`"),
        ([{"train": ["dit"], "iteration": 3}], r"schedule\[0\]` is .*\(iteration: Unexpected key"),
        ([{"train": ["dit"], "at_iteration": "soon"}], r"\(at_iteration: Input should be a valid integer"),
        ([{"train": [], "at_iteration": 3}], r"schedule\[0\].train` is empty; expected parts"),
        ([{"train": ["dit"]}], r"schedule\[0\]` never opens: set `at_iteration` or `at_success_rate`"),
        ([{"train": ["dit"], "at_success_rate": 1.5}], r"schedule\[0\].at_success_rate` is 1.5; expected a rate in"),
        ([{"train": ["dit"], "at_iteration": 0}], r"at_iteration` is 0, which is not after the stage before it \(0\)"),
        (
            [{"train": ["dit"], "at_iteration": 5}, {"train": ["language"], "at_iteration": 5}],
            r"schedule\[1\].at_iteration` is 5, which is not after the stage before it \(5\): a schedule goes forwards",
        ),
        (
            [{"train": ["dit"], "at_success_rate": 0.6}, {"train": ["language"], "at_success_rate": 0.3}],
            r"schedule\[1\].at_success_rate` is 0.3, which is not after the stage before it \(0.6\)",
        ),
        (
            [{"train": ["dit"], "at_iteration": 5}, {"train": ["dit"], "at_iteration": 6}],
            r"schedule\[1\].train` names 'dit', which trains already: a schedule goes forwards",
        ),
        ([{"train": ["dit"], "at_iteration": 1, "learning_rate": -1.0}], r"schedule\[0\].learning_rate` is -1.0; exp"),
    ],
)
def test_schedules_that_cannot_work_are_refused(schedule: list[dict[str, Any]], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        freezing_of("projector", schedule=schedule)


def test_a_description_says_what_trains_and_what_is_kept() -> None:
    schedule = [{"train": ["language_lora"], "at_iteration": 1}]
    freezing = freezing_of("dit_lora", schedule=schedule)
    assert freezing.describe().startswith("stage 0 of 1: trains dit_lora 0.0")
    assert "keeps the tokens that the policy reads" in freezing.describe()
    freezing.advance(1)
    assert freezing.describe().startswith("stage 1 of 1: trains dit_lora 0.0")
    assert "keeps the output of 1 language layers" in freezing.describe()
    assert "trains no part of GR00T" in freezing_of().describe()
