"""Asks the Hub about this server, with the server's own token, which goes nowhere else."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.simple_httpclient import SimpleAsyncHTTPClient

TIMEOUT = 10.0
"""Seconds."""
ANSWER_LIMIT = 256 * 1024
"""Bytes."""


class NoAnswer(Exception):
    """The Hub does not answer at the moment, or its answer can't be read."""


class NotKnown(Exception):
    """The Hub has no unispawner, or does not know this server."""


class Hub:
    """The Hub's API.

    Parameters
    ----------
    address
        The URL of this server's status.
    token
        The server's own token.
    certificates
        With ``internal_ssl``: the paths of the server's key, of its certificate, and of the
        certificates that it trusts.
    """

    def __init__(
        self, address: str, token: str, certificates: tuple[str, str, str] | None = None
    ) -> None:
        self.address, self._token, self._certificates = address, token, certificates
        # Not tornado's default client, which may be curl's: that one would use the user's proxy.
        self._client = SimpleAsyncHTTPClient(force_instance=True, max_body_size=ANSWER_LIMIT)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Hub | None:
        """Return the Hub that JupyterHub's variables name; None if no Hub started this server."""
        api, user = environment.get("JUPYTERHUB_API_URL"), environment.get("JUPYTERHUB_USER")
        token = environment.get("JUPYTERHUB_API_TOKEN")
        if not (api and user and token):
            return None
        parts = [user, environment.get("JUPYTERHUB_SERVER_NAME", "")]
        path = "/".join(quote(part, safe="") for part in parts if part)
        files = tuple(
            environment.get(f"JUPYTERHUB_SSL_{name}", "")
            for name in ("KEYFILE", "CERTFILE", "CLIENT_CA")
        )
        address = f"{api.rstrip('/')}/unispawner/servers/{path}"
        return cls(address, token, files if len(files) == 3 and all(files) else None)

    async def status(self) -> dict[str, Any]:
        """Return this server's status; see docs/pages.md of unispawner.

        Raises
        ------
        NotKnown
            If the Hub has no unispawner, or does not know this server.
        NoAnswer
            If the Hub does not answer, or its answer can't be read.
        """
        try:
            answer = await self._client.fetch(self._request())
            status = json.loads(answer.body)
        except HTTPClientError as error:
            if error.code in (401, 403, 404):
                raise NotKnown from None
            raise NoAnswer(f"it answers {error.code}") from None
        except (OSError, ValueError, RecursionError) as error:
            raise NoAnswer(str(error)) from None
        if not isinstance(status, dict):
            raise NoAnswer("its answer is not a status")
        return status

    def _request(self) -> HTTPRequest:
        context = None
        if self._certificates:
            key, certificate, trusted = self._certificates
            context = ssl.create_default_context(cafile=trusted)
            context.load_cert_chain(certificate, key)
        return HTTPRequest(
            self.address,
            headers={"Authorization": f"token {self._token}", "Accept": "application/json"},
            connect_timeout=TIMEOUT,
            request_timeout=TIMEOUT,
            follow_redirects=False,  # the token is for this address only
            ssl_options=context,
        )
