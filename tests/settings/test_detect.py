"""Which scheduler a host has: recognised by what its commands print, and never mistaken."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support import OUTPUTS

from unispawner.errors import InvalidJobError, SchedulerUnavailable
from unispawner.schedulers import NAMES, Scheduler, get_scheduler, scheduler_class
from unispawner.settings import detect
from unispawner.settings.detect import Found
from unispawner.submit_host.host import HOST
from unispawner.testing import read_saved_reply

SLURM_WORDS = "slurm-wlm 22.05.8\n"
# Other schedulers' qstat: the texts of OpenPBS and TORQUE are from their manuals, Slurm's is from
# contribs/torque/qstat.
PBS = "pbs_version = 23.06.06\n"
TORQUE = "Version: 6.1.3\nCommit: 0000000000000000000000000000000000000000\n"
SLURM_WRAPPER = (
    "Unknown option: e\nUnknown option: l\nUsage:\n"
    "    qstat [-f] [-a|-i|-r] [-n [-1]] [-G|-M] [-u *user_list*] [-? | --help]\n"
)


class Bin:
    """A directory of commands, and nothing else on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.environment = {"PATH": str(folder)}

    def command(self, name: str, text: str) -> None:
        """Write a command: a few lines of shell."""
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def prints(
        self, name: str, answers: Mapping[str, tuple[str, str, int]], default: str = ""
    ) -> None:
        """Write a command that answers by its first option: (stdout, stderr, exit status)."""
        cases = "".join(
            f"{option}) printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; "
            f"exit {status};;\n"
            for option, (out, err, status) in answers.items()
        )
        self.command(name, f'case "$1" in\n{cases}esac\n{default}')

    def slurm(self, squeue: str = "1_queue", *, status: int = 0) -> None:
        """Write Slurm's squeue, which has no jobs, or prints that text with an exit status."""
        words = "" if status == 0 else squeue
        answers = {"--version": (SLURM_WORDS, "", 0), "-h": ("", words, status)}
        self.prints("squeue", answers)

    def gridengine(self) -> None:
        """Write Grid Engine's qstat, which prints saved output."""
        saved = OUTPUTS / "gridengine"
        says = read_saved_reply(saved / "qstat-help").stdout
        jobs = read_saved_reply(saved / "qstat-xml-none").stdout
        self.prints("qstat", {"-help": (says, "", 0), "-xml": (jobs, "", 0)})


@pytest.fixture
def bin(tmp_path: Path) -> Bin:
    return Bin(tmp_path / "bin")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what another test has found."""
    monkeypatch.setattr(detect, "_found", {})


def make(name: str) -> Scheduler:
    return get_scheduler(name)


async def find(bin: Bin, **more: str) -> str:
    return await detect.find(HOST, {**bin.environment, **more}, make)


async def look(bin: Bin) -> list[Found]:
    return await detect.ask_all(HOST, bin.environment, make)


async def look_for(bin: Bin, name: str) -> Found:
    """Return what was found about one scheduler."""
    (found,) = [one for one in await look(bin) if one.name == name]
    return found


# -- who is who ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["slurm", "gridengine"])
async def test_the_one_that_answers_is_chosen(bin: Bin, name: str) -> None:
    """The scheduler that identifies itself and answers a question about jobs is chosen."""
    getattr(bin, name)()
    assert name == await find(bin)
    found = await look_for(bin, name)
    assert (name, True, "") == (found.name, found.confirmed, found.problem)


SAYS: list[Any] = [
    ("slurm", "slurm-wlm 22.05.8", "", True),
    ("slurm", "slurm 23.11.4", "", True),
    ("slurm", "slurm 24.05.0-0rc1", "", True),
    ("slurm", "squeue of some other program 1.0", "", False),
    ("slurm", "", "squeue: fatal: Unable to process configuration file", False),
    ("gridengine", "SGE 8.1.9\nusage: qstat [options]", "", True),
    ("gridengine", "GE 6.2u5\nusage: qstat [options]", "", True),
    ("gridengine", "UGE 8.6.18\nusage: qstat [options]", "", True),
    ("gridengine", "AGE 2023.1.1\nusage: qstat [options]", "", True),
    ("gridengine", "OGS/GE 2011.11\nusage: qstat [options]", "", True),
    ("gridengine", "Univa Grid Engine 8.5.4\nusage: qstat [options]", "", True),
    ("pbs", PBS, "", True),
    ("torque", TORQUE, "", True),
    ("pbs", TORQUE, "", False),
    ("pbs", SLURM_WRAPPER, "", False),
    ("pbs", "SGE 8.1.9\nusage: qstat [options]", "", False),
    ("torque", PBS, "", False),
    ("torque", SLURM_WRAPPER, "", False),
    ("torque", "SGE 8.1.9\nusage: qstat [options]", "", False),
    ("gridengine", PBS, "", False),
    ("gridengine", TORQUE, "", False),
    ("gridengine", SLURM_WRAPPER, "", False),
    ("gridengine", "", "usage: qstat [-f] [-J] [-p] [-t] [-x] [-E]", False),
    ("gridengine", "", "Please set the environment variable SGE_ROOT.", False),
]


@pytest.mark.parametrize(("name", "out", "err", "expected"), SAYS)
async def test_each_is_known_by_what_it_prints(
    bin: Bin, name: str, out: str, err: str, expected: bool
) -> None:
    """Schedulers with the same command, such as qstat, are distinguished by what it prints."""
    command, option = scheduler_class(name).identify_command
    jobs = read_saved_reply(OUTPUTS / "gridengine" / "qstat-xml-none").stdout
    answers = {option: (out, err, 0 if out else 1), "-xml": (jobs, "", 0), "-h": ("", "", 0)}
    bin.prints(command, answers)
    found = await look_for(bin, name)
    assert (name, expected) == (found.name, found.confirmed)
    assert (out or err).splitlines()[0] == found.answer


def test_each_can_identify_itself() -> None:
    """Every scheduler that can be found has a command and a pattern to identify it."""
    # "template" can't be found: the administrator has to choose a set.
    schedulers = [scheduler_class(name) for name in NAMES if name not in ("local", "template")]
    assert [] == [one.name for one in schedulers if not (one.identify_command and one.identity)]


async def test_two_of_which_one_answers(bin: Bin) -> None:
    """If two schedulers' commands exist, the one that answers is chosen."""
    bin.gridengine()
    bin.slurm("slurm_load_jobs error: Unable to contact slurm controller", status=1)
    assert "gridengine" == await find(bin)


