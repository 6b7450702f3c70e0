"""What a choice may set of the server itself, and texts that a user types for a choice."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from unispawner.errors import InvalidJobError
from unispawner.job import JobSpec
from unispawner.profiles.form import FormProfile, form_profiles
from unispawner.profiles.own_value import OwnValue
from unispawner.profiles.reading import Profile, read_profiles
from unispawner.profiles.schema import options_schema
from unispawner.schedulers import get_scheduler
from unispawner.script.rendering import render_environment, render_script

OWN: dict[str, Any] = {
    "display_name": "My own",
    "value": {"display_name": "Folder", "description": "of a venv", "example": "/home/alice/env"},
    "override": {
        "cmd": ["{value}/bin/jupyterhub-singleuser"],
        "prologue": "source {value}/bin/activate",
        "environment": {"VIRTUAL_ENV": "{value}"},
    },
}
PLAIN = {"display_name": "Python", "override": {"prologue": "module load python"}}
MENU: dict[str, Any] = {"choices": {"plain": PLAIN, "own": OWN}, "default": "plain"}
ENV = {"software": "own", "software_own": "/home/alice/my-env"}


def profile(menu: dict[str, Any] = MENU, **more: Any) -> Profile:
    (found,) = read_profiles([{"display_name": "A", "options": {"software": menu, **more}}])
    return found


def own(**changes: Any) -> dict[str, Any]:
    """Return the menu with other keys of the own choice."""
    return {**MENU, "choices": {"plain": PLAIN, "own": {**OWN, **changes}}}


def value(**changes: Any) -> dict[str, Any]:
    return own(value={**OWN["value"], **changes})


# -- what a choice sets of the server -------------------------------------------------------------


def menu(**override: Any) -> dict[str, Any]:
    return {"choices": {"a": {"display_name": "A", "override": override}}, "default": "a"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            {"cmd": ["code-server", "--bind-addr", "{port}"]},
            ["code-server", "--bind-addr", "{port}"],
        ),
        ({"cmd": "/opt/lab"}, ["/opt/lab"]),
        ({"cmd": ("a", "b c")}, ["a", "b c"]),
        ({"args": []}, []),
        ({"args": ["--debug"]}, ["--debug"]),
        ({"default_url": "/lab/tree/{username}"}, "/lab/tree/{username}"),
        ({"default_url": "{base_url}x"}, "{base_url}x"),
        ({"notebook_dir": "~/work"}, "~/work"),
        ({"environment": {"A": "b"}}, {"A": "b"}),
    ],
)
def test_a_choice_sets_the_server(override: dict[str, Any], expected: Any) -> None:
    """A choice sets command, arguments, first page, folder and variables of the server. A text
    counts as one word."""
    assert {next(iter(override)): expected} == profile(menu(**override)).check({}).fields


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"cmd": "lab --debug"}, r"cmd: 'lab --debug' must be a list with .*\['lab', '--debug'\]"),
        ({"args": "--a --b"}, "args: .* must be a list with each word by itself"),
        ({"cmd": []}, "must have at least the program's name"),
        ({"cmd": [""]}, "must have at least the program's name"),
        ({"cmd": ["a", 1]}, "must be a list of words"),
        ({"cmd": None}, "must be a list of words"),
        ({"args": ["a\nb"]}, "must have no control characters"),
        ({"default_url": "lab"}, "must begin with a slash"),
        ({"default_url": "/lab/{user"}, "expected '}' before end of string"),
        ({"notebook_dir": 7}, "must be text on one line"),
        ({"environment": {"A B": "x"}}, "'A B' is not the name of a variable"),
        ({"environment": "A=b"}, "must be a dictionary"),
        ({"directory": "/x"}, "can't be overridden"),
        ({"executable": "/x"}, "can't be overridden"),
        ({"arguments": ["x"]}, "can't be overridden"),
    ],
)
def test_what_a_choice_cannot_set(override: dict[str, Any], words: str) -> None:
    """What can't be right ends the Hub's start, and the message names the setting."""
    with pytest.raises(InvalidJobError, match=words):
        profile(menu(**override))


@pytest.mark.threat(
    who="user",
    tries="They send a command, arguments or variables for their server as an option.",
    stopped_by="Only choices of the administrator's set these; no option is named after them.",
)
@pytest.mark.parametrize("name", ["cmd", "args", "default_url", "notebook_dir", "environment"])
def test_no_user_types_the_command(name: str) -> None:
    """A setting of the server can't be an option that a user types."""
    with pytest.raises(InvalidJobError, match="needs an override"):
        profile(**{name: {}})
    with pytest.raises(InvalidJobError, match="unknown option"):
        profile().check({name: "x"})


