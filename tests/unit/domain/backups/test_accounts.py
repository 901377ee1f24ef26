"""A job's user has a name in its pod, whoever it is."""

import pytest
from tests.unit.domain.backups.making import declared

from lastgood.domain.backups.accounts import accounts
from lastgood.domain.backups.children import children
from lastgood.domain.backups.manifests import job_for, owner_reference
from lastgood.domain.backups.pods import Options

OPTIONS = Options("image")


def test_both_files_as_they_are_written() -> None:
    assert accounts(999) == {
        "passwd": (
            "root:x:0:0:root:/root:/usr/sbin/nologin\n"
            "lastgood:x:999:999:lastgood:/tmp:/usr/sbin/nologin\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        ),
        "group": "root:x:0:\nlastgood:x:999:\nnogroup:x:65534:\n",
    }


@pytest.mark.parametrize("user", [1, 65532, 65534, 2147483647])
def test_each_id_is_there_once(user: int) -> None:
    for text in accounts(user).values():
        ids = [line.split(":")[2] for line in text.splitlines()]
        assert ids.count(str(user)) == 1
        assert len(set(ids)) == len(ids)


def test_jobs_and_the_receiver_find_them_where_programs_look() -> None:
    schedule = declared(rpo="1h", job={"runAsUser": 999})
    made = children(schedule, OPTIONS)
    (told,) = [body["data"] for kind, body in made if kind == "configmaps"]
    pods = [body["spec"]["template"]["spec"] for kind, body in made if kind == "deployments"]
    pods += [body["spec"]["jobTemplate"]["spec"]["template"]["spec"] for kind, body in made if kind == "cronjobs"]
    once = job_for("verify", schedule, OPTIONS, name="v", owner=owner_reference("Restore", "r", "u"))
    assert once.config_map["data"].items() >= accounts(999).items()
    pods.append(once.job["spec"]["template"]["spec"])
    assert told.items() >= accounts(999).items()
    for pod in pods:
        (volume,) = [v for v in pod["volumes"] if v["name"] == "job"]
        paths = {item["path"]: item["key"] for item in volume["configMap"]["items"]}
        mounts = {m["mountPath"]: m for m in pod["containers"][0]["volumeMounts"] if m["name"] == "job"}
        for file in ("passwd", "group"):
            assert paths[file] == file
            assert mounts[f"/etc/{file}"] == {
                "name": "job",
                "mountPath": f"/etc/{file}",
                "subPath": file,
                "readOnly": True,
            }
