# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""NVIDIA's side: its own policy, from a checkout, decides on given observations with given noise.

Runs in an environment of its own: ``reference.py JOB``, where JOB is a JSON file with ``checkout``, ``checkpoint``,
``tag``, ``device`` and ``cases``, each with ``observations`` and ``out`` (files of numpy). The last line that it prints
is the versions used.

The policy computes in float32: NVIDIA's code rounds to bfloat16, by which nothing could be compared. flash_attn is
replaced by exact attention.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import exact_attention

EAGLE = "Eagle"
"""Part of the path of the backbone's config in the checkout."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.path.insert(0, job["checkout"])
    exact_attention.install()
    checkpoint = Path(job["checkpoint"])
    _use_own_backbone(checkpoint)
    policy = _policy(job, checkpoint)
    for case in job["cases"]:
        given = dict(np.load(case["observations"], allow_pickle=False))
        # one by one: what a batch pads changes what NVIDIA's code does with the shorter instructions
        decided = [_decide(policy, given, row) for row in range(len(given["noise"]))]
        np.savez(case["out"], **{key: np.concatenate([actions[key] for actions in decided]) for key in decided[0]})
    names = ("torch", "transformers", "diffusers")
    print(json.dumps({name: importlib.import_module(name).__version__ for name in names}))


def _policy(job: dict[str, Any], checkpoint: Path) -> Any:
    """Its policy, in float32."""
    import gr00t.policy.gr00t_policy as module
    from gr00t.data.embodiment_tags import EmbodimentTag

    move = torch.nn.Module.to

    def move_only(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        kwargs.pop("dtype", None)
        return move(self, *(arg for arg in args if not isinstance(arg, torch.dtype)), **kwargs)

    torch.nn.Module.to = move_only
    try:
        policy = module.Gr00tPolicy(EmbodimentTag(job["tag"]), str(checkpoint), device=job["device"])
    finally:
        torch.nn.Module.to = move
    policy.model.float()
    module._rec_to_dtype = lambda value, dtype: value
    return policy


def _decide(policy: Any, given: Mapping[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
    """Its actions (1, H, D) by key on one of the observations."""
    observation: dict[str, Any] = {"video": {}, "state": {}}
    for name, values in given.items():
        modality, _, key = name.partition(".")
        if modality in observation:
            observation[modality][key] = values[row : row + 1]
    (key,) = policy.modality_configs["language"].modality_keys
    observation["language"] = {key: [[str(given["instructions"][row])]]}
    with _drawing(torch.from_numpy(given["noise"][row : row + 1])):
        actions, _ = policy.get_action(observation)
    return actions


@contextmanager
def _drawing(noise: torch.Tensor) -> Iterator[None]:
    """What the policy draws for its actions is given while the block runs."""
    draw, given = torch.randn, []

    def randn(*args: Any, **kwargs: Any) -> torch.Tensor:
        size = kwargs.get("size", args[0] if args else None)
        if isinstance(size, int) or tuple(size or ()) != tuple(noise.shape):
            return draw(*args, **kwargs)
        given.append(True)
        return noise.to(kwargs.get("device"), kwargs.get("dtype"))

    torch.randn = randn
    try:
        yield
    finally:
        torch.randn = draw
    if len(given) != 1:
        raise RuntimeError(f"NVIDIA's policy drew its noise {len(given)} times; expected once, of shape {noise.shape}")


def _use_own_backbone(checkpoint: Path) -> None:
    """Let a small checkpoint of ours have the backbone's dimensions and the tokenizer that lie beside its weights.

    NVIDIA keeps both in its code. A published checkpoint has neither file, so that nothing changes for it.
    """
    import transformers

    config_of, processor_of = transformers.AutoConfig.from_pretrained, transformers.AutoProcessor.from_pretrained
    dims, tokenizer = checkpoint / "eagle_config.json", checkpoint / "tokenizer.json"

    def config(path: Any, *args: Any, **kwargs: Any) -> Any:
        found = config_of(path, *args, **kwargs)
        if EAGLE not in str(path) or not dims.is_file():
            return found
        own, fields = json.loads(dims.read_text(encoding="utf-8")), found.to_dict()
        parts = ("vision_config", "text_config")
        fields |= {name: value for name, value in own.items() if name not in parts}
        fields |= {part: {**fields[part], **own.get(part, {})} for part in parts}
        fields.pop("transformers_version", None)
        return type(found)(**fields)

    def processor(path: Any, *args: Any, **kwargs: Any) -> Any:
        if EAGLE not in str(path):
            return processor_of(path, *args, **kwargs)
        # the checkout's own code, without the question whether it may run
        found = processor_of(path, *args, **{"trust_remote_code": True, **kwargs})
        if tokenizer.is_file():
            own = json.loads((checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))
            special = {name: own[name] for name in ("pad_token", "eos_token") if own.get(name)}
            template = found.tokenizer.chat_template
            found.tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tokenizer), **special)
            found.tokenizer.chat_template = template
        return found

    transformers.AutoConfig.from_pretrained = config
    transformers.AutoProcessor.from_pretrained = processor


if __name__ == "__main__":
    main()
