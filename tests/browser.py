# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages in headless Chromium: how they come out on a phone, on a screen, in the dark and on paper.

Must not know: what is on them.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import lab

PHONE, SCREEN = 390, 1280  # widths in CSS pixels
_TIME_LIMIT = 100  # seconds
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--allow-file-access-from-files",
]
_DARK = "--blink-settings=preferredColorScheme=0"
# What a page says of itself once it is there. The letters of a picture are as tall as it is scaled.
_PROBE = """\
<script>
addEventListener("load", () => {
  const inner = element => element.closest(".scroll, .diff");
  const wide = [...document.querySelectorAll("body *")].filter(
    element => element.getBoundingClientRect().right > innerWidth + 1 && !inner(element));
  const texts = [...document.querySelectorAll("svg text")];
  const style = (selector, name) => {
    const element = document.querySelector(selector);
    return element ? getComputedStyle(element)[name] : null;
  };
  parent.postMessage({
    width: innerWidth,
    needs: document.documentElement.scrollWidth,
    wide: wide.slice(0, 5).map(element => element.outerHTML.slice(0, 80)),
    requests: performance.getEntriesByType("resource").map(entry => entry.name),
    letters: Math.min(...texts.map(text => parseFloat(text.getAttribute("font-size")) * text.getScreenCTM().a)),
    pictures: document.querySelectorAll("svg").length,
    paper: style("body", "backgroundColor"),
    ink: style("body", "color"),
    picture_paper: style("svg .fill-card", "fill"),
    picture_ink: style("svg text.fill-ink", "fill"),
  }, "*");
});
</script>
"""
_HARNESS = """\
<body style="margin:0"><script>
const found = [];
addEventListener("message", event => {
  found.push(event.data);
  if (found.length == document.querySelectorAll("iframe").length) {
    const element = document.createElement("pre");
    element.id = "found";
    element.textContent = JSON.stringify(found);
    document.body.append(element);
  }
});
</script>
"""


class Pdf(NamedTuple):
    """A page as printed, and what the browser's console said on the way."""

    content: bytes
    console: List[str]


def measured(page: Path, widths: List[int], is_dark: bool = False) -> Dict[int, Dict[str, Any]]:
    """What a page is like at each width; see _PROBE for the words.

    It is looked at without its Content-Security-Policy, which would hide that it asks for something.
    """
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "page.html").write_text(text.replace("</body>", f"{_PROBE}</body>"), encoding="utf-8")
        frames = [
            f'<iframe src="page.html" style="width:{width}px;height:800px;border:0"></iframe>' for width in widths
        ]
        Path(scratch, "harness.html").write_text(_HARNESS + "".join(frames), encoding="utf-8")
        flags = ["--dump-dom", "--virtual-time-budget=20000", *([_DARK] if is_dark else [])]
        done = _run(Path(scratch, "harness.html"), flags)
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout.decode(), re.S)
    assert match, done.stderr.decode()[-2000:]
    return {item["width"]: item for item in json.loads(html.unescape(match.group(1)))}


def printed(page: Path) -> Pdf:
    """A page on paper, as it is."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "page.pdf")
        done = _run(page, ["--no-pdf-header-footer", f"--print-to-pdf={path}"])
        lines = done.stderr.decode().splitlines()
        console = [line for line in lines if "CONSOLE" in line and "source: chrome://" not in line]
        return Pdf(path.read_bytes(), console)


def _run(page: Path, flags: List[str]) -> subprocess.CompletedProcess[bytes]:
    program = lab.need("chromium")
    with tempfile.TemporaryDirectory() as profile:
        words = [program, *_FLAGS, f"--user-data-dir={profile}", "--window-size=1400,900", *flags, page.as_uri()]
        return subprocess.run(words, capture_output=True, timeout=_TIME_LIMIT, check=True)
