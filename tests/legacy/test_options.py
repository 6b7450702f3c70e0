"""Promise 5 for the legacy classes: what a user's options may put into a script."""

from __future__ import annotations

import json
import shlex
from base64 import b64decode
from typing import Any
from urllib.parse import unquote

import pytest
from support.batch_dummy import Dummy, soon
from traitlets import Unicode

from unispawner import SlurmSpawner
from unispawner.errors import InvalidJobError
from unispawner.legacy.options import InCommand, fields_from_options, quote
from unispawner.web.typed_form import check_plain, read_form

FORM = """
<label>Cores <input name="nprocs" type="number" value="4"></label>
<select name="queue"><option value="long; really">long</option></select>
<textarea name="notes"></textarea><input type=file name=upload>
<button name="go" value="now">Go</button><input value="no name">
"""


class Site(Dummy):
    """A site's class whose script names the fields of its form, and others."""

    batch_script = Unicode(
        "{cmd}|{nprocs}|{queue}|{memory}|{username}|{homedir}|{prologue}|{extra}"
    )
    scripts: list[str]

    async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
        if input:
            self.scripts.append(input)
        return str(await super().run_command(cmd, input, env))


async def make_script(new_spawner: Any, options: dict[str, Any], **settings: Any) -> dict[str, str]:
    spawner = new_spawner(Site, **{"options_form": FORM, "req_memory": "4gb", **settings})
    spawner.scripts = []
    spawner.log.propagate = True  # for caplog
    spawner.user_options = {"extra": "", **options}
    await soon(spawner.start())
    names = ("cmd", "nprocs", "queue", "memory", "username", "homedir", "prologue", "extra")
    return dict(zip(names, spawner.scripts[0].split("|"), strict=True))


async def test_what_the_form_offers_is_put_in(new_spawner: Any) -> None:
    """A field of the form replaces the trait of the same name; a field without a trait is filled
    in, too."""
    script = await make_script(new_spawner, {"nprocs": 8, "queue": ["short"], "extra": "x-1"})
    assert ("8", "short", "x-1") == (script["nprocs"], script["queue"], script["extra"])


@pytest.mark.threat(
    who="user",
    tries="They send an option that the form does not offer, or that names a setting.",
    stopped_by="Only fields of the form, and names that the configuration allows, are accepted.",
)
@pytest.mark.parametrize("name", ["memory", "prologue"])
async def test_what_no_form_offers_is_refused(new_spawner: Any, name: str) -> None:
    """An option that the form does not offer is refused with status 400; the error names it, its
    value and the setting that allows it."""
    with pytest.raises(RuntimeError, match=f"{name}: 'evil' .*user_option_keys") as raised:
        await make_script(new_spawner, {name: "evil"})
    assert 400 == raised.value.status_code  # type: ignore[attr-defined] # a BatchFailure's


@pytest.mark.threat(
    who="user",
    tries="They choose the command or the account of their job.",
    stopped_by="No form and no setting lets a user choose these.",
)
@pytest.mark.parametrize("name", ["cmd", "username", "homedir"])
async def test_what_no_form_may_offer(new_spawner: Any, name: str) -> None:
    """Neither a form nor a setting lets a user choose the command or the account."""
    form = f'<input name="{name}">'
    for settings in ({}, {"options_form": form, "user_option_keys": [name]}):
        with pytest.raises(RuntimeError, match=f"{name}: no user can set this") as raised:
            await make_script(new_spawner, {name: "evil"}, **settings)
        assert 400 == raised.value.status_code  # type: ignore[attr-defined] # a BatchFailure's


async def test_user_option_keys(new_spawner: Any) -> None:
    """user_option_keys allows options without a field in the form's HTML, such as those of a script
    in the page."""
    script = await make_script(new_spawner, {"memory": "8gb"}, user_option_keys=["memory"])
    assert "8gb" == script["memory"]


@pytest.mark.threat(
    who="user",
    tries="They send a legacy class an option with shell or template syntax.",
    stopped_by="Each text of theirs is one quoted word in the script, or is refused.",
)
@pytest.mark.parametrize(
    "value",
    ["$(id)", "a b", "a;b", "`id`", "a'b", '"', "{cmd}", "{{cmd}}", "#PBS -q x", "*", "a\\"],
)
async def test_a_value_is_one_quoted_word(new_spawner: Any, value: str) -> None:
    """A value with shell or template syntax is one quoted word in the script."""
    script = await make_script(new_spawner, {"extra": value, "nprocs": value})
    assert [value] == shlex.split(script["extra"])
    assert [value] == shlex.split(script["nprocs"])


