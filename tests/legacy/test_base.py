"""What the legacy classes do better than batchspawner, as far as no Hub is needed to see it."""

from __future__ import annotations

import asyncio
import os
import pwd
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from support.batch_dummy import HOST, JOB, PORT, TOKEN, Dummy, soon
from tornado import web
from traitlets import Unicode

from unispawner import (
    BatchSpawnerBase,
    CondorSpawner,
    GridengineSpawner,
    JobStatus,
    SlurmSpawner,
    TorqueSpawner,
)
from unispawner.legacy import dialects
from unispawner.legacy.environment import of_submission
from unispawner.web.failures import BatchFailure
from unispawner.web.reports import Report

pytestmark = pytest.mark.filterwarnings("ignore:Spawner.db is deprecated")


async def test_a_failed_query_that_no_pattern_knows_is_unknown(new_spawner: Any) -> None:
    """A failed query ends no server, unless its output says that the job no longer exists."""
    spawner = new_spawner()
    await soon(spawner.start())
    for text, expected in (
        ("cannot connect to server", None),
        ("", None),
        ("qstat: Unknown Job Id 12345.server", 1),
    ):
        spawner.batch_query_cmd = f"echo '{text}' >&2; exit 3"
        assert expected == await soon(spawner.poll()), text
    assert {} == spawner.get_state()


@pytest.mark.parametrize(
    "words",
    [
        "qstat: Unknown Job Id Error 999999.torquelab",  # TORQUE 4.2.10
        "qstat: Unknown Job Id 999999.pbs",  # OpenPBS 23.06
        "qstat: 1.pbs Job has finished, use -x or -H to obtain historical job information",
        "slurm_load_jobs error: Invalid job id specified",  # Slurm 22.05
        "Following jobs do not exist: 999999",  # Grid Engine 8.1.9
        'denied: job "999999" does not exist',
        "Job <999999> is not found",  # LSF, OpenLava
    ],
)
def test_messages_about_a_job_that_no_longer_exists(new_spawner: Any, words: str) -> None:
    """Each scheduler's real message for a job that no longer exists counts as that."""
    spawner = new_spawner()
    spawner.job_id, spawner.job_status = JOB, words
    assert JobStatus.NOTFOUND is spawner._read_status(failed=True)


@pytest.mark.parametrize(
    "words",
    [
        # util-linux's su and runuser, while the directory is down
        "su: user alice does not exist or the user entry does not contain all the required fields",
        "sudo: unknown user alice",
        "ssh: Could not resolve hostname login1: Name or service not known",
        "/bin/sh: 1: qstat: not found",
    ],
)
def test_messages_of_what_becomes_the_user(new_spawner: Any, words: str) -> None:
    """If exec_prefix or the shell fails, its message says nothing about the job."""
    spawner = new_spawner()
    spawner.job_id, spawner.job_status = JOB, words
    assert JobStatus.UNKNOWN is spawner._read_status(failed=True)


async def test_a_query_that_hangs(new_spawner: Any) -> None:
    """A query that hangs is killed after command_timeout, and changes nothing."""
    spawner = new_spawner(command_timeout=1)
    await soon(spawner.start())
    spawner.batch_query_cmd = "sleep 1000"
    assert await soon(spawner.poll()) is None
    assert f"RUN {HOST}" != spawner.job_status
    assert JOB == spawner.job_id


