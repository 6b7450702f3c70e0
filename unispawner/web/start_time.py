"""``POST /hub/api/unispawner/start-time``: when a server with some choice would start.

The sentences that users read about the answer are in ``static/start_time.js``.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.user import User

from ..errors import InvalidJobError, UniSpawnerError
from ..schedulers.estimate import StartEstimate
from ..texts import all_as_read, say
from .allowance import AllowanceByUser
from .failures import Refusal
from .per_hub import PerHub
from .summary import format_moment

REQUESTS = PerHub(lambda: AllowanceByUser(at_once=30, pause=1.0))
"""How many requests a user may send: each takes some milliseconds of the event loop."""
ASK_AGAIN = 60.0
"""After how many seconds it is worth asking the same again."""


@dataclass(frozen=True)
class Sooner:
    """A smaller choice with which the server would start sooner.

    Attributes
    ----------
    words
        What is smaller in it, for people: "4 cores".
    user_options
        The whole choice.
    estimate
        When a server with it would start.
    """

    words: str
    user_options: dict[str, Any]
    estimate: StartEstimate


@dataclass(frozen=True)
class StartAnswer:
    """When a server would start, and with which choice it would start sooner.

    Attributes
    ----------
    scheduler
        The scheduler's name for people, if it has refused.
    """

    estimate: StartEstimate = field(default_factory=StartEstimate)
    sooner: Sooner | None = None
    scheduler: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return data for JSON, with moments as JupyterHub writes them."""
        sooner = self.sooner and {
            "words": self.sooner.words,
            "user_options": self.sooner.user_options,
            **_to_dict(self.sooner.estimate),
        }
        return {
            **_to_dict(self.estimate),
            "reason": self.estimate.reason,
            "scheduler": self.scheduler,
            "sooner": sooner,
            "refresh_in": ASK_AGAIN,
        }


def _to_dict(estimate: StartEstimate) -> dict[str, Any]:
    start = estimate.start
    return {
        "outlook": estimate.outlook.value,
        "start": None if start is None else format_moment(max(start, time.time())),
        "by_inventory": estimate.by_inventory,
    }


class StartTimeHandler(APIHandler):
    """``POST /hub/api/unispawner/start-time``: when the sender's server would start.

    The body is ``{"user_options": …}``, the same as that of a start, or ``{"server": NAME}``: then
    the answer is about a server that waits. Only users themselves may ask, with the right to start
    their servers: the scheduler is asked under their account. A page of another user's server sends
    ``?user=`` with that name, and is refused.

    Replies 400 if the choice is not offered or the body is something else, 403 to anybody who may
    not start the user's servers, 404 if there is nothing to ask, 424 if the administrator's
    function of profiles fails; and 429 to a user who asks too often.
    """

    async def post(self) -> None:
        """Reply with a StartAnswer."""
        user = self._find_sender()
        body = self.get_json_body()
        if not isinstance(body, dict) or len(body) != 1:
            body = {}
        try:
            if isinstance(options := body.get("user_options"), dict):
                answer = await self._about_choice(user.spawner, options)
            elif isinstance(name := body.get("server"), str):
                answer = await self._about_server(user, name)
            else:
                raise Refusal(
                    400, say('The body must be {"user_options": {…}} or {"server": "NAME"}.')
                )
        except InvalidJobError as error:
            raise Refusal(400, error.message_and_output()) from None
        except UniSpawnerError as error:
            raise Refusal(424, error.message_and_output()) from None
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(all_as_read(answer.to_dict())))

    def _find_sender(self) -> Any:
        sender = self.current_user
        if not isinstance(sender, User):
            raise Refusal(403, say("Log in, or send a token of the user."))
        if self.get_argument("user", sender.name) != sender.name:
            raise Refusal(403, say("Users can ask this only for themselves."))
        if not self.has_scope(f"servers!user={sender.name}"):
            raise Refusal(403, say("The token needs the scope 'servers' of its user."))
        if not REQUESTS.of(self.settings).take(sender.name):
            raise Refusal(429, say("Too many requests. Ask again in a few seconds."))
        return sender

    async def _about_choice(self, spawner: Any, options: dict[str, Any]) -> StartAnswer:
        if not hasattr(spawner, "find_start_time"):
            raise Refusal(404, say("The spawner class of this Hub can't estimate a start."))
        answer: StartAnswer = await spawner.find_start_time(options)
        return answer

    async def _about_server(self, user: Any, name: str) -> StartAnswer:
        spawner = user.spawners.get(name)
        if spawner is None or not spawner.active or not hasattr(spawner, "find_sooner_start"):
            raise Refusal(404, say("There is no such server, or it does not wait."))
        answer: StartAnswer = await spawner.find_sooner_start()
        return answer
