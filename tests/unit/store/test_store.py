"""The store keeps what it was given, counts without loading, and says clearly what is wrong."""

from __future__ import annotations

import os
import pickle
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2 import StoreError
from pipert2.store import Change, Record, RecordKey, Store
from pipert2.store.data import decode, encode
from pipert2.store.own import RoutineStore
from pipert2.testing import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1000.0)


@pytest.fixture
def store(tmp_path: Path, clock: VirtualClock) -> Any:
    with Store(tmp_path / "run.db", now=clock.now) as store:
        yield store


@dataclass
class Sample:
    name: str
    size: int


# --- data

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4) | st.tuples(inner, inner),
    max_leaves=10,
)


@given(plain)
def test_data_comes_back_as_it_was(data: Any) -> None:
    back = decode(encode(data))
    assert back == data
    assert repr(back) == repr(data)


@pytest.mark.parametrize("data", [{"a": [1, 2.5, None, True, "x"]}, [], "text", 7, None])
def test_what_json_can_hold_is_kept_as_json(data: Any) -> None:
    assert isinstance(encode(data), str)


@pytest.mark.parametrize("data", [(1, 2), {1: 2}, {1}, b"x", Sample("a", 1), float("inf"), {"a": (1,)}])
def test_what_json_would_change_is_pickled(data: Any) -> None:
    assert isinstance(encode(data), bytes)
    assert decode(encode(data)) == data


def test_data_too_deep_for_json_is_kept_all_the_same() -> None:
    data: list[Any] = []
    for _ in range(200):
        data = [data]
    assert decode(encode(data)) == data


def test_arrays_can_be_kept(store: Store) -> None:
    store.put("picture", "one", {"pixels": np.arange(6).reshape(2, 3)})
    assert store.get("picture", "one")["pixels"].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_data_that_cannot_be_pickled_is_refused_by_name(store: Store) -> None:
    with pytest.raises(StoreError, match=r"run\.db.*data of type function cannot be kept"):
        store.add("x", lambda: None)
    assert store.count("x") == 0


def test_other_programs_can_read_plain_data(store: Store) -> None:
    store.add("elf", {"size": 3})
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("SELECT json_extract(data, '$.size') FROM records").fetchone() == (3,)
    connection.close()


# --- records


def test_added_records_are_numbered_in_order(store: Store) -> None:
    first, second = store.add("elf", {"n": 1}), store.add("pe", {"n": 2})
    assert first < second
    assert store.record(first) == Record(first, "elf", None, {"n": 1}, 1000.0)


def test_putting_the_same_again_changes_nothing(store: Store) -> None:
    assert store.put("elf", "a", {"size": 1}) is Change.NEW
    number = store.record("elf", "a")
    assert store.put("elf", "a", {"size": 1}) is Change.SAME
    assert store.record("elf", "a") == number
    assert store.count("elf") == 1


def test_putting_other_data_replaces_it_and_keeps_the_time(store: Store, clock: VirtualClock) -> None:
    store.put("elf", "a", {"size": 1})
    clock.advance(5)
    assert store.put("elf", "a", {"size": 2}) is Change.CHANGED
    record = store.record("elf", "a")
    assert record is not None
    assert (record.data, record.added) == ({"size": 2}, 1000.0)
    assert store.count("elf") == 1


def test_keys_are_numbers_or_texts_and_not_the_same(store: Store) -> None:
    store.put("elf", 1, "number")
    store.put("elf", "1", "text")
    assert (store.get("elf", 1), store.get("elf", "1")) == ("number", "text")


def test_the_same_key_of_another_kind_is_another_record(store: Store) -> None:
    store.put("elf", "a", 1)
    store.put("pe", "a", 2)
    assert store.kinds() == {"elf": 1, "pe": 1}


