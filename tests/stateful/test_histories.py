"""Histories that once ended badly, as the state machine of test_machine.py has found them."""

from __future__ import annotations

import sqlite3

import pytest
from support.simulated_cluster import AGENT_FAULTS, NODES
from support.simulation import SERVERS, Simulation, simulation

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")

ALICE, TWO, BOB = SERVERS


def token_ids(site: Simulation) -> list[int]:
    """Return the ids of the servers' tokens in the Hub's database."""
    assert site.hub is not None
    return [token.id for token in site.hub.server_tokens()]


@pytest.mark.parametrize("profiles", [False, True])
def test_a_hub_killed_before_a_start_is_saved(profiles: bool) -> None:
    """JupyterHub saves a server's token before the spawner saves the job. If the Hub is killed in
    between, the next Hub revokes the token when it starts: no job will ever have it."""
    with simulation(profiles=profiles) as site:
        site.cluster.look_up_seconds = 1.0
        site.start(ALICE)
        site.wait(0.5)
        assert token_ids(site)
        site.hub_is_killed()
        assert not site.cluster.jobs
        site.hub_starts()
        assert [] == token_ids(site)
        site.settle()


def test_a_hub_killed_after_a_start_is_saved() -> None:
    """A Hub that starts keeps the token of a job that waits in the queue."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(2.0)
        kept = token_ids(site)
        site.hub_is_killed()
        site.hub_starts()
        assert 1 == len(kept)
        assert kept == token_ids(site)
        site.settle()


def test_a_job_that_is_lost_while_there_is_no_hub() -> None:
    """The scheduler loses a running server's job while the Hub is down. The next Hub hears of that
    only when it no longer waits for the first answer; the server's user is told all the same."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(10.0)
        assert site.cluster.routes.keys() > {"/"}
        site.hub_is_killed()
        site.scheduler_loses_state()
        site.settle()
        assert "does not know the job any more" in site.history.told[0].text


def test_two_jobs_that_are_lost_while_there_is_no_hub() -> None:
    """The scheduler loses most jobs, so it is not believed for ten minutes. Before that JupyterHub
    gives up to look for the server of an earlier Hub, and only logs it; its user is told."""
    with simulation() as site:
        site.start(BOB)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(1.1)
        site.start(ALICE)
        site.wait(1.1)
        site.scheduler_loses_state()
        site.hub_is_killed()
        site.settle()
        assert [BOB] == [told.server for told in site.history.told if "did not answer" in told.text]


@pytest.mark.parametrize("killed", [False, True])
def test_a_hub_that_ends_while_it_gives_a_server_up(killed: bool) -> None:
    """After a restart, JupyterHub gives up to look for a server, and the Hub ends before the job
    can be cancelled. The next Hub tells its user."""
    with simulation() as site:
        site.start(BOB)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(1.1)
        site.start(ALICE)
        site.wait(1.1)
        site.scheduler_loses_state()
        site.hub_is_killed()
        site.hub_starts()
        site.cluster.agents.down = True
        site.queries_fail("raises")
        site.wait(125.0)
        assert [] == site.history.told
        site.hub_is_killed() if killed else site.hub_stops()
        site.settle()
        assert [BOB] == [told.server for told in site.history.told if "did not answer" in told.text]


@pytest.mark.parametrize("killed", [False, True])
def test_a_start_that_fails_when_the_hub_ends(killed: bool) -> None:
    """A job is given up by its scheduler before its server is up, and the Hub ends before the job's
    own end is confirmed. The next Hub tells its user why there is no server."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(0.0)
        site.job_is_held(site.cluster.jobs[0], stuck=True)
        site.wait(0.1)
        site.hub_is_killed() if killed else site.hub_stops()
        site.settle()
        assert ["can't run" in told.text for told in site.history.told][-1:] == [True]


def test_a_job_that_is_given_up_while_there_is_no_hub() -> None:
    """The scheduler gives up the job of a server that was up, and the next Hub sees it when it
    starts: its user is told."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(5.0)
        site.hub_stops()
        site.job_is_held(site.cluster.jobs[0], stuck=True)
        site.settle()
        assert "can't run" in site.history.told[0].text


def test_a_server_that_fails_and_whose_job_is_forgotten() -> None:
    """A server ends with an error, and the scheduler forgets its job before it was asked again. The
    launcher's report is the only word of the error, and its user is told."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(10.0)
        site.server_ends(site.cluster.jobs[0], status=1)
        site.wait(0.1)
        site.scheduler_forgets()
        site.settle()
        assert "Its server ended with status 1" in site.history.told[0].text


@pytest.mark.parametrize("status", [0, 1])
def test_a_server_that_ends_before_its_job_is_lost(status: int) -> None:
    """The scheduler does not answer when a server ends, and then it has lost the job. Its user is
    told if the server has failed; if it has ended in order, there is nothing to explain."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(10.0)
        site.queries_fail("raises")
        site.server_ends(site.cluster.jobs[0], status=status)
        site.wait(5.0)
        site.scheduler_forgets()
        site.settle()
        assert status == len(site.history.told)


