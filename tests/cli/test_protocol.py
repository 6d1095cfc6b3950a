import hashlib
import json
from pathlib import Path

from hms_async.storage.scripts import load, names
from tests.cli.conftest import Hms


def test_export_writes_whole_scripts_and_prints_what_evalsha_calls_them(
    hms: Hms, tmp_path: Path
) -> None:
    done = hms("protocol", "export", "out/scripts", "-o", "json")
    document = json.loads(done.stdout)
    assert document["schema"] == "hms.protocol.export/v1"
    folder = tmp_path / "out" / "scripts"
    found = {one["name"]: one for one in document["scripts"]}
    assert sorted(found) == names() == sorted(path.stem for path in folder.iterdir())
    assert {"enqueue", "exchange", "extend"} < set(found)
    for name, one in found.items():
        data = (folder / one["file"]).read_bytes()
        assert one["sha1"] == hashlib.sha1(data).hexdigest() == load(name).sha  # noqa: S324
        assert b"-- include queue" not in data
    lines = hms("protocol", "export", "out/scripts").stdout.splitlines()
    assert lines[0].split() == ["SCRIPT", "SHA1"]
    assert lines[1].split() == ["acknowledge", load("acknowledge").sha]


def test_export_says_where_it_cannot_write(hms: Hms, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = hms("protocol", "export", "file/scripts")
    assert done.exit_code == 2
    assert "cannot write file/scripts: Not a directory" in done.stderr