@pytest.mark.parametrize("key", [None, 1.5, True, (1, 2), 2**63, b"x", "\ud800"])
def test_other_keys_are_refused(store: Store, key: Any) -> None:
    with pytest.raises(TypeError, match="the key of a record is a text or a whole number"):
        store.put("elf", key, 1)


@pytest.mark.parametrize("kind", ["", None, 3, "\ud800"])
def test_other_kinds_are_refused(store: Store, kind: Any) -> None:
    with pytest.raises(TypeError, match="a kind of record is named by a text"):
        store.add(kind, 1)


def test_what_is_not_there_is_the_default(store: Store) -> None:
    assert store.get("elf", "a") is None
    assert store.get("elf", "a", 7) == 7
    assert store.record(99) is None


def test_a_value_of_none_is_not_what_is_not_there(store: Store) -> None:
    store.put("elf", "a", None)
    assert store.get("elf", "a", 7) is None


def test_a_record_lends_the_items_of_its_data(store: Store) -> None:
    store.put("elf", "a", {"size": 3})
    record = store.record("elf", "a")
    assert record is not None
    assert record["size"] == 3
    assert record.reference == RecordKey("elf", "a")


def test_removed_records_are_gone_and_not_counted(store: Store) -> None:
    store.put("elf", "a", 1)
    assert store.remove("elf", "a")
    assert not store.remove("elf", "a")
    assert (store.count("elf"), store.get("elf", "a")) == (0, None)


def test_old_records_can_be_forgotten(store: Store, clock: VirtualClock) -> None:
    for number in range(1200):
        store.add("log", number)
    clock.advance(60)
    store.add("log", "new")
    assert store.forget("log", before=1030.0) == 1200
    assert [record.data for record in store.records("log")] == ["new"]
    assert store.count("log") == 1


# --- counting


def test_counting_is_by_kind_time_and_position(store: Store, clock: VirtualClock) -> None:
    for _ in range(3):
        store.add("elf", 1)
    position = store.position()
    clock.advance(100)
    store.add("pe", 1)
    store.add("elf", 1)
    assert store.count("elf") == 4
    assert store.count("elf", since=1100.0) == 1
    assert store.count("elf", since=1000.0) == 4
    assert store.count("elf", after=position) == 1
    assert store.count("elf", since=1000.0, after=position) == 1
    assert store.count("elf", since=0, limit=2) == 2
    assert store.count("elf", limit=2) == 2
    assert store.count("nothing") == store.count("nothing", since=0) == 0


@pytest.mark.parametrize("arguments", [{"since": 1.0}, {"after": 1}, {"since": 1.0, "after": 1, "limit": 5}])
def test_counting_only_looks_at_an_index(store: Store, arguments: dict[str, Any]) -> None:
    store.add("elf", 1)
    seen: list[str] = []
    read = store._database.read

    def watched(query: str, values: Any = ()) -> Any:
        seen.extend(row[3] for row in read(f"EXPLAIN QUERY PLAN {query}", values))
        return read(query, values)

    store._database.read = watched  # type: ignore[method-assign]
    store.count("elf", **arguments)
    assert any("COVERING INDEX records_by" in step for step in seen), seen
    assert not any(step.startswith("SCAN records") for step in seen), seen


# --- readers


def test_a_reader_sees_what_is_new_since_its_last_completed_run(store: Store) -> None:
    for number in range(3):
        store.add("elf", number)
    reader = store.reader("flow.similarity")
    assert [record.data for record in reader.added("elf")] == [0, 1, 2]
    reader.commit()
    store.add("elf", 3)
    assert [record.data for record in reader.added("elf")] == [3]


def test_a_run_that_failed_sees_everything_again(store: Store) -> None:
    store.add("elf", 1)
    reader = store.reader("r")
    assert len(list(reader.added("elf"))) == 1
    reader.rollback()
    assert len(list(reader.added("elf"))) == 1


