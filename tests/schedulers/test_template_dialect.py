"""Reading sets of templates: those of unispawner, a site's own, and wrong ones."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from support import CHECKOUT

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec, JobState, ResourceSpec
from unispawner.schedulers import template_dialect as dialect
from unispawner.schedulers.base import Reply
from unispawner.schedulers.template import Template
from unispawner.schedulers.template_dialect import check_trusted, make_linear, read_dialect
from unispawner.script.rendering import render_script

PAGE = CHECKOUT / "docs" / "templates.md"
INI = """\
[script]
file = job.sh
directive = #OAR

[commands]
submit = ./submit --site={site} {script}
query = oarstat -s -j {job_id}
cancel = oardel {job_id}

[patterns]
submitted = OAR_JOB_ID=(\\d+)
owner = ^owner (\\S+)
running = : Running

[fields]
memory = {mebibytes}mb
site = lyon
"""


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    """Return the folder of a correct set."""
    (empty_folder / "dialect.ini").write_text(INI)
    (empty_folder / "job.sh").write_text("#!/bin/sh\n#OAR -l mem={memory}\n{cmd}\n")
    (empty_folder / "submit").write_text("#!/bin/sh\n")
    (empty_folder / "submit").chmod(0o755)
    return empty_folder


def refusal(folder: Path) -> str:
    """Return the error that an administrator gets for a set when the Hub starts."""
    with pytest.raises(InvalidJobError) as caught:
        Template(template=str(folder)).check_set_up()
    return str(caught.value)


@pytest.mark.parametrize("name", dialect.NAMES)
def test_what_comes_along_is_complete(name: str) -> None:
    """Each set of unispawner can be read, is trusted, and finds the owners of jobs."""
    found = read_dialect(name)
    Template(template=name).check_set_up()
    assert name == Path(found.folder).name
    assert "{cmd}" in found.script.replace("{{cmd}}", "{cmd}")


def test_a_sites_own_folder(folder: Path) -> None:
    """A set is found by its absolute path, and its programs get their full paths."""
    found = read_dialect(str(folder))
    Template(template=str(folder)).check_set_up()
    assert [f"{folder}/submit", "oarstat", "oardel"] == found.programs
    assert ("^owner (\\S+)", "") == (found.pattern("owner"), found.pattern("ended"))


def test_the_example_of_the_page(folder: Path) -> None:
    """The set in docs/templates.md is correct as it stands: it makes a script, and reads the output
    of its program.
    """
    page = PAGE.read_text(encoding="utf-8")
    script = re.search(r"```\n(#!/bin/bash\n.*?)```", page, re.DOTALL)
    ini = re.search(r"```ini\n(.*?)```", page, re.DOTALL)
    assert script and ini
    (folder / "job.sh").write_text(script[1])
    (folder / "dialect.ini").write_text(ini[1])
    (folder / "all-jobs").touch(0o755)
    scheduler = Template(template=str(folder))
    scheduler.check_set_up()
    assert ["oarsub", "-S", "{script}"] == scheduler.dialect.words(scheduler.dialect.submit)
    cores = ResourceSpec(cpu_cores_per_process=4)
    spec = JobSpec(resources=cores, duration=timedelta(hours=12))
    lines = render_script(spec, scheduler).splitlines()
    assert "#OAR -l /nodes=1/core=4,walltime=12:00:00" in lines
    assert not any("--project" in line for line in lines)
    listing = "12 alice Running node1\n13 bob Waiting -\n14 bob Finishing node2\n"
    jobs = scheduler.read_status(Reply(("all-jobs",), 0, listing))
    assert ("alice", "node1") == (jobs["12"].owner, jobs["12"].exec_host)
    expected = [JobState.RUNNING, JobState.QUEUED, JobState.UNKNOWN]
    assert expected == [jobs[job_id].state for job_id in ("12", "13", "14")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[fields]", "[colours]", "unknown section [colours]; known sections: script, commands"),
        (
            "directive =",
            "directives =",
            "unknown key 'directives'; known keys: directive, file",
        ),
        ("query = oarstat -s -j {job_id}\n", "", "[commands]: the key 'query' is missing"),
        ("file = job.sh", "file = ../job.sh", "'../job.sh' must be a name in the set's own folder"),
        ("#OAR", "#OAR\nlanguage = perl", "'perl' must be one of shell, condor_submit"),
        ("OAR_JOB_ID=(\\d+)", "ID=\\d+", "[patterns]: submitted: 'ID=\\\\d+' needs a group"),
        (": Running", ": (Running", "[patterns]: running: ': (Running' is not a valid regular"),
        (
            "oardel {job_id}",
            "oardel {jobid}",
            "cancel: 'oardel {jobid}': unknown field 'jobid'; known fields: job_id",
        ),
        (
            "oardel {job_id}",
            "oardel '{job_id}",
            'cancel: "oardel \'{job_id}": No closing quotation',
        ),
        ("-j {job_id}", "", "query: 'oarstat -s' must contain {job_id}, or the section [all_jobs]"),
        (
            "{mebibytes}mb",
            "{megabytes}mb",
            "memory: '{megabytes}mb': unknown field 'megabytes'",
        ),
        ("owner = ^owner (\\S+)\n", "", "[patterns]: owner is missing, and there is no [all_jobs]"),
        (
            "memory = {mebibytes}mb\n",
            "",
            "memory is missing, and the script has {memory}",
        ),
        ("[script]\n", "", "File contains no section headers"),
    ],
)
def test_a_mistake(folder: Path, old: str, new: str, expected: str) -> None:
    """A mistake is an error when the Hub starts, with the file's name and the text."""
    assert old in INI
    (folder / "dialect.ini").write_text(INI.replace(old, new))
    message = refusal(folder)
    assert f"template: {folder}/dialect.ini: " in message
    assert expected in message


