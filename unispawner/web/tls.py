"""The names in certificates of ``c.JupyterHub.internal_ssl``, and who shows which.

Any server of the Hub's may show a certificate that the Hub has signed. So a signature alone does
not say whose server it is: the certificate of a report must be the user's, and a server must have
the very key that the Hub has made for its job.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from typing import Any

from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.iostream import SSLIOStream

from ..errors import InvalidJobError, SchedulerUnavailable

HANDSHAKE_TIMEOUT = 5.0
"""How long (seconds) a server may take to show its certificate."""
_OF_A_USER = "user-"
"""How the names begin that JupyterHub, too, gives to the certificates of servers."""
_LONGEST = 64
"""Bytes: the longest common name (RFC 5280, ub-common-name)."""


def name_certificate(user_name: str) -> str:
    """Return the common name in the certificates of a user's servers."""
    name = _OF_A_USER + user_name
    if len(name.encode()) <= _LONGEST:
        return name
    digest = hashlib.sha256(user_name.encode()).hexdigest()
    return (_OF_A_USER + digest)[:_LONGEST]


def encode_key(public_key: Any) -> str:
    """Return a public key of the package cryptography as base64 of its DER form."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def decode_key(text: str) -> bytes:
    """Return the DER form of a public key that :func:`encode_key` has encoded."""
    return base64.b64decode(text)


def check_client(request: HTTPServerRequest, user_name: str) -> None:
    """Refuse a report that comes with the certificate of another user's server.

    A report that comes through the proxy has the proxy's certificate, and only its token counts.

    Raises
    ------
    tornado.web.HTTPError
        403 for the certificate of another user.
    """
    stream = getattr(request.connection, "stream", None)
    if not isinstance(stream, SSLIOStream):
        return
    shown: dict[str, Any] = stream.socket.getpeercert() or {}
    names = [str(pair[1]) for part in shown.get("subject", ()) for pair in part]
    expected = name_certificate(user_name)
    if any(name.startswith(_OF_A_USER) and name != expected for name in names):
        raise web.HTTPError(403, "The certificate of this report is not that of the server's user.")


async def check_server(address: str, port: int, public_key: str, context: ssl.SSLContext) -> None:
    """Check that what listens at an address has a job's key, in a certificate for that address.

    Parameters
    ----------
    public_key
        The job's, as :func:`encode_key` returns it.
    context
        How the Hub shows itself, and whom it trusts.

    Raises
    ------
    InvalidJobError
        If it has not.
    SchedulerUnavailable
        If nothing answers.
    """
    where = f"port: what listens at {address} port {port}"
    try:
        shown = await asyncio.wait_for(_ask(address, port, context), HANDSHAKE_TIMEOUT)
    except ssl.SSLCertVerificationError as error:
        raise InvalidJobError(
            f"{where} shows a certificate that is not for this server: {error.verify_message}. The "
            "server must use the files that JUPYTERHUB_SSL_CERTFILE and JUPYTERHUB_SSL_KEYFILE "
            "name."
        ) from None
    except ssl.SSLError as error:
        raise InvalidJobError(
            f"{where} does not speak TLS ({error.reason or error}). c.JupyterHub.internal_ssl "
            "requires it."
        ) from None
    except (OSError, asyncio.TimeoutError) as error:
        why = str(error) or f"not within {HANDSHAKE_TIMEOUT:g} s"
        raise SchedulerUnavailable(
            f"{where} does not answer the Hub ({why}). Report again."
        ) from None
    from cryptography import x509

    if encode_key(x509.load_der_x509_certificate(shown).public_key()) != public_key:
        raise InvalidJobError(
            f"{where} shows the certificate of another server. The server must use the files that "
            "JUPYTERHUB_SSL_CERTFILE and JUPYTERHUB_SSL_KEYFILE name."
        )


async def _ask(address: str, port: int, context: ssl.SSLContext) -> bytes:
    """Return the certificate (DER) that a server shows."""
    _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=address)
    try:
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return shown
    finally:
        writer.transport.abort()
