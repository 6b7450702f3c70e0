"""Options as directives and ``req_options`` hold them, for each scheduler."""

from __future__ import annotations

import pytest

from unispawner.admin.migrate.old_config import SCHEDULERS
from unispawner.admin.migrate.options import (
    FIELDS,
    KINDS,
    Option,
    find_fields,
    parse_options,
    write_attributes,
    write_option,
)


@pytest.mark.parametrize(
    ("scheduler", "text", "options"),
    [
        ("slurm", "", []),
        ("slurm", "--exclusive --nice=-5", [("exclusive", True), ("nice", "-5")]),
        ("slurm", "--partition debug -n1 -N 2", [("partition", "debug"), ("n", "1"), ("N", "2")]),
        ("slurm", "--nice -5", [("nice", "-5")]),
        ("slurm", "-C 'a|b' # why", [("C", "a|b")]),
        ("slurm", "--export=A=b,C", [("export", "A=b,C")]),
        ("torque", "-l nodes=1:ppn=2,mem=4gb -V", [("l", "nodes=1:ppn=2,mem=4gb"), ("V", True)]),
        ("pbs", "-W group_list=x -mabe", [("W", "group_list=x"), ("m", "abe")]),
        ("gridengine", "-pe smp 4 -cwd", [("pe", "smp 4"), ("cwd", True)]),
        ("gridengine", "-p -100", [("p", "-100")]),
        ("lsf", '-R "span[hosts=1] order[ut]" -x', [("R", "span[hosts=1] order[ut]"), ("x", True)]),
        (
            "htcondor",
            '\n# why\n+Site = "x = y"\nRequest_CPUs=2\n\nqueue 1\n',
            [("+Site", '"x = y"'), ("request_cpus", "2"), ("queue", True)],
        ),
    ],
)  # fmt: skip
def test_options_are_read(scheduler: str, text: str, options: list[Option]) -> None:
    """Each option has its name without dashes, and its value or True."""
    assert options == parse_options(text, scheduler)


@pytest.mark.parametrize(
    ("scheduler", "text", "words"),
    [
        ("slurm", "exclusive", "'exclusive' is not an option"),
        ("slurm", "--mem=4G extra", "'extra' is not an option"),
        ("slurm", "--", "'--' is not an option"),
        ("slurm", "--comment='open", "No closing quotation"),
        ("torque", "-l mem=1gb; rm", "'rm' is not an option"),
        ("gridengine", "smp 4", "'smp' is not an option"),
        ("htcondor", "+Site", "'\\+Site' is not a command of a submit description"),
        ("htcondor", "queue 10", "'queue 10' is not a command"),
        ("htcondor", "if x\ny = 1", "'if x' is not a command"),
    ],
)
def test_other_text_is_refused(scheduler: str, text: str, words: str) -> None:
    """The error names the word or the line."""
    with pytest.raises(ValueError, match=words):
        parse_options(text, scheduler)


@pytest.mark.parametrize(
    ("scheduler", "option", "text"),
    [
        ("slurm", ("mem", "4G"), "--mem=4G"),
        ("slurm", ("exclusive", True), "--exclusive"),
        ("slurm", ("A", "proj"), "-A proj"),
        ("pbs", ("V", True), "-V"),
        ("gridengine", ("pe", "smp 4"), "-pe smp 4"),
        ("htcondor", ("request_cpus", "2"), "request_cpus = 2"),
    ],
)
def test_options_are_shown_as_a_person_writes_them(
    scheduler: str, option: Option, text: str
) -> None:
    """The text can be read back."""
    assert text == write_option(option, scheduler)
    assert [option] == parse_options(text, scheduler)


@pytest.mark.parametrize(
    ("options", "attributes"),
    [
        ([("qos", "high")], {"slurm.qos": "high"}),
        ([("exclusive", True)], {"slurm.exclusive": True}),
        ([("x", "1"), ("y", "2"), ("x", "3")], {"slurm.x": ["1", "3"], "slurm.y": "2"}),
        ([("exclusive", True), ("exclusive", "user")], {"slurm.exclusive": "user"}),
    ],
)
def test_options_as_attributes(options: list[Option], attributes: dict[str, object]) -> None:
    """A repeated option is a list; of a flag and a value, the last counts as for sbatch."""
    assert attributes == write_attributes(options, "slurm")


@pytest.mark.parametrize(
    ("scheduler", "option", "fields"),
    [
        ("slurm", ("t", "60"), {"runtime"}),
        ("slurm", ("mem-per-cpu", "1G"), {"memory"}),
        ("slurm", ("gpus", "1"), {"ngpus"}),
        ("slurm", ("nice", "5"), set()),
        ("gridengine", ("l", "h_rt=60, mem_free=4G,arch=x"), {"runtime", "memory"}),
        ("gridengine", ("pe", "smp 4"), {"nprocs"}),
        ("htcondor", ("accounting_group", "x"), {"account"}),
        ("torque", ("l", "mem=1gb"), set()),
    ],
)
def test_fields_that_an_option_is_about(scheduler: str, option: Option, fields: set[str]) -> None:
    """A field that batchspawner ignores must not override an option that asks for the same."""
    assert fields == find_fields(option, scheduler)


@pytest.mark.parametrize("table", [FIELDS, KINDS], ids=["fields", "kinds"])
def test_schedulers_of_the_tables(table: dict[str, object]) -> None:
    """The tables cover each scheduler that batchspawner has a class for."""
    assert {*SCHEDULERS.values()} == {*table}
