"""/metrics, /healthz and /readyz."""

import asyncio
import time

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from lastgood.context import Context


class Heart:
    """Beats once a second; a loop that hangs stops it, and liveness fails."""

    LIMIT = 15.0
    """Seconds without a beat after which the process counts as hanging."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.watching = False

    @property
    def alive(self) -> bool:
        """Whether the event loop turns."""
        return time.monotonic() - self.last < self.LIMIT


async def serve(context: Context, heart: Heart) -> web.AppRunner:
    """Start serving; the caller cleans the runner up. Raises OSError when the address is taken."""

    async def metrics(_: web.Request) -> web.Response:
        # In a thread: ten thousand lines would hold up the probes that are due meanwhile.
        text = await asyncio.to_thread(context.metrics.page)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if heart.alive else web.Response(status=503, text="the event loop hangs\n")

    async def readyz(_: web.Request) -> web.Response:
        # A follower is ready: it watches, and takes over. Readiness says whether the watches have begun.
        if heart.watching:
            return web.Response(text="leader\n" if context.leadership.leading else "follower\n")
        return web.Response(status=503, text="not watching yet\n")

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    host, _, port = context.options.listen.rpartition(":")
    await web.TCPSite(runner, host.strip("[]") or "0.0.0.0", int(port)).start()  # noqa: S104 - a pod serves its network
    return runner
