"""The alerts and the dashboard of deploy/monitoring, with a real Prometheus and a Hub on Slurm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from support import CHECKOUT
from support.hub import RunningHub, free_ports, until
from tornado.httpclient import AsyncHTTPClient, HTTPClientError

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="there is no Prometheus: apt install prometheus",
    ),
]
FOLDER = CHECKOUT / "deploy" / "monitoring"
INTERVAL = "1m"
"""What Grafana would put in the place of its own variable."""


def promtool(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["promtool", *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_alerts_come_when_they_should() -> None:
    """promtool finds the rules right, and each alert in its place."""
    status, out = promtool("check", "rules", "alerts.yml")
    assert 0 == status, out
    status, out = promtool("test", "rules", "alerts_test.yml")
    assert 0 == status, out


def test_each_alert_has_a_test() -> None:
    """No alert is without a case in alerts_test.yml."""
    alerts = set(re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text()))
    tested = set(re.findall(r"Unispawner\w+", (FOLDER / "alerts_test.yml").read_text()))
    assert alerts == tested


def questions() -> Iterator[tuple[str, str]]:
    """Yield the title of each panel with each of its questions, as Prometheus gets them."""
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel["targets"]:
            expr = target["expr"].replace("$__rate_interval", INTERVAL)
            yield panel["title"], expr.replace("$scheduler", ".*").replace("$cluster", ".*")


class Prometheus:
    """A Prometheus that scrapes a Hub once a second and has our rules."""

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}/api/v1"

    async def get(self, path: str, **query: str) -> Any:
        """Return what it answers; an error of the question is an error here."""
        answer = await AsyncHTTPClient().fetch(f"{self.url}/{path}?{urlencode(query)}")
        return json.loads(answer.body)["data"]

    async def ask(self, expr: str) -> list[Any]:
        """Return the series that a question has now."""
        return list((await self.get("query", query=expr))["result"])


@pytest.fixture(scope="module")
async def prometheus(
    hub: RunningHub, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """Give a Prometheus that scrapes the Hub, and end it."""
    folder = tmp_path_factory.mktemp("prometheus")
    host, port = hub.url.split("/")[2].split(":")
    (folder / "token").write_text(hub.api_token)
    scrape = {
        "job_name": "jupyterhub",
        "metrics_path": "/hub/metrics",
        "authorization": {"type": "token", "credentials_file": str(folder / "token")},
        "static_configs": [{"targets": [f"{host}:{port}"]}],
    }
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(FOLDER / "alerts.yml")],
        "scrape_configs": [scrape],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"127.0.0.1:{free_ports('127.0.0.1', 1)[0]}"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        found = Prometheus(address)

        async def up() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with contextlib.suppress(OSError, HTTPClientError):  # 503 while it reads its files
                return bool(await found.ask('up{job="jupyterhub"} == 1'))
            return False

        await until(up, "Prometheus has scraped the Hub", 60)
        yield found
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 30)


async def test_the_dashboard_has_answers(hub: RunningHub, prometheus: Prometheus) -> None:
    """After a server's life, Prometheus can answer each question, and most have a series."""
    alice = await hub.client("alice")
    await alice.start()
    await alice.wait_ready(timeout=90)

    async def running() -> bool:
        return bool(
            await prometheus.ask('unispawner_jobs{scheduler="slurm", state="running"} == 1')
        )

    await until(running, "the metrics have a job that runs", 60)
    await alice.stop()

    async def stopped() -> bool:
        return bool(await prometheus.ask('unispawner_ends_total{outcome="stopped"} >= 1'))

    await until(stopped, "the metrics have the stop", 60)
    answers = [(title, expr, await prometheus.ask(expr)) for title, expr in questions()]
    # Nothing was mended or probed here, and nothing has failed.
    empty = {"Probe", "What the Hub has mended, an hour", "Actions as a user that fail, an hour"}
    # The jobs are over, and then there is no status of them.
    empty |= {"Jobs of servers", "Age of the last status"}
    assert [] == [expr for title, expr, series in answers if not series and title not in empty]


async def test_no_alert_without_a_fault(prometheus: Prometheus) -> None:
    """Prometheus has loaded all rules, evaluates them without an error, and none fires."""
    groups = (await prometheus.get("rules"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    alerts = re.findall(r"- alert: (\w+)", (FOLDER / "alerts.yml").read_text())
    assert sorted(alerts) == sorted(rule["name"] for rule in rules)

    async def evaluated() -> bool:
        found = (await prometheus.get("rules"))["groups"]
        return all(rule["health"] == "ok" for group in found for rule in group["rules"])

    await until(evaluated, "all rules were evaluated", 30)
    assert [] == (await prometheus.get("alerts"))["alerts"]
