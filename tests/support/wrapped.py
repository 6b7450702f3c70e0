"""A spawner in a spawner for tests without a Hub: a child, and the calls that JupyterHub makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from jupyterhub.spawner import Spawner
from traitlets import Dict, Unicode

from unispawner.web.bookkeeping import inner

URL = "http://127.0.0.1:12345"
AUTH_STATE = {"key": "of the user's"}


class Child(Spawner):
    """A spawner whose server is only a word in its state."""

    queue = Unicode("short").tag(config=True)
    labels = Dict().tag(config=True)
    job = ""
    stopped = False
    progress_closed = False

    async def start(self) -> str:
        """Set the job; return the URL."""
        self.job = f"a job in {self.queue}"
        return URL

    async def poll(self) -> int | None:
        return None if self.job else 0

    async def stop(self, now: bool = False) -> None:
        """Forget the job, and record that it was stopped."""
        self.stopped, self.job = True, ""

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        try:
            yield {"message": f"waits in {self.queue}"}
            yield {"message": "runs"}
        finally:
            self.progress_closed = True

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), **({"job": self.job} if self.job else {})}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.job = state.get("job", "")

    def clear_state(self) -> None:
        super().clear_state()
        self.job = ""


class OtherChild(Child):
    """Another class, with its own section in the configuration."""


TWO_PROFILES: dict[str, Any] = {
    "ProfilesSpawner": {
        "profiles": [
            ("One", "one", Child, {"queue": "one", "start_timeout": 3000}),
            ("Two", "two", OtherChild, {"queue": "two"}),
        ]
    }
}

NewWrapper = Callable[..., Any]


async def start(wrapper: Any, **user_options: Any) -> Spawner:
    """Start a server with the calls that JupyterHub makes, in its order; return the child."""
    wrapper.user_options = user_options
    wrapper.clear_state()
    wrapper.api_token = "a token"
    await wrapper.run_auth_state_hook(AUTH_STATE)
    await wrapper.apply_group_overrides()
    await wrapper._run_apply_user_options(wrapper.user_options)
    await await_if_needed(wrapper.run_pre_spawn_hook())
    assert URL == await wrapper.start()
    wrapper.start_polling()
    return inner(wrapper)


async def stop(wrapper: Any) -> None:
    """Stop a server with the calls that JupyterHub makes, in its order."""
    wrapper.stop_polling()
    if await wrapper.poll() is None:
        await wrapper.stop()
    await await_if_needed(wrapper.run_post_stop_hook())
    wrapper.clear_state()


async def await_if_needed(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result


async def ready(wrapper: Any) -> dict[str, Any]:
    """Return the event that the progress page gets when the server is ready."""
    event: dict[str, Any] = {"ready": True}
    hook = wrapper.progress_ready_hook
    return await await_if_needed(hook(wrapper, event)) if hook else event


def saved(wrapper: Any) -> dict[str, Any]:
    """Return a wrapper's state as the database gives it back."""
    state: dict[str, Any] = json.loads(json.dumps(wrapper.get_state()))
    return state


class Called:
    """Hooks that record the spawner they are called with."""

    def __init__(self) -> None:
        self.with_: dict[str, list[Any]] = {name: [] for name in self.hooks()}

    def hooks(self) -> dict[str, Any]:
        """Return the hooks, each of which records its call."""

        def note(name: str) -> Callable[..., None]:
            return lambda spawner, *more: self.with_[name].append((spawner, *more))

        def ready(spawner: Any, event: dict[str, Any]) -> dict[str, Any]:
            self.with_["progress_ready_hook"].append((spawner,))
            return event

        def overrides(spawner: Any) -> dict[str, Any]:
            self.with_["group_overrides"].append((spawner,))
            return {}

        return {
            "pre_spawn_hook": note("pre_spawn_hook"),
            "post_stop_hook": note("post_stop_hook"),
            "auth_state_hook": note("auth_state_hook"),
            "apply_user_options": note("apply_user_options"),
            "progress_ready_hook": ready,
            "group_overrides": overrides,
        }

    def once_with(self, spawner: Any) -> dict[str, list[Any]]:
        """Return the records after one call of each hook with this spawner."""
        more = {"auth_state_hook": (AUTH_STATE,), "apply_user_options": ({"size": "small"},)}
        return {name: [(spawner, *more.get(name, ()))] for name in self.with_}

    def never(self) -> dict[str, list[Any]]:
        """Return the records before any call."""
        return {name: [] for name in self.with_}
