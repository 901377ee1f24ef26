"""POST /v1/signals[/NAMESPACE/SERVICE]: a plain signal, or an Alertmanager's webhook, with a Kubernetes token."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import structlog
from aiohttp import web

from lastgood.context import Context
from lastgood.domain.model import Key
from lastgood.domain.ports import ClusterError
from lastgood.domain.signals import Unclear, understood
from lastgood.services.signals import Busy, Signals, Taken, Took

_log = structlog.get_logger(__name__)

BODY_BYTES = 512 * 1024
"""Largest message that is read; a hundred long alerts fit."""

AT_ONCE = 8
"""Messages that are worked on at a time; more wait, and each waits no longer than PATIENCE."""

PATIENCE = 20.0
RELOAD_SECONDS = 30.0
"""How often it is looked whether the certificate was renewed."""

_STATUS = {
    Took.UNAVAILABLE: 503,
    Took.FORBIDDEN: 403,
    Took.NOT_FOUND: 404,
    Took.UNCLEAR: 400,
    Took.RAISED: 200,
    Took.RESOLVED: 200,
    Took.UNCHANGED: 200,
}
"""The first of these that occurs is the answer's status: what is worth sending again above what is not."""


class Certificate:
    """A TLS certificate and key in files, read again when they were renewed."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Read them. Raises OSError, also (as ssl.SSLError) for files that are no certificate and its key."""
        self._chain, self._key = chain, key
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._seen = self._stamp()
        self.context.load_cert_chain(chain, key)

    async def follow(self) -> None:
        """Look for a new one until cancelled; a broken one leaves the old in use."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                stamp = self._stamp()
                if stamp != self._seen:
                    self.context.load_cert_chain(self._chain, self._key)
                    self._seen = stamp
                    _log.info("certificate read anew", file=str(self._chain))
            except OSError as error:
                _log.warning("certificate not read, the old one stays", error=type(error).__name__)

    def _stamp(self) -> tuple[int, int]:
        return self._chain.stat().st_mtime_ns, self._key.stat().st_mtime_ns


def application(signals: Signals) -> web.Application:
    """The endpoint."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def post(request: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(PATIENCE), gate:
                return await _answer(signals, request)
        except TimeoutError:
            return _refuse(503, "too slow: send it again")
        except web.HTTPRequestEntityTooLarge:
            return _refuse(413, f"more than {BODY_BYTES} bytes: send fewer alerts in one message")
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - what a stranger sends must not show him our insides
            _log.error("signal failed", error=repr(error))
            return _refuse(500, "failed; the operator's log says why")

    app = web.Application(client_max_size=BODY_BYTES)
    app.add_routes([web.post("/v1/signals", post), web.post("/v1/signals/{namespace}/{service}", post)])
    return app


async def serve_signals(context: Context, listen: str, certificate: Certificate | None) -> web.AppRunner:
    """Start serving; the caller cleans the runner up. Raises OSError when the address is taken."""
    runner = web.AppRunner(application(context.signals), access_log=None)
    await runner.setup()
    host, _, port = listen.rpartition(":")
    tls = certificate.context if certificate is not None else None
    await web.TCPSite(runner, host.strip("[]") or "0.0.0.0", int(port), ssl_context=tls).start()  # noqa: S104 - a pod serves its network
    return runner


async def _answer(signals: Signals, request: web.Request) -> web.Response:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return _refuse(401, "no token: send Authorization: Bearer TOKEN, of a ServiceAccount or `kubectl create token`")
    try:
        caller = await signals.who(token.strip())
    except Busy:
        return _refuse(429, "too many unknown tokens: send it again in a second")
    except ClusterError:
        return _refuse(503, "the API server cannot be asked whose token this is: send it again")
    if caller is None:
        return _refuse(401, "the API server does not know this token, or it has expired")
    place = request.match_info.get("namespace"), request.match_info.get("service")
    path: Key | None = (place[0], place[1]) if place[0] and place[1] else None
    try:
        told = understood(await request.read(), path, request.query.get("type", ""), time.time())
    except Unclear as unclear:
        return _refuse(400, str(unclear))
    return _tell(await signals.take(caller, told))


def _tell(taken: Sequence[Taken]) -> web.Response:
    status = next(code for took, code in _STATUS.items() if any(one.took is took for one in taken))
    results = [
        {"result": one.took.value, "message": one.message}
        | ({"namespace": one.service[0], "service": one.service[1]} if one.service else {})
        for one in taken
    ]
    return web.json_response({"results": results}, status=status)


def _refuse(status: int, message: str) -> web.Response:
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return web.json_response({"error": message}, status=status, headers=headers)
