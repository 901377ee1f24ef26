"""Who a job's pod runs as, by name: ssh, initdb and postgres refuse a user that the system does not know."""

PASSWD, GROUP = "passwd", "group"
"""Keys of a job's ConfigMap, and names of the files below /etc."""
_NAME = "lastgood"
_NOBODY = 65534
_NOWHERE, _SHELL = "/nonexistent", "/usr/sbin/nologin"


def accounts(user: int) -> dict[str, str]:
    """Both files for a user ID, which is the group's, too. They take the place of the image's own.

    Its home is /tmp, the one place in the pod that it may write without being asked.
    """
    passwd = ["root:x:0:0:root:/root:" + _SHELL, f"{_NAME}:x:{user}:{user}:{_NAME}:/tmp:{_SHELL}"]
    group = ["root:x:0:", f"{_NAME}:x:{user}:"]
    if user != _NOBODY:
        passwd.append(f"nobody:x:{_NOBODY}:{_NOBODY}:nobody:{_NOWHERE}:{_SHELL}")
        group.append(f"nogroup:x:{_NOBODY}:")
    return {PASSWD: "\n".join(passwd) + "\n", GROUP: "\n".join(group) + "\n"}
