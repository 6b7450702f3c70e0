"""The form and the pages in a real browser, with a real Hub and a real Slurm."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Slurm, run
from support.hub import RunningHub, running_hub, until

from unispawner.admin.hub_client import HubClient

if not (reason := why_no_browser()):
    from playwright.async_api import expect

pytestmark = [pytest.mark.slurm, pytest.mark.browser]
CONFIG = """
import unispawner

c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.template_paths = [unispawner.template_path]
c.JupyterHub.init_spawners_timeout = 1
c.Spawner.default_url = "/api"  # JupyterLab would keep the browser, and this machine, busy
c.UniSpawner.inventory_interval = 2
c.ProfilesSpawner.profiles = [
    {
        "display_name": "Notebook", "slug": "notebook",
        "description": "A few cores of a shared node, for most things",
        "default": True,
        "resources": {"memory": "500M"}, "config": {"duration": "00:20:00"},
        "options": {
            "cpu_cores_per_process": {"min": 1, "max": 8, "default": 2},
            "memory": {"min": "200M", "max": "4G", "default": "500M"},
            "duration": {"min": "00:02:00", "max": "queue", "default": "00:20:00"},
            "queue_name": {"choices": {"debug": "Interactive", "small": "Short and small"},
                           "default": "debug"},
        },
    },
    {
        "display_name": "GPU session", "slug": "gpu",
        "description": "One node with A100 GPUs",
        "options": {
            "gpu_cores_per_process": {"choices": {"1": "one", "2": "two"}, "default": "1"},
            "software": {
                "display_name": "Software",
                "choices": {
                    "plain": {"display_name": "System Python", "description": "What the node has"},
                    "conda": {"display_name": "Conda", "description": "With your environments",
                              "override": {"environment": {"WITH_CONDA": "1"}}},
                },
                "default": "plain",
            },
            "memory": {"max": "4G", "default": "1G", "when": {"software": "conda"}},
        },
    },
    {
        "display_name": "Whole cluster", "slug": "large",
        "description": "Every core of every node: waits until all are free",
        "resources": {"node_count": 4, "cpu_cores_per_process": 8, "memory": "2000M"},
        "config": {"duration": "00:30:00"},
    },
    {
        "display_name": "Broken software", "slug": "broken",
        "config": {"prologue": "sleep 3; echo 'no module named jupyter-2031' >&2; exit 3"},
        "options": {"cpu_cores_per_process": {"min": 1, "max": 4, "default": 1}},
    },
]
"""


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    async with running_hub(slurm, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Any]:
    if reason := why_no_browser():
        pytest.skip(f"no browser: {reason}")
    async with open_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
async def signed_in(hub: RunningHub, browser: Any) -> Any:
    """Give alice's page."""
    return await sign_in(browser, hub, "alice")


@pytest.fixture
async def page(signed_in: Any, hub: RunningHub, slurm: Slurm) -> AsyncIterator[Any]:
    """Give alice's page for a test. At the end no script of it has failed or sent a request to
    another host, and no server is left."""
    yield signed_in
    await signed_in.goto("about:blank")
    for name in (await hub.api("GET", "users/alice"))["servers"]:
        await hub.api("DELETE", f"users/alice/servers/{name}" if name else "users/alice/server")
    await until(lambda: not slurm.active(name=hub.job_name), "no job is left")
    assert [] == signed_in.problems
    signed_in.problems.clear()


async def to_form(page: Any, hub: RunningHub, name: str = "", profile: str = "") -> None:
    await page.goto("about:blank")  # another fragment alone would load nothing
    await page.goto(f"{hub.url}hub/spawn/alice{name and f'/{name}'}")
    if profile:
        await card(page, profile).get_by_role("radio").check()


def card(page: Any, slug: str) -> Any:
    return page.locator(f'[data-profile="{slug}"]')


async def start(page: Any) -> None:
    await page.get_by_role("button", name="Start", exact=True).click()


def fact(page: Any, name: str) -> Any:
    return page.locator(f'[data-fact="{name}"]')


