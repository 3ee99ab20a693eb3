# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all modules support."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes of the modules that change a host, and of the one that only reads."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Shows exactly what a run would do, and writes nothing.
    support: full
  diff_mode:
    description: Shows the change in the words of iptables-save and ip.
    support: full
  platform:
    description: Where it works.
    platforms: linux
    support: full
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Reads only, in check mode as well.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: N/A
  platform:
    description: Where it works.
    platforms: linux
    support: full
"""