@pytest.mark.threat(
    who="user",
    tries="They send an option with a line break, which would begin a directive or a command.",
    stopped_by="Control characters are refused; line breaks are accepted in a textarea only.",
)
@pytest.mark.parametrize(
    "value", ["4\n#PBS -q secret", "a\rb", "a\x00b", "a\u2028b", "\x1b[2J", "\ud800"]
)
async def test_control_characters_are_refused(new_spawner: Any, value: str) -> None:
    """A value with a control character is refused with status 400 and the field's name: a line
    break would begin a directive or a command."""
    with pytest.raises(RuntimeError, match="nprocs: .* has a control character") as raised:
        await make_script(new_spawner, {"nprocs": value})
    assert 400 == raised.value.status_code  # type: ignore[attr-defined] # a BatchFailure's


async def test_lists_and_objects(new_spawner: Any) -> None:
    """Several values are an error where the script needs a single value; options that no template
    uses may be lists and objects."""
    with pytest.raises(RuntimeError, match="nprocs: .* must be a single text or number"):
        await make_script(new_spawner, {"nprocs": ["1", "2"]})
    script = await make_script(new_spawner, {"environment": {"a": "b"}, "nprocs": None})
    assert "" == script["nprocs"]


async def test_the_form_is_checked_before_the_sites_code(new_spawner: Any) -> None:
    """A site's options_from_form gets only the fields of its form; the options that it makes of
    them are accepted. A field that the form does not have is refused by its name."""
    got: list[dict[str, Any]] = []

    def options_from_form(form: dict[str, list[str]]) -> dict[str, Any]:
        got.append(form)
        return {
            "memory": f"{int(form['nprocs'][0]) * 2}gb",
            "nprocs": form["nprocs"][0],
            "extra": "",
        }

    spawner = new_spawner(Site, options_form=FORM, options_from_form=options_from_form)
    spawner.scripts = []
    for name in ("cmd", "prologue"):
        with pytest.raises(InvalidJobError, match=f"{name}: the form has no such field.*_keys"):
            await spawner.run_options_from_form({"nprocs": ["4"], name: ["evil"]})
    assert not got
    spawner.user_options = await spawner.run_options_from_form({"nprocs": ["4"]})
    assert [{"nprocs": ["4"]}] == got
    await soon(spawner.start())
    assert "|4||8gb|" in spawner.scripts[0]


class Setting(Site):
    """A site's class whose code sets traits."""

    batch_submit_cmd = Unicode("cat > /dev/null; : {queue}; echo 12345")

    def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
        self.req_queue = form["queue"][0]
        self.req_prologue = f"module load {form['notes'][0]}"
        return {"extra": ""}


async def test_a_form_whose_code_sets_traits(new_spawner: Any) -> None:
    """What a site's options_from_form makes of typed text goes into the script as it is. A value
    that no browser sends is refused before that."""
    spawner = new_spawner(Setting, options_form=FORM)
    spawner.scripts = []
    with pytest.raises(InvalidJobError, match="queue: .* is not a choice of the form"):
        await spawner.run_options_from_form({"queue": ["other"], "notes": ["x"]})
    assert ("", "") == (spawner.req_queue, spawner.req_prologue)  # for the next start of it
    typed = {"queue": ["long; really"], "notes": ["python/3.11\r\nexport A='$HOME b'"]}
    spawner.user_options = await spawner.run_options_from_form(typed)
    spawner.req_queue = "short"
    await soon(spawner.start())
    assert "|module load python/3.11\r\nexport A='$HOME b'|" in spawner.scripts[0]


@pytest.mark.threat(
    who="user",
    tries="They get a text with special characters into a command that the Hub's own shell runs.",
    stopped_by="A start is refused if a value that may be a user's has characters that are"
    " special to a shell.",
)
async def test_a_form_whose_code_sets_a_command(new_spawner: Any) -> None:
    """The Hub's own shell gets no text of a user's with a special meaning, whatever the site's code
    has made of it."""
    spawner = new_spawner(Setting, options_form='<input name="queue"><input name="notes">')
    typed = {"queue": ["$(touch evil)"], "notes": ["x"]}
    spawner.user_options = await spawner.run_options_from_form(typed)
    with pytest.raises(RuntimeError, match=r"\{queue\} in c.Setting.batch_submit_cmd: ") as raised:
        await soon(spawner.start())
    assert 400 == raised.value.status_code  # type: ignore[attr-defined] # a BatchFailure's


