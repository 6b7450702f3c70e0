"""``unispawner doctor`` looks at what runs servers: batchspawner's classes, and profiles."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import OUTPUTS
from support.accounts import ordinary_account

from unispawner.admin.cli import main
from unispawner.admin.doctor.batchspawner import program
from unispawner.testing import read_saved_reply

PROGRAMS = ("sudo", "qsub", "qstat", "qdel", "sbatch", "squeue", "scancel", "ssh")
TORQUE = """
c.JupyterHub.spawner_class = "unispawner.TorqueSpawner"
c.JupyterHub.hub_ip = "10.1.0.5"
c.BatchSpawnerBase.req_queue = "interactive"
c.BatchSpawnerBase.agent_python = "/bin/sh"
"""
PROFILES = """
c.JupyterHub.spawner_class = "unispawner-profiles"
c.JupyterHub.hub_ip = "10.1.0.5"
c.BatchSpawnerBase.agent_python = c.UniSpawner.agent_python = "/bin/sh"
c.UniSpawner.scheduler = "local"
c.ProfilesSpawner.profiles = [
    ("On the Hub", "hub", "jupyterhub.spawner.LocalProcessSpawner", {"ip": "0.0.0.0"}),
    ("Small", "small", "unispawner.TorqueSpawner", {"req_nprocs": "1"}),
    ("Large", "large", "unispawner.TorqueSpawner", {"req_nprocs": "12"}),
    {
        "display_name": "New",
        "options": {
            "conda": {
                "choices": {"yes": {"display_name": "Yes", "override": {"prologue": "load conda"}}}
            }
        },
    },
]
"""


class Doctor:
    """Runs it with a configuration, on a host whose programs are those of a folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in PROGRAMS:
            self.program(name)
        self.config = folder / "jupyterhub_config.py"
        self.capsys = capsys

    def program(self, name: str) -> None:
        (self.programs / name).write_text("#!/bin/sh\n")
        (self.programs / name).chmod(0o755)

    def __call__(self, config: str, *arguments: str) -> tuple[int, list[str]]:
        """Return its exit status and its lines."""
        self.config.write_text(f"{config}\n")
        status = main(["doctor", "-f", str(self.config), *arguments])
        return status, self.capsys.readouterr().out.splitlines()

    def wrong(self, config: str, *arguments: str) -> str:
        """Return the one line that says what is wrong."""
        status, lines = self(config, *arguments)
        assert 1 == status
        (line,) = [line for line in lines if line.startswith("WRONG")]
        return line


@pytest.fixture
def doctor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Doctor:
    result = Doctor(tmp_path, capsys)
    monkeypatch.setenv("PATH", str(result.programs))
    return result


def test_a_legacy_class_that_is_right(doctor: Doctor) -> None:
    """Its own commands, templates and Python are what counts, and no setting of UniSpawner's."""
    status, lines = doctor(TORQUE)
    assert (0, "not checked: acting as a user (--account NAME checks it)") == (status, lines[0])
    commands = ", ".join(str(doctor.programs / name) for name in ("sudo", "qsub", "qstat", "qdel"))
    assert [
        "ok      hub: TorqueSpawner, the API at 10.1.0.5",
        "ok      job: the templates and patterns of TorqueSpawner are valid",
        f"ok      commands: {commands}",
        "ok      agent_python: /bin/sh is readable by users",
    ] == lines[1:]


@pytest.mark.parametrize(
    ("line", "check", "text"),
    [
        ('c.TorqueSpawner.req_que = "x"', "hub", "c.TorqueSpawner has no req_que"),
        ('c.BatchSpawnerBase.queue = "x"', "hub", "c.BatchSpawnerBase has no queue"),
        ('c.JupyterHub.hub_ip = "127.0.0.1"', "hub", "can't reach the Hub's API at 127.0.0.1"),
        ('c.TorqueSpawner.batch_script = "{cmd} {typo}"', "job", "there is no field 'typo'"),
        ('c.TorqueSpawner.state_running_re = "R("', "job", "is no regular expression"),
        ('c.TorqueSpawner.agent_python = "/none/python"', "agent_python", "users can't read"),
        (
            'c.TorqueSpawner.batch_submit_cmd = "nosuch -q {queue}"',
            "commands",
            "nosuch (c.TorqueSpawner.batch_submit_cmd) not found in ",
        ),
        (
            'c.TorqueSpawner.exec_prefix = "nosuch -u {username}"',
            "commands",
            "nosuch (c.TorqueSpawner.exec_prefix) not found in ",
        ),
    ],
)
def test_what_is_wrong_with_a_legacy_class(
    doctor: Doctor, line: str, check: str, text: str
) -> None:
    """It is told with the trait's name, and the rest is right."""
    wrong = doctor.wrong(f"{TORQUE}\n{line}")
    assert wrong.startswith(f"WRONG   {check}: ")
    assert text in wrong


