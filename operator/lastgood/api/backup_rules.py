"""Rules of the kinds of backups: cron, paths, and what goes with which method of which source."""

from collections.abc import Sequence

from lastgood.api.base import DURATION, Rule

_NUMBERS = {
    "minute": "[0-5]?[0-9]",
    "hour": "([01]?[0-9]|2[0-3])",
    "day": "(0?[1-9]|[12][0-9]|3[01])",
    "month": "(0?[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))",
    "weekday": "([0-6]|(?i:sun|mon|tue|wed|thu|fri|sat))",
}


def _list_of(number: str) -> str:
    """RE2 of one field of a cron expression: what CronJob and crontab(5) both take."""
    step = "(/[1-9][0-9]?)?"
    item = f"([*]{step}|{number}(-{number}{step})?)"
    return f"{item}(,{item})*"


_FIELDS = " +".join(_list_of(number) for number in _NUMBERS.values())
CRON = f"^{_FIELDS}$"
"""RE2 of a cron expression of five fields."""
_NEVER = "^[^ ]+ +[^ ]+ +((30|31|30,31) +(0?2|(?i:feb))|31 +(0?[469]|11|(?i:apr|jun|sep|nov))) +[*]$"

CRON_RULES: Sequence[Rule] = (
    Rule(
        "!self.startsWith('@')",
        'nicknames are not taken: write five fields, such as "0 2 * * *" for "@daily" and "0 * * * *" for "@hourly"',
    ),
    Rule(
        f"self.startsWith('@') || (self.matches('{CRON}') && self.findAll('[0-9]+-[0-9]+').all(r, "
        "int(r.find('^[0-9]+')) <= int(r.find('[0-9]+$'))))",
        "write a cron expression of five fields (minute, hour, day of month, month, day of week from 0 for Sunday to "
        '6; ranges go upwards), such as "0 2 * * *" or "*/15 8-18 * * 1-5"',
    ),
    Rule(f"!self.matches('{_NEVER}')", "this day never comes: write a day that the month has"),
)

ZONE_RULE = Rule(
    "self != 'Local' && self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$')",
    'write a time zone of the IANA database, such as "Etc/UTC" or "Europe/Berlin"',
)

RELATIVE_RULE = Rule(
    "self.matches('^([^/\\\\s][^\\\\s]*)?$') && !self.matches('(^|/)[.][.](/|$)')",
    'write a path relative to the root, without ".." and without spaces, such as "backups/shop"',
)
ABOVE_RULE = Rule(
    "!self.matches('(^|/)[.][.](/|$)') && !self.matches('\\\\s')",
    'write a path without ".." and without spaces, such as "/srv/backups" or "backups"',
)

ENDPOINT_RULE = Rule(
    "self.matches('^https?://[^/?#@\\\\s]+(/[^?#\\\\s]*)?$')",
    'write an endpoint that begins with http:// or https://, such as "https://s3.eu-central-1.amazonaws.com"; '
    "credentials go into accessKeyId and secretAccessKey",
)


def same_key(one: str, other: str) -> str:
    """CEL: two references are to one key. CEL compares no objects of two places as a whole."""
    return f"({one}.name == {other}.name && {one}.key == {other}.key)"


def each_once(what: str) -> Rule:
    """No two items of a list are the same."""
    return Rule("self.all(a, self.exists_one(b, b == a))", f"write each {what} once")


def unchanged(*fields: str, optional: Sequence[str] = ()) -> str:
    """CEL: none of these fields was changed, added or taken away."""
    same = [f"self.{field} == oldSelf.{field}" for field in fields]
    same += [
        f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})"
        for field in optional
    ]
    return " && ".join(same)


def _same_place(one: str, other: str) -> str:
    """CEL: both repositories would lie in one place, or on one claim."""
    places = {"volume": ("claim",), "s3": ("endpoint", "bucket", "prefix"), "sftp": ("host", "path")}
    return " || ".join(
        " && ".join(
            [f"(has({one}.{place}) && has({other}.{place})"]
            + [f"{one}.{place}.{field} == {other}.{place}.{field}" for field in fields]
        )
        + ")"
        for place, fields in places.items()
    )


_APART = "a copy beside the original is lost with it: write another claim, bucket, prefix, host or path for each"
REPOSITORIES_RULES: Sequence[Rule] = (
    Rule(
        f"!has(self.secondary) || self.secondary.all(s, !({_same_place('s', 'self.primary')}) && "
        f"self.secondary.all(t, s.name == t.name || !({_same_place('s', 't')})))",
        _APART,
    ),
)
PRIMARY_RULE = Rule(
    "has(self.volume) == has(oldSelf.volume) && has(self.s3) == has(oldSelf.s3) && "
    "(!has(self.volume) || !has(oldSelf.volume) || "
    "(self.volume.claim == oldSelf.volume.claim && self.volume.path == oldSelf.volume.path)) && "
    "(!has(self.s3) || !has(oldSelf.s3) || "
    "(self.s3.bucket == oldSelf.s3.bucket && self.s3.prefix == oldSelf.s3.prefix)) && "
    "(!has(self.sftp) || !has(oldSelf.sftp) || self.sftp.path == oldSelf.sftp.path)",
    "the primary repository stays where it is, since the backups are there: create another BackupSchedule, or add a "
    "secondary",
)

