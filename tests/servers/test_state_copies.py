"""The second copy of a server's saved state."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy import event, text

from unispawner.servers import database, state_copies

STATE = {"job_id": "17", "mark": "abc"}


@pytest.fixture
def spawner() -> Iterator[Any]:
    """Give the spawner of a running server, as far as its state is saved."""
    session = orm.new_session_factory("sqlite:///:memory:")()
    user = orm.User(name="ada")
    server = orm.Server(base_url="/user/ada/")
    row = orm.Spawner(name="", user=user, server=server)
    session.add_all([user, row])
    session.commit()
    yield SimpleNamespace(
        orm_spawner=row,
        get_state=lambda: STATE,
        log=logging.getLogger("JupyterHub.test"),
        _log_name="ada",
    )
    session.close()
    session.get_bind().dispose()


def found_by_the_next_hub(spawner: Any, damage: str | None) -> Any:
    """Return the state that a Hub finds which starts after the state was damaged."""
    session = database.session_of(spawner)
    session.execute(text("UPDATE spawners SET state = :state"), {"state": damage})
    session.commit()
    state_copies.restore(SimpleNamespace(db=session, log=logging.getLogger("JupyterHub.test")))
    session.expire_all()
    return session.query(orm.Spawner).one().state


@pytest.mark.parametrize("damage", ["{}", None, "", '{"job_id": "', "[]", "[" * 100_000])
def test_a_damaged_state_is_replaced(spawner: Any, damage: str | None) -> None:
    """A state that was emptied or cut off while the Hub was away is replaced by its copy, or the
    job would run on and belong to nobody, and JupyterHub would perhaps not even start."""
    assert database.commit(spawner)
    assert STATE == found_by_the_next_hub(spawner, damage)


def test_a_good_state_is_kept(spawner: Any) -> None:
    """The copy never replaces a state that can be read."""
    assert database.commit(spawner)
    assert {"job_id": "18"} == found_by_the_next_hub(spawner, '{"job_id": "18"}')


def test_a_server_that_is_forgotten_has_no_copy(spawner: Any) -> None:
    """The copy goes with the state: the next start of the server begins with nothing."""
    assert database.commit(spawner)
    database.remove_copy(spawner)
    assert {} == found_by_the_next_hub(spawner, "{}")


def test_no_statement_fails_while_there_is_no_table(spawner: Any) -> None:
    """Before the first start of a new Hub there is nothing to remove. A statement that fails would
    undo the transaction of JupyterHub's on PostgreSQL, and so each start."""
    session = database.session_of(spawner)
    failed: list[Any] = []
    event.listen(session.get_bind(), "handle_error", failed.append)
    database.remove_copy(spawner)
    assert [] == failed
    session.commit()


def test_a_server_that_does_not_run_stays_so(spawner: Any) -> None:
    """A copy that was left over starts no server."""
    assert database.commit(spawner)
    spawner.orm_spawner.server = None
    assert {} == found_by_the_next_hub(spawner, "{}")


def test_a_database_without_the_table(spawner: Any) -> None:
    """A database of an earlier release has no copies, and the Hub starts as before."""
    assert {} == found_by_the_next_hub(spawner, "{}")
