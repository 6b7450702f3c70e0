"""Targets: what users and administrators write, and what the database has kept of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from unispawner.errors import InvalidJobError, SchedulerUnavailable, UniSpawnerError
from unispawner.job import CONTROL, JobSpec, ResourceSpec
from unispawner.legacy.job import BatchState
from unispawner.profiles.reading import find_profile, read_form, read_profiles
from unispawner.run_as.accounts import Account
from unispawner.schedulers import get_scheduler
from unispawner.servers.endings import _read_state
from unispawner.servers.state import SavedState, ServerState
from unispawner.settings.host_map import _look_up
from unispawner.settings.names import _check_fields, _check_folder, fill_folder
from unispawner.submit_host.ssh import parse_destination
from unispawner.units import (
    format_duration,
    format_memory,
    parse_duration,
    parse_memory,
)
from unispawner.web import hosts, typed_form
from unispawner.web.decoding import decode_all
from unispawner.web.own_host import read_table
from unispawner.web.user_options import OptionsOrigin, special

from .mutations import TOKENS, changed, json_values
from .target import Target

# -- profiles ------------------------------------------------------------------------------------

PROFILES = read_profiles(
    [
        ("Local", "local", "jupyterhub.spawner.LocalProcessSpawner", {"ip": "0.0.0.0"}),
        {
            "display_name": "GPU session",
            "slug": "gpu",
            "config": {"queue_name": "gpu", "account": "ml"},
            "resources": {"memory": "32G"},
            "options": {
                "cpu_cores_per_process": {"min": 1, "max": 16, "default": 4},
                "gpu_cores_per_process": {"choices": {"1": "one", "2": "two"}, "default": "1"},
                "duration": {"min": "00:30:00", "max": "24:00:00", "default": "08:00:00"},
                "account": {"pattern": "[a-z]+"},
                "queue_name": {},
                "exclusive_node_use": {"default": False},
                "software": {
                    "choices": {
                        "plain": {"display_name": "Plain", "override": {"prologue": ""}},
                        "conda": {"display_name": "C", "override": {"prologue": "conda x"}},
                    },
                    "default": "plain",
                },
                "memory": {"min": "1G", "max": "64G", "step": "1G", "when": {"software": "plain"}},
            },
        },
    ]
)
_NAMES = ("profile", "_xsrf", *PROFILES[1].options, "gpu--memory", "gpu--duration", "local--x", "x")
_VALUES: SearchStrategy[str] = changed(
    st.sampled_from(
        ("gpu", "local", "4", "2", "8:00:00", "1-00:00:00", "4G", "true", "plain", "ml")
    ),
    most=2,
)


@st.composite
def choices(draw: DrawFn) -> dict[str, Any]:
    """Make user options as a REST body, or the database, has them."""
    values = _VALUES | json_values()
    return {"profile": "gpu", **draw(st.dictionaries(st.sampled_from(_NAMES) | _VALUES, values))}


def run_choice(value: dict[str, Any]) -> None:
    """Check a choice, and again what is saved of it: that is the same choice."""
    chosen = find_profile(PROFILES, value).check(value)
    saved = json.loads(json.dumps(chosen.user_options))
    again = find_profile(PROFILES, saved).check(saved)
    assert chosen.fields == again.fields
    assert set(chosen.fields) <= {
        *("resources", "duration", "account", "queue_name", "prologue"),
    }
    assert not CONTROL.search(chosen.in_words())


def run_form(value: dict[str, Any]) -> None:
    """Check a form's fields: what a browser sends, or anything else."""
    profile, fields = read_form(PROFILES, value)
    profile.form_errors(fields)
    chosen = profile.check_form(fields)
    run_choice(chosen.user_options)


_FORMS = st.dictionaries(
    st.sampled_from(_NAMES) | _VALUES,
    st.lists(_VALUES, min_size=1, max_size=2) | st.lists(json_values(), max_size=2) | json_values(),
    max_size=6,
).map(lambda given: {"profile": ["gpu"], **given})

# -- the legacy classes' forms -------------------------------------------------------------------

