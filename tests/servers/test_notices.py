"""What users are told by mail: a real SMTP server in the test, and a Hub's own application."""

from __future__ import annotations

import asyncio
import json
import smtplib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import default
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlparse

import pytest
from aiosmtpd.smtp import SMTP
from support.hub import until
from support.hub_app import NODE, PATIENCE, FakeSpawner, Hub, Server, hub_app, starting_server
from tornado.httpclient import AsyncHTTPClient
from traitlets import TraitError
from traitlets.config import Config

from unispawner import UniSpawner
from unispawner.job import JobState
from unispawner.servers import mail, notices
from unispawner.servers.history import Ending
from unispawner.settings.mail import is_address, read_settings
from unispawner.web.allowance import AllowanceByUser
from unispawner.web.per_hub import PerHub

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")


@dataclass
class Inbox:
    """What an SMTP server has received."""

    port: int = 0
    found: list[tuple[list[str], EmailMessage | Message]] = field(default_factory=list)
    answer: str = "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            message = BytesParser(policy=default).parsebytes(envelope.content)
            self.found.append((envelope.rcpt_tos, message))
        return self.answer


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    found = Inbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(found), "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()
    await server.wait_closed()


def configured(inbox: Inbox, **more: Any) -> dict[str, Any]:
    settings = {"host": "127.0.0.1", "port": inbox.port, "from": "hub@example.org", "tls": "none"}
    return {**settings, "to": "{username}@example.org", **more}


@pytest.fixture
async def hub(tmp_path: Path, inbox: Inbox) -> AsyncIterator[Hub]:
    config = Config()
    config.UniSpawner.mail = configured(inbox)
    async with hub_app(tmp_path, config) as found:
        found.app.tornado_settings["public_url"] = urlparse("https://hub.example.org/")
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        yield found


async def put(
    hub: Hub, body: Any, user: str = "ada", sender: str = "", language: str = "en"
) -> int:
    answer = await AsyncHTTPClient().fetch(
        f"{hub.url}/unispawner/notices?user={user}",
        method="PUT",
        body=json.dumps(body),
        headers={
            "Authorization": f"token {hub.user(sender or user).new_api_token()}",
            "Accept-Language": language,
        },
        raise_error=False,
    )
    return int(answer.code)


async def read(hub: Hub) -> dict[str, Any]:
    answer = await hub.get("unispawner/notices", hub.user("ada").new_api_token())
    assert 200 == answer.code
    return dict(json.loads(answer.body))


async def ready(hub: Hub, server: Server, waited: float) -> None:
    """Let the server become ready, after it has waited for some seconds."""
    await server.running()
    server.spawner.server_job.state.submit_time = time.time() - waited
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    await asyncio.wait_for(server.start, PATIENCE)
    server.spawner.start_polling()
    server.spawner.stop_polling()


def has_mail(inbox: Inbox, number: int) -> bool:
    return len(inbox.found) == number


async def test_a_user_chooses(hub: Hub) -> None:
    """Nobody gets mail who has not asked for it; one wish changes no other one."""
    wishes = dict.fromkeys(notices.EVENTS, False)
    assert {"address": "ada@example.org", "events": wishes} == await read(hub)
    assert 200 == await put(hub, {"ready": True, "soon": True})
    assert 200 == await put(hub, {"soon": False})
    assert {**wishes, "ready": True} == (await read(hub))["events"]
    for wrong in ({"never": True}, {"ready": "yes"}, ["ready"], {"ready": None}):
        assert 400 == await put(hub, wrong)
    assert {**wishes, "ready": True} == (await read(hub))["events"]


@pytest.mark.threat(
    who="other user",
    tries="They change for which events another user gets mail.",
    stopped_by="Writing needs the scope servers for that user.",
)
async def test_whose_choice(hub: Hub) -> None:
    """Only the user, and who may start the user's servers, may change it."""
    hub.user("ada")
    assert 404 == await put(hub, {"ready": True}, "ada", "bob")


async def test_ready_after_a_wait(hub: Hub, server: Server, inbox: Inbox) -> None:
    """The message says which server is ready, links to the Hub and does not look like a reply."""
    await put(hub, {"ready": True})
    await ready(hub, server, 600)
    await until(lambda: inbox.found, "the mail has arrived", PATIENCE)
    to, message = inbox.found[0]
    assert ["ada@example.org"] == to
    assert "Your server is ready" == message["Subject"]
    assert "auto-generated" == message["Auto-Submitted"]
    assert "https://hub.example.org/hub/home" in message.as_string()