async def test_a_wrapper_beside_its_scheduler(bin: Bin) -> None:
    """Slurm's own qstat is not taken for Grid Engine's."""
    bin.slurm()
    bin.command("qstat", f"printf %s {shlex.quote(SLURM_WRAPPER)} >&2; exit 2")
    assert "slurm" == await find(bin)


async def test_a_notice_of_the_sites_before_an_answer(bin: Bin) -> None:
    """A scheduler is known, and answers, whatever a site's wrapper prints before its words."""
    row = "7|alice|RUNNING|None|node1|debug|1|0|0"
    cases = f'case "$1" in --version) echo "{SLURM_WORDS}";; *) echo "{row}";; esac'
    bin.command("squeue", f'echo "Notice: slurm-wlm ends on Tuesday"; {cases}')
    assert "slurm" == await find(bin)
    found = await look_for(bin, "slurm")
    assert (SLURM_WORDS.strip(), True, "") == (found.answer, found.confirmed, found.problem)


async def test_an_answer_becomes_one_short_line(bin: Bin) -> None:
    """A command's answer becomes one short line in messages."""
    bin.command("squeue", f"printf '%s\\nmore' {'x' * 500}")
    (found,) = await look(bin)
    assert "x" * 100 == found.answer


# -- what is remembered -------------------------------------------------------------------------


async def test_it_is_remembered(bin: Bin) -> None:
    """A scheduler is searched once for each environment, and remembered while it is down."""
    with pytest.raises(InvalidJobError, match="has not found out yet"):
        detect.recall(HOST, bin.environment)
    bin.slurm()
    assert "slurm" == await find(bin)
    assert "slurm" == detect.recall(HOST, bin.environment)
    bin.slurm("slurm_load_jobs error: Unable to contact slurm controller", status=1)
    assert "slurm" == await find(bin)
    with pytest.raises(SchedulerUnavailable):
        await find(bin, SLURM_CONF="/another")
    with pytest.raises(InvalidJobError, match="has not found out yet"):
        detect.recall(HOST, {**bin.environment, "SLURM_CONF": "/another"})


async def test_a_failure_is_not_remembered(bin: Bin) -> None:
    """If no scheduler was found, the next start searches again."""
    with pytest.raises(InvalidJobError):
        await find(bin)
    bin.slurm("slurm_load_jobs error: Unable to contact slurm controller", status=1)
    with pytest.raises(SchedulerUnavailable):
        await find(bin)
    bin.slurm()
    assert "slurm" == await find(bin)


# -- what can't be chosen -----------------------------------------------------------------------


async def test_none(bin: Bin) -> None:
    """The error for a host without a scheduler has the path and the settings."""
    with pytest.raises(InvalidJobError) as caught:
        await find(bin)
    message = str(caught.value)
    for part in (str(bin.folder), "c.UniSpawner.scheduler_path", '"local"'):
        assert part in message
    assert "Found" not in message