_HTML = """\
<label>Queue <select name="queue"><option value="short" selected>Short</option><option>long
</option></select></label><fieldset><input name="hours" maxlength="4" value="8">
<input type="checkbox" name="gpu"><textarea name="modules">
gcc</textarea><button name="go">Go</button></fieldset><script type="text/x-template">a</script>
"""
_TYPED = st.dictionaries(
    st.sampled_from(("queue", "hours", "gpu", "modules", "go", "x")) | _VALUES,
    st.lists(_VALUES, max_size=2) | json_values(),
    max_size=4,
)


def run_site_form(value: list[Any]) -> None:
    """Check what comes in for a site's own form, and keep where it comes from."""
    html, given = value
    form = typed_form.read_form(html)
    OptionsOrigin().note_arrival(given)
    form.sample()
    typed_form.check_length(given)
    typed_form.check_typed(given, form, (), ("x",), "")
    typed_form.check_plain(given, form)
    for text in typed_form.texts({key: one for key, one in given.items() if key != "x"}):
        if text not in form.values and text not in form.names:
            assert not special(text) - {" "}


def run_decoding(value: str) -> None:
    """Decode a text in all usual ways; the number of results stays small."""
    assert len(decode_all([value])) < 5000


_ENCODED = changed(
    st.sampled_from(
        (
            '{"queue": "\\u0024(id)"}',
            "%24%28id%29",
            "JChpZCk=",
            "&#36;(id)",
            '["a", {"b": "\\\\x24"}]',
            "plain",
        )
    )
)


# -- amounts, times, names -----------------------------------------------------------------------

_SCALARS = (
    changed(st.sampled_from(("4G", "512M", "1.5T", "4GiB", "all", "8:00:00", "1-12:00", "90")), 2)
    | st.sampled_from(TOKENS)
    | st.integers()
    | st.sampled_from((10**400, -(10**30), 2**63, 1.5, 1e308, True, None))
)


def run_memory(value: Any) -> None:
    """Read an amount of memory; what is written of it is read as the same."""
    size = parse_memory(value)
    assert size == parse_memory(format_memory(size))
    ResourceSpec(memory=size)


def run_duration(value: Any) -> None:
    """Read a length of time; what is written of it is read as the same, to the second."""
    length = parse_duration(value)
    assert isinstance(length, timedelta)
    assert abs(length - parse_duration(format_duration(length))) < timedelta(seconds=1)


_HOSTS = changed(
    st.sampled_from(
        (
            "node1",
            "node1.cluster.example",
            "192.0.2.1",
            "fe80::1%eth0",
            "::ffff:127.0.0.1",
            "hub@n1",
        )
    ),
    2,
)


def run_host(value: str) -> None:
    """Read a host that a job has reported: only what can be a name or an address goes on."""
    hosts.is_loopback(value)
    hosts.is_same_name(value, "node1")
    _look_up({r"node(\d+)": r"10.0.0.\1", "x": "y"}, value)
    hosts.check_form(value)
    assert value.isascii()
    assert not re.search(r"[\s/@%$]", value)


def run_submit_host(value: str) -> None:
    """Read a submit host: no part of it can be an option of ssh's."""
    found = parse_destination(value)
    assert not found.host.startswith("-")
    assert not found.account.startswith("-")


def run_exec_host(value: str) -> None:
    """Check a host that a query has named; a name is never looked up here."""
    lookup = asyncio.new_event_loop()
    try:
        if re.fullmatch(r"[0-9a-fA-F:.]+", value) or len(value) > 255:
            lookup.run_until_complete(hosts.check_exec_host(value, here=False))
    finally:
        lookup.close()


def run_folder(value: str) -> None:
    """Read a folder and a name with placeholders."""
    _check_folder("state_dir", value)
    _check_fields("job_name", value, ("username", "servername"))
    fill_folder(value, "alice")


_FOLDERS = changed(st.sampled_from(("~/.x", "/scratch/{username}/x", "{username}-{servername}")), 2)


