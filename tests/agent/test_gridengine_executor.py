"""Grid Engine's executor: with a qsub and a qdel that print saved output, and broken libraries."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import support
from support.agent import Agent, Done

from unispawner.testing import read_saved_reply

OUTPUTS = support.OUTPUTS / "gridengine"
MARK = "0123456789abcdef"


class Commands:
    """The agent with a qsub and a qdel that keep what they are given."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.path = ""

    def write(self, name: str, stdout: str = "", stderr: str = "", status: int = 0) -> None:
        folder = self.agent.directory
        for kind, text in (("out", stdout), ("err", stderr)):
            (folder / f"{name}.{kind}").write_text(text)
            (folder / f"{name}.{kind}").chmod(0o644)
        self.path = self.agent.fake_command(
            name,
            f'cd {folder}\nprintf "%s\\n" "$@" >{name}.arguments\n'
            f"cat {name}.out\ncat {name}.err >&2\nexit {status}",
        )

    def write_saved(self, saved: str) -> str:
        """Make a command print what a real one printed; return that text."""
        reply = read_saved_reply(OUTPUTS / saved)
        name = next(one for one in ("qsub", "qdel") if saved.startswith(one))
        self.write(name, reply.stdout, reply.stderr, reply.exit_status)
        return reply.text

    def arguments(self, name: str) -> list[str]:
        return (self.agent.directory / f"{name}.arguments").read_text().split("\n")[:-1]

    def call(self, action: str, *, use_drmaa: bool = False, **more: Any) -> Done:
        options = {"use_drmaa": use_drmaa, **more.pop("options", {})}
        return self.agent.call(
            action,
            scheduler="gridengine",
            scheduler_options=options,
            scheduler_path=[self.path] if self.path else [],
            **more,
        )

    def submit(self, *, use_drmaa: bool = False, **more: Any) -> Done:
        spec = self.agent.spec("echo prologue", environment={"TOKEN": "topsecret"})
        return self.call(
            "submit", use_drmaa=use_drmaa, spec=spec.to_dict(), shell="/bin/bash -l", **more
        )


@pytest.fixture
def commands(agent: Agent) -> Commands:
    return Commands(agent)


# -- qsub and qdel ------------------------------------------------------------------------------


def test_the_script_is_a_command_that_stays(commands: Commands) -> None:
    """qsub gets the script's path and copies nothing; the file is private and stays."""
    commands.write_saved("qsub-terse")
    assert {"job_id": "1"}.items() <= commands.submit().result.items()
    state = commands.agent.state_dir
    script = state / "jobs" / MARK / "script"
    log = state / "logs" / f"{MARK}.log"
    assert [
        *("-terse", "-N", "jupyter", "-wd", str(commands.agent.directory), "-o", f":{log}"),
        *("-j", "y", "-ac", f"unispawner={MARK}", "-w", "e", "-b", "y", "-shell", "n"),
        str(script),
    ] == commands.arguments("qsub")
    assert 0o700 == script.stat().st_mode & 0o777
    text = script.read_text()
    assert text.startswith("#!/bin/bash -l\n")
    assert "topsecret" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7\n", "7"),
        ("Your job will be charged to project 12x\n7\n", "7"),
        ("site policy: h_vmem set\n\n7\n\n", "7"),
    ],
)
def test_job_ids(commands: Commands, text: str, expected: str) -> None:
    """The job's id is found among other output, such as that of a site's JSV."""
    commands.write("qsub", text)
    assert expected == commands.submit().result["job_id"]


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        ("qsub-unknown-queue", "SubmitError"),
        ("qsub-impossible", "SubmitError"),
        ("qsub-unknown-pe", "SubmitError"),
        ("qsub-no-submit-host", "SubmitError"),
        ("qsub-qmaster-down", "SchedulerUnavailable"),
        ("qsub-qmaster-frozen", "SchedulerUnavailable"),
    ],
)
def test_submissions_that_fail(commands: Commands, saved: str, expected: str) -> None:
    """The error has qsub's own words, and a refused job leaves no file."""
    text = commands.write_saved(saved)
    error = commands.submit().error
    assert (expected, text) == (error["type"], error["output"])
    refused = expected == "SubmitError"
    assert (commands.agent.state_dir / "jobs" / MARK).exists() != refused


def test_an_answer_without_an_id(commands: Commands) -> None:
    """The job may exist, so that the error is one after which the Hub searches the job."""
    commands.write("qsub", "hello\n")
    assert "AgentError" == commands.submit().error["type"]


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        *((name, None) for name in ("qdel", "qdel-pending", "qdel-twice", "qdel-finished")),
        ("qdel-unknown", None),
        ("qdel-not-owner", "CancelError"),
        ("qdel-qmaster-down", "SchedulerUnavailable"),
        ("qdel-qmaster-frozen", "SchedulerUnavailable"),
    ],
)
def test_cancellations(commands: Commands, saved: str, expected: str | None) -> None:
    """To cancel a job that has ended is not an error; to cancel another user's job is one."""
    commands.write_saved(saved)
    reply = commands.call("cancel", job_id="40").reply
    assert expected == reply.get("error", {}).get("type")
    assert ["40"] == commands.arguments("qdel")


