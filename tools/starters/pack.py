# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Pack a checkpoint of ``sft.py`` as a starter policy: ``./isaaclab.sh -p tools/starters/pack.py CHECKPOINT NAME``.

Weights are rounded to bfloat16, as published GR00T checkpoints have them, and the slots of other robots are set to 0.
Measure the packed policy, not the one that it was made from.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

import gr00t_rl_ext.starters
from gr00t_rl_ext.gr00t.action_head import ActionHead
from gr00t_rl_ext.gr00t.checkpoint import SINGLE_FILE, copy_checkpoint, weight_files
from gr00t_rl_ext.gr00t.slots import EMBODIMENT_SLOTS
from gr00t_rl_ext.gr00t.weights import CheckpointWeights


def main() -> None:
    """Write the archive into the package."""
    parser = argparse.ArgumentParser(description="Pack a checkpoint of sft.py as a starter policy.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name", help="of the archive, as in starters.json")
    arguments = parser.parse_args()
    slot = EMBODIMENT_SLOTS["new_embodiment"]
    weights = CheckpointWeights(arguments.checkpoint)
    tensors = {}
    for key in sorted(weights.keys()):
        tensor = weights.read(key)
        if any(f"{layer}." in key for layer in ActionHead.SLOT_LAYERS):
            only = torch.zeros_like(tensor)
            only[slot] = tensor[slot]
            tensor = only
        tensors[key] = tensor.bfloat16().contiguous()
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        copy_checkpoint(arguments.checkpoint, directory)
        for file in weight_files(directory):
            file.unlink()
        (directory / f"{SINGLE_FILE}.index.json").unlink(missing_ok=True)
        save_file(tensors, directory / SINGLE_FILE, metadata={"format": "pt"})
        archive = Path(gr00t_rl_ext.starters.__file__).parent / f"{arguments.name}.tar.xz"
        with tarfile.open(archive, "w:xz", preset=9) as packed:
            for file in sorted(path for path in directory.rglob("*") if path.is_file()):
                # without times and owners: the same checkpoint gives the same archive
                info = tarfile.TarInfo(str(file.relative_to(directory)))
                info.size = file.stat().st_size
                with file.open("rb") as stream:
                    packed.addfile(info, stream)
    print(f"{archive}: {archive.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
