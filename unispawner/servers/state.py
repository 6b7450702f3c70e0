"""What the Hub's database keeps of a server, so that a restart loses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

VERSION = 1


@dataclass
class ServerState:
    """All that finds a server again. No secret is among it.

    Attributes
    ----------
    mark
        Finds the job when the submission's answer was lost; empty means that there is no server.
    token_id
        The id, not the value, of the server's API token.
    scheduler, scheduler_options, scheduler_path, scheduler_environment, state_dir
        As they were set for this server: a hook may have set them, and isn't run again.
    submit_time, waiting_since
        Seconds since the epoch: of the submission, and of when the server began to be waited for,
        which is later if the job is run again.
    duration, summary
        What the job was given: seconds, or None for no limit of ours, and all of it in words.
    host, port
        Where the server has reported to be; 0 means not yet.
    stopping
        The job's end was asked for and not yet confirmed.
    """

    scheduler: str = ""
    cluster: str = ""
    account: str = ""
    job_id: str = ""
    mark: str = ""
    token_id: int | None = None
    submit_time: float = 0.0
    waiting_since: float = 0.0
    scheduler_options: dict[str, Any] = field(default_factory=dict)
    scheduler_path: str = ""
    scheduler_environment: dict[str, str] = field(default_factory=dict)
    state_dir: str = ""
    duration: float | None = None
    summary: str = ""
    host: str = ""
    port: int = 0
    stopping: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what is saved; nothing if there is no server."""
        return {"version": VERSION, **asdict(self)} if self.mark else {}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ServerState:
        """Read what was saved; a state of another spawner, or of another version, is no server."""
        if data.get("version") != VERSION:
            return cls()
        return cls(**{f.name: data[f.name] for f in fields(cls) if f.name in data})
