"""Sends mail for the Hub: by SMTP, one message after the other, in a thread of its own.

A mail server that hangs or refuses costs no server of a user anything: what can't be sent after
some attempts is left out, and the log says why. A message that was refused waits for its next
attempt, and those behind it are sent meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import math
import smtplib
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from .. import tasks
from ..settings.mail import MailSettings
from ..web.per_hub import PerHub

_TIMEOUT = 20.0
"""How long (seconds) a step of the dialogue with the mail server may take."""
_ATTEMPTS, _PAUSE = 4, 60.0
"""How often a message is tried, and the first pause (seconds) between; each next one is longer."""
_MOST_WAITING = 1000
"""How many messages may wait. What comes then is left out."""


@dataclass(frozen=True)
class Mail:
    """A message to one user.

    Attributes
    ----------
    to
        The address.
    subject, body
        Text. A line break in the subject becomes a blank.
    until
        When the message is of no use any more, in seconds since the epoch.
    """

    to: str
    subject: str
    body: str
    until: float = math.inf


@dataclass(order=True)
class _Waiting:
    """A message that waits until its next attempt, which is at ``due`` (time.monotonic)."""

    due: float
    number: int
    settings: MailSettings = field(compare=False)
    mail: Mail = field(compare=False)
    attempts: int = field(default=0, compare=False)


class Mailer:
    """Sends messages in the background, in their order unless the mail server refuses one."""

    def __init__(self) -> None:
        self._waiting: list[_Waiting] = []
        self._number = 0
        self._new = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "unispawner-mail")
        self._task: asyncio.Task[None] | None = None

    def send(self, settings: MailSettings, mail: Mail) -> None:
        """Send a message soon."""
        if len(self._waiting) >= _MOST_WAITING:
            tasks.log.warning(
                "c.UniSpawner.mail: %d messages wait for %s, so that mail to users is left out",
                len(self._waiting),
                settings.host,
            )
            return
        self._number += 1
        self._add(_Waiting(time.monotonic(), self._number, settings, mail))
        if self._task is None or self._task.done():
            self._task = tasks.start(self._send_all(), "sending of mail")

    def _add(self, one: _Waiting) -> None:
        heapq.heappush(self._waiting, one)
        self._new.set()

    async def _send_all(self) -> None:
        self._new = asyncio.Event()
        while self._waiting:
            self._new.clear()
            pause = self._waiting[0].due - time.monotonic()
            if pause <= 0:
                await self._send(heapq.heappop(self._waiting))
                continue
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._new.wait(), pause)

    async def _send(self, one: _Waiting) -> None:
        if time.time() >= one.mail.until:
            tasks.log.warning(
                "c.UniSpawner.mail: %s did not take a message in time, so it is left out",
                one.settings.host,
            )
            return
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, deliver, one.settings, one.mail)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            one.attempts += 1
            refused = isinstance(error, smtplib.SMTPRecipientsRefused | ValueError)
            last = refused or one.attempts == _ATTEMPTS
            tasks.log.warning(
                "c.UniSpawner.mail: %s did not take a message%s: %s",
                one.settings.host,
                ", which is left out" if last else "; trying again",
                error,
            )
            if not last:
                one.due = time.monotonic() + _PAUSE * one.attempts
                self._add(one)


def deliver(settings: MailSettings, mail: Mail) -> None:
    """Hand a message to the mail server. This waits.

    Raises
    ------
    OSError, smtplib.SMTPException, ValueError
        If the server can't be reached or does not take it.
    """
    message = EmailMessage()
    message["From"], message["To"] = settings.sender, mail.to
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = formatdate(time.time())
    message["Message-ID"] = make_msgid(domain=settings.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    message.set_content(mail.body)
    context = ssl.create_default_context()
    if settings.tls == "ssl":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.host, settings.port, timeout=_TIMEOUT, context=context
        )
    else:
        smtp = smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT)
    with smtp:
        if settings.tls == "starttls":
            smtp.starttls(context=context)
        if settings.user:
            smtp.login(settings.user, Path(settings.password_file).read_text().strip())
        smtp.send_message(message)


MAILER = PerHub(Mailer)
