"""A client that uses a Hub as a browser does: login form, cookies, progress stream, kernel.

``unispawner demo --check`` and the live tests use it. It needs only tornado, which JupyterHub
depends on. Calls are independent of each other: one client can start several named servers at
the same time, and each client is one user::

    async with HubClient("http://127.0.0.1:8000") as alice:
        await alice.login("alice", password)
        await alice.start()
        await alice.wait_ready(timeout=60)
        assert "42" == await alice.run_cell("6*7")
        await alice.stop()
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from http.cookies import CookieError, Morsel, SimpleCookie
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.websocket import WebSocketClientConnection, websocket_connect

__all__ = ["CellError", "HubClient", "HubClientError", "StartError"]

Event = dict[str, Any]

# The proxy's answers while the Hub is down; 599 is tornado's status for a broken connection.
_HUB_IS_AWAY = {502, 503, 504, 599}


class HubClientError(Exception):
    """The Hub or a server answered with an error.

    ``status`` is the HTTP status of the answer, 0 if there was none; ``body`` is its text.
    """

    def __init__(self, message: str, status: int = 0, body: str = "") -> None:
        super().__init__(f"{message}: {status} {body}".rstrip() if status else message)
        self.status = status
        self.body = body


class StartError(HubClientError):
    """A server did not start; ``event`` is the last event of its progress, ``{}`` if none came."""

    def __init__(self, message: str, event: Event | None = None) -> None:
        super().__init__(message)
        self.event = event or {}


class CellError(HubClientError):
    """A cell raised an exception of class ``name``; the message is the traceback."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return what must be the same for a secret to be sent: scheme, host and port."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(scheme)


class _Cookies:
    """Cookies by path: ``_xsrf`` has different values at /hub/ and at each user's server.

    They go back only to where they are from. A Hub with a subdomain for each user sets its cookies
    there anew.
    """

    def __init__(self) -> None:
        self._morsels: dict[tuple[tuple[str, str, int | None], str, str], Morsel[str]] = {}

    def update(self, url: str, headers: HTTPHeaders) -> None:
        for line in headers.get_list("Set-Cookie"):
            try:
                parsed = SimpleCookie(line)
            except CookieError:
                continue
            for name, morsel in parsed.items():
                self._morsels[_origin(url), morsel["path"] or "/", name] = morsel

    def _matching(self, url: str) -> list[Morsel[str]]:
        """Return the cookies that a browser would send to an address, the most specific first."""
        found = [
            (path, morsel)
            for (origin, path, _), morsel in self._morsels.items()
            if origin == _origin(url) and urlsplit(url).path.startswith(path)
        ]
        found.sort(key=lambda item: -len(item[0]))
        return [morsel for _, morsel in found if morsel.value]  # a deleted cookie has no value

    def header(self, url: str) -> str:
        return "; ".join(f"{m.key}={m.coded_value}" for m in self._matching(url))

    def get(self, name: str, url: str) -> str:
        return next((m.value for m in self._matching(url) if m.key == name), "")


