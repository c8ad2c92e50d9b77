# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The text that an instruction and its images become, before it is tokenised."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
"""What Eagle's chat template begins with."""


@dataclass(frozen=True)
class Prompt:
    """The prompt of a version of GR00T."""

    image_token: str
    """Token that image features replace."""

    text: Callable[[str, int, int], str]
    """Instruction, number of images and tokens per image -> text."""


def formalized(instruction: str) -> str:
    """An instruction in lower case and without punctuation, as ``formalize_language`` asks for."""
    return re.sub(r"[^\w\s]", "", instruction.lower())


def _eagle_images(number: int, tokens: int) -> str:
    return "".join(f"<image {index + 1}><img>{'<IMG_CONTEXT>' * tokens}</img>" for index in range(number))


def _n1_5(instruction: str, images: int, tokens: int) -> str:
    user = f"{_eagle_images(images, tokens)}{instruction}"
    return f"{SYSTEM}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


def _n1_6(instruction: str, images: int, tokens: int) -> str:
    return f"{SYSTEM}<|im_start|>user\n{instruction}{_eagle_images(images, tokens)}<|im_end|>\n"


def _n1_7(instruction: str, images: int, tokens: int) -> str:
    image = f"<|vision_start|>{'<|image_pad|>' * tokens}<|vision_end|>"
    return f"<|im_start|>user\n{image * images}{instruction}<|im_end|>\n"


PROMPTS: Mapping[str, Prompt] = {
    "N1.5": Prompt("<IMG_CONTEXT>", _n1_5),
    "N1.6": Prompt("<IMG_CONTEXT>", _n1_6),
    "N1.7": Prompt("<|image_pad|>", _n1_7),
}
"""Version -> its prompt."""


def template_difference(tokenizer: Any, version: str) -> str | None:
    """A note where a tokenizer's own chat template gives another prompt than this package; None: it does not.

    Only N1.7's prompts are made by the template of a tokenizer. NVIDIA's comes from a gated repository; tokenizers that
    are said to be the same can be compared.

    Args:
        tokenizer: Of transformers.
        version: Key of :data:`PROMPTS`.
    """
    if version != "N1.7" or not getattr(tokenizer, "chat_template", None):
        return None
    content = [{"type": "image"}, {"type": "text", "text": "lift the cube"}]
    theirs = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=False
    )
    ours = PROMPTS[version].text("lift the cube", 1, 1)
    if theirs == ours:
        return None
    return (
        "warning: the tokenizer's chat template gives another prompt than GR00T N1.7 is known to be trained with.\n"
        f"  Used here: {ours!r}\n  The template: {theirs!r}\n"
        "  If the checkpoint was fine-tuned with that template, its policy sees other words than it learned."
    )
