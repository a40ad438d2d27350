"""Translation of harmful requests by a model, for the multilingual family: rows that have no translations get some.

    a language model     a packaged name, an endpoint, or a folder or hub id of a causal model: it is asked to translate
    a translation model  a folder or hub id of an encoder-decoder, such as NLLB, M2M100, mBART, MADLAD or Marian. The target
                         language is a token: NLLB, M2M100 and mBART begin the translation with it, MADLAD and Marian read
                         it before the text. A model without such tokens translates into one language.

A wrong translation makes an attack weaker; nothing here judges the translations. Not covered: translated rows (MultiJail;
multilingual.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from halluc.errors import InvalidInput, ModelUnavailable
from halluc.redteam.multilingual import LANGUAGES
from retrieval.errors import first_line

if TYPE_CHECKING:
    from halluc.models.language_model import LanguageModel

__all__ = ["Translator", "load_translator", "translate_rows"]

_ASK = "Translate this into {language}. Reply with the translation alone.\n\n{text}"
_NEW_TOKENS = 256
_BATCH = 16
# Per language: its name, the code of FLORES (NLLB), of ISO 639-3 (Marian), and of mBART if it has one.
_CODES: Mapping[str, tuple[str, str, str, str]] = {
    "zh": ("Chinese", "zho_Hans", "cmn_Hans", "zh_CN"),
    "it": ("Italian", "ita_Latn", "ita", "it_IT"),
    "vi": ("Vietnamese", "vie_Latn", "vie", "vi_VN"),
    "ar": ("Arabic", "arb_Arab", "ara", "ar_AR"),
    "ko": ("Korean", "kor_Hang", "kor", "ko_KR"),
    "th": ("Thai", "tha_Thai", "tha", "th_TH"),
    "bn": ("Bengali", "ben_Beng", "ben", "bn_IN"),
    "sw": ("Swahili", "swh_Latn", "swh", "sw_KE"),
    "jv": ("Javanese", "jav_Latn", "jav", ""),
}


class Translator(Protocol):
    """Translates from English."""

    def check_languages(self, languages: Sequence[str]) -> None:
        """Check that the model translates into each of the languages.

        Raises:
            InvalidInput: it does not.
        """

    def translate(self, texts: Sequence[str], language: str) -> list[str]:
        """Translate (N,) texts into a language, one of the codes of `multilingual.LANGUAGES`."""


def translate_rows(requests: Sequence[str], translator: Translator, languages: Sequence[str]) -> list[dict[str, str]]:
    """Make rows of the multilingual family: each request in English as `en` and in the other languages.

    A request of which every translation is empty has no row.

    Args:
        requests: (N,) requests in English.
        translator: from `load_translator`.
        languages: codes of the languages to translate into.

    Raises:
        InvalidInput: there is no language, or one has no code here; or the model does not translate into one.
        ModelUnavailable: the model failed.
    """
    unknown = [code for code in languages if code not in _CODES]
    if unknown or not languages:
        what = f"there is no language {unknown[0]!r}" if unknown else "there is no language to translate into"
        raise InvalidInput(f"{what}; pass codes of {', '.join(LANGUAGES[1:])}")
    translator.check_languages(languages)
    columns = {code: translator.translate(requests, code) for code in dict.fromkeys(languages)}
    rows = [
        {"en": request, **{code: column[i] for code, column in columns.items() if column[i].strip()}}
        for i, request in enumerate(requests)
    ]
    return [row for row in rows if len(row) > 1]


def load_translator(name: str) -> Translator:
    """Load a translator by name.

    Args:
        name: see the module.

    Raises:
        ModelUnavailable: the model cannot be loaded.
    """
    from halluc.models import load_model

    if _is_encoder_decoder(name):
        return _TranslationModel(name)
    return _AskedModel(load_model(name))


@dataclass(frozen=True)
class _AskedModel:
    """A language model that is asked to translate."""

    lm: LanguageModel

    def check_languages(self, languages: Sequence[str]) -> None:
        """Accept every language, since which of them the model knows is not declared."""

    def translate(self, texts: Sequence[str], language: str) -> list[str]:
        """Ask for each translation."""
        prompts = [_ASK.format(language=_CODES[language][0], text=text) for text in texts]
        replies = self.lm.generate(prompts, max_new_tokens=_NEW_TOKENS) if prompts else []
        return [completions[0].text.strip() for completions in replies]


class _TranslationModel:
    """An encoder-decoder with a tokenizer.

    Args:
        path: a folder or hub id.

    Raises:
        ModelUnavailable: it cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        from retrieval.progress import no_transformers_bars

        self.name = path
        try:
            with no_transformers_bars():
                self._tokenizer = AutoTokenizer.from_pretrained(path)
                self._model = AutoModelForSeq2SeqLM.from_pretrained(path).eval()
        # Damaged files fail in as many ways as there are parsers.
        except Exception as error:
            raise _unavailable(path, error) from error
        self._vocabulary = self._tokenizer.get_vocab()

    def check_languages(self, languages: Sequence[str]) -> None:
        """Check that there is a token for each language, or one language only."""
        without = [code for code in languages if self._language_tokens(code) == (None, "")]
        if without and len(languages) > 1:
            raise InvalidInput(
                f"{self.name} has no token for {', '.join(without)}; pass languages that it has tokens for, or the one that "
                "it translates into"
            )

    def translate(self, texts: Sequence[str], language: str) -> list[str]:
        """Translate greedily; text beyond the window of the model is cut off."""
        import torch

        first, before = self._language_tokens(language)
        options: dict[str, Any] = {} if first is None else {"forced_bos_token_id": first}
        translations: list[str] = []
        for start in range(0, len(texts), _BATCH):
            batch = [f"{before} {text}" if before else text for text in texts[start : start + _BATCH]]
            inputs = self._tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
            with torch.inference_mode():
                output = self._model.generate(**inputs, max_new_tokens=_NEW_TOKENS, num_beams=1, do_sample=False, **options)
            translations += self._tokenizer.batch_decode(output, skip_special_tokens=True)
        return [translation.strip() for translation in translations]

    def _language_tokens(self, language: str) -> tuple[int | None, str]:
        """The token that the translation begins with, or what is written before the text; neither if there is no token."""
        _, flores, iso, mbart = _CODES[language]
        for token in (flores, f"__{language}__", mbart):
            if token in self._vocabulary:
                self._set_source()
                return self._vocabulary[token], ""
        for token in (f">>{iso}<<", f">>{language}<<", f"<2{language}>"):
            if token in self._vocabulary:
                return None, token
        return None, ""

    def _set_source(self) -> None:
        for token, code in (("eng_Latn", "eng_Latn"), ("__en__", "en"), ("en_XX", "en_XX")):
            if token in self._vocabulary and hasattr(self._tokenizer, "src_lang"):
                self._tokenizer.src_lang = code


def _is_encoder_decoder(name: str) -> bool:
    """Whether a folder or hub id is one; whatever has no readable configuration is left to `load_model`."""
    from transformers import AutoConfig

    from halluc.models.packaged_models import LANGUAGE_MODELS
    from retrieval.hub import require_hub

    if not name.strip():
        raise InvalidInput("the translator is empty; pass a language model, or a folder or hub id of a translation model")
    if name == "default" or "://" in name or name in LANGUAGE_MODELS:
        return False
    try:
        require_hub(name)
        return bool(AutoConfig.from_pretrained(name).is_encoder_decoder)
    # As in `_TranslationModel`.
    except Exception as error:
        raise _unavailable(name, error) from error


def _unavailable(name: str, error: Exception) -> ModelUnavailable:
    return ModelUnavailable(
        f"the translator {name} could not be loaded: {first_line(error)}; pass a language model, or a folder or hub id of a "
        "translation model"
    )
