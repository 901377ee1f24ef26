"""Manifests of the kinds of backups that between them have every field that a rule stands on, and cases for the rules."""

import copy
import json
from typing import Any

from lastgood.api import API_VERSION

Object = dict[str, Any]
Cases = tuple[list[Any], list[Any]]

_CA = {"secretKeyRef": {"name": "ca", "key": "ca.crt"}}
_CA_MAP = {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}
_KEY, _SECRET, _DSN = ({"name": "credentials", "key": key} for key in ("id", "secret", "dsn"))
_VOLUME = {"volume": {"claim": "backups", "path": "lastgood"}}
_S3 = {
    "s3": {"endpoint": "https://s3", "bucket": "bucket", "prefix": "p", "accessKeyId": _KEY, "secretAccessKey": _SECRET}
}
_SFTP = {"sftp": {"host": "nas", "user": "backup", "path": "/srv/backups", "privateKey": _KEY, "knownHosts": _SECRET}}
_PASSPHRASE = {"secretKeyRef": {"name": "backup-key", "key": "passphrase"}}
_CHECK = {"name": "orders", "sql": "SELECT count(*) > 0 FROM orders"}


def _s3(**more: Any) -> Object:
    return {"s3": {**_S3["s3"], **more}}


def made(kind: str, spec: Object, name: str = "shop") -> Object:
    """An object of a kind, nothing shared with any other."""
    whole: Object = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    # Not deepcopy: what is one object in two places stays one, and a case would change both.
    copied: Object = json.loads(json.dumps(whole))
    return copied


def spec(source: Object, primary: Object, *secondary: Object, **more: Any) -> Object:
    """Of a BackupSchedule."""
    copies = [{"name": f"copy-{n}", **place} for n, place in enumerate(secondary)]
    repositories = {"primary": primary, **({"secondary": copies} if copies else {})}
    return {"source": source, "repositories": repositories, "encryption": _PASSPHRASE, **more}


def _postgres(**more: Any) -> Object:
    return {"postgres": {"dsn": _DSN, **more}}


SPECS: dict[str, Object] = {
    "dumps": spec(_postgres(), _S3),
    "wal": spec(
        _postgres(ca=_CA, spool="spool"),
        _VOLUME,
        _SFTP,
        schedule={
            "full": "0 2 * * *",
            "incremental": "0 * * * *",
            "timeZone": "Europe/Berlin",
            "jitter": "5m",
            "deadline": "2h",
            "startingDeadline": "24h",
        },
        encryption={**_PASSPHRASE, "previous": {"name": "backup-key", "key": "before"}},
        retention={"within": "720h"},
        verification={
            "dataSample": {"schedule": "30 4 * * *", "share": "5%"},
            "restoreTest": {"schedule": "0 5 * * 0", "assertions": [_CHECK]},
            "fullCheck": {"schedule": "0 6 1 * *"},
        },
        rpo="1h",
        rto="4h",
        job={"serviceAccount": "backups", "nodeSelector": {"disk": "ssd"}},
    ),
    "some databases": spec(
        _postgres(ca=_CA_MAP, method="logical", databases=["shop", "users"]),
        _s3(ca=_CA),
        _s3(bucket="other"),
        suspend=True,
    ),
    "redis": spec({"redis": {"url": _DSN, "ca": _CA}}, _SFTP, {**_s3(ca=_CA_MAP), "name": "s3"}),
    "redis by ConfigMap": spec({"redis": {"url": _DSN, "ca": _CA_MAP}}, _s3(ca=_CA_MAP), _VOLUME),
    "volumes": spec(
        {"volume": {"claims": ["vectors", "rules"], "exclude": ["*.tmp"], "mountedBy": {"app": "search"}}},
        _VOLUME,
        _s3(ca=_CA),
    ),
    "logs": spec({"logs": {"workloads": [{"name": "backend"}]}}, _VOLUME, retention={"within": "720h"}),
    "config": spec({"config": {"resources": ["configmaps", "services"], "secrets": True}}, _VOLUME),
}

