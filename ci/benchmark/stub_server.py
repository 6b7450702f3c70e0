#!/usr/bin/env python3
"""A small HTTP server in place of JupyterLab, whose own start takes two seconds of processor time.

It answers every request with "ok", at the port that its environment or its first argument names.
"""

import http.server
import os
import sys
from urllib.parse import urlsplit


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET request."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Write no log."""


def find_port() -> int:
    """Return the port: JupyterHub's variable names it, or else the first argument."""
    url = os.environ.get("JUPYTERHUB_SERVICE_URL")
    port = urlsplit(url).port if url else int(sys.argv[1])
    assert port
    return port


http.server.ThreadingHTTPServer(("0.0.0.0", find_port()), Handler).serve_forever()