def test_programs_that_are_missing(doctor: Doctor) -> None:
    """All of them in one line, each with its trait."""
    for name in ("qstat", "qdel"):
        (doctor.programs / name).unlink()
    wrong = doctor.wrong(TORQUE)
    traits = ("qstat (c.TorqueSpawner.batch_query_cmd)", "qdel (c.TorqueSpawner.batch_cancel_cmd)")
    assert f"{', '.join(traits)} not found in {doctor.programs}" in wrong


def test_programs_of_another_host(doctor: Doctor) -> None:
    """What a prefix that leads there would find can't be told here."""
    for name in ("qsub", "qstat", "qdel", "sudo"):
        (doctor.programs / name).unlink()
    status, lines = doctor(f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "ssh login1 sudo -u alice"')
    ssh = doctor.programs / "ssh"
    assert f"ok      commands: {ssh}; programs that run behind ssh are not checked" in lines
    assert 0 == status


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("qsub", "qsub"),
        ("/opt/pbs/bin/qstat -x {job_id}", "/opt/pbs/bin/qstat"),
        ("SGE_ROOT=/opt/sge qsub -V", "qsub"),
        ("  sudo -E -u {username}", "sudo"),
        ('condor_q {job_id} -format "%s, " JobStatus -format "\n" True', "condor_q"),
        ("{host}/qsub", ""),
        ("$BIN/qsub", ""),
        ("(cd /x; qsub)", ""),
        ('A="b c" qsub', ""),
        ("", ""),
        ("A=b", ""),
    ],
)
def test_the_program_of_a_command(command: str, expected: str) -> None:
    """Its first word behind assignments, unless a shell is needed to know."""
    assert expected == program(command)


def test_what_the_shell_has_built_in(doctor: Doctor) -> None:
    """It needs no file."""
    status, _ = doctor(f'{TORQUE}\nc.TorqueSpawner.batch_cancel_cmd = "exec qdel {{job_id}}"')
    assert 0 == status


