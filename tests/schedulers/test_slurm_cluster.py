"""Several Slurm clusters behind one slurmdbd, on what two real ones printed (slurm-clusters)."""

from __future__ import annotations

import pytest
import support
from support.dialogues import hold

from unispawner.errors import CancelError, InvalidJobError, SchedulerUnavailable, SubmitError
from unispawner.job import JobSpec, JobState
from unispawner.schedulers.base import Reply
from unispawner.schedulers.slurm import Slurm
from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "slurm-clusters"
BETA = Slurm(slurm_cluster="beta")
HEADING = "CLUSTER: beta\n"


def saved(name: str, prefix: str = "") -> Reply:
    """Return a saved reply, with a heading as older releases of Slurm print it in spite of -h."""
    reply = read_saved_reply(OUTPUTS / name)
    return Reply(reply.command, reply.exit_status, prefix + reply.stdout, reply.stderr)


# -- what is set --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["all", "ALL", "alpha,beta", "-beta", "a b", "beta\n", "alpha,", "/x"]
)
def test_a_value_that_is_not_one_cluster(name: str) -> None:
    """A list, "all" and what could be read as an option are refused: a server is on one cluster."""
    with pytest.raises(InvalidJobError, match="slurm_cluster: .* must be the name of one cluster"):
        Slurm(slurm_cluster=name)


@pytest.mark.parametrize("key", ["clusters", "cluster", "clu", "M", "cluster-constraint"])
@pytest.mark.parametrize("scheduler", [Slurm(), BETA])
def test_attributes_that_choose_a_cluster(scheduler: Slurm, key: str) -> None:
    """Attributes that would choose the cluster for the submission only are refused, and the message
    names the setting."""
    spec = JobSpec(custom_attributes={f"slurm.{key}": "beta"})
    with pytest.raises(InvalidJobError, match=rf"slurm\.{key} can't .* c\.UniSpawner\.slurm_clust"):
        scheduler.check_supported(spec)


def test_other_attributes_that_begin_like_them() -> None:
    """Attributes with similar names are options of their own and stay."""
    for key in ("c", "comment", "constraint", "core-spec"):
        BETA.check_supported(JobSpec(custom_attributes={f"slurm.{key}": "1"}))


@pytest.mark.parametrize(
    ("cluster", "variables"),
    [
        ("", {"SLURM_CLUSTERS": "all"}),
        ("", {"SLURM_CLUSTERS": "All"}),
        ("", {"SLURM_CLUSTERS": "alpha,beta"}),
        ("", {"SBATCH_CLUSTERS": "beta"}),
        ("beta", {"SLURM_CLUSTERS": "alpha"}),
        ("beta", {"SBATCH_CLUSTERS": "alpha"}),
    ],
)
def test_variables_that_name_other_clusters(cluster: str, variables: dict[str, str]) -> None:
    """Variables that would make commands ask several clusters, or different ones, are refused."""
    with pytest.raises(InvalidJobError, match="scheduler_environment: S[A-Z]*_CLUSTERS can't be"):
        Slurm(slurm_cluster=cluster).check_environment(variables)


def test_variables_that_name_the_same_cluster() -> None:
    """A variable that all commands read may name one cluster."""
    Slurm().check_environment({"SLURM_CLUSTERS": "beta", "SLURM_CONF": "/etc/slurm.conf"})
    BETA.check_environment({"SLURM_CLUSTERS": "beta", "SBATCH_CLUSTERS": "beta"})


def test_two_clusters_have_different_monitors_and_names() -> None:
    """What is asked of one cluster is never taken for an answer of another, whose ids are the same;
    case makes no difference, as in Slurm."""
    keys = {Slurm().query_key, BETA.query_key, Slurm(slurm_cluster="alpha").query_key}
    assert 3 == len(keys)
    assert BETA.query_key == Slurm(slurm_cluster="Beta").query_key
    assert ("Slurm (beta)", "Slurm") == (BETA.title, Slurm().title)
    assert ("beta", "") == (BETA.cluster_name, Slurm().cluster_name)


