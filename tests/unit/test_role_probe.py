# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role's probe: which packages a host lacks."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Callable

import pytest

FILE = Path(__file__).resolve().parents[2] / "roles" / "docker_host" / "files" / "probe.py"


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., ModuleType]:
    """The probe on a host that has these programs and libraries only."""

    def make(*has: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location("probe", FILE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for old, name in (("xtables-legacy-multi", "iptables-legacy"), ("xtables-nft-multi", "iptables-nft")):
            (tmp_path / old).touch()
            if name in has:
                (tmp_path / "iptables").symlink_to(old)
        if "nft" in has:
            (tmp_path / "nft").touch()
        paths = {path.name: str(path) for path in tmp_path.iterdir()}
        monkeypatch.setattr(module, "find", paths.get)
        monkeypatch.setattr(module, "lacks", lambda library: library not in has)
        return module

    return make


@pytest.mark.parametrize(
    ("has", "backend", "missing"),
    [
        ((), "auto", ["python3-pyroute2", "iptables"]),
        (("pyroute2",), "auto", ["iptables"]),
        (("pyroute2", "nft"), "auto", []),
        (("pyroute2", "nft"), "iptables", ["iptables"]),
        (("pyroute2", "iptables-nft"), "auto", []),
        (("pyroute2", "iptables-nft"), "nftables", ["nftables"]),
        (("pyroute2", "iptables-legacy"), "auto", ["python3-iptables"]),
        (("pyroute2", "iptables-legacy", "iptc"), "iptables", []),
        (("iptables-nft", "nft"), "nftables", ["python3-pyroute2"]),
    ],
)
def test_missing(probe: Callable[..., ModuleType], has: tuple, backend: str, missing: list) -> None:
    assert probe(*has).missing(backend) == missing