@pytest.mark.threat(
    who="stranger",
    tries="They write a link that starts a server with commands of theirs.",
    stopped_by="The texts of a link must be plain words, or values that the form itself has.",
)
async def test_a_link_is_checked(new_spawner: Any) -> None:
    """The options of a link /hub/spawn?opt-notes=… must be plain before the site's code sees them,
    because anybody can make a user follow a link. The form's own values may be any text, for the
    field that has them."""
    form = f'{FORM}<select name="size"><option>large (A100)</option></select>'
    spawner = new_spawner(Setting, options_form=form)
    for link in (
        {"notes": ["x; rm -rf ~"]},
        {"notes": ["x\nevil"]},
        {"opt-notes": ["x -y"]},
        {"opt-notes": ["long; really"]},
        {"opt-queue": ["other"]},
        {"opt-notes": ["x"], "opt-cmd": ["evil"]},
    ):
        with pytest.raises(
            InvalidJobError, match=r"notes: .* may have only|choice of|no such f|has a control"
        ):
            await spawner.options_from_query(link)
        assert "" == spawner.req_prologue
    link = {"opt-notes": ["python/3.11"], "opt-queue": ["long; really"], "size": ["ignored"]}
    assert {"extra": ""} == await spawner.options_from_query(link)
    assert "module load python/3.11" == spawner.req_prologue


async def test_options_that_set_traits(new_spawner: Any) -> None:
    """apply_user_options sets traits only from plain text: the options may come from the REST API,
    and the Hub's own shell reads the commands that have these traits."""
    spawner = new_spawner(
        batch_submit_cmd="cat > /dev/null; : {queue}; echo 12345",
        apply_user_options={"queue": "req_queue"},
    )
    for value in ("$(touch evil)", "--wrap=evil", "a --wrap=evil"):
        with pytest.raises(RuntimeError, match="queue: .* may have only letters") as raised:
            await spawner._run_apply_user_options({"queue": value})
        assert 400 == raised.value.status_code  # type: ignore[attr-defined] # a BatchFailure's
        assert "" == spawner.req_queue
    await spawner._run_apply_user_options({"queue": "my project", "notes": ""})
    assert "my project" == spawner.req_queue
    await soon(spawner.start())


async def test_what_another_form_offers(new_spawner: Any) -> None:
    """An option that was offered to another user or in another profile stays refused."""
    form = '<input name="queue">'
    spawner = new_spawner(Site, options_form=form)
    await spawner.run_options_from_form({"queue": ["large"]})
    with pytest.raises(RuntimeError, match="queue: 'large' is refused"):
        await make_script(new_spawner, {"queue": "large"}, options_form="")


async def test_a_form_that_is_a_function(new_spawner: Any) -> None:
    """The form may be a function, as in JupyterHub, also an asynchronous one."""

    async def form(spawner: Any) -> str:
        return FORM

    script = await make_script(new_spawner, {"nprocs": "3"}, options_form=form)
    assert "3" == script["nprocs"]


def test_reading_a_form() -> None:
    """All kinds of fields are found, with the values that the form itself has."""
    form = read_form(FORM)
    assert {"nprocs", "queue", "notes", "upload", "upload_file", "go"} == form.names
    assert {"4", "long; really", "now", "no name"} == form.values


def test_quoting_leaves_plain_values_alone() -> None:
    """Plain values are not quoted, so scripts that quote them ('"{image}"') still work."""
    for text in ("4", "4gb", "08:00:00", "a100:1", "/opt/x.sif", "user@host", ""):
        assert text == quote("x", text)


def test_fields_without_options() -> None:
    """Without options there are neither fields nor refused options."""
    assert ({}, []) == fields_from_options({}, {"queue"}, set())


def test_plain_text_may_have_spaces() -> None:
    """Plain text may have spaces and letters of any language, as names of projects do; numbers are
    accepted, too."""
    check_plain({"a": ["my project (x)"[:10], "ä b-c"], "b": 3}, read_form(""))


