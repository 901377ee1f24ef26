"""``lastgood run``: one process, one event loop, until told to stop."""

import argparse
import asyncio
import contextlib
import gc
import ipaddress
import signal
import sys
import time

import structlog
import uvloop

from lastgood.cli.logging import configure_logging
from lastgood.context import Context, Options, make, namespaces
from lastgood.handlers.watching import watch
from lastgood.web.server import Heart, serve
from lastgood.web.signals import Certificate, serve_signals

_log = structlog.get_logger(__name__)
PRUNE_SECONDS, FIRST_PRUNE_SECONDS = 600.0, 60.0
SLEPT_SECONDS = 5.0
"""A process that did nothing for longer has not looked at anything meanwhile."""
_COLLECT = (50_000, 20, 50)
"""Objects more than before that start a round over the young ones; every how many of those a round over older ones."""


def calm_collector() -> None:
    """Look for garbage rarely: of a probe's work nothing is left in cycles, and a full round takes half a second.

    What is there now, modules most of all, is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)


def run(arguments: argparse.Namespace) -> int:
    """Run the operator; 0 after SIGTERM or SIGINT, 1 when it could not start or a part of it died."""
    configure_logging(arguments.log_format, arguments.log_level)
    try:
        for cidr in arguments.deny_cidr:
            ipaddress.ip_network(cidr, strict=False)
    except ValueError as error:
        sys.stderr.write(f"--deny-cidr: {error}: write a network such as 10.0.0.0/8\n")
        return 2
    dsn = ""
    if arguments.history_dsn_file is not None:
        try:
            dsn = arguments.history_dsn_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            sys.stderr.write(f"--history-dsn-file cannot be read ({type(error).__name__}): write the file's name\n")
            return 2
    tls = (arguments.signals_certificate, arguments.signals_key)
    if (tls[0] is None) != (tls[1] is None):
        sys.stderr.write("--signals-certificate and --signals-key go together: name both files, or neither\n")
        return 2
    options = Options(
        namespaces=namespaces(arguments.namespaces),
        lease_namespace=arguments.lease_namespace,
        lease_name=arguments.lease_name,
        listen=arguments.listen,
        deny_cidrs=tuple(arguments.deny_cidr),
        allow_loopback=arguments.allow_loopback,
        storm_limit=arguments.storm_limit,
        history=arguments.history,
        history_bytes=arguments.history_bytes,
        history_dsn=dsn,
        signals_listen=arguments.signals_listen,
        signals_certificate=None if tls[0] is None else tls,
        backup_image=arguments.backup_image,
        backup_roles=arguments.backup_roles,
        kubeconfig=arguments.kubeconfig,
        context=arguments.context,
    )
    try:
        return uvloop.run(_main(options))
    except KeyboardInterrupt:
        return 0


async def _beat(heart: Heart, context: Context) -> None:
    while True:
        heart.last, before = time.monotonic(), time.time()
        await asyncio.sleep(1)
        # A suspended machine may stop the monotonic clock; one that is set forward has let no time pass.
        slept = max(time.monotonic() - heart.last, time.time() - before) - 1
        if slept >= SLEPT_SECONDS:
            _log.warning("stood still", seconds=round(slept, 1))
            context.controller.slept(slept)


async def _prune(context: Context) -> None:
    # Soon for the first time: what went between the first look and the watches' own, these do not tell.
    await asyncio.sleep(FIRST_PRUNE_SECONDS)
    while True:
        await context.intake.prune(context.cluster)
        if context.options.backup_image:
            await context.backup_intake.prune(context.cluster)
        await asyncio.sleep(PRUNE_SECONDS)


async def _main(options: Options) -> int:
    calm_collector()
    context = await make(options)
    heart, stop = Heart(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def heed_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    def began() -> None:
        heart.watching = True
        # Kopf sets signal handlers of its own at its start, which would hide ours: set them again once it runs.
        loop.call_later(0.2, heed_signals)

    heed_signals()
    served = [await serve(context, heart)]
    background = []
    if options.signals_listen:
        certificate = Certificate(*options.signals_certificate) if options.signals_certificate else None
        served.append(await serve_signals(context, options.signals_listen, certificate))
        if certificate is not None:
            background.append(asyncio.create_task(certificate.follow(), name="certificate"))
    watching = asyncio.create_task(watch(context, options.namespaces, stop, began), name="watch")
    tasks = [
        watching,
        asyncio.create_task(_beat(heart, context), name="beat"),
        asyncio.create_task(_prune(context), name="prune"),
        asyncio.create_task(context.controller.run(), name="controller"),
        asyncio.create_task(context.backups.run(), name="backups"),
        asyncio.create_task(context.leadership.run(), name="leadership"),
        *background,
    ]
    stopped = asyncio.create_task(stop.wait(), name="stop")
    _log.info("started", namespaces=options.namespaces or "all", listen=options.listen)
    done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    # Kopf may take the signal before we do, and then ends the watch in good order.
    orderly = watching.done() and not watching.cancelled() and watching.exception() is None
    failed = [] if stop.is_set() or orderly else [t for t in done if t is not stopped]
    for task in failed:
        error = None if task.cancelled() else task.exception()
        _log.error("a part of the operator ended", part=task.get_name(), error=repr(error))
    stop.set()
    for task in [*tasks[1:], stopped]:
        task.cancel()
    await asyncio.gather(*tasks[1:], stopped, return_exceptions=True)
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(5):
            await asyncio.gather(watching, return_exceptions=True)
    for web in served:
        await web.cleanup()
    await context.aclose()
    return 1 if failed else 0
