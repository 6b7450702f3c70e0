"""What the Hub's database keeps of a server, so that a restart loses nothing.

A new field needs a default, which a state of an older release gets, and an older release ignores
it. A field that gets another meaning, or another name, needs another VERSION and code that reads
the old one: without that code, each server of the old release would be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from ..run_as.accounts import Account
from ..texts import Text, from_data, to_data

VERSION = 1
DEAD_ADDRESS = ("127.0.0.1", 1)
"""Where nothing listens, and where no user could: port 1 of the Hub's own loopback."""

State = TypeVar("State", bound="SavedState")


@dataclass
class SavedState:
    """What is saved of every server of ours, by UniSpawner and by the legacy classes: no secret.

    Attributes
    ----------
    mark
        The Hub's id and the start's, which name the job and its private files (see
        :func:`unispawner.job.make_mark`); empty means that there is no server. Older releases have
        saved marks without a Hub's id.
    account
        The system account that the job runs under.
    state_dir
        Where the account's private files are, as it was set for this server.
    token_id
        The id, not the value, of the server's API token.
    token_created
        When that token was made, in seconds since the epoch: a later one may get the same id.
    waiting_since
        When the Hub began to wait for the server, in seconds since the epoch; later than the
        submission if the job was run again.
    port
        Where the server has reported to listen; 0 means that it has not reported yet.
    reported_host
        The host in that report, in the job's own words; empty if it had none.
    run_start
        When the run of the job began that has reported, in the scheduler's words; None if that is
        not known. Another start time means another run, whose server has another port.
    stopping
        True from when the job's end was asked for until it is confirmed.
    failure
        Why there is no server, until its user can read it: the next Hub shows it if this one ends
        before the job's end is confirmed. Empty if its user has asked for the end.
    last_event
        The last event of the event log about this start: see :mod:`.event_log`. Empty where there
        was no event log, or an older release: then the log has the end only.
    """

    mark: str = ""
    account: str = ""
    state_dir: str = ""
    token_id: int | None = None
    token_created: float = 0.0
    waiting_since: float = 0.0
    port: int = 0
    reported_host: str = ""
    run_start: float | None = None
    stopping: bool = False
    failure: str = ""
    last_event: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved; nothing if there is no server."""
        if not self.mark:
            return {}
        texts = {
            one.name: to_data(value)
            for one in fields(self)
            if isinstance(value := getattr(self, one.name), Text)
        }
        return {"version": VERSION, **asdict(self), **({_TEXTS: texts} if texts else {})}

    @classmethod
    def from_dict(cls: type[State], data: object) -> State:
        """Read what was saved; a state of another spawner or version means that there is no server.

        A value of another type than its field's, in a damaged row, is replaced by the default: an
        error would keep the Hub from starting.
        """
        if not isinstance(data, Mapping) or data.get("version") != VERSION:
            return cls()
        values = {
            one.name: data[one.name]
            for one in fields(cls)
            if one.name in data and _has_type(data[one.name], one.type)
        }
        texts = data.get(_TEXTS)
        for name, one in texts.items() if isinstance(texts, Mapping) else ():
            if values.get(name) == (text := from_data(one)):
                values[name] = text
        return cls(**values)


_TEXTS = "texts"
"""The key of what a state has in English once more, as :func:`unispawner.texts.to_data` has it: it
can be shown in other languages, also after a restart."""


def _has_type(value: object, annotation: object) -> bool:
    """Return whether a value of JSON has the type that a field's annotation names."""
    if type(value) not in _TYPES[str(annotation)]:
        return False
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return "Any" in str(annotation) or all(isinstance(one, str) for one in inner)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "int | None": (int, type(None)),
    "float | None": (float, int, type(None)),
    "dict[str, Any]": (dict,),
    "dict[str, str]": (dict,),
    "list[str]": (list,),
}
"""The types of JSON's values, by the annotations of the fields."""


@dataclass
class ServerState(SavedState):
    """What is saved of a server of :class:`unispawner.UniSpawner`: all that finds its job again.

    Attributes
    ----------
    scheduler, scheduler_options, scheduler_path, scheduler_environment, cluster
        As they were set for this server: a hook may have set them, and is not run again.
    submit_host
        The same; empty means the Hub's own host, or a state of an older release. A Hub that has
        moved elsewhere since then finds the job through what is configured now.
    job_id
        The scheduler's id of the job; empty until the submission is answered. The mark finds the
        job if the answer was lost.
    submit_time
        When the job was submitted, in seconds since the epoch.
    duration, summary
        What the job was given: its time limit in seconds (None if we set none), and all of it in
        words.
    requested
        What the job was given, in numbers: see :func:`.session_facts.measure`.
    extended
        How much time (seconds) the job was given later.
    host
        The address at which the server has reported to listen.
    log_dir
        Where the account's logs are, as it was set for this server; empty means in ``state_dir``.
    proto
        ``https`` with ``internal_ssl``, else ``http``.
    public_key
        With ``internal_ssl``, the public half of the job's key (base64): its server is known by it.
        Empty without, and for a server of an older release, whose certificate names all nodes.
    next
        The state of the second job, with which the user continues this server before the first
        job ends (see :mod:`.second_job`); empty if there is none. An older release ignores it: it
        follows the first job only, and takes no report of the second from another node.
    uid, home, uid_name
        The account as it was found for this server, so that a restarted Hub need not look up
        thousands: see :class:`unispawner.run_as.accounts.Account`. A uid of 0 means that an older
        release saved the state.
    """

    scheduler: str = ""
    cluster: str = ""
    job_id: str = ""
    submit_time: float = 0.0
    scheduler_options: dict[str, Any] = field(default_factory=dict)
    scheduler_path: str = ""
    scheduler_environment: dict[str, str] = field(default_factory=dict)
    duration: float | None = None
    requested: dict[str, Any] = field(default_factory=dict)
    extended: float = 0.0
    summary: str = ""
    host: str = ""
    log_dir: str = ""
    proto: str = "http"
    submit_host: str = ""
    uid: int = 0
    home: str = ""
    uid_name: str = ""
    public_key: str = ""
    next: dict[str, Any] = field(default_factory=dict)

    def saved_account(self, min_uid: int, submit_host: str) -> Account | None:
        """Return the account as it was saved; None if it must be looked up.

        It must be looked up if the Hub now has another submit host: uids may differ there. The
        agent compares the uid with the account's own before it does anything.
        """
        if self.uid == 0 or self.uid < min_uid or self.submit_host != submit_host:
            return None
        return Account(self.account, self.uid, self.home, self.uid_name)

    @property
    def url(self) -> str:
        """The URL of the server; empty before it has reported."""
        if not self.port:
            return ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.proto}://{host}:{self.port}"