@pytest.mark.parametrize(("waited", "wish"), [(1, True), (600, False)])
async def test_no_mail(hub: Hub, server: Server, inbox: Inbox, waited: float, wish: bool) -> None:
    """No mail is sent about a start that took a moment, or to a user who has not asked for mail."""
    await put(hub, {"ready": wish, "ended": True})
    await ready(hub, server, waited)
    FakeSpawner.fake.change(
        server.spawner.server_job.state.job_id, JobState.FAILED, native_state="TIMEOUT"
    )
    while not server.spawner.server_job.over:
        await server.spawner.monitor().refresh(PATIENCE)
    server.spawner.clear_state()
    await until(lambda: inbox.found, "the mail of the end has arrived", PATIENCE)
    assert ["Your server has ended"] == [one["Subject"] for _, one in inbox.found]
    assert "TIMEOUT" in inbox.found[0][1].as_string()


async def test_an_end_in_steps(hub: Hub, server: Server, inbox: Inbox) -> None:
    """If a job leaves its node before its end, its server has ended: it did start."""
    await put(hub, {"ended": True})
    await ready(hub, server, 1)
    job = server.spawner.server_job
    FakeSpawner.fake.change(job.state.job_id, JobState.RUNNING, ending=True)  # COMPLETING
    while job.state.port:  # a question that was asked before has an older answer
        await server.spawner.monitor().refresh(PATIENCE)
    FakeSpawner.fake.change(job.state.job_id, JobState.FAILED, native_state="TIMEOUT")
    while not job.over:
        await server.spawner.monitor().refresh(PATIENCE)
    server.spawner.clear_state()
    await until(lambda: inbox.found, "the mail of the end has arrived", PATIENCE)
    assert ["Your server has ended"] == [one["Subject"] for _, one in inbox.found]


async def test_a_start_that_fails(hub: Hub, server: Server, inbox: Inbox) -> None:
    """One message has the reason, whatever JupyterHub does afterwards; a stop sends none."""
    await put(hub, {"ended": True})
    await server.submitted()
    FakeSpawner.fake.change(
        server.spawner.server_job.state.job_id, JobState.FAILED, native_state="NODE_FAIL"
    )
    with pytest.raises(Exception, match="NODE_FAIL"):
        await server.start
    await server.spawner.stop()
    server.spawner.clear_state()
    await until(lambda: inbox.found, "the mail has arrived", PATIENCE)
    await asyncio.sleep(0.2)
    assert ["Your server has not started"] == [one["Subject"] for _, one in inbox.found]


async def test_in_the_users_language(hub: Hub, server: Server, inbox: Inbox) -> None:
    """Mail is in the language in which the user has asked for it; the scheduler's words stay."""
    await put(hub, {"ended": True}, language="de-AT")
    assert {"ready": False, "ended": True, "soon": False} == (await read(hub))["events"]
    await server.submitted()
    FakeSpawner.fake.change(
        server.spawner.server_job.state.job_id, JobState.FAILED, native_state="NODE_FAIL"
    )
    with pytest.raises(Exception, match="ended before its server was ready"):
        await server.start
    await until(lambda: inbox.found, "the mail has arrived", PATIENCE)
    ((_, message),) = inbox.found
    assert "Ihr Server ist nicht gestartet" == message["Subject"]
    assert isinstance(message, EmailMessage)
    body = message.get_content()
    assert "hat geendet, bevor sein Server bereit war" in body
    assert "meldet NODE_FAIL." in body
    assert "weil Sie darum gebeten haben" in body