_TO = {"latest": True}
_DEPLOYMENT, _SET = {"name": "backend"}, {"kind": "StatefulSet", "name": "worker"}

RESTORES: dict[str, Object] = {
    "swap": {
        "schedule": "shop",
        "to": _TO,
        "into": {"swap": True},
        "stop": [_DEPLOYMENT, _SET],
        "services": ["backend"],
        "assertions": [_CHECK],
        "timeout": "4h",
        "dsn": _DSN,
        "rollback": "shop-1",
        "serviceAccount": "config-restore",
    },
    "in time": {
        "schedule": "shop",
        "to": {"time": "2027-01-15T08:00:00Z"},
        "into": {"inPlace": True},
        "server": {"statefulSet": "postgres", "claim": "data-postgres-0", "subPath": "pgdata"},
        "stop": [_DEPLOYMENT],
    },
    "beside": {"schedule": "shop", "to": {"backup": "shop-7"}, "into": {"newDatabase": {"name": "shop_before"}}},
    "new claim": {
        "schedule": "vectors",
        "repository": "offsite",
        "into": {"newVolume": {"claim": "vectors-before", "size": "1Gi", "storageClass": "standard"}},
    },
}


def but(name: str, **changes: Any) -> Object:
    """One of the specs with some of its fields others."""
    return {**copy.deepcopy(SPECS[name]), **changes}


MANIFESTS: dict[str, Object] = {
    **{name: made("BackupSchedule", body) for name, body in SPECS.items()},
    **{f"restore {name}": made("Restore", body) for name, body in RESTORES.items()},
    "backup": made("Backup", {"schedule": "shop", "type": "Full", "reason": "before the migration"}),
}


def _repositories(primary: Object, *secondary: Object) -> Object:
    return spec({}, primary, *secondary)["repositories"]  # type: ignore[no-any-return]


def _times(full: str, incremental: str | None = None) -> Object:
    return {"schedule": {"full": full, **({"incremental": incremental} if incremental else {})}}


def _aimed(rpo: str, full: str = "0 2 * * *", incremental: str | None = None, **source: Any) -> Object:
    """A schedule with an RPO; of dumps, or of the source that is named."""
    return but("dumps", source=source or _postgres(method="logical"), rpo=rpo, **_times(full, incremental))


_REDIS = {"url": _DSN}
_ONLY_SPOOL = "spool is for what method wal receives: write method: wal, or leave spool out"
_WHOLE_SERVER = "wal and physical back up the whole server: write method: logical, or leave databases out"
_RPO = (
    "this schedule cannot meet its rpo, even when all goes well: a backup holds what was there at its start, and the "
    'next one ends more than an interval later. Write schedule.incremental more often, such as "*/15 * * * *", a longer '
    "rpo, or method: wal for postgres"
)

_CLAIM = {"volume": {"claim": "vectors"}}
_SPOOLED = _postgres(method="wal", spool="backups")
_SERVED, _SERVER = RESTORES["in time"], RESTORES["in time"]["server"]

