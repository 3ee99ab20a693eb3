# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site that ``make docs`` builds: the pages of docs/, and the reference that antsibull-docs writes."""

from typing import Any

from pygments.lexers.special import TextLexer

project = "hostnet.docker"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
html_theme = "sphinx_ansible_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
show_copyright = False
myst_heading_anchors = 3
exclude_patterns = ["docs/site"]


def setup(app: Any) -> None:
    """nft's language is shown as it is: Pygments does not know it."""
    app.add_lexer("nft", TextLexer)
