"""A file of profiles in a Hub's own application: when it changes, is wrong, or loses a profile."""

from __future__ import annotations

import asyncio
import html
import logging
import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jupyterhub
import pytest
from prometheus_client import REGISTRY
from support.hub import until
from support.hub_app import PATIENCE, Hub, profiles_hub
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httputil import HTTPHeaders
from tornado.web import create_signed_value
from traitlets.config import Config

from unispawner import ProfilesSpawner
from unispawner.profiles import profiles_file
from unispawner.servers.start_check import check_configuration
from unispawner.web.bookkeeping import inner

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
REFUSED = 400 if jupyterhub.version_info >= (6,) else 200
"""The status of the page that shows a form once more; JupyterHub 5 calls it right."""
PROFILE = """\
- display_name: {name}
  slug: {slug}
  spawner: support.hub_app.FakeSpawner
  config: {{queue_name: {queue}}}
  options:
    memory: {{max: {most}, default: 1G}}
"""


def text_of(
    name: str = "Small", slug: str = "small", queue: str = "short", most: str = "8G"
) -> str:
    return PROFILE.format(name=name, slug=slug, queue=queue, most=most)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a change settle soon. Nobody looks at the file but forms and starts."""
    monkeypatch.setattr(profiles_file, "_files", {})
    monkeypatch.setattr(profiles_file, "INTERVAL", 3600.0)
    monkeypatch.setattr(profiles_file, "SETTLE", 0.02)
    monkeypatch.setattr(profiles_file, "PATIENCE", PATIENCE)


@pytest.fixture(autouse=True)
def default_sighup() -> Iterator[None]:
    """Let SIGHUP have its default, also if the tests run below nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    path = tmp_path / "profiles.yaml"
    write(path, text_of())
    return path


@pytest.fixture
def begin(tmp_path: Path, file: Path) -> Callable[[], AbstractAsyncContextManager[Hub]]:
    """Return a function that begins a Hub with the file."""
    return lambda: profiles_hub(tmp_path, keeps=True, profiles_file=str(file))


@pytest.fixture
async def hub(begin: Callable[[], AbstractAsyncContextManager[Hub]]) -> AsyncIterator[Hub]:
    async with begin() as found:
        yield found


def write(path: Path, text: str) -> None:
    """Write the file as it should be done: in one step."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    os.replace(new, path)


class Browser:
    """A user who is logged in."""

    def __init__(self, hub: Hub, name: str = "ada") -> None:
        user = hub.user(name)
        if not user.cookie_id:
            user.cookie_id = name
            hub.app.db.commit()
        value = create_signed_value(b"x" * 32, "jupyterhub-hub-login", user.cookie_id).decode()
        self._cookies = {"jupyterhub-hub-login": value}
        self._url = hub.url.removesuffix("api") + "spawn"

    async def _fetch(self, **request: Any) -> HTTPResponse:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        answer = await AsyncHTTPClient().fetch(
            self._url, headers=HTTPHeaders({"Cookie": cookies}), raise_error=False, **request
        )
        for one in answer.headers.get_list("Set-Cookie"):
            name, _, value = one.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer

    async def open_form(self) -> str:
        """Return the page with the form."""
        answer = await self._fetch()
        assert 200 == answer.code
        return html.unescape(answer.body.decode())

    async def send(self, page: str, **fields: str) -> tuple[int, str]:
        """Send a form that was opened; return the status and the page."""
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
        body = {**dict(hidden), "_xsrf": self._cookies["_xsrf"], **fields}
        answer = await self._fetch(method="POST", body=urlencode(body), follow_redirects=False)
        return answer.code, html.unescape(answer.body.decode())


def metric(file: Path) -> float | None:
    return REGISTRY.get_sample_value("unispawner_profiles_file_ok", {"file": str(file)})


async def test_the_form_before_and_after(hub: Hub, file: Path) -> None:
    """The next form after a change has what the file has, and a start is checked against it."""
    ada = Browser(hub)
    assert "Small" in (page := await ada.open_form())
    assert "Large" not in page
    write(file, text_of() + text_of("Large", "large", "long", "64G"))
    assert "Large" in await ada.open_form()
    spawner = hub.user("bob").spawners[""]
    write(file, text_of(most="2G"))
    spawner.user_options = {"profile": "small", "memory": "4G"}
    with pytest.raises(Exception, match="memory: '4G' must be at most 2G"):
        await spawner.run_pre_spawn_hook()
    assert 1 == metric(file)


async def test_a_form_that_was_opened_before_the_change(hub: Hub, file: Path) -> None:
    """It is checked against the new file. The user reads what is wrong, and that the profiles have
    changed; a form that was opened since says only what is wrong."""
    ada = Browser(hub)
    page = await ada.open_form()
    write(file, text_of(most="2G"))
    fields = {"profile": "small", "small--memory": "4G"}
    status, old = await ada.send(page, **fields)
    words = "The profiles have changed since this form was opened."
    assert (REFUSED, True) == (status, words in old)
    assert "memory: '4G' must be at most 2G" in old
    status, new = await ada.send(await ada.open_form(), **fields)
    assert (REFUSED, False) == (status, words in new)
    write(file, text_of("Other", "other"))
    status, gone = await ada.send(page, **fields)
    assert (REFUSED, True) == (status, "'small' is not offered; offered profiles: other" in gone)


async def test_a_file_that_is_wrong(hub: Hub, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The old profiles stay, also for many forms. The log says once what is wrong and in which
    line, and the metric is 0 until the file is right again."""
    caplog.set_level(logging.INFO, "JupyterHub.unispawner")
    ada = Browser(hub)
    write(file, text_of("New") + "  confik: {}\n")
    for _ in range(3):
        assert "Small" in await ada.open_form()
    assert 0 == metric(file)
    line = f"{file}, line 7, column 3: profiles[0] (small): unknown key 'confik'"
    assert 1 == caplog.text.count(line), caplog.text
    assert 1 == caplog.text.count("The profiles of before stay.")
    write(file, text_of("New", queue="5.5"))
    assert "Small" in await ada.open_form()
    assert f"{file}, line 4, column 12: profile 'small': config: " in caplog.text
    file.unlink()
    for _ in range(3):
        assert "Small" in await ada.open_form()
    assert 1 == caplog.text.count("No such file or directory")
    write(file, text_of("New"))
    assert "New" in await ada.open_form()
    assert 1 == metric(file)