SPEC_CASES: dict[str, Cases] = {
    "logs and config are whole each time: leave schedule.incremental out, or write schedule.full more often": (
        [but("logs", **_times("0 * * * *")), but("config"), but("volumes", **_times("0 2 * * *", "0 * * * *"))],
        [but("logs", **_times("0 2 * * *", "0 * * * *")), but("config", **_times("0 2 * * *", "0 * * * *"))],
    ),
    _ONLY_SPOOL: (
        [
            but("dumps", source=_postgres(method="wal", spool="spool")),
            but("dumps", source=_postgres(spool="spool"), rpo="1h"),
            but("dumps", source=_postgres(method="physical")),
        ],
        [
            but("dumps", source=_postgres(spool="spool")),
            but("dumps", source=_postgres(method="logical", spool="spool")),
            but("dumps", source=_postgres(method="physical", spool="spool")),
        ],
    ),
    _WHOLE_SERVER: (
        [
            but("dumps", source=_postgres(databases=["shop"])),
            but("dumps", source=_postgres(method="wal", databases=[])),
            but("dumps", source=_postgres(method="logical", databases=["shop"]), rpo="2h"),
        ],
        [
            but("dumps", source=_postgres(databases=["shop"]), rpo="2h"),
            but("dumps", source=_postgres(method="wal", databases=["shop"])),
            but("dumps", source=_postgres(method="physical", databases=["shop"])),
        ],
    ),
    "assertions are SQL: leave verification.restoreTest.assertions out unless source is postgres": (
        [
            but("dumps", verification={"restoreTest": {"assertions": [_CHECK]}}),
            but("redis", verification={"restoreTest": {"assertions": []}}),
        ],
        [
            but(name, verification={"restoreTest": {"assertions": [_CHECK]}})
            for name in ("redis", "volumes", "logs", "config")
        ],
    ),
    "a backup on the claim that it is made of is lost with it: write another claim for the repository": (
        [but("volumes"), but("config", repositories=_repositories(_CLAIM))],
        [
            but("volumes", repositories=_repositories(_CLAIM)),
            but("volumes", repositories=_repositories({"volume": {"claim": "rules", "path": "apart"}})),
            but("volumes", repositories=_repositories(_VOLUME, _S3, _CLAIM)),
        ],
    ),
    "a full spool would stop the repository on the same claim: write another claim for spool, or leave it out": (
        [but("wal"), but("wal", source=_postgres(method="wal")), but("wal", repositories=_repositories(_S3))],
        [
            but("wal", source=_SPOOLED),
            but("wal", source=_SPOOLED, repositories=_repositories(_S3, _SFTP, _VOLUME)),
        ],
    ),
    _RPO: (
        [
            but("dumps", source=_postgres(), rpo="1m"),
            but("dumps", source=_postgres(method="physical"), rpo="1h"),
            _aimed("61m"),
            _aimed("3601s"),
            _aimed("1h", incremental="*/15 * * * *"),
            _aimed("1h", "*/30 * * * *"),
            _aimed("15m", incremental="*/20,*/7 * * * *"),
            _aimed("10m", incremental="0 8-18 * * 1-5"),
            _aimed("13h", incremental="0 14 * * *"),
            _aimed("25h", redis=_REDIS),
            _aimed("50m", redis=_REDIS, full="*/45 * * * *"),
            _aimed("721h", "0 2 1 * *", config={}),
            _aimed("673h", "0 2 1 * *", config={}),
            _aimed("169h", "0 2 * * sun", logs={"workloads": [_DEPLOYMENT]}),
            _aimed("5h", "30 */4 * * *", redis=_REDIS),
            _aimed("1h10m", incremental="*/90 * * * *"),
        ],
        [
            _aimed("1h"),
            _aimed("60m"),
            _aimed("30m", incremental="0 * * * *"),
            _aimed("15m", incremental="*/15 * * * *"),
            _aimed("1m", incremental="* * * * *"),
            _aimed("1h", incremental="*/90 * * * *"),
            _aimed("12h", incremental="0 14 * * *"),
            but("dumps", source=_postgres(method="physical"), rpo="1h", **_times("0 2 * * *", "0 * * * *")),
            _aimed("24h", redis=_REDIS),
            _aimed("45m", redis=_REDIS, full="*/45 * * * *"),
            _aimed("672h", "0 2 1 * *", config={}),
            _aimed("168h", "0 2 * * SUN", logs={"workloads": [_DEPLOYMENT]}),
            _aimed("168h", "0 2 * * 0", logs={"workloads": [_DEPLOYMENT]}),
            _aimed("4h", "30 */4 * * *", redis=_REDIS),
            _aimed("24h", "30 */48 * * *", redis=_REDIS),
        ],
    ),
    "server is stopped only where its own volume is written: write into.inPlace: true, or leave server out": (
        [_SERVED, {"schedule": "shop", "server": _SERVER}],
        [
            {**_SERVED, "into": into}
            for into in (
                {"swap": True},
                {"newDatabase": {"name": "a"}},
                {"newVolume": {"claim": "a", "size": "1Gi"}},
            )
        ],
    ),
    "server is stopped at its own time, after the safety backup: leave it out of stop": (
        [{**_SERVED, "stop": [{"name": "postgres"}, _SET]}],
        [
            {**_SERVED, "stop": [{"kind": "StatefulSet", "name": "postgres"}]},
            {**_SERVED, "stop": [_SET, {"kind": "StatefulSet", "name": "postgres"}]},
        ],
    ),
}
"""Sentence to whole specs that are taken and refused."""

