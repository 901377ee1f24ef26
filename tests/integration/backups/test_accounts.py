"""Programs that ask who they run as, under the files that a job's pod has in the place of the image's."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.integration.probes.conftest import binary

from lastgood.domain.backups.accounts import accounts

pytestmark = pytest.mark.integration
USER = 47110
"""Nobody's on this machine."""
_AS = 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"'


@pytest.fixture
def home(tmp_path: Path) -> Path:
    if os.geteuid() != 0:
        pytest.skip("to mount files over others needs root")
    # A folder that another user reaches.
    home = Path("/tmp") / f"lastgood-accounts-{tmp_path.name}-{os.getpid()}"
    home.mkdir()
    os.chown(home, USER, USER)
    return home


def run(home: Path, *command: str, files: dict[str, str] | None) -> "subprocess.CompletedProcess[str]":
    """As that user, with these files in a mount namespace of the process's own."""
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *command]
    if files is not None:
        for name, text in files.items():
            (home / name).write_text(text)
        as_user = ["unshare", "--mount", "sh", "-ec", _AS, "sh", str(home / "passwd"), str(home / "group"), *as_user]
    return subprocess.run(as_user, text=True, capture_output=True, check=False, timeout=120, cwd="/")


@pytest.mark.parametrize("program", ["initdb", "ssh"])
def test_a_user_that_the_image_does_not_know_is_known(home: Path, program: str) -> None:
    command = {
        "initdb": [binary("initdb"), "-D", str(home / "data"), "--auth=trust", "--no-sync"],
        "ssh": ["ssh", "-G", "somewhere"],
    }[program]
    try:
        without = run(home, *command, files=None)
        assert without.returncode != 0
        assert str(USER) in without.stderr
        known = run(home, *command, files=accounts(USER))
        assert known.returncode == 0, known.stderr
        if program == "initdb":
            assert (home / "data/PG_VERSION").stat().st_uid == USER
    finally:
        shutil.rmtree(home)