def test_no_qsub(commands: Commands) -> None:
    """The error for a missing qsub names the setting."""
    (commands.agent.directory / "bin").mkdir()
    error = commands.submit(scheduler_environment={"PATH": "/nowhere"}).error
    assert "AgentError" == error["type"]
    assert "scheduler_path" in error["message"]


# -- DRMAA --------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["submit", "cancel"])
def test_no_library(commands: Commands, action: str) -> None:
    """The error for a missing library says how to install it and how to work without it."""
    missing = {"drmaa_library_path": "/nowhere/libdrmaa.so"}
    if action == "submit":
        error = commands.submit(use_drmaa=True, options=missing).error
    else:
        error = commands.call("cancel", use_drmaa=True, options=missing, job_id="1").error
    assert "AgentError" == error["type"]
    for words in (
        *("/nowhere/libdrmaa.so", "gridengine-drmaa1.0"),
        *("drmaa_library_path", "use_drmaa = False"),
    ):
        assert words in error["message"]


def test_a_library_that_cannot_be_loaded(commands: Commands) -> None:
    """The error for a broken library has the loader's words."""
    library = commands.agent.directory / "libdrmaa[1].so"
    library.write_text("no library\n" * 100)
    library.chmod(0o644)
    error = commands.submit(use_drmaa=True, options={"drmaa_library_path": str(library)}).error
    assert "AgentError" == error["type"]
    assert "use_drmaa = False" in error["message"]
    assert "libdrmaa can't be loaded" in error["output"]
    assert "invalid ELF header" in error["output"]
    assert "Traceback" not in error["output"]


def python(code: str, **environment: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        env={"PATH": os.environ["PATH"], **environment},
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


LOADED = (
    "import json, sys; print(json.dumps([one for one in ('psij', 'drmaa') if one in sys.modules]))"
)


@pytest.mark.parametrize(
    "code",
    [
        "from unispawner.agent.executors import gridengine",
        "from unispawner.agent import drmaa, protocol, actions",
        "import unispawner; from unispawner.schedulers import get_scheduler\n"
        "unispawner.UniSpawner; get_scheduler('gridengine')",
    ],
)
def test_nothing_loads_the_library_but_a_process_of_its_own(code: str) -> None:
    """Neither the Hub nor the agent loads the library, which may block or abort, nor PSI/J."""
    assert [] == python(f"{code}\n{LOADED}")


@pytest.mark.parametrize(
    ("code", "type_", "text"),
    [
        ("import os; os.abort()", "AgentError", ""),
        ("import sys; sys.exit('DeniedByDrmException: code 17: no')", "SubmitError", "code 17"),
        ("import sys; sys.exit('DrmCommunicationException: x')", "SchedulerUnavailable", "x"),
        ("print('nothing')", "AgentError", "nothing"),
    ],
)
def test_how_the_process_ends(tmp_path: Path, code: str, type_: str, text: str) -> None:
    """An abort is an error after which the Hub searches the job; the library's words are
    refusals.
    """
    found = python(
        "import json, sys; from pathlib import Path\n"
        "from unispawner.agent.executors import gridengine as module\n"
        "from unispawner.errors import UniSpawnerError; from unispawner.job import JobSpec\n"
        "from unispawner.schedulers.gridengine import GridEngine\n"
        f"module._DRMAA = (sys.executable, '-I', '-c', {code!r})\n"
        f"executor = module.Executor(GridEngine(drmaa_library_path={sys.executable!r}))\n"
        "try: executor.submit_script(JobSpec(), 'true', Path(%r))\n"
        % str(tmp_path)
        + "except UniSpawnerError as error:\n"
        "    print(json.dumps([type(error).__name__, error.output]))"
    )
    assert type_ == found[0]
    assert text in found[1]


@pytest.mark.parametrize(
    ("below", "expected"),
    [
        (("lib/lx-amd64/libdrmaa.so.1.0", "lib/lx-amd64/libdrmaa.so"), "libdrmaa.so"),
        (("lib/lx-amd64/libdrmaa.so.1.0",), "libdrmaa.so.1.0"),
    ],
)
def test_the_library_below_sge_root(tmp_path: Path, below: tuple[str, ...], expected: str) -> None:
    """The library is found below SGE_ROOT for any architecture, even with brackets in the path."""
    root = tmp_path / "sge [1]"
    for name in below:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    code = (
        "import json; from unispawner.agent.executors.gridengine import Executor\n"
        "from unispawner.schedulers.gridengine import GridEngine\n"
        f"print(json.dumps(Executor(GridEngine(sge_root={str(root)!r}))._library()))"
    )
    assert str(root / "lib" / "lx-amd64" / expected) == python(code)


def test_the_environments_library_comes_before_the_usual_places(tmp_path: Path) -> None:
    """DRMAA_LIBRARY_PATH comes before the usual places."""
    library = tmp_path / "libdrmaa.so"
    library.touch()
    code = (
        "import json; from unispawner.agent.executors.gridengine import Executor\n"
        "from unispawner.schedulers.gridengine import GridEngine\n"
        "print(json.dumps(Executor(GridEngine())._library()))"
    )
    assert str(library) == python(code, DRMAA_LIBRARY_PATH=str(library))
