# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which pyroute2 is too old, also where the library does not know its release itself."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from ansible_collections.hostnet.docker.plugins.module_utils._errors import MissingLibrary
from ansible_collections.hostnet.docker.plugins.module_utils._kernel import packing


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A pyroute2 that says what a test wants."""
    module = types.ModuleType("pyroute2")
    monkeypatch.setitem(sys.modules, "pyroute2", module)
    return module


def installed(directory: Path, release: str) -> str:
    """A folder with the record of an installed pyroute2."""
    record = directory / "pyroute2-0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: pyroute2\nVersion: {release}\n")
    return str(directory)


@pytest.mark.parametrize("release", ["0.7.2", "0.9.7.post1", "1.0"])
def test_releases_that_work(library: types.ModuleType, release: str) -> None:
    library.__version__ = release  # type: ignore[attr-defined]
    assert packing._load("pyroute2") is library


@pytest.mark.parametrize(("release", "is_old"), [("0.7.2", False), ("0.6.12", True)])
def test_debian_12(
    library: types.ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, release: str, is_old: bool
) -> None:
    """There the library calls itself unknown; what is installed with it has the release."""
    library.__version__ = "unknown"  # type: ignore[attr-defined]
    monkeypatch.syspath_prepend(installed(tmp_path, release))
    if is_old:
        with pytest.raises(MissingLibrary, match=f"release {release} is too old"):
            packing._load("pyroute2")
    else:
        assert packing._load("pyroute2") is library


def test_too_old(library: types.ModuleType) -> None:
    library.__version__ = "0.5.14"  # type: ignore[attr-defined]
    with pytest.raises(MissingLibrary, match=r"0\.5\.14 is too old.*pip install 'pyroute2>=0\.7\.2'"):
        packing._load("pyroute2")