def test_a_position_outlives_the_process(store: Store) -> None:
    store.add("elf", 1)
    reader = store.reader("r")
    list(reader.added("elf"))
    reader.commit()
    with Store(store.path) as again:
        assert list(again.reader("r").added("elf")) == []
        assert len(list(again.reader("other").added("elf"))) == 1


def test_one_run_finds_the_same_as_often_as_it_looks(store: Store) -> None:
    store.add("elf", 1)
    reader = store.reader("r")
    seen = []
    for first in reader.added("elf"):
        store.add("elf", 2)
        seen += [(first.data, second.data) for second in reader.added("elf")]
    assert seen == [(1, 1)]
    reader.commit()
    assert [record.data for record in reader.added("elf")] == [2]


def test_records_that_were_not_handed_out_come_the_next_time(store: Store) -> None:
    for number in range(5):
        store.add("elf", number)
    reader = store.reader("r")
    for record in reader.added("elf"):
        if record.data == 1:
            break
    reader.commit()
    assert [record.data for record in reader.added("elf")] == [2, 3, 4]


def test_a_changed_record_is_new_for_readers(store: Store) -> None:
    store.put("elf", "a", 1)
    store.put("elf", "b", 1)
    reader = store.reader("r")
    list(reader.added("elf"))
    reader.commit()
    store.put("elf", "a", 2)
    store.put("elf", "b", 1)
    assert [record.key for record in reader.added("elf")] == ["a"]


def test_many_records_come_in_order(store: Store) -> None:
    with store.together():
        for number in range(1501):
            store.add("elf", number)
    assert [record.data for record in store.reader("r").added("elf")] == list(range(1501))


# --- work that is left


def test_what_is_pending_comes_until_it_is_done(store: Store) -> None:
    for name in "abc":
        store.put("request", name, {})
    assert [record.key for record in store.pending("request")] == ["a", "b", "c"]
    assert store.done("request", "a")
    assert not store.done("request", "a")
    assert [record.key for record in store.pending("request")] == ["b", "c"]


def test_added_records_can_be_done_too(store: Store) -> None:
    store.add("request", 1)
    for record in store.pending("request"):
        assert store.done(record)
    assert list(store.pending("request")) == []


def test_a_changed_request_is_pending_again(store: Store) -> None:
    store.put("request", "a", 1)
    store.done("request", "a")
    store.put("request", "a", 1)
    assert list(store.pending("request")) == []
    store.put("request", "a", 2)
    assert [record.data for record in store.pending("request")] == [2]


def test_what_is_not_there_cannot_be_done(store: Store) -> None:
    assert not store.done("request", "a")


def test_done_records_are_not_looked_at_again(store: Store) -> None:
    with store.together():
        for number in range(1200):
            store.put("request", number, 1)
            store.done("request", number)
    assert list(store.pending("request")) == []
    settled = store._database.read("SELECT settled FROM kinds")[0][0]
    assert settled == store.position()


# --- relations


def test_relating_again_updates(store: Store) -> None:
    assert store.relate("a", "similar", "b", score=60) is Change.NEW
    assert store.relate("a", "similar", "b", score=60) is Change.SAME
    assert store.relate("a", "similar", "b", score=70) is Change.CHANGED
    assert [(one.a, one.b, one["score"]) for one in store.related("a", "similar")] == [("a", "b", 70)]
    assert store.count_relations("similar") == 1


def test_a_symmetric_relation_is_one_whichever_end_comes_first(store: Store) -> None:
    store.relate("b", "similar", "a", symmetric=True, score=60)
    assert store.relate("a", "similar", "b", symmetric=True, score=61) is Change.CHANGED
    assert store.count_relations("similar") == 1
    assert [one.b for one in store.related("a", "similar")] == ["b"]
    assert [(one.a, one.b) for one in store.related("b", "similar")] == [("b", "a")]


def test_a_directed_relation_is_found_from_its_beginning_only(store: Store) -> None:
    store.relate("a", "contains", "b")
    assert list(store.related("b", "contains")) == []


