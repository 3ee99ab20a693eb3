# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask for a page ten times a second, over a new connection and over one that stays. Arguments: address, port, log.

The log has a line for each round, ``ok`` or what went wrong.
"""

import http.client
import sys
import time

address, port, log = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def fetch(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/")
    connection.getresponse().read()


lasting = http.client.HTTPConnection(address, port, timeout=2)
lasting.connect()
lasting.auto_open = 0  # an end of the connection is an error and no reason for a new one
with open(log, "w", buffering=1, encoding="utf-8") as file:
    while True:
        fresh = http.client.HTTPConnection(address, port, timeout=2)
        try:
            fetch(fresh)
            fetch(lasting)
            file.write("ok\n")
        except (OSError, http.client.HTTPException) as error:
            file.write(f"{error!r}\n")
        finally:
            fresh.close()
        time.sleep(0.1)