@pytest.mark.parametrize(
    ("config", "tags"),
    [
        (TORQUE, "NOPASSWD:SETENV:"),
        (f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "sudo -nE -u {{username}}"', "NOPASSWD:SETENV:"),
        (f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "sudo -u {{username}}"', "NOPASSWD:"),
        (PROFILES, "NOPASSWD:SETENV:"),
        (f"{PROFILES}\nc.ProfilesSpawner.profiles = c.ProfilesSpawner.profiles[3:]", "NOPASSWD:"),
        (f"{PROFILES}\nc.ProfilesSpawner.profiles = lambda spawner: []", "NOPASSWD:"),
    ],
)
def test_the_sudoers_line(doctor: Doctor, config: str, tags: str) -> None:
    """Batchspawner's ``sudo -E`` needs SETENV; profiles that share a Python share the line."""
    status, lines = doctor(config, "--sudoers", "--hub-account", "hub", "--group", "lab")
    assert (0, [f"hub ALL=(%lab) {tags} /bin/sh -I -m unispawner.agent"]) == (status, lines)


def test_a_sudoers_line_for_each_python(doctor: Doctor) -> None:
    """Each with what it needs."""
    config = f'{PROFILES}\nc.UniSpawner.agent_python = "/opt/hub/bin/python3"'
    _, lines = doctor(config, "--sudoers", "--hub-account", "hub", "--group", "lab")
    assert [
        "hub ALL=(%lab) NOPASSWD:SETENV: /bin/sh -I -m unispawner.agent",
        "hub ALL=(%lab) NOPASSWD: /opt/hub/bin/python3 -I -m unispawner.agent",
    ] == lines


def test_profiles_that_are_right(doctor: Doctor) -> None:
    """Each has its line; what several share is looked at once."""
    status, lines = doctor(PROFILES)
    assert 0 == status, lines
    assert [
        "ok      profiles: hub, small, large, new",
        "ok      profile hub: LocalProcessSpawner",
        "ok      profile small: TorqueSpawner",
        "ok      profile large: TorqueSpawner",
        "ok      profile new: UniSpawner, checked at every bound of its options",
    ] == [line for line in lines if " profile" in line]
    assert ["scheduler", "hub", "commands", "commands", "query", "agent_python"] == [
        line.split()[1].rstrip(":") for line in lines[1:] if " profile" not in line
    ]


@pytest.mark.parametrize(
    ("line", "check", "text"),
    [
        (
            'c.ProfilesSpawner.profiles[1][3]["batch_script"] = "{typo}"',
            "profile small",
            "there is no field 'typo'",
        ),
        (
            'c.ProfilesSpawner.profiles[1][3]["batch_submit_cmd"] = "nosuch"',
            "commands",
            "nosuch (c.TorqueSpawner.batch_submit_cmd) not found",
        ),
        (
            'c.ProfilesSpawner.profiles[1][3]["command_timeout"] = "soon"',
            "profile small",
            "command_timeout",
        ),
        (
            'c.ProfilesSpawner.profiles[3]["config"] = {"queue": "x"}',
            "profile new",
            "UniSpawner has no queue (did you mean queue_name?)",
        ),
        (
            'c.ProfilesSpawner.profiles[3]["resources"] = {"memory": "1G"}',
            "profile new",
            "memory",
        ),
        (
            'c.ProfilesSpawner.profiles[3]["spawner"] = "unispawner.Nosuch"',
            "profile new",
            "WRONG   profile new: spawner: unispawner.Nosuch: ",  # and not its name twice
        ),
        ('c.ProfilesSpawner.profiles.append(("x", "y"))', "profiles", "profiles[4]: must be"),
        ('c.ProfilesSpawner.profile = "x"', "hub", "has no profile (did you mean profiles?)"),
        ('c.TorqueSpawner.req_que = "x"', "hub", "c.TorqueSpawner has no req_que"),
        ('c.JupyterHub.hub_ip = "127.0.0.1"', "hub", "can't reach the Hub's API at 127.0.0.1"),
    ],
)
def test_what_is_wrong_with_profiles(doctor: Doctor, line: str, check: str, text: str) -> None:
    """It is told of the profile that it is of; the others are right."""
    wrong = doctor.wrong(f"{PROFILES}\n{line}")
    assert wrong.startswith(f"WRONG   {check}: ")
    assert text in wrong


def test_no_profiles(doctor: Doctor) -> None:
    """A list of none offers nothing to anybody."""
    status, lines = doctor(f"{PROFILES}\nc.ProfilesSpawner.profiles = []")
    (line,) = [line for line in lines if line.startswith("WRONG   profiles: ")]
    assert line.endswith("c.ProfilesSpawner.profiles: the list is empty; add a profile")
    assert 1 == status


def test_profiles_of_another_spawner(doctor: Doctor) -> None:
    """What counts for nothing is pointed at; it may be meant so, and is no failure."""
    status, lines = doctor(f'{PROFILES}\nc.JupyterHub.spawner_class = "unispawner"')
    (line,) = [line for line in lines if line.startswith("look at hub: ")]
    assert "c.ProfilesSpawner is set but not used" in line
    assert 0 == status, lines


QUEUES = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.hub_ip = "10.1.0.5"
c.UniSpawner.scheduler = "slurm"
c.UniSpawner.agent_python = "/bin/sh"
c.ProfilesSpawner.profiles = [
    {
        "display_name": "Right",
        "config": {"queue_name": "long"},
        "options": {"duration": {"max": "2-00:00:00"}, "cpu_cores_per_process": {"max": 8}},
    },
]
"""


@pytest.fixture
def slurm(doctor: Doctor) -> str:
    """A configuration for a Slurm that tells what a real one has told of its queues."""
    saved = OUTPUTS / "slurm" / "sinfo-inventory"
    answer = doctor.programs / "answer"
    answer.write_text(read_saved_reply(saved).stdout)
    (doctor.programs / "sinfo").write_text(f"#!/bin/sh\nexec /bin/cat {answer}\n")
    (doctor.programs / "sinfo").chmod(0o755)
    version = 'case "$1" in -V | --version) echo slurm 22.05.8 ;; esac'
    (doctor.programs / "squeue").write_text(f"#!/bin/sh\n{version}\n")
    return f'{QUEUES}\nc.UniSpawner.scheduler_environment = {{"PATH": "{doctor.programs}"}}'


def test_queues_that_allow_what_is_asked_for(doctor: Doctor, slurm: str) -> None:
    """At each bound of the options."""
    status, lines = doctor(slurm)
    assert "ok      queues: every job is within the limits that the scheduler reports" in lines
    assert 0 == status, lines


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            '["config"]["queue_name"] = "nosuch"',
            "queue_name: the scheduler has no queue 'nosuch'; its queues: ",
        ),
        ('["config"] = {"queue_name": "small"}', "48:00:00 is more than the limit of queue small"),
        ('["config"] = {}', "duration: 48:00:00 is more than the limit of the default queue"),
        (
            '["options"]["cpu_cores_per_process"]["max"] = 640',
            "cpu_cores_per_process: 640 is more than the limit of queue long",
        ),
    ],
)
def test_queues_that_do_not(doctor: Doctor, slurm: str, line: str, text: str) -> None:
    """It is pointed at once for each profile; the scheduler may know better, so it's no failure."""
    status, lines = doctor(f"{slurm}\nc.ProfilesSpawner.profiles[0]{line}")
    (queues,) = [line for line in lines if " queues: " in line]
    assert queues.startswith("look at queues: profile right: ")
    assert 1 == queues.count(text)
    assert 0 == status, lines


def test_a_list_of_queues_is_not_looked_up(doctor: Doctor, slurm: str) -> None:
    """Nor is what names a server or a host: the scheduler takes what is no queue's name."""
    name = '["config"]["queue_name"] = "long,small"'
    _, lines = doctor(f"{slurm}\nc.ProfilesSpawner.profiles[0]{name}")
    assert [] == [line for line in lines if line.startswith("look at queues")]


def test_queues_of_a_scheduler_that_does_not_tell(doctor: Doctor, slurm: str) -> None:
    """It is said that nothing is known."""
    (doctor.programs / "sinfo").unlink()
    _, lines = doctor(slurm)
    (queues,) = [line for line in lines if " queues: " in line]
    assert queues.startswith("look at queues: the limits are not known: ")


def test_profiles_of_a_function(doctor: Doctor) -> None:
    """They depend on the user."""
    status, lines = doctor(f"{PROFILES}\nc.ProfilesSpawner.profiles = lambda spawner: [spawner]")
    expected = "a function; its result depends on the user and is checked at each start"
    assert f"ok      profiles: {expected}" in lines
    assert 0 == status, lines


def test_a_wrapper_without_profiles(doctor: Doctor) -> None:
    """Its child's class is what is looked at, with the settings that it gives it."""
    wrapper = """
c.JupyterHub.spawner_class = "unispawner.WrapSpawner"
c.WrapSpawner.child_class = "unispawner.SlurmSpawner"
c.WrapSpawner.child_config = {"batch_cancel_cmd": "nosuch"}
"""
    wrong = doctor.wrong(TORQUE + wrapper)
    assert "nosuch (c.SlurmSpawner.batch_cancel_cmd) not found" in wrong
    assert 1 == main(["doctor", "-f", str(doctor.config)])


def test_an_account_behind_exec_prefix(doctor: Doctor) -> None:
    """The agent is run as for a server; a prefix that does not lead there is told, with the
    command that has to work."""
    user = ordinary_account().pw_name
    doctor.program("false")
    (doctor.programs / "false").write_text("#!/bin/sh\nexit 1\n")
    config = f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "false -u {{username}}"'
    status, lines = doctor(config, "--account", user)
    (wrong,) = [line for line in lines if line.startswith("WRONG   account: ")]
    assert f"exec_prefix does not let the Hub write {user}'s private files" in wrong
    assert f"`false -u {user} /bin/sh -I -m unispawner.agent` has to work" in wrong
    assert 1 == status
