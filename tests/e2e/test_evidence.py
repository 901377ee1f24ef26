"""What tells of a breach on a real node, and what says nothing: signals, a Prometheus that is away, a restart."""

import datetime as dt
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.backing import node_address
from tests.e2e.cluster import Cluster
from tests.e2e.kube import Kube, until
from tests.e2e.objects import app, service
from tests.e2e.operator_process import Operator
from tests.e2e.test_objectives import objective, standing
from tests.e2e.test_rollback import become_good, rollbacks, running_version
from tests.workers import number as worker_number

pytestmark = pytest.mark.e2e
Object = dict[str, Any]
HOUR = {"healthFailing": {"for": "1h"}}
POST = """
import sys, urllib.error, urllib.request
url, token, body = sys.argv[1:]
head = {'Content-Type': 'application/json', **({'Authorization': 'Bearer ' + token} if token else {})}
try:
    with urllib.request.urlopen(urllib.request.Request(url, body.encode(), head), timeout=30) as answer:
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


def release_v2(kube: Kube, **more: Any) -> None:
    """A release whose probes pass, and which is not seen to be good for a while."""
    patch = json.dumps({"spec": {"stability": {"soak": "10m"}}})
    kube.run("patch", "monitoredservice", "app", "--type=merge", "-p", patch)
    kube.apply(app(version="v2.0.0", **more))

    def seen() -> bool:
        status = (kube.get("monitoredservice", "app") or {}).get("status") or {}
        return bool((status.get("current") or {}).get("version") == "v2.0.0")

    until(seen, within=60, says="v2 is seen")


def alert() -> Object:
    """A message as Alertmanager sends it."""
    one = {
        "status": "firing",
        "labels": {"alertname": "ShellInContainer", "lastgood_signal": "SecurityIncident"},
        "annotations": {"summary": "a shell was run in a container"},
        "startsAt": dt.datetime.now(tz=dt.UTC).isoformat().replace("+00:00", "Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "79f1a2c3d4e5f607",
    }
    return {"version": "4", "status": "firing", "receiver": "lastgood", "groupKey": "{}", "alerts": [one]}


def test_a_signal_by_a_webhook_with_a_good_token_without_the_right_and_without_a_token(
    cluster: Cluster, kube: Kube, spawn: Callable[..., Operator]
) -> None:
    port = 19080 + worker_number()
    operator = spawn("--signals-listen", f"127.0.0.1:{port}")
    operator.wait_for_log('"leading"')
    kube.apply(app(), service())
    become_good(kube, rollback={"triggers": {**HOUR, "signals": [{"type": "SecurityIncident"}]}})
    release_v2(kube)
    rule = ["--verb=create", "--resource=monitoredservices.lastgood.dev/signals"]
    kube.run("create", "role", "signaller", *rule)
    for name in ("falco", "nobody"):
        kube.run("create", "serviceaccount", name)
    kube.run("create", "rolebinding", "signaller", "--role=signaller", f"--serviceaccount={kube.namespace}:falco")

    def post(token: str, body: Object) -> str:
        url = f"http://127.0.0.1:{port}/v1/signals/{kube.namespace}/app"
        command = [*cluster.exec_prefix, sys.executable, "-c", POST, url, token, json.dumps(body)]
        return subprocess.run(command, text=True, capture_output=True, check=True, timeout=60).stdout.strip()

    def token_of(name: str) -> str:
        return kube.run("create", "token", name).stdout.strip()

    plain = {"type": "SecurityIncident", "reason": "a shell in a container"}
    assert post("", plain) == "401"
    assert post(token_of("nobody"), plain) == "403"
    assert rollbacks(kube) == []
    assert running_version(kube) == "v2.0.0"
    assert post(token_of("falco"), alert()) == "200"
    done = until(lambda: rollbacks(kube), within=60, says="it is rolled back")
    assert done[0]["spec"]["trigger"]["type"] == "Signal"
    assert running_version(kube) == "v1.0.0"
    until(lambda: "SignalRaised" in dict(kube.events()), within=10, says="an Event tells who and why")


CONFIG = """
global: {scrape_interval: 1s, scrape_timeout: 900ms}
scrape_configs: [{job_name: self, static_configs: [{targets: ["127.0.0.1:%d"]}]}]
"""


class Prometheus:
    """A real one in the node's network, which scrapes itself."""

    def __init__(self, cluster: Cluster, kube: Kube, folder: Path, port: int) -> None:
        self._cluster, self._folder, self._port = cluster, folder, port
        self.url = f"http://{node_address(kube)}:{port}"
        (folder / "prometheus.yml").write_text(CONFIG % port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [self._cluster.tool("prometheus"), f"--config.file={self._folder}/prometheus.yml"]
        command += [f"--storage.tsdb.path={self._folder}/data", f"--web.listen-address=:{self._port}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*self._cluster.exec_prefix, *command], stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process = None


@pytest.fixture
def prometheus(cluster: Cluster, kube: Kube, tmp_path: Path) -> Iterator[Prometheus]:
    made = Prometheus(cluster, kube, tmp_path, 19180 + worker_number())
    made.start()
    yield made
    made.stop()


def test_a_prometheus_that_is_away_for_longer_than_the_window_breaches_nothing(
    kube: Kube, prometheus: Prometheus, operator: Operator
) -> None:
    window = 8
    kube.apply(
        objective(
            "reach",
            {"prometheus": {"url": prometheus.url}},
            {"value": {"series": {"query": "min(up)"}}},
            interval="1s",
            timeout="900ms",
            window=f"{window}s",
            target={"above": "1"},
            alerts=[{"severity": "critical", "threshold": "0.5"}],
        ),
        app(),
        service(),
    )
    triggers = {**HOUR, "objectives": [{"name": "reach", "severity": "critical"}]}
    become_good(kube, objectives=[{"name": "reach"}], rollback={"triggers": triggers})
    until(lambda: standing(kube, "app", "reach").get("state") == "Met", within=60, says="it is measured and met")
    release_v2(kube)
    prometheus.stop()
    until(lambda: standing(kube, "app", "reach").get("state") == "Unknown", within=60, says="nothing is known")
    assert standing(kube, "app", "reach")["reason"] == "SourceDown"
    time.sleep(2 * window)
    assert (standing(kube, "app", "reach")["state"], kube.all("rollbacks")) == ("Unknown", [])
    prometheus.start()
    until(lambda: standing(kube, "app", "reach").get("state") == "Met", within=60, says="it is measured again")
    assert kube.all("rollbacks") == []
    assert running_version(kube) == "v2.0.0"


@pytest.mark.long
def test_an_operator_that_is_killed_in_the_middle_of_an_alerts_time_begins_no_new_one(
    kube: Kube, spawn: Callable[..., Operator]
) -> None:
    patience = 30
    first = spawn()
    first.wait_for_log('"leading"')
    kube.apply(
        objective(
            "latency",
            {"probe": {}},
            {"quantile": {"of": "95%"}},
            interval="1s",
            timeout="900ms",
            window="5s",
            unknownAfter="1m",
            target={"below": "100ms"},
            alerts=[{"severity": "critical", "threshold": "300ms", "for": f"{patience}s"}],
        ),
        app(),
        service(),
    )
    triggers = {**HOUR, "objectives": [{"name": "latency", "severity": "critical"}]}
    become_good(kube, objectives=[{"name": "latency"}], rollback={"triggers": triggers})
    until(lambda: standing(kube, "app", "latency").get("state") == "Met", within=60, says="it is met")
    release_v2(kube, env={"DELAY": "0.5"})

    def exceeded() -> str:
        texts = standing(kube, "app", "latency").get("failingSince") or ()
        return next((text.partition("=")[2] for text in texts), "")

    began = dt.datetime.fromisoformat(until(exceeded, within=60, says="it is exceeded")).timestamp()
    until(lambda: time.time() > began + patience / 2, within=patience, says="half of its time is over")
    first.kill()
    killed = time.time()
    spawn().wait_for_log('"leading"')
    gap = time.time() - killed
    done = until(lambda: rollbacks(kube), within=120, says="it is rolled back")
    at = dt.datetime.fromisoformat(done[0]["metadata"]["creationTimestamp"]).timestamp()
    # What nobody saw does not count; all that was seen before does.
    assert began + patience - 1 <= at < began + patience + gap + patience / 3, (at - began, gap)
    assert running_version(kube) == "v1.0.0"
