"""Promise 5 for the legacy classes: what a user's options may put into a script."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from jupyterhub.spawner import Spawner
from support.batch_dummy import Dummy, soon
from traitlets import Unicode

from unispawner.errors import InvalidJobError
from unispawner.legacy.options import check_plain, fields_from_options, quote, read_form

FORM = """
<label>Cores <input name="nprocs" type="number" value="4"></label>
<select name="queue"><option value="long; really">long</option></select>
<textarea name="notes"></textarea><input type=file name=upload>
<button name="go" value="now">Go</button><input value="no name">
"""


class Site(Dummy):
    """A site whose script names what its form offers, and more."""

    batch_script = Unicode(
        "{cmd}|{nprocs}|{queue}|{memory}|{username}|{homedir}|{prologue}|{extra}"
    )
    scripts: list[str]

    async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
        if input:
            self.scripts.append(input)
        return str(await super().run_command(cmd, input, env))


async def script_of(new_spawner: Any, options: dict[str, Any], **settings: Any) -> dict[str, str]:
    spawner = new_spawner(Site, **{"options_form": FORM, "req_memory": "4gb", **settings})
    spawner.scripts = []
    spawner.user_options = {"extra": "", **options}
    await soon(spawner.start())
    names = ("cmd", "nprocs", "queue", "memory", "username", "homedir", "prologue", "extra")
    return dict(zip(names, spawner.scripts[0].split("|"), strict=True))


async def test_what_the_form_offers_is_put_in(new_spawner: Any) -> None:
    """A field of the form replaces the trait of its name; one that no trait has is known, too."""
    script = await script_of(new_spawner, {"nprocs": 8, "queue": ["short"], "extra": "x-1"})
    assert ("8", "short", "x-1") == (script["nprocs"], script["queue"], script["extra"])


@pytest.mark.parametrize("name", ["cmd", "username", "homedir", "memory", "prologue"])
async def test_what_no_form_offers_is_passed_over(
    new_spawner: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A hand-written request sets nothing else; the log names it and the setting that would."""
    before = await script_of(new_spawner, {})
    assert before == await script_of(new_spawner, {name: "evil"})


@pytest.mark.parametrize("name", ["cmd", "username", "homedir"])
async def test_what_no_form_may_offer(new_spawner: Any, name: str) -> None:
    """Neither a form nor a setting gives away whose job it is and what it runs."""
    form = f'<input name="{name}">'
    settings = {"options_form": form, "user_option_keys": [name]}
    before = await script_of(new_spawner, {}, **settings)
    assert before == await script_of(new_spawner, {name: "evil"}, **settings)


async def test_user_option_keys(new_spawner: Any) -> None:
    """For fields that the form's HTML does not show: made by a script in the page, say."""
    script = await script_of(new_spawner, {"memory": "8gb"}, user_option_keys=["memory"])
    assert "8gb" == script["memory"]


@pytest.mark.parametrize(
    "value",
    ["$(id)", "a b", "a;b", "`id`", "a'b", '"', "{cmd}", "{{cmd}}", "#PBS -q x", "*", "a\\"],
)
async def test_a_value_stands_for_itself(new_spawner: Any, value: str) -> None:
    """Whatever a shell could make of it, it is one word, and that word."""
    script = await script_of(new_spawner, {"extra": value, "nprocs": value})
    assert [value] == shlex.split(script["extra"])
    assert [value] == shlex.split(script["nprocs"])


@pytest.mark.parametrize(
    "value", ["4\n#PBS -q secret", "a\rb", "a\x00b", "a\u2028b", "\x1b[2J", "\ud800"]
)
async def test_control_characters_are_refused(new_spawner: Any, value: str) -> None:
    """A line break would begin a directive or a command of its own: 400, with the field's name."""
    with pytest.raises(RuntimeError, match="nprocs: .* has a control character") as raised:
        await script_of(new_spawner, {"nprocs": value})
    assert 400 == raised.value.status_code  # type: ignore[attr-defined]


async def test_lists_and_objects(new_spawner: Any) -> None:
    """Where one value is needed, more are an error; elsewhere they are a site's own business."""
    with pytest.raises(RuntimeError, match="nprocs: .* must be a single text or number"):
        await script_of(new_spawner, {"nprocs": ["1", "2"]})
    script = await script_of(new_spawner, {"environment": {"a": "b"}, "nprocs": None})
    assert "" == script["nprocs"]


async def test_the_form_is_filtered_before_the_sites_code(new_spawner: Any) -> None:
    """A site's options_from_form that takes whatever comes gets what its form has; what it makes of
    that may then be set."""
    got: list[dict[str, Any]] = []

    def options_from_form(form: dict[str, list[str]]) -> dict[str, Any]:
        got.append(form)
        return {"memory": f"{int(form['nprocs'][0]) * 2}gb", **{k: v[0] for k, v in form.items()}}

    spawner = new_spawner(Site, options_form=FORM, options_from_form=options_from_form)
    spawner.scripts = []
    form_data = {"nprocs": ["4"], "cmd": ["evil"], "prologue": ["evil"]}
    spawner.user_options = {"extra": "", **await spawner.run_options_from_form(form_data)}
    assert [{"nprocs": ["4"]}] == got
    await soon(spawner.start())
    assert "|4||8gb|" in spawner.scripts[0]
    assert "evil" not in spawner.scripts[0]


