# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Checkpoints on the Hugging Face hub: ``OWNER/NAME[/FOLDER][@REVISION]``, of which nothing else is downloaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PART = r"[A-Za-z0-9][\w.-]*"
_ID = re.compile(rf"(?P<repository>{_PART}/{_PART})(?P<folder>(?:/[\w.-]+)*)(?:@(?P<revision>[\w./-]+))?")


class HubError(ValueError):
    """A checkpoint of the hub cannot be had; the message says what was asked for and what to do."""


@dataclass(frozen=True)
class HubId:
    """A checkpoint on the hub."""

    repository: str
    """``OWNER/NAME``."""

    folder: str = ""
    """Folder of the repository that holds the checkpoint; empty: the repository itself."""

    revision: str | None = None
    """Branch, tag or commit; None: the main branch."""

    @classmethod
    def parse(cls, text: str) -> HubId | None:
        """The checkpoint that a text names: ``OWNER/NAME``, ``OWNER/NAME/FOLDER`` or either with ``@REVISION``. None:
        it is no such name."""
        found = _ID.fullmatch(text)
        if found is None or ".." in text:
            return None
        return cls(found["repository"], found["folder"].strip("/"), found["revision"])

    def patterns(self, wanted: Sequence[str]) -> list[tuple[list[str], list[str]]]:
        """Patterns of the files to download, and of those among them to leave, for a download each.

        The hub's patterns match a slash with ``*`` as well. So what lies in the checkpoint's own folder comes first,
        without all that lies further down, and then what is wanted of the folders there.

        Args:
            wanted: Patterns within the checkpoint's folder.
        """
        folder = f"{self.folder}/" if self.folder else ""
        here = [f"{folder}{name}" for name in wanted if "/" not in name]
        below = [f"{folder}{name}" for name in wanted if "/" in name]
        return [(here, [f"{folder}*/*"]), (below, [])]

    def download(self, wanted: Sequence[str]) -> Path:
        """Directory of the checkpoint in the local cache, with the wanted files.

        Access follows huggingface_hub's environment: ``HF_HOME``, ``HF_TOKEN``, and with ``HF_HUB_OFFLINE=1`` only the
        local cache is read.

        Raises:
            HubError: It cannot be reached, or has no such revision or folder.
        """
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RevisionNotFoundError,
        )

        snapshot = ""
        try:
            for allowed, ignored in self.patterns(wanted):
                snapshot = snapshot_download(
                    self.repository, revision=self.revision, allow_patterns=allowed, ignore_patterns=ignored
                )
        except RevisionNotFoundError as error:
            first, _, rest = (self.revision or "").partition("/")
            folder = f". A folder stands before it: {self.repository}/{rest}@{first}" if rest else ""
            raise HubError(
                f"the hub repository {self.repository!r} has no revision {self.revision!r}; expected one of its"
                f" branches, tags or commits after the @{folder}"
            ) from error
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
            is_offline = constants.HF_HUB_OFFLINE
            offline = " HF_HUB_OFFLINE is set, so only the local cache was searched." if is_offline else ""
            raise HubError(
                f"{str(self)!r} is no local directory, and the hub repository of that name cannot be reached "
                f"({type(error).__name__}).{offline} Give a local directory, or download the checkpoint where there is"
                f" a network ('{self.command()}'; for a gated repository log in with 'hf auth login' first)"
            ) from error
        directory = Path(snapshot) / self.folder
        if not directory.is_dir():
            raise HubError(
                f"the hub repository {self.repository!r} has no folder {self.folder!r}"
                + (f" at revision {self.revision!r}" if self.revision else "")
                + "; give one that holds the checkpoint's config.json"
            )
        return directory

    def command(self) -> str:
        """What downloads it where there is a network."""
        revision = f" --revision {self.revision}" if self.revision else ""
        folder = f" --include '{self.folder}/*'" if self.folder else ""
        return f"hf download {self.repository}{revision}{folder}"

    def __str__(self) -> str:
        return "/".join(filter(None, (self.repository, self.folder))) + (f"@{self.revision}" if self.revision else "")
