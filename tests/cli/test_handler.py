# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The handler of errors: ours are one message, those of others keep their traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gr00t_rl_ext import cache
from gr00t_rl_ext.algorithms.finite import DivergedError, SkippedSteps
from gr00t_rl_ext.algorithms.options import PpoOptions
from gr00t_rl_ext.cli import checks, handler


def test_what_our_code_refuses_is_one_message(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> int:
        PpoOptions(gamma=2.0).validate_config()
        return 0

    assert handler.guarded(refused) == 2
    assert capsys.readouterr().err == "\nerror: `agent.algorithm.gamma` is 2.0; expected a number in (0, 1].\n"


def test_diverged_numbers_are_another_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert handler.guarded(lambda: int(SkippedSteps(1).record(finite=False))) == 1
    assert "error: Training stops: updates in a row whose gradient is not finite: 1" in capsys.readouterr().err
    assert issubclass(DivergedError, FloatingPointError)


def test_mistakes_of_programs_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        handler.guarded(lambda: json.loads(""))
    with pytest.raises(ValueError, match="of this test"):
        handler.guarded(_mistaken)


def _mistaken() -> int:
    raise ValueError("of this test, which is not in the package")


def test_a_cache_that_cannot_be_written_is_told_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.CACHE_ENV_VAR, str(tmp_path / "file" / "below"))
    assert handler.guarded(lambda: handler.prepare_assets("gym:X", None) or 0) == 2
    error = capsys.readouterr().err
    assert "below' cannot be written (Not a directory)" in error
    assert "Set GR00T_RL_EXT_CACHE to a folder that can be" in error
    # as advised
    monkeypatch.setenv(cache.CACHE_ENV_VAR, str(tmp_path / "other"))
    monkeypatch.delenv("WARP_CACHE_PATH", raising=False)
    monkeypatch.setattr(cache.os, "access", lambda *_: False)
    cache.prepare_caches()
    assert os.environ.pop("WARP_CACHE_PATH") == str(tmp_path / "other" / "warp"), "where the home cannot be written"


@pytest.mark.parametrize(
    ("logger", "message"),
    [
        ("wandb", "The logger wandb has no key. Run `wandb login` or set WANDB_API_KEY; WANDB_MODE=offline"),
        ("foo", "The logger is 'foo'; expected tensorboard, wandb or neptune"),
    ],
)
def test_a_logger_without_its_key_is_refused_before_anything_is_built(
    logger: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        checks.check_logger(logger)


def test_loggers_that_need_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    for logger in (None, "tensorboard", "wandb"):
        checks.check_logger(logger)
    assert os.environ["WANDB_MODE"] == "offline"
