# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fetch a page and print it. Argument: its URL. Exit status 1: nobody answered within two seconds."""

# Runs on the hosts of the scenarios: the standard library only, Python >= 3.9.

import sys
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
try:
    print(opener.open(sys.argv[1], timeout=2).read().decode())
except OSError as error:
    sys.exit(f"{sys.argv[1]}: {error}")
