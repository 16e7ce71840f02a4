import gzip

import numpy as np
import pytest

from hf_trace.errors import DagFormatError
from hf_trace.tables.bif import parse_bif, read_bif
from hf_trace.tables.dag_files import read_dag

SPRINKLER = """
// A garden. /* not a block comment */
network "the garden" { property "version 1; by hand" ; }
/* variables
   follow */
variable rain { type discrete [ 2 ] { no, yes }; property position = (1, 2) ; }
variable "sprin kler" { type discrete[2] { off  on }; }
variable wet {
  property "kind" ;
  type discrete [ 3 ] { "dry", damp, 5-12 };
}
probability ( rain ) { table 0.8, 0.2; }
probability ( "sprin kler" | rain ) { (yes) 0.99 0.01; (no) 0.6, 0.4; }
probability ( wet | rain, "sprin kler" ) {
  default 0.8, 0.1, 0.1;
  (yes, on) 0, 1e-1, 0.9;
  (yes, off) 0.2, 0.3, 0.5;  // rain alone
}
"""


def pair(block, values="a, b"):
    return f"variable x {{ type discrete [ 2 ] {{ {values} }}; }}\n{block}"


def test_tables():
    network = parse_bif(SPRINKLER).network()
    assert network.schema["wet"].values == ("dry", "damp", "5-12")
    assert network.schema["wet"].parents == ("rain", "sprin kler")
    np.testing.assert_array_equal(network.tables["rain"], [0.8, 0.2])
    np.testing.assert_array_equal(network.tables["sprin kler"], [[0.6, 0.4], [0.99, 0.01]])
    expected = [[[0.8, 0.1, 0.1], [0.8, 0.1, 0.1]], [[0.2, 0.3, 0.5], [0, 0.1, 0.9]]]
    np.testing.assert_allclose(network.tables["wet"], expected)


def test_files(tmp_path):
    (tmp_path / "garden.bif").write_text(SPRINKLER)
    (tmp_path / "garden.bif.gz").write_bytes(gzip.compress(SPRINKLER.encode()))
    for name in ("garden.bif", "garden.bif.gz"):
        assert read_bif(tmp_path / name).schema["rain"].values == ("no", "yes")
        source = read_dag(tmp_path / name)
        assert source.edges == (("rain", "sprin kler"), ("rain", "wet"), ("sprin kler", "wet"))
        assert source.hint("wet").values == ("dry", "damp", "5-12")
    assert read_dag(read_bif(tmp_path / "garden.bif")).edges == source.edges
    with pytest.raises(DagFormatError, match="There is no file"):
        read_bif(tmp_path / "gardens.bif")
    (tmp_path / "bad.bif").write_text("variable")
    with pytest.raises(DagFormatError, match=r"^'bad\.bif': The text ends in line 1 within a block"):
        read_bif(tmp_path / "bad.bif")


def test_whole_tables_are_read_in_the_order_that_sums_to_one():
    head = "variable a { type discrete [ 2 ] { f t }; } variable b { type discrete [ 2 ] { f t }; }"
    head += "probability ( a ) { table .5 .5; }"
    standard = parse_bif(head + "probability ( b a ) { table 0.9 0.2 0.1 0.8; }").network()
    other = parse_bif(head + "probability ( b | a ) { table 0.9 0.1 0.2 0.8; }").network()
    for network in (standard, other):
        np.testing.assert_allclose(network.tables["b"], [[0.9, 0.1], [0.2, 0.8]])


def test_rounded_rows_are_made_to_sum_to_one():
    network = parse_bif(pair("probability ( x ) { table 0.333, 0.666; }")).network()
    assert network.tables["x"].tolist() == [1 / 3, 2 / 3]