# -- the user's own text --------------------------------------------------------------------------


def test_an_own_text() -> None:
    """The text of a choice is an option behind its menu, and stands in what the choice sets."""
    found = profile()
    assert ["software", "software_own"] == list(found.options)
    chosen = found.check(ENV)
    assert {
        "cmd": ["/home/alice/my-env/bin/jupyterhub-singleuser"],
        "prologue": "source '/home/alice/my-env'/bin/activate",
        "environment": {"VIRTUAL_ENV": "/home/alice/my-env"},
    } == chosen.fields
    assert {"profile": "a", **ENV} == chosen.user_options
    assert "software: My own, Folder: /home/alice/my-env" == chosen.in_words()
    assert "/home/alice/my-env" == chosen.texts()["software_own"][1]
    assert {"prologue": "module load python"} == found.check({}).fields
    assert {} == found.check({}).texts()


def test_only_its_place_is_quoted() -> None:
    """In commands the text is quoted; in words, variables and folders it stands as it is; in a URL
    it is encoded."""
    override = {
        "prologue": 'load "{value}"',
        "epilogue": "unload {value}",
        "args": ["--x={value}", "{value}"],
        "notebook_dir": "/data{value}",
        "default_url": "/voila/render{value}",
        "environment": {"A": "{value}:{value}", "B": "b"},
        "cpu_cores_per_process": 2,
    }
    menu = own(override=override, value={**OWN["value"], "pattern": "/.*"})
    assert {
        "prologue": 'load "/a b\\"c"',
        "epilogue": "unload '/a b\"c'",
        "args": ['--x=/a b"c', '/a b"c'],
        "notebook_dir": '/data/a b"c',
        "default_url": "/voila/render/a%20b%22c",
        "environment": {"A": '/a b"c:/a b"c', "B": "b"},
        "resources": {"cpu_cores_per_process": 2},
    } == profile(menu).check({"software": "own", "software_own": '/a b"c'}).fields


BAD = [
    ("relative", "must be an absolute path"),
    ("~/env", "must be an absolute path"),
    ("/home/alice/../bob", "must have no '..'"),
    ("/..", "must have no '..'"),
    ("/a b", "must be a path of letters"),
    ("/a'b", "must be a path of letters"),
    ('/a"b', "must be a path of letters"),
    ("/a$(id)", "must be a path of letters"),
    ("/a;id", "must be a path of letters"),
    ("/ä", "must be a path of letters"),
    ("/{value}", "must have no braces"),
    ("/a\nb", "must be text on one line"),
    ("/a\0", "must be text on one line"),
    ("/a\u2028", "must be text on one line"),
    ("/a\ud800", "must be text on one line"),
    ("/" + 255 * "a", "must have at most 255 characters"),
    (["/a"], "must be text on one line"),
    (7, "must be text on one line"),
    (None, "must be text on one line"),
    ("", "must be text on one line"),
]


@pytest.mark.threat(
    who="user",
    tries="They type a path with quotes, line breaks, braces, '..' or without end.",
    stopped_by="The Hub compares the text with the administrator's pattern, and refuses control "
    "characters, braces and '..' whatever the pattern is.",
)
@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_wrong_text(text: Any, words: str) -> None:
    """A wrong text is refused, and the message names the field and the rule."""
    with pytest.raises(InvalidJobError, match=rf"^software_own: .*{re.escape(words)}"):
        profile().check({**ENV, "software_own": text})


@pytest.mark.parametrize("text", ["/a\nb", "/a{b", "/a}b", "/a/../b", "/a\x85b", "/a\u2029b"])
def test_a_pattern_for_everything(text: str) -> None:
    """Control characters, braces and ".." are refused whatever the pattern is; blanks and quotes
    are not."""
    everything = profile(value(pattern="(?s:.*)"))
    with pytest.raises(InvalidJobError):
        everything.check({**ENV, "software_own": text})
    everything.check({**ENV, "software_own": '/it\'s "a" $(b)'})


