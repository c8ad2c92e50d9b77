# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Prompts and the tokenizers that they go to; ``test_conformance`` compares them with NVIDIA's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gr00t_rl_ext.gr00t import Gr00tInputs, build_tiny_checkpoint, load_gr00t, load_tokenizer
from gr00t_rl_ext.gr00t.prompts import PROMPTS, formalized, template_difference

QWEN = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- for part in message.content %}{%- if part.type == 'image' %}"
    "{{- '<|vision_start|><|image_pad|><|vision_end|>' }}{%- else %}{{- part.text }}{%- endif %}{%- endfor %}"
    "{{- '<|im_end|>\\n' }}{%- endfor %}"
)
"""What the user's part of Qwen3-VL's published template does."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint(tmp_path_factory.mktemp("n1_7") / "checkpoint", version="N1.7")


def test_by_hand():
    assert formalized("Lift the Cube, it's 5_mm!") == "lift the cube its 5_mm"
    image = "<|vision_start|><|image_pad|><|image_pad|><|vision_end|>"
    assert PROMPTS["N1.7"].text("go", 2, 2) == f"<|im_start|>user\n{image}{image}go<|im_end|>\n"


def test_the_same_template_is_not_mentioned(checkpoint: Path, capsys: pytest.CaptureFixture):
    tokenizer = load_tokenizer(checkpoint)
    assert template_difference(tokenizer, "N1.7") is None, "it has none"
    tokenizer.chat_template = QWEN
    assert template_difference(tokenizer, "N1.7") is None
    Gr00tInputs.from_checkpoint(load_gr00t(checkpoint, dtype=torch.float32), "new_embodiment", tokenizer=tokenizer)
    assert capsys.readouterr().out == ""


def test_another_template_is_mentioned(checkpoint: Path, capsys: pytest.CaptureFixture):
    tokenizer = load_tokenizer(checkpoint)
    tokenizer.chat_template = "{{- 'You are a robot.' }}" + QWEN
    Gr00tInputs.from_checkpoint(load_gr00t(checkpoint, dtype=torch.float32), "new_embodiment", tokenizer=tokenizer)
    printed = capsys.readouterr().out
    assert "warning: the tokenizer's chat template gives another prompt" in printed
    assert "The template: 'You are a robot.<|im_start|>user" in printed
    # of N1.5 and N1.6 the processor makes the prompt, not the tokenizer
    assert template_difference(tokenizer, "N1.5") is None
    assert template_difference(tokenizer, "N1.6") is None


def test_foreign_code_is_neither_run_nor_asked_for(checkpoint: Path, tmp_path: Path):
    """A tokenizer that names a class of its own, as Eagle's does, is read without it."""
    plain = load_tokenizer(checkpoint)
    words = tmp_path / "words"
    plain.save_pretrained(words)
    config = json.loads((words / "tokenizer_config.json").read_text())
    config["auto_map"] = {"AutoTokenizer": [None, "code.Mine"]}
    (words / "tokenizer_config.json").write_text(json.dumps(config))
    (words / "code.py").write_text("raise RuntimeError('foreign code was run')\n")
    other = load_tokenizer(checkpoint, words)
    assert other("lift the cube")["input_ids"] == plain("lift the cube")["input_ids"]


@pytest.mark.parametrize("fast", [True, False])
def test_a_tokenizers_own_code_is_neither_run_nor_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
):
    """The Eagle tokenizer names classes of its own, which transformers would ask on the terminal whether to run."""
    checkpoint = build_tiny_checkpoint(tmp_path / "tiny")
    own = load_tokenizer(checkpoint)
    place = tmp_path / "tokenizer"
    own.save_pretrained(place)
    if not fast:
        (place / "tokenizer.json").rename(place / "own.json")
        vocabulary = json.loads((place / "own.json").read_text())["model"]
        (place / "vocab.json").write_text(json.dumps(vocabulary["vocab"]))
        merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in vocabulary["merges"]]
        (place / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    file = place / "tokenizer_config.json"
    content = json.loads(file.read_text()) | {"tokenizer_class": "Qwen2Tokenizer"}
    content["auto_map"] = {"AutoTokenizer": ["evil.Evil", None], "AutoProcessor": "evil.Evil"}
    file.write_text(json.dumps(content))
    (place / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: ...\n")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("the user is asked"))
    assert load_tokenizer(checkpoint, place).vocab_size > 0
    assert not (tmp_path / "ran").exists()
