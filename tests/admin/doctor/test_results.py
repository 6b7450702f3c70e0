"""What ``unispawner doctor`` prints, its JSON, and its exit status."""

from __future__ import annotations

import json

import pytest
from support.doctor import PROFILES, TORQUE, Doctor

from unispawner.admin.cli import main
from unispawner.admin.doctor.results import Outcome, Result, Results, split_cure


def test_json_of_all_checks(doctor: Doctor) -> None:
    """With --json there is one document, whose checks have an id each, an outcome and a text."""
    status, lines = doctor(PROFILES, "--json")
    found = json.loads("\n".join(lines))
    ids = [one["id"] for one in found["checks"]]
    assert status == found["exit_status"]
    assert len(ids) == len(set(ids))
    assert {"hub", "scheduler", "profile_small", "agent_python"} <= set(ids)
    assert {"ok", "look", "skipped", "wrong"} >= {one["outcome"] for one in found["checks"]}
    assert all(one["text"] for one in found["checks"])


def test_json_of_what_is_wrong_has_the_cure(doctor: Doctor) -> None:
    """The part of a message that says what to do is the cure, and the rest is the text."""
    status, lines = doctor(f'{TORQUE}\nc.JupyterHub.hub_ip = "127.0.0.1"', "--json")
    (wrong,) = [o for o in json.loads("\n".join(lines))["checks"] if o["outcome"] == "wrong"]
    assert (1, "hub") == (status, wrong["id"])
    assert wrong["cure"] == "set it to an address of this host that they can reach"


def test_json_of_a_configuration_that_cannot_be_read(doctor: Doctor) -> None:
    """A configuration with an error is a result as well, and not only a line for people."""
    status, lines = doctor("c.JupyterHub.hub_ip = (", "--json")
    (found,) = json.loads("\n".join(lines))["checks"]
    assert (1, "config", "wrong") == (status, found["id"], found["outcome"])


def test_json_after_an_error_that_nobody_expected(doctor: Doctor) -> None:
    """Code of the site's own that raises any error ends the checks; the results so far are printed
    as JSON all the same, and the last says what was raised and where."""
    config = f"{PROFILES}\nc.ProfilesSpawner.profiles = lambda spawner: spawner.user.of_the_site"
    status, lines = doctor(config, "--probe", "nobody-here", "--json")
    found = json.loads("\n".join(lines))
    assert (1, 1) == (status, found["exit_status"])
    last = found["checks"][-1]
    assert ("doctor", "wrong") == (last["id"], last["outcome"])
    assert "AttributeError" in last["text"]
    assert str(doctor.config) in last["text"]


@pytest.mark.parametrize(
    ("outcomes", "status", "strict"),
    [
        ([Outcome.OK], 0, 0),
        ([Outcome.OK, Outcome.LOOK], 0, 2),
        ([Outcome.SKIPPED], 0, 2),
        ([Outcome.LOOK, Outcome.WRONG], 1, 1),
    ],
)
def test_the_exit_status(outcomes: list[Outcome], status: int, strict: int) -> None:
    """Doubts count with --strict only, and something wrong always counts."""
    results = Results(quiet=True)
    for number, outcome in enumerate(outcomes):
        results.add(Result(str(number), "name", outcome, "text"))
    assert (status, strict) == (results.status(strict=False), results.status(strict=True))


def test_a_second_check_of_a_name_has_another_id() -> None:
    """Two checks of the same name have two ids, which depend on their order only."""
    results = Results(quiet=True)
    for _ in range(3):
        results.add(Result(results.unique_id("profile a b"), "", Outcome.OK, ""))
    assert ["profile_a_b", "profile_a_b.2", "profile_a_b.3"] == [one.id for one in results.all]


@pytest.mark.parametrize(
    ("message", "text", "cure"),
    [
        ("x: it is wrong; set it to 1", "x: it is wrong", "set it to 1"),
        ("x: it is wrong. Install y", "x: it is wrong", "Install y"),
        ("x: it is wrong; it is red", "x: it is wrong; it is red", ""),
    ],
)
def test_the_cure_of_a_message(message: str, text: str, cure: str) -> None:
    """A message's cure is its last part that begins with what to do."""
    assert (text, cure) == split_cure(message)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--probe", "alice", "--account", "bob"], "--probe and --account: "),
        (["--profile", "small"], "--profile and --option: "),
        (["--log", "/tmp/hub.log"], "--log: "),
        (["--bundle", "/tmp/bundle.zip"], "--bundle: "),
    ],
)
def test_options_that_have_no_effect(
    doctor: Doctor, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    """Options that contradict each other, or do nothing, are refused before any check."""
    doctor.config.write_text(TORQUE)
    assert 1 == main(["doctor", "-f", str(doctor.config), *arguments])
    out, err = capsys.readouterr()
    assert ("", True) == (out, words in err)


def test_a_legacy_class_has_no_probe(doctor: Doctor) -> None:
    """A class of batchspawner's is not probed, and that is said."""
    _, lines = doctor(TORQUE, "--probe", "root")
    assert (
        "skipped probe job: TorqueSpawner has no probe: only jobs of UniSpawner can be probed"
        in lines
    )
