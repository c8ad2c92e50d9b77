# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""NVIDIA's side: its own policy, from a checkout, decides on given observations with given noise.

Runs in an environment of its own: ``reference.py JOB``, where JOB is a JSON file with ``version``, ``checkout``,
``checkpoint``, ``tag``, ``data_config`` (of N1.5), ``backbone`` (of N1.7: its dimensions), ``tokenizer`` (of N1.7),
``device`` and ``cases``, each with ``observations`` and ``out`` (files of numpy). The last line that it prints is the
versions used.

The policy computes in float32: NVIDIA's code rounds to bfloat16, by which nothing could be compared. flash_attn is
replaced by exact attention, and pytorch3d by scipy where it is not installed.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import exact_attention
import exact_rotations
import qwen3_vl

EAGLE = "eagle"
"""Part of the path of the backbone's config in the checkout, whatever its case."""


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.path.insert(0, job["checkout"])
    exact_attention.install()
    if job["version"] == "N1.7":
        _use_own_qwen(job)
    else:
        _use_own_eagle(Path(job["checkpoint"]))
    policy, decide = (_n1_5 if job["version"] == "N1.5" else _n1_6)(job)
    for case in job["cases"]:
        given = dict(np.load(case["observations"], allow_pickle=False))
        # one by one: what a batch pads changes what NVIDIA's code does with the shorter instructions
        decided = [decide(policy, given, row) for row in range(len(given["noise"]))]
        np.savez(case["out"], **{key: np.concatenate([actions[key] for actions in decided]) for key in decided[0]})
    names = ("torch", "transformers", "diffusers")
    print(json.dumps({name: importlib.import_module(name).__version__ for name in names}))


Decide = Callable[[Any, Mapping[str, np.ndarray], int], dict[str, np.ndarray]]
"""A policy, observations and the row of one -> its actions (1, H, D) by key."""


