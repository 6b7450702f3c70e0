"""``unispawner probe`` with a real Hub on a real Slurm: a user's whole way, and what can fail."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest
from support.clusters import Slurm
from support.hub import PASSWORD, RunningHub, until
from support.journey import HELD

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm

COMMAND = [str(Path(sys.executable).parent / "unispawner"), "probe"]
STEPS = ["login", "start", "ready", "kernel", "stop"]


@pytest.fixture
def password_file(hub: RunningHub, tmp_path: Path) -> Path:
    """Give a file with the password of all users."""
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    file.chmod(0o600)
    return file


async def begin(hub: RunningHub, *arguments: str | Path) -> Process:
    """Start the command, for alice."""
    return await asyncio.create_subprocess_exec(
        *(*COMMAND, "--url", hub.url, "--user", "alice", *map(str, arguments)),
        stdout=PIPE,
        stderr=PIPE,
    )


async def probe(hub: RunningHub, *arguments: str | Path) -> tuple[int | None, str]:
    """Run the command for alice; return its exit status, and what it printed."""
    process = await begin(hub, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, (out + err).decode()


def steps_of(result: dict[str, Any]) -> list[str]:
    return [step["name"] for step in result["steps"]]


async def test_a_users_whole_way(hub: RunningHub, tmp_path: Path, password_file: Path) -> None:
    """All steps work with a password, as JSON and as metrics, and no server is left."""
    metrics = tmp_path / "probe.prom"
    status, out = await probe(
        hub, "--password-file", password_file, "--json", "--metrics-file", metrics
    )
    result = json.loads(out)
    assert (0, True, STEPS) == (status, result["ok"], steps_of(result))
    assert all(step["seconds"] >= 0 and not step["error"] for step in result["steps"])
    text = metrics.read_text()
    assert "\nunispawner_probe_success 1\n" in text
    assert all(f'unispawner_probe_step_success{{step="{name}"}} 1\n' in text for name in STEPS)
    assert "alice" not in text
    alice = await hub.client("alice")
    assert {} == await alice.servers()


async def test_with_a_token_and_a_named_server(hub: RunningHub, tmp_path: Path) -> None:
    """A token of the user is enough, and a named server is removed at the end."""
    alice = await hub.client("alice")
    made = await alice.api("POST", "users/alice/tokens", {"note": "probe"})
    token = tmp_path / "token"
    token.write_text(made["token"])
    token.chmod(0o600)
    status, out = await probe(hub, "--token-file", token, "--server", "probed")
    assert 0 == status, out
    assert [f"ok      {name}" for name in STEPS] == [
        line.partition(":")[0] for line in out.splitlines() if not line.startswith(" ")
    ]
    assert "probed" not in (await alice.api("GET", "users/alice"))["servers"]


async def test_what_the_hub_refuses(hub: RunningHub, tmp_path: Path, password_file: Path) -> None:
    """A wrong password, a token of another user and a server that is there: each is said."""
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    status, out = await probe(hub, "--password-file", wrong)
    assert (1, True) == (status, out.startswith("WRONG   login: the Hub refused the login"))

    bob = await hub.client("bob")
    token = tmp_path / "bobs"
    token.write_text((await bob.api("POST", "users/bob/tokens", {}))["token"])
    token.chmod(0o600)
    status, out = await probe(hub, "--token-file", token)
    assert (1, True) == (status, "the token belongs to bob, and not to alice" in out)

    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    status, out = await probe(hub, "--password-file", password_file)
    assert (1, True) == (status, "alice already has a default server" in out)
    assert "" in await alice.servers()
    status, out = await probe(hub, "--password-file", password_file, "--replace")
    assert 0 == status, out
    assert {} == await alice.servers()


@pytest.mark.parametrize("how", ["time", "signal"])
async def test_a_probe_that_is_over_leaves_nothing(
    hub: RunningHub, slurm: Slurm, password_file: Path, how: str
) -> None:
    """A probe whose time is over or that gets SIGTERM stops its server, whose job still waits."""
    hub.set("alice", "waits", **HELD)
    seconds = "4" if how == "time" else "100"
    process = await begin(
        hub, "--password-file", password_file, "--server", "waits", "--timeout", seconds
    )
    alice = await hub.client("alice")
    job = await queued_job(hub, alice)
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    out, _ = await asyncio.wait_for(process.communicate(), 100)
    # The Hub answers the request for a start late, so that the time may be over in either step.
    steps = [line for line in out.decode().splitlines() if not line.startswith(" ")]
    assert 1 == process.returncode
    assert steps[-2].startswith(("WRONG   start: ", "WRONG   ready: "))
    assert steps[-1].startswith("ok      stop: ")

    async def ended() -> bool:
        return job not in slurm.active()

    await until(ended, "the job of the probe ends")


async def queued_job(hub: RunningHub, alice: HubClient) -> str:
    """Return the job of the probe's server once it waits."""

    async def there() -> bool:
        return "waits" in await alice.servers()

    await until(there, "the probe starts its server")
    return await hub.job_id("alice", "waits")


async def test_a_hub_that_is_away(password_file: Path, hub: RunningHub) -> None:
    """Where nothing listens, the address is named."""
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "--url", "http://127.0.0.1:9", "--user", "alice"),
        *("--password-file", str(password_file)),
        stdout=PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert 1 == process.returncode
    assert out.startswith(b"WRONG   login: http://127.0.0.1:9 can't be reached: ")
