"""A server of ProfilesSpawner that is continued with a second job, on a fake scheduler."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server
from support.hub import until
from support.hub_app import NODE, OTHER, PATIENCE, FakeSpawner, Hub

from unispawner import JobState
from unispawner.errors import UniSpawnerError
from unispawner.monitor import rhythm
from unispawner.profiles.profile import Profile
from unispawner.profiles.server_limits import count_server
from unispawner.servers import endings
from unispawner.web import bookkeeping
from unispawner.web.reports import Report

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
PROFILES: list[dict[str, Any]] = [
    {
        "display_name": "Job",
        "slug": "job",
        "spawner": FakeSpawner,
        "options": {"node_count": {"min": 1}},
    }
]


@pytest.fixture
async def hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(hub.app.proxy, "add_user", _add_no_route)
    return hub


async def _add_no_route(user: Any, name: str) -> None:
    """Do nothing: there is no proxy."""


async def report(spawner: Any, job: Any, host: str) -> None:
    """Let a job run, near the end of its time, and its server report."""
    now = time.time()
    times = {"start_time": now - 3000, "estimated_end": now + 300}
    FakeSpawner.fake.change(job.state.job_id, JobState.RUNNING, exec_host=host, **times)
    await until(lambda: job.tracked.info and job.tracked.info.exec_host, "it runs", PATIENCE)
    await spawner.take_report(Report(3000, host, mark=job.state.mark))


@pytest.fixture
async def wrapper(hub: Hub) -> AsyncIterator[Any]:
    """Give ada's spawner, whose server is ready and ends soon."""
    user = hub.user("ada")
    found = user.spawners[""]
    found.user_options = {"profile": "job", "node_count": 2}
    found.api_token = user.new_api_token(scopes=["users:activity!user"])
    await found.run_pre_spawn_hook()
    found._spawn_pending = True
    start = asyncio.ensure_future(found.start())
    await until(lambda: found.child_spawner.server_job.state.job_id, "it is submitted", PATIENCE)
    child = found.child_spawner
    await report(child, child.server_job, NODE)
    await asyncio.wait_for(start, PATIENCE)
    row = orm.Server(base_url="/user/ada/")
    hub.app.db.add(row)
    hub.app.db.commit()
    found.server = Server(orm_server=row)
    found.server.ip, found.server.port = NODE, 3000
    found._spawn_pending = False
    yield found
    await asyncio.wait_for(found.stop(), PATIENCE)
    found.clear_state()
    await until(lambda: not endings.read_all(hub.app.db), "all has ended", PATIENCE)


async def test_the_second_job_has_the_choice_as_it_is_offered_now(hub: Hub, wrapper: Any) -> None:
    """The second job's requests are those of the chosen profile of today; the running child keeps
    its own. The saved state of the wrapper has both jobs, and after the switch the first one's row
    in the table of endings can be loaded by a wrapper."""
    child, settings = wrapper.child_spawner, dict(wrapper.child_config)
    hub.app.config.ProfilesSpawner.profiles = [{**PROFILES[0], "config": {"queue_name": "night"}}]
    await asyncio.wait_for(child.hand_over.go_on(), PATIENCE)
    spec = FakeSpawner.side.asked("submit")[-1]["spec"]
    assert ("night", 2) == (spec["queue_name"], spec["resources"]["node_count"])
    assert ("", settings) == (child.queue_name, wrapper.child_config)
    assert child is wrapper.child_spawner
    first, second = child.server_job, child.server_job.second.job
    saved = wrapper.orm_spawner.state["child_state"]
    assert (first.state.mark, second.state.mark) == (saved["mark"], saved["next"]["mark"])

    await report(child, second, OTHER)
    with pytest.MonkeyPatch.context() as lazy:
        lazy.setattr(FakeSpawner.side, "_cancel", lambda owner, request: {})
        await child.hand_over.switch()
        assert (OTHER, 3000) == (wrapper.server.ip, wrapper.server.port)
        (ending,) = endings.read_all(hub.app.db)
    assert (first.state.mark, "job") == (ending.mark, ending.state["profile"])
    assert first.state.mark == ending.state["child_state"]["mark"]
    assert second.state.mark == wrapper.orm_spawner.state["child_state"]["mark"]
    assert second.state.job_id == wrapper.server_status().job_id
    FakeSpawner.fake.change(first.state.job_id, JobState.CANCELED)


async def test_a_choice_that_is_not_offered_any_more(hub: Hub, wrapper: Any) -> None:
    """A profile that was taken away, or a bound that was lowered, is refused as for a start; the
    server goes on."""
    child = wrapper.child_spawner
    lower = {**PROFILES[0], "options": {"node_count": {"min": 1, "max": 1}}}
    for offered in ([{"display_name": "Other", "slug": "other"}], [lower]):
        hub.app.config.ProfilesSpawner.profiles = offered
        with pytest.raises(UniSpawnerError):
            await asyncio.wait_for(child.hand_over.go_on(), PATIENCE)
        assert "this server goes on as before" in child.hand_over.status().message
    assert (None, True) == (child.server_job.second.job, wrapper.ready)
    assert 1 == len(FakeSpawner.side.asked("submit"))
    assert child is bookkeeping.inner(wrapper)


async def test_a_server_that_is_the_last_one_allowed(hub: Hub, wrapper: Any) -> None:
    """A user may continue the only server that is allowed. Its second job needs a free place among
    all jobs of the profile; without it the server goes on."""
    child = wrapper.child_spawner
    limited = {**PROFILES[0], "max_servers": 1, "max_servers_per_user": 1}
    hub.app.config.ProfilesSpawner.profiles = [limited]
    with pytest.raises(UniSpawnerError, match="allows 1 server at a time, and there are 1 already"):
        await asyncio.wait_for(child.hand_over.go_on(), PATIENCE)
    assert (False, True) == (child.hand_over.second_counts, wrapper.ready)
    hub.app.config.ProfilesSpawner.profiles = [{**limited, "max_servers": 2}]
    await asyncio.wait_for(child.hand_over.go_on(), PATIENCE)
    assert 2 == len(FakeSpawner.side.asked("submit"))


async def test_a_second_job_takes_a_place(hub: Hub, wrapper: Any) -> None:
    """A second job counts for others' starts, until it has ended, and from when it is checked."""
    child = wrapper.child_spawner
    limited = Profile(**{**PROFILES[0], "max_servers": 2})
    hub.app.config.ProfilesSpawner.profiles = [limited.model_dump(exclude_unset=True)]
    bobs = hub.user("bob").spawners[""]
    going_on = asyncio.ensure_future(child.hand_over.go_on())
    await until(lambda: child.hand_over.second_counts, "it is counted", PATIENCE)
    with pytest.raises(UniSpawnerError, match="allows 2 servers at a time, and there are 2"):
        count_server(bobs, limited)
    await asyncio.wait_for(going_on, PATIENCE)
    with pytest.raises(UniSpawnerError, match="allows 2 servers at a time, and there are 2"):
        count_server(bobs, limited)
    await asyncio.wait_for(child.hand_over.give_up(), PATIENCE)
    count_server(bobs, limited)
