# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Graphs drawn by graphviz' ``dot``, as SVG that takes its colours from the page. Must not know: what is drawn."""

from __future__ import annotations

import shutil
import subprocess
from typing import Dict
from xml.etree import ElementTree

# Colours that stand for the names of the page's: no picture is drawn with them.
PAINTS: Dict[str, str] = {
    name: f"#0000{number:02x}"
    for number, name in enumerate(("ink", "muted", "wire", "card", "net", "door", "accent", "good", "warn", "bad"), 1)
}
_NAMES = {colour: name for name, colour in PAINTS.items()}
_SVG = "http://www.w3.org/2000/svg"
_TIME_LIMIT = 120  # seconds
_PIXELS = 4 / 3  # of a point


class NotDrawn(Exception):
    """The graph cannot be drawn; the message says what to do."""


def svg(graph: str, label: str) -> str:
    """The picture of a graph, an ``svg`` element to put into a page.

    :param graph: in graphviz' language, in colours of PAINTS
    :param label: what the picture shows, for those who do not see it
    :raises NotDrawn: graphviz is missing or refuses the graph
    """
    return _inline(_dot(graph), label)


def _dot(graph: str) -> str:
    program = shutil.which("dot")
    if program is None:
        raise NotDrawn(
            "the program dot is not installed on the control node, which draws the report's pictures: install the "
            "package graphviz (in an execution environment: graphviz [platform:rpm] in bindep.txt)"
        )
    try:
        done = subprocess.run(
            [program, "-Tsvg"], input=graph, capture_output=True, encoding="utf-8", timeout=_TIME_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotDrawn(f"{program}: {error}") from error
    if done.returncode != 0 or not done.stdout:
        raise NotDrawn(f"{program}: exit status {done.returncode}: {done.stderr.strip()[:500]}")
    return done.stdout


def _inline(text: str, label: str) -> str:
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(text)
    # As wide as it was drawn, so that its letters keep their size; the page lets it scroll.
    width = round(float(root.attrib.pop("width").removesuffix("pt")) * _PIXELS)
    root.attrib.pop("height")
    root.attrib.update({"role": "img", "aria-label": label, "style": f"width:{width}px"})
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}title":
                parent.remove(child)
        _paint(parent)
        if parent is not root:
            parent.attrib.pop("id", None)
    return ElementTree.tostring(root, encoding="unicode")


def _paint(element: ElementTree.Element) -> None:
    """Classes in place of colours."""
    classes = []
    for attribute in ("fill", "stroke"):
        name = _NAMES.get(element.get(attribute, ""))
        if name:
            del element.attrib[attribute]
            classes.append(f"{attribute}-{name}")
    if element.tag == f"{{{_SVG}}}text":
        element.attrib.pop("font-family", None)
    if classes:
        element.set("class", " ".join(classes))
    elif element.get("class") in ("node", "edge", "graph", "cluster"):
        del element.attrib["class"]
