import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from cput.report.markup import tag

anything = st.text(st.characters(codec=None, exclude_categories=[]))


@given(anything, anything)
def test_any_text_stays_text(content, value):
    made = str(tag("td", content, title=value))
    made.encode()
    element = ET.fromstring(made)
    assert list(element) == []
    assert set(element.attrib) == {"title"}


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"])))
def test_what_html_allows_is_kept_letter_by_letter(content):
    assert (ET.fromstring(str(tag("td", content))).text or "") == content


def test_forbidden_characters_are_seen_not_dropped():
    assert str(tag("td", "a\x00b\ud800c")) == "<td>a\ufffdb\ufffdc</td>"


def test_numbers_are_short_and_absent_attributes_absent():
    assert (
        str(tag("rect", x=1.23456, y=2.0, class_="a", hidden=True, id=None))
        == '<rect x="1.23" y="2" class="a" hidden></rect>'
    )
