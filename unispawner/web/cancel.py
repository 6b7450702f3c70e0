"""``POST /hub/unispawner/cancel/{user}/{name}``: a form's button that stops a server.

JupyterHub stops a server only by ``DELETE`` of its API, which a page without JavaScript can't send.
"""

from __future__ import annotations

from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.utils import url_path_join
from tornado import web


class CancelHandler(UserServerAPIHandler):  # type: ignore[misc] # JupyterHub has no type information
    """Stops a server as the API does, with its scopes, and leads to the Hub's home page."""

    def check_post_content_type(self) -> bool:
        """Allow a form, and not only JSON: JupyterHub's check of ``_xsrf`` is made for forms."""
        return True

    def get_content_type(self) -> str:
        """Return the type of a page."""
        return "text/html"

    def get_json_body(self) -> None:
        """Return nothing: the fields of the form say nothing more."""

    async def get(self, user_name: str, server_name: str = "") -> None:
        """Refuse: a link must stop nothing."""
        raise web.HTTPError(405)

    async def post(self, user_name: str, server_name: str = "") -> None:
        """Stop the server, or cancel its start."""
        await self.delete(user_name, server_name)
        self.redirect(url_path_join(self.hub.base_url, "home"))

    put = patch = get
