"""The time left in a real JupyterLab, in a real browser, on a real Slurm."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Slurm, run
from support.hub import RunningHub, running_hub, until
from support.lab import install_lab, wait_for_text, why_no_lab

if not (reason := why_no_browser()):
    from playwright.async_api import Error, expect

pytestmark = [pytest.mark.slurm, pytest.mark.browser]
CONFIG = """
c.Spawner.default_url = "/lab/tree/notes.txt"
c.Spawner.environment = {environment!r}
c.UniSpawner.duration = "00:04:00"
c.UniSpawner.signal_before_end = 30
"""
LAB_SECONDS = 60_000
"""How long (milliseconds) JupyterLab may take to load."""


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    if why := why_no_browser() or why_no_lab():
        pytest.skip(why)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        environment = install_lab(folder)
        async with running_hub(slurm, config=CONFIG.format(environment=environment)) as running:
            yield running


async def test_time_left_in_jupyterlab(hub: RunningHub, slurm: Slurm) -> None:
    """JupyterLab counts down and warns; "Save all" saves. A signal before the end reaches the user
    and does not end the server. When the job is cancelled outside, the user reads why. Nothing that
    the browser gets holds the server's token."""
    alice = await hub.client("alice")
    notes = Path("/home/alice/notes.txt")
    run("sh", "-c", f"echo before > {notes}", user="alice")
    await alice.start()
    await alice.wait_ready(timeout=60)
    async with open_browser() as browser:
        page = await sign_in(browser, hub, "alice")
        answers: list[asyncio.Task[tuple[str, bytes]]] = []
        page.on("response", lambda one: answers.append(asyncio.ensure_future(whole(one))))
        await page.goto(f"{hub.url}user/alice/lab/tree/notes.txt", wait_until="commit")
        count = page.locator(".unispawner-TimeLeft button")
        await expect(count).to_have_text(re.compile("^[123] min left$"), timeout=LAB_SECONDS)
        await expect(count).to_have_attribute("aria-label", re.compile("This session ends at "))
        warning = page.get_by_role("alert").filter(has_text="Save your work")
        await expect(warning).to_contain_text(re.compile(r"ends at \d\d:\d\d \([123] min left\)"))
        await page.locator(".jp-FileEditor .cm-content").click()
        await page.keyboard.type("written in the last minutes ")
        await page.get_by_role("button", name="Save all").click()
        await until(lambda: "written in the last" in notes.read_text(), "the file is saved")
        await count.focus()
        await page.keyboard.press("Enter")
        notice = page.get_by_role("alert").filter(has_text="This session ends at")
        await expect(notice.get_by_role("button", name="Open the Hub")).to_be_visible()
        await expect_no_token(hub, answers)
        job = await hub.job_id("alice")
        # As Slurm itself does with --signal=B:USR1@30. Jupyter's server would die of it.
        run("scancel", "--batch", "--signal=USR1", job)
        announced = page.get_by_role("alert").filter(has_text="The scheduler has announced")
        await wait_for_text(page, announced, "Less than 1 min left")
        assert "B:USR1@30" in slurm.run("scontrol", "write", "batch_script", job, "-")
        slurm.cancel(job, user="root")
        ended = page.get_by_role("alert").filter(has_text="connection to this session is lost")
        await wait_for_text(page, ended, "CANCELLED")


async def whole(answer: Any) -> tuple[str, bytes]:
    """Return an answer's URL, and its headers with its body, unless the browser has dropped it."""
    headers = str(await answer.all_headers()).encode()
    with contextlib.suppress(Error):  # a redirection has no body
        return answer.url, headers + await answer.body()
    return answer.url, headers


async def expect_no_token(hub: RunningHub, answers: list[asyncio.Task[tuple[str, bytes]]]) -> None:
    """Check that the server's token is in no answer that the browser has got."""
    mark = (await hub.state("alice"))["mark"]
    environment = Path(f"/home/alice/.unispawner/jobs/{mark}/environment").read_text()
    (token,) = re.findall(r"JUPYTERHUB_API_TOKEN=(\w+)", environment)
    found = [one.result() for one in answers if one.done()]
    asked = [content for url, content in found if "unispawner/time-left" in url]
    assert asked
    assert all(name in asked[0] for name in (b"time_left", b"end", b"reason", b"warnings"))
    assert 20 < len(found)
    assert not any(token.encode() in content for _, content in found)