@st.composite
def jobs(draw: DrawFn) -> list[Any]:
    """Make a job with odd values, for a scheduler."""
    texts = changed(st.sampled_from(("jupyter", "gpu", "/home/alice", "module load x")), 1)
    fields = ("name", "directory", "stdout_path", "queue_name", "account", "reservation_id")
    data: dict[str, Any] = {
        "mark": "0123456789abcdef",
        "executable": "x",
        **draw(st.dictionaries(st.sampled_from(fields), texts, max_size=3)),
    }
    if draw(st.booleans()):
        keys = st.sampled_from(("slurm.qos", "pbs.l", "gridengine.l", "lsf.app", "htcondor.+x"))
        data["custom_attributes"] = draw(st.dictionaries(keys | texts, texts | st.just(True)))
    if draw(st.booleans()):
        data["resources"] = draw(
            st.dictionaries(
                st.sampled_from(("node_count", "process_count", "memory", "cpu_cores_per_process")),
                st.integers(-1, 10**6) | json_values(),
            )
        )
    if draw(st.booleans()):
        data["duration"] = draw(st.floats(allow_nan=True) | st.sampled_from((60, 1e9, "x", -1)))
    names = ("slurm", "pbs", "torque", "lsf", "gridengine", "htcondor")
    return [draw(st.sampled_from(names)), data]


def run_job(value: list[Any]) -> None:
    """Write a job's directives: each is one line, and the job is checked before."""
    name, data = value
    spec = JobSpec.from_dict(data)
    scheduler = get_scheduler(name)
    scheduler.check_supported(spec)
    for line in scheduler.directives(spec):
        assert not re.search(r"[\n\r\0]", line)


# -- what the database has kept ------------------------------------------------------------------

_STATE: Mapping[str, Any] = ServerState(
    mark="0123456789abcdef",
    account="alice",
    token_id=3,
    scheduler="slurm",
    job_id="12",
    host="192.0.2.1",
    port=8888,
    uid=1001,
    home="/home/alice",
).to_dict()


@st.composite
def states(draw: DrawFn) -> Any:
    """Make a saved state of which something is damaged."""
    damage = st.dictionaries(st.sampled_from(sorted(_STATE)), json_values(), max_size=3)
    return draw(json_values()) if draw(st.integers(0, 5)) == 5 else {**_STATE, **draw(damage)}


def run_state(value: Any) -> None:
    """Load a saved state: each field has a value of its type, whatever the row has."""
    for kind in (SavedState, BatchState, ServerState):
        state = kind.from_dict(value)
        json.dumps(state.to_dict())
        assert isinstance(state.mark, str)
        assert isinstance(state.port, int)
    assert isinstance(state, ServerState)
    assert isinstance(state.url, str)
    found = state.saved_account(1000, "")
    assert found is None or isinstance(found, Account)
    second = ServerState.from_dict(state.next)  # a server may have a second job
    assert isinstance(second.mark, str)
    json.dumps(second.to_dict())
    assert isinstance(_read_state(json.dumps(value)[:100]), dict)


def run_origin(value: Any) -> None:
    """Load what was saved of where options come from."""
    origin = OptionsOrigin()
    origin.load(value)
    json.dumps(origin.to_dict())


_ORIGINS = json_values() | st.fixed_dictionaries(
    {
        "kind": json_values(),
        "signature": json_values(),
        "names": json_values(),
        "typed": json_values(),
    }
)

_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 12345 1
   1: 0000000000000000FFFF00000100007F:22B8 0000:0000 0A 0:0 00:0 0  1001        0 12346 1 0 100
"""


def run_table(value: str) -> None:
    """Read the kernel's table of sockets."""
    list(read_table(value, 8888))


TARGETS = (
    Target("options-rest", choices(), run_choice, (InvalidJobError,)),
    Target("options-form", _FORMS, run_form, (InvalidJobError,)),
    Target(
        "options-site",
        st.tuples(changed(st.just(_HTML), 2), _TYPED).map(list),
        run_site_form,
        (InvalidJobError,),
    ),
    Target("options-decoding", _ENCODED, run_decoding),
    Target("options-saved", _ORIGINS, run_origin),
    Target("memory", _SCALARS, run_memory, (InvalidJobError,)),
    Target("duration", _SCALARS, run_duration, (InvalidJobError,)),
    Target("host", _HOSTS, run_host, (InvalidJobError,)),
    Target("host-of-query", _HOSTS, run_exec_host, (InvalidJobError, SchedulerUnavailable)),
    Target("submit-host", _HOSTS, run_submit_host, (InvalidJobError,)),
    Target("folder", _FOLDERS, run_folder, (InvalidJobError,)),
    Target("job", jobs(), run_job, (UniSpawnerError,)),
    Target("saved-state", states(), run_state),
    Target("sockets", changed(st.just(_TCP)), run_table, (ValueError,)),
)
