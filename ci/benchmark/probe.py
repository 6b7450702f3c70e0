"""Ask a Hub's API twenty times a second until standard input is closed; print the times.

    python probe.py http://127.0.0.1:8000/hub/api/

Each line is the time from when a request was due until its answer. A request that is sent late
because the one before took long counts from when it was due, so that one long stall is seen as
the many slow answers that users would have had.
"""

from __future__ import annotations

import http.client
import select
import sys
import time
from urllib.parse import urlsplit

PAUSE = 0.05


def ask(url: str) -> None:
    """Send one request; raise OSError if it is not answered with status 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise OSError(f"{url} answered {response.status}")
    finally:
        connection.close()


def main() -> None:
    due = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, due - time.monotonic()))[0]:
        ask(sys.argv[1])
        print(f"{time.monotonic() - due:.4f}")
        due += PAUSE


if __name__ == "__main__":
    main()