async def test_an_editor_that_empties_the_file_first(
    hub: Hub, file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written piece by piece is taken when it stays the same, and not before."""
    monkeypatch.setattr(profiles_file, "SETTLE", 0.3)
    whole = text_of() + text_of("Large", "large")
    file.write_text("")
    form = asyncio.ensure_future(Browser(hub).open_form())
    for end in range(0, len(whole), 40):
        await asyncio.sleep(0.01)
        file.write_text(whole[:end])
    file.write_text(whole)
    assert "Large" in await form
    assert [] == [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_another_content_of_the_same_size_and_time(hub: Hub, file: Path) -> None:
    """A change within one tick of a file system's clock is seen, whatever that clock shows."""
    ada = Browser(hub)
    assert "Small" in await ada.open_form()
    before = file.stat()
    file.write_text(text_of("Smell"))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "Smell" in await ada.open_form()


async def test_sighup(hub: Hub, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SIGHUP reads the file at once, also if it has not changed, and does not end the Hub."""
    caplog.set_level(logging.INFO, "JupyterHub.unispawner")
    assert signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: "read anew, and are right" in caplog.text, "the file is read")
    write(file, text_of("Large"))
    os.kill(os.getpid(), signal.SIGHUP)
    spawner = hub.user("ada").spawners[""]
    await until(lambda: spawner.refresh_profiles()[0]["display_name"] == "Large", "it is new")


async def test_many_signals(hub: Hub, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Many signals at once cause few readings, the last of which sees the last change."""
    caplog.set_level(logging.INFO, "JupyterHub.unispawner")
    found = profiles_file.find_file(str(file))
    turns = [asyncio.ensure_future(found.reload()) for _ in range(100)]
    await asyncio.sleep(0)
    write(file, text_of("Large"))
    await asyncio.gather(*turns, found.reload())
    assert 2 >= caplog.text.count("read anew, and are right")
    spawner = hub.user("ada").spawners[""]
    assert "Large" == spawner.refresh_profiles()[0]["display_name"]


async def test_a_handler_of_the_sites(begin: Any) -> None:
    """A handler of SIGHUP that the site has set stays, and so does the SIG_IGN of nohup."""
    for handler in (signal.SIG_IGN, lambda *_: None):
        before = signal.signal(signal.SIGHUP, handler)
        try:
            async with begin():
                assert handler == signal.getsignal(signal.SIGHUP)
        finally:
            signal.signal(signal.SIGHUP, before)


async def test_the_hub_looks_by_itself(
    begin: Any, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any form, the metric shows soon that the file is wrong."""
    monkeypatch.setattr(profiles_file, "INTERVAL", 0.05)
    async with begin():
        write(file, "- 5")
        await until(lambda: metric(file) == 0, "the metric is 0")


async def test_a_file_system_that_hangs(
    hub: Hub, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Forms have the profiles of before and do not wait again and again; the event loop goes on."""
    go_on = threading.Event()
    monkeypatch.setattr(profiles_file, "PATIENCE", 0.05)
    monkeypatch.setattr(profiles_file, "READ_SECONDS", 0.1)
    readings: list[object] = []

    def hang(*_: object) -> None:
        readings.append(None)
        go_on.wait()

    monkeypatch.setattr(profiles_file, "open_and_read", hang)
    monkeypatch.setattr("unispawner.profiles.spawner.PATIENCE", 0.05)
    ada = Browser(hub)
    assert "Small" in await ada.open_form()
    await until(lambda: metric(file) == 0, "the metric is 0", pause=0.02)
    begun = len(readings)
    for _ in range(5):
        assert "Small" in await ada.open_form()
    assert begun == len(readings)
    assert 1 == caplog.text.count("does not answer")
    go_on.set()


async def test_a_check_that_takes_long(
    hub: Hub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a scheduler does not answer the check, forms have the profiles of before. They wait a
    moment for the first, and not each for its own; then the new profiles are there."""
    go_on = asyncio.Event()

    async def check(_: Any) -> None:
        await go_on.wait()

    source = profiles_file.find_file(str(file))
    monkeypatch.setattr(source, "_check", check)
    write(file, text_of("New"))
    await source.look(0.2)
    turns = []
    for _ in range(3):
        begun = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(begun.set_result, None)
        await source.look(0.2)
        turns.append(begun.done())
    assert [False, False, False] == turns  # it returned in the same turn of the loop
    assert "Small" == hub.user("ada").spawners[""].refresh_profiles()[0]["display_name"]
    go_on.set()
    await source.look()
    assert "New" == hub.user("ada").spawners[""].refresh_profiles()[0]["display_name"]


async def test_a_server_keeps_its_profile(begin: Any, file: Path) -> None:
    """A server that was started with a profile keeps its settings when the file does not have the
    profile any more, also over a restart of the Hub. A new start needs a profile of now."""
    async with begin() as hub:
        spawner = hub.user("ada").spawners[""]
        spawner.user_options = {"profile": "small", "memory": "4G"}
        await spawner.run_pre_spawn_hook()
        child = spawner.make_child()
        start = asyncio.ensure_future(spawner.start())
        await until(lambda: child.server_job.state.job_id, "the job is submitted")
        write(file, text_of("Other", "other", "long"))
        await Browser(hub, "bob").open_form()
        assert ("short", {"memory": "4G"}) == (child.queue_name, child.resources)
        assert "small" == spawner.child_profile
        spawner.orm_spawner.state = spawner.get_state()
        hub.app.db.commit()
        start.cancel()
        await asyncio.wait({start})
    profiles_file._files.clear()
    async with begin() as hub:
        spawner = hub.user("ada").spawners[""]
        child = inner(spawner)
        assert ("short", {"memory": "4G"}) == (child.queue_name, child.resources)
        assert "small" == spawner.child_profile
        again = hub.user("bob").spawners[""]
        again.user_options = {"profile": "small"}
        with pytest.raises(Exception, match="'small' is not offered; offered profiles: other"):
            await again.run_pre_spawn_hook()


async def test_a_hub_does_not_start_with_a_file_that_is_wrong(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Hub ends with an error that names the file and the line."""
    write(file, text_of() + text_of())
    config = Config({"ProfilesSpawner": {"profiles_file": str(file)}})

    class TheHub:
        spawner_class = ProfilesSpawner
        log = logging.getLogger("the hub")

        def exit(self, status: int) -> None:
            raise SystemExit(status)

    hub = TheHub()
    hub.config = config  # type: ignore[attr-defined] # a part of JupyterHub's application
    with pytest.raises(SystemExit):
        check_configuration(hub)


@pytest.mark.parametrize("code", ["profiles = lambda s: [{'display_name': s.user.name}]"])
async def test_a_function_in_python(tmp_path: Path, code: str) -> None:
    """A file in Python may set a function, which is asked for each user."""
    tmp_path.chmod(0o755)
    path = tmp_path / "profiles.py"
    write(path, code)
    async with profiles_hub(tmp_path, profiles_file=str(path)) as hub:
        assert "ada" in await Browser(hub).open_form()
        write(path, code.replace("s.user.name", "'Of ' + s.user.name"))
        assert "Of ada" in await Browser(hub).open_form()
