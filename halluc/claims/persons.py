"""Which common nouns are persons, by their endings and two lists of words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.tokens import Token

__all__ = ["is_person_noun", "may_be_person"]

_ENDING = re.compile(r"(?:er|or|ist|ian|man|woman|ess|eur|ant|ic|ete|poet|model|chef|host|pilot|king|queen|advocate)$")
# Persons without such an ending.
_PERSONS = re.compile(
    r"""
    accused|adult|agent|ambassador|apprentice|architect|assassin|athlete|attorney|aunt|baby|bard|baron|bishop|boss|boy
    |bride|candidate|captain|cardinal|cashier|champion|character|chauffeur|chief|child|children|citizen|clerk|client
    |clown|coach|colleague|colonel|comedian|consul|convict|cop|count|couple|cousin|crew|criminal|czar|dean|defendant
    |delegate|detective|diplomat|duke|earl|emperor|employee|empress|envoy|executive|expert|family|freshman|friend
    |general|gentleman|ghost|girl|graduate|groom|guard|guest|guide|guy|head|heir|hero|heroine|hostage|human|husband
    |imam|immigrant|individual|infant|judge|kid|knight|lady|leader|lieutenant|lord|magistrate|maid|major|medic|member
    |mentor|migrant|monarch|monk|musician|narrator|native|nephew|niece|nobleman|nomad|nominee|novice|nun|nurse
    |opponent|orphan|parent|patient|patriarch|peasant|people|person|plaintiff|pope|president|priest|prince|prisoner
    |pro|protagonist|pupil|rabbi|rapper|recruit|refugee|regent|relative|representative|resident|rival|saint|scholar
    |sergeant|shah|sheikh|sheriff|sibling|slave|soldier|son|spouse|spy|staff|star|student|sultan|superintendent
    |surgeon|suspect|teen|teenager|tenant|thief|trainee|tsar|twin|uncle|vet|veteran|victim|villain|vocalist|widow|wife
    |witness
    """,
    re.VERBOSE,
)
# Things with such an ending.
_THINGS = re.compile(
    r"""
    adapter|amber|amplifier|anchor|answer|antibiotic|arctic|armor|attic|banner|barometer|barrier|beer|behavior
    |bestseller|bladder|blender|boiler|bomber|border|boulder|browser|buffer|burner|butter|calendar|cancer|capacitor
    |career|carrier|center|ceramic|chamber|chapter|charger|charter|clinic|cluster|color|comic|compiler|computer
    |constant|container|cooker|cooler|copper|corner|corridor|counter|cover|crater|cruiser|cylinder|december|destroyer
    |detergent|diameter|dinner|disaster|disorder|door|drawer|dryer|elephant|elevator|engine|epic|epidemic|eraser|error
    |exterior|fabric|factor|favor|fertilizer|fever|fiber|fighter|filter|finger|flavor|floor|flower|fodder|folder
    |fragrance|freezer|freighter|frontier|gender|generator|ginger|glacier|grant|hammer|harbor|header|heater|helicopter
    |honor|horror|hotel|humor|hydrant|interior|labor|ladder|laser|layer|letter|lever|liver|logic|magic|manor|matter
    |meter|minster|mirror|mixer|monitor|monster|moor|mosaic|motor|music|newspaper|november|number|october|odor|offer
    |order|pandemic|paper|parameter|parlor|pendant|pepper|perimeter|planet|plant|plastic|pollutant|poster|powder|power
    |printer|processor|quadrant|quarter|radar|reactor|register|republic|resistor|restaurant|river|roster|rotor|router
    |rubber|rudder|rumor|scanner|sector|semester|sensor|september|server|shelter|shoulder|shower|silver|solder
    |statistic|stator|steamer|summer|supper|sweater|tanker|tender|tensor|terror|theater|thermometer|thriller|thunder
    |timber|toaster|topic|tower|tractor|traffic|trailer|transformer|transistor|tumor|vapor|variant|vector|warrant
    |washer|water|weather|winter|wonder
    """,
    re.VERBOSE,
)


def is_person_noun(noun: Token) -> bool:
    """Whether a common noun looks like a role or an occupation ("actor", "activist")."""
    return noun.pos_ == "NOUN" and _ENDING.search(noun.lower_) is not None


def may_be_person(noun: Token) -> bool:
    """Whether a common noun may be a person; unlike `is_person_noun`, rather too often than too rarely."""
    if noun.pos_ != "NOUN":
        return False
    word = noun.lower_
    singular = word.removesuffix("s") if noun.tag_ == "NNS" else word
    if _PERSONS.fullmatch(singular) or _PERSONS.fullmatch(word):
        return True
    return _ENDING.search(singular) is not None and _THINGS.fullmatch(singular) is None
