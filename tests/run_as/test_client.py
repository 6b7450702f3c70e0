"""AgentClient: which results of the agent it accepts. The user can forge all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from support.fake_sudo import FakeSudo, print_text, reply_with

from unispawner.errors import AgentError
from unispawner.job import JobInfo, JobSpec, JobState
from unispawner.profiles.form import label_entry
from unispawner.run_as.client import AgentClient
from unispawner.schedulers.estimate import Outlook, StartEstimate
from unispawner.schedulers.usable import MOST_ENTRIES, Usable

WRONG_REPLY = pytest.mark.threat(
    who="user",
    tries="Their own agent replies with values of a wrong type or of endless length.",
    stopped_by="The Hub drops wrong values and cuts long ones.",
)

MARK = "0123456789abcdef"


@pytest.mark.threat(
    who="user",
    tries="Their own agent replies with a job id that is an option or a command.",
    stopped_by="A job id must look like one before it gets into a command, the database or"
    " the log.",
)
@pytest.mark.parametrize(
    "job_id",
    ["17\n", "1 2", "-f", "", "1,2", "1;id", None, 17, True, ["17"], {"a": 1}, "9" * 100, "１７"],
)
@pytest.mark.parametrize("action", ["submit", "find"])
async def test_a_forged_job_id(fake_sudo: FakeSudo, action: str, job_id: Any) -> None:
    """A job id goes into commands, the database and the log, so a wrong one is refused."""
    client = fake_sudo(reply_with({"job_id": job_id}))
    if action == "find":
        if job_id == "":
            assert "" == await client.find(MARK)
            return
        with pytest.raises(AgentError, match="no valid job id"):
            await client.find(MARK)
        return
    with pytest.raises(AgentError, match="no valid job id"):
        await client.submit(JobSpec(mark=MARK), "/bin/sh")


CALLS: dict[str, Callable[[AgentClient], Awaitable[Any]]] = {
    "submit": lambda client: client.submit(JobSpec(mark=MARK), "/bin/sh"),
    "estimate": lambda client: client.estimate(JobSpec(), "/bin/sh"),
    "find": lambda client: client.find(MARK),
    "log": lambda client: client.log_tail(MARK),
    "status": lambda client: client.status(["17"]),
    "check": lambda client: client.check(),
    "stage": lambda client: client.stage(MARK, {}, python="python3", options=()),
    "missing": lambda client: client.missing(["/opt/x"]),
    "marked": lambda client: client.marked(),
    "usable": lambda client: client.usable(),
    "end_marked": lambda client: client.end_marked({MARK: "17"}),
}
TAKES_ANY_DICTIONARY = {"status", "check", "usable"}


@pytest.mark.parametrize("result", [None, [], "17", 17, {}, {"other": 1}])
@pytest.mark.parametrize("action", CALLS)
async def test_a_result_of_another_shape(fake_sudo: FakeSudo, action: str, result: Any) -> None:
    """A result of the wrong shape is refused, and the error shows it."""
    client = fake_sudo(reply_with(result))
    if isinstance(result, dict) and action in TAKES_ANY_DICTIONARY:
        assert await CALLS[action](client) in ({}, result, Usable())
        return
    with pytest.raises(AgentError, match="no valid .* reply was:") as caught:
        await CALLS[action](client)
    assert repr(result) == caught.value.output


@pytest.mark.threat(
    who="other user",
    tries="They look for a server's token in what the Hub sends when a form asks when it starts.",
    stopped_by="Such a question has no environment: there is no token yet, and none is sent.",
)
async def test_an_estimate_takes_no_secret_along(fake_sudo: FakeSudo) -> None:
    """A question about a start is sent without the job's environment."""
    client = fake_sudo(reply_with({"outlook": "now", "start": 17, "reason": ""}))
    spec = JobSpec(environment={"JUPYTERHUB_API_TOKEN": "topsecret"})
    assert StartEstimate(Outlook.NOW, 17.0) == await client.estimate(spec, "/bin/sh")
    assert "topsecret" not in fake_sudo.input.read_text()
    assert {} == json.loads(fake_sudo.input.read_text())["spec"]["environment"]


@WRONG_REPLY
@pytest.mark.parametrize("start", ["now", [], True, float("inf"), 1e300, {"a": 1}, "9" * 100_000])
async def test_a_forged_moment_of_a_start(fake_sudo: FakeSudo, start: Any) -> None:
    """A start that is not a moment is not known; a reason is cut and has no control characters."""
    reply = {"outlook": "later", "start": start, "reason": "\x1b[31mno" + "x" * 5000}
    found = await fake_sudo(reply_with(reply)).estimate(JobSpec(), "/bin/sh")
    assert (Outlook.LATER, None) == (found.outlook, found.start)
    assert len(found.reason) <= 300
    assert "\x1b" not in found.reason