@pytest.mark.threat(
    who="user",
    tries="They let starts fail in a loop, each with a mail, until mail to others is left out.",
    stopped_by="Each user gets some messages at once, and later one in some minutes.",
)
async def test_a_user_whose_starts_all_fail(
    hub: Hub, server: Server, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a user gets a few messages; another user gets theirs."""
    monkeypatch.setattr(notices, "_ALLOWANCE", PerHub(lambda: AllowanceByUser(2, 600.0)))
    await put(hub, {"ended": True})
    await put(hub, {"ended": True}, "bob")
    await server.submitted()
    for _ in range(5):
        notices.note_end(server.spawner.server_job, Ending("refused", "why"))
    bobs = SimpleNamespace(
        spawner=hub.user("bob").spawners[""], state=server.spawner.server_job.state, tracked=None
    )
    notices.note_end(bobs, Ending("refused", "why"))
    await until(lambda: len(inbox.found) >= 3, "the mail has arrived", PATIENCE)
    await asyncio.sleep(0.2)
    assert ["ada@example.org"] * 2 + ["bob@example.org"] == [to for (to,), _ in inbox.found]


async def test_before_the_end(hub: Hub, server: Server, inbox: Inbox) -> None:
    """The message comes end_warning before the end, also from a Hub that was restarted."""
    await put(hub, {"soon": True})
    await server.running()
    FakeSpawner.fake.change(
        server.spawner.server_job.state.job_id,
        JobState.RUNNING,
        exec_host=NODE,
        estimated_end=time.time() + 600,
    )
    while server.info is None or server.info.estimated_end is None:
        await server.spawner.monitor().refresh(PATIENCE)
    server.spawner.server_job.restored = True
    await ready(hub, server, 600)
    await until(lambda: inbox.found, "the mail has arrived", PATIENCE)
    assert ["Your server ends soon"] == [one["Subject"] for _, one in inbox.found]
    assert "over in 10 minutes" in inbox.found[0][1].get_content()  # type: ignore[union-attr] # by policy


async def test_not_in_the_first_half(
    hub: Hub, server: Server, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is shorter than end_warning is warned of at the half of its time; there is a
    second message only if its time was extended meanwhile."""
    monkeypatch.setattr(notices, "_LOOK_AGAIN", 0.02)
    await put(hub, {"soon": True})
    await server.running()
    job = server.spawner.server_job

    async def time_of(length: float, left: float) -> None:
        """Let the job have a length, and some time left (seconds)."""
        job.state.duration, end = length, time.time() + left
        FakeSpawner.fake.change(
            job.state.job_id, JobState.RUNNING, exec_host=NODE, estimated_end=end
        )
        while server.info is None or server.info.estimated_end != end:
            await server.spawner.monitor().refresh(PATIENCE)

    await time_of(600, 540)
    warned_at = job.facts().warned_at
    assert warned_at is not None
    assert abs(warned_at - (time.time() + 240)) < PATIENCE
    assert not server.spawner.server_status().ending_soon
    await ready(hub, server, 1)
    for length, left, sent in ((600, 540, 0), (600, 290, 1), (1200, 890, 1), (1200, 500, 2)):
        await time_of(length, left)
        await until(partial(has_mail, inbox, sent), "the mail has arrived", PATIENCE)
        await asyncio.sleep(0.1)
        assert sent == len(inbox.found)
    job.spawner.end_warning = 0.0
    assert job.facts().warned_at is None


# -- what is sent to whom -------------------------------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="Their name, or the name of their server, adds a header or a recipient to the mail.",
    stopped_by="An address is one plain address, and a subject is one line.",
)
async def test_header_injection(inbox: Inbox) -> None:
    """A subject with line breaks is one line; an address with more than an address is refused."""
    settings = read_settings(configured(inbox))
    assert settings is not None
    evil = "x\r\nBcc: eve@example.org\r\n\r\nbody"
    await asyncio.to_thread(mail.deliver, settings, mail.Mail("ada@example.org", evil, "text"))
    to, message = inbox.found[0]
    assert (["ada@example.org"], None) == (to, message["Bcc"])
    assert "x Bcc: eve@example.org body" == message["Subject"]
    for address in (
        *("ada", "a@b\nBcc: c@d", "a@b,c@d", "a b@c", "<a@b>", "a@b;c@d", "a@@b", "@b", "a@", ""),
        *("a@b (x)", '"a"@b', "ä@b", "a" * 65 + "@b", "a%evil.org@b", "evil.org!a@b", "|a@b"),
    ):
        assert not is_address(address), address
    outer = SimpleNamespace(user=SimpleNamespace(name="ada,eve"))
    with pytest.raises(Exception, match="is not one mail address"):
        notices._address(settings, outer)