def test_records_can_be_related(store: Store) -> None:
    store.put("elf", "a", 1)
    number = store.add("elf", 2)
    first, second = store.record("elf", "a"), store.record(number)
    assert first is not None
    assert second is not None
    store.relate(first, "similar", second, symmetric=True)
    (found,) = store.related(first, "similar")
    assert found.b == RecordKey("elf", number)
    (found,) = store.related(RecordKey("elf", number), "similar")
    assert found.b == RecordKey("elf", "a")


def test_a_thing_related_to_itself_is_one_relation(store: Store) -> None:
    store.relate("a", "similar", "a", symmetric=True)
    assert len(list(store.related("a", "similar"))) == 1


def test_many_relations_are_found(store: Store) -> None:
    with store.together():
        for number in range(600):
            store.relate("hub", "to", number)
            store.relate("hub", "to", f"n{number:04}", symmetric=True)
    assert len(list(store.related("hub", "to"))) == 1200
    assert len(list(store.relations("to"))) == 1200


def test_relations_can_be_removed_from_either_end(store: Store) -> None:
    store.relate("a", "similar", "b", symmetric=True)
    assert store.unrelate("b", "similar", "a")
    assert not store.unrelate("a", "similar", "b")


def test_ends_that_name_nothing_are_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="relations are between records, texts and whole numbers"):
        store.relate(1.5, "similar", "b")  # type: ignore[arg-type]


# --- transactions


def test_what_is_written_together_is_kept_as_a_whole_or_not_at_all(store: Store) -> None:
    def fail() -> None:
        with store.together():
            store.add("elf", 1)
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        fail()
    assert store.count("elf") == 0


def test_within_a_transaction_one_sees_what_one_wrote(store: Store) -> None:
    with store.together():
        store.put("elf", "a", 1)
        assert store.get("elf", "a") == 1
        with Store(store.path) as other:
            assert other.get("elf", "a") is None


def test_an_error_caught_within_a_transaction_undoes_it(store: Store) -> None:
    def half() -> None:
        with store.together():
            store.add("elf", 1)
            with pytest.raises(StoreError):
                store.dead_letters.requeue(99)

    with pytest.raises(StoreError, match="nothing was kept"):
        half()
    assert store.count("elf") == 0


def test_other_errors_within_a_transaction_stay_what_they_are(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.together():
        Path("/nowhere/at/all").read_text()


def test_threads_take_turns(store: Store) -> None:
    def work(name: int) -> None:
        for number in range(50):
            store.put("n", f"{name}-{number}", number)
            store.count("n", since=0)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.count("n") == store.count("n", since=0) == 200


# --- the file


def test_a_store_travels_to_another_process_by_its_name(store: Store) -> None:
    store.put("elf", "a", 1)
    with pickle.loads(pickle.dumps(store)) as other:
        assert other.get("elf", "a") == 1


def test_the_version_tells_that_somebody_has_written(store: Store) -> None:
    before = store.version()
    assert store.version() == before
    store.add("elf", 1)
    assert store.version() != before


def test_a_store_closes_twice_and_then_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "run.db")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="it was closed"):
        store.add("elf", 1)
    with pytest.raises(StoreError, match="it was closed"):
        store.count("elf")


def test_the_file_is_for_its_owner_only(store: Store) -> None:
    assert Path(store.path).stat().st_mode & 0o077 == 0


def test_pickles_are_not_read_from_a_file_that_others_can_write(store: Store) -> None:
    store.put("elf", "plain", 1)
    store.put("elf", "pickled", (1, 2))
    os.chmod(store.path, 0o666)
    assert store.get("elf", "plain") == 1
    with pytest.raises(StoreError, match="only read from a file that is yours"):
        store.get("elf", "pickled")