async def wait_for(page: Any, url: str) -> None:
    """Return when the page is there, without waiting for everything that it loads."""
    await page.wait_for_url(re.compile(url), wait_until="commit", timeout=60_000)


@pytest.fixture
async def full(slurm: Slurm) -> AsyncIterator[None]:
    """Give a cluster in which another user's jobs have a core of each node."""
    script = ["sbatch", "-Q", "-J", "others", "-N4", "-n4", "-o/dev/null", "--wrap=sleep 300"]
    run(*script, user="bob")
    await until(lambda: len(run("squeue", "-ho%i", "-nothers", "-tR").split()) == 1, "it is full")
    yield
    slurm.cancel_named("others")


# -- the form -----------------------------------------------------------------------------------


@pytest.mark.hub
async def test_choose_start_and_see_it_run(
    hub: RunningHub, slurm: Slurm, page: Any, alice: HubClient
) -> None:
    """Two clicks start a session of the default profile. The Hub's page and the API show its
    resources and how much of its time is left, and no warning in the first half of its time."""
    await to_form(page, hub)
    await expect(card(page, "notebook").get_by_role("radio")).to_be_checked()
    await page.get_by_label("Time").fill("00:10:00")
    await expect(page.locator("[data-summary]")).to_contain_text("2 cores, 500 MiB, until ")
    await start(page)
    await wait_for(page, "/user/alice/")
    await page.goto(f"{hub.url}hub/home")
    await expect(fact(page, "profile_name")).to_have_text("Notebook")
    await expect(fact(page, "summary")).to_have_text("2 cores, 500 MiB, 10 minutes")
    await expect(page.locator("[data-state]")).to_have_text("running")
    await expect(page.locator("[data-time-left]")).to_have_text(re.compile("^[89] minutes left$"))
    await expect(page.locator("[data-warning]")).to_be_hidden()
    status = await alice.api("GET", "unispawner/servers/alice")
    assert "00:10:00" == slurm.job(status["job_id"])["TimeLimit"]
    assert ("running", False) == (status["state"], status["ending_soon"])
    assert 400 < status["time_left"] <= 600


@pytest.mark.hub
async def test_a_server_that_dies_says_why(
    hub: RunningHub, slurm: Slurm, page: Any, alice: HubClient
) -> None:
    """The page shows that somebody else has cancelled the job, and offers the same choice with a
    click."""
    await to_form(page, hub, profile="notebook")
    await page.get_by_label("Time").fill("00:10:00")
    await start(page)
    await wait_for(page, "/user/alice/")
    job = (await alice.api("GET", "unispawner/servers/alice"))["job_id"]
    slurm.cancel(job, user="root")

    async def is_known() -> bool:
        status = await alice.api("GET", "unispawner/servers/alice")
        return bool(status["state"] == "failed")

    await until(is_known, "the Hub knows")
    await page.goto(f"{hub.url}user/alice/lab")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server has ended")
    await expect(page.locator("#failure")).to_contain_text(f"The job {job} ended")
    await expect(page.locator("#failure")).to_contain_text("CANCELLED")
    await page.get_by_role("button", name="Start Notebook again").click()
    await wait_for(page, "/user/alice/")
    saved = (await hub.api("GET", "users/alice"))["servers"][""]["user_options"]
    assert ("notebook", "00:10:00") == (saved["profile"], saved["duration"])


async def test_the_form_adapts(hub: RunningHub, page: Any) -> None:
    """The form shows only the options of the chosen profile that apply, explains each entry of a
    menu, and sums up the choice."""
    await to_form(page, hub, profile="gpu")
    gpu = card(page, "gpu")
    await expect(card(page, "notebook").get_by_label("Cores")).to_be_hidden()
    await expect(gpu.get_by_label("Memory")).to_be_hidden()
    await expect(gpu).to_contain_text("What the node has")
    await gpu.get_by_label("Software").select_option("conda")
    await expect(gpu).to_contain_text("With your environments")
    await gpu.get_by_label("Memory").fill("1.5G")
    await gpu.get_by_label("GPUs").select_option("2")
    await expect(page.locator("[data-summary]")).to_have_text("2 GPUs, 1.5 GiB")
    await gpu.get_by_label("Software").select_option("plain")
    await expect(page.locator("[data-summary]")).to_have_text("2 GPUs")


