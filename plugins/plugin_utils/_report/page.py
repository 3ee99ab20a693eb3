# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as one HTML page that needs nothing beside itself. Must not know: Ansible, how pictures are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, Mapping

import jinja2
from markupsafe import Markup

from . import model, topology, view
from .drawing import svg

_HERE = Path(__file__).parent
# Tables of rules with more rules than this are folded up.
MOST_OPEN = 60


def render(found: Iterable[Mapping[str, Any]], title: str, made: str) -> str:
    """The page.

    :param found: of each host what ``view.hosts`` takes
    :param title: the page's heading
    :param made: when, as it is shown
    :raises NotDrawn: graphviz is missing or refuses a graph
    """
    # Names come from hosts: all is escaped, but for the pictures, in which graphviz has done that.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(_HERE)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, is_foreign=model.is_foreign)
    environment.globals.update(picture=picture, most_open=MOST_OPEN)
    style = Markup((_HERE / "page.css").read_text(encoding="utf-8"))
    return environment.get_template("page.html.j2").render(hosts=view.hosts(found), title=title, made=made, style=style)


def summary(found: Iterable[Mapping[str, Any]]) -> Dict[str, Any]:
    """What the page says in a few words, for machines: hosts by verdict, and how many there are of what."""
    hosts = view.hosts(found)
    verdicts = {"drifted": view.DRIFTED, "clean": view.CLEAN, "undeclared": view.UNDECLARED, "unknown": view.UNKNOWN}
    named = {key: [host.name for host in hosts if host.verdict == value] for key, value in verdicts.items()}
    counts = {
        "networks": sum(len(host.networks) for host in hosts),
        "endpoints": sum(len(host.endpoints) for host in hosts),
        "published_ports": sum(len(host.ports) for host in hosts),
        "exposed_ports": sum(host.exposed for host in hosts),
    }
    return {**named, **counts}


def picture(host: model.Host) -> Markup:
    """The host's topology as an ``svg`` element."""
    return Markup(svg(topology.graph(host), f"Topology of {host.name}"))


def number(value: Any) -> str:
    """A count with its thousands apart; a dash where nothing is counted."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")
