"""A broker of an ordinary account: it serves this account alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.agent import Agent, agent_of_a_user
from support.broker import BrokerProcess, running_broker


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An account with a directory of its own."""
    with agent_of_a_user() as found:
        yield found


@pytest.fixture
def broker(agent: Agent) -> Iterator[BrokerProcess]:
    """A broker that runs as the account."""
    lowest = str(min(1000, agent.account.pw_uid))
    with running_broker("--min-uid", lowest, **agent.as_user()) as found:
        yield found
