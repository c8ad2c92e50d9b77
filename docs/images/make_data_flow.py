# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Draws ``data_flow.svg`` beside this file, the drawing of docs/architecture.md: ``python make_data_flow.py``."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 560" font-family="sans-serif" font-size="13">
<!-- Copyright (c) 2026 The gr00t_rl_ext developers. SPDX-License-Identifier: Apache-2.0. See make_data_flow.py. -->
<title>From the simulator to a GR00T checkpoint</title>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
<path d="M0 0 8 4 0 8z" fill="#444"/></marker></defs>
<rect width="1000" height="560" fill="#fff"/>"""

GREEN, BLUE, GREY = "#e5f4e3", "#e3edf8", "#f1f1f1"


def text(x: float, y: float, words: str, **style: str) -> str:
    attributes = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
    return f'<text x="{x}" y="{y}"{attributes}>{escape(words)}</text>'


def box(x: float, y: float, width: float, title: str, place: str, *lines: str, fill: str = BLUE) -> str:
    """A box with a title, the folder that it stands for, and what happens there."""
    middle = x + width / 2
    height = 52 + 17 * len(lines)
    parts = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="#888"/>']
    parts.append(text(middle, y + 20, title, text_anchor="middle", font_weight="bold"))
    small = {"fill": "#666", "font_family": "monospace", "font_size": "11"}
    parts.append(text(middle, y + 38, place, text_anchor="middle", **small))
    parts += [text(middle, y + 58 + 17 * n, line, text_anchor="middle") for n, line in enumerate(lines)]
    return "\n".join(parts)


def arrow(path: str, words: str = "", x: float = 0, y: float = 0, anchor: str = "middle") -> str:
    drawn = f'<path d="{path}" fill="none" stroke="#444" stroke-width="1.5" marker-end="url(#tip)"/>'
    return drawn + (text(x, y, words, text_anchor=anchor, fill="#333", font_size="12") if words else "")


def lane(y: float, height: float, words: str, x: float) -> str:
    area = f'<rect x="10" y="{y}" width="980" height="{height}" rx="10" fill="none" stroke="#bbb"'
    return f'{area} stroke-dasharray="5 4"/>' + text(x, y + 22, words, font_weight="bold", fill="#555")


DRAWING = [
    HEAD,
    lane(10, 250, "Rollout: once per decision", 24),
    box(30, 90, 170, "Environment", "tasks/ envs/", "executes H control", "steps, renders once", fill=GREY),
    box(300, 90, 150, "Inputs", "robot/ gr00t/inputs", "units, order,", "normalisation,", "prompt"),
    box(505, 90, 170, "GR00T, frozen part", "gr00t/", "images and words", "become features,", "once per decision"),
    box(760, 60, 210, "Actor", "policy/", "features, state: a chunk"),
    box(760, 165, 210, "Critic (PPO only)", "policy/critic", "features, state: a value"),
    arrow("M200 133H298", "images, state", 249, 125),
    arrow("M450 141H503"),
    arrow("M675 125 758 98", "features", 722, 90),
    arrow("M675 160 758 190"),
    arrow("M865 60V42H115V88", "action chunk: H control steps", 480, 36),
    box(395, 285, 270, "Rollout storage", "algorithms/", "kept features, decision, reward, value", fill=GREEN),
    arrow("M590 193V283", "what is kept", 600, 244, "start"),
    arrow("M865 234V320H667", "decision, log-probability, value", 857, 340, "end"),
    arrow("M115 176V320H393", "reward, end of episode", 128, 312, "start"),
    lane(380, 170, "Update: several epochs over the rollout", 690),
    box(30, 435, 190, "Advantages", "algorithms/", "GAE, or groups that", "began in one state"),
    box(270, 435, 200, "Trained part, again", "policy/ gr00t/", "only the layers above", "the kept features"),
    box(520, 435, 190, "Objective", "algorithms/", "clipped ratio, KL to", "the policy at step 0"),
    box(760, 435, 210, "Step", "algorithms/", "float32 weights; the export", "writes a GR00T checkpoint"),
    arrow("M450 354V400H125V433"),
    arrow("M500 354V412H370V433"),
    arrow("M220 478H245V535H495V490H518"),
    arrow("M470 470H518"),
    arrow("M710 478H758"),
    "</svg>",
]

if __name__ == "__main__":
    Path(__file__).with_name("data_flow.svg").write_text("\n".join(DRAWING) + "\n", encoding="utf-8")
