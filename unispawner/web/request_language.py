"""Gives each request of the Hub the language of its reader, as its ``Accept-Language`` says.

JupyterHub's own handlers render our templates, stream our progress and show our errors, and there
is no hook that sees each request. So the step that each handler takes first, ``prepare``, is
extended here. The language is kept in the context of the request's task, and ends with it.

A program that sends no ``Accept-Language`` gets English.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.utils import maybe_future

from .languages import PAGE_TEXTS, Language, choose, read_languages, use

_OURS = "unispawner_language"
"""The attribute that marks our step."""


def configured_languages(section: Mapping[str, Any]) -> Mapping[str, Language]:
    """Return the languages that a Hub offers.

    Parameters
    ----------
    section
        What is configured as ``c.UniSpawner``.

    Raises
    ------
    InvalidJobError
        If a catalogue can't be read, or there is none for a language that is offered.
    """
    folder, offered = section.get("catalogues"), section.get("languages")
    return read_languages(
        folder if isinstance(folder, str) else "",
        tuple(offered) if isinstance(offered, list | tuple) else (),
    )


def language_of(handler: Any) -> Language:
    """Return the language of the reader of a handler's reply."""
    section = handler.settings.get("config", {}).get("UniSpawner", {})
    return choose(handler.request.headers.get("Accept-Language", ""), configured_languages(section))


def set_up(hub: Any) -> None:
    """Let a Hub answer each request in its reader's language. Called when the Hub starts.

    Raises
    ------
    InvalidJobError
        As :func:`configured_languages`.
    """
    configured_languages(hub.config.get("UniSpawner", {}))
    for name in ("jinja2_env", "jinja2_env_sync"):
        hub.tornado_settings[name].globals.update(PAGE_TEXTS)
    original = BaseHandler.prepare
    if hasattr(original, _OURS):
        return  # with what others have added since: functools.wraps copies attributes
    if hasattr(original, "__wrapped__"):
        hub.log.warning(
            "Something else than unispawner has extended JupyterHub's BaseHandler.prepare (%s): if "
            "pages are not in their readers' languages, look there",
            getattr(original, "__module__", "?"),
        )

    @functools.wraps(original)
    async def prepare(handler: Any) -> None:
        use(language_of(handler))
        await maybe_future(original(handler))

    setattr(prepare, _OURS, True)
    BaseHandler.prepare = prepare
