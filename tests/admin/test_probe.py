"""``unispawner probe``: its options, its secrets and what it writes; see also tests/live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from unispawner.admin.cli import main
from unispawner.admin.hub_client import HubClientError
from unispawner.admin.probe import Result, Step, _describe

AWAY = ["probe", "--url", "http://127.0.0.1:9", "--user", "ann"]
"""A probe of a place where nothing listens."""


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTERHUB_API_TOKEN", "UNISPAWNER_PROBE_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def result(*steps: Step) -> Result:
    return Result("http://hub", "ann", "", 1795806123.5, list(steps))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--password-file: name a file"),
        (["--password-file", "/dev/null"], "--password-file: name a file"),
        (["--token-file", "/no/such"], "--token-file: /no/such can't be read"),
        (["--password-file", "a", "--token-file", "b"], "give only one of the two"),
    ],
)
def test_a_secret_that_is_missing(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a secret nothing is tried, and the option that is wrong is named."""
    assert 1 == main([*AWAY, *arguments])
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--password-file", "--token-file"])
def test_a_hub_that_is_away(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nothing listens, the first step has failed, and the secret is not shown."""
    secret, metrics = tmp_path / "secret", tmp_path / "probe.prom"
    secret.write_text("opensesame\n")
    secret.chmod(0o600)
    arguments = [*AWAY, option, str(secret), "--json", "--metrics-file", str(metrics)]
    assert 1 == main(arguments)
    text = capsys.readouterr().out
    (step,) = json.loads(text)["steps"]
    assert ("login", True) == (step["name"], "can't be reached" in step["error"])
    assert "opensesame" not in text
    assert "unispawner_probe_success 0\n" in metrics.read_text()
    # The node exporter has an account of its own.
    assert 0o644 == stat.S_IMODE(metrics.stat().st_mode)
    assert [metrics, secret] == sorted(tmp_path.iterdir())


def test_metrics_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there is named with the option."""
    secret = tmp_path / "secret"
    secret.write_text("opensesame")
    secret.chmod(0o600)
    arguments = ["--password-file", str(secret), "--metrics-file", str(tmp_path / "no" / "x.prom")]
    assert 1 == main([*AWAY, *arguments])
    assert "--metrics-file: " in capsys.readouterr().err


def test_nothing_stays_of_metrics_that_cannot_be_written(tmp_path: Path) -> None:
    """A probe that can't replace the file of metrics leaves no other file beside it."""
    secret, folder = tmp_path / "secret", tmp_path / "probe.prom"
    secret.write_text("opensesame")
    secret.chmod(0o600)
    folder.mkdir()
    arguments = ["--password-file", str(secret), "--metrics-file", str(folder)]
    assert 1 == main([*AWAY, *arguments])
    assert [folder, secret] == sorted(tmp_path.iterdir())


def test_the_metrics_can_be_read_by_prometheus() -> None:
    """Prometheus' own parser reads each step, and whether all of it worked."""
    text = result(Step("login", 0.25), Step("start", 1.5, "no node")).metrics()
    samples = {
        (sample.name, sample.labels.get("step")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert {
        ("unispawner_probe_success", None): 0,
        ("unispawner_probe_timestamp_seconds", None): 1795806124,
        ("unispawner_probe_step_seconds", "login"): 0.25,
        ("unispawner_probe_step_seconds", "start"): 1.5,
        ("unispawner_probe_step_success", "login"): 1,
        ("unispawner_probe_step_success", "start"): 0,
    } == samples


@pytest.mark.parametrize(
    ("steps", "ok"),
    [([], False), ([Step("login")], True), ([Step("login"), Step("stop", error="no")], False)],
)
def test_what_is_a_success(steps: list[Step], ok: bool) -> None:
    """A probe is a success if there is a step, and all steps have worked."""
    assert ok is result(*steps).ok


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"status": 400, "message": "duration: must be at most 8 hours"}', "duration: must be at"),
        ('{"status": 400, "message": ""}', 'POST /hub/api/users/ann/server: 400 {"status"'),
        ("<html>Bad gateway</html>", "POST /hub/api/users/ann/server: 400 <html>"),
        ("[" * 100_000, "[[["),
        ('{"message": "a\\u001b[2Jb"}', "a\N{REPLACEMENT CHARACTER}[2Jb"),
    ],
)
def test_only_the_message_of_a_refusal(body: str, words: str) -> None:
    """Of what the Hub refuses, its message is shown and no JSON; another answer is shown as it is,
    without what could move a terminal's cursor."""
    error = HubClientError("POST /hub/api/users/ann/server", 400, body)
    assert _describe(error, Namespace()).startswith(words)


class _Waits(RequestHandler):
    """The API of a Hub whose server waits in the queue for ever."""

    def get(self, path: str) -> None:
        self.write({"name": "ann", "servers": {}})

    def post(self, path: str) -> None:
        self.set_status(202)

    def delete(self, path: str) -> None:
        self.set_status(204)


class _Progress(RequestHandler):
    async def get(self) -> None:
        with contextlib.suppress(StreamClosedError):
            while True:
                self.write('data: {"progress": 20, "message": "Job 1 is queued"}\n\n')
                await self.flush()
                await asyncio.sleep(0.05)


async def test_no_traceback_if_the_time_is_over(tmp_path: Path) -> None:
    """A server that waits too long is a step that failed, and nothing else is written: a monitor
    would mail it."""
    routes = [(r"/hub/api/users/ann/server/progress", _Progress), (r"/hub/api/(.*)", _Waits)]
    server = HTTPServer(Application(routes))
    (socket,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(socket)
    secret = tmp_path / "secret"
    secret.write_text("opensesame")
    secret.chmod(0o600)
    url = f"http://127.0.0.1:{socket.getsockname()[1]}"
    program = "import sys; from unispawner.admin.cli import main; sys.exit(main(sys.argv[1:]))"
    options = [
        *("probe", "--url", url, "--user", "ann", "--token-file", str(secret)),
        *("--timeout", "1"),
    ]
    probe = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = (text.decode() for text in await probe.communicate())
    server.stop()
    assert (1, "") == (probe.returncode, errors)
    assert "WRONG   ready: nothing came within the 1 s" in output