@WRONG_REPLY
@pytest.mark.parametrize("outlook", ["soon", None, 17, ["now"], {"now": 1}])
async def test_a_forged_outlook(fake_sudo: FakeSudo, outlook: Any) -> None:
    """An outlook that does not exist is refused."""
    client = fake_sudo(reply_with({"outlook": outlook, "start": 1, "reason": ""}))
    with pytest.raises(AgentError, match="no valid estimate"):
        await client.estimate(JobSpec(), "/bin/sh")


@pytest.mark.parametrize(
    "forged",
    [
        {"entries": {"account": [{"name": str(number)} for number in range(MOST_ENTRIES + 1)]}},
        {"entries": {"account": [{"name": "a\nb"}, {"name": "<b> x"}, {"name": ""}], "mem": []}},
        {"rules": [[{"account": [str(number)]} for number in range(6_000)], [], []]},
    ],
    ids=["many names", "odd names", "a long rule"],
)
async def test_a_forged_list_of_what_may_be_used(fake_sudo: FakeSudo, forged: Any) -> None:
    """A user who forges the answer can't fill the Hub's memory, a page or a message with it."""
    found = await fake_sudo(reply_with(forged)).usable()
    assert [] == [*found.rules, *(one for entries in found.entries.values() for one in entries)]


async def test_a_forged_moment_of_a_reservation(fake_sudo: FakeSudo) -> None:
    """A moment that no calendar has is not known, so that the form can be shown."""
    forged = [{"name": "a", "begins": 1e18, "ends": 1e18}, {"name": "b", "ends": -1e18}]
    found = await fake_sudo(reply_with({"entries": {"reservation_id": forged}})).usable()
    entries = found.entries["reservation_id"]
    assert ["a", "b"] == [label_entry(one, time.time()) for one in entries]


@pytest.mark.parametrize(
    "reply",
    [
        {"entries": {"account": ["a"]}},
        {"entries": {"account": [{"name": "a", "ends": float("nan")}]}},
        {"entries": []},
        {"rules": [["account"]]},
        {"rules": [[{"account": 7}]]},
    ],
    ids=str,
)
async def test_a_list_of_what_may_be_used_that_is_none(fake_sudo: FakeSudo, reply: Any) -> None:
    """An answer of another form is refused, so that nothing is known."""
    with pytest.raises(AgentError, match="no valid list of what the user may use"):
        await fake_sudo(reply_with(reply)).usable()


async def test_jobs_of_other_accounts_do_not_count(fake_sudo: FakeSudo) -> None:
    """Of the jobs with a mark only those count that the scheduler names as the account's own."""
    rows = [
        {"mark": MARK, "job_id": "17", "status": {"owner": "ada", "state": "RUNNING"}},
        {"mark": f"prod-{MARK}", "job_id": "18", "status": {"owner": "eve", "state": "RUNNING"}},
    ]
    client = fake_sudo(reply_with({"jobs": rows, "left_out": 3}))
    client = replace(client, account=replace(client.account, name="ada", uid_name="ada"))
    jobs, left_out = await client.marked()
    assert ([(MARK, "17")], 3) == ([(one.mark, one.job_id) for one in jobs], left_out)


async def test_only_what_was_asked_for_is_reported_as_ended(fake_sudo: FakeSudo) -> None:
    """Marks that nobody has asked about are dropped, and the text of an error is cleaned."""
    reply = {"cancelled": ["f" * 16, MARK, 7], "errors": {"f" * 16: "x", "0" * 16: "no\x1b[1m"}}
    client = fake_sudo(reply_with(reply))
    cancelled, errors = await client.end_marked({MARK: "17", "0" * 16: "18"})
    assert {MARK} == cancelled
    assert {"0" * 16: "no\N{REPLACEMENT CHARACTER}[1m"} == errors


@pytest.mark.parametrize("path", ["/a b", "relative", "/a'b", "/a\nb", "/" + "x" * 2000, ""])
async def test_a_wrapper_that_no_script_can_run(fake_sudo: FakeSudo, path: str) -> None:
    """A path of a wrapper that is not absolute and plain is refused with what to set."""
    client = fake_sudo(reply_with({"wrapper": path}))
    with pytest.raises(AgentError, match="Set state_dir to a path"):
        await client.stage(MARK, {}, python="python3", options=())


