"""The values that the model-based test sends."""

from hypothesis import strategies as st

MINUTE = 60
# Longer than any delay.
EXPIRES = 150 * MINUTE
SOURCES = st.sampled_from(["freg", "altinn3", "sirius"])
IDS = st.sampled_from([f"id-{number}" for number in range(8)])
DOCUMENTS = st.dictionaries(
    st.text("abc", max_size=2),
    st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3),
)
# Which job a request is about: mostly one that there is, of those in the state that makes sense; now and then any.
PICK = st.one_of(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.tuples(SOURCES, IDS))
Pick = int | tuple[str, str]
IF_MATCH = st.sampled_from([None, None, "*", '"1"', '"2"', '"7"', 'W/"1"'])
STATES = st.sampled_from(["available", "active", "done"])
