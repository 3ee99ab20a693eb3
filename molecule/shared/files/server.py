# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that says who it is and who asks: ``web for 192.0.2.254``. Arguments: its name, the port."""

# Runs on the hosts of the scenarios: the standard library only, Python >= 3.9.

import http.server
import socketserver
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers any GET; the connection stays open for more."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{sys.argv[1]} for {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Nobody reads a log."""


socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("", int(sys.argv[2])), Handler).serve_forever()
