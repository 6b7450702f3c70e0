"""The state of a server that the Hub's database keeps."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from unispawner.run_as.accounts import Account
from unispawner.servers.state import VERSION, ServerState
from unispawner.texts import say_count

FULL = ServerState(
    scheduler="slurm",
    cluster="big",
    account="ada",
    job_id="17",
    mark="0123456789abcdef",
    token_id=3,
    token_created=0.5,
    submit_time=1.5,
    host="192.0.2.1",
    port=8888,
    stopping=True,
)


def test_everything_comes_back() -> None:
    """All fields survive JSON, as the database keeps it."""
    assert FULL == ServerState.from_dict(json.loads(json.dumps(FULL.to_dict())))


def test_an_account_that_was_saved_need_not_be_looked_up() -> None:
    """A restarted Hub has the account from the state, unless an older release saved the state, the
    lowest uid has been raised since, or the Hub has another submit host now."""
    state = ServerState(account="ada", uid=1000, home="/home/ada", uid_name="DOM\\ada")
    assert Account("ada", 1000, "/home/ada", "DOM\\ada") == state.saved_account(1000, "")
    assert None is state.saved_account(1001, "")
    assert None is state.saved_account(1000, "login1")
    assert None is ServerState(account="ada").saved_account(0, "")


def test_no_server_is_no_state() -> None:
    """Without a server the state is empty, by which JupyterHub knows that there is no server."""
    assert {} == ServerState().to_dict()
    assert ServerState() == ServerState.from_dict({})


def test_the_state_is_versioned() -> None:
    """The saved state has its version, so that a later release can read it."""
    assert VERSION == FULL.to_dict()["version"]


@pytest.mark.parametrize(
    "data",
    [{"pid": 17}, {"job_id": "17", "job_status": ""}, {**FULL.to_dict(), "version": VERSION + 1}],
)
def test_another_spawners_state_is_no_server(data: dict[str, object]) -> None:
    """The states of LocalProcessSpawner, of batchspawner and of a later version are no server."""
    assert ServerState() == ServerState.from_dict(data)


def test_unknown_keys_are_ignored() -> None:
    """Unknown keys are ignored, because a subclass of the spawner may save more in the same
    place."""
    assert FULL == ServerState.from_dict({**FULL.to_dict(), "mine": 1})


def test_a_missing_field_has_its_default() -> None:
    """A field that an older state lacks gets its default."""
    data = FULL.to_dict()
    del data["stopping"]
    assert {**asdict(FULL), "stopping": False} == asdict(ServerState.from_dict(data))


@pytest.mark.threat(
    who="Hub account",
    tries="Whoever reads the Hub's database finds the tokens of servers.",
    stopped_by="The saved state has the id of a token and no token.",
)
def test_no_secret_can_be_kept() -> None:
    """The only fields about a token are its id, and when it was made."""
    found = {name for name in asdict(FULL) if "token" in name or "secret" in name}
    assert {"token_id", "token_created"} == found


def test_texts_after_a_restart() -> None:
    """A saved text can still be shown in other languages, and damaged data costs only that."""
    state = ServerState(mark="m", summary=say_count("{count} core", "{count} cores", 2))
    saved = json.loads(json.dumps(state.to_dict()))
    found = ServerState.from_dict(saved)
    assert ("2 cores", "{count} core") == (found.summary, getattr(found.summary, "message", ""))
    cases: list[Any] = [[], {"summary": 1}, {"summary": {"text": "other"}}, {"other": "2 cores"}]
    for damaged in cases:
        plain = ServerState.from_dict({**saved, "texts": damaged})
        assert ("2 cores", str) == (plain.summary, type(plain.summary))
