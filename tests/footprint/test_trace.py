# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""memory_trace: cases that can be counted by hand, and what must not leak out of a trace."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from allocated_memory import peak_allocated
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.checkpoint import checkpoint

from gr00t_rl_ext.footprint.trace import KINDS, MemoryTrace, Timeline, extrapolate, real_tensors

BATCH, IN, HIDDEN, OUT = 32, 100, 200, 300
WEIGHTS = 4 * (IN * HIDDEN + HIDDEN + HIDDEN * OUT + OUT)


def perceptron() -> nn.Sequential:
    return nn.Sequential(nn.Linear(IN, HIDDEN), nn.ReLU(inplace=True), nn.Linear(HIDDEN, OUT))


def test_an_iteration_of_a_perceptron() -> None:
    """Live memory by kind, counted by hand, at the end of each part."""
    with MemoryTrace() as trace:
        model = perceptron()
        trace.label_rest("weights")
        optimizer = torch.optim.Adam(model.parameters(), foreach=False)
        trace.follow(optimizer)
        state = 2 * WEIGHTS + 4 * 4  # two moments, and the number of steps of four parameters
        assert trace.live() == expected(weights=WEIGHTS, optimizer=state)

        x = torch.randn(BATCH, IN)
        y = model(x)
        # the input, the hidden layer, the output
        saved = 4 * BATCH * (IN + HIDDEN + OUT)
        assert trace.live() == expected(weights=WEIGHTS, optimizer=state, other=saved)

        with trace.record() as backward:
            y.sum().backward()
        del y, x
        assert trace.live() == expected(weights=WEIGHTS, gradients=WEIGHTS, optimizer=state)
        # at the first layer: the second one's gradients are done, its activation is gone; the input, the output, the
        # gradient at the hidden layer, both gradients of the first layer that no parameter owns yet, and two scalars
        first = 4 * (IN * HIDDEN + HIDDEN)
        assert backward.peak() == expected(
            weights=WEIGHTS,
            gradients=WEIGHTS - first,
            optimizer=state,
            other=4 * BATCH * (IN + HIDDEN + OUT) + first + 2 * 4,
        )

        with trace.record() as step:
            optimizer.step()
        assert trace.live() == expected(weights=WEIGHTS, gradients=WEIGHTS, optimizer=state)
        # at the largest parameter: the square root of its second moment, over the bias correction, and what the loop
        # over parameters still holds of the one before
        assert step.peak() == expected(
            weights=WEIGHTS, gradients=WEIGHTS, optimizer=state + 4 * (2 * HIDDEN * OUT + HIDDEN)
        )


def expected(**kinds: int) -> dict[str, int]:
    return dict.fromkeys(KINDS, 0) | kinds


def test_a_deep_copy_of_a_constant_keeps_its_values() -> None:
    """Policies copy themselves, and index with constants, whose values say how large the result is."""

    class Selecting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(IN, HIDDEN)
            self.chosen = torch.tensor([True, False, True, True])

    with MemoryTrace() as trace:
        copied = copy.deepcopy(Selecting())
        assert copied.chosen.tolist() == [True, False, True, True]
        assert copied.layer(torch.zeros(4, IN))[copied.chosen].shape == (3, HIDDEN)
        assert isinstance(copied.layer.weight, FakeTensor)
        assert trace.live()["other"] == 4 * (IN * HIDDEN + HIDDEN) + 4


def test_without_gradients_activations_are_freed() -> None:
    with MemoryTrace() as trace:
        model = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(10)])
        trace.label_rest("weights")
        with torch.no_grad(), trace.record() as timeline:
            model(torch.randn(BATCH, 64))
    # the input is held by the call, one layer's input and its output live together
    assert timeline.peak()["other"] == 3 * 4 * BATCH * 64


def test_checkpointing_keeps_the_input_and_recomputes() -> None:
    def perceptron_block() -> nn.Module:
        return nn.Sequential(nn.Linear(IN, HIDDEN, bias=False), nn.ReLU(), nn.Linear(HIDDEN, IN, bias=False))

    def program() -> None:
        x = torch.randn(BATCH, IN)
        for block in [perceptron_block() for _ in range(6)]:
            x = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        x.sum().backward()

    with MemoryTrace() as trace:
        x = torch.randn(BATCH, IN)
        block = perceptron_block()
        trace.label_rest("weights")
        y = checkpoint(block, x, use_reentrant=False, preserve_rng_state=False)
        assert trace.live()["other"] == 4 * BATCH * IN  # the output, and nothing between
        del y
    assert traced_peak(program) == pytest.approx(peak_allocated(program), rel=1e-3)


def traced_peak(program) -> int:
    with MemoryTrace() as trace, trace.record() as timeline:
        program()
    return sum(timeline.peak().values())