@given(st.text(max_size=60))
def test_what_passes_is_one_word(text: str) -> None:
    """Any text that passes a pattern stands unchanged in each word, variable and folder."""
    found = OwnValue(example="x", pattern="(?s:.*)", kind="text")
    if not found.find_error(text):
        override = {"cmd": ["{value}", "a{value}"], "environment": {"A": "{value}"}}
        filled = found.fill({**override, "notebook_dir": "/x/{value}"}, text)
        assert [text, f"a{text}"] == filled["cmd"]
        assert ({"A": text}, f"/x/{text}") == (filled["environment"], filled["notebook_dir"])
        assert filled["notebook_dir"] == filled["notebook_dir"].format(username="x")


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
@example('it\'s "a" $(id) `id` \\ ; & | * ~ #')
def test_a_job_gets_one_word(text: str) -> None:
    """In the script of a job, and in the file of its variables, any text that passes the pattern is
    one word of the command and the whole value of the variable, as a real bash reads them."""
    override = {"cmd": ["{value}", "x{value}"], "environment": {"A": "{value}"}}
    found = OwnValue(example="x", pattern="(?s:.*)", kind="text")
    if found.find_error(text):
        return
    filled = found.fill({**override, "prologue": 'B={value} C="{value}"'}, text)
    spec = JobSpec(
        executable="bash",
        arguments=("-c", 'printf "%s\\0" "$A" "$B" "$C" "$@"', "-", *filled["cmd"]),
        prologue=f"{filled['prologue']}; export B C",
    )
    variables = render_environment(filled["environment"])
    script = render_script(spec, get_scheduler("local"), shell="/bin/bash")
    done = subprocess.run(["bash"], input=f"{variables}{script}", capture_output=True, text=True)
    assert [text, text, text, text, f"x{text}", ""] == done.stdout.split("\0")


def test_a_text_that_is_missing() -> None:
    """Without its text the choice is refused, and without the choice the text is."""
    with pytest.raises(InvalidJobError, match="software_own: it is empty; type a text like /home"):
        profile().check({"software": "own"})
    with pytest.raises(InvalidJobError, match="software_own: can only be set if software is own"):
        profile().check({"software_own": "/a"})


def test_a_text_of_another_kind() -> None:
    """A text that is not a path must follow the rule for names, if the profile has no pattern."""
    modules = profile(value(kind="text", example="python/3.12", pattern="[a-z]+/[0-9.]+"))
    assert "x/1" == modules.check({**ENV, "software_own": "x/1"}).values["software_own"]
    names = profile(value(kind="text", example="python"))
    with pytest.raises(InvalidJobError, match="letters, digits and"):
        names.check({**ENV, "software_own": "-x"})


def test_an_option_with_a_text() -> None:
    """An option of its own may have a text, too; without it nothing is set."""
    found = profile(
        module={"value": {"example": "R", "kind": "text"}, "override": {"args": "{value}"}}
    )
    assert ["R4"] == found.check({"module": "R4"}).fields["args"]
    assert "args" not in found.check({}).fields
    assert {"profile": "a", "module": "R"} in list(found.variants())


@pytest.mark.parametrize(
    ("menu", "words"),
    [
        (own(override={"prologue": "x"}), "the override does not contain it"),
        (own(override={"queue_name": "{value}"}), "queue_name: {value} can only stand in"),
        (
            own(override={"custom_attributes": {"slurm.x": "{value}"}}),
            "custom_attributes: {value} can only stand in prologue, epilogue, cmd, args",
        ),
        (own(override={"prologue": "eval {value}"}), "prologue: {value} can't stand in commands"),
        (own(override={"epilogue": "echo '{value}"}), "epilogue: {value} can't stand"),
        (value(example="relative"), "example: 'relative' must be an absolute path"),
        (value(pattern="/scratch/.*"), "example: '/home/alice/env' must match /scratch"),
        (value(pattern="("), "pattern: '(':"),
        (value(pattern="/([a-z]+)+-"), "takes very long"),
        (value(kind="pipe"), "kind: Input should be"),
        (value(kind="text", example="a", owners=["x"]), "owners, groups: only the path"),
        (value(paths="x"), "value: unknown key 'paths'; known keys: description, display_name"),
        (own(value={}), "example: this key is required"),
        ({**MENU, "default": "own"}, "'own' needs a text of the user's"),
    ],
)
def test_a_wrong_definition(menu: dict[str, Any], words: str) -> None:
    """A definition that can't be right ends the Hub's start, and the message says where."""
    with pytest.raises(InvalidJobError, match=re.escape(words)):
        profile(menu)


