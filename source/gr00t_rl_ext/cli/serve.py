# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/serve.py``: a policy behind the protocol of GR00T's own policy servers."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.cli.handler import UsageError, default_device, guarded
from gr00t_rl_ext.serving.protocol import DEFAULT_PORT

if TYPE_CHECKING:
    from gr00t_rl_ext.serving.served_policy import ServedPolicy

_PREFIX = "agent.actor.gr00t."

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until Ctrl+C. Returns the exit code: 0, or 2 if the command line cannot work."""
    arguments = parse(argv)
    return guarded(lambda: _serve(arguments))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="serve.py",
        description="Serve a policy in the protocol of GR00T's own policy servers (ZeroMQ and msgpack; the requests of"
        " N1.5, N1.6 and N1.7), with its adapter or correction where it has one.",
        epilog="Fields of agent.actor.gr00t are overridden as in training, such as"
        " agent.actor.gr00t.checkpoint=DIR where the base of a run has moved.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "policy",
        metavar="RUN_OR_CHECKPOINT",
        help="directory of a run or one of its model_*.pt, a checkpoint that export_gr00t.py wrote, or any GR00T"
        " checkpoint (directory or hub id)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="its port; 0 for any (default: %(default)s)")
    parser.add_argument("--api-token", help="what clients must tell (default: nothing)")
    parser.add_argument("--plain", action="store_true", help="of an export, GR00T alone as its own inference runs it")
    parser.add_argument("--noise_scale", type=float, help="how much noise decisions begin with (default: the policy's)")
    parser.add_argument("--seed", type=int, default=0, help="of that noise (default: %(default)s)")
    parser.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one)")
    parser.add_argument("overrides", nargs="*", metavar="FIELD=VALUE", help="overrides of agent.actor.gr00t")
    return parser.parse_intermixed_args(argv)


def _serve(arguments: argparse.Namespace) -> int:
    import torch

    from gr00t_rl_ext.cli import checks, summary
    from gr00t_rl_ext.policy.assumptions import print_assumptions
    from gr00t_rl_ext.serving.protocol import N1_5, NESTED, Request, RequestError
    from gr00t_rl_ext.serving.server import PolicyServer

    if not 0 <= arguments.port < 65536:
        raise UsageError(f"--port is {arguments.port}; expected 1 to 65535, or 0 for any that is free.")
    if arguments.noise_scale is not None and not 0 <= arguments.noise_scale < float("inf"):
        raise UsageError(f"--noise_scale is {arguments.noise_scale}; expected a finite number of at least 0.")
    checks.check_device(arguments.device)
    changes = gr00t_fields(arguments.overrides)
    torch.manual_seed(arguments.seed)
    policy, what = load(arguments, changes)
    actor: Any = policy.actor
    if arguments.noise_scale is not None:
        if not hasattr(actor, "noise_scale"):
            raise UsageError(
                "--noise_scale is given, but the policy does not act through GR00T's action head: its decisions begin"
                " with no noise. Leave it out."
            )
        actor.noise_scale = arguments.noise_scale
    known = policy.instructions
    told, made_for = set(known), ", ".join(map(repr, known))

    def act(request: Request) -> Any:
        seed = request.options.get("seed")
        if seed is not None and not (isinstance(seed, int) and 0 <= seed < 2**63):
            raise RequestError(f"the option `seed` is {seed!r}; expected a whole number of at least 0, or none")
        for text in dict.fromkeys(request.observation.instructions):
            if text not in told and len(told) < len(known) + 19:
                told.add(text)
                print(f"note: a client instructs {text!r}; the policy was made for {made_for}", flush=True)
        return policy.act(request.observation, seed)

    version = policy.encoder.model.version
    form = N1_5 if version == "N1.5" else NESTED
    with PolicyServer(
        act, policy.keys, host=arguments.host, port=arguments.port, form=form, api_token=arguments.api_token
    ) as server:
        print_assumptions(policy.encoder.inputs, {})
        summary.print_table(
            "Policy server",
            {
                "policy": what,
                "GR00T": f"{version}, embodiment {policy.encoder.inputs.embodiment.tag}",
                "reads": ", ".join(
                    (*(f"video.{key}" for key in policy.keys.video), *_named(policy.keys.state, "state"))
                ),
                "gives": f"{policy.horizon} steps of " + ", ".join(_named(policy.keys.action, "action")),
                "noise scale": f"{actor.noise_scale:g}" if hasattr(actor, "noise_scale") else "none",
                "address": f"{server.address}, {_reach(arguments.host, arguments.api_token)}",
            },
        )
        for key in policy.undecided:
            print(f"note: action.{key} is not decided by the policy; it is answered as 0")
        print(f"ready: listening at {server.address}; Ctrl+C stops", flush=True)
        stopped = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.append(True))
        server.run(lambda: bool(stopped))
        print(f"stopped after {server.answered} requests, {server.failed} of them refused")
    return 0


def gr00t_fields(overrides: Sequence[str]) -> dict[str, Any]:
    """Overrides as fields of ``agent.actor.gr00t``.

    Raises:
        UsageError: One is of something else.
    """
    from dataclasses import fields

    import yaml

    from gr00t_rl_ext.policy.options import Gr00tOptions

    known = [field.name for field in fields(Gr00tOptions)]
    found = {}
    for item in overrides:
        name, equals, value = item.partition("=")
        field = name.removeprefix(_PREFIX)
        if not equals or field == name or field not in known:
            raise UsageError(
                f"{item!r} is no override of a served policy. Available are"
                f" {', '.join(f'{_PREFIX}{name}=VALUE' for name in known)}; everything else is part of the policy."
            )
        found[field] = yaml.safe_load(value) if value else ""
    return found


def load(arguments: argparse.Namespace, changes: dict[str, Any]) -> tuple[ServedPolicy, str]:
    """The policy that the command line names, and what it is."""
    from gr00t_rl_ext.cli.export import read_model
    from gr00t_rl_ext.cli.run_directory import model_file, names_checkpoint
    from gr00t_rl_ext.policy import export
    from gr00t_rl_ext.serving.served_policy import ServedPolicy, load_native, load_trained

    device = arguments.device or default_device()
    path = Path(arguments.policy)
    is_export = (path / export.POLICY_DIRECTORY).is_dir()
    if arguments.plain and not is_export:
        raise UsageError(f"--plain is for a checkpoint that export_gr00t.py wrote; {arguments.policy!r} is none.")
    if names_checkpoint(path):
        file = model_file(path)
        served = load_trained(file, read_model(file), device, changes)
        return served, f"{type(served.actor).__name__} of {file}"
    if is_export and not arguments.plain:
        served = ServedPolicy(export.load_exported(path, device, **changes))
        return served, f"{type(served.actor).__name__} exported to {path.resolve()}"
    return load_native(arguments.policy, device, changes), f"GR00T's own inference of {arguments.policy}"


def _named(widths: Any, modality: str) -> list[str]:
    return [f"{modality}.{key} ({width})" for key, width in widths.items()]


def _reach(host: str, token: str | None) -> str:
    if host in LOOPBACK:
        return "for this machine alone"
    return "for whoever reaches it" + (" and knows the token" if token else "; --api-token would ask for one")