# -- commands and answers -----------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", HEADING])
def test_every_question_names_the_cluster(prefix: str) -> None:
    """Every command has -M and the cluster's name, and every answer is read, with a heading or
    without one."""
    jobs, asked = hold(BETA.query(), saved("squeue-bulk", prefix))
    assert ["1", "2", "3"] == sorted(jobs)
    marks, more = hold(BETA.find_marks("alice"), saved("squeue-me-comment", prefix))
    assert {"a" * 16: "1", "0123456789abcdef": "3"} == marks
    asked += more
    replies = (saved("sinfo-inventory", prefix), saved("squeue-inventory", prefix))
    inventory, more = hold(BETA.inventory(), *replies)
    assert {"node1", "node2"} == inventory.hosts
    assert {("debug", 1, 1), ("only-beta", 0, 0)} == {
        (one.name, one.waiting, one.running) for one in inventory.queues
    }
    asked += more
    address, more = hold(BETA.find_address("node1"), saved("scontrol-show-node"))
    assert "10.76.0.11" == address
    asked += more
    own = Reply(("squeue",), 0, prefix + "3\n")
    found, more = hold(BETA.find_jobs("0123", "alice"), own, ("#!/bin/sh\n# 0123\n", "", 0))
    assert ["3"] == found
    asked += more
    assert 7 == len(asked)
    assert {("-M", "beta")} == {tuple(command[1:3]) for command in asked}


def test_without_the_setting_nothing_is_named() -> None:
    """Without the setting, commands are as they always were."""
    _, asked = hold(Slurm().query(), saved("squeue-bulk"))
    assert "-M" not in asked[0]


@pytest.mark.parametrize("prefix", ["", HEADING])
def test_the_heading_is_no_notice(prefix: str) -> None:
    """The heading belongs to the answer, so that nobody is warned of it."""
    reply = saved("squeue-bulk", prefix)
    BETA.read_status(reply)
    assert [] == reply.passed_over


@pytest.mark.parametrize("prefix", ["", HEADING])
def test_an_empty_list(prefix: str) -> None:
    """A cluster without jobs is a good answer."""
    assert {} == BETA.read_status(saved("squeue-empty", prefix))


def test_a_notice_where_there_is_no_job() -> None:
    """A notice of a site's wrapper counts as no job only if squeue's own list has none."""
    notice = Reply(("squeue",), 0, "Maintenance on Friday\n")
    jobs, _ = hold(BETA.query(), notice, saved("squeue-empty-heading"))
    assert {} == jobs
    with pytest.raises(SchedulerUnavailable):
        hold(BETA.query(), notice, saved("squeue-heading"))


def test_an_answer_of_another_cluster() -> None:
    """The jobs of another cluster are refused, because they have the same ids."""
    with pytest.raises(SchedulerUnavailable, match="could not be read"):
        BETA.read_status(saved("squeue-bulk", "CLUSTER: alpha\n"))
    with pytest.raises(SchedulerUnavailable, match="could not be read"):
        hold(BETA.inventory(), saved("sinfo-inventory", "CLUSTER: alpha\n"))


def test_all_clusters_in_one_answer_have_the_same_ids() -> None:
    """This is why "all" is refused: squeue lists job 1 twice, and nothing distinguishes the two."""
    ids = [line.partition("|")[0] for line in saved("squeue-all").stdout.splitlines()]
    assert 2 == ids.count("1")


# -- errors -------------------------------------------------------------------------------------


def test_an_unknown_id_is_simply_missing() -> None:
    """If the cluster knows no such job, the result is empty."""
    assert {} == BETA.read_status(saved("squeue-unknown-id"))


@pytest.mark.parametrize("name", ["ctld-down", "dbd-down"])
def test_a_cluster_that_is_down(name: str) -> None:
    """While the cluster's controller or the database is down, nothing is known and nothing is
    gone."""
    with pytest.raises(SchedulerUnavailable):
        BETA.read_status(saved(f"squeue-{name}"))
    assert isinstance(BETA.submit_error(saved(f"sbatch-{name}")), SchedulerUnavailable)
    assert isinstance(BETA.cancel_error(saved(f"scancel-{name}")), SchedulerUnavailable)


def test_a_cluster_that_does_not_exist() -> None:
    """A name that the database does not know is a wrong setting, and a job is refused with sbatch's
    own words."""
    nope = Slurm(slurm_cluster="nope")
    message = "slurm_cluster: Slurm's database knows no cluster 'nope'.*sacctmgr list cluster"
    with pytest.raises(InvalidJobError, match=message):
        nope.read_status(saved("squeue-unknown-cluster"))
    error = nope.submit_error(saved("sbatch-unknown-cluster"))
    assert isinstance(error, SubmitError)
    assert "No cluster 'nope' known by database" in error.output
    assert isinstance(nope.cancel_error(saved("scancel-unknown-cluster")), CancelError)


def test_states_are_those_of_the_own_cluster() -> None:
    """Job 1 has ended on one cluster and runs on the other."""
    alpha = Slurm(slurm_cluster="alpha").read_status(saved("squeue-bulk-alpha"))
    beta = BETA.read_status(saved("squeue-bulk"))
    assert (JobState.COMPLETED, JobState.RUNNING) == (alpha["1"].state, beta["1"].state)
