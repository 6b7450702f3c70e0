"""What a restart finds again."""

import json
from dataclasses import asdict

import pytest

from unispawner.servers.state import VERSION, ServerState

FULL = ServerState(
    scheduler="slurm",
    cluster="big",
    account="ada",
    job_id="17",
    mark="0123456789abcdef",
    token_id=3,
    submit_time=1.5,
    host="192.0.2.1",
    port=8888,
    stopping=True,
)


def test_everything_comes_back() -> None:
    """Through JSON, as the database keeps it."""
    assert FULL == ServerState.from_dict(json.loads(json.dumps(FULL.to_dict())))


def test_no_server_is_no_state() -> None:
    """JupyterHub takes an empty state for a server that isn't there."""
    assert {} == ServerState().to_dict()
    assert ServerState() == ServerState.from_dict({})


def test_the_state_is_versioned() -> None:
    """A later release can tell."""
    assert VERSION == FULL.to_dict()["version"]


@pytest.mark.parametrize(
    "data",
    [{"pid": 17}, {"job_id": "17", "job_status": ""}, {**FULL.to_dict(), "version": VERSION + 1}],
)
def test_another_spawners_state_is_no_server(data: dict[str, object]) -> None:
    """LocalProcessSpawner's, batchspawner's, a later version's."""
    assert ServerState() == ServerState.from_dict(data)


def test_what_others_keep_beside_it_is_passed_over() -> None:
    """A subclass of the spawner's may save more in the same place."""
    assert FULL == ServerState.from_dict({**FULL.to_dict(), "mine": 1})


def test_what_is_missing_is_the_default() -> None:
    """A field that this version added isn't in an older state."""
    data = FULL.to_dict()
    del data["stopping"]
    assert {**asdict(FULL), "stopping": False} == asdict(ServerState.from_dict(data))


def test_no_secret_can_be_kept() -> None:
    """Only the token's id has a field."""
    assert {"token_id"} == {name for name in asdict(FULL) if "token" in name or "secret" in name}
