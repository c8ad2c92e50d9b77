# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Choose the asset root before Isaac Lab fixes it.

Isaac Lab binds its asset root to module constants when ``isaaclab.utils.assets`` is imported, and asset paths are
composed from them while task configurations are imported. So ``ISAACSIM_ASSET_ROOT`` must be set before that import
and can have no effect after it. What was found for isaaclab 3.0.0:

* ``isaaclab train --rl_library rsl_rl`` (and ``play``, and each torchrun worker) loads the ``isaaclab.tasks`` entry
  points first and imports ``isaaclab.utils.assets`` right after that, with the back end's module, long before the
  environment's configuration is resolved. An entry point is therefore early enough, an environment's configuration
  is not.
* ``isaaclab list_envs`` and ``--help`` import it too, along with all stock tasks, but look no asset up.

:func:`apply_on_import` is what an entry-point module calls: it costs nothing, and applies the root at the moment
``isaaclab.utils.assets`` is first imported, unless the command only lists or describes. Scripts that import Isaac Lab
themselves call :func:`apply_asset_root` in their first lines.

Importing this module loads neither torch nor pxr.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args

from gr00t_rl_ext.assets import build
from gr00t_rl_ext.cache import cache_directory

Mode = Literal["auto", "offline", "online"]

ASSET_ROOT_ENV_VAR = "ISAACSIM_ASSET_ROOT"
"""Isaac Sim's own variable; a value set by the user always wins."""

MODE_ENV_VAR = "GR00T_RL_EXT_ASSETS"
"""Default of the ``mode`` arguments: ``auto``, ``offline`` or ``online``."""

PROBE_TIMEOUT = 3.0
"""Time in which the asset server must answer in mode ``auto`` [s]."""

_ASSETS_MODULE = "isaaclab.utils.assets"
_DESCRIBING_ARGUMENTS = {"list_envs", "list-envs", "-h", "--help"}


@dataclass(frozen=True)
class AssetRoot:
    """The asset root that Isaac Lab will use."""

    location: str
    """Folder or URL, without a trailing separator."""
    source: Literal["user", "offline", "online"]
    """Who chose it: the user's environment, this extension's offline build, or Isaac Lab's default."""


class AssetRootError(RuntimeError):
    """The asset root cannot be applied any more, or its mode is not one that exists."""


def resolve_asset_root(mode: Mode | None = None, timeout: float = PROBE_TIMEOUT) -> AssetRoot:
    """Find the asset root to use, building the offline one if it is chosen and not there yet.

    Args:
        mode: ``online`` keeps Isaac Lab's default. ``offline`` takes the root built from PyPI packages. ``auto``
            takes it only if the server of the default root does not offer the robot's file within ``timeout``.
            None reads :data:`MODE_ENV_VAR`, and is ``auto`` if that is not set.
        timeout: Time to wait for the server [s].

    Returns:
        The root; the user's own in every mode if ``ISAACSIM_ASSET_ROOT`` is set.

    Raises:
        AssetRootError: If the mode is unknown.
        gr00t_rl_ext.assets.build.AssetBuildError: If the offline root is needed and cannot be built.
    """
    chosen = _checked_mode(mode)
    configured = os.environ.get(ASSET_ROOT_ENV_VAR, "").rstrip("/\\")
    # A parent process of this extension passes its choice on through the same variable.
    handed_down = Path(configured).parent == cache_directory() / "assets"
    if configured and not handed_down:
        return AssetRoot(configured, "user")
    if not handed_down and chosen != "offline":
        default = _default_root()
        if chosen == "online" or _offers_assets(default, timeout):
            return AssetRoot(default, "online")
        print(
            "[gr00t_rl_ext] Isaac Lab's asset server is not reachable or lacks the robot (waited at most "
            f"{timeout:g} s): using the offline assets in {build.offline_root_path()}, which cover the "
            f"Stack-Cube-Franka, the Open-Drawer and the Cartpole tasks. Set {MODE_ENV_VAR}=online to use the server "
            f"nevertheless, or {ASSET_ROOT_ENV_VAR} to use your own copy.",
            file=sys.stderr,
            flush=True,
        )
    return AssetRoot(str(build.build_offline_root()), "offline")


