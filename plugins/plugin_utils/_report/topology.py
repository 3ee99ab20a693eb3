# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host as a graph in graphviz' language: outside, interfaces, ports, networks, endpoints. Must not know: SVG, HTML.

Colours are names of ``drawing.PAINTS``, to which the page gives a light and a dark meaning.
"""

from __future__ import annotations

from html import escape
from typing import Iterable, Iterator, List, Tuple

from .drawing import PAINTS
from .model import Endpoint, Host, Network, Port

# More endpoints than this on one network are drawn as a table in place of a node each.
MOST_NODES = 12
_COLUMNS = 4
_MOST_CELLS = 400
_MOST_PORTS = 6
_MOST_INTERFACES = 8
_MOST_LETTERS = 30
_SMALL = 9


def graph(host: Host) -> str:
    """The graph of a host, for ``dot``."""
    lines = [
        "digraph host {",
        "graph [rankdir=LR, bgcolor=transparent, nodesep=0.14, ranksep=0.5, compound=true, pad=0.08]",
        'graph [fontname="Helvetica"]',
        'node [shape=plain, fontname="Helvetica", fontsize=11]',
        _attributes("edge", fontname="Helvetica", fontsize=_SMALL, color=PAINTS["wire"], arrowsize=0.6),
        *_host(host),
    ]
    for number, network in enumerate(host.networks):
        lines += _network(number, network)
    return "\n".join([*lines, *_isolation(host.networks), "}"])


def _attributes(kind: str, **values: object) -> str:
    return f"{kind} [{', '.join(f'{name}={_quoted(value)}' for name, value in values.items())}]"


def _quoted(value: object) -> str:
    return f'"{value}"'


def _node(name: str, label: str) -> str:
    return f"{name} [label=<{label}>]"


def _edge(tail: str, head: str, label: str = "", paint: str = "wire", **values: object) -> str:
    told = {"color": PAINTS[paint], "fontcolor": PAINTS["muted" if paint == "wire" else paint], **values}
    if label:
        told["label"] = escape(label, quote=True).replace("\\", "\\\\")
    return f"{tail} -> {head} {_attributes('', **told).strip()}"


def _text(text: str, paint: str, size: int, is_bold: bool = False) -> str:
    """A line of text; graphviz takes neither empty ones nor control characters."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text) or "\N{EN DASH}"
    shown = escape(plain if len(plain) <= _MOST_LETTERS else f"{plain[: _MOST_LETTERS - 1]}…")
    shown = f"<B>{shown}</B>" if is_bold else shown
    return f'<FONT POINT-SIZE="{size}" COLOR="{PAINTS[paint]}">{shown}</FONT>'


def _rows(lines: Iterable[str], port: str = "") -> List[str]:
    """Rows of a table; the first one can be the end of an edge."""
    named = f' PORT="{port}"' if port else ""
    return [f'<TR><TD{named * (number == 0)} ALIGN="LEFT">{line}</TD></TR>' for number, line in enumerate(lines)]


def _frame(rows: Iterable[str], line: str, fill: str = "card") -> str:
    return (
        f'<TABLE BORDER="1" STYLE="ROUNDED" CELLBORDER="0" CELLSPACING="0" CELLPADDING="3" COLOR="{PAINTS[line]}" '
        f'BGCOLOR="{PAINTS[fill]}">{"".join(rows)}</TABLE>'
    )


def _box(lines: List[Tuple[str, str, int]], line: str) -> str:
    """A box with a row for each text (its colour, its size); the first one is bold."""
    return _frame(_rows(_text(*told, number == 0) for number, told in enumerate(lines)), line)


def _host(host: Host) -> Iterator[str]:
    """The host as one box with a row for each of its interfaces, and what is outside of it."""
    gateways = [str(way) for interface in host.interfaces for way in interface["gateways"]]
    yield _node("outside", _box([("Outside", "ink", 11), *((way, "muted", _SMALL) for way in gateways[:4])], "wire"))
    forwarding = _text(f"forwarding {host.forwarding}", "bad" if host.forwarding == "off" else "muted", _SMALL)
    firewall = _text(host.firewall.partition(" (")[0], "muted", _SMALL)
    rows = _rows([_text(host.name, "ink", 12, True), forwarding, firewall])
    for number, interface in enumerate(host.interfaces[:_MOST_INTERFACES]):
        lines = [_text(str(interface["name"]), "ink", 11, True)]
        lines += [_text(str(address), "muted", _SMALL) for address in interface["addresses"][:4]]
        rows += ["<HR/>", *_rows(lines, f"i{number}")]
        yield _edge("outside", f"host:i{number}:w", dir="both")
    if len(host.interfaces) > _MOST_INTERFACES:
        more = _text(f"and {len(host.interfaces) - _MOST_INTERFACES} more interfaces", "muted", _SMALL)
        rows += ["<HR/>", *_rows([more])]
    if not host.interfaces:
        yield _edge("outside", "host", dir="both")
    yield _node("host", _frame(rows, "ink"))


def _network(number: int, network: Network) -> Iterator[str]:
    line = "bad" if network.is_internal else "accent"
    yield f"subgraph cluster{number} {{"
    style = "rounded,filled,dashed" if network.is_internal else "rounded,filled"
    yield _attributes("graph", style=style, color=PAINTS[line], fillcolor=PAINTS["net"], margin=10)
    traits = ", ".join(network.traits)
    title = [_text(network.name, "ink", 12, True), *([_text(traits, "warn", _SMALL)] if traits else [])]
    yield f"label=<{'  '.join(title)}>; labeljust=l"
    yield _node(f"bridge{number}", _box(_bridge_rows(network), line))
    is_large = len(network.endpoints) > MOST_NODES
    yield from (_table if is_large else _nodes)(number, network)
    yield "}"
    yield _way(number, network)
    yield from _doors(number, network, is_large)


