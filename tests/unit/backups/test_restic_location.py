from dataclasses import replace
from pathlib import Path

import pytest

from lastgood.api.repositories import Repository
from lastgood.backups.restic_location import Location, locate
from lastgood.domain.backups.ports import JobFailed, Places

KEYS = {"accessKeyId": {"name": "s", "key": "a"}, "secretAccessKey": {"name": "s", "key": "b"}}


@pytest.fixture
def places(tmp_path: Path) -> Places:
    places = Places(tmp_path / "c", tmp_path / "v")
    for name in ("primary", "second"):
        (tmp_path / "c" / "repositories" / name).mkdir(parents=True)
        (tmp_path / "v" / "repositories" / name).mkdir(parents=True)
        for file in ("access-key-id", "secret-access-key", "private-key", "known-hosts"):
            (tmp_path / "c" / "repositories" / name / file).write_text(f"{file}-{name}\n")
    return places


def at(places: Places, body: dict[str, object], name: str = "primary") -> Location:
    return locate(name, Repository.model_validate(body), places, "shop", "orders")


def test_a_volume(places: Places) -> None:
    found = at(places, {"volume": {"claim": "c", "path": "../deep//er/"}})
    assert found.url == str(places.repository("primary") / "deep" / "er" / "orders")
    assert found.folder == Path(found.url)
    assert found.server is None


def test_a_bucket(places: Places) -> None:
    found = at(
        places, {"s3": {"endpoint": "http://minio:9000", "bucket": "bkt", "prefix": "/p/", "region": "x", **KEYS}}
    )
    assert found.url == "s3:http://minio:9000/bkt/p/shop/orders"
    assert found.server == ("minio", 9000)
    assert found.environment["AWS_SECRET_ACCESS_KEY"] == "secret-access-key-primary"
    assert found.secrets == ("secret-access-key-primary",)
    assert "secret-access-key-primary" not in f"{found!r}{found.options}{found.shown}"
    assert at(places, {"s3": {"endpoint": "s3.test", "bucket": "bkt", **KEYS}}).server == ("s3.test", 443)


def test_a_host(places: Places) -> None:
    body = {"host": "h", "port": 2222, "user": "u", "path": "/a/b", "privateKey": {"name": "s", "key": "k"}}
    found = at(places, {"sftp": {**body, "knownHosts": {"name": "s", "key": "k"}}})
    assert found.url == "sftp://u@h:2222//a/b/shop/orders"
    assert found.options[1].startswith("sftp.command=ssh -F none -i ")
    assert "StrictHostKeyChecking=yes" in found.options[1]
    relative = at(places, {"sftp": {**body, "path": "a", "knownHosts": {"name": "s", "key": "k"}}})
    assert relative.url == "sftp://u@h:2222/a/shop/orders"


def test_what_is_missing_is_named(places: Places) -> None:
    places.credential("repositories/primary/secret-access-key").unlink()
    with pytest.raises(JobFailed) as caught:
        at(places, {"s3": {"endpoint": "http://minio:9000", "bucket": "bkt", **KEYS}})
    assert (caught.value.reason, "secret-access-key" in caught.value.message) == ("CredentialMissing", True)


def test_one_restic_serves_two_places_only_with_one_set_of_credentials(places: Places) -> None:
    bucket: dict[str, object] = {"s3": {"endpoint": "http://minio:9000", "bucket": "bkt", **KEYS}}
    first, second = at(places, bucket), at(places, bucket, "second")
    volume = at(places, {"volume": {"claim": "c"}}, "second")
    assert first.goes_with(volume)
    assert volume.goes_with(first)
    assert not first.goes_with(second)
    assert first.goes_with(replace(second, environment=first.environment))
    assert not replace(first, options=("-o", "a")).goes_with(first)
    body = {"host": "h", "user": "u", "path": "/a", "privateKey": {"name": "s", "key": "k"}}
    host = at(places, {"sftp": {**body, "knownHosts": {"name": "s", "key": "k"}}})
    assert host.goes_with(first)
    assert not host.goes_with(replace(host, options=("-o", "sftp.command=other")))