async def test_the_administrators_function(inbox: Inbox) -> None:
    """The function gives the address; nothing means no mail; its failure costs only the mail."""
    outer = SimpleNamespace(user=SimpleNamespace(name="ada"))
    for function, address in (
        (lambda spawner: f"{spawner.user.name}@lab.example.org", "ada@lab.example.org"),
        (lambda spawner: None, ""),
    ):
        settings = read_settings(configured(inbox, to=function))
        assert settings is not None
        assert address == notices._address(settings, outer)
    settings = read_settings(configured(inbox, to=lambda spawner: spawner.nothing))
    assert settings is not None
    with pytest.raises(Exception, match="to: the function failed: AttributeError"):
        notices._address(settings, outer)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "smtp"}, "from: this key is required"),
        ({"host": "smtp", "from": "hub", "to": "x@b"}, "from: 'hub' must be an address"),
        (
            {"host": "smtp", "from": "a@b", "to": "x@b", "prot": 1},
            "prot: unknown key; known keys: ",
        ),
        ({"host": "smtp", "from": "a@b", "to": "x@b", "port": 0}, "port: 0 must be greater"),
        ({"host": "smtp", "from": "a@b", "to": "x@b", "tls": "yes"}, "tls: 'yes' must be 'start"),
        (
            {"host": "smtp", "from": "a@b", "to": "{user}@b"},
            "to: '{user}@b' must be like {username}",
        ),
        ({"host": "smtp", "from": "a@b", "to": "{username}"}, "to: '{username}' must be like"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], words: str) -> None:
    """A setting that can't be right ends the Hub's start, and is named."""
    with pytest.raises(TraitError, match=f"c.UniSpawner.mail: {words}"):
        UniSpawner(config=Config(UniSpawner={"mail": settings}))


async def test_a_mail_server_that_refuses(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message is tried again, and left out in the end; the next one is sent."""
    monkeypatch.setattr(mail, "_PAUSE", 0.01)
    settings = read_settings(configured(inbox))
    assert settings is not None
    inbox.answer = "451 try later"
    mailer = mail.Mailer()
    mailer.send(settings, mail.Mail("ada@example.org", "one", ""))
    await until(lambda: "which is left out" in caplog.text, "the message is left out", PATIENCE)
    assert 3 == caplog.text.count("trying again")
    inbox.answer = "250 OK"
    mailer.send(settings, mail.Mail("ada@example.org", "two", ""))
    await until(lambda: inbox.found, "the next mail has arrived", PATIENCE)
    assert ["two"] == [message["Subject"] for _, message in inbox.found]


async def test_a_message_that_is_refused_holds_up_no_other(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that waits for its next attempt lets those behind it go, and is sent later."""
    settings = read_settings(configured(inbox))
    assert settings is not None
    mailer = mail.Mailer()
    monkeypatch.setattr(mail, "_PAUSE", 3600.0)
    inbox.answer = "451 try later"
    mailer.send(settings, mail.Mail("ada@example.org", "one", ""))
    await until(lambda: mailer._waiting and mailer._waiting[0].attempts, "it is refused", PATIENCE)
    inbox.answer = "250 OK"
    mailer.send(settings, mail.Mail("bob@example.org", "two", ""))
    await until(lambda: inbox.found, "the next mail has arrived", PATIENCE)
    (waiting,) = mailer._waiting
    waiting.due = 0.0
    mailer._new.set()
    await until(lambda: len(inbox.found) == 2, "the first mail has arrived", PATIENCE)
    assert ["two", "one"] == [message["Subject"] for _, message in inbox.found]


async def test_a_message_that_is_of_no_use_any_more(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """What a user had to know before a moment that is over is not sent."""
    settings = read_settings(configured(inbox))
    assert settings is not None
    mailer = mail.Mailer()
    mailer.send(settings, mail.Mail("ada@example.org", "old", "", until=time.time() - 1))
    mailer.send(settings, mail.Mail("ada@example.org", "new", ""))
    await until(lambda: inbox.found, "the mail has arrived", PATIENCE)
    assert ["new"] == [message["Subject"] for _, message in inbox.found]
    assert "did not take a message in time" in caplog.text


async def test_a_flood_of_messages(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the mail server hangs, a limited number of messages waits."""
    monkeypatch.setattr(mail, "_MOST_WAITING", 2)
    monkeypatch.setattr(mail, "deliver", lambda *_: time.sleep(0.2))
    settings = read_settings({"host": "x", "from": "a@b", "to": "{username}@b"})
    assert settings is not None
    mailer = mail.Mailer()
    for number in range(5):
        mailer.send(settings, mail.Mail("ada@example.org", str(number), ""))
    assert 3 == caplog.text.count("mail to users is left out")
    assert mailer._task is not None
    await mailer._task


async def test_no_secret_over_a_clear_connection(inbox: Inbox, tmp_path: Path) -> None:
    """A server without STARTTLS gets neither the login nor the message, unless tls is "none"."""
    (tmp_path / "password").write_text("secret\n")
    login = {"user": "hub", "password_file": str(tmp_path / "password")}
    settings = read_settings(configured(inbox, tls="starttls", **login))
    assert settings is not None
    with pytest.raises(smtplib.SMTPNotSupportedError):
        await asyncio.to_thread(mail.deliver, settings, mail.Mail("ada@example.org", "x", ""))
    assert [] == inbox.found
