# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Writes the schema of task files for editors, ``schema.json``."""

import json
from pathlib import Path

from gr00t_rl_ext.tasks.files.schema import SCHEMA

if __name__ == "__main__":
    file = Path(__file__).with_name("schema.json")
    file.write_text(json.dumps(SCHEMA.json_schema(), indent=2) + "\n", encoding="utf-8")
    print(file)