async def test_limits_are_shown_before_they_are_hit(hub: RunningHub, page: Any) -> None:
    """A value beyond a bound, also one of the queue, is shown beside its field with the bound, and
    nothing is sent."""
    await to_form(page, hub, profile="notebook")
    notebook = card(page, "notebook")
    cores, memory, time = (notebook.get_by_label(name) for name in ("Cores", "Memory", "Time"))
    await cores.fill("9")
    await memory.fill("$(id)")
    await time.fill("03:00:00")
    await expect(notebook).to_contain_text("must be at most 8")
    await expect(notebook).to_contain_text("must be an amount of memory with its unit, like 4G")
    await expect(notebook).to_contain_text("must be at most 2 hours, the queue's limit")
    await start(page)
    await expect(cores).to_be_focused()
    await expect(cores).to_have_attribute("aria-invalid", "true")
    await cores.fill("8")
    await memory.fill("300M")
    await time.fill("00:08:00")
    await expect(notebook.locator(".is-invalid")).to_have_count(0)
    await notebook.get_by_label("Queue").select_option("small")
    await time.fill("00:20:00")
    await expect(notebook).to_contain_text("must be at most 10 minutes, the queue's limit")
    assert page.url.startswith(f"{hub.url}hub/spawn")


@pytest.mark.hub
async def test_without_javascript(hub: RunningHub, browser: Any, slurm: Slurm) -> None:
    """Without JavaScript only the chosen profile's options are shown. Errors are shown beside their
    fields and the input is kept; correct input starts the server."""
    page = await sign_in(browser, hub, "carol", java_script_enabled=False)
    await page.goto(f"{hub.url}hub/spawn")
    await expect(page.locator(".unispawner-live:visible")).to_have_count(0)
    await expect(card(page, "gpu").get_by_label("Software")).to_be_hidden()
    await card(page, "gpu").get_by_role("radio").check()
    await expect(card(page, "notebook").get_by_label("Cores")).to_be_hidden()
    await card(page, "gpu").get_by_label("Memory").fill("99G")
    await card(page, "gpu").get_by_label("Software").select_option("conda")
    await start(page)
    gpu = card(page, "gpu")
    await expect(gpu.get_by_role("radio")).to_be_checked()
    await expect(gpu.get_by_label("Memory")).to_have_value("99G")
    await expect(gpu).to_contain_text("'99G' must be at most 4G")
    await expect(page.locator(".spawn-error-msg")).to_contain_text("memory: '99G'")
    assert not slurm.active(name=hub.job_name)
    await page.context.close()


@pytest.mark.hub
async def test_the_hubs_error_is_shown_until_the_field_is_changed(
    hub: RunningHub, page: Any
) -> None:
    """The form of a refused request has its values, and the wrong field has its message, until it
    is changed, and the focus."""
    await to_form(page, hub, profile="notebook")
    await page.evaluate("document.querySelector('#spawn_form').noValidate = true")
    await card(page, "notebook").get_by_label("Cores").fill("9")
    await start(page)
    cores = card(page, "notebook").get_by_label("Cores")
    await expect(cores).to_have_value("9")
    await expect(card(page, "notebook")).to_contain_text("9 must be at most 8")
    await expect(cores).to_be_focused()
    await cores.fill("7")
    await expect(card(page, "notebook")).not_to_contain_text("must be at most 8")


