"""Attacks on a real Hub's application over HTTP: what forms, links and the REST API may set."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jupyterhub
import pytest
from support.accounts import ordinary_account
from support.batch_dummy import Dummy
from support.hub import post_form
from support.hub_app import Hub, answer_when_started, hub_app
from support.legacy_in_a_hub import Side
from tornado.httputil import url_concat
from traitlets import Unicode
from traitlets.config import Config

from unispawner import ProfilesSpawner, WrapSpawner
from unispawner.admin.hub_client import HubClient
from unispawner.legacy import job as job_module
from unispawner.run_as.client import AgentClient
from unispawner.testing import FakeScheduler, fake_client
from unispawner.web import user_options

pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]

FORM = """<select name="partition"><option>debug</option><option>long</option></select>
<select name="size"><option value="small">small</option></select>
<select name="modules" multiple><option>gcc</option><option>python/3.11</option></select>
<input name="note" value="site's own; value"><textarea name="lines"></textarea>"""
SIZES = {"small": "--exclusive --nice=5"}
CHOICE: dict[str, Any] = {
    "partition": "long",
    "size": "small",
    "modules": ["gcc", "python/3.11"],
    "note": "x",
    "lines": "module load x\nexport A=1",
}
AS_SITES_CODE_MADE_IT = (
    "long|--exclusive --nice=5 --comment=x|<gcc><python/3.11>|module load x\nexport A=1"
)
EVIL = ("$(touch {evil})", "`touch {evil}`", "x; touch {evil}", "x --qos=x", "-x", "a'b", "a{{x}}b")
KEEP = "cat > {keepvars_extra}/script; echo begun >&2; exit 1"
LINES = ("x\ntouch {evil}", "x\r#SBATCH --qos=x", "x\x00y", "x\x1b[2J", "x\u2028y")


class Portal(Dummy):
    """A site's class as portals have it. Each start fails when its script has been kept."""

    options_form = FORM
    batch_script = Unicode(
        "{{partition}}|{{options}}|{% for m in modules %}<{{m}}>{% endfor %}|{{prologue}}\n{{cmd}}"
    )
    batch_submit_cmd = Unicode(
        ": {host} {options}; cat > {keepvars_extra}/script; echo begun >&2; exit 1"
    )

    def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
        self.req_host = form["note"][0]
        return {
            "partition": form["partition"][0],
            "options": f"{SIZES[form['size'][0]]} --comment={form['note'][0]}",
            "modules": form.get("modules", []),
            "prologue": form["lines"][0],
        }


class Scripted(Portal):
    """The same with a form that a script makes in the browser."""

    options_form = '<div id="form"></div><script src="form.js"></script>'


class Wrapper(ProfilesSpawner):
    """A site's wrapper with a form of its own, that sets what its child is made with."""

    options_form = FORM

    def options_from_form(self, form: dict[str, list[str]]) -> dict[str, Any]:
        made = Portal.options_from_form(self, form)
        return {"profile": "the portal", **made}

    def construct_child(self) -> Any:
        if self.child_spawner is None:
            super().select_profile("the portal")
            self.child_config = {"req_host": vars(self).get("req_host", "")}
        return WrapSpawner.construct_child(self)


class Plain(Dummy):
    """A site's class without code for its form."""

    options_form = '<input name="queue"><input name="extra">'
    batch_script = Unicode("{queue}|{extra}|{prologue}\n{cmd}")
    batch_submit_cmd = Unicode(f": {{queue}}; {KEEP}")