async def test_a_directory_that_is_down(new_spawner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While {homedir} can't be looked up, poll() and stop() raise nothing. A Hub that starts takes
    an error of poll() for the end of the server, whose job would be orphaned, and takes an error of
    stop() for its success."""

    def getpwnam(name: str) -> pwd.struct_passwd:
        raise KeyError(f"getpwnam(): name not found: {name!r}")

    spawner = new_spawner()
    spawner.load_state({"job_id": JOB, "job_status": f"RUN {HOST}"})
    with monkeypatch.context() as down:
        down.setattr(pwd, "getpwnam", getpwnam)
        assert await spawner.poll() is None
        cancel = asyncio.ensure_future(spawner.server_job.cancel())
        await asyncio.sleep(0.1)
        assert not cancel.done()
    assert JOB == spawner.job_id
    await soon(cancel)


async def test_a_template_that_has_become_wrong(new_spawner: Any) -> None:
    """A server that runs stays, although the Hub was started again with a wrong template or
    pattern."""
    spawner = new_spawner(batch_query_cmd="qstat {jobid}")
    spawner.load_state({"job_id": JOB})
    assert await spawner.poll() is None
    spawner = new_spawner(state_running_re="")
    spawner.load_state({"job_id": JOB})
    assert await spawner.poll() is None


async def test_a_subclass_that_cannot_read_an_answer(new_spawner: Any) -> None:
    """An exception in a site's own parser ends no server."""

    class Site(Dummy):
        def state_isrunning(self) -> bool:
            return bool(self.job_status.split()[1])  # IndexError for a short answer

    spawner = new_spawner(Site)
    await soon(spawner.start())
    spawner.batch_query_cmd = "echo short"
    assert await soon(spawner.poll()) is None


async def test_output_of_qstat_that_is_not_xml(new_spawner: Any) -> None:
    """Output of qstat that is not valid XML is no error, and no state; batchspawner raises a
    ParseError."""
    spawner = new_spawner(GridengineSpawner)
    spawner.job_id, spawner.job_status = JOB, "error: commlib error: got select error"
    assert (False, False) == (spawner.state_isrunning(), spawner.state_ispending())
    job = f"<JB_job_number>{JOB}</JB_job_number>"
    for text in (
        f'<!DOCTYPE x [<!ENTITY a "b">]><x><job_list state="running">{job}&a;</job_list></x>',
        f'<job_list state="running"><!DOCTYPE x [<!ENTITY a "b">]>{job}&a;</job_list>',
        f'<job_list state="running">{job}',
        f'{job}<job_list state="running"></job_list>',
        job,
    ):
        spawner.job_status = text
        assert not spawner.state_isrunning()


def test_a_list_of_grid_engines_that_takes_long_to_read(
    new_spawner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the job's own element is parsed as XML, out of millions of characters. The job's user
    may have written the output, and each page that shows the progress asks every second."""
    read: list[str] = []

    def from_string(text: str) -> Any:
        read.append(text)
        return ElementTree.fromstring(text)

    monkeypatch.setattr(
        dialects,
        "ElementTree",
        SimpleNamespace(fromstring=from_string, ParseError=ElementTree.ParseError),
    )
    spawner = new_spawner(GridengineSpawner)
    one = "<job_list state='{}'><JB_job_number>{}</JB_job_number><queue_name>q@n1</queue_name>"
    ours = f"{one.format('running', JOB)}</job_list>"
    spawner.job_id, spawner.job_status = JOB, f"{'<x>' * 10**6}{ours}{'</x>' * 10**6}"
    assert (True, False) == (spawner.state_isrunning(), spawner.state_ispending())
    assert "n1" == spawner.state_gethost()
    assert [ours] * 3 == read
    spawner.job_status = f"{one.format('running', JOB)}{'<x/>' * 10**6}</job_list>"
    assert not spawner.state_isrunning()
    assert [ours] * 3 == read


async def test_the_class_must_be_complete(new_spawner: Any) -> None:
    """A site's class without a method or a pattern raises batchspawner's own errors."""

    class Site(BatchSpawnerBase):
        exec_prefix = ""
        batch_submit_cmd = Unicode("echo 1")
        batch_query_cmd = Unicode("echo RUN")

    with pytest.raises(NotImplementedError):
        await soon(new_spawner(Site).start())
    spawner = new_spawner(state_running_re="")
    with pytest.raises(AssertionError, match="Misconfigured"):
        await soon(spawner.start())


# -- errors -----------------------------------------------------------------------------------


async def test_the_submit_commands_error_is_shown(new_spawner: Any) -> None:
    """The error output of the submit command is shown on JupyterHub's pages, escaped; the exception
    is a RuntimeError, too, which sites may catch."""
    spawner = new_spawner()
    spawner.batch_submit_cmd = "echo 'qsub: no such queue <b>x</b>' >&2; exit 2"
    with pytest.raises(RuntimeError, match="no such queue") as raised:
        await soon(spawner.start())
    assert isinstance(raised.value, web.HTTPError)
    assert 400 == raised.value.status_code
    shown: Any = raised.value
    assert "&lt;b&gt;" in shown.jupyterhub_html_message
    assert {} == spawner.get_state()


async def test_a_submit_command_that_prints_no_id(new_spawner: Any) -> None:
    """If the submit command prints no job id, the error has batchspawner's words, names the trait
    and shows the output."""
    spawner = new_spawner()
    spawner.batch_submit_cmd = "cat > /dev/null; echo 'see you later; rm -rf ~'"
    with pytest.raises(RuntimeError, match="submission failure .no jobid") as raised:
        await soon(spawner.start())
    assert "'later;' does not look like a job id" in str(raised.value)
    assert "c.Dummy.batch_submit_cmd" in str(raised.value)
    assert "see you later; rm -rf ~" in str(raised.value)


async def test_a_submit_command_that_fails_silently(new_spawner: Any) -> None:
    """If the submit command fails without a message, the error names the trait and shows the
    command."""
    spawner = new_spawner(batch_submit_cmd="cat > /dev/null; exit 3")
    expected = "c.Dummy.batch_submit_cmd: 'cat > /dev/null; exit 3' failed without a message"
    with pytest.raises(BatchFailure, match=re.escape(expected)):
        await soon(spawner.start())


@pytest.mark.parametrize("method", ["get_req_subvars", "_get_batch_script", "submit_batch_script"])
async def test_an_error_that_a_subclass_has_for_its_users(new_spawner: Any, method: str) -> None:
    """An HTTPError of the site's own code reaches JupyterHub as it is, as with batchspawner:
    JupyterHub shows its message, and counts its status."""
    error = web.HTTPError(403, "You have no allocation.")

    def refuse(self: Dummy, **subvars: Any) -> Any:
        raise error

    spawner = new_spawner(type("Site", (Dummy,), {method: refuse}))
    with pytest.raises(web.HTTPError) as raised:
        await soon(spawner.start())
    assert error is raised.value


async def test_a_job_that_disappears(new_spawner: Any) -> None:
    """If the job ends before its server is ready, the error has batchspawner's words and the last
    output of the query."""
    spawner = new_spawner()
    spawner.batch_query_cmd = "echo FINISHED"
    with pytest.raises(BatchFailure, match="has disappeared while pending") as raised:
        await soon(spawner.start())
    assert "FINISHED" in str(raised.value)
    assert JobStatus.NOTFOUND is await spawner.query_job_status()


async def test_an_unknown_field(new_spawner: Any) -> None:
    """The error for a template with an unknown field names the trait and the field, and shows the
    line."""
    spawner = new_spawner(batch_query_cmd="qstat {jobid}")
    with pytest.raises(RuntimeError, match="c.Dummy.batch_query_cmd: there is no field 'jobid'"):
        await soon(spawner.start())
    spawner = new_spawner(batch_script="{cmd} ${HOME}")
    with pytest.raises(RuntimeError, match="c.Dummy.batch_script") as raised:
        await soon(spawner.start())
    assert "{cmd} ${HOME}" in str(raised.value)


# -- secrets and shells -----------------------------------------------------------------------


async def test_the_submit_command_has_no_secret(new_spawner: Any) -> None:
    """The submit command's environment has the names of all variables, as "-v {keepvars}" needs
    them, but only values that are no secret. The script has no secret either."""
    seen: dict[str, Any] = {}

    class Site(Dummy):
        async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
            if env is not None:
                seen.update(script=input, env=env)
            return str(await super().run_command(cmd, input, env))

    spawner = new_spawner(
        Site,
        batch_script="#PBS -v {keepvars}\n{cmd}",
        environment={"LICENCE": TOKEN, "MODULEPATH": "/opt/modules"},
        public_environment=["SITE"],
    )
    spawner.environment["SITE"] = "x"
    await soon(spawner.start())
    assert {"JUPYTERHUB_API_TOKEN": "", "JPY_API_TOKEN": "", "LICENCE": ""}.items() <= seen[
        "env"
    ].items()
    assert {"MODULEPATH": "/opt/modules", "SITE": "x"}.items() <= seen["env"].items()
    assert TOKEN not in f"{seen}"
    names = seen["script"].splitlines()[0].removeprefix("#PBS -v ").split(",")
    assert {"JUPYTERHUB_API_TOKEN", "LICENCE"} <= set(names) <= set(seen["env"])


async def test_the_hubs_shell_uses_the_hubs_path(new_spawner: Any, tmp_path: Path) -> None:
    """The Hub's shell looks for exec_prefix in the Hub's own PATH. The PATH of a server may lead
    into its user's home."""
    (tmp_path / "become").write_text(f"#!/bin/sh\ntouch {tmp_path}/was-here\n")
    (tmp_path / "become").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    settings = {"PATH": path, "LD_LIBRARY_PATH": str(tmp_path)}
    spawner = new_spawner(environment=settings, batch_submit_cmd="qsub")
    spawner.exec_prefix = "become {username}"
    # The shell has the second word if a folder of the Hub's PATH is closed to its account.
    with pytest.raises(RuntimeError, match="become: (not found|Permission denied)"):
        await soon(spawner.start())
    assert not (tmp_path / "was-here").exists()
    environment = of_submission({"LD_LIBRARY_PATH": "/home/a", "PATH": path}, ["LD_LIBRARY_PATH"])
    assert ["/home/a", os.environ["PATH"]] == [environment[n] for n in ("LD_LIBRARY_PATH", "PATH")]


async def test_other_commands_do_not_see_the_hubs_secrets(
    new_spawner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Query and cancel commands run as the user, who can read their environment, so it has no
    secrets of the Hub."""
    monkeypatch.setenv("CONFIGPROXY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("SLURM_JWT", TOKEN)
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm.conf")
    spawner = new_spawner()
    words = (await spawner.run_command("env")).splitlines()
    assert "SLURM_CONF=/opt/slurm.conf" in words
    assert f"PATH={os.environ['PATH']}" in words
    assert TOKEN not in f"{words}"


@pytest.mark.parametrize("command", ["printf '{text}' >&2; exit 1", "printf 'x {text}'"])
async def test_the_log_has_no_escapes(
    new_spawner: Any, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    """What commands print, as their users may have written it, does nothing to the terminal of
    whoever reads the log, and does not fill the disk."""
    text = r"\033[2J\033]0;x\007" + "y" * 20_000
    spawner = new_spawner(SlurmSpawner, batch_submit_cmd=command.replace("{text}", text))
    spawner.exec_prefix = ""  # this account has no sudo
    spawner.batch_query_cmd = command.replace("{text}", text)
    spawner.log.propagate = True
    with pytest.raises(RuntimeError):
        await soon(spawner.start())
    spawner.job_id = "1"
    await spawner.query_job_status()
    logged = [one.getMessage() for one in caplog.records if "submitting command" not in one.msg]
    assert any("y" * 1000 in one for one in logged)
    assert not [one for one in logged if "\x1b" in one or "\x07" in one or len(one) > 10_000]


async def test_the_log_has_no_secret(new_spawner: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the submit command and no token; batchspawner logs the whole environment."""
    caplog.set_level("DEBUG")
    spawner = new_spawner()
    spawner.log.propagate = True
    await soon(spawner.start())
    assert "Spawner submitting command" in caplog.text
    assert TOKEN not in caplog.text


async def test_a_forged_job_id_reaches_no_shell(new_spawner: Any) -> None:
    """The submit command runs as the user, who can forge its output; a job id with shell syntax is
    refused."""
    spawner = new_spawner(batch_submit_cmd="cat > /dev/null; echo '1;touch$IFS/tmp/x'")
    with pytest.raises(RuntimeError, match="no jobid"):
        await soon(spawner.start())


async def test_templates_that_a_sites_class_makes(new_spawner: Any) -> None:
    """A script or a command may be a property or a method of the site's class, and may read what
    its user has chosen."""
    seen = {}

    class Site(Dummy):
        def make_command(self) -> str:
            return f"cat > /dev/null; echo {JOB} # {self.user.name}"

        batch_submit_cmd: Any = property(make_command)

        def make_script(self) -> str:
            kind = self.user_options["kind"]
            return f"#SBATCH --gres={{gres}}\n#SBATCH --comment={kind}\n{{cmd}}"

        batch_script: Any = make_script
        req_gres = Unicode("")

        async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
            seen[cmd] = input
            return str(await super().run_command(cmd, input=input, env=env))

    spawner = new_spawner(Site)
    spawner.user_options = {"kind": "long"}
    await soon(spawner.start())
    submitted = next(cmd for cmd in seen if "cat >" in cmd)
    assert submitted.endswith(f"# {spawner.user.name}")
    assert ["#SBATCH --comment=long"] == seen[submitted].splitlines()[:1]


async def test_names_that_no_shell_exports(
    new_spawner: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Variables whose names a shell can't export are left out, with a single warning for each."""
    seen: dict[str, Any] = {}

    class Site(Dummy):
        async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
            seen.update({"script": input, "env": env} if env else {})
            return str(await super().run_command(cmd, input=input, env=env))

    for _ in range(2):
        spawner = new_spawner(Site, batch_script="#PBS -v {keepvars}\n{cmd}")
        spawner.environment = {"BASH_FUNC_test%%": "() { :; }", "PPID": "1", "A.B": "x", "OK": "1"}
        spawner.log.propagate = True
        await soon(spawner.start())
    assert "OK" in seen["env"]
    assert not {"BASH_FUNC_test%%", "PPID", "A.B"} & set(seen["env"])
    assert "BASH_FUNC" not in seen["script"]
    assert "PPID" not in seen["script"]
    warnings = [one.getMessage() for one in caplog.records if "can't export" in one.getMessage()]
    assert [warnings[0]] == warnings
    assert "'A.B', 'BASH_FUNC_test%%', 'PPID'" in warnings[0]


async def test_an_id_with_options_of_the_sites(new_spawner: Any) -> None:
    """A site with several clusters puts an option behind the id: each command has its words, and so
    has the class that reads the state which batchspawner or this class has saved."""

    class Site(Dummy):
        def parse_job_id(self, output: str) -> str:
            number, _, cluster = output.partition(";")
            return f"{number} -M {cluster or 'lab'}"

    commands = {
        "batch_submit_cmd": "cat > /dev/null; echo '12;b'",
        "batch_query_cmd": f"printf '%s|' {{job_id}}; echo RUN {HOST}",
    }
    spawner = new_spawner(Site, **commands)
    await soon(spawner.start())
    assert "12 -M b" == spawner.job_id
    assert f"12|-M|b|RUN {HOST}" == spawner.job_status
    state = spawner.get_state()
    for job_id, expected in (
        (state["job_id"], "12 -M b"),
        ("12 -M lab", "12 -M lab"),
        ("12 --evil", ""),
        ("12 -M b -x", ""),
        ("12 $(id)", ""),
    ):
        spawner = new_spawner(Site, **commands)
        spawner.load_state({"job_id": job_id})
        assert expected == spawner.job_id


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("12 --evil", "Dummy.parse_job_id returned '12 --evil', in which '--evil' begins with a"),
        ("", r"\(no jobid in output\)\. c.Dummy"),
        (
            ValueError("no number"),
            r"Dummy.parse_job_id failed with ValueError: no number\. c.Dummy",
        ),
    ],
)
async def test_an_id_that_cannot_be_used(
    new_spawner: Any, monkeypatch: pytest.MonkeyPatch, returned: object, message: str
) -> None:
    """The error shows what the site's parse_job_id has made of the output, and the output."""

    def parse_job_id(self: Dummy, output: str) -> object:
        if isinstance(returned, Exception):
            raise returned
        return returned

    monkeypatch.setattr(Dummy, "parse_job_id", parse_job_id)
    spawner = new_spawner(batch_submit_cmd="cat > /dev/null; echo 12 --evil")
    with pytest.raises(BatchFailure, match="submission failure .*" + message) as raised:
        await soon(spawner.start())
    assert "printed: '12 --evil'" in str(raised.value)


async def test_a_users_name_reaches_no_shell(new_spawner: Any) -> None:
    """A user's name is quoted in commands, because an authenticator may let users choose their
    names."""
    spawner = new_spawner(req_username="$(id)", req_homedir="/")
    spawner.exec_prefix = "echo {username};"
    assert "echo '$(id)'; echo RUN userhost123" == spawner.fill_line(
        "batch_query_cmd", spawner.get_req_subvars()
    )


# -- submission and stop ----------------------------------------------------------------------


async def test_poll_while_the_submission_is_under_way(new_spawner: Any) -> None:
    """While a slow submit command runs, poll() reports no end, and a start that is cancelled does
    not lose the job."""
    go = asyncio.Event()

    class Slow(Dummy):
        async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
            if env is not None:
                await go.wait()
            return str(await super().run_command(cmd, input, env))

    spawner = new_spawner(Slow)
    start = asyncio.ensure_future(spawner.start())
    await asyncio.sleep(0.05)
    assert await spawner.poll() is None
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    stop = asyncio.ensure_future(spawner.stop(now=True))
    await asyncio.sleep(0.05)
    go.set()
    await soon(stop)
    assert JOB == spawner.job_id


async def test_stop_now(new_spawner: Any) -> None:
    """stop(now=True) returns after the cancel command, without a query."""
    spawner = new_spawner()
    assert (HOST, PORT) == await soon(spawner.start())
    spawner.batch_query_cmd = "exit 7"
    await soon(spawner.stop(now=True))
    assert f"RUN {HOST}" == spawner.job_status


async def test_a_job_that_is_forgotten_while_it_is_cancelled(new_spawner: Any) -> None:
    """Once the spawner has forgotten the job, no cancel command runs: without an id, LSF's bkill
    kills the user's last job."""
    cancelled: list[str] = []

    class Site(Dummy):
        async def cancel_batch_job(self) -> None:
            cancelled.append(self.job_id)
            raise RuntimeError("no answer")

    spawner = new_spawner(Site)
    await soon(spawner.start())
    cancel = asyncio.ensure_future(spawner.server_job.cancel())
    await asyncio.sleep(0.5)
    spawner.clear_state()
    await soon(cancel)
    assert [JOB] == cancelled


async def test_a_job_that_reports_all_the_time(new_spawner: Any) -> None:
    """However often a job reports, a single task queries it, and the last port counts. The task
    ends when the spawner forgets the server."""

    class Ready(Dummy):
        ready = True

    spawner = new_spawner(Ready)
    await soon(spawner.start())
    spawner.batch_query_cmd = "echo PEND"  # its user can have it say so for ever
    for port in range(3000, 3100):
        await spawner.take_report(Report(port))
    following = spawner.server_job._following
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert 1 == names.count(following.get_name())
    assert (3099, 3099) == (spawner.port, spawner.server_job.state.port)
    spawner.clear_state()
    with pytest.raises(asyncio.CancelledError):
        await soon(following)


async def test_progress(new_spawner: Any) -> None:
    """The progress messages are batchspawner's."""
    spawner = new_spawner()
    events = spawner.progress()
    assert {"message": "Unknown status..."} == await anext(events)
    spawner.job_status = "PEND"
    assert {"message": "Pending in queue..."} == await anext(events)
    spawner.job_status = "RUN x"
    assert ["Cluster job running... waiting to connect"] == [e["message"] async for e in events]


@pytest.mark.threat(
    who="job",
    tries="It makes the query of a legacy class print megabytes, which open pages search again.",
    stopped_by="The output of a query is searched once for each pattern, however many pages ask.",
)
async def test_progress_searches_an_output_once(
    new_spawner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page asks every second, and each output is searched once for each pattern."""
    searched: list[str] = []
    real = re.search

    def search(pattern: Any, text: Any, *flags: Any) -> Any:
        searched.append(text)
        return real(pattern, text, *flags)

    spawner = new_spawner()
    spawner.job_status = output = "PEND" + "x" * 1000
    monkeypatch.setattr(re, "search", search)
    for _ in range(5):
        assert {"message": "Pending in queue..."} == await anext(spawner.progress())
    assert 1 == searched.count(output)
    spawner.job_status = "RUN"
    assert not spawner.state_ispending()
    assert spawner.state_isrunning()


def test_state_of_batchspawner_itself(new_spawner: Any) -> None:
    """The state that batchspawner has saved is loaded and saved unchanged."""
    state = {"job_id": JOB, "job_status": "RUNNING node1"}
    spawner = new_spawner(SlurmSpawner)
    spawner.load_state(state)
    assert state == spawner.get_state()
    spawner.clear_state()
    assert {} == spawner.get_state()


async def test_a_state_that_is_not_ours(new_spawner: Any, tmp_path: Path) -> None:
    """A saved job id with shell syntax reaches no shell, and no saved value raises an error, which
    would end the Hub. batchspawner saved any output as an id, and other spawners may have saved
    anything."""
    for job_id in (f"1; touch {tmp_path}/evil", "$(id)", "warning\n12", None, 0, {"1": 2}):
        spawner = new_spawner(batch_query_cmd="echo RUN {job_id}")
        spawner.load_state({"job_id": job_id, "job_status": None})
        assert 1 == await soon(spawner.poll())
    assert [] == list(tmp_path.iterdir())
    spawner.load_state({"job_id": 12, "job_status": b"RUN"})
    assert "12" == spawner.job_id


@pytest.mark.parametrize("spawner_class", [TorqueSpawner, SlurmSpawner])
def test_a_text_that_is_no_host_name(new_spawner: Any, spawner_class: type) -> None:
    """A long text that is no host name is rejected at once, where batchspawner's own patterns would
    block the event loop for ever; host names are found as before."""
    spawner = new_spawner(spawner_class)
    for name in ("n1", "int-node_1.mesabi.xyz.edu", "node1."):
        spawner.job_status = f"RUNNING {name}"
        if spawner_class is TorqueSpawner:
            spawner.job_status = f"<exec_host>{name}/0+{name}/1</exec_host>"
        assert name == spawner.state_gethost()
        found = re.search(spawner.state_exechost_re, spawner.job_status)
        assert found and name == found[1]
    for text in (f"<exec_host>{'n' * 200}:", " " * 10**6 + "!"):
        spawner.job_status = f"RUNNING {text}"
        assert spawner.state_gethost() is None


def test_an_answer_that_takes_long_to_read(new_spawner: Any) -> None:
    """A million characters from condor_submit are searched at once, and the error is short. The
    job's user may have written the output, and it is read on the event loop."""
    spawner = new_spawner(CondorSpawner)
    assert "123" == spawner.parse_job_id("1 job(s) submitted to cluster 123.")
    with pytest.raises(Exception, match="unable to parse jobID") as raised:
        spawner.parse_job_id("s" * 10**6)
    assert len(str(raised.value)) < 5000


async def test_an_answer_that_is_long(new_spawner: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Output of any length fills neither the Hub's memory nor its log, database or error pages. A
    process of the user's prints it."""
    spawner = new_spawner()
    spawner.log.propagate = True
    await soon(spawner.start())
    spawner.batch_query_cmd = "head -c 5000000 /dev/zero"
    assert await soon(spawner.poll()) is None
    spawner.batch_query_cmd = "echo RUN; head -c 1000000 /dev/zero | tr '\\0' x"
    assert await soon(spawner.poll()) is None
    assert 10**6 < len(spawner.job_status)
    assert spawner.state_gethost() is None
    assert len(spawner.get_state()["job_status"]) < 5000
    spawner.batch_submit_cmd = "cat > /dev/null; head -c 1000000 /dev/zero"
    with pytest.raises(RuntimeError, match="no jobid") as raised:
        await soon(spawner.start())
    assert len(str(raised.value)) < 20000
    assert len(caplog.text) < 50000
