# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where the simulation's assets come from: Isaac Lab's server, the user's own root, or one built from PyPI packages.

* ``root`` chooses between them before Isaac Lab is imported.
* ``build`` builds and keeps the offline root; ``franka``, ``cabinet``, ``cartpole`` and ``props`` author what is in it.
"""

from gr00t_rl_ext.assets.root import AssetRoot, apply_asset_root, apply_on_import, resolve_asset_root

__all__ = ["AssetRoot", "apply_asset_root", "apply_on_import", "resolve_asset_root"]