@pytest.mark.parametrize("value", ["-x", "a -x", {"a": ["b", {"c": "$d"}]}, {"$d": 1}])
def test_text_that_is_not_plain(value: Any) -> None:
    """Text is refused if a word of it begins with a hyphen or has shell syntax, at any depth of
    what a REST body can hold."""
    with pytest.raises(InvalidJobError, match="a: .* may have only letters"):
        check_plain({"a": value}, read_form(""))


class Hooked(Dummy):
    """A site's class whose commands name fields."""

    req_host = Unicode("login1 -p 22")
    batch_script = Unicode("{cmd}|{queue}|{prologue}")
    batch_submit_cmd = Unicode("{host} {queue} '{queue}'; cat")
    commands: list[tuple[str, str]]

    async def run_command(self, cmd: str, input: Any = None, env: Any = None) -> str:
        if input:
            self.commands.append((cmd.strip(), input))
        return "12345" if input else "RUN a"


async def submit(spawner: Any) -> tuple[str, str]:
    """Return the command and the script of a start."""
    spawner.commands = []
    await soon(spawner.start())
    return spawner.commands[0]  # type: ignore[no-any-return] # the attribute of any spawner


@pytest.mark.threat(
    who="user",
    tries="They send a text with a blank, so that it becomes two words of a command.",
    stopped_by="A user's text stays one word of a command.",
)
async def test_a_blank_splits_no_word_of_a_command(new_spawner: Any) -> None:
    """A user's text with a blank stays a single word of a command, between quotes or not. What the
    configuration has set goes in as it is."""
    spawner = new_spawner(Hooked, apply_user_options={"queue": "req_queue"})
    await spawner._run_apply_user_options({"queue": "my project"})
    command, _ = await submit(spawner)
    assert "login1 -p 22 'my project' 'my project'; cat" == command


async def test_a_hooks_own_text_reaches_commands(new_spawner: Any) -> None:
    """What a hook has set is not quoted in a command if none of it can be a user's."""
    form = '<select name="size"><option>small</option></select><input name="note">'
    spawner = new_spawner(
        Hooked, options_form=form, options_from_form=lambda form: {"prologue": form["note"][0]}
    )
    typed = {"size": ["small"], "note": ["it's mine (really), -v"]}
    spawner.user_options = await spawner.run_options_from_form(typed)
    spawner.req_queue = "--exclusive --nice=5"
    spawner.batch_submit_cmd = "sbatch --wait {queue} \"$X\" '{queue}'"
    command, script = await submit(spawner)
    assert "sbatch --wait --exclusive --nice=5 \"$X\" '--exclusive --nice=5'" == command
    assert script.endswith("|--exclusive --nice=5|it's mine (really), -v")


@pytest.mark.parametrize("text", ["$(id)", "a;b", "x --wrap=y", "'", "$ ( i d )"])
async def test_a_command_that_a_hook_makes_of_a_users_text(new_spawner: Any, text: str) -> None:
    """A command that code of the site has made is refused if special characters of a user's may be
    in it."""
    spawner = new_spawner(
        Hooked, options_form='<input name="note">', options_from_form=lambda form: {"note": "x"}
    )
    spawner.user_options = await spawner.run_options_from_form({"note": [text]})
    spawner.batch_submit_cmd = f"sbatch -J {text.replace(' i d ', 'id')}"
    with pytest.raises(RuntimeError, match="c.Hooked.batch_submit_cmd: .* special characters"):
        await submit(spawner)


@pytest.mark.threat(
    who="user",
    tries="They hide special characters in an encoded text that the site's code decodes.",
    stopped_by="Texts are decoded in all usual ways before they are checked.",
)
@pytest.mark.parametrize(
    ("decode", "text"),
    [
        (lambda text: json.loads(text)["host"], r'{"host": "\u0024(id)"}'),
        (unquote, "%24%28id%29"),
        (lambda text: b64decode(text).decode(), "JChpZCk="),
    ],
)
async def test_a_command_with_a_text_that_code_has_decoded(
    new_spawner: Any, decode: Any, text: str
) -> None:
    """A user's text that shows no special character, because it is encoded, reaches no command
    when code of the site has decoded it."""

    class Decodes(Hooked):
        options_form = '<input name="settings">'

        def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
            self.req_queue = decode(form["settings"][0])
            return {}

    spawner = new_spawner(Decodes)
    spawner.user_options = await spawner.run_options_from_form({"settings": [text]})
    with pytest.raises(RuntimeError, match="special characters"):
        await submit(spawner)