def test_a_set_that_is_not_there(folder: Path) -> None:
    """The error for an unknown set lists the known ones; that for a missing file has its path."""
    with pytest.raises(
        InvalidJobError, match=f"unknown set 'torqe'; known sets: {dialect.NAMES[0]}, "
    ):
        read_dialect("torqe")
    with pytest.raises(InvalidJobError, match="needs a set of templates"):
        Template().check_set_up()
    (folder / "job.sh").unlink()
    assert f"{folder}/job.sh can't be read: No such file" in refusal(folder)


def test_a_script_that_is_no_text(folder: Path) -> None:
    """A script in another encoding is an error with its name."""
    (folder / "job.sh").write_bytes("# für alle\n".encode("latin-1"))
    assert f"{folder}/job.sh can't be read: it is not UTF-8" in refusal(folder)


@pytest.mark.threat(
    who="root",
    tries="Somebody else can change the commands of a set of templates.",
    stopped_by="Only root and the Hub's account may be able to change a set.",
)
@pytest.mark.parametrize("name", ["", "dialect.ini", "job.sh", "submit"])
def test_what_others_can_change(folder: Path, name: str) -> None:
    """A set that others can change is refused, since the Hub runs what is written there."""
    path = folder / name if name else folder
    path.chmod(path.stat().st_mode | 0o002)
    message = refusal(folder)
    assert f"template: {path} can be changed by others than root and the Hub's account" in message


def test_a_link_to_what_others_can_change(folder: Path) -> None:
    """The target of a symbolic link must not be changeable by others either."""
    (folder / "elsewhere").touch()
    (folder / "elsewhere").chmod(0o777)
    (folder / "submit").unlink()
    (folder / "submit").symlink_to(folder / "elsewhere")
    with pytest.raises(InvalidJobError, match=f"{folder}/elsewhere can be changed by others"):
        check_trusted(read_dialect(str(folder)))


@pytest.mark.parametrize("name", ["dialect.ini", "job.sh", "submit"])
def test_what_users_can_not_read(folder: Path, name: str) -> None:
    """A set that users can't read is an error when the Hub starts, not at every submission."""
    (folder / name).chmod(0o700)
    assert f"users can't read {folder / name}" in refusal(folder)


@pytest.mark.parametrize(
    "pattern", [r"\s+(\S+)$", r"\s+((?:[\w_-]+\.?)+)$", r"\s+?(\S+)", r"a\s+(\S+)"]
)
def test_a_pattern_and_the_one_that_stands_for_it(pattern: str) -> None:
    """A pattern and its linear replacement find the same text."""
    for text in ("RUNNING  node1", "a  b.c  d.e", "node1", "a \n b"):
        was, found = (re.search(one, text) for one in (pattern, make_linear(pattern)))
        assert (was and was[1]) == (found and found[1])


def test_a_host_that_takes_long_to_read() -> None:
    """A long RemoteHost, which users can write, is read in linear time."""
    pattern = read_dialect("htcondor").all_jobs["exec_host"]
    for text, host in (("12 alice 2 slot1@node1", "node1"), (f"1 a 2 {'@' * 10**6} ", None)):
        found = re.search(make_linear(pattern), text, re.MULTILINE)
        assert host == (found and found[1])
