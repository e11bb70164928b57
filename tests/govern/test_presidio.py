"""Presidio beside our own recognizers, with a language pipeline and without one; and ours inside presidio."""

import pytest

presidio_analyzer = pytest.importorskip("presidio_analyzer", reason="pip install 'cput[redact]'")
spacy = pytest.importorskip("spacy")

from cput.govern.redact import Redactor  # noqa: E402
from cput.govern.redact.presidio import Presidio, installed, recognizer_for  # noqa: E402

MEDICAL = "My mac address is 00-1B-44-11-3A-B7, ITIN 912-72-1234, call (212) 555-0198."


@pytest.fixture(scope="module")
def wordless():
    """Presidio where no pipeline is installed."""
    return Presidio({})


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """Presidio with two small pipelines of rules, in folders, as a trained one would be."""
    folders = {}
    for language, name in (("en", "Ada Lovelace"), ("zh", "王小明")):
        pipeline = spacy.blank(language)
        pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": name}])
        folders[language] = str(tmp_path_factory.mktemp(language))
        pipeline.to_disk(folders[language])
    return Presidio(folders)


def test_without_a_pipeline_its_patterns_work_and_no_names_are_found(wordless):
    found = {each.entity for each in wordless.find(MEDICAL + " Ada Lovelace")}
    assert found >= {"MAC_ADDRESS", "US_ITIN"}
    assert "PERSON" not in found
    assert wordless.pipelines == {}


def test_a_weak_pattern_counts_with_the_words_around_it(wordless):
    assert {each.entity for each in wordless.find("my passport number is 912803456")} >= {"US_PASSPORT"}
    assert not list(wordless.find("we sold 912803456"))


def test_with_a_pipeline_names_are_found_in_both_languages(named):
    made = Redactor(finders=[named]).redact("Ada Lovelace 和王小明的电话是13800138000")
    assert made.text == "<PERSON> 和<PERSON>的电话是<CN_MOBILE>"


def test_places_are_right_beyond_the_first_window(named):
    text = "a line of words\n" * 3000 + "Ada Lovelace, 13800138000"
    assert Redactor(finders=[named]).redact(text).text.endswith("words\n<PERSON>, <CN_MOBILE>")


def test_placeholders_are_nobody_s_name(named):
    once = Redactor(finders=[named]).redact("13800138000 Ada Lovelace")
    assert Redactor(finders=[named]).redact(once.text) == (once.text, {})


def test_dates_and_addresses_of_pages_stay(wordless):
    text = "On 2026-11-26 see https://example.com/a/b, id 0199aaaa-0000-7000-8000-138001380001."
    assert Redactor(finders=[wordless]).redact(text).text == text


def test_a_redactor_with_presidio_is_slow_and_says_so(wordless):
    assert Redactor(finders=[wordless]).is_slow
    assert not Redactor().is_slow


def test_ours_work_inside_an_analyzer_of_somebody_else(wordless):
    registry = presidio_analyzer.RecognizerRegistry(recognizers=[recognizer_for("en")])
    analyzer = presidio_analyzer.AnalyzerEngine(registry=registry, nlp_engine=wordless._analyzer.nlp_engine)
    analyzer.supported_languages = ["en"]
    found = analyzer.analyze("电话13800138000，id 11010519491231002X", "en")
    assert {(each.entity_type, each.start, each.end) for each in found} == {
        ("CN_MOBILE", 2, 13),
        ("CN_RESIDENT_ID", 17, 35),
    }
    assert [each.entity_type for each in analyzer.analyze("电话13800138000", "en", entities=["CN_RESIDENT_ID"])] == []


def test_the_largest_installed_pipeline_of_a_language_is_taken(monkeypatch):
    monkeypatch.setattr(
        "spacy.util.get_installed_models", lambda: ["en_core_web_lg", "en_core_web_sm", "de_core_news_sm", "zh_own"]
    )
    assert installed() == {"en": "en_core_web_lg", "zh": "zh_own"}