@pytest.mark.threat(
    who="user",
    tries="They send endless options.",
    stopped_by="All options of a server together have a limit.",
)
async def test_options_that_are_too_long_together(new_spawner: Any) -> None:
    """A user's texts are looked at one by one, so they must not be endless: neither those of a form
    nor those of the REST API."""
    spawner = new_spawner(Hooked, options_form='<input name="note">')
    texts = ["x" * 60_000] * 5
    with pytest.raises(RuntimeError, match="note: it has 300004 characters"):
        await spawner.run_options_from_form({"note": texts})
    spawner.user_options = {"note": texts}
    with pytest.raises(RuntimeError, match="note: it has 300004 characters"):
        await submit(spawner)


@pytest.mark.threat(
    who="user",
    tries="They send braces, so that the script's template shows other fields.",
    stopped_by="A user's text with braces can't be in a template that the site's code makes.",
)
async def test_braces_in_a_script_that_code_makes(new_spawner: Any) -> None:
    """The Hub fills in the script's template, so a user's text with braces can't be in a template
    that code of the site makes."""

    class Made(Hooked):
        @property
        def batch_script(self) -> str:  # type: ignore[override] # as sites do it
            return f"echo {self.user_options['note']}\n{{{{cmd}}}}"

    spawner = new_spawner(Made, options_form='<input name="note">')
    for text, fine in (("a b", True), ("{{ 7 * 7 }}", False), ("{%", False)):
        spawner.user_options = await spawner.run_options_from_form({"note": [text]})
        if fine:
            await submit(spawner)
        else:
            with pytest.raises(RuntimeError, match="has braces"):
                await submit(spawner)


async def test_braces_of_the_sites_own(new_spawner: Any) -> None:
    """Braces that the site's code has put into options or a template are the site's, whatever its
    user has typed; those of its user are refused."""

    class Made(Hooked):
        def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
            return {"lines": "export A=${HOME}", "note": form["note"][0].replace(" ", "")}

        @property
        def batch_script(self) -> str:  # type: ignore[override] # as sites do it
            return "\n# ".join(["{{lines}}", self.user_options["note"] + "\n{{cmd}}"])

    spawner = new_spawner(Made, options_form='<input name="note">')
    spawner.user_options = await spawner.run_options_from_form({"note": ["it's"]})
    _, script = await submit(spawner)
    assert script.startswith("export A=${HOME}\n# it's\n")
    spawner.user_options = await spawner.run_options_from_form({"note": ["{ { 7*7 } }"]})
    with pytest.raises(RuntimeError, match="has braces"):
        await submit(spawner)


async def test_trusted_option_keys(new_spawner: Any) -> None:
    """trusted_option_keys allows any text of the REST API in the script, and none in a command."""
    spawner = new_spawner(Hooked, trusted_option_keys=["prologue", "queue"])
    spawner.user_options = {"prologue": "a $B\nc", "queue": "x; y"}
    _, script = await submit(spawner)
    assert script.endswith("|x; y|a $B\nc")
    spawner = new_spawner(
        Hooked, trusted_option_keys=["queue"], apply_user_options={"queue": "req_queue"}
    )
    await spawner._run_apply_user_options({"queue": "x; y"})
    with pytest.raises(RuntimeError, match=r"\{queue\} in c.Hooked.batch_submit_cmd"):
        await submit(spawner)


@pytest.mark.threat(
    who="user",
    tries="They read from the database what somebody has typed as a password.",
    stopped_by="A typed password is not kept with the record of the options.",
)
async def test_a_password_in_a_form(new_spawner: Any) -> None:
    """What a user has typed as a password does not get into the Hub's database with the record of
    where the options come from."""
    form = '<input name="note"><input type="password" name="key">'
    spawner = new_spawner(
        Hooked, options_form=form, options_from_form=lambda form: {"note": form["note"][0]}
    )
    await spawner.run_options_from_form({"note": ["a;b"], "key": [""]})
    assert "a;b" in str(spawner.options_origin.to_dict())
    await spawner.run_options_from_form({"note": ["a;b"], "key": ["c;d"]})
    assert "c;d" not in str(spawner.options_origin.to_dict())


