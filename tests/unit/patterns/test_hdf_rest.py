"""Results over HTTP are what the HDF REST interface says, and whatever is asked for is answered."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipert2 import PipertError
from pipert2.patterns.results.hdf_rest import HdfRest
from pipert2.patterns.results.hdf_server import HdfServer

TREE: dict[Any, Any] = {
    "image": np.arange(12, dtype=">u2").reshape(3, 4),
    "image_attrs": {"units": "counts", "frames": 3},
    "flag": True,
    "title": "text",
    "names": ["a", "bc"],
    "nothing": None,
    5: "no name",
    "complex": 1 + 2j,
    "group": {"x": [1, 2, 3], "_attrs": {"NX_class": "NXdata"}},
    "_attrs": {"default": "group"},
}
REST = HdfRest(lambda: TREE)


def get(path: str, query: str = "") -> Any:
    answer = REST.answer("GET", path, query)
    assert answer.status == "200 OK", answer
    return json.loads(answer.body)


def links(path: str = "") -> dict[str, Any]:
    group = get("/")["root"]
    for name in filter(None, path.split("/")):
        group = get(f"/groups/{group}/links/{name}")["link"]["id"]
    return {link["title"]: link["id"] for link in get(f"/groups/{group}/links")["links"]}


def test_the_root_has_what_hdf5_knows_of_the_dict() -> None:
    assert sorted(links()) == ["complex", "flag", "group", "image", "names", "title"]
    assert list(links("group")) == ["x"]
    assert get(f"/groups/{get('/')['root']}/attributes/default")["value"] == "group"
    assert "hsds_version" in get("/about")


def test_a_dataset_has_type_shape_and_attributes() -> None:
    found = get(f"/datasets/{links()['image']}", "include_attrs=1")
    assert found["type"] == {"class": "H5T_INTEGER", "base": "H5T_STD_U16LE"}
    assert found["shape"] == {"class": "H5S_SIMPLE", "dims": [3, 4]}
    assert {name: one["value"] for name, one in found["attributes"].items()} == {"units": "counts", "frames": 3}
    assert get(f"/datasets/{links()['flag']}")["type"]["class"] == "H5T_ENUM"


def test_values_are_little_endian_or_json() -> None:
    path = f"/datasets/{links()['image']}/value"
    answer = REST.answer("GET", path, "", "application/octet-stream")
    np.testing.assert_array_equal(np.frombuffer(answer.body, "<u2").reshape(3, 4), TREE["image"])
    assert get(path, "select=[1:3,::2]")["value"] == [[4, 6], [8, 10]]
    assert get(path, "select=[2,3]")["value"] == [[11]]
    assert get(f"/datasets/{links()['names']}/value")["value"] == ["a", "bc"]
    assert get(f"/datasets/{links()['title']}/value")["value"] == "text"
    assert get(f"/datasets/{links()['flag']}/value")["value"] == 1
    posted = REST.answer("POST", path, "", "", json.dumps({"select": "[0:1,0:2]"}).encode())
    assert json.loads(posted.body)["value"] == [[0, 1]]
    points = REST.answer("POST", path, "", "", np.array([[0, 1], [2, 3]], "<u8").tobytes())
    assert json.loads(points.body)["value"] == [1, 11]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/groups/g-nothing", "", "404"),
        ("/elsewhere", "", "404"),
        ("/groups", "", "404"),
        ("/datasets/{image}/values", "", "404"),
        ("/datasets/{image}/attributes/nothing", "", "404"),
        ("/datasets/{image}/value", "select=[1:2]", "400"),
        ("/datasets/{image}/value", "select=[a,b]", "400"),
        ("/datasets/{image}/value", "select=[::0,1:2]", "400"),
        ("/datasets/{image}/value", "select=[9,1:2]", "400"),
    ],
)
def test_what_is_not_there_is_said_so(path: str, query: str, status: str) -> None:
    assert REST.answer("GET", path.format(image=links()["image"]), query).status.startswith(status)


def test_who_was_told_a_shape_gets_the_whole_value_in_that_shape_until_told_another() -> None:
    curve = [1.0, 2.0]
    rest = HdfRest(lambda: {"curve": curve})

    def asked(path: str) -> Any:
        return json.loads(rest.answer("GET", path).body)

    def opened() -> str:
        return f"/datasets/{asked('/groups/' + asked('/')['root'] + '/links/curve')['link']['id']}"

    first, second = opened(), opened()
    assert asked(first)["shape"]["dims"] == [2]
    curve.append(3.0)
    assert asked(second)["shape"]["dims"] == [3]
    curve.append(4.0)
    assert asked(f"{first}/value")["value"] == curve[:2]
    assert asked(f"{second}/value")["value"] == curve[:3]
    assert asked(f"{opened()}/value")["value"] == curve
    assert asked(f"{first}/shape")["shape"]["dims"] == [4]
    assert asked(f"{first}/value")["value"] == curve
    del curve[1:]
    answer = rest.answer("GET", f"{first}/value")
    assert answer.status.startswith("400")
    assert "refresh" in json.loads(answer.body)["error"]
    for _ in range(1000):
        opened()
    assert asked(f"{first}/value")["value"] == curve


def test_nothing_can_be_changed() -> None:
    assert REST.answer("PUT", "/").status.startswith("405")


@given(st.sampled_from(["GET", "POST"]), st.text(max_size=30), st.text(max_size=30), st.binary(max_size=40))
def test_whatever_is_asked_for_is_answered(method: str, path: str, query: str, body: bytes) -> None:
    for where in (path, f"/datasets/{links()['image']}/{path}"):
        assert REST.answer(method, where, query, "", body).status[:3] in ("200", "400", "404")
    select = REST.answer(method, f"/datasets/{links()['image']}/value", f"select={query}", "", body)
    assert select.status[:3] in ("200", "400")


def test_the_server_answers_this_machine_only() -> None:
    with HdfServer(REST) as server:
        with urllib.request.urlopen(f"{server.url}/about", timeout=60) as answer:
            assert json.loads(answer.read())["name"] == "pipert2"
        foreign = urllib.request.Request(server.url, headers={"Host": "evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(foreign, timeout=60)
        refused.value.close()
    server.close()


def test_a_port_that_is_taken_is_named() -> None:
    with HdfServer(REST) as server:
        port = int(server.url.rpartition(":")[2])
        with pytest.raises(PipertError, match=f"port {port}"):
            HdfServer(REST, port)


def test_h5pyd_reads_it() -> None:
    h5pyd: Any = pytest.importorskip("h5pyd")
    with HdfServer(REST) as server, h5pyd.File("/", "r", endpoint=server.url) as file:
        assert sorted(file) == ["complex", "flag", "group", "image", "names", "title"]
        np.testing.assert_array_equal(file["image"][()], TREE["image"])
        np.testing.assert_array_equal(file["image"][1:, ::2], TREE["image"][1:, ::2])
        assert file["flag"][()]
        assert file["group/x"][()].tolist() == [1, 2, 3]
        assert dict(file["image"].attrs) == {"units": "counts", "frames": 3}


def test_h5pyd_reads_datasets_that_grow() -> None:
    h5pyd: Any = pytest.importorskip("h5pyd")
    curve = np.arange(3)
    with HdfServer(HdfRest(lambda: {"curve": curve})) as server, h5pyd.File("/", "r", endpoint=server.url) as file:
        assert file["curve"][-1] == 2
        for size in range(4, 8):
            curve = np.arange(size)
            assert len(file["curve"][()]) in (size - 1, size)
            file["curve"].refresh()
            assert file["curve"][()].tolist() == list(range(size))


def test_silx_reads_it() -> None:
    silx_io: Any = pytest.importorskip("silx.io")
    pytest.importorskip("h5pyd")
    with HdfServer(REST) as server, silx_io.open(f"{server.url}/") as file:
        assert sorted(file.keys()) == ["complex", "flag", "group", "image", "names", "title"]
        np.testing.assert_array_equal(file["image"][1:, ::2], TREE["image"][1:, ::2])