async def test_a_form_whose_code_sets_traits(new_spawner: Any) -> None:
    """Then what was typed must be plain; what the form itself gives as a value may be anything."""

    class Setting(Site):
        def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
            self.req_queue = form["queue"][0]
            self.req_prologue = f"module load {form['notes'][0]}"
            return {}

    spawner = new_spawner(Setting, options_form=FORM)
    with pytest.raises(InvalidJobError, match="notes: .* may have only letters"):
        await spawner.run_options_from_form({"queue": ["long; really"], "notes": ["x; rm -rf ~"]})
    assert ("", "") == (spawner.req_queue, spawner.req_prologue)  # for the next start of it
    await spawner.run_options_from_form({"queue": ["long; really"], "notes": ["python/3.11"]})
    assert "module load python/3.11" == spawner.req_prologue


async def test_a_link_is_taken_as_a_form(new_spawner: Any) -> None:
    """/hub/spawn?opt-notes=… starts a server at once, for whoever can be made to follow it."""
    got: list[Any] = []

    class Setting(Site):
        def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
            got.append(form)
            self.req_prologue = f"module load {form['notes'][0]}"
            return form

    spawner = new_spawner(Setting, options_form=FORM)
    with pytest.raises(InvalidJobError, match="notes: .* may have only letters"):
        await spawner.options_from_query({"notes": ["x; rm -rf ~"]})
    assert "" == spawner.req_prologue
    link = {"opt-notes": ["python/3.11"], "opt-cmd": ["evil"]}
    assert {"notes": ["python/3.11"]} == await spawner.options_from_query(link)
    assert "module load python/3.11" == spawner.req_prologue
    assert "cmd" not in got[-1]


async def test_options_that_set_traits(new_spawner: Any) -> None:
    """JupyterHub 5.3 sets traits from what came by the REST API, and the Hub's own shell reads the
    commands in which these are: nothing of it gets there that is more than text."""
    if not hasattr(Spawner, "_run_apply_user_options"):
        pytest.skip("JupyterHub is older")
    spawner = new_spawner(
        batch_submit_cmd="cat > /dev/null; : {queue}; echo 12345",
        apply_user_options={"queue": "req_queue"},
    )
    for value in ("$(touch evil)", "--wrap=evil", "a --wrap=evil"):
        with pytest.raises(RuntimeError, match="queue: .* may have only letters") as raised:
            await spawner._run_apply_user_options({"queue": value})
        assert 400 == raised.value.status_code  # type: ignore[attr-defined]
        assert "" == spawner.req_queue
    await spawner._run_apply_user_options({"queue": "my project", "notes": ""})
    assert "my project" == spawner.req_queue
    await soon(spawner.start())


async def test_what_another_form_offers(new_spawner: Any) -> None:
    """That somebody was offered it, in another profile or for being somebody else, offers it to
    nobody more."""
    form = '<input name="queue">'
    spawner = new_spawner(Site, options_form=form)
    await spawner.run_options_from_form({"queue": ["large"]})
    before = await script_of(new_spawner, {}, options_form="")
    assert before == await script_of(new_spawner, {"queue": "large"}, options_form="")


async def test_a_form_that_is_a_function(new_spawner: Any) -> None:
    """As JupyterHub allows, async or not."""

    async def form(spawner: Any) -> str:
        return FORM

    script = await script_of(new_spawner, {"nprocs": "3"}, options_form=form)
    assert "3" == script["nprocs"]


def test_reading_a_form() -> None:
    """Every kind of field, with what it gives by itself."""
    form = read_form(FORM)
    assert {"nprocs", "queue", "notes", "upload", "upload_file", "go"} == form.names
    assert {"4", "long; really", "now", "no name"} == form.values


def test_quoting_leaves_plain_values_alone() -> None:
    """Scripts with '"{image}"' in quotes of their own go on to work."""
    for text in ("4", "4gb", "08:00:00", "a100:1", "/opt/x.sif", "user@host", ""):
        assert text == quote("x", text)


def test_fields_without_options() -> None:
    """Nothing comes of nothing."""
    assert ({}, []) == fields_from_options({}, {"queue"}, set())


def test_plain_text_may_have_spaces() -> None:
    """As names of projects have."""
    check_plain({"a": ["my project (x)"[:10], "ä b-c"], "b": 3}, read_form(""))


@pytest.mark.parametrize("value", ["-x", "a -x", {"a": ["b", {"c": "$d"}]}, {"$d": 1}])
def test_text_that_is_not_plain(value: Any) -> None:
    """A word that could be an option; and whatever is deep inside of what a REST body can hold."""
    with pytest.raises(InvalidJobError, match="a: .* may have only letters"):
        check_plain({"a": value}, read_form(""))
