"""The page of metrics: what is written by hand is what the library would have written."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from lastgood.services.metrics import Metrics


def test_lines_of_services_are_as_the_library_writes_them() -> None:
    metrics, registry = Metrics(), CollectorRegistry()
    labels = ["class", "code", "namespace", "objective", "service"]
    answers = Counter(
        "lastgood_http_answers", "Answers to probes, and those that sources count.", labels, registry=registry
    )
    health = Gauge(
        "lastgood_service_healthy", "1 healthy, 0 failing, -1 unknown.", ["namespace", "service"], registry=registry
    )
    for service, state, codes in (("a", 1, [200, 200]), ("b.c", 0, [503, 404]), ("d", -1, [])):
        metrics.health["shop", service] = state
        health.labels("shop", service).set(state)
        for code in codes:
            metrics.count_answer(("shop", service), code)
            answers.labels(f"{code // 100}xx", str(code), "shop", "", service).inc()
    metrics.count_answer(("shop", "a"), 503, 41.5, objective="errors")
    answers.labels("5xx", "503", "shop", "errors", "a").inc(41.5)
    expected = [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]

    page = metrics.page().decode()

    assert page.splitlines()[-len(expected) :] == expected
    families = [family.name for family in text_string_to_metric_families(page)]
    assert len(families) == len(set(families))