class Site:
    """A Hub with a site's class, the browser of a user, and what the Hub's shell has left."""

    def __init__(self, hub: Hub, folder: Path, client: HubClient) -> None:
        self.hub, self.folder, self.client = hub, folder, client
        self.always: dict[str, str] = {}

    def evil(self, text: str) -> str:
        return text.replace("{evil}", str(self.folder / "evil"))

    def script(self) -> str | None:
        """Return the script of the last start; None if there was none."""
        assert not (self.folder / "evil").exists(), "the Hub's shell has run a user's command"
        path = self.folder / "script"
        try:
            return path.read_text().partition("\n/home")[0]
        except FileNotFoundError:
            return None
        finally:
            path.unlink(missing_ok=True)

    @property
    def user(self) -> Any:
        return self.hub.user(self.client.user)

    async def post(self, fields: dict[str, Any], server: str = "") -> str:
        """Send the form of the spawn page; return the error that the page shows."""
        fields = {**self.always, **fields}
        path = f"hub/spawn/{self.client.user}/{server}".rstrip("/")
        answer = await post_form(self.client, path, fields)
        return page_error(answer)

    async def follow(self, **fields: str) -> str:
        """Follow a link that chooses options; return the error that the page shows."""
        fields = {**self.always, **fields}
        link = url_concat("hub/spawn", {f"opt-{name}": text for name, text in fields.items()})
        return page_error(await self.client.request("GET", link, follow=False))

    async def rest(self, body: Any, server: str = "") -> str:
        """Start a server by the REST API; return the error."""
        path = f"users/{self.client.user}/" + (f"servers/{server}" if server else "server")
        token = self.user.new_api_token()
        answer = await self.hub.post(body, token, path)
        assert 400 == answer.code
        return str(json.loads(answer.body)["message"])

    def restart(self, server: str = "") -> Any:
        """Forget what is in memory, as a restart of the Hub does; return the server's row."""
        self.user.spawners.pop(server, None)
        return self.user.orm_user.orm_spawners[server]


def page_error(answer: Any) -> str:
    expected = 400 if jupyterhub.version_info >= (6,) else 200  # JupyterHub 5 has no status for it
    assert expected == answer.code
    found = re.search(r"(?s)Error:?(.*?)</", answer.body.decode())
    return found[1].strip() if found else answer.body.decode()