async def test_usual_values(hub: RunningHub, page: Any) -> None:
    """Memory and times can be picked with their units, within the bounds; any other can be typed.
    On a small screen the other cards show only their names."""
    await to_form(page, hub, profile="gpu")
    gpu = card(page, "gpu")
    await gpu.get_by_label("Software").select_option("conda")
    usual = gpu.get_by_label("Usual values").first
    await expect(usual.locator("option")).to_have_text(
        ["Usual", "512 MiB", "1 GiB", "2 GiB", "4 GiB"]
    )
    await usual.select_option("2 GiB")
    await expect(gpu.get_by_label("Memory")).to_have_value("2G")
    await expect(page.locator("[data-summary]")).to_contain_text("2 GiB")
    await expect(usual).to_have_value("")
    free = card(page, "notebook").locator("[data-free]")
    await expect(free).to_be_visible()
    await page.set_viewport_size({"width": 360, "height": 800})
    await expect(free).to_be_hidden()
    await expect(card(page, "notebook").get_by_text("Notebook")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= 360")


async def test_what_is_free(hub: RunningHub, slurm: Slurm, page: Any, full: None) -> None:
    """The form shows the queue's free nodes, cores and GPUs and its waiting jobs, and refreshes
    them while it is open."""
    await to_form(page, hub, profile="notebook")
    free = card(page, "notebook").locator("[data-free]")
    await expect(free).to_have_text("Free: 28 of 32 cores, 4 of 4 GPUs, 0 of 4 whole nodes.")
    await card(page, "notebook").get_by_label("Queue").select_option("small")
    await expect(free).to_have_text("Free: 7 of 8 cores, 0 of 1 whole node.")


async def test_the_last_choice_of_each_profile(hub: RunningHub, slurm: Slurm, page: Any) -> None:
    """Each profile shows its last choice for any server of the user, and the last profile is
    chosen; the browser keeps nothing."""
    for name, profile, cores in (("one", "notebook", "5"), ("two", "broken", "3")):
        await to_form(page, hub, name, profile)
        await card(page, profile).get_by_label("Cores").fill(cores)
        await start(page)
        await wait_for(page, "/hub/spawn-pending/|/user/")
    assert 0 == await page.evaluate("window.localStorage.length")
    await to_form(page, hub, "three")
    await expect(card(page, "broken").get_by_role("radio")).to_be_checked()
    await expect(card(page, "broken").get_by_label("Cores")).to_have_value("3")
    await card(page, "notebook").get_by_role("radio").check()
    await expect(card(page, "notebook").get_by_label("Cores")).to_have_value("5")


async def test_presets(hub: RunningHub, slurm: Slurm, page: Any) -> None:
    """A choice is kept under a name, by keyboard alone and without a start; another visit finds it,
    fills the form with it and deletes it. A choice that is not offered is not kept."""
    await to_form(page, hub, "preset", profile="notebook")
    cores = card(page, "notebook").get_by_label("Cores")
    await cores.fill("7")
    name = page.get_by_label("Keep this choice as a preset")
    await name.fill("Seven")
    await name.press("Enter")
    await expect(page.get_by_text("The preset Seven is saved.")).to_be_visible()
    await cores.fill("99")
    await name.fill("Too many")
    await page.get_by_role("button", name="Save the preset").click()
    await expect(page.get_by_text("The preset was not saved.")).to_contain_text("at most 8")
    await to_form(page, hub, "preset", profile="gpu")
    await page.get_by_label("Your presets").select_option("Seven")
    await expect(card(page, "notebook").get_by_role("radio")).to_be_checked()
    await expect(card(page, "notebook").get_by_label("Cores")).to_have_value("7")
    await page.get_by_role("button", name="Delete this preset").click()
    await expect(page.get_by_text("The preset Seven is deleted.")).to_be_visible()
    await to_form(page, hub, "preset")
    await expect(page.get_by_label("Keep this choice as a preset")).to_be_visible()
    await expect(page.get_by_label("Your presets")).to_be_hidden()  # there is none
    assert not slurm.active(name=hub.job_name)


async def test_a_link_fills_the_form(hub: RunningHub, slurm: Slurm, page: Any) -> None:
    """A link has its choice in the fragment, so it starts nothing; what is not offered is named and
    left out."""
    await page.goto("about:blank")
    await page.goto(f"{hub.url}hub/spawn#profile=gpu&software=conda&memory=3G&prologue=id")
    gpu = card(page, "gpu")
    await expect(gpu.get_by_role("radio")).to_be_checked()
    await expect(gpu.get_by_label("Memory")).to_have_value("3G")
    await expect(page.locator("[data-link-status]")).to_have_text(
        "The link names options that are not offered: prologue."
    )
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy a link").click()
    await expect(page.locator("[data-link-status]")).to_contain_text("Copied")
    link = await page.evaluate("navigator.clipboard.readText()")
    expected = "spawn#profile=gpu&gpu_cores_per_process=1&software=conda&memory=3G"
    assert f"{hub.url}hub/{expected}" == link
    assert not slurm.active(name=hub.job_name)


@pytest.mark.hub
async def test_keyboard_and_screen_reader(hub: RunningHub, page: Any) -> None:
    """Every control has a name and a description; arrow keys choose a profile, tab goes to its
    first option, and no two elements have the same id."""
    await to_form(page, hub, profile="notebook")
    nameless = await page.evaluate(
        """[...document.querySelectorAll("#unispawner-form input, #unispawner-form select")]
        .filter((one) => !one.labels.length).map((one) => one.name)"""
    )
    assert [] == nameless
    dangling = await page.evaluate(
        """[...document.querySelectorAll("[aria-describedby]")]
        .flatMap((one) => one.getAttribute("aria-describedby").split(" "))
        .filter((id) => !document.getElementById(id))"""
    )
    assert [] == dangling
    ids = await page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert sorted(set(ids)) == sorted(ids)
    await card(page, "notebook").get_by_role("radio").focus()
    await page.keyboard.press("ArrowDown")
    await expect(card(page, "gpu").get_by_role("radio")).to_be_checked()
    await page.keyboard.press("Tab")
    await expect(card(page, "gpu").get_by_label("GPUs")).to_be_focused()


@pytest.mark.hub
async def test_light_and_dark(hub: RunningHub, browser: Any) -> None:
    """The form follows JupyterHub's theme."""
    found = []
    for scheme in ("light", "dark"):
        page = await sign_in(browser, hub, "alice", color_scheme=scheme)
        await to_form(page, hub)
        style = "getComputedStyle(document.querySelector('[data-profile]')).backgroundColor"
        found.append(await page.evaluate(style))
        await page.context.close()
    assert found[0] != found[1]


# -- waiting, failing ---------------------------------------------------------------------------


@pytest.mark.hub
async def test_waiting_in_a_full_queue(
    hub: RunningHub, slurm: Slurm, page: Any, full: None
) -> None:
    """The page of a named server shows position, reason and estimated start, and cancels that
    server and no other."""
    await to_form(page, hub, "big", "large")
    await start(page)
    await wait_for(page, "/hub/spawn-pending/alice/big")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Your server big is starting")
    await expect(fact(page, "queue_position")).to_have_text("1", timeout=30_000)
    await expect(fact(page, "reason")).to_have_text("waiting for resources to become free")
    await expect(fact(page, "estimated_start").locator("time")).to_have_text(re.compile("[0-9]:"))
    await expect(fact(page, "summary")).to_have_text("4 nodes, 32 cores, 2 GiB, 30 minutes")
    await page.goto(f"{hub.url}hub/home")
    await expect(page.locator("[data-state]")).to_have_text("queued")
    await page.goto(f"{hub.url}hub/spawn-pending/alice/big")
    await page.get_by_role("button", name="Cancel").click()
    await wait_for(page, "/hub/home$")
    await until(lambda: not slurm.active(name=hub.job_name), "the job is cancelled")


async def test_cancel_without_javascript(
    hub: RunningHub, browser: Any, slurm: Slurm, full: None
) -> None:
    """Without JavaScript, too, the page of a server that waits cancels it and leads home."""
    page = await sign_in(browser, hub, "alice", java_script_enabled=False)
    await page.goto(f"{hub.url}hub/spawn/alice/plain")
    await card(page, "large").get_by_role("radio").check()
    await start(page)
    await wait_for(page, "/hub/spawn-pending/alice/plain")
    await until(lambda: slurm.active(name=hub.job_name), "the job waits")
    await page.get_by_role("button", name="Cancel").click()
    await wait_for(page, "/hub/home$")
    await until(lambda: not slurm.active(name=hub.job_name), "the job is cancelled")
    await page.context.close()


@pytest.mark.hub
async def test_a_start_that_fails(hub: RunningHub, slurm: Slurm, page: Any) -> None:
    """The page shows the reason and the end of the job's log. From there the same choice can be
    started again, or another be made."""
    await to_form(page, hub, "broken", "broken")
    await card(page, "broken").get_by_label("Cores").fill("2")
    await start(page)
    again = page.get_by_role("button", name="Start Broken software again")
    for repeated in (False, True):
        if repeated:
            await again.click()
            await wait_for(page, "/hub/spawn-pending/")
        await expect(again).to_be_visible(timeout=60_000)
        await expect(page.locator("#failure")).to_contain_text("no module named jupyter-2031")
        await expect(page.locator("#failure")).to_contain_text("Slurm says FAILED")
        await expect(page.get_by_text("Cores: 2")).to_be_visible()
    await page.get_by_role("link", name="Choose something else").click()
    await expect(card(page, "broken").get_by_label("Cores")).to_have_value("2")


@pytest.mark.hub
async def test_earlier_sessions(hub: RunningHub, slurm: Slurm, page: Any) -> None:
    """The page has why a start failed, with its log, and makes or changes the same choice again; a
    session that its user deletes is gone. The log of a server that starts is shown on request."""
    await to_form(page, hub, "told", "broken")
    await card(page, "broken").get_by_label("Cores").fill("3")
    await start(page)
    await page.get_by_text("The job's log").click()
    again = page.get_by_role("button", name="Start Broken software again")
    await expect(again).to_be_visible(timeout=60_000)
    await page.goto(f"{hub.url}hub/unispawner/history")
    row = page.locator("[data-session]").first
    await expect(row).to_contain_text("Broken software (told)")
    await expect(row).to_contain_text("Slurm says FAILED")
    await row.get_by_text("The end of the job's log").click()
    await expect(row.locator("pre")).to_contain_text("no module named jupyter-2031")
    await row.get_by_role("link", name="Change and start").click()
    await expect(card(page, "broken").get_by_label("Cores")).to_have_value("3")
    await page.goto(f"{hub.url}hub/unispawner/history")
    mark = await row.get_attribute("data-session")
    await row.get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("The session is deleted from the list.")).to_be_visible()
    await expect(page.locator(f'[data-session="{mark}"]')).to_have_count(0)


