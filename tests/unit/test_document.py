"""What can be a document, and what its sender is told when it cannot."""

import pytest

from boss.errors import BadInput, TooLarge
from boss.model.document import check_object

_MOST = 2**20


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"a": {"b": [1, null, true, "é"]}}',
        '{"big": 123456789012345678901234567890, "small": 0.1234567890123456789012345678}',
        '{"past a double": 1e400, "long": ' + "9" * 5000 + "}",
        '{"a backslash, then u0000": "\\\\u0000"}',
        '{"pair": "\\ud83d\\ude00"}',
        '{"a":' * 900 + "{}" + "}" * 900,
    ],
)
def test_an_object_is_kept_as_it_is(text: str) -> None:
    assert check_object(f" \r\n{text}\t".encode(), "the document", _MOST).text == text


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"nonsense", "not JSON: .*line 1 column 1"),
        (b'{"a":1', "not JSON"),
        (b'{"a":1}{"b":2}', "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":1e400, "b":NaN}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b"[1]", "is an array"),
        (b'"a"', "is a string"),
        (b"1", "is a number"),
        (b"true", "is a boolean"),
        (b"null", "is null"),
        (b'{"a":"\xff"}', "not UTF-8: .*byte 6"),
        ('{"a":1}'.encode("utf-16"), "not UTF-8"),
        (b'{"a":"\\u0000"}', "NUL"),
        (b'{"a":[{"\\u0000":1}]}', "NUL"),
        (b'{"a":"\x00"}', "not JSON"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b'{"a":' * 100_000, "not JSON"),
    ],
)
def test_anything_else_is_refused_with_what_was_wrong(body: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        check_object(body, "the document", _MOST)


@pytest.mark.parametrize(
    "number",
    [
        "1e131072",
        "1e-16384",
        "1e200000",
        "-1.5E+131072",
        "9" * 131_073,
        "0." + "0" * 16_383 + "1",
        "0e9999999999",
        f"1e+{'0' * 50}131072",
        f"1e-{'0' * 50}16384",
    ],
)
def test_a_number_that_jsonb_cannot_keep_is_found(number: str) -> None:
    with pytest.raises(BadInput, match=r"has the number .*, which overflows; there may be 131,072 digits before"):
        check_object(f'{{"a": [1, {number}]}}'.encode(), "the document", 10**9)


def test_what_counts_is_what_is_read_back() -> None:
    with pytest.raises(
        TooLarge, match=r"larger than 1048576 bytes, .* sent as 82,010 bytes and would be read as 1,074,224,\d+"
    ):
        check_object(b'{"a":[' + b"1e131000,\n" * 8200 + b"2 ]}", "the document", _MOST)
    sparse = b'{"a":[' + b"1,   \n" * 300_000 + b"1]}"
    assert len(sparse) > _MOST
    assert check_object(sparse, "the document", _MOST).size == 900_010
    with pytest.raises(TooLarge, match="900,010"):
        check_object(sparse, "the document", 900_009)


@pytest.mark.parametrize("unclosed", ['{"a":1e400,"' + '\\"' * 400_000, '{"a":1e400,' + '"' * 400_001])
def test_what_is_no_json_is_found_to_be_none_without_going_over_it_again_and_again(unclosed: str) -> None:
    with pytest.raises(BadInput, match="not JSON"):
        check_object(unclosed.encode(), "the document", _MOST)
