"""The agent as what it is: a process of an ordinary account."""

from collections.abc import Iterator

import pytest
from support.agent import Agent, agent_of_a_user


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent with a directory of its own."""
    with agent_of_a_user() as found:
        yield found