def apply_asset_root(mode: Mode | None = None) -> AssetRoot:
    """Make Isaac Lab use the root of :func:`resolve_asset_root`, in this process and its children.

    Sets ``ISAACSIM_ASSET_ROOT`` for the offline root. For the online one it sets :data:`MODE_ENV_VAR`, so that
    neither later calls nor child processes ask the server again.

    Raises:
        AssetRootError: If the mode is unknown, or if ``isaaclab.utils.assets`` was imported with another root.
        gr00t_rl_ext.assets.build.AssetBuildError: If the offline root is needed and cannot be built.
    """
    root = resolve_asset_root(mode)
    bound = getattr(sys.modules.get(_ASSETS_MODULE), "NUCLEUS_ASSET_ROOT_DIR", None)
    if bound is not None and bound != root.location:
        raise AssetRootError(
            f"Isaac Lab already uses the asset root {bound}, so {root.location} cannot be applied any more: "
            f"{_ASSETS_MODULE} was imported first. Call apply_asset_root() before importing isaaclab, or start with "
            f"{ASSET_ROOT_ENV_VAR}={root.location}"
        )
    if root.source == "online":
        os.environ[MODE_ENV_VAR] = "online"
    else:
        os.environ[ASSET_ROOT_ENV_VAR] = root.location
    return root


def apply_on_import() -> None:
    """Apply the asset root when ``isaaclab.utils.assets`` is first imported; for entry-point modules.

    Cheap and idempotent. Nothing is probed or built for commands that only list or describe tasks.
    """
    if _ASSETS_MODULE in sys.modules or any(isinstance(finder, _AssetRootTrigger) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _AssetRootTrigger())


class _AssetRootTrigger(importlib.abc.MetaPathFinder):
    """Finds no module; applies the asset root once, when Isaac Lab is about to read it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname == _ASSETS_MODULE and self in sys.meta_path:
            sys.meta_path.remove(self)
            if not _DESCRIBING_ARGUMENTS.intersection(sys.argv[1:]):
                apply_asset_root()
        return None


def _checked_mode(mode: str | None) -> str:
    origin = "The asset mode"
    if mode is None:
        mode, origin = os.environ.get(MODE_ENV_VAR) or "auto", f"The environment variable {MODE_ENV_VAR}"
    if mode not in get_args(Mode):
        raise AssetRootError(f"{origin} is '{mode}'. Available: {', '.join(get_args(Mode))}.")
    return mode


def _default_root() -> str:
    """Asset root that Isaac Lab would use by itself.

    Runs Isaac Lab's module under another name: the answer is its own, region profiles included, and the module
    itself stays unimported.

    Raises:
        AssetRootError: If Isaac Lab is not installed.
    """
    package = importlib.util.find_spec("isaaclab")
    if package is None or not package.submodule_search_locations:
        raise AssetRootError("Isaac Lab is not installed. Install it with: pip install 'isaaclab[ovphysx]==3.0.0'")
    source = Path(package.submodule_search_locations[0]) / "utils" / "assets.py"
    spec = importlib.util.spec_from_file_location("isaaclab.utils._gr00t_rl_ext_asset_root", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.NUCLEUS_ASSET_ROOT_DIR)


def _offers_assets(root: str, timeout: float) -> bool:
    """Whether ``root`` has the robot's file: on disk, or on a server that answers a HEAD request in time."""
    scheme = urllib.parse.urlparse(root).scheme
    if scheme not in ("http", "https"):
        # A folder can be looked at. Another protocol cannot be asked here: somebody configured it on purpose.
        return len(scheme) > 1 or (Path(root) / build.FRANKA_USD).is_file()
    answers: list[bool] = []

    def ask() -> None:
        request = urllib.request.Request(f"{root}/{build.FRANKA_USD}", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answers.append(response.status == 200)
        except (OSError, ValueError):
            answers.append(False)

    # The socket's timeout does not bound the name look-up, which alone can take tens of seconds.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers) and answers[0]
