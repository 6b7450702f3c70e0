"""Each of our errors becomes something that JupyterHub shows, and none of them can harm the
page."""

import importlib
import pkgutil
from html.parser import HTMLParser

import pytest
from tornado import web

import unispawner
from unispawner import errors
from unispawner.errors import SubmitError, UniSpawnerError
from unispawner.web.failures import REASON, STATUS, SpawnFailure

for found in pkgutil.walk_packages(unispawner.__path__, "unispawner."):
    # The Hub does not import PSI/J. A __main__ does its work when it is imported.
    if ".executors" not in found.name and not found.name.endswith("__main__"):
        importlib.import_module(found.name)


def tree(cls: type[UniSpawnerError] = UniSpawnerError) -> list[type[UniSpawnerError]]:
    return [cls, *(each for sub in cls.__subclasses__() for each in tree(sub))]


def nearest_status(cls: type[UniSpawnerError]) -> int:
    return next(STATUS[base] for base in cls.__mro__ if base in STATUS)


NASTY = '<script>alert("x")</script>\n<b>\'&amp;</b> 100% {0} %s'


class Text(HTMLParser):
    """The text of a page, and the tags in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_error_is_translated(cls: type[UniSpawnerError]) -> None:
    """Each error class of any of our modules becomes a failure with a status, a message and a
    page."""
    failure = SpawnFailure(cls("It failed.", output="because"))
    assert isinstance(failure, web.HTTPError)
    assert nearest_status(cls) == failure.status_code
    assert "It failed.\nbecause" == failure.jupyterhub_message
    assert "It failed.\nbecause" == str(failure)
    assert "because" in failure.jupyterhub_html_message


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_no_failure_counts_towards_the_hubs_end(cls: type[UniSpawnerError]) -> None:
    """Each error has a status below 500, because spawner failures from 500 on count towards
    consecutive_failure_limit, which ends the Hub."""
    assert 400 <= nearest_status(cls) < 500


@pytest.mark.threat(
    who="user",
    tries="They write HTML into a job's log or into a text that the scheduler prints.",
    stopped_by="All foreign text on a page is escaped.",
)
@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_foreign_text_is_escaped(cls: type[UniSpawnerError]) -> None:
    """The scheduler's messages and the job's log are escaped, because users wrote parts of them."""
    page = Text(SpawnFailure(cls(NASTY, output=f"log: {NASTY}")).jupyterhub_html_message)
    assert {"p", "pre"} == page.tags
    assert NASTY + f"log: {NASTY}" == page.text


@pytest.mark.threat(
    who="user",
    tries="They put line breaks into a text that becomes part of a response.",
    stopped_by="The status line has no foreign text.",
)
def test_the_status_line_is_one_line() -> None:
    """The status line has no foreign text, with which an attacker could write a response."""
    failure = SpawnFailure(SubmitError("a\r\nSet-Cookie: x=y", output=NASTY))
    assert "submission_refused" == failure.reason


def test_a_percent_sign_is_no_format() -> None:
    """A percent sign in a message survives the log, where tornado formats the message."""
    failure = SpawnFailure(SubmitError("100% %s %d"))
    assert failure.log_message
    assert "100% %s %d" == failure.log_message % failure.args
    assert "100% %s %d" == str(failure)


def test_output_that_is_in_the_message_is_not_said_twice() -> None:
    """Output that is already in the message is not shown again, and the page has no empty box."""
    page = Text(SpawnFailure(SubmitError("It failed: why", output="why")).jupyterhub_html_message)
    assert ({"p"}, "It failed: why") == (page.tags, page.text)


def test_a_sites_own_error_is_translated_as_the_nearest_of_ours() -> None:
    """A site's subclass of a public error gets the status and the reason of its nearest base
    class."""

    class NoProject(SubmitError):
        """A site's own error."""

    failure = SpawnFailure(NoProject("alice has no project"))
    assert (400, "submission_refused") == (failure.status_code, failure.reason)
    assert "alice has no project" == failure.jupyterhub_message


def test_each_public_error_has_a_status_of_its_own() -> None:
    """The errors of unispawner.errors are in the table themselves; only their subclasses in other
    modules get the status of their base class."""
    assert {cls for cls in tree() if cls.__module__ == errors.__name__} <= set(STATUS)


def test_each_error_has_a_reason_of_its_own() -> None:
    """Each error class has its own reason, other than JupyterHub's "timeout" and "error", because
    JupyterHub 6 counts failed spawns by reason."""
    assert set(STATUS) == set(REASON)
    assert len(REASON) == len(set(REASON.values()) - {"timeout", "error", ""})


def test_a_tornado_that_sets_the_log_message() -> None:
    """Releases before 6.5 do, when the exception is made; the property has to allow that."""
    failure = SpawnFailure(SubmitError("100% %s %d"))
    failure.log_message = "100% %s %d"
    assert "100% %s %d" == failure.log_message % failure.args