def _n1_5(job: Mapping[str, Any]) -> tuple[Any, Decide]:
    """N1.5's policy, with the data config that the job names."""
    exact_rotations.install()
    if not torch.cuda.is_available():
        # asked for the kernels of flash_attn
        torch.cuda.get_device_capability = lambda *_: (9, 0)
    import gr00t.model.policy as module
    from gr00t.experiment import data_config

    module.COMPUTE_DTYPE = torch.float32
    name = job["data_config"]
    load = getattr(data_config, "load_data_config", data_config.DATA_CONFIG_MAP.__getitem__)
    config = load(name)
    policy = module.Gr00tPolicy(
        model_path=job["checkpoint"],
        embodiment_tag=job["tag"],
        modality_config=config.modality_config(),
        modality_transform=config.transform(),
        device=job["device"],
    )
    policy.model.float()
    (language,) = config.modality_config()["language"].modality_keys

    def decide(policy: Any, given: Mapping[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
        observation = {key: value[row] for key, value in given.items() if key.startswith(("video.", "state."))}
        observation[language] = [str(given["instructions"][row])]
        with _drawing(torch.from_numpy(given["noise"][row : row + 1])):
            actions = policy.get_action(observation)
        return {key.removeprefix("action."): np.asarray(value)[None] for key, value in actions.items()}

    return policy, decide


def _n1_6(job: Mapping[str, Any]) -> tuple[Any, Decide]:
    """The policy of N1.6 and N1.7, in float32."""
    import gr00t.policy.gr00t_policy as module
    from gr00t.data.embodiment_tags import EmbodimentTag

    move = torch.nn.Module.to

    def move_only(self: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
        kwargs.pop("dtype", None)
        return move(self, *(arg for arg in args if not isinstance(arg, torch.dtype)), **kwargs)

    torch.nn.Module.to = move_only
    try:
        policy = module.Gr00tPolicy(EmbodimentTag(job["tag"]), job["checkpoint"], device=job["device"])
    finally:
        torch.nn.Module.to = move
    policy.model.float()
    module._rec_to_dtype = lambda value, dtype: value
    (language,) = policy.modality_configs["language"].modality_keys

    def decide(policy: Any, given: Mapping[str, np.ndarray], row: int) -> dict[str, np.ndarray]:
        observation: dict[str, Any] = {"video": {}, "state": {}}
        for name, values in given.items():
            modality, _, key = name.partition(".")
            if modality in observation:
                observation[modality][key] = values[row : row + 1]
        observation["language"] = {language: [[str(given["instructions"][row])]]}
        with _drawing(torch.from_numpy(given["noise"][row : row + 1])):
            actions, _ = policy.get_action(observation)
        return actions

    return policy, decide


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


def _use_own_qwen(job: Mapping[str, Any]) -> None:
    """Make N1.7's backbone from its dimensions, and its processor from a tokenizer.

    NVIDIA's code fetches both from a gated repository of the hub, before it loads the backbone's weights from the
    checkpoint. Without a tokenizer its processor still comes from there.
    """
    import transformers

    dims = json.loads(Path(job["backbone"]).read_text(encoding="utf-8"))
    # as transformers 4 has it
    rope = dict(dims["text_config"].pop("rope_parameters"))
    dims["text_config"] |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope}

    def backbone(*_: Any, **__: Any) -> Any:
        config = transformers.Qwen3VLConfig(**dims)
        config._attn_implementation = "sdpa"
        return transformers.Qwen3VLForConditionalGeneration(config)

    transformers.Qwen3VLForConditionalGeneration.from_pretrained = backbone
    if job["tokenizer"] is None:
        return

    def processor(*_: Any, **__: Any) -> Any:
        tokenizer = _tokenizer(job["tokenizer"], transformers.Qwen2TokenizerFast)
        images = transformers.Qwen2VLImageProcessorFast(**qwen3_vl.IMAGE_PROCESSOR)
        videos = transformers.Qwen3VLVideoProcessor()
        template = tokenizer.chat_template or qwen3_vl.CHAT_TEMPLATE
        return transformers.Qwen3VLProcessor(images, tokenizer, videos, chat_template=template)

    transformers.Qwen3VLProcessor.from_pretrained = processor


def _tokenizer(place: str, kind: Callable[..., Any]) -> Any:
    """A tokenizer of a directory or of the hub; one that transformers 5 wrote, which 4 does not read, as this kind."""
    import transformers

    config = Path(place) / "tokenizer_config.json"
    own = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    if own.get("tokenizer_class") != "TokenizersBackend":
        return transformers.AutoTokenizer.from_pretrained(place)
    special = {name: own[name] for name in ("pad_token", "eos_token") if own.get(name)}
    tokenizer = kind(tokenizer_file=str(Path(place) / "tokenizer.json"), **special)
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    return tokenizer


def _use_own_eagle(checkpoint: Path) -> None:
    """Let a small checkpoint of ours have the backbone's dimensions and the tokenizer that lie beside its weights.

    NVIDIA keeps both in its code. A published checkpoint has neither file, so that nothing changes for it.
    """
    import transformers

    config_of, processor_of = transformers.AutoConfig.from_pretrained, transformers.AutoProcessor.from_pretrained
    dims, tokenizer = checkpoint / "eagle_config.json", checkpoint / "tokenizer.json"

    def config(path: Any, *args: Any, **kwargs: Any) -> Any:
        found = config_of(path, *args, **kwargs)
        if EAGLE not in str(path).lower() or not dims.is_file():
            return found
        own, fields = json.loads(dims.read_text(encoding="utf-8")), found.to_dict()
        parts = ("vision_config", "text_config")
        fields |= {name: value for name, value in own.items() if name not in parts}
        fields |= {part: {**fields[part], **own.get(part, {})} for part in parts}
        fields.pop("transformers_version", None)
        return type(found)(**fields)

    def processor(path: Any, *args: Any, **kwargs: Any) -> Any:
        if EAGLE not in str(path).lower():
            return processor_of(path, *args, **kwargs)
        # the checkout's own code, without the question whether it may run
        found = processor_of(path, *args, **{"trust_remote_code": True, **kwargs})
        if tokenizer.is_file():
            template = found.tokenizer.chat_template
            found.tokenizer = _tokenizer(str(checkpoint), transformers.PreTrainedTokenizerFast)
            found.tokenizer.chat_template = template
        return found

    transformers.AutoConfig.from_pretrained = config
    transformers.AutoProcessor.from_pretrained = processor


if __name__ == "__main__":
    main()