# -- for everybody ------------------------------------------------------------------------------

WCAG = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
}


@pytest.mark.hub
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_web_content_accessibility_guidelines(
    hub: RunningHub, browser: Any, slurm: Slurm, full: None, scheme: str
) -> None:
    """axe-core finds nothing against WCAG 2.2 AA in our parts of the form, of the page of a server
    that waits, of the home page and of earlier sessions, in each theme."""
    page = await sign_in(browser, hub, "alice", color_scheme=scheme)
    await to_form(page, hub, f"axe-{scheme}", "large")
    found = await violations(page, "#unispawner-form")
    await start(page)
    await wait_for(page, f"/hub/spawn-pending/alice/axe-{scheme}")
    await expect(fact(page, "queue_position")).to_be_visible(timeout=30_000)
    found += await violations(page, "[data-server]")
    for path in ("home", "unispawner/history"):
        await page.goto(f"{hub.url}hub/{path}")
        found += await violations(page, ".container")
    await page.goto(f"{hub.url}hub/spawn-pending/alice/axe-{scheme}")
    await page.get_by_role("button", name="Cancel").click()
    await wait_for(page, "/hub/home$")
    await page.context.close()
    assert [] == found


async def violations(page: Any, part: str) -> list[str]:
    """Return what axe-core finds in a part of a page: the rule, and the elements."""
    answer = await Axe().run(page, context=part, options=WCAG)
    return [
        f"{page.url}: {one['id']}: {node['html'][:200]}"
        for one in answer.response["violations"]
        for node in one["nodes"]
    ]