@pytest.mark.threat(
    who="stranger",
    tries="They write a link that fills in a field whose text goes into the script as it is.",
    stopped_by="Such a field takes only the form's own values from a link.",
)
async def test_a_link_and_a_trusted_field(new_spawner: Any) -> None:
    """A link can't fill in a field whose text goes into the script as it is: a command may be plain
    words."""
    form = '<textarea name="prologue">module load gcc</textarea>'
    spawner = new_spawner(Hooked, options_form=form, trusted_option_keys=["prologue"])
    with pytest.raises(RuntimeError, match="prologue: 'source /tmp/x' is refused"):
        await spawner.options_from_query({"prologue": ["source /tmp/x"]})
    for text in ("module load gcc", ""):
        assert {"prologue": [text]} == await spawner.options_from_query({"prologue": [text]})


async def test_what_a_hook_has_set_is_the_sites(new_spawner: Any) -> None:
    """An option that a hook has set goes into the script as it is; the others are the user's."""
    spawner = new_spawner(Hooked, options_form='<input name="queue">')
    spawner.user_options = {"queue": "a;b"}
    spawner._start_pending = True  # JupyterHub runs the hooks
    spawner.user_options = {"queue": "a;b", "prologue": "a\nb", "modules": ["x"]}
    _, script = await submit(spawner)
    assert script.endswith("|'a;b'|a\nb")


async def test_options_that_apply_user_options_ignores(new_spawner: Any) -> None:
    """A name that no form offers is accepted if apply_user_options makes something of it, and
    refused if it is passed over."""

    def apply(spawner: Any, options: dict[str, Any]) -> None:
        if "queue" in options:
            spawner.req_queue = {"big": "long -x"}[options["queue"]]

    spawner = new_spawner(Hooked, apply_user_options=apply)
    spawner.user_options = {"queue": "big"}
    await spawner._run_apply_user_options(spawner.user_options)
    _, script = await submit(spawner)
    assert script.endswith("|long -x|")
    with pytest.raises(RuntimeError, match="memory: '4G' is refused") as raised:
        await spawner._run_apply_user_options({"memory": "4G"})
    assert 400 == raised.value.status_code  # type: ignore[attr-defined] # a BatchFailure's


async def test_an_option_that_nothing_can_use(new_spawner: Any) -> None:
    """A name that neither the form nor the script has, as a misspelt one, is refused where no code
    of the site can use it."""
    spawner = new_spawner(SlurmSpawner)
    for name in ("patition", "prologue"):
        with pytest.raises(RuntimeError, match=f"{name}: 'x' is refused"):
            await spawner._run_apply_user_options({name: "x"})


async def test_a_form_that_cant_be_made_now(new_spawner: Any) -> None:
    """A form's function may need the page's request; a POST without it is taken all the same."""
    spawner = new_spawner(
        Hooked,
        options_form=lambda spawner: spawner.handler.hub.base_url,
        options_from_form=lambda form: {"prologue": form["lines"][0]},
    )
    assert {"prologue": "x"} == await spawner.run_options_from_form({"lines": ["x"]})


async def test_the_only_value_of_a_field(new_spawner: Any) -> None:
    """A template may take what a form has sent for a field as a text or as a list."""
    script = "{{queue}}|{{queue[0]}}|{% for one in queue %}<{{one}}>{% endfor %}|{{all[1]}}{{cmd}}"
    form = '<input name="queue"><select name="all" multiple><option>a<option>b c</select>'
    spawner = new_spawner(Hooked, options_form=form, batch_script=script)
    typed = {"queue": ["a b"], "all": ["a", "b c"]}
    spawner.user_options = await spawner.run_options_from_form(typed)
    _, script = await submit(spawner)
    assert script.startswith("'a b'|'a b'|<'a b'>|'b c'")


async def test_numbers_stay_numbers(new_spawner: Any) -> None:
    """A template may count with a number of the REST API, and ask whether something is true."""
    script = "{{n * 2}}|{% if whole %}x{% endif %}|{{cmd}}"
    spawner = new_spawner(Hooked, batch_script=script)
    spawner.user_options = {"n": 4, "whole": False}
    _, script = await submit(spawner)
    assert script.startswith("8||")


def test_a_text_in_a_command() -> None:
    """A text is quoted where it is not between quotes already."""
    inside = InCommand()
    mark = inside.put("a b")
    line = f"""x {mark} '{mark}' "{mark}" \\'{mark} "it's {mark}" """
    assert """x 'a b' 'a b' "a b" \\''a b' "it's a b" """ == inside.quote(line)