@pytest.mark.parametrize("profiles", [False, True])
def test_a_start_after_one_that_was_cancelled_at_once(profiles: bool) -> None:
    """A user cancels a start before there is a job, and starts the server again within a second:
    the first start's token is revoked."""
    with simulation(profiles=profiles) as site:
        site.cluster.look_up_seconds = 0.3
        site.start(ALICE)
        site.wait(0.1)
        site.stop(ALICE)
        site.wait(0.1)
        assert 1 == len(token_ids(site))
        site.start(ALICE)
        site.wait(1.1)
        assert 1 == len(token_ids(site))
        site.settle()


def test_a_lost_job_whose_end_is_reported_without_a_status() -> None:
    """The scheduler has lost a job, and a report says that its server has ended, but not how: its
    user is told."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        [job] = site.cluster.jobs
        site.job_begins(job)
        site.wait(10.0)
        host, port = job.places[0]
        site.scheduler_loses_state()
        site.stray_report(job, {"event": "ended", "host": host, "port": port}, 0.0)
        site.settle()
        assert ["does not know the job" in told.text for told in site.history.told] == [True]


def test_a_token_that_gets_the_id_of_another() -> None:
    """A server is stopped, and its user starts another one, whose token gets the id of the first
    one's in the database: it stays when the first is revoked."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(5.0)
        first = token_ids(site)
        site.stop(ALICE)
        site.wait(5.0)
        site.start(TWO)
        site.wait(60.0)
        assert 1 == len(first)
        assert first == token_ids(site)
        site.settle()


def test_a_start_after_a_stop_that_was_killed() -> None:
    """The Hub is killed before it has saved that a server is stopped, and its user starts it again:
    the server is the one that was there."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        [job] = site.cluster.jobs
        site.job_begins(job)
        site.wait(10.0)
        site.job_is_held(job)
        site.wait(20.0)
        site.stop(ALICE)
        site.wait(0.004)
        site.hub_is_killed()
        site.hub_starts()
        site.start(ALICE)
        site.wait(5.0)
        assert [202, 202] == [start.status for start in site.history.starts]
        assert [job] == site.cluster.alive()
        site.settle()


@pytest.mark.parametrize("kind", AGENT_FAULTS)
def test_a_submission_whose_answer_does_not_come(kind: str) -> None:
    """Whatever becomes of a submission, its user has a server, or is told why not and no job waits
    in the queue, however long it would wait there."""
    with simulation() as site:
        site.agent_fails("submit", kind, 5.0)
        site.start(ALICE)
        site.wait(100.0)
        site.settle()


@pytest.mark.parametrize("damaged", ["{", "", '{"version": 1, "mark": "0123'])
def test_a_saved_state_that_is_damaged(damaged: str) -> None:
    """A Hub starts although the state of a server is not valid JSON, and without a copy of it. The
    user of that server is told, and nothing changes for the others."""
    with simulation() as site:
        for server in (ALICE, BOB):
            site.start(server)
        site.wait(1.1)
        for job in site.cluster.jobs:
            site.job_begins(job)
        site.wait(10.0)
        site.hub_is_killed()
        [path] = site.folder.glob("hub-*.sqlite")
        change = (
            "UPDATE spawners SET state = ? WHERE user_id IN (SELECT id FROM users WHERE name=?)"
        )
        with sqlite3.connect(path) as database:
            database.execute(change, (damaged, "alice"))
            database.execute("DELETE FROM unispawner_states")
        database.close()
        site.hub_starts()
        site.wait(10.0)
        assert {"/user/bob/"} == site.cluster.routes.keys() - {"/"}
        assert [ALICE] == [told.server for told in site.history.told]
        assert "has lost what it knew of this server" in site.history.told[0].text


def test_a_second_job_that_runs_again_on_its_node_while_there_is_no_hub() -> None:
    """A second job is run again on its node while the Hub is down, and another user's server gets
    the old port. The next Hub knows by the start time that this is another run: when the first job
    ends, nobody is sent to the old port."""
    with simulation() as site:
        site.start(ALICE)
        site.wait(1.1)
        [first] = site.cluster.jobs
        site.job_begins(first)
        site.wait(20.0)
        site.continue_server(ALICE)
        site.wait(1.1)
        second = site.cluster.jobs[1]
        site.job_begins(second, NODES[1])
        site.wait(20.0)
        [old] = second.places
        site.hub_is_killed()
        site.network_is_cut(300.0)
        site.job_is_requeued(second)
        site.ports_are_taken()
        site.job_begins(second, NODES[1])
        site.wait(5.0)
        site.hub_starts()
        site.wait(20.0)
        site.job_dies(first)
        site.wait(20.0)
        assert old not in site.cluster.led_to()
        site.settle()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("what", ["switch", "cancel_second", "stop"])
def test_what_ends_a_hand_over(what: str, killed: bool) -> None:
    """A user switches to the second job, cancels it or stops the server, and the Hub may be killed
    in the middle of that: one job is left, or none, and its server can be reached."""
    with simulation(profiles=True) as site:
        site.start(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[0])
        site.wait(10.0)
        site.continue_server(ALICE)
        site.wait(1.1)
        site.job_begins(site.cluster.jobs[1], NODES[1])
        site.wait(10.0)
        assert 2 == len(site.cluster.alive())
        getattr(site, what)(ALICE)
        site.wait(0.003 if killed else 40.0)
        if killed:
            site.hub_is_killed()
        else:
            left = {"switch": ["2"], "cancel_second": ["1"], "stop": []}[what]
            assert left == [job.job_id for job in site.cluster.alive()]
        site.settle()