class HubClient:
    """One user's browser.

    Parameters
    ----------
    base_url
        The Hub's public address, with its prefix.
    request_timeout
        How long (seconds) an answer may take.
    ca_file
        The certificates of the authorities to trust, in a PEM file; by default the system's.
    """

    def __init__(
        self, base_url: str, *, request_timeout: float = 60, ca_file: str | None = None
    ) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.user = ""
        self._request_timeout = request_timeout
        self._ca_file = ca_file
        self._cookies = _Cookies()
        self._authorization: dict[str, str] = {}
        # Each open progress stream holds a connection; tornado's default of ten is soon used up.
        self._http = AsyncHTTPClient(force_instance=True, max_clients=1000)

    async def __aenter__(self) -> HubClient:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    # -- requests ---------------------------------------------------------------------------

    def url(self, path: str) -> str:
        """Return the address of a path that is relative to the Hub's prefix."""
        return urljoin(self.base_url, path.lstrip("/"))

    async def request(
        self, method: str, url: str, *, follow: bool = True, **options: Any
    ) -> HTTPResponse:
        """Send one request with the cookies of its path, and return the answer of any status.

        ``url`` may be relative. Redirects are followed with their cookies (OAuth is a chain of
        them). ``options`` are those of tornado's ``HTTPRequest``.

        Raises
        ------
        OSError
            If nothing listens at the address.
        HubClientError
            With status 599 after a time-out or for a broken connection.
        """
        url = self.url(url) if "://" not in url else url
        options.setdefault("request_timeout", self._request_timeout)
        headers = options.pop("headers", {})
        for _ in range(20):
            xsrf = self._cookies.get("_xsrf", url)
            sent = {"Cookie": self._cookies.header(url), "X-XSRFToken": xsrf, **headers}
            request = HTTPRequest(
                url,
                method,
                headers={**sent, **self._authorization_for(url)},
                follow_redirects=False,
                ca_certs=self._ca_file,
                **options,
            )
            try:
                response = await self._http.fetch(request, raise_error=False)
            except HTTPClientError as error:
                raise HubClientError(f"{method} {url}", error.code, error.message) from error
            self._cookies.update(url, response.headers)
            location = response.headers.get("Location")
            if not (follow and response.code in {301, 302, 303, 307, 308} and location):
                return response
            url = urljoin(url, location)
            if method not in {"GET", "HEAD"} and response.code in {301, 302, 303}:
                method = "GET"
                options.pop("body", None)
        raise HubClientError(f"{method}: more than 20 redirects, the last to {url}")

    async def _json(self, method: str, url: str, body: Any = None) -> Any:
        """Send JSON and return the decoded answer; a status from 400 on raises HubClientError."""
        response = await self.request(
            method,
            url,
            body=None if body is None else json.dumps(body),
            allow_nonstandard_methods=True,
            headers={"Content-Type": "application/json", "Accept": "application/json"},
        )
        text = response.body.decode("utf-8", "replace") if response.body else ""
        if response.code >= 400:
            path = urlsplit(url).path
            raise HubClientError(f"{method} {path}", response.code, text or response.reason)
        return json.loads(text) if text else None

    async def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the Hub's REST API at a path below /hub/api/, and return the decoded answer."""
        return await self._json(method, self.url(f"hub/api/{path}"), body)

    # -- the Hub ----------------------------------------------------------------------------

    async def login(self, user: str, password: str) -> None:
        """Fill in and send the login form; HubClientError is raised if the Hub refuses."""
        page = self.url("hub/login")
        await self.request("GET", page)
        xsrf = self._cookies.get("_xsrf", page)
        form = urlencode({"username": user, "password": password, "_xsrf": xsrf})
        response = await self.request("POST", page, body=form, follow=False)
        if response.code != 302:
            raise HubClientError(f"the Hub refused the login of {user}", response.code)
        self.user = user
        await self.request("GET", "hub/token")  # a page that starts no server, to renew `_xsrf`

    async def use_token(self, user: str, token: str) -> None:
        """Use an API token of a user instead of a login; HubClientError if the Hub refuses it."""
        self._authorization = {"Authorization": f"token {token}"}
        owner = (await self.api("GET", "user")).get("name")
        if owner != user:
            raise HubClientError(f"the token belongs to {owner}, and not to {user}")
        self.user = user

    def _authorization_for(self, url: str) -> dict[str, str]:
        """Return the header with the token, for an address of the Hub and for no other."""
        return self._authorization if _origin(url) == _origin(self.base_url) else {}

    def _server_path(self, server_name: str) -> str:
        user = f"users/{quote(self.user, safe='')}"
        return f"{user}/servers/{quote(server_name, safe='')}" if server_name else f"{user}/server"

    async def start(self, server_name: str = "", options: Event | None = None) -> None:
        """Request a server with these user_options; return when the Hub has accepted it."""
        await self.api("POST", self._server_path(server_name), options or {})

    async def progress(self, server_name: str = "") -> AsyncGenerator[Event, None]:
        """Yield the events of a start as the pending page gets them, up to the last."""
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        rest = b""
        closed = False

        def take_chunk(chunk: bytes) -> None:
            nonlocal rest
            if closed:  # an exception here is the only way to end a fetch of tornado
                raise HubClientError("the reader of this progress stream has stopped")
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    events.put_nowait(json.loads(line[len(b"data:") :]))

        url = self.url(f"hub/api/{self._server_path(server_name)}/progress")
        stream = asyncio.ensure_future(
            self.request("GET", url, streaming_callback=take_chunk, request_timeout=0)
        )
        stream.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            response = stream.result()
            if response.code >= 400:
                raise HubClientError(f"GET {urlsplit(url).path}", response.code, response.reason)
        finally:
            closed = True
            stream.cancel()

    async def wait_ready(
        self,
        server_name: str = "",
        *,
        timeout: float,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> Event:
        """Follow the progress until the server is ready; return that event, which has its ``url``.

        Raises
        ------
        StartError
            If the start fails, or is not done after ``timeout`` seconds.
        """
        last: Event = {}

        async def follow() -> bool:
            """Return True when the server is ready, False if the stream ends before that."""
            nonlocal last
            async with contextlib.aclosing(self.progress(server_name)) as events:
                async for event in events:
                    last = event
                    on_event(event)
                    if event.get("failed"):
                        raise StartError(str(event.get("message")), event)
                    if event.get("ready"):
                        return True
            return False

        deadline = time.monotonic() + timeout
        while True:
            try:
                if await asyncio.wait_for(follow(), deadline - time.monotonic()):
                    return last
            except (asyncio.TimeoutError, TimeoutError):
                words = last.get("message", "none")
                raise StartError(
                    f"the server was not ready after {timeout:g} s; its last message: {words}", last
                ) from None
            except (HubClientError, OSError) as error:
                if isinstance(error, HubClientError) and error.status not in _HUB_IS_AWAY:
                    raise
            await asyncio.sleep(0.5)  # the stream ended early, for example because the Hub restarts

    async def stop(
        self, server_name: str = "", *, remove: bool = False, timeout: float = 60
    ) -> None:
        """Stop a server and wait until it has ended; ``remove`` also deletes a named server.

        Raises
        ------
        HubClientError
            If the Hub refuses, or the server has not ended after ``timeout`` seconds.
        """
        body = {"remove": True} if remove else None
        await self.api("DELETE", self._server_path(server_name), body)
        deadline = time.monotonic() + timeout
        while server_name in await self.servers():
            if time.monotonic() > deadline:
                raise HubClientError(
                    f"the server {server_name!r} did not stop within {timeout:g} s"
                )
            await asyncio.sleep(0.2)

    async def servers(self) -> dict[str, Any]:
        """Return the user's servers that run, start or stop, by name; "" is the default server."""
        model = await self.api("GET", f"users/{quote(self.user, safe='')}")
        return {
            name: server
            for name, server in model.get("servers", {}).items()
            if server.get("ready") or server.get("pending")
        }

    # -- the user's server, through the proxy -----------------------------------------------

    def server_url(self, server_name: str = "", owner: str = "") -> str:
        """Return the address of a server; ``owner`` names another user whose server it is."""
        path = f"user/{quote(owner or self.user, safe='')}/"
        return self.url(path + (f"{quote(server_name, safe='')}/" if server_name else ""))

    async def run_cell(
        self, code: str, server_name: str = "", *, owner: str = "", timeout: float = 60
    ) -> str:
        """Run code in a new kernel, and return what it prints and its result, in their order.

        Raises
        ------
        CellError
            If the cell raises an exception.
        HubClientError
            If the server refuses access, or does not answer within ``timeout`` seconds.
        """
        server = self.server_url(server_name, owner)
        page = await self.request(
            "GET", server
        )  # logs in to the server, which sets its own cookies
        if page.code >= 400:
            raise HubClientError(f"GET {server}", page.code, page.reason)
        kernels = urljoin(server, "api/kernels")
        kernel = await self._json("POST", kernels, {})
        try:
            run = self._execute(server, kernel["id"], code)
            return (await asyncio.wait_for(run, timeout)).strip()
        except (asyncio.TimeoutError, TimeoutError):
            raise HubClientError(f"the kernel did not answer within {timeout:g} s") from None
        finally:
            with contextlib.suppress(HubClientError, OSError):  # the server may have ended
                await self._json("DELETE", f"{kernels}/{kernel['id']}")

    async def _channels(self, server: str, kernel_id: str) -> WebSocketClientConnection:
        xsrf = self._cookies.get("_xsrf", server)
        query = urlencode({"session_id": kernel_id, "_xsrf": xsrf})
        url = urljoin(server, f"api/kernels/{kernel_id}/channels?{query}")
        headers = {
            "Cookie": self._cookies.header(url),
            "Sec-Fetch-Mode": "websocket",
        }
        ws_url = "ws" + url.removeprefix("http")
        headers.update(self._authorization_for(url))
        return await websocket_connect(
            HTTPRequest(
                ws_url,
                headers=headers,
                ca_certs=self._ca_file,
                connect_timeout=self._request_timeout,
            )
        )

    async def _execute(self, server: str, kernel_id: str, code: str) -> str:
        channels = await self._channels(server, kernel_id)
        message_id = f"{kernel_id}-cell"
        header = {"msg_id": message_id, "msg_type": "execute_request", "session": kernel_id}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False}
        message = {
            "header": {**header, "username": self.user, "version": "5.3"},
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
            "buffers": [],
        }
        output = ""
        try:
            await channels.write_message(json.dumps(message))
            while (raw := await channels.read_message()) is not None:
                answer = json.loads(raw)
                if answer["parent_header"].get("msg_id") != message_id:
                    continue
                if answer["content"].get("execution_state") == "idle":
                    return output
                output += _output_of(answer)
        finally:
            channels.close()
        raise HubClientError("the connection to the kernel was closed")


def _output_of(message: dict[str, Any]) -> str:
    """Return the text of one message of a kernel; raise CellError if the message is an error."""
    content = message["content"]
    kind = message["header"]["msg_type"]
    if kind == "stream":
        return str(content["text"])
    if kind in {"execute_result", "display_data"}:
        return str(content["data"].get("text/plain", "")) + "\n"
    if kind == "error":
        raise CellError("\n".join(content["traceback"]), content["ename"])
    return ""
