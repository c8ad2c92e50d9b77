# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Weights & Biases beside TensorBoard: checkpoints as artifacts with where they come from, and no wait for a server."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wandb
from rsl_rl.utils.wandb_log_writer import WandbLogWriter
from torch.utils.tensorboard import SummaryWriter

from gr00t_rl_ext.runs import kept, provenance, resumption
from gr00t_rl_ext.runs.checkpoint_files import CheckpointFileError, read_checkpoint

CONNECT_SECONDS = 5.0
INIT_SECONDS = 60.0
RUN_ID = Path("params", "wandb_run.txt")
"""In the directory of a run: its id at W&B, by which it goes on there."""

_OFFLINE = ("offline", "disabled", "dryrun")


class WandbWriter(WandbLogWriter):
    """rsl_rl's writer, of which nothing that fails ends a training.

    Args:
        log_dir: Directory of the run.
        project_name: Of W&B.
    """

    def __init__(self, log_dir: str, project_name: str) -> None:
        self._directory, self._warned = Path(log_dir), False
        known = self._directory / RUN_ID
        goes_on = resumption.is_continued() and known.is_file()
        # rsl_rl asks for a run as well, and then gets this one
        wandb.init(
            project=project_name,
            entity=os.environ.get("WANDB_USERNAME"),
            name=self._directory.name,
            config={"log_dir": log_dir},
            # beside the other files of the run, whatever the working directory
            dir=str(self._directory),
            # wandb has read its variables before this one may have been set
            mode=os.environ.get("WANDB_MODE"),  # type: ignore[arg-type]
            id=known.read_text(encoding="utf-8").strip() if goes_on else None,
            resume="allow" if goes_on else None,
            # its own patch of all that differs from the last commit may hold a key
            settings=wandb.Settings(init_timeout=INIT_SECONDS, disable_git=True),
        )
        super().__init__(log_dir, project_name)
        assert wandb.run is not None
        known.parent.mkdir(exist_ok=True)
        known.write_text(f"{wandb.run.id}\n", encoding="utf-8")

    def add_scalar(
        self,
        tag: str,
        scalar_value: float,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
    ) -> None:
        """To TensorBoard and W&B; neither ends the training."""
        arguments = {"global_step": global_step, "walltime": walltime, "new_style": new_style}
        self._try("curves", lambda: SummaryWriter.add_scalar(self, tag, scalar_value, **arguments))
        self._try("metrics at W&B", lambda: wandb.log({tag: scalar_value}, step=global_step))

    def store_config(self, env_cfg: dict | object, train_cfg: dict) -> None:
        """Both configs, the instruction, versions, and the state of the repositories."""
        self._try("configs at W&B", lambda: WandbLogWriter.store_config(self, env_cfg, train_cfg))
        more: dict[str, Any] = {
            "versions": provenance.versions(),
            "git": provenance.repository_state(__file__),
            "git_of_working_directory": provenance.repository_state(str(Path.cwd())),
        }
        if instruction := getattr(env_cfg, "instruction", None) or getattr(env_cfg, "gr00t_instruction", None):
            more["instruction"] = instruction
        self._try("configs at W&B", lambda: wandb.config.update(more, allow_val_change=True))

    def save_model(self, model_path: str, it: int) -> None:
        """A checkpoint as an artifact of the run, ``latest`` and, where it is, ``best``, with its lineage."""
        self._try("checkpoints at W&B", lambda: self._log_artifact(Path(model_path)))

    def _log_artifact(self, file: Path) -> None:
        index = kept.read_index(file.parent)
        artifact = wandb.Artifact(
            f"model-{self._directory.name}".replace("/", "-"),
            type="model",
            metadata=lineage(file) | {key: value for key, value in index.get(file.name, {}).items() if key != "bytes"},
        )
        # a copy: the file itself may go before it is uploaded
        artifact.add_file(str(file), policy="mutable")
        best = kept.best_of(index) == file.name
        wandb.log_artifact(artifact, aliases=["latest", *(["best"] if best else [])])

    def save_file(self, path: str) -> None:
        self._try("files at W&B", lambda: WandbLogWriter.save_file(self, path))

    def save_video(self, video: Path, it: int) -> None:
        """Upload a video of the run, once."""
        # rsl_rl hands over every video below the run, and W&B keeps a copy of each there
        if self._directory / "wandb" in video.parents:
            return
        self._try("videos at W&B", lambda: WandbLogWriter.save_video(self, video, it))

    def stop(self) -> None:
        self._try("the end of the run at W&B", wandb.finish)

    def _try(self, what: str, action: Any) -> None:
        try:
            action()
        except Exception as error:
            # whatever a service raises that is gone: nothing of it is worth a training
            if not self._warned:
                print(f"WARNING: {what} cannot be written ({type(error).__name__}: {error}). The training goes on.")
            self._warned = True


def lineage(file: Path) -> dict[str, Any]:
    """Where a checkpoint comes from: what GR00T it was trained on, by which algorithm, for how long."""
    try:
        content = read_checkpoint(file, mmap=True)
    except (CheckpointFileError, OSError):
        return {}
    names = {
        "base_name": "base",
        "base_fingerprint": "base_fingerprint",
        "algorithm": "algorithm",
        "iter": "iterations",
    }
    found = {label: content[name] for name, label in names.items() if name in content}
    return found | {"file": file.name}


def stay_offline_if_unreachable() -> None:
    """Log to files where the server of W&B cannot be reached.

    To be called before Isaac Lab asks the server who the user is, for which it waits ten minutes.
    """
    if os.environ.get("WANDB_MODE") not in _OFFLINE and (problem := unreachable()):
        os.environ["WANDB_MODE"] = "offline"
        print(
            f"WARNING: {problem} The run is logged to files, and the training goes on. Upload them later: wandb sync"
            " RUN/wandb/offline-run-*"
        )


def unreachable() -> str | None:
    """Why the server of W&B cannot be reached; None if it can, or if a proxy stands between."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return None
    address = urlsplit(os.environ.get("WANDB_BASE_URL") or wandb.Settings().base_url)
    port = address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((str(address.hostname), port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        return f"The server of W&B, {address.hostname}, cannot be reached ({error})."
    return None