def _bridge_rows(network: Network) -> List[Tuple[str, str, int]]:
    """Subnets, the bridge's addresses in them, and how its own traffic leaves."""
    rows = [(subnet, "ink", 11 if number == 0 else _SMALL) for number, subnet in enumerate(network.subnets)] or [
        ("no address", "muted", 11)
    ]
    rows += [(f"gateway {gateway}", "muted", _SMALL) for gateway in network.gateways]
    way = ("no way out", "bad") if network.is_internal else (f"out: {network.way_out}", "muted")
    return [*rows, (*way, _SMALL)]


def _way(number: int, network: Network) -> str:
    """Where the network's own traffic goes to."""
    if network.is_internal:
        return _edge("host", f"bridge{number}", "", "bad", style="dotted", dir="none")
    return _edge("host", f"bridge{number}", "", dir="back")


def _nodes(number: int, network: Network) -> Iterator[str]:
    for place, endpoint in enumerate(network.endpoints):
        rows = [(endpoint.name, "ink", 11), *((address, "muted", _SMALL) for address in endpoint.addresses)]
        if endpoint.sandbox != endpoint.name:
            rows.append((f"in {endpoint.sandbox}", "muted", _SMALL))
        name = f"endpoint{number}_{place}"
        yield _node(name, _box(rows, "wire"))
        yield _edge(f"bridge{number}", name, dir="none")
        if endpoint.ports:
            yield _node(f"door{number}_{place}", _door(endpoint.ports))


def _door(ports: Tuple[Port, ...]) -> str:
    """The published ports of an endpoint, as one small box before it."""
    rows = []
    for port in ports[:_MOST_PORTS]:
        paint = "muted" if port.is_local else "good"
        rows.append(_text(port.text, paint, 10, True))
        if port.sources is not None or port.is_local:
            rows.append(_text(f"for {port.who}", "muted", _SMALL))
    if len(ports) > _MOST_PORTS:
        rows.append(_text(f"and {len(ports) - _MOST_PORTS} more", "muted", _SMALL))
    return _frame(_rows(rows), "good", "door")


def _doors(number: int, network: Network, is_large: bool) -> Iterator[str]:
    """The ways in by published ports."""
    if is_large:
        count = len(network.ports)
        if count:
            yield _edge("host", f"endpoints{number}", f"{count} published ports", "good", penwidth=1.6)
        return
    for place, endpoint in enumerate(network.endpoints):
        if endpoint.ports:
            is_local = all(port.is_local for port in endpoint.ports)
            style = "dashed" if is_local else "solid"
            yield _edge("host", f"door{number}_{place}", "", "good", style=style, penwidth=1.4)
            yield _edge(f"door{number}_{place}", f"endpoint{number}_{place}", "", "good", style=style, penwidth=1.4)


def _table(number: int, network: Network) -> Iterator[str]:
    """Many endpoints as one table."""
    shown = network.endpoints[:_MOST_CELLS]
    rows = [shown[start : start + _COLUMNS] for start in range(0, len(shown), _COLUMNS)]
    text = "".join(f"<TR>{''.join(_cell(endpoint) for endpoint in row)}</TR>" for row in rows)
    if len(shown) < len(network.endpoints):
        more = _text(f"and {len(network.endpoints) - len(shown)} more", "muted", 10)
        text += f'<TR><TD COLSPAN="{_COLUMNS}">{more}</TD></TR>'
    yield _node(f"endpoints{number}", _frame([text], "wire"))
    yield _edge(f"bridge{number}", f"endpoints{number}", f"{len(network.endpoints)} endpoints", dir="none")


def _cell(endpoint: Endpoint) -> str:
    lines = [_text(endpoint.name, "ink", 10, True), *(_text(ip, "muted", _SMALL) for ip in endpoint.addresses[:1])]
    lines += [_text(port.text, "muted" if port.is_local else "good", _SMALL) for port in endpoint.ports[:2]]
    if len(endpoint.ports) > 2:
        lines.append(_text(f"and {len(endpoint.ports) - 2} more", "muted", _SMALL))
    return f'<TD ALIGN="LEFT" VALIGN="TOP" BALIGN="LEFT">{"<BR/>".join(lines)}</TD>'


_ENTRIES = {"nothing": ("✕", "bad"), "published ports": ("published ports", "warn"), "everything": ("all", "warn")}


def _isolation(networks: List[Network]) -> Iterator[str]:
    """What the other networks of the host reach of each by its endpoints' own addresses."""
    if len(networks) < 2:
        return
    is_closed = all(network.entry == "nothing" for network in networks)
    rows = [("Other networks", "ink", 11), ("isolated from each other" if is_closed else "may reach", "muted", _SMALL)]
    yield _node("others", _box(rows, "bad" if is_closed else "warn"))
    for number, network in enumerate(networks):
        word, paint = _ENTRIES[network.entry]
        way = {"dir": "none" if network.entry == "nothing" else "back", "style": "dashed", "ltail": f"cluster{number}"}
        yield _edge(_last(number, network), "others", word, paint, **way)


def _last(number: int, network: Network) -> str:
    """The node of a network that stands farthest from the host."""
    if len(network.endpoints) > MOST_NODES:
        return f"endpoints{number}"
    return f"endpoint{number}_{len(network.endpoints) // 2}" if network.endpoints else f"bridge{number}"