def test_a_graph_needs_no_probabilities(tmp_path):
    (tmp_path / "x.bif").write_text(pair(""))
    assert read_dag(tmp_path / "x.bif").names == ("x",)
    with pytest.raises(DagFormatError, match=r"'x' has no probabilities. Add a block"):
        read_bif(tmp_path / "x.bif")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "The text has no variables"),
        ("network x { }", "The text has no variables"),
        ("network x {", "The text ends in line 1 within a block. Copy the file again."),
        ("<xml>", "Line 1 has '<xml>', expected network, variable or probability. Is this a BIF file?"),
        ('variable "x', "Line 1 has an unclosed quote, expected pairs of quotes."),
        ("variable { }", "Line 1 has '{', expected a name."),
        ("variable x { }", "Line 1: the variable 'x' has no type, expected its values."),
        ("variable x { types }", "Line 1 has 'types', expected type or property."),
        ("variable x { type continuous; }", "Line 1: 'x' is continuous, expected discrete variables only."),
        ("variable x\n{ type discrete [ 3 ] { a, b }; }", "Line 2: 'x' lists 2 values, but says it has 3."),
        ("variable x { type discrete [ 2 ] { a, a }; }", "Line 1: 'x' lists a value twice, expected each once."),
        (pair("") + pair(""), "Line 2: the variable 'x' is listed twice, expected each once."),
        (pair("probability ( xx ) { }"), "Line 2: probabilities name 'xx', which is not a variable."),
        (pair("probability ( x | z ) { }"), "Line 2: probabilities name 'z', which is not a variable."),
        (pair("probability ( ) { }"), "Line 2: probabilities of nothing, expected ( variable | parents )."),
        (pair("probability ( x ) { table 1 0; }" * 2), "Line 2: 'x' has probabilities twice, expected them once."),
        (pair("probability ( x ) { table 1 O; }"), "Line 2: '1 O' are not all numbers."),
        (pair("probability ( x ) { table 1; }"), "Line 2: the table of 'x' has 1 probabilities, expected 2."),
        (pair("probability ( x ) { rows 1; }"), "Line 2 has 'rows', expected table, default or a row such as (yes)."),
        (pair("probability ( x ) { table 0.5 0.4; }"), "The probabilities of 'x' are [0.5, 0.4], expected none below"),
        (pair("probability ( x ) { table 1.5 -0.5; }"), "The probabilities of 'x' are [1.5, -0.5], expected none"),
        (pair("probability ( x ) { table nan 1; }"), "The probabilities of 'x' are [nan, 1.0], expected none"),
        (
            SPRINKLER.replace("default 0.8, 0.1, 0.1;", ""),
            "Line 14: 'wet' has no probabilities for (no, off). Add this",
        ),
        (
            SPRINKLER.replace("(yes, on)", "(yess, on)"),
            "Line 14: 'rain' has no value 'yess', which a row of 'wet' names.",
        ),
        (
            SPRINKLER.replace("(yes, on)", "(on)"),
            "Line 14: a row of 'wet' names 1 values, expected one for each of its 2",
        ),
        (SPRINKLER.replace("0, 1e-1,", "1e-1,"), "Line 14: a row of 'wet' has 2 probabilities, expected one for each"),
        (
            SPRINKLER.replace("(yes) 0.99", "(yes) 0.49"),
            "The probabilities of 'sprin kler' at rain=yes are [0.49, 0.01]",
        ),
    ],
)
def test_refused_texts(text, message):
    with pytest.raises(DagFormatError) as error:
        parse_bif(text).network()
    assert str(error.value).startswith(message)


def test_a_cycle_is_named():
    text = "".join(f"variable {name} {{ type discrete [ 1 ] {{ v }}; }}" for name in "ab")
    with pytest.raises(DagFormatError, match=r"cycle b → a → b|cycle a → b → a"):
        parse_bif(text + "probability ( a | b ) { (v) 1; } probability ( b | a ) { (v) 1; }").network()


def test_quoted_marks_are_names_and_values():
    text = """
    network "x {" { property "a } b"; property "}" ; }
    variable "(" { type discrete [ 4 ] { "{", "}", "|", "," }; property "}" ; }
    variable "type" { type discrete [ 3 ] { ";", "table", "//" }; }
    probability ( "(" ) { table 0.1, 0.2, 0.3, 0.4; }
    probability ( "type" | "(" ) { ("{") 1, 0, 0; ("}") 0, 1, 0; ("|") 0, 0, 1; (",") 0.5, 0.5, 0; }
    """
    network = parse_bif(text).network()
    assert network.schema["("].values == ("{", "}", "|", ",")
    assert network.schema["type"].values == (";", "table", "//")
    assert network.schema["type"].parents == ("(",)
    assert network.tables["type"].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0]]


def test_tables_that_no_memory_holds():
    names = [f"x{number}" for number in range(80)]
    text = "".join(f"variable {name} {{ type discrete [ 2 ] {{ a, b }}; }}\n" for name in names)
    for count in (40, 79):
        parents = " ".join(names[1 : count + 1])
        document = parse_bif(text + f"probability ( x0 | {parents} ) {{ default 0.5 0.5; }}")
        with pytest.raises(DagFormatError, match=f"^Line 81: 'x0' and its {count} parents have .* combinations"):
            document.network()