ENCRYPTION_RULES: Sequence[Rule] = (
    Rule(
        f"!has(self.previous) || !{same_key('self.previous', 'self.secretKeyRef')}",
        "previous is the passphrase before this one: write another key of a Secret, or leave previous out",
    ),
    Rule(
        f"{same_key('self.secretKeyRef', 'oldSelf.secretKeyRef')} || "
        f"(has(self.previous) && {same_key('self.previous', 'oldSelf.secretKeyRef')})",
        "a new passphrase is let in by the one before it: write the old secretKeyRef as previous",
    ),
)

RETENTION_RULE = Rule(
    "has(self.within) || self.last + self.hourly + self.daily + self.weekly + self.monthly > 0",
    "this retention keeps nothing: write at least one of last, hourly, daily, weekly, monthly or within",
)

_METHOD = "(has(self.source.postgres.method) ? self.source.postgres.method : has(self.rpo) ? 'wal' : 'logical')"


def _gap(cron: str) -> str:
    """CEL: minutes from one start to the next of this cron expression; 0 where that is not obvious."""
    number, step = "[0-9]{1,2}", "[*]/[0-9]{1,2}"

    def when(minute: str, hour: str = "[*]", day: str = "[*]", weekday: str = "[*]") -> str:
        return f"{cron}.matches('^{minute} +{hour} +{day} +[*] +{weekday}$')"

    stepped = f"int({cron}.find('/[0-9]+').find('[0-9]+'))"
    choices = [
        (when("[*]"), "1"),
        (when(step), f"({stepped} < 60 ? {stepped} : 60)"),
        (when(number), "60"),
        (when(number, step), f"({stepped} < 24 ? {stepped} : 24) * 60"),
        (when(number, number), "1440"),
        (when(number, number, weekday="([0-6]|[A-Za-z]{3})"), "10080"),
        (when(number, number, day=number), "40320"),
    ]
    return "(" + "".join(f"{asked} ? {minutes} : " for asked, minutes in choices) + "0)"


# Left out, increments of logical are hourly, those of physical follow from the RPO, and other sources have none.
_INCREMENTAL_GAP = (
    f"(has(self.schedule.incremental) ? {_gap('self.schedule.incremental')} : "
    f"!has(self.source.postgres) ? 1000000 : {_METHOD} == 'physical' ? 0 : 60)"
)


def _rpo_can_be_met() -> str:
    """CEL: no gap between two starts is known to be as long as the RPO.

    Of two crons, where one is at least twice as rare, a gap of the other holds none of its starts; else no gap is known
    to be longer than half of the shorter one. What is not obvious (0) is left to the operator.
    """
    shortest = "(f >= 2 * i ? i : i >= 2 * f ? f : (i < f ? i : f) / 2)"
    return (
        f"!has(self.rpo) || !self.rpo.matches('{DURATION}') || (has(self.source.postgres) && {_METHOD} == 'wal') || "
        f"[{_INCREMENTAL_GAP}].all(i, [{_gap('self.schedule.full')}].all(f, "
        f"i == 0 || f == 0 || duration(self.rpo).getSeconds() > 60 * {shortest}))"
    )


def _not_among_claims(claim: str) -> str:
    return f"!(has(self.source.volume) && {claim} in self.source.volume.claims)"


SCHEDULE_RULES: Sequence[Rule] = (
    Rule(
        "!has(self.schedule.incremental) || !(has(self.source.logs) || has(self.source.config))",
        "logs and config are whole each time: leave schedule.incremental out, or write schedule.full more often",
    ),
    Rule(
        f"!has(self.source.postgres) || !has(self.source.postgres.spool) || {_METHOD} == 'wal'",
        "spool is for what method wal receives: write method: wal, or leave spool out",
    ),
    Rule(
        "!has(self.source.postgres) || !has(self.source.postgres.databases) || "
        f"size(self.source.postgres.databases) == 0 || {_METHOD} == 'logical'",
        "wal and physical back up the whole server: write method: logical, or leave databases out",
    ),
    Rule(
        "has(self.source.postgres) || !has(self.verification.restoreTest.assertions) || "
        "size(self.verification.restoreTest.assertions) == 0",
        "assertions are SQL: leave verification.restoreTest.assertions out unless source is postgres",
    ),
    Rule(
        f"(!has(self.repositories.primary.volume) || {_not_among_claims('self.repositories.primary.volume.claim')}) && "
        "(!has(self.repositories.secondary) || self.repositories.secondary.all(s, "
        f"!has(s.volume) || {_not_among_claims('s.volume.claim')}))",
        "a backup on the claim that it is made of is lost with it: write another claim for the repository",
    ),
    Rule(
        "!has(self.source.postgres) || !has(self.source.postgres.spool) || "
        "((!has(self.repositories.primary.volume) || "
        "self.repositories.primary.volume.claim != self.source.postgres.spool) && "
        "(!has(self.repositories.secondary) || self.repositories.secondary.all(s, "
        "!has(s.volume) || s.volume.claim != self.source.postgres.spool)))",
        "a full spool would stop the repository on the same claim: write another claim for spool, or leave it out",
    ),
    Rule(
        _rpo_can_be_met(),
        "this schedule cannot meet its rpo, even when all goes well: a backup holds what was there at its start, and "
        'the next one ends more than an interval later. Write schedule.incremental more often, such as "*/15 * * * *", '
        "a longer rpo, or method: wal for postgres",
    ),
    Rule(
        " && ".join(
            f"has(self.source.{kind}) == has(oldSelf.source.{kind})"
            for kind in ("postgres", "redis", "volume", "logs", "config")
        ),
        "the kind of the source cannot be changed, since the backups are of the old one: create another BackupSchedule",
    ),
)
