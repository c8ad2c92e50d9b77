# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Which asset root is chosen, and when."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gr00t_rl_ext.assets import build
from gr00t_rl_ext.assets import root as asset_root
from gr00t_rl_ext.cache import CACHE_ENV_VAR, cache_directory

BUILT = Path("/built/offline/root")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch, tmp_path):
    # setenv first: apply_asset_root writes these variables, and monkeypatch only restores what it has touched.
    for name in (asset_root.ASSET_ROOT_ENV_VAR, asset_root.MODE_ENV_VAR):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv(CACHE_ENV_VAR, str(tmp_path))
    monkeypatch.setenv("no_proxy", "localhost")
    monkeypatch.setattr(build, "build_offline_root", lambda: BUILT)
    monkeypatch.setattr(build, "offline_root_path", lambda: BUILT)
    monkeypatch.delitem(sys.modules, "isaaclab.utils.assets", raising=False)


@pytest.fixture
def server():
    """A local HTTP server that answers as its ``status`` says."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.server.paths.append(self.path)
            time.sleep(self.server.delay)
            self.send_response(self.server.status)
            self.end_headers()

        def log_message(self, *args):
            pass

    instance = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    instance.status, instance.delay, instance.paths = 200, 0.0, []
    thread = threading.Thread(target=instance.serve_forever, daemon=True)
    thread.start()
    yield instance
    instance.shutdown()
    instance.server_close()


@pytest.fixture
def default_root(server, monkeypatch):
    url = f"http://localhost:{server.server_port}/Assets"
    monkeypatch.setattr(asset_root, "_default_root", lambda: url)
    return url


@pytest.mark.parametrize("mode", ["auto", "offline", "online"])
def test_the_users_own_root_always_wins(monkeypatch, mode):
    monkeypatch.setenv(asset_root.ASSET_ROOT_ENV_VAR, "/my/assets/")
    chosen = asset_root.apply_asset_root(mode)
    assert chosen == asset_root.AssetRoot("/my/assets", "user")
    assert os.environ[asset_root.ASSET_ROOT_ENV_VAR] == "/my/assets"


def test_offline_never_asks_the_server(server, default_root):
    assert asset_root.apply_asset_root("offline") == asset_root.AssetRoot(str(BUILT), "offline")
    assert os.environ[asset_root.ASSET_ROOT_ENV_VAR] == str(BUILT)
    assert server.paths == []


def test_auto_keeps_a_server_that_has_the_robot(server, default_root):
    assert asset_root.apply_asset_root("auto") == asset_root.AssetRoot(default_root, "online")
    assert asset_root.ASSET_ROOT_ENV_VAR not in os.environ
    assert server.paths == [f"/Assets/{build.FRANKA_USD}"]


def test_an_answer_is_kept_for_later_calls_and_children(server, default_root):
    asset_root.apply_asset_root()
    asset_root.apply_asset_root()
    assert len(server.paths) == 1
    assert os.environ[asset_root.MODE_ENV_VAR] == "online"


@pytest.mark.parametrize("status", [403, 404, 502])
def test_auto_falls_back_on_a_server_without_the_assets(server, default_root, status, capsys):
    server.status = status
    assert asset_root.resolve_asset_root("auto").source == "offline"
    message = capsys.readouterr().err
    assert str(BUILT) in message
    assert "GR00T_RL_EXT_ASSETS=online" in message


def test_auto_does_not_wait_for_a_slow_server(server, default_root):
    server.delay = 5.0
    started = time.perf_counter()
    assert asset_root.resolve_asset_root("auto", timeout=0.3).source == "offline"
    assert time.perf_counter() - started < 2.0


def test_auto_bounds_a_hanging_name_look_up(monkeypatch):
    def hang(*args, **kwargs):
        time.sleep(2.0)
        raise OSError("name not known")

    monkeypatch.setattr(asset_root, "_default_root", lambda: "https://assets.invalid")
    monkeypatch.setattr(asset_root.urllib.request, "urlopen", hang)
    started = time.perf_counter()
    assert asset_root.resolve_asset_root("auto", timeout=0.2).source == "offline"
    assert time.perf_counter() - started < 1.5


def test_auto_accepts_a_local_default(monkeypatch, tmp_path):
    robot = tmp_path / build.FRANKA_USD
    monkeypatch.setattr(asset_root, "_default_root", lambda: str(tmp_path))
    assert asset_root.resolve_asset_root("auto").source == "offline"
    robot.parent.mkdir(parents=True)
    robot.touch()
    assert asset_root.resolve_asset_root("auto").source == "online"


def test_mode_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv(asset_root.MODE_ENV_VAR, "offline")
    assert asset_root.resolve_asset_root().source == "offline"


def test_unknown_mode_lists_the_modes(monkeypatch):
    monkeypatch.setenv(asset_root.MODE_ENV_VAR, "cloud")
    with pytest.raises(
        asset_root.AssetRootError,
        match=r"variable GR00T_RL_EXT_ASSETS is 'cloud'\. Available: auto, offline, online\.",
    ):
        asset_root.resolve_asset_root()


def test_a_root_handed_down_by_a_parent_process_is_not_taken_for_the_users(monkeypatch):
    monkeypatch.setenv(asset_root.ASSET_ROOT_ENV_VAR, str(cache_directory() / "assets" / "0123456789abcdef"))
    assert asset_root.resolve_asset_root("auto") == asset_root.AssetRoot(str(BUILT), "offline")


def test_too_late_is_an_error_that_says_how_to_fix_it(monkeypatch):
    loaded = type(sys)("isaaclab.utils.assets")
    loaded.__dict__["NUCLEUS_ASSET_ROOT_DIR"] = "https://assets.invalid"
    monkeypatch.setitem(sys.modules, "isaaclab.utils.assets", loaded)
    with pytest.raises(asset_root.AssetRootError, match=f"ISAACSIM_ASSET_ROOT={BUILT}"):
        asset_root.apply_asset_root("offline")


def test_default_root_is_isaac_labs_own_and_leaves_its_module_unimported():
    script = (
        "import sys\n"
        "from gr00t_rl_ext.assets import root\n"
        "found = root._default_root()\n"
        "assert 'isaaclab.utils.assets' not in sys.modules\n"
        "assert not {'torch', 'pxr', 'warp'} & set(sys.modules)\n"
        "from isaaclab.utils import assets\n"
        "assert found == assets.NUCLEUS_ASSET_ROOT_DIR, (found, assets.NUCLEUS_ASSET_ROOT_DIR)\n"
    )
    _run(script)


def test_importing_is_cheap():
    _run("import sys, gr00t_rl_ext.assets\nassert not {'torch', 'pxr', 'isaaclab', 'numpy'} & set(sys.modules)\n")


_TRIGGER = (
    "import os, sys\n"
    "from gr00t_rl_ext.assets import build, root\n"
    "calls = []\n"
    "build.build_offline_root = lambda: calls.append(1) or {built!r}\n"
    "sys.argv[1:] = {argv!r}\n"
    "root.apply_on_import(); root.apply_on_import()\n"
    "assert not calls and 'isaaclab' not in sys.modules\n"
    "from isaaclab.utils import assets\n"
    "print(len(calls), assets.NUCLEUS_ASSET_ROOT_DIR == {built!r})\n"
)


def test_entry_point_applies_the_root_when_isaac_lab_reads_it():
    argv = ["train", "--rl_library", "rsl_rl"]
    assert _run(_TRIGGER.format(built=str(BUILT), argv=argv), GR00T_RL_EXT_ASSETS="offline") == "1 True"


@pytest.mark.parametrize("argv", [["list_envs"], ["train", "--help"]])
def test_listing_and_help_build_nothing(argv):
    assert _run(_TRIGGER.format(built=str(BUILT), argv=argv), GR00T_RL_EXT_ASSETS="offline") == "0 False"


def _run(script: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()