def test_autocast_copies_live_as_long_as_autocast() -> None:
    with MemoryTrace() as trace:
        layer = nn.Linear(1000, 1000, bias=False)
        trace.label_rest("weights")
        x = torch.randn(8, 1000)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
            # x, x in bfloat16 for the backward pass, the weight in bfloat16, y in bfloat16
            assert trace.live()["other"] == 8 * 1000 * (4 + 2 + 2) + 1000 * 1000 * 2
            del y
        assert trace.live()["other"] == 8 * 1000 * 4


def test_gradients_of_two_paths_add_up_in_place() -> None:
    """Autograd does so with real tensors, and not with fake ones."""

    def program() -> None:
        x = torch.randn(1000, 1000, requires_grad=True)
        y = x * 2
        (y.sin() + y.exp()).sum().backward()

    assert traced_peak(program) == pytest.approx(peak_allocated(program), rel=1e-5)


def test_views_share_memory_and_keep_it() -> None:
    with MemoryTrace() as trace:
        x = torch.zeros(10, 10)
        row = x[3]
        row += 1
        assert trace.live()["other"] == 400
        del x
        assert trace.live()["other"] == 400
        del row
        assert trace.live()["other"] == 0


def test_nothing_is_allocated() -> None:
    with MemoryTrace() as trace:
        layer = nn.Linear(2**20, 2**20, bias=False)
        layer(torch.zeros(2, 2**20)).sum().backward()
        assert trace.live()["other"] == 2 * 4 * 2**40  # the weight and its gradient


def test_only_one_device_is_counted() -> None:
    with MemoryTrace("cuda") as trace:
        torch.zeros(1000)
        kept = torch.zeros(1000, device="cpu")
        assert sum(trace.live().values()) == 0
        del kept


def test_token_ids_and_masks_have_values() -> None:
    """Backbones count image tokens, and pick rows by masks."""
    with MemoryTrace():
        ids = torch.tensor([[1, 5, 5, 2]])
        mask = ids == 5
        assert not isinstance(mask, FakeTensor)
        assert int(mask.sum()) == 2
        assert torch.equal(ids, torch.tensor([[1, 5, 5, 2]]))
        assert mask.nonzero().shape == (2, 2)
        tokens = torch.randn(1, 4, 7)
        assert isinstance(tokens, FakeTensor)
        assert tokens[mask].shape == (2, 7)
        tokens[mask] = 0.0
        assert isinstance(ids.float(), FakeTensor)


def test_other_values_read_as_one() -> None:
    with MemoryTrace():
        x = torch.randn(5)
        assert float(x.norm()) == 1.0
        assert int(x.argmax()) == 1
        assert bool((x > 0).any())


def test_large_integers_have_no_values() -> None:
    with MemoryTrace():
        assert isinstance(torch.zeros(2**23, dtype=torch.long), FakeTensor)
        assert isinstance(torch.zeros(10, dtype=torch.uint8), FakeTensor)  # images


def test_modules_can_be_moved_and_copied() -> None:
    """Both fail, or crash later, with plain fake tensors."""
    with MemoryTrace() as trace:
        model = perceptron().to(torch.bfloat16).to("cpu")
        twin = copy.deepcopy(model)
        first, second = next(model.parameters()), next(twin.parameters())
        assert isinstance(second, FakeTensor)
        assert first.fake_mode is second.fake_mode
        assert sum(trace.live().values()) == 2 * WEIGHTS // 2


def test_random_numbers_after_a_trace_are_those_without_it() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with MemoryTrace():
        torch.randperm(10)
        torch.randn(10)
    assert torch.equal(torch.rand(4), expected)


def test_real_tensors_inside_a_trace() -> None:
    with MemoryTrace():
        with real_tensors():
            x = torch.ones(3) * 2
        assert not isinstance(x, FakeTensor)
        assert isinstance(torch.ones(3), FakeTensor)
    assert x.tolist() == [2.0, 2.0, 2.0]


def test_the_peak_is_extrapolated_operation_by_operation() -> None:
    """A constant of 100 is largest for small batches, 30 per sample for large ones."""

    def timeline(batch: int) -> Timeline:
        result = Timeline()
        rows = [expected(weights=10, optimizer=90), expected(weights=10, other=30 * batch), expected(weights=10)]
        result.rows = np.array([list(row.values()) for row in rows])
        return result

    first, second = timeline(1), timeline(2)
    assert first.peak() == second.peak() == expected(weights=10, optimizer=90)
    assert extrapolate(first, second, (1, 2), 3) == expected(weights=10, optimizer=90)
    assert extrapolate(first, second, (1, 2), 50) == expected(weights=10, other=1500)


def test_programs_that_differ_are_compared_at_their_peaks() -> None:
    first, second = Timeline(), Timeline()
    first.rows = np.array([list(expected(other=10).values())])
    second.rows = np.array([list(expected(other=5).values()), list(expected(other=20).values())])
    assert extrapolate(first, second, (1, 2), 4)["other"] == 40