_CAS = "write exactly one of secretKeyRef or configMapKeyRef: a CA bundle has one source"
_PLACES = ("repositories.primary", "repositories.secondary[]")


def _named(place: str, body: Object) -> Object:
    return {"name": "copy", **body} if place.endswith("[]") else body


PARTS: dict[tuple[str, str], Cases] = {
    (
        "spec.source",
        "write exactly one of postgres, redis, volume, logs or config: a schedule backs up one source",
    ): (
        [_postgres(), {"redis": _REDIS}, {"volume": {"claims": ["a"]}}, {"config": {}}],
        [{}, {**_postgres(), "redis": _REDIS}, {"config": {}, "volume": {"claims": ["a"]}}],
    ),
    **{
        (f"spec.{place}", "write exactly one of volume, s3 or sftp: a repository is in one place"): (
            [_named(place, body) for body in ({"volume": {"claim": "other"}}, _s3(bucket="other"), _SFTP)],
            [_named(place, body) for body in ({}, {"volume": {"claim": "other"}, **_s3(bucket="other")})],
        )
        for place in _PLACES
    },
    **{
        (f"spec.{place}.s3", "accessKeyId and secretAccessKey are two things: write two keys of a Secret"): (
            [_s3(bucket="other")["s3"], _s3(bucket="other", secretAccessKey={"name": "other", "key": "id"})["s3"]],
            [_s3(bucket="other", secretAccessKey=_KEY)["s3"]],
        )
        for place in _PLACES
    },
    **{
        (
            f"spec.{place}.s3",
            'ca is only looked at for https: write an endpoint that begins with "https://" or leave ca out',
        ): (
            [_s3(bucket="other", ca=_CA)["s3"], _s3(endpoint="http://minio:9000")["s3"]],
            [_s3(endpoint="http://minio:9000", ca=_CA)["s3"]],
        )
        for place in _PLACES
    },
    **{
        (f"spec.{place}.ca", _CAS): ([_CA, _CA_MAP], [{}, {**_CA, **_CA_MAP}])
        for place in ("source.postgres", "source.redis", *(f"{place}.s3" for place in _PLACES))
    },
    (
        "spec.repositories",
        "a copy beside the original is lost with it: write another claim, bucket, prefix, host or path for each",
    ): (
        [
            _repositories(_S3),
            _repositories(_VOLUME, _S3, _SFTP, {"volume": {"claim": "other"}}),
            _repositories(_S3, _s3(prefix="other"), _s3(bucket="other"), _s3(endpoint="https://other")),
            _repositories(_SFTP, {"sftp": {**_SFTP["sftp"], "path": "/other"}}),
        ],
        [
            _repositories(_VOLUME, _VOLUME),
            _repositories(_VOLUME, {"volume": {"claim": "backups", "path": "other"}}),
            _repositories(_S3, _VOLUME, _S3),
            _repositories(_SFTP, {"sftp": {**_SFTP["sftp"], "user": "other"}}),
            _repositories(_VOLUME, _S3, _S3),
        ],
    ),
    (
        "spec.encryption",
        "previous is the passphrase before this one: write another key of a Secret, or leave previous out",
    ): (
        [_PASSPHRASE, {**_PASSPHRASE, "previous": {"name": "backup-key", "key": "before"}}],
        [{**_PASSPHRASE, "previous": _PASSPHRASE["secretKeyRef"]}],
    ),
    (
        "spec.retention",
        "this retention keeps nothing: write at least one of last, hourly, daily, weekly, monthly or within",
    ): (
        [{"within": "720h"}, *({name: 1} for name in ("last", "hourly", "daily", "weekly", "monthly"))],
        [{}, {"last": 0, "daily": 0}],
    ),
    ("spec.schedule", "full and incremental would start together each time: write other times for one of them"): (
        [{}, {"full": "0 2 * * *", "incremental": "0 * * * *"}, {"incremental": "5 2 * * *"}],
        [{"incremental": "0 2 * * *"}, {"full": "0 * * * *", "incremental": "0 * * * *"}],
    ),
    ("spec.source.postgres.databases", "write each database once"): (
        [["a"], ["a", "b"]],
        [["a", "a"], ["a", "b", "a"]],
    ),
    ("spec.source.volume.claims", "write each claim once"): ([["a"], ["a", "b"]], [["a", "a"]]),
    ("spec.source.logs.workloads", "write each workload once"): (
        [[_DEPLOYMENT, {**_SET, "name": "backend"}]],
        [[_DEPLOYMENT, {"kind": "Deployment", "name": "backend"}], [_SET, _DEPLOYMENT, _SET]],
    ),
    ("spec.source.config.resources", "write each resource once"): (
        [["configmaps", "deployments.apps"]],
        [["configmaps", "configmaps"]],
    ),
    (
        "spec.source.config.resources",
        "Secrets are asked for by name: write secrets: true in place of the resource",
    ): ([["configmaps"]], [["secrets"], ["configmaps", "secrets"]]),
    ("spec.stop", "write each workload once"): ([[_DEPLOYMENT, _SET]], [[_SET, _SET]]),
    ("spec.services", "write each service once"): ([["a", "b"]], [["a", "a"]]),
    ("spec.to", "write exactly one of latest, backup or time: a restore has one goal"): (
        [_TO, {"backup": "shop-7"}, {"time": "2027-01-15T08:00:00Z"}],
        [{}, {**_TO, "backup": "shop-7"}, {"backup": "shop-7", "time": "2027-01-15T08:00:00Z"}],
    ),
    ("spec.into", "write exactly one of swap, inPlace, newDatabase or newVolume: data goes to one place"): (
        [{"swap": True}, {"inPlace": True}, {"newDatabase": {"name": "a"}}],
        [{}, {"swap": True, "inPlace": True}, {"inPlace": True, "newDatabase": {"name": "a"}}],
    ),
}
"""Path and sentence to values that the place takes and refuses."""