def test_data_whose_class_has_gone_is_named(store: Store) -> None:
    store.put("elf", "a", Sample("x", 1))
    with store._database.writing() as connection:
        connection.execute("UPDATE records SET data = replace(CAST(data AS TEXT), 'x', 'x')")
        connection.execute("UPDATE records SET data = x'8005'")
    with pytest.raises(StoreError, match="record 1 of kind 'elf', key 'a': data cannot be read back"):
        store.get("elf", "a")


def test_something_else_than_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.db").write_text("hello, I am a text\n" * 100)
    with pytest.raises(StoreError, match="no SQLite database"):
        Store(tmp_path / "run.db")


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "run.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(StoreError, match="belongs to another program"):
        Store(tmp_path / "run.db")


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    Store(tmp_path / "run.db").close()
    with sqlite3.connect(tmp_path / "run.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer pipert2"):
        Store(tmp_path / "run.db")


@pytest.mark.parametrize(
    ("path", "text"),
    [("", "name a file"), (":memory:", "name a file"), ("/nowhere/run.db", "no folder '/nowhere'"), ("/tmp", "opened")],
)
def test_a_path_that_cannot_be_is_explained(path: str, text: str) -> None:
    with pytest.raises(StoreError, match=text):
        Store(path)


def fill(store: Store) -> None:
    for _ in range(100):
        store.add("elf", "x" * 10_000)


def test_a_full_disk_is_one_clear_error_and_nothing_is_lost(store: Store) -> None:
    store.add("elf", "kept")
    with store._database.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full"):
        fill(store)
    connection.execute("PRAGMA max_page_count = 1000000")
    store.add("elf", "again")
    data = [record.data for record in store.records("elf")]
    assert (data[0], data[-1]) == ("kept", "again")
    assert store.count("elf") == len(data)


def test_a_full_disk_within_a_transaction_keeps_none_of_it(store: Store) -> None:
    with store._database.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")

    def write() -> None:
        with store.together():
            store.add("elf", "small")
            with pytest.raises(StoreError, match="the disk is full"):
                store.add("elf", "x" * 1_000_000)
            store.add("elf", "after")

    with pytest.raises(StoreError):
        write()
    assert store.count("elf") == 0


def test_a_file_that_cannot_be_written_is_explained(store: Store) -> None:
    with store._database.writing() as connection:
        pass
    connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="cannot be written: change the permissions"):
        store.add("elf", 1)


def test_one_that_writes_for_too_long_is_explained(store: Store) -> None:
    with Store(store.path, patience=0.05) as other, store.together():
        store.add("elf", 1)
        with pytest.raises(StoreError, match="another process has been writing for too long"):
            other.add("elf", 2)


def test_a_store_that_is_made_later_is_made_at_first_use_and_says_at_once_where_it_cannot_be(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db", made_later=True) as store:
        assert not (tmp_path / "run.db").exists()
        store.add("elf", 1)
        assert (tmp_path / "run.db").exists()
    with Store(tmp_path / "other.db", made_later=True) as store:
        assert store.count("elf") == 0
    with pytest.raises(StoreError, match="there is no folder"):
        Store(tmp_path / "no folder" / "run.db", made_later=True)
    (tmp_path / "text.db").write_text("this is no database, however long it may be", "utf-8")
    with pytest.raises(StoreError, match="no SQLite database"):
        Store(tmp_path / "text.db", made_later=True)


def test_the_store_of_a_routine_travels_as_the_pipes(tmp_path: Path) -> None:
    with Store(tmp_path / "run.db") as store:
        store.add("elf", 1)
        own = RoutineStore(store, "similarity")
        assert [record.data for record in own.added("elf")] == [1]
        with pickle.loads(pickle.dumps(own)) as there:
            assert type(there) is Store
            assert there.count("elf") == 1
        own.run_ended(completed=False)
        assert [record.data for record in own.added("elf")] == [1]
        own.run_ended(completed=True)
        assert list(own.added("elf")) == []
        assert [record.data for record in store.reader("other").added("elf")] == [1]
