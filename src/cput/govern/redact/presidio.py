"""Presidio: names, places and organizations where a spaCy pipeline is installed, and its patterns in any case.

``Presidio`` is a finder for a ``Redactor``. ``recognizer_for`` is the other way round: our recognizers for an analyzer
of your own. Nothing is ever downloaded: a language without an installed pipeline is split into words by spaCy's rules,
which gives presidio's patterns the words around them and finds no names.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from cput.errors import SetupError
from cput.govern.redact.finding import Finding
from cput.govern.redact.redactor import ENTITIES, Redactor

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer

LANGUAGES = ("en", "zh")
THRESHOLD = 0.4
"""Least score that counts: what presidio gives its weak patterns (any nine digits may be a passport's) where the words
around them speak for it."""
NOT_ASKED = frozenset({"DATE_TIME", "URL", "UUID", *ENTITIES})
"""Dates, addresses of pages and ids are what texts are about; the rest our own recognizers find, with their checks."""


class Presidio:
    """Finds what presidio finds. One text at a time; use it from any thread.

    ``pipelines`` names, or gives the folder of, a spaCy pipeline per language; without it, the largest installed one of
    each language is taken.

    Raises:
        SetupError: presidio is not installed.
    """

    def __init__(self, pipelines: Mapping[str, str] | None = None) -> None:
        if find_spec("presidio_analyzer") is None:
            raise SetupError("presidio is not installed; install it with: pip install 'cput[redact]'")
        logging.getLogger("presidio-analyzer").setLevel(logging.ERROR)
        self.pipelines = dict(installed() if pipelines is None else pipelines)
        """The pipeline of each language that has one: who finds names."""
        self._analyzer = _analyzer(self.pipelines)
        self._entities = {
            language: sorted({*self._analyzer.get_supported_entities(language)} - NOT_ASKED) for language in LANGUAGES
        }
        self._one_at_a_time = threading.Lock()

    def find(self, text: str) -> Iterator[Finding]:
        """Yield what presidio finds in English, and in Chinese where there are Chinese characters."""
        for language in LANGUAGES if _has_chinese(text) else LANGUAGES[:1]:
            with self._one_at_a_time:
                results = self._analyzer.analyze(
                    text, language, entities=self._entities[language], score_threshold=THRESHOLD
                )
            for result in results:
                yield Finding(result.start, result.end, result.entity_type, result.score)


def installed() -> dict[str, str]:
    """Return the largest installed spaCy pipeline of each language, by its name (en_core_web_sm)."""
    import spacy.util

    found: dict[str, str] = {}
    for name in sorted(spacy.util.get_installed_models(), key=_size):
        if (language := name.partition("_")[0]) in LANGUAGES:
            found[language] = name
    return found


def recognizer_for(language: str = "en", redactor: Redactor | None = None) -> "EntityRecognizer":
    """Return all our recognizers as one of presidio's, for the registry of an analyzer of your own.

    >>> # analyzer.registry.add_recognizer(recognizer_for("en"))
    """
    from presidio_analyzer import EntityRecognizer, RecognizerResult

    light = redactor or Redactor()

    class Ours(EntityRecognizer):  # type: ignore[misc]  # its types are skipped: mypy runs without it too
        def load(self) -> None:
            """Load nothing."""

        def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:  # noqa: ARG002
            """Return what is found of the wanted entities."""
            return [
                RecognizerResult(found.entity, found.start, found.end, found.score)
                for found in light.find(text)
                if not entities or found.entity in entities
            ]

    return Ours(supported_entities=list(ENTITIES), name="cput", supported_language=language)


def _size(name: str) -> int:
    sizes = ("sm", "md", "lg", "trf")
    last = name.rpartition("_")[2]
    return sizes.index(last) if last in sizes else -1


def _analyzer(pipelines: Mapping[str, str]) -> "AnalyzerEngine":
    """Return an analyzer over these pipelines; words and nothing else for a language that has none.

    Presidio's own loader would download a pipeline that is missing, so that the pipelines are loaded here.
    """
    import spacy
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    class Loaded(SpacyNlpEngine):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.nlp: Any = {
                language: spacy.load(pipelines[language]) if language in pipelines else _words(language)
                for language in LANGUAGES
            }

    languages = list(LANGUAGES)
    engine, registry = Loaded(), RecognizerRegistry(supported_languages=languages)
    registry.load_predefined_recognizers(languages=languages, nlp_engine=engine)
    # They ask a library for the top-level domains, which asks the network for them.
    for name in ("EmailRecognizer", "UrlRecognizer"):
        registry.remove_recognizer(name)
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=languages)


def _words(language: str) -> Any:
    """Return a pipeline that splits a text into words and knows nothing of them; each is its own lemma, in lower case.

    By the lemmas around a number presidio tells a passport's from any other.
    """
    import spacy
    from spacy.language import Language

    def lemmas(words: Any) -> Any:
        for word in words:
            word.lemma_ = word.lower_
        return words

    if not Language.has_factory("cput_lemmas"):
        Language.component("cput_lemmas", func=lemmas)
    pipeline = spacy.blank(language)
    pipeline.add_pipe("cput_lemmas")
    return pipeline


def _has_chinese(text: str) -> bool:
    return not text.isascii() and any("\u4e00" <= char <= "\u9fff" for char in text)
