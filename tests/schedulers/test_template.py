"""A set of templates as a scheduler: its script filled in, and what can't be asked for."""

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
    """A set of a site's own."""
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
    """What a job asks for is in the words of the set; secrets are not in it."""
    assert FILLED == render(folder, FULL)


def test_jinja_has_the_same_fields(folder: Path) -> None:
    """A script of Jinja's is filled in alike, and can ask whether a field is empty."""
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
    """A directive whose fields are all empty is left out, and "@" goes with an empty field:
    TORQUE refuses the job otherwise."""
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
    """None becomes another option, shell text or a field, in either kind of template."""
    assert refusal(template, JobSpec(queue_name=value)).startswith("queue_name: ")


@pytest.mark.parametrize("value", ["a b", "-l", "$(id)", "{cmd}"])
def test_a_custom_attribute_stays_one_word(folder: Path, value: str) -> None:
    """And the setting's name is told; only options may be several words."""
    spec = JobSpec(custom_attributes={"template.site": value})
    assert f"template.site: {value!r} can't be written into a template" in refusal(folder, spec)


def test_options_are_not_filled_in(folder: Path) -> None:
    """Braces in a value are braces: what is written into a template is none itself."""
    spec = JobSpec(custom_attributes={"template.options": "{cmd} {x}", "template.site": "lyon"})
    assert "{cmd} {x}" in render(folder, spec)


def test_the_command_in_a_submit_description() -> None:
    """HTCondor's quotes are doubled, and "$(" begins no macro of its own."""
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
    ("template", "spec", "told"),
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
def test_what_the_script_has_no_place_for(template: str, spec: JobSpec, told: str) -> None:
    """It is refused with the setting's name and the script's path; nothing is dropped."""
    said = refusal(template, spec)
    assert told in said
    assert f"legacy_templates/{template}/" in said


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nprocs", "template.nprocs: use cpu_cores_per_process instead"),
        ("cmd", "template.cmd can't be set"),
    ],
)
def test_what_is_said_elsewhere(name: str, told: str) -> None:
    """An attribute takes no other setting's place, and never that of what is ours."""
    assert told in refusal("slurm", JobSpec(custom_attributes={f"template.{name}": "4"}))


def test_a_field_that_there_is_not(folder: Path) -> None:
    """A misspelt field is told with its line, and with the fields there are."""
    (folder / "job.sh").write_text("#!/bin/sh\n#B -q {queu}\n{cmd}\n")
    said = refusal(folder, JobSpec())
    assert f"template: {folder}/job.sh: there is no field 'queu', in '#B -q {{queu}}'; " in said
    assert "the fields are account, cluster, cmd," in said


@pytest.mark.parametrize("text", ["#B -q {queue\n{cmd}\n", "{% if queue %}{{cmd}}\n"])
def test_a_brace_left_open(folder: Path, text: str) -> None:
    """No template at all is an error with the file's name, not a traceback."""
    (folder / "job.sh").write_text(text)
    assert f"template: {folder}/job.sh: " in refusal(folder, JobSpec())
