"""Names to addresses: what is kept, what is shared, and what is refused."""

import asyncio
import socket
import threading
from typing import Any

import pytest
from tests.unit.probes.servers import LOOPBACK, ask

from lastgood.domain.addresses import AddressPolicy
from lastgood.domain.outcome import ProbeReason, Verdict
from lastgood.probes.base import Failure
from lastgood.probes.factory import Probes
from lastgood.probes.resolver import Resolver


class Names:
    """A name server of the test's own, that counts what it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses or ("10.0.0.1",)
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.now = 1000.0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, host: str, *_: Any, **__: Any) -> list[Any]:
        self.asked.append(host)
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in self.addresses]

    def resolver(self, policy: AddressPolicy = LOOPBACK, **options: Any) -> Resolver:
        return Resolver(policy, lookup=self, clock=lambda: self.now, **options)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a thread changes it, and knows no events
            await asyncio.sleep(0.001)


async def test_an_answer_is_kept_for_a_while() -> None:
    names = Names("10.0.0.1", "10.0.0.2")
    resolver = names.resolver()
    assert await resolver.addresses("db") == ("10.0.0.1", "10.0.0.2")
    names.now += 9
    assert await resolver.addresses("db") == ("10.0.0.1", "10.0.0.2")
    assert names.asked == ["db"]
    names.now += 7
    names.addresses = ("10.0.0.3",)
    assert await resolver.addresses("db") == ("10.0.0.3",)
    await resolver.aclose()


async def test_an_answer_in_use_is_refreshed_behind_the_probe() -> None:
    names = Names()
    resolver = names.resolver()
    await resolver.addresses("db")
    names.now += 11
    names.addresses = ("10.0.0.2",)
    assert await resolver.addresses("db") == ("10.0.0.1",)
    await until(lambda: len(names.asked) == 2)
    await until(lambda: "db" not in resolver._flights)
    assert await resolver.addresses("db") == ("10.0.0.2",)
    await resolver.aclose()


async def test_a_refresh_that_fails_leaves_the_answer_until_it_ends() -> None:
    names = Names()
    resolver = names.resolver()
    await resolver.addresses("db")
    names.now += 11
    names.error = socket.gaierror(socket.EAI_AGAIN, "x")
    await resolver.addresses("db")
    await until(lambda: "db" not in resolver._flights)
    assert await resolver.addresses("db") == ("10.0.0.1",)
    names.now += 5
    with pytest.raises(Failure) as failure:
        await resolver.addresses("db")
    assert failure.value.reason is ProbeReason.DNS_UNAVAILABLE
    await resolver.aclose()


async def test_those_who_ask_together_share_one_look_up_even_when_the_first_gives_up() -> None:
    names = Names()
    names.gate.clear()
    resolver = names.resolver()
    first, *others = [asyncio.create_task(resolver.addresses("db")) for _ in range(20)]
    await until(lambda: names.asked)
    first.cancel()
    names.gate.set()
    assert set(await asyncio.gather(*others)) == {("10.0.0.1",)}
    assert names.asked == ["db"]
    await resolver.aclose()


async def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastgood.probes.resolver._CAPACITY", 10)
    names = Names()
    resolver = names.resolver()
    for number in range(50):
        await resolver.addresses(f"host-{number}")
        await resolver.addresses(f"10.1.0.{number}")
    assert len(resolver._known) == 10
    await resolver.aclose()


async def test_a_name_that_hangs_holds_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastgood.probes.resolver._SLOW", 0.0)
    names = Names()
    resolver = names.resolver(threads=1, slow_threads=1)
    await resolver.addresses("tarpit")
    monkeypatch.setattr("lastgood.probes.resolver._SLOW", 60.0)
    names.now += 60
    names.gate.clear()
    hanging = asyncio.create_task(resolver.addresses("tarpit"))
    await until(lambda: names.asked.count("tarpit") == 2)
    quick = asyncio.create_task(resolver.addresses("db"))
    # The tarpit has the slow lane's only thread, so this one can be asked only on the other.
    await until(lambda: "db" in names.asked)
    names.gate.set()
    await asyncio.gather(hanging, quick)
    await resolver.aclose()


@pytest.mark.parametrize(
    ("error", "reason", "verdict"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), ProbeReason.DNS_NOT_FOUND, Verdict.FAIL),
        (socket.gaierror(socket.EAI_NODATA, "x"), ProbeReason.DNS_NOT_FOUND, Verdict.FAIL),
        (socket.gaierror(socket.EAI_AGAIN, "x"), ProbeReason.DNS_UNAVAILABLE, Verdict.UNKNOWN),
        (socket.gaierror(socket.EAI_FAIL, "x"), ProbeReason.DNS_UNAVAILABLE, Verdict.UNKNOWN),
        (OSError(24, "x"), ProbeReason.DNS_UNAVAILABLE, Verdict.UNKNOWN),
    ],
)
async def test_what_a_failed_look_up_means(error: Exception, reason: ProbeReason, verdict: Verdict) -> None:
    names = Names()
    names.error = error
    outcome = await ask(probes=Probes(LOOPBACK, resolver=names.resolver()), tcp={"host": "db", "port": 5432})
    assert (outcome.reason, outcome.verdict) == (reason, verdict)


async def test_a_name_server_that_says_nothing_is_not_the_services_fault() -> None:
    names = Names()
    names.gate.clear()
    probes = Probes(LOOPBACK, resolver=names.resolver())
    outcome = await ask(probes=probes, tcp={"host": "db", "port": 1}, timeout="100ms")
    names.gate.set()
    assert (outcome.reason, outcome.verdict) == (ProbeReason.DNS_UNAVAILABLE, Verdict.UNKNOWN)
    assert outcome.seconds < 3


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("169.254.169.254", "a link-local address"),
        ("127.0.0.1", "a loopback address"),
        ("::1", "a loopback address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:169.254.169.254", "a link-local address"),
        ("64:ff9b::169.254.169.254", "in a denied network"),
        ("0x7f.1", "a loopback address"),
        ("2130706433", "a loopback address"),
        ("127.1", "a loopback address"),
        ("0", "the unspecified address"),
        ("0.0.0.0", "the unspecified address"),
        ("::", "the unspecified address"),
        ("224.0.0.1", "a multicast address"),
        ("localhost", "a loopback address"),
        ("10.9.8.7", "in a denied network"),
    ],
)
@pytest.mark.parametrize("kind", ["tcp", "http"])
async def test_addresses_in_any_notation_are_checked(kind: str, host: str, words: str) -> None:
    probes = Probes(AddressPolicy.of(["10.9.0.0/16"]))
    url_host = f"[{host}]" if ":" in host else host
    spec: dict[str, Any] = (
        {"tcp": {"host": host, "port": 1}} if kind == "tcp" else {"http": {"url": f"http://{url_host}:1/"}}
    )
    outcome = await ask(probes=probes, **spec)
    assert (outcome.reason, outcome.verdict) == (ProbeReason.ADDRESS_DENIED, Verdict.UNKNOWN)
    assert outcome.detail == f"the host is {words}, which probes may not reach"


async def test_one_denied_address_denies_the_name() -> None:
    names = Names("10.0.0.1", "169.254.169.254")
    resolver = names.resolver()
    with pytest.raises(Failure) as failure:
        await resolver.addresses("rebinding")
    assert failure.value.reason is ProbeReason.ADDRESS_DENIED
    assert "169" not in failure.value.detail
    await resolver.aclose()


async def test_a_host_that_cannot_be_a_name_does_not_exist() -> None:
    outcome = await ask(tcp={"host": "a" * 100 + ".test", "port": 1})
    assert outcome.reason in {ProbeReason.DNS_NOT_FOUND, ProbeReason.DNS_UNAVAILABLE}