_CRON = (
    "write a cron expression of five fields (minute, hour, day of month, month, day of week from 0 for Sunday to 6; "
    'ranges go upwards), such as "0 2 * * *" or "*/15 8-18 * * 1-5"'
)
_NICKNAMES = (
    'nicknames are not taken: write five fields, such as "0 2 * * *" for "@daily" and "0 * * * *" for "@hourly"'
)

VALUES: dict[str, Cases] = {
    _CRON: (
        ["3 2 * * *", "*/15 8-18 * * 1-5", "0,30 0-12/4 1,15 jan-MAR Mon,wed", "59 23 31 12 6", "07 02  1 01 *"],
        [
            "0 2 * *",
            "0 2 * * * *",
            "60 2 * * *",
            "0 24 * * *",
            "0 2 0 * *",
            "0 2 32 * *",
            "0 2 * 13 *",
            "0 2 * * 7",
            "0 22-4 * * *",
            "0 2 * * 5-1",
            "*/0 * * * *",
            "5/15 * * * *",
            "0 2 * * monday",
            "0 2 ? * *",
            "0 2 L * *",
            "TZ=UTC 0 2 * * *",
            "0 2 * * *\n",
            " 0 2 * * *",
            "daily",
        ],
    ),
    _NICKNAMES: (["4 2 * * *"], ["@daily", "@every 1h", "@reboot"]),
    "this day never comes: write a day that the month has": (
        ["0 2 29 2 *", "0 2 30 4 *", "0 2 31 * *", "0 2 30 2 1"],
        ["0 2 30 2 *", "0 2 31 feb *", "0 2 30,31 02 *", "0 2 31 4 *", "0 2 31 NOV *", "0 2 31 06 *"],
    ),
    'write a time zone of the IANA database, such as "Etc/UTC" or "Europe/Berlin"': (
        ["Etc/UTC", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+1"],
        ["Local", "+01:00", "Europe/", "Europe/../etc", "Europe Berlin", "1"],
    ),
    'write a path relative to the root, without ".." and without spaces, such as "backups/shop"': (
        ["a", "a/b.c", "..a/b..", "a..b", "a/"],
        ["/a", "..", "../a", "a/..", "a/../b", "a b", " a", "a\n"],
    ),
    'write a path without ".." and without spaces, such as "/srv/backups" or "backups"': (
        ["/a", "a/b", "/..a"],
        ["..", "/a/..", "/a/../b", "a b", "a\t"],
    ),
    'write an endpoint that begins with http:// or https://, such as "https://s3.eu-central-1.amazonaws.com"; '
    "credentials go into accessKeyId and secretAccessKey": (
        ["https://s3.eu-central-1.amazonaws.com", "http://minio:9000", "https://[fd00::7]:1/", "https://a/path"],
        ["s3.amazonaws.com", "s3://a", "https://u:p@a", "https://", "https://a b", "https://a?x", "HTTPS://a"],
    ),
    '"primary" is the first repository: write another name': (["offsite", "primary-2"], ["primary"]),
    'a sample of nothing proves nothing: write a share above 0%, such as "5%"': (
        ["0.1%", "5%", "100%", "10%"],
        ["0%", "0.0%", "00%"],
    ),
    "write latest: true, or name a backup or a time instead": ([True], [False]),
    "write swap: true, or another place instead": ([True], [False]),
    "write inPlace: true, or another place instead": ([True], [False]),
    'write a time with its zone as in RFC 3339, such as "2027-01-15T08:00:00Z" or "2027-01-15T09:00:00+01:00"': (
        ["2027-01-15T08:00:00Z", "2027-01-15T08:00:00.123456+01:00", "2028-02-29T23:59:59-11:30"],
        [
            "2027-01-15T08:00:00",
            "2027-01-15 08:00:00Z",
            "2027-01-15",
            "now",
            "2027-13-15T08:00:00Z",
            "2027-01-15T24:00:00Z",
            "2027-02-30T08:00:00Z",
            "2027-04-31T08:00:00Z",
            "2027-01-15T08:00:00+1",
            "",
        ],
    ),
}
"""Sentence to values that a field takes and refuses, wherever the rule stands."""

_OLD = {"schedule": "a", "type": "Full", "reason": ""}
_PREVIOUS = {"name": "backup-key", "key": "before"}
_NEXT = {"name": "backup-key", "key": "next"}
_ASKED = {
    "schedule": "shop",
    "to": _TO,
    "repository": "primary",
    "safetyBackup": True,
    "timeout": "4h",
    "needsApproval": True,
}
_FULL = {
    **_ASKED,
    "into": {"inPlace": True},
    "server": _SERVER,
    "stop": [_DEPLOYMENT],
    "services": ["a"],
    "assertions": [_CHECK],
    "dsn": _DSN,
    "rollback": "shop-1",
    "serviceAccount": "config-restore",
}
_APPROVED = {"approval": "Approved"}


def _moved(place: Object, **changes: Any) -> tuple[Object, Object]:
    (name, body), *_ = place.items()
    return place, {name: {**body, **changes}}


TRANSITIONS: dict[str, tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]] = {
    "a Backup cannot be changed once it exists: create another Backup": (
        [(_OLD, _OLD)],
        [(_OLD, {**_OLD, "schedule": "b"}), (_OLD, {**_OLD, "type": "Incremental"}), (_OLD, {**_OLD, "reason": "x"})],
    ),
    "a Restore cannot be changed once it exists: only spec.approval may be set; create another Restore": (
        [
            (_ASKED, _ASKED),
            (_FULL, _FULL),
            (_ASKED, {**_ASKED, **_APPROVED}),
            (_FULL, {**_FULL, **_APPROVED}),
            (_ASKED, {**_ASKED, "reason": "x"}),
        ],
        [
            *((_ASKED, {**_ASKED, name: value}) for name, value in _FULL.items() if name not in _ASKED),
            *((_FULL, {k: v for k, v in _FULL.items() if k != name}) for name in _FULL if name not in _ASKED),
            (_FULL, {**_FULL, "into": {"swap": True}}),
            (_FULL, {**_FULL, "stop": [_SET]}),
            (_ASKED, {**_ASKED, "schedule": "other"}),
            (_ASKED, {**_ASKED, "to": {"backup": "shop-7"}}),
            (_ASKED, {**_ASKED, "repository": "offsite"}),
            (_ASKED, {**_ASKED, "safetyBackup": False}),
            (_ASKED, {**_ASKED, "timeout": "1h"}),
            (_ASKED, {**_ASKED, "needsApproval": False}),
        ],
    ),
    "the approval was given and stays as it is: create another Restore": (
        [(_ASKED, {**_ASKED, **_APPROVED}), ({**_ASKED, **_APPROVED}, {**_ASKED, **_APPROVED})],
        [({**_ASKED, **_APPROVED}, {**_ASKED, "approval": "Refused"}), ({**_ASKED, **_APPROVED}, _ASKED)],
    ),
    "the kind of the source cannot be changed, since the backups are of the old one: create another BackupSchedule": (
        [
            (but("volumes"), but("volumes", source={"volume": {"claims": ["others"]}})),
            (but("wal"), but("wal", source=_postgres(method="physical"))),
        ],
        [
            (but(one), but(one, source=SPECS[other]["source"]))
            for one in SPECS
            for other in ("dumps", "redis", "logs")
            if set(SPECS[one]["source"]) != set(SPECS[other]["source"])
        ],
    ),
    "the primary repository stays where it is, since the backups are there: create another BackupSchedule, or add a "
    "secondary": (
        [
            (_VOLUME, _VOLUME),
            _moved(_S3, endpoint="https://renamed", region="eu", accessKeyId=_DSN, ca=_CA),
            _moved(_SFTP, host="renamed", port=2222, user="other", privateKey=_DSN),
        ],
        [
            (_VOLUME, _S3),
            (_S3, _SFTP),
            (_SFTP, _VOLUME),
            _moved(_VOLUME, claim="other"),
            _moved(_VOLUME, path="other"),
            _moved(_S3, bucket="other"),
            _moved(_S3, prefix="other"),
            _moved(_SFTP, path="/other"),
        ],
    ),
    "a new passphrase is let in by the one before it: write the old secretKeyRef as previous": (
        [
            (_PASSPHRASE, _PASSPHRASE),
            (_PASSPHRASE, {"secretKeyRef": _NEXT, "previous": _PASSPHRASE["secretKeyRef"]}),
            ({"secretKeyRef": _NEXT, "previous": _PREVIOUS}, {"secretKeyRef": _NEXT}),
        ],
        [
            (_PASSPHRASE, {"secretKeyRef": _NEXT}),
            (_PASSPHRASE, {"secretKeyRef": _NEXT, "previous": _PREVIOUS}),
        ],
    ),
}
"""Sentence to (before, after) that an update may and may not do."""


def twice_the_same_name() -> Object:
    """Repositories of which two secondaries have one name."""
    repositories = _repositories(_VOLUME, _S3, _SFTP)
    repositories["secondary"][1]["name"] = repositories["secondary"][0]["name"]
    return repositories
