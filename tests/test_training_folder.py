"""Run folders: claimed by one process, never overwritten, left without a trace when a run cannot begin."""

import threading
from contextlib import closing
from pathlib import Path

import pytest

from backtime.errors import UsageError
from backtime.training.run_folder import RunFolder


def begun(path: Path) -> RunFolder:
    folder = RunFolder.create(path)
    folder.write_config({"settings": {}})
    return folder


def test_create_refuses_a_run(tmp_path: Path) -> None:
    begun(tmp_path / "a").close()
    with pytest.raises(UsageError, match=r"holds a run already.*--resume"):
        RunFolder.create(tmp_path / "a")


def test_create_refuses_other_peoples_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        RunFolder.create(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_create_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match="cannot make the folder"):
        RunFolder.create(tmp_path / "a")


def test_a_start_that_was_killed_leaves_a_folder_that_can_be_used(tmp_path: Path) -> None:
    killed = RunFolder.create(tmp_path / "a")
    (killed.path / "tokens.bin").write_bytes(b"half")
    killed.close()  # as the kernel does for a dead process; no config.json was written
    with closing(RunFolder.create(tmp_path / "a")) as folder:
        assert not (folder.path / "tokens.bin").exists()


def test_a_locked_folder_is_in_use(tmp_path: Path) -> None:
    with closing(begun(tmp_path / "a")):
        for attempt in (RunFolder.create, RunFolder.open):
            with pytest.raises(UsageError, match=r"in use|holds a run"):
                attempt(tmp_path / "a")
    RunFolder.open(tmp_path / "a").close()


def test_open_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no run is there"):
        RunFolder.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_next_names_are_claimed_once_each(tmp_path: Path) -> None:
    (tmp_path / "text-lstm-2").mkdir()
    folders: list[RunFolder] = []

    def claim() -> None:
        folders.append(RunFolder.create_next(tmp_path, "text-lstm"))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(folder.path.name.rsplit("-", 1)[1]) for folder in folders) == [1, *range(3, 10)]
    for folder in folders:
        folder.close()


def test_discard_removes_what_was_made_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with closing(RunFolder.create(tmp_path / "kept" / "new" / "run")) as folder:
        folder.make_places()
        (folder.path / "tokens.bin").write_bytes(b"x")
        folder.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert list((tmp_path / "kept").iterdir()) == []


def test_discard_spares_a_run(tmp_path: Path) -> None:
    with closing(begun(tmp_path / "a")) as folder:
        folder.discard()
    assert (tmp_path / "a" / "config.json").exists()


def test_metrics_are_cut_to_a_save(tmp_path: Path) -> None:
    with closing(begun(tmp_path / "a")) as folder:
        for step in range(5):
            folder.log({"step": step})
        with folder.metrics_file.open("a") as file:
            file.write('{"step": 5, "lo')  # killed while writing
        assert [line["step"] for line in folder.metrics()] == [0, 1, 2, 3, 4]
        folder.keep_metrics(3)
        folder.log({"step": 3})
        assert [line["step"] for line in folder.metrics()] == [0, 1, 2, 3]
        assert folder.metrics_file.read_bytes().count(b"\n") == 4


@pytest.mark.parametrize("damage", ["", "[]", '{"settings": ', '{"settings": {}}'])
def test_a_damaged_configuration_is_told(tmp_path: Path, damage: str) -> None:
    with closing(begun(tmp_path / "a")) as folder:
        folder.config_file.write_text(damage)
        with pytest.raises(UsageError, match=r"config\.json is damaged"):
            folder.config()
        whole = {"settings": {}, "corpus": None, "fingerprint": "f"}
        folder.write_config(whole)
        assert folder.config() == whole | {"data": None, "encoding": ["vocabulary"]}
