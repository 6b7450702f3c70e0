"""A set of templates as a scheduler: its filled-in script, and what a job can't ask for."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec, ResourceSpec
from unispawner.schedulers.template import Template
from unispawner.script.rendering import render_script

SERVER = ("jupyterhub-singleuser", "--note=it's \"a $(b)")
RESOURCES = ResourceSpec(
    processes_per_node=2, cpu_cores_per_process=2, gpu_cores_per_process=1, memory=2**29 + 1
)
FULL = JobSpec(
    name="notebook",
    executable="python3",
    arguments=("-I", "-", "--host", "fqdn", "--", *SERVER),
    environment={"TOKEN": "topsecret"},
    stdout_path="/home/ada/x.log",
    resources=RESOURCES,
    duration=timedelta(hours=30),
    queue_name="batch",
    account="ml",
    reservation_id="class.1",
    prologue="module load python",
    epilogue="echo done",
    custom_attributes={"template.site": "lyon", "template.options": "-m n -r y"},
)
INI = """\
[script]
file = job.sh
directive = #B

[commands]
submit = submit
query = query {job_id}
cancel = cancel {job_id}

[patterns]
owner = ^owner=(\\S+)

[fields]
memory = {mebibytes}mb
runtime = {minutes}
gres = gpu:{gpus}
colour = blue
"""
SCRIPT = """\
#!/bin/sh
#B -n {name} -q {queue}/{partition} -A {account} -R {reservation}
#B -t {runtime} -c {nprocs} -m {memory} -g {ngpus} {gres}
#B -o {log} -v {keepvars} {options}
#B {site} {colour} {username} {homedir}
{prologue}
{cmd}
{epilogue}
"""
FILLED = """\
#!/bin/sh
#B -n notebook -q batch/batch -A ml -R class.1
#B -t 1800 -c 4 -m 513mb -g 2 gpu:2
#B -o /home/ada/x.log -v HOME,LANG,LOGNAME,PATH,SHELL,USER -m n -r y
#B lyon blue ada /home/ada
. /home/ada/j/environment || exit 1
module load python
/home/ada/j/batchspawner-singleuser jupyterhub-singleuser '--note=it'"'"'s "a $(b)'
echo done
"""


@pytest.fixture
def folder(empty_folder: Path) -> Path:
    """Return the folder of a site's own set."""
    (empty_folder / "dialect.ini").write_text(INI)
    (empty_folder / "job.sh").write_text(SCRIPT)
    return empty_folder


def render(template: Path | str, spec: JobSpec) -> str:
    scheduler = Template(template=str(template))
    scheduler.check_supported(spec)
    environment = "/home/ada/j/environment"
    return render_script(
        spec, scheduler, environment_file=environment, username="ada", homedir="/home/ada"
    )


def refusal(template: Path | str, spec: JobSpec) -> str:
    with pytest.raises(InvalidJobError) as caught:
        render(template, spec)
    return str(caught.value)


# -- the script -----------------------------------------------------------------------------------


def test_every_field(folder: Path) -> None:
    """The script expresses what a job asks for in the set's own words, and has no secret."""
    assert FILLED == render(folder, FULL)


def test_jinja_has_the_same_fields(folder: Path) -> None:
    """A Jinja script has the same fields, and can test whether a field is empty."""
    text = SCRIPT.replace("{", "{{").replace("}", "}}")
    (folder / "job.sh").write_text(text + "{% if not cluster %}echo ${HOME}{% endif %}\n")
    assert f"{FILLED}echo ${{HOME}}\n" == render(folder, FULL)


@pytest.mark.parametrize(
    ("attributes", "queue", "line"),
    [
        ({}, "", None),
        ({}, "batch", "#PBS -q batch"),
        ({"template.host": "srv"}, "batch", "#PBS -q batch@srv"),
        ({"template.host": "srv"}, "", "#PBS -q @srv"),
    ],
)
def test_no_half_directive(attributes: dict[str, Any], queue: str, line: str | None) -> None:
    """A directive whose fields are all empty is left out, and "@" before an empty field, too:
    TORQUE would refuse the job.
    """
    script = render("torque", JobSpec(queue_name=queue, custom_attributes=attributes))
    found = [one for one in script.splitlines() if one.startswith("#PBS -q")]
    assert ([line] if line else []) == found
    directives = [one for one in script.splitlines() if one.startswith("#PBS")]
    assert not any(re.search(r"=$|-\w$|PBS$", one.strip()) for one in directives)


