# Copyright (c) hostnet.docker contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of AWX's HTTP API as the modules of awx.awx need to make things: lists by name, POST, PATCH, surveys.

Must not know: what is made.
"""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, Iterator, List
from urllib.parse import parse_qsl, urlsplit


class Awx:
    """What is there: kind (``projects``) -> objects, each with its id."""

    def __init__(self) -> None:
        self.things: Dict[str, List[Dict[str, Any]]] = {"organizations": []}
        self.surveys: Dict[str, Any] = {}
        self.add("organizations", {"name": "Default"})

    def add(self, kind: str, thing: Dict[str, Any]) -> Dict[str, Any]:
        things = self.things.setdefault(kind, [])
        url = f"/api/v2/{kind}/{len(things) + 1}/"
        survey = {"survey_spec": f"{url}survey_spec/"} if kind == "job_templates" else {}
        made = {**thing, "id": len(things) + 1, "url": url, "type": kind[:-1], "related": survey, "summary_fields": {}}
        made.update(
            {"status": "successful", "finished": "2026-01-01T00:00:00Z", "scm_revision": "1"}
            if kind == "projects"
            else {}
        )
        things.append(made)
        return made

    def get(self, path: List[str], query: Dict[str, str]) -> Any:
        if not path:
            return {"current_version": "/api/v2/", "available_versions": {"v2": "/api/v2/"}}
        if path[-1] == "survey_spec":
            return self.surveys.get(path[1], {})
        if len(path) == 2:
            return self.things[path[0]][int(path[1]) - 1]
        kinds = ["job_templates", "projects"] if path[0] == "unified_job_templates" else path[:1]
        names = {query.get("name"), query.get("name__iexact")}
        found = [thing for kind in kinds for thing in self.things.get(kind, []) if thing["name"] in names]
        return {"count": len(found), "results": found, "next": None}

    def post(self, path: List[str], data: Dict[str, Any]) -> Any:
        if path[-1] == "survey_spec":
            return self.surveys.__setitem__(path[1], data) or {}
        return self.add(path[0], data)

    def patch(self, path: List[str], data: Dict[str, Any]) -> Any:
        thing = self.things[path[0]][int(path[1]) - 1]
        thing.update(data)
        return thing


@contextlib.contextmanager
def served(awx: Awx) -> Iterator[str]:
    """The API on loopback, for as long as the block lasts; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, body: Any) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(text)))):
                self.send_header(name, value)
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
            self.end_headers()
            self.wfile.write(text)

        def _path(self) -> List[str]:
            return [part for part in urlsplit(self.path).path.split("/") if part][2:]

        def _data(self) -> Dict[str, Any]:
            return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

        def do_GET(self) -> None:
            self._answer(200, awx.get(self._path(), dict(parse_qsl(urlsplit(self.path).query))))

        def do_POST(self) -> None:
            survey = self.path.endswith("survey_spec/")
            self._answer(200 if survey else 201, awx.post(self._path(), self._data()))

        def do_PATCH(self) -> None:
            self._answer(200, awx.patch(self._path(), self._data()))

        def log_message(self, *_words: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