async def test_none_but_others_of_the_same_name(bin: Bin) -> None:
    """The error shows what a command of the same name has printed."""
    bin.command("qstat", "echo 'qstat of another kind 1.0'")
    with pytest.raises(InvalidJobError) as caught:
        await find(bin)
    assert str(bin.folder) in str(caught.value)
    expected = "Found:\n  not gridengine: qstat prints 'qstat of another kind 1.0'"
    assert expected in str(caught.value)


async def test_several(bin: Bin) -> None:
    """If several schedulers answer, the error lists them and the setting."""
    bin.slurm()
    bin.gridengine()
    with pytest.raises(InvalidJobError) as caught:
        await find(bin)
    message = str(caught.value)
    for part in ("c.UniSpawner.scheduler", "slurm (slurm-wlm 22.05.8): answers", "gridengine (SGE"):
        assert part in message


async def test_one_that_is_down(bin: Bin) -> None:
    """A scheduler that is down is a SchedulerUnavailable with its own words."""
    saved = read_saved_reply(OUTPUTS / "slurm" / "squeue-ctld-down")
    bin.slurm(saved.stderr, status=saved.exit_status)
    with pytest.raises(SchedulerUnavailable) as caught:
        await find(bin)
    assert "slurm (slurm-wlm 22.05.8): " in str(caught.value)
    assert saved.stderr.strip().splitlines()[-1] in str(caught.value)


async def test_one_that_hangs_when_it_is_asked_about_jobs(
    bin: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler that hangs at a question about jobs does not answer."""
    monkeypatch.setattr("unispawner.submit_host.dialogue.QUERY_TIMEOUT", 0.3)
    bin.prints("squeue", {"--version": (SLURM_WORDS, "", 0)}, "exec /bin/sleep 60")
    with pytest.raises(SchedulerUnavailable, match="squeue did not end within 0.3 s"):
        await find(bin)


async def test_one_that_hangs_when_it_is_asked_who_it_is(
    bin: Bin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that hangs does not keep another scheduler from being found."""
    monkeypatch.setattr("unispawner.submit_host.dialogue.QUERY_TIMEOUT", 0.3)
    bin.command("qstat", "exec /bin/sleep 60")
    found = await look_for(bin, "gridengine")
    assert (False, "qstat did not end within 0.3 s.") == (found.confirmed, found.problem)
    bin.slurm()
    assert "slurm" == await find(bin)


@pytest.mark.parametrize("trouble", ["hangs", "configuration source"])
async def test_a_scheduler_that_cannot_identify_itself_now(
    bin: Bin, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """A scheduler that can't identify itself now is a SchedulerUnavailable.

    A Slurm without a configuration file asks slurmctld even for ``squeue --version``. An
    InvalidJobError would end a Hub that starts before slurmctld does.
    """
    monkeypatch.setattr("unispawner.submit_host.dialogue.QUERY_TIMEOUT", 0.3)
    if trouble == "hangs":
        bin.command("squeue", "exec /bin/sleep 60")
    else:
        words = "squeue: fatal: Could not establish a configuration source"
        bin.command("squeue", f"echo '{words}' >&2; exit 1")
    with pytest.raises(SchedulerUnavailable):
        await find(bin)


async def test_one_that_cannot_be_run(bin: Bin) -> None:
    """A command that can't be run is listed with the reason."""
    bin.command("squeue", "")
    (bin.folder / "squeue").write_text("#!/no/such/shell\n")
    with pytest.raises(InvalidJobError, match="not slurm: squeue prints .squeue can't be run: No "):
        await find(bin)


async def test_what_is_no_program_is_not_found(bin: Bin) -> None:
    """A file that is not executable is not found."""
    (bin.folder / "squeue").write_text("")
    assert [] == await look(bin)


# -- the environment ----------------------------------------------------------------------------


async def test_commands_have_the_schedulers_own_environment(bin: Bin) -> None:
    """Commands get the variables of the scheduler's settings; variables set by hand come first."""
    bin.command("qstat", '[ "$1" = -help ] && echo "SGE 8.1.9 root=$SGE_ROOT cell=$SGE_CELL"')

    def made(name: str) -> Scheduler:
        own = {"sge_root": "/opt/sge", "sge_cell": "west"} if name == "gridengine" else {}
        return get_scheduler(name, own)

    for more, expected in (({}, "/opt/sge cell=west"), ({"SGE_ROOT": "/x"}, "/x cell=west")):
        all_found = await detect.ask_all(HOST, {**bin.environment, **more}, made)
        (found,) = [one for one in all_found if one.name == "gridengine"]
        assert f"SGE 8.1.9 root={expected}" == found.answer