@pytest.mark.parametrize("template", ["torque", "slurm"])
@pytest.mark.parametrize(
    "value", ["a b", "-l", "$(id)", "`id`", "a;id", "a'b", 'a"b', "{cmd}", "{{cmd}}", "é"]
)
def test_a_value_stays_one_word(template: str, value: str) -> None:
    """In either kind of template, no value becomes another option, shell text or a field."""
    assert refusal(template, JobSpec(queue_name=value)).startswith("queue_name: ")


@pytest.mark.parametrize("value", ["a b", "-l", "$(id)", "{cmd}"])
def test_a_custom_attribute_stays_one_word(folder: Path, value: str) -> None:
    """A custom attribute must be one word, except template.options; the error has its name."""
    spec = JobSpec(custom_attributes={"template.site": value})
    assert f"template.site: {value!r} can't be written into a template" in refusal(folder, spec)


def test_options_are_not_filled_in(folder: Path) -> None:
    """Braces in a value are written as they are, and not filled in."""
    spec = JobSpec(custom_attributes={"template.options": "{cmd} {x}", "template.site": "lyon"})
    assert "{cmd} {x}" in render(folder, spec)


def test_the_command_in_a_submit_description() -> None:
    """In a submit description, quotes are doubled for HTCondor, and "$(" begins no macro."""
    script = render(
        "htcondor", JobSpec(arguments=FULL.arguments, resources=ResourceSpec(memory=2**30))
    )
    quoted = r"""'--note=it'"'"'s "a $(b)'""".replace("'", "''").replace('"', '""')
    arguments = next(line for line in script.splitlines() if line.startswith("Arguments"))
    command = "/home/ada/j/batchspawner-singleuser jupyterhub-singleuser"
    quoted = quoted.replace("$", "$(DOLLAR)")
    assert f"Arguments = \"-c 'exec {command} {quoted}'\"" == arguments


# -- what can't be asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "spec", "expected"),
    [
        ("torque", JobSpec(account="ml"), "account: "),
        ("gridengine", JobSpec(queue_name="q"), "queue_name: "),
        ("lsf", JobSpec(resources=ResourceSpec(memory=2**30)), "memory: "),
        ("torque", JobSpec(resources=ResourceSpec(node_count=2)), "node_count: "),
        ("torque", JobSpec(name="mine"), "job_name: "),
        ("htcondor", JobSpec(prologue="true"), "prologue: "),
        ("torque", JobSpec(custom_attributes={"template.x": "1"}), "template.x: "),
        ("pbs", JobSpec(duration=timedelta(hours=1)), "memory: "),
    ],
)
def test_what_the_script_has_no_place_for(template: str, spec: JobSpec, expected: str) -> None:
    """What the script has no field for is refused with the setting's name and the script's path."""
    message = refusal(template, spec)
    assert expected in message
    assert f"legacy_templates/{template}/" in message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nprocs", "template.nprocs: use cpu_cores_per_process instead"),
        ("cmd", "template.cmd can't be set"),
    ],
)
def test_what_another_setting_expresses(name: str, expected: str) -> None:
    """A custom attribute can't replace another setting, or a field that unispawner sets."""
    assert expected in refusal("slurm", JobSpec(custom_attributes={f"template.{name}": "4"}))


def test_a_field_that_there_is_not(folder: Path) -> None:
    """The error for an unknown field has its line and the known fields."""
    (folder / "job.sh").write_text("#!/bin/sh\n#B -q {queu}\n{cmd}\n")
    message = refusal(folder, JobSpec())
    assert f"template: {folder}/job.sh: there is no field 'queu', in '#B -q {{queu}}'; " in message
    assert "the fields are account, cluster, cmd," in message


@pytest.mark.parametrize("text", ["#B -q {queue\n{cmd}\n", "{% if queue %}{{cmd}}\n"])
def test_a_brace_left_open(folder: Path, text: str) -> None:
    """An open brace is an error with the file's name."""
    (folder / "job.sh").write_text(text)
    assert f"template: {folder}/job.sh: " in refusal(folder, JobSpec())