@pytest.fixture(params=[Portal])
async def site(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    scheduler = FakeScheduler(tmp_path)
    config = Config()
    config.JupyterHub.spawner_class = request.param
    config.JupyterHub.allow_named_servers = True
    config.BatchSpawnerBase.req_keepvars_extra = str(tmp_path)
    config.ProfilesSpawner.profiles = [
        ("Portal", "the portal", Portal, {}),
        ("Plain", "p", Plain, {}),
    ]

    async def client(self: job_module.BatchJob) -> AgentClient:
        return fake_client(scheduler, self.state.account, Side(scheduler))

    monkeypatch.setattr(job_module.BatchJob, "client", client)
    answer_when_started(monkeypatch)
    async with hub_app(tmp_path, config) as hub, HubClient(hub.url[: -len("hub/api")]) as browser:
        name = ordinary_account().pw_name
        hub.user(name)
        await browser.login(name, "any")
        yield Site(hub, tmp_path, browser)


async def test_what_the_sites_code_makes_of_a_form(site: Site) -> None:
    """Several words, lines and lists of a site's own code reach the script, for each server of the
    user, and again when the Hub has restarted and starts the server with the saved options."""
    for server in ("", "named"):
        assert "begun" == await site.post(CHOICE, server)
        assert AS_SITES_CODE_MADE_IT == site.script()
        site.restart(server)
        await site.rest(None, server)
        assert AS_SITES_CODE_MADE_IT == site.script()


@pytest.mark.threat(
    who="user",
    tries="They craft a POST with values that the form does not have.",
    stopped_by="A select takes its own values only, and other fields no control character.",
)
async def test_typed_text_stays_within_its_line(site: Site) -> None:
    """A crafted POST can send no value that a select does not have, no line or control character
    outside a textarea, no field that the form does not have, and nothing to the Hub's shell. Other
    text of the user's reaches the script of their own job."""
    for text in ("other", *EVIL, *LINES):
        assert "partition: " in await site.post({**CHOICE, "partition": site.evil(text)})
        assert site.script() is None
    for text in LINES:
        assert "note: " in await site.post({**CHOICE, "note": site.evil(text)})
        assert site.script() is None
    for name in ("cmd", "prologue", "x"):
        assert f"{name}: the form has no such field" in await site.post({**CHOICE, name: "evil"})
        assert site.script() is None
    for text in EVIL:
        error = await site.post({**CHOICE, "note": site.evil(text)})
        assert "{host} in c.Portal.batch_submit_cmd" in error
        assert site.script() is None


@pytest.mark.threat(
    who="stranger",
    tries="They make a user's browser post the form from another site.",
    stopped_by="JupyterHub refuses a form without the token of its page.",
)
async def test_a_post_without_the_token_of_the_page(site: Site) -> None:
    """A form that another site sends is no form that the user has sent: JupyterHub refuses it."""
    answer = await site.client.request(
        "POST", "hub/spawn", body="partition=debug", headers={"X-XSRFToken": ""}, follow=False
    )
    assert 403 == answer.code
    assert site.script() is None


@pytest.mark.threat(
    who="stranger",
    tries="They write a link that starts a server with commands of theirs.",
    stopped_by="The texts of a link must be plain words, or values that the form itself has.",
)
async def test_a_link_runs_nothing_as_its_victim(site: Site) -> None:
    """The text of a link must be plain before the site's code sees it; the form's own values are
    taken for the field that has them."""
    link = {name: value for name, value in CHOICE.items() if isinstance(value, str)}
    for text in (*EVIL, *LINES):
        for name in ("partition", "note", "lines"):
            assert f"{name}: " in await site.follow(**{**link, name: site.evil(text)})
            assert site.script() is None
    assert "lines: " in await site.follow(**{**link, "lines": "site's own; value"})
    assert "cmd: " in await site.follow(**{**link, "lines": "x", "cmd": "evil"})
    assert site.script() is None
    await site.follow(**{**link, "lines": "module load python/3.11"})
    assert "long|--exclusive --nice=5 --comment=x||module load python/3.11" == site.script()


async def test_the_rest_api(site: Site) -> None:
    """The REST API has the names that the site's code makes, before anybody has sent the form, and
    each text is a quoted word. Other names and special text are refused."""
    for server in ("", "named"):
        await site.rest({"partition": "long", "options": 2, "modules": ["gcc", "a b"]}, server)
        assert "long|2|<gcc><'a b'>|" == site.script()
        for name in ("memory", "patition"):
            error = await site.rest({name: "4G"}, server)
            assert f"{name}: '4G' is refused" in error
            assert "c.Portal.user_option_keys" in error
            assert site.script() is None
    for text in (*EVIL, *LINES):
        await site.rest({"partition": site.evil(text)})
        script = site.script()
        assert script is None or re.match(r"(-x|'[^\n]*'(\"'\"'[^\n]*')?)\|\|\|$", script)
    for name in ("cmd", "username", "homedir"):
        assert f"{name}: no user can set this" in await site.rest({name: "evil"})
        assert site.script() is None


class Reads(Portal):
    """A site's class whose script depends on what was chosen."""

    @property
    def batch_script(self) -> str:  # type: ignore[override] # as sites do it
        return f"{self.user_options['kind']}\n{{cmd}}"


@pytest.mark.parametrize("site", [Reads], indirect=True)
async def test_the_rest_api_and_code_that_reads_options(site: Site) -> None:
    """Where the site's own code reads user_options, special text of the REST API is refused before
    that, also what PATCH has saved. The error names the option and the setting that allows it."""
    for text in (*EVIL, *LINES):
        error = await site.rest({"kind": site.evil(text)})
        assert "kind: " in error
        assert "c.Reads.trusted_option_keys" in error
        assert site.script() is None
        site.restart().user_options = {"kind": site.evil(text)}  # as PATCH does
        assert "kind: " in await site.rest(None)
        assert site.script() is None
    await site.rest({"kind": "long"})
    assert "long" == site.script()


@pytest.mark.threat(
    who="user",
    tries="They present options of another user or server as made by the site's own code.",
    stopped_by="Such options are signed for this user, this server, this class and these values.",
)
async def test_a_signature_of_other_options(site: Site) -> None:
    """A signature counts for these options of this user, server and class only."""
    assert "begun" == await site.post(CHOICE)
    site.script()
    saved = site.restart()
    options, state = saved.user_options, dict(saved.state)
    assert {user_options.STATE} == set(state)
    await site.rest(options)  # the same by the REST API
    assert AS_SITES_CODE_MADE_IT == site.script()
    refused = r"prologue: .* has a control character"
    for changed in ({**options, "options": "-x"}, {**options, "partition": ["long"]}):
        assert re.search(refused, await site.rest(changed))
        assert site.script() is None
    await site.post(CHOICE, "named")
    named = site.restart("named")
    assert AS_SITES_CODE_MADE_IT == site.script()
    site.restart().state, site.restart().user_options = dict(named.state), options
    assert re.search(refused, await site.rest(None))
    bob = site.hub.user("bob").spawners[""]
    for maker in (bob, type("Other", (Portal,), {})(user=site.user)):
        maker.options_origin.record(maker, options, user_options.SITE)
        site.restart().state, site.restart().user_options = maker.get_state(), options
        assert re.search(refused, await site.rest(None))
        assert site.script() is None


class Formless(Dummy):
    """A site's class without a form."""

    batch_script = Unicode("{partition}|{memory}\n{cmd}")
    batch_submit_cmd = Unicode(f": ; {KEEP}")


@pytest.mark.parametrize("site", [Formless], indirect=True)
async def test_refused_options_lock_nobody_out(site: Site) -> None:
    """Options that were refused, or that another class has saved, stop no later start that is sent
    none, as from a page without a form."""
    assert "memory: '9T' is refused" in await site.rest({"memory": "9T"})
    assert site.script() is None
    assert "begun" == await site.rest(None)
    assert "|" == site.script()
    site.restart().user_options = {"profile": "no", "memory": "9T"}
    assert "begun" == await site.rest(None)
    assert "|" == site.script()
    assert "memory: '9T' is refused" in await site.rest({"memory": "9T"})


@pytest.mark.parametrize("site", [Scripted], indirect=True)
async def test_a_form_that_a_script_makes(site: Site) -> None:
    """All fields of a form without fields in its HTML reach the site's code, as with batchspawner;
    a link's text must be plain all the same."""
    assert "begun" == await site.post({**CHOICE, "lines": "module load x"})
    expected = AS_SITES_CODE_MADE_IT.removesuffix("\nexport A=1")
    assert expected == site.script()
    link = {**CHOICE, "modules": "gcc", "lines": "x"}
    assert "note: " in await site.follow(**{**link, "note": "x; y"})
    assert site.script() is None


@pytest.mark.parametrize("site", [Plain], indirect=True)
async def test_a_form_without_code_of_the_site(site: Site) -> None:
    """Without code of the site's own, each typed text is a quoted word in the script, as before."""
    for text in EVIL:
        assert "begun" == await site.post({"queue": site.evil(text), "extra": "x"})
        assert re.match(r"'.*'\|x\|$|-x\|x\|$", site.script() or "")
    for text in LINES:
        assert "queue: " in await site.post({"queue": site.evil(text), "extra": "x"})
    assert "prologue: " in await site.post({"queue": "x", "extra": "x", "prologue": "evil"})
    assert site.script() is None


@pytest.mark.parametrize("site", [ProfilesSpawner, Wrapper], indirect=True)
async def test_a_wrapper(site: Site) -> None:
    """The form of a profile's own spawner, or of a wrapper's subclass, is the site's like any
    other: for each server, after a restart, and against the same attacks."""
    if site.hub.app.spawner_class is ProfilesSpawner:
        site.always = {"profile": "the portal"}
    for server in ("", "named"):
        assert "begun" == await site.post(CHOICE, server)
        assert AS_SITES_CODE_MADE_IT == site.script()
        site.restart(server)
        await site.rest(None, server)
        assert AS_SITES_CODE_MADE_IT == site.script()
    assert "cmd: " in await site.post({**CHOICE, "cmd": "evil"})
    link = {name: value for name, value in CHOICE.items() if isinstance(value, str)}
    for text in EVIL:
        assert "partition: " in await site.post({**CHOICE, "partition": site.evil(text)})
        if site.hub.app.spawner_class is Wrapper:
            error = await site.post({**CHOICE, "note": site.evil(text)})
            assert "{host} in c.Portal.batch_submit_cmd" in error
        for name in ("note", "lines"):
            assert f"{name}: " in await site.follow(**{**link, name: site.evil(text)})
        await site.rest({"profile": "the portal", "partition": site.evil(text)})
        assert re.match(r"(-x|'.*')\|\|\|$", site.script() or "")
    await site.follow(**{**link, "lines": "module load python/3.11"})
    assert "long|--exclusive --nice=5 --comment=x||module load python/3.11" == site.script()