def test_a_name_that_is_taken() -> None:
    """The option for a text can't have the name of another option."""
    with pytest.raises(InvalidJobError, match="would be the option 'software_own'"):
        profile(software_own={"choices": {"a": PLAIN}})


def test_the_start_tries_the_example() -> None:
    """The check when the Hub starts tries each choice, with the example for a text."""
    tried = list(profile().variants())
    assert {"profile": "a", "software": "own", "software_own": "/home/alice/env"} in tried
    for one in tried:
        profile().check(one)


def test_the_schema() -> None:
    """The schema allows what the Hub accepts of a text, and asks for the text where it is
    needed."""
    schema = Draft202012Validator(options_schema([profile()]))
    for options in ({}, {"software": "plain"}, ENV):
        assert schema.is_valid({"profile": "a", **options})
    wrong: list[Any] = [one for one, _ in BAD if one not in ("/..", "/home/alice/../bob")]
    for options in [{"software": "own"}, {"software_own": "/a"}] + [
        {**ENV, "software_own": one} for one in wrong
    ]:
        assert not schema.is_valid({"profile": "a", **options})
    (of_profile,) = options_schema([profile()])["oneOf"]
    field = of_profile["properties"]["software_own"]
    assert ("directory", ["/home/alice/env"]) == (field["x-kind"], field["examples"])
    json.dumps(of_profile)


def test_a_choice_of_a_number() -> None:
    """A choice of a field of the job may need a text as well: the field is set, and the text is
    asked for."""
    menu = {"choices": {"1": "One", "2": {**OWN, "display_name": "Two"}}}
    found = profile(gpu_cores_per_process=menu)
    choice = {"profile": "a", "gpu_cores_per_process": 2}
    with pytest.raises(InvalidJobError, match="gpu_cores_per_process_2: it is empty"):
        found.check(choice)
    fields = found.check({**choice, "gpu_cores_per_process_2": "/a"}).fields
    assert ({"gpu_cores_per_process": 2}, ["/a/bin/jupyterhub-singleuser"]) == (
        fields["resources"],
        fields["cmd"],
    )
    schema = Draft202012Validator(options_schema([found]))
    assert not schema.is_valid(choice)
    assert schema.is_valid({**choice, "gpu_cores_per_process_2": "/a"})


# -- the form -------------------------------------------------------------------------------------


def shown(typed: dict[str, Any], wrong: dict[str, str] | None = None) -> FormProfile:
    return form_profiles([profile()], {}, typed=typed, wrong=wrong)[0]


def test_the_form_shows_the_field() -> None:
    """The field belongs to its choice, and shows what is wrong with what was typed."""
    typed = {"profile": ["a"], "a--software": ["own"], "a--software_own": ["/a b"]}
    field = shown(typed).fields[1]
    assert ("a--software_own", "/a b") == (field.name, field.value)
    assert {"a--software": ["own"]} == field.when
    assert "must be a path of letters" in field.error
    empty = {**typed, "a--software_own": [""]}
    assert "it is empty" in shown(empty).fields[1].error
    right = {**typed, "a--software_own": ["/a"]}
    assert "" == shown(right).fields[1].error
    assert "no" == shown(right, {"software_own": "no"}).fields[1].error


def test_a_field_that_does_not_apply() -> None:
    """Without JavaScript a form sends the text of another choice, too: it is left out."""
    fields = {"software": ["plain"], "software_own": ["/a b"]}
    assert {"profile": "a", "software": "plain"} == profile().check_form(fields).user_options
