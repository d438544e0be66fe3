"""What can be a document, and what its sender is told when it cannot."""

import pytest

from boss.document import check_object
from boss.errors import BadInput


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
    assert check_object(f" \r\n{text}\t".encode(), "the document") == text


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
        check_object(body, "the document")
