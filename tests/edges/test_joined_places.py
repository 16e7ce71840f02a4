"""Topologies in files: pairs, matrices with and without names, and one line for every mistake."""

import networkx as nx
import numpy as np
import pytest

from hf_trace.edges.joined_places import matrix_pairs, read_joined_places
from hf_trace.errors import GraphFormatError

MATRIX = np.array([[0, 1, 0], [1, 0, 0], [0, 1, 0]])


def written(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", "pump,valve\ntank,valve\n"),
        ("own_words.csv", "device,neighbour\npump,valve\ntank,valve\n"),
        ("named.csv", "source,target\npump,valve\ntank,valve\n"),
        ("matrix.csv", ",pump,valve,tank\npump,0,1,0\nvalve,0,0,0\ntank,0,1,0\n"),
        ("shuffled.csv", "place,pump,valve,tank\ntank,0,1.0,0\npump,false,true,\nvalve,0,0,0\n"),
        ("matrix.tsv", "\tpump\tvalve\ttank\npump\t0\t1\t0\nvalve\t0\t0\t0\ntank\t0\t1\t0\n"),
        ("positions.csv", "0,0,1\n0,0,1\n0,0,0\n"),
        ("edges.json", '{"edges": [["pump", "valve"], ["tank", "valve"]]}'),
        ("list.json", '[["pump", "valve"], ["tank", "valve"]]'),
    ],
)
def test_every_way_to_write_what_joins_a_valve(tmp_path, name, text):
    found = read_joined_places(written(tmp_path, name, text), ["tank", "valve", "pump"])
    assert set(found) == {("pump", "valve"), ("tank", "valve")}


@pytest.mark.parametrize("suffix", [".gml", ".graphml"])
def test_networks_of_networkx(tmp_path, suffix):
    path = tmp_path / f"network{suffix}"
    getattr(nx, f"write_{suffix[1:]}")(nx.Graph([("pump", "valve")]), path)
    assert set(map(frozenset, read_joined_places(path))) == {frozenset(("pump", "valve"))}


def test_a_matrix_without_names_is_by_position_of_the_sorted_ones(tmp_path):
    np.save(tmp_path / "matrix.npy", MATRIX)
    path = tmp_path / "matrix.npy"
    assert read_joined_places(path) == (("0", "1"), ("1", "0"), ("2", "1"))
    assert read_joined_places(path, ["x", "z", "y"]) == (("x", "y"), ("y", "x"), ("z", "y"))
    # Names that are positions are those, though some places of the matrix are not in the log.
    assert read_joined_places(path, ["2", "1"]) == (("0", "1"), ("1", "0"), ("2", "1"))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.ones((2, 3)), "got a matrix of shape (2, 3), expected a square one, [place, place]."),
        (np.ones(4), "got a matrix of shape (4,), expected a square one, [place, place]."),
        (np.array([["a", "b"], ["c", "d"]]), "got a matrix with other cells than numbers, expected 0 where places"),
        (np.array([[np.nan]]), "got a matrix with other cells than numbers"),
        (np.eye(3), "got a matrix of 3 places without names, and the log has 2: 'x', 'y'. Expected as many"),
    ],
)
def test_matrices_that_join_nothing_in_particular(matrix, message):
    with pytest.raises(GraphFormatError) as caught:
        matrix_pairs(matrix, ["x", "y"])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("wide.csv", ",a,b,c\na,0,1,0\nb,1,0,0\n", "the matrix has 2 lines of 3 cells below 'a', 'b', 'c', expected"),
        ("names.csv", ",a,b,c\na,0,1,0\nb,1,0,0\nd,0,0,0\n", "the matrix has 3 lines of 3 cells"),
        ("twice.csv", ",a,a,c\na,0,1,0\na,1,0,0\nc,0,0,0\n", "the matrix names 'a'"),
        ("edges.yaml", "a: b", "The suffix of the topology"),
        ("edges.json", '{"edges"', "Cannot read the topology"),
        ("edges.json", "3", "expected"),
        ("matrix.npy", "no matrix", "Cannot read the topology"),
    ],
)
def test_broken_files_are_refused_in_a_line(tmp_path, name, text, message):
    path = written(tmp_path, name, text)
    with pytest.raises(GraphFormatError) as caught:
        read_joined_places(path, ["a", "b", "c"])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(GraphFormatError, match=r"absent\.csv': no such file or directory\."):
        read_joined_places(tmp_path / "absent.csv")


def test_without_a_log_the_first_line_may_be_a_pair(tmp_path):
    assert read_joined_places(written(tmp_path, "pairs.csv", "a,b\nc,d\n")) == (("a", "b"), ("c", "d"))