async def test_a_wrapper(fake_sudo: FakeSudo) -> None:
    """A plain absolute path of a wrapper is accepted."""
    client = fake_sudo(reply_with({"wrapper": "/home/ada/.unispawner/jobs/17/run"}))
    path = await client.stage(MARK, {}, python="python3", options=())
    assert "/home/ada/.unispawner/jobs/17/run" == path


async def test_programs_that_do_not_exist(fake_sudo: FakeSudo) -> None:
    """Of the paths that the agent names, those count that were asked for."""
    client = fake_sudo(reply_with({"missing": ["/opt/x", "/etc/passwd", 5]}))
    assert {"/opt/x"} == await client.missing(["/opt/x", "/opt/y"])


FORGED = {"owner": "ada", "state": "RUNNING"}


@WRONG_REPLY
@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        ({}, {}),
        ({"state": "BRAND_NEW"}, {"state": JobState.UNKNOWN}),
        ({"state": None}, {"state": JobState.UNKNOWN}),
        ({"message": "m" * 5000}, {"message": "m" * 1000}),
        ({"message": None, "exec_host": None}, {}),
        ({"exec_host": "h" * 5000}, {"exec_host": "h" * 255}),
        ({"exec_host": ["a"]}, {"exec_host": "['a']"}),
        ({"exit_code": "0"}, {}),
        ({"exit_code": True}, {}),
        ({"exit_code": 137}, {"exit_code": 137}),
        ({"queue_position": 2.9}, {"queue_position": 2}),
        ({"estimated_start": float("nan")}, {}),
        ({"estimated_start": float("inf"), "estimated_end": -float("inf")}, {}),
        ({"estimated_start": 1e9}, {"estimated_start": 1e9}),
        ({"ending": "yes"}, {}),
        ({"ending": True}, {"ending": True}),
        ({"uid": 0, "__class__": "x"}, {}),
    ],
)
async def test_forged_information(
    fake_sudo: FakeSudo, forged: dict[str, Any], expected: dict[str, Any]
) -> None:
    """A forged value of a wrong type is dropped, and one that is too long is cut."""
    client = fake_sudo(reply_with({"17": {**FORGED, **forged}, "18": FORGED}))
    info = JobInfo(**{"owner": "ada", "state": JobState.RUNNING, **expected})
    assert {"17": info} == await client.status(["17"])


@WRONG_REPLY
@pytest.mark.parametrize("field", ["exit_code", "queue_position", "estimated_start"])
async def test_a_forged_number_beyond_all_bounds(fake_sudo: FakeSudo, field: str) -> None:
    """A number beyond all bounds, which JSON allows, is dropped."""
    client = fake_sudo(reply_with({"17": {**FORGED, field: 10**400}}))
    assert None is getattr((await client.status(["17"]))["17"], field)


@pytest.mark.parametrize("moment", [1e300, 1e18, -1e18])
async def test_a_forged_time_can_be_shown(fake_sudo: FakeSudo, moment: float) -> None:
    """An absurd time does not break the user's progress messages."""
    from unispawner.monitor.tracked_job import TrackedJob
    from unispawner.web.words import progress_event

    client = fake_sudo(reply_with({"17": {**FORGED, "state": "QUEUED", "estimated_start": moment}}))
    info = (await client.status(["17"]))["17"]
    assert progress_event(TrackedJob("17", client, info=info), None, "Slurm")["message"]


@pytest.mark.parametrize("field", ["message", "exec_host", "native_state"])
async def test_forged_text_can_be_written(fake_sudo: FakeSudo, field: str) -> None:
    """Half a surrogate pair, which JSON allows, is replaced: no page or log could hold it."""
    client = fake_sudo(reply_with({"17": {**FORGED, field: "\ud800"}}))
    getattr((await client.status(["17"]))["17"], field).encode()


@pytest.mark.parametrize("forged", [None, [], "x", {}, {"owner": 1}, {"owner": None}])
async def test_information_without_an_owner(fake_sudo: FakeSudo, forged: Any) -> None:
    """A job's information without an owner is refused."""
    with pytest.raises(AgentError, match="no valid status"):
        await fake_sudo(reply_with({"17": forged})).status(["17"])


@WRONG_REPLY
async def test_a_deeply_nested_value(fake_sudo: FakeSudo) -> None:
    """A deeply nested value raises an AgentError at most, and never a RecursionError."""
    for depth in (500, 900, 5000):
        nested = "[" * depth + "]" * depth
        text = f'{{"version": 1, "result": {{"17": {{"owner": "a", "message": {nested}}}}}}}'
        try:
            jobs = await fake_sudo(print_text(text)).status(["17"])
        except AgentError as error:
            assert "without a valid reply" in error.message
        else:
            assert jobs["17"].message.startswith("[")
