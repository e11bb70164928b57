"""A file of outcomes: every mistake is named by line and field, nothing right is lost, and again is the same."""

import pytest

from cput.errors import InputError
from cput.ledger.outcome_fields import Wrong
from cput.ledger.outcome_file import FIELDS, read_outcomes
from cput.records import Outcome, Source

NOW_S = 1_762_000_000.0


def read(tmp_path, text: str | bytes, name: str = "f.jsonl"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(read_outcomes(path, now_s=NOW_S))


def outcomes(found) -> list[Outcome]:
    assert [wrong for line in found for wrong in line.wrong] == []
    return [line.outcome for line in found]


def test_every_field_is_read_from_jsonl(tmp_path):
    (said,) = outcomes(
        read(
            tmp_path,
            '{"id": "i", "call_id": "c", "external_key": "k", "episode": "e", "attempt": 1, "name": "n", "value": 0.5,'
            ' "source": "judge", "observed_s": 12.5, "detail": {"why": "x"}, "retracted": true}\n',
        )
    )
    assert said == Outcome(
        id="i",
        call_id="c",
        external_key="k",
        episode="e",
        attempt=1,
        name="n",
        value=0.5,
        source=Source.JUDGE,
        observed_s=12.5,
        detail={"why": "x", "retracted": True},
    )


def test_csv_says_the_same_as_jsonl(tmp_path):
    lines = (
        '{"id": "i", "call_id": "c,1", "attempt": 1, "name": "n", "value": 0.5, "source": "judge", "observed_s": 12.5,'
        ' "detail": {"why": "x"}}\n{"id": "j", "external_key": "7", "name": "n", "source": "user", "retracted": true,'
        ' "observed_s": "2025-11-01T12:26:40Z"}\n'
    )
    header = "id,call_id,external_key,attempt,name,value,source,observed_s,detail,retracted"
    rows = 'i,"c,1",,1,n,0.5,judge,12.5,"{""why"": ""x""}",\nj,,7,,n,,user,2025-11-01T12:26:40+00:00,,TRUE\n'
    from_json = outcomes(read(tmp_path, lines))
    assert outcomes(read(tmp_path, f"{header}\n{rows}", "f.csv")) == from_json
    assert from_json[1].observed_s == NOW_S
    for delimiter, name in ((";", "g.csv"), ("\t", "h.CSV")):
        plain = f"id{delimiter}call_id{delimiter}name{delimiter}value{delimiter}source\n"
        row = delimiter.join(["i", "c", "n", "1", "user"])
        assert outcomes(read(tmp_path, f"{plain}{row}\n", name))[0].call_id == "c"


def test_a_byte_order_mark_blank_lines_and_a_missing_last_newline_are_nothing(tmp_path):
    line = b'{"call_id": "c", "name": "n", "value": 1, "source": "user"}'
    assert len(outcomes(read(tmp_path, b"\xef\xbb\xbf" + line + b"\n\n  \n" + line))) == 2
    assert len(outcomes(read(tmp_path, b"\xef\xbb\xbfcall_id,name,value,source\n\nc,n,1,user\n,,,\n", "f.csv"))) == 1
    assert read(tmp_path, b"", "empty.csv") == read(tmp_path, b"") == []


def test_the_response_id_is_the_call_id_and_an_order_number_may_be_a_number(tmp_path):
    first, second = outcomes(
        read(
            tmp_path,
            '{"response_id": "c", "name": "n", "value": true, "source": "user"}\n'
            '{"external_key": 4711, "name": "n", "value": false, "source": "user", "observed": 3}\n',
        )
    )
    assert (first.call_id, first.value) == ("c", 1.0)
    assert (second.external_key, second.value, second.observed_s) == ("4711", 0.0, 3.0)


def test_the_same_file_again_has_the_same_ids_and_a_longer_one_too(tmp_path):
    line = '{"call_id": "c", "name": "n", "value": 1, "source": "user"}\n'
    other = '{"source": "user", "value": 0, "name": "n", "call_id": "c"}\n'
    first, second = outcomes(read(tmp_path, line + other)), outcomes(read(tmp_path, line + other + line))
    assert [said.id for said in second[:2]] == [said.id for said in first]
    assert len({said.id for said in second}) == 3  # yes, no, yes: three words


def test_without_a_time_later_lines_are_later_words(tmp_path):
    line = '{"call_id": "c", "name": "n", "value": 1, "source": "user"}\n'
    times = [said.observed_s for said in outcomes(read(tmp_path, line * 50))]
    assert times == sorted(set(times))
    assert abs(times[0] - NOW_S) < 1


@pytest.mark.parametrize(
    ("line", "field", "says"),
    [
        ("not json", None, "'not json' is no JSON"),
        ("[1]", None, "'[1]' is no object"),
        ('{"name": "n", "value": 1, "source": "user"}', None, "which call it is about; allowed: one of call_id, ext"),
        ('{"call_id": "", "name": "n", "value": 1, "source": "user"}', None, "which call it is about"),
        ('{"call_id": "c", "value": 1, "source": "user"}', "name", "it is missing"),
        ('{"call_id": "c", "name": "n", "source": "user"}', "value", "it is missing; allowed: 0 (useless) to 1"),
        ('{"call_id": "c", "name": "n", "value": 1}', "source", "it is missing"),
        ('{"call_id": "c", "name": "n", "value": 2, "source": "user"}', "value", "it is '2'; allowed: 0"),
        ('{"call_id": "c", "name": "n", "value": "up", "source": "user"}', "value", "it is 'up'"),
        ('{"call_id": "c", "name": "n", "value": [1], "source": "user"}', "value", "it is '[1]'"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "usr"}', "source", "did you mean 'user'"),
        ('{"call_id": "c", "name": "n", "valu": 1, "value": 1, "source": "user"}', "valu", "did you mean 'value'"),
        ('{"call_id": 1.5, "name": "n", "value": 1, "source": "user"}', "call_id", "it is '1.5'; allowed: a text"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "attempt": 0.5}', "attempt", "allowed: 0, 1"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "attempt": true}', "attempt", "it is 'True'"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "observed_s": "soon"}', "observed_s", "'soon'"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "observed_s": true}', "observed_s", "'True'"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "observed_s": 1762000000000}', "observed_s", "milli"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "detail": "x"}', "detail", "a JSON object"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "detail": [1]}', "detail", "a JSON object"),
        ('{"call_id": "c", "name": "n", "value": 1, "source": "user", "retracted": "maybe"}', "retracted", "'maybe'"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named_with_its_field_and_the_others_are_read(tmp_path, line, field, says):
    good = '{"call_id": "c", "name": "n", "value": 1, "source": "user"}'
    found = read(tmp_path, f"{good}\n{line}\n{good}\n")
    assert [each.line for each in found] == [1, 2, 3]
    assert [each.outcome is None for each in found] == [False, True, False]
    (wrong,) = found[1].wrong
    assert (wrong.line, wrong.field) == (2, field)
    assert says in wrong.message


def test_all_that_is_wrong_in_a_line_is_named_at_once(tmp_path):
    (found,) = read(tmp_path, '{"name": "", "value": 9, "source": "me", "attempt": -1}')
    assert [wrong.field for wrong in found.wrong] == [None, "name", "source", "value", "attempt"]
    assert str(found.wrong[3]).startswith("line 1: value: it is '9'")


def test_bytes_that_are_no_text_are_named_and_not_fatal(tmp_path):
    good = b'{"call_id": "c", "name": "n", "value": 1, "source": "user"}\n'
    found = read(tmp_path, good + b'{"call_id": "\xff"}\n' + good)
    assert [each.outcome is None for each in found] == [False, True, False]
    found = read(tmp_path, b"call_id,name,value,source\nc,\xff,1,user\nc,n,1,user\n", "f.csv")
    assert found[0].wrong[0].field == "name"
    assert "allowed: UTF-8" in found[0].wrong[0].message
    assert found[1].outcome is not None


def test_csv_lines_are_counted_as_an_editor_counts_them(tmp_path):
    text = 'call_id,name,value,source,detail\nc,n,1,user,"{\n""a"": 1}"\nc,n,1,user,,,\nc,n,x,user\nc,n,1,"us\ner'
    found = read(tmp_path, text, "f.csv")
    assert [each.line for each in found] == [2, 4, 5, 6]
    assert found[0].outcome.detail == {"a": 1}
    assert found[1].wrong == (Wrong(4, None, "it has 7 fields; allowed: the header's 5"),)
    assert found[2].wrong[0].field == "value"
    assert "can't be read as CSV" in found[3].wrong[0].message


def test_a_column_that_nobody_knows_stops_the_import_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match=r"unknown column of '.*f.csv' 'valeu'; did you mean 'value'"):
        read(tmp_path, "call_id,name,valeu,source\nc,n,1,user\n", "f.csv")


@pytest.mark.parametrize("name", ["none.jsonl", "none.csv", "."])
def test_a_file_that_is_not_there_is_one_sentence(tmp_path, name):
    with pytest.raises(InputError, match="can't be read"):
        list(read_outcomes(tmp_path / name, now_s=NOW_S))


def test_the_fields_are_those_of_an_outcome():
    assert set(FIELDS) - {"retracted"} == set(Outcome.__slots__)
