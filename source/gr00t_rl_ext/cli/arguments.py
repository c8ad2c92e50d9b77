# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The command line of the scripts: Isaac Lab's arguments, of which these are read here as well."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

DEFAULT_AGENT = "gr00t_ppo"
"""What is trained and evaluated where no agent is named."""

_OVERRIDE = re.compile(r"[+~]?(agent|env|physics|renderer|presets)\b[^/]*=.*", re.DOTALL)
_NAMES = re.compile(r"([^=]+=)\[\s*([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*\]")
_GONE = {
    "--headless": "Isaac Lab 3.0 shows no window unless --viz asks for one",
    "--enable_cameras": "cameras are on where the agent looks through them",
}
"""Flags of earlier versions of Isaac Lab, which its commands refuse now."""

_WORDS = {"true", "false", "null", "none"}


def is_gymnasium(task: str | None) -> bool:
    """Whether a task is an environment of Gymnasium, which Isaac Lab's commands do not know."""
    return task is not None and task.startswith("gym:")


def is_override(item: str) -> bool:
    """Whether an item of a command line overrides a config, or selects a preset."""
    return _OVERRIDE.fullmatch(item) is not None


def with_quoted_names(item: str) -> str:
    """``x=[rgb,state]`` as ``x=['rgb','state']``; anything else as it is.

    A shell makes the first of the second, unless the whole is quoted, and Isaac Lab 3.0 takes the first for a text.
    """
    match = _NAMES.fullmatch(item)
    if match is None:
        return item
    names = [name.strip() for name in match[2].split(",")]
    quoted = ",".join(name if name.lower() in _WORDS else f"'{name}'" for name in names)
    return f"{match[1]}[{quoted}]"


def as_typed(item: str) -> str:
    """The inverse of :func:`with_quoted_names`, for commands that are shown."""
    plain = item.replace("'", "")
    return plain if with_quoted_names(plain) == item else item


class Arguments(argparse.Namespace):
    """What the scripts read of the command line. Everything is passed on to Isaac Lab too, in :attr:`forwarded`."""

    task: str | None
    agent: str
    num_envs: int | None
    max_iterations: int | None
    device: str | None
    run_timestamp: str | None
    checkpoint: str | None
    assets: str | None
    record: bool
    evaluate: int | None
    preflight: bool
    continued: Path | None
    """Directory of the run that goes on (``--resume``)."""
    as_given: bool
    """Whether nothing is filled in, as in a run of Isaac Lab's own command that goes on."""
    given: list[str]
    """The command line."""
    overrides: list[str]
    """Hydra overrides and preset selections: ``agent.algorithm.gamma=0.98``, ``physics=newton_mjwarp``."""
    rest: list[str]
    """What is not parsed here, overrides included."""
    forwarded: list[str]
    """The command line without our own arguments."""

    def option(self, name: str) -> str | None:
        """Value of an option of Isaac Lab's, ``--name value`` or ``--name=value``; None where it is not given."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument(f"--{name}")
        return getattr(parser.parse_known_args(self.rest)[0], name)

    def overrides_under(self, *prefixes: str) -> list[str]:
        """Overrides whose key starts with one of the prefixes."""
        return [item for item in self.overrides if item.lstrip("+~-").startswith(prefixes)]


def parse(argv: Sequence[str] | None, program: str, description: str) -> Arguments:
    """Parse a command line. ``--help`` prints our arguments and where Isaac Lab documents its own."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog="All other arguments are Isaac Lab's: see `isaaclab train --rl_library rsl_rl --help`. Config fields are"
        " overridden as in Hydra, e.g. `agent.actor.gr00t.checkpoint=DIR agent.algorithm.clip_param=0.2"
        " physics=newton_mjwarp`.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--task",
        help="Task id, e.g. Isaac-Stack-Cube-Franka-v0, or gym: and the id of a Gymnasium environment, e.g."
        " gym:FetchPickAndPlace-v4.",
    )
    parser.add_argument("--task_config", metavar="FILE", help="A task file, whose task is taken (docs/task_files.md).")
    parser.add_argument("--agent", default=DEFAULT_AGENT, help="Agent of the task (default: %(default)s).")
    parser.add_argument("--num_envs", type=int, help="Environments to simulate.")
    parser.add_argument("--max_iterations", type=int, help="Training iterations.")
    parser.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one).")
    parser.add_argument("--checkpoint", help="model_*.pt or directory of a run to play or resume, or latest, or best.")
    parser.add_argument("--run_timestamp", help=argparse.SUPPRESS)
    parser.add_argument("--as_given", action="store_true", help=argparse.SUPPRESS)
    ours = parser.add_argument_group("gr00t_rl_ext")
    ours.add_argument(
        "--assets",
        choices=["auto", "offline", "online"],
        help="Where the robot and the props come from. auto: from the vendor's server if it answers, else built from"
        " PyPI packages. ISAACSIM_ASSET_ROOT wins over this.",
    )
    ours.add_argument(
        "--no-record", dest="record", action="store_false", help="Do not record a video of the policy at the end."
    )
    if program == "train.py":
        ours.add_argument(
            "--resume",
            nargs="?",
            metavar="RUN",
            help="Go on with a run in its own directory, from its last checkpoint; without RUN with the latest one.",
        )
        ours.add_argument(
            "--preflight",
            action="store_true",
            help="Try some decisions and episodes, report what is wrong or as it should be, and train nothing.",
        )
        ours.add_argument(
            "--evaluate",
            type=int,
            metavar="EPISODES",
            help="Compare the policy before and after training in as many episodes (default: 200 where training begins"
            " with the task's starter policy, else none).",
        )
    known, rest = parser.parse_known_args(argv, Arguments())
    for flag, hint in _GONE.items():
        if flag in rest:
            print(f"{flag} is left out: {hint}.")
            rest.remove(flag)
    known.rest = [with_quoted_names(item) for item in rest]
    if getattr(known, "preflight", False):
        known.rest.append("agent.preflight.only=true")
    known.overrides = [item for item in known.rest if "=" in item and not item.startswith("--")]
    known.forwarded = list(known.rest)
    for name in ("task", "agent", "num_envs", "max_iterations", "device", "run_timestamp", "checkpoint"):
        value = getattr(known, name)
        if value is not None:
            known.forwarded += [f"--{name}", str(value)]
    return known


def parse_with_overrides(
    parser: argparse.ArgumentParser, argv: Sequence[str] | None, *of_several: str
) -> argparse.Namespace:
    """Parse the command line of a command that acts without training, whose overrides may stand anywhere.

    Args:
        parser: Knows the command's own arguments.
        argv: The command line.
        of_several: The arguments that take several values, as text, and with them what follows.
    """
    parser.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one).")
    parser.add_argument("--assets", choices=["auto", "offline", "online"], help="As in train.py.")
    parser.add_argument("overrides", nargs="*", metavar="FIELD=VALUE", help="Overrides of configs.")
    arguments = parser.parse_intermixed_args(argv)
    for name in of_several:
        values = getattr(arguments, name)
        if values is not None:
            arguments.overrides += filter(is_override, values)
            setattr(arguments, name, [item for item in values if not is_override(item)])
    arguments.overrides = [with_quoted_names(item) for item in arguments.overrides]
    return arguments
