"""Sends mail for the Hub: by SMTP, one message after the other, in a thread of its own.

A mail server that hangs or refuses costs no server of a user anything: what can't be sent after
some attempts is left out, and the log says why.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path

from .. import tasks
from ..settings.mail import MailSettings

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
    """

    to: str
    subject: str
    body: str


class Mailer:
    """Sends messages in the background, in their order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[MailSettings, Mail]] = deque()
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
        self._waiting.append((settings, mail))
        if self._task is None or self._task.done():
            self._task = tasks.start(self._send_all(), "sending of mail")

    async def _send_all(self) -> None:
        while self._waiting:
            await self._send_one(*self._waiting.popleft())

    async def _send_one(self, settings: MailSettings, mail: Mail) -> None:
        loop = asyncio.get_running_loop()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await loop.run_in_executor(self._thread, deliver, settings, mail)
            except (OSError, smtplib.SMTPException, ValueError) as error:
                refused = isinstance(error, smtplib.SMTPRecipientsRefused | ValueError)
                last = refused or attempt == _ATTEMPTS
                tasks.log.warning(
                    "c.UniSpawner.mail: %s did not take a message%s: %s",
                    settings.host,
                    ", which is left out" if last else "; trying again",
                    error,
                )
                if last:
                    return
                await asyncio.sleep(_PAUSE * attempt)
            else:
                return


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


MAILER = Mailer()
"""The one of this Hub."""
