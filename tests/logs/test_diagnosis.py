"""What a log is like: each finding on a log made for it, whose answer is known by hand."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_trace.logs.columns import ColumnChoice
from hf_trace.logs.diagnosis.choices import (
    StateVariables,
    discovery_choices,
    events_within,
    next_commands,
    training_choices,
)
from hf_trace.logs.diagnosis.measurements import Measurements
from hf_trace.logs.diagnosis.repeats import Chatter, Duplicates, Floods, Periodic
from hf_trace.logs.diagnosis.source_columns import chosen_columns, possible_columns
from hf_trace.logs.diagnosis.time_figures import TimeFigures, WrittenTimes
from hf_trace.logs.log import EventLog
from hf_trace.logs.sequence import EventSequence
from hf_trace.logs.sources import read_log, source_frames

NO_TIMES = EventLog.from_sequences([EventSequence(("a", "a", "a", "a"))])


def log_of(*sequences):
    """Sequences of (type, time)."""
    return EventLog.from_sequences(
        [EventSequence(tuple(event for event, _ in each), tuple(float(time) for _, time in each)) for each in sequences]
    )


def frame_of(text):
    return pd.read_csv(io.StringIO(text), dtype=object, keep_default_na=False)


def uses(text, **choice):
    return [(each.use, each.column) for each in possible_columns(frame_of(text), ColumnChoice(**choice))]


# --- measurements

DOOR = [("door", "open"), ("door", "closed")]


def measurements(rows, **choice):
    frame = pd.DataFrame(rows, columns=["node", "value"])
    return Measurements.of([frame.iloc[:5], frame.iloc[5:]], ColumnChoice(**choice))


def test_a_variable_with_many_numbers_is_measured_in_all_files_together():
    found = measurements([*DOOR, *(("speed", f"{tick}.5") for tick in range(51))], event="node,value")
    assert (found.variables, found.values, found.share) == (("speed",), 51, 51 / 53)
    assert found.query == "node not in ['speed']"
    assert found.query in found.lines()[0]


@pytest.mark.parametrize(
    "rows",
    [
        [*DOOR, *(("speed", str(tick)) for tick in range(50))],  # states
        [*DOOR, *(("code", f"E{tick}") for tick in range(90))],  # names
        [*DOOR, *(("code", str(tick) if tick % 10 else f"E{tick}") for tick in range(90))],  # a tenth are names
        DOOR,
    ],
)
def test_names_and_few_numbers_are_events(rows):
    assert measurements(rows, event="node,value") == Measurements()


def test_a_log_of_measurements_alone_needs_other_events():
    found = measurements([("speed", str(tick)) for tick in range(60)], event="node,value")
    assert found.variables == ("speed",)
    assert not found.query
    assert "Name another event column" in found.lines()[0]


def test_in_one_column_whole_numbers_are_codes_and_fractions_measurements():
    assert measurements([("a", str(tick)) for tick in range(90)], event="value") == Measurements()
    found = measurements([("a", f"{tick}.25") for tick in range(90)], event="value")
    assert (found.column, found.values, found.share) == ("value", 90, 1.0)


def test_the_query_keeps_the_rows_that_are_events(tmp_path):
    rows = [("7", str(tick)) for tick in range(60)] + [("8", "on"), ("8", "off"), ("8", "on")]
    path = tmp_path / "log.csv"
    frame = pd.DataFrame(rows, columns=["node no", "value"])
    frame.to_csv(path, index=False)
    found = Measurements.of([frame], ColumnChoice(event=("node no", "value")))
    assert found.query == "`node no` not in ['7', 7]"  # in a column of numbers it is compared as one
    log = read_log(path, event_column=["node no", "value"], query=found.query)
    assert log[0].events == ("8=on", "8=off", "8=on")


# --- repeats


def test_a_copy_has_the_sequence_the_type_and_the_time_of_another():
    log = log_of([("a", 1), ("a", 1), ("b", 1), ("a", 2)], [("a", 1)])
    assert Duplicates.of(log) == Duplicates(1, 0.2)
    assert Duplicates.of(NO_TIMES).events == 0


def test_chatter_is_four_of_a_type_within_a_minute():
    burst = [("a", 0), ("a", 20), ("a", 40), ("a", 60)]
    assert Chatter.of(log_of(burst)) == Chatter(("a",), 1, 4, 1.0)
    assert not Chatter.of(log_of([*burst[:3], ("a", 60.5)])).types  # a little too late
    assert not Chatter.of(log_of(burst[:3])).types  # three are no chatter
    assert not Chatter.of(log_of(burst[:2], burst[2:])).types  # of two sequences
    assert not Chatter.of(log_of([*burst[:3], ("b", 50)])).types  # of two types
    assert not Chatter.of(NO_TIMES).types


def test_bursts_that_are_apart_are_two():
    burst = [("a", second) for second in (0, 1, 2, 3)]
    later = [("a", 1000 + second) for _, second in burst]
    found = Chatter.of(log_of([*burst, *later, ("b", 2000), ("b", 2001)]))
    assert (found.episodes, found.events, found.share) == (2, 8, 0.8)
    # Four in a row reach over the middle: one long burst.
    assert Chatter.of(log_of([("a", 15 * number) for number in range(10)])).episodes == 1


def test_the_type_with_most_events_in_chatter_comes_first():
    log = log_of([("a", second) for second in range(4)] + [("b", 100 + second) for second in range(5)])
    assert Chatter.of(log).types == ("b", "a")


def test_a_flood_has_more_than_three_times_a_busy_window():
    steady = [("a", second) for second in range(2000)]
    assert Floods.of(log_of(steady)).count == 0
    # 2100 events in 1999 s: windows of 9.5 s with 9 or 10 events, and one with a hundred more.
    found = Floods.of(log_of(sorted(steady + [("b", 1000)] * 100, key=lambda event: event[1])))
    assert (found.count, found.usual) == (1, 10.0)
    assert found.largest == found.events in (109, 110)
    assert found.window_seconds == pytest.approx(10 * 1999 / 2100)


def test_floods_in_a_row_are_one_and_apart_two():
    def flooded(*seconds):
        events = [("a", second) for second in range(2000)] + [("b", second) for second in seconds for _ in range(100)]
        return Floods.of(log_of(sorted(events, key=lambda event: event[1]))).count

    assert [flooded(1000, 1010), flooded(500, 1500)] == [1, 2]


def test_no_floods_are_looked_for_where_sequences_have_clocks_of_their_own():
    bursts = [[("a", 0)] * 50 + [("a", 1000 * number)] for number in range(1, 9)]
    assert Floods.of(log_of(*bursts)).window_seconds == 0
    assert Floods.of(NO_TIMES).count == 0


def test_a_clock_is_periodic_and_a_poisson_process_is_not():
    rng = np.random.default_rng(0)
    clock = [("tick", 30 * number + 0.1 * (number % 2)) for number in range(40)]
    noise = [("noise", float(time)) for time in np.cumsum(rng.exponential(30, 40))]
    found = Periodic.of(log_of(sorted(clock + noise, key=lambda event: event[1]))).seconds
    assert list(found) == ["tick"]
    assert found["tick"] == pytest.approx(30, abs=0.11)


def test_a_clock_needs_ten_gaps_and_goes_on_in_another_sequence():
    def ticks(number):
        return [("tick", 30 * each) for each in range(number)]

    assert not Periodic.of(log_of(ticks(10))).seconds
    assert Periodic.of(log_of(ticks(6), ticks(6))).seconds == {"tick": 30.0}  # 5 gaps in each
    assert not Periodic.of(log_of([("tick", 5)] * 20)).seconds  # all at once is no clock


# --- times


def test_span_ties_gaps_and_resolution():
    found = TimeFigures.of(log_of([("a", 0), ("b", 120), ("c", 120), ("d", 300)], [("a", 600)]))
    assert (found.span_seconds, found.resolution_seconds, found.ties) == (600.0, 60.0, pytest.approx(1 / 3))
    assert found.median_gap_seconds == 120.0
    assert TimeFigures.of(NO_TIMES) is None


@pytest.mark.parametrize("step", [86_400.0, 3_600.0, 60.0, 1.0, 0.001])
def test_resolution_is_the_coarsest_step_of_which_times_are_multiples(step):
    times = 1.7e9 // step * step + step * np.array([1, 2, 3, 5, 7])
    assert TimeFigures.of(log_of([("a", time) for time in times])).resolution_seconds == step


def test_times_finer_than_a_millisecond():
    times = np.random.default_rng(0).uniform(0, 10, 50)
    assert TimeFigures.of(log_of([("a", time) for time in sorted(times)])).resolution_seconds == 0


def test_rows_out_of_order_are_counted_within_their_sequence():
    cases, seconds = np.array([0, 1, 0, 1, 0, -1]), np.array([5.0, 1.0, 4.0, 2.0, np.nan, 0.0])
    found = WrittenTimes.of("time", pd.Series(["5"] * 6), [cases], [seconds])
    assert (found.out_of_order, found.rows, found.zones, found.unit) == (1, 6, {}, "s")


def test_zones_are_told_apart():
    values = pd.Series(["2024-05-01 07:00+02:00", "2024-05-01T07:00:00Z", "2024-05-01 07:00"])
    found = WrittenTimes.of("time", values, [np.zeros(3, np.int64)], [np.arange(3.0)])
    assert found.zones == {"+02:00": 1, "Z": 1, "": 1}
    assert any("have no time zone" in line for line in found.lines())
    # The minus of a date is no zone.
    assert WrittenTimes.of("t", pd.Series(["2024-05-01 07:00"]), [], []).zones == {"": 1}


# --- columns


def test_columns_are_chosen_by_name_or_by_you():
    frame = frame_of("machine,alarm,when\nm1,fan,1\n")
    found = chosen_columns(frame, ColumnChoice(time="when"))
    assert [(each.role, each.column, each.reason) for each in found] == [
        ("case", "machine", "a usual name"),
        ("event", "alarm", "a usual name"),
        ("time", "when", "named by you"),
    ]
    assert chosen_columns(frame_of("alarm\nfan\n"), ColumnChoice())[0].lines() == [
        "no case: every file is one sequence."
    ]


ROWS = "".join(
    f"{case},{event},{place},{10 * case + place}\n" for case in range(6) for place, event in enumerate("abcab")
)


def test_an_id_with_repeated_values_is_a_case():
    assert uses(f"id,event,place,number\n{ROWS}")[0] == ("case", "id")
    assert uses(f"unit,event,place,number\n{ROWS}")[0] == ("case", "unit")


def test_what_is_no_case():
    # One row each, one value in all, the name of the event in other words, a measurement.
    assert (
        uses("event,row,same,code,level\n" + "".join(f"{e},{n},x,{e}1,{n % 3}.5\n" for n, e in enumerate("abc" * 9)))
        == []
    )
    assert ("case", "id") not in uses(f"id,event,place,case\n{ROWS}")


def test_a_column_of_one_value_in_each_sequence_is_a_context():
    rows = "".join(
        f"{case},{event},{'north' if case % 2 else 'south'},{event}\n" for case in range(6) for event in "abc"
    )
    assert uses(f"case,event,site,copy\n{rows}") == [("context", "site")]
    assert uses(f"case,event,site,copy\n{rows}", contexts=("site",)) == []


def test_names_of_other_sequences_are_neighbours():
    rows = "".join(
        f"m{case},{event},m{(case + turn) % 4}\n" for case in range(4) for turn, event in enumerate("abcd", 1)
    )
    assert ("topology", "upstream") in uses(f"case,event,upstream\n{rows}")


def test_times_that_are_not_before_those_of_the_events_are_ends():
    rows = "".join(f"m{n % 2},a,{n},{n + n % 3},{n - 1}\n" for n in range(12))
    assert ("end", "end_time") in uses(f"case,event,time,end_time,ended_before\n{rows}")
    assert ("end", "ended_before") not in uses(f"case,event,time,end_time,ended_before\n{rows}")


# --- choices


def test_variables_are_found_by_equal_signs_and_pairs_of_words():
    assert StateVariables.of(["pump=on", "pump=off", "boot"]).patterns == ("*=*",)
    found = StateVariables.of(["leak raised", "leak cleared", "door open", "door closed", "boot"])
    assert (found.patterns, len(found.values), found.types) == (("leak *", "door *"), 2, 5)


def test_a_pattern_fits_the_types_of_its_variable_alone():
    # "leak *" would take "leak test" along.
    assert StateVariables.of(["leak raised", "leak cleared", "leak test"]).patterns == ()
    assert StateVariables.of(["pump=on", "pump=off"]).patterns == ()  # nothing would be left


def test_patterns_are_understood_by_discovery():
    from hf_trace.discovery.by_type.event_variables import variable_names

    types = ["leak raised", "leak cleared", "door=open", "door=closed", "boot"]
    assert variable_names(types, StateVariables.of(types).patterns) == ["leak", "leak", "door", "door", "boot"]


def test_windows_are_the_longest_sequence_the_default_or_short_where_few():
    def length(*lengths):
        log = EventLog.from_sequences([EventSequence(("a", "b") * (each // 2)) for each in lengths])
        return training_choices(log, 128)[0]

    assert (length(*[10] * 30).value, length(*[10] * 30).is_default) == ("10", True)
    assert (length(*[1000] * 10).value, length(*[1000] * 10).is_default) == ("128", True)
    assert (length(1000).value, length(1000).is_default) == ("50", False)  # a twentieth
    assert length(100).typed == ("--window-length", "16")


def test_many_rare_types_are_read_as_unknown():
    log = EventLog.from_sequences([EventSequence(("a",) * 20 + ("b", "c"))] * 2)
    assert training_choices(log, 128)[-1].typed == ("--min-count", "5")
    assert len(training_choices(log.from_sequences([EventSequence(("a", "b") * 20)]), 128)) == 1


@pytest.mark.parametrize(("near", "lag"), [(1, "4"), (4, "4"), (5, "8"), (12, "16"), (30, "16")])
def test_the_lag_holds_what_comes_within_the_horizon(near, lag):
    log = log_of(*[[("a", each) for each in range(100)]] * 3)
    found = {each.option: each for each in discovery_choices(log, "drives", "", float(near), StateVariables({}, (), 1))}
    assert (found["max_lag"].value, found["max_lag"].is_default) == (lag, lag == "16")


def test_what_follows_has_a_horizon_and_no_lag():
    options = [each.option for each in discovery_choices(NO_TIMES, "follows", "", 0.0, StateVariables({}, ("*=*",), 1))]
    assert options == ["question", "horizon", "threshold"]


def test_commands_are_whole():
    choices = discovery_choices(NO_TIMES, "drives", "it can", 0.0, StateVariables({}, ("*=*",), 1))
    columns, places, beside = ["--query", "level != 'INFO'"], ["--topology", "net.csv"], ["--context-column", "site"]
    assert next_commands("logs/plant a.csv.gz", columns, places, beside, choices) == [
        "hf-trace count 'logs/plant a.csv.gz' --query \"level != 'INFO'\" --topology net.csv "
        "--out plant-a-counted.json",
        "hf-trace train 'logs/plant a.csv.gz' --query \"level != 'INFO'\" --topology net.csv --context-column site "
        "--out runs/plant-a",
        "hf-trace discover runs/plant-a 'logs/plant a.csv.gz' --query \"level != 'INFO'\" --question drives "
        "--variable '*=*' --out plant-a.json --html plant-a.html",
    ]


# --- what holds always

TIMES = st.one_of(st.integers(0, 200).map(float), st.floats(-1e15, 1e15))
LOGS = st.lists(
    st.lists(st.tuples(st.sampled_from(["a", "b", "x=1", "x=2"]), TIMES), max_size=12), min_size=1, max_size=5
).filter(any)


@settings(max_examples=40)
@given(LOGS)
def test_findings_count_events_of_the_log(sequences):
    log = log_of(*(sorted(each, key=lambda event: event[1]) for each in sequences))
    events = len(log.codes)
    copies, chatter, floods = Duplicates.of(log), Chatter.of(log), Floods.of(log)
    distinct = {(number, *event) for number, each in enumerate(sequences) for event in each}
    assert copies.events == events - len(distinct)
    assert 4 * chatter.episodes <= chatter.events <= events
    assert bool(chatter.types) == bool(chatter.events) == bool(chatter.episodes)
    assert floods.count <= floods.events <= events
    assert set(chatter.types) | set(Periodic.of(log).seconds) <= set(log.event_types)
    figures = TimeFigures.of(log)
    assert 0 <= figures.ties <= 1
    assert figures.median_gap_seconds <= figures.long_gap_seconds <= figures.span_seconds
    assert events_within(log, 10.0).sum() <= events**2
    for finding in (copies, chatter, floods, figures, Periodic.of(log), *training_choices(log, 128)):
        assert all(isinstance(line, str) for line in finding.lines())
        assert finding.to_dict()


@given(
    st.lists(
        st.lists(st.sampled_from(["", "a", "b", "1", "2.5", "2024-05-01", "x y"]), min_size=4, max_size=4), min_size=1
    )
)
def test_columns_are_looked_at_whatever_is_in_them(rows):
    frame = pd.DataFrame(rows, columns=["id", "event", "end", "other"], dtype=object)
    for choice in (ColumnChoice(), ColumnChoice(case="id"), ColumnChoice(case="id", time="other")):
        found = possible_columns(frame, choice)
        assert {each.column for each in found} <= {"id", "end", "other"} - {choice.case, choice.time}


def test_tables_of_files_are_as_they_are_read(tmp_path):
    (tmp_path / "one.csv").write_text("event,n\na,1\nb,2\n")
    (tmp_path / "two.csv").write_text("event,n\nc,1\n")
    found = dict(source_frames(tmp_path, query="n > 1"))
    assert {name: frame["event"].tolist() for name, frame in found.items()} == {"one": ["b"]}
    assert read_log(tmp_path, query="n > 1").ids == ("one",)
    (tmp_path / "plain.txt").write_text("a b")
    assert list(source_frames(tmp_path / "plain.txt")) == []
