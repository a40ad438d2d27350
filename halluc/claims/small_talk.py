"""Sentences that state nothing: greetings, offers of help, announcements, referrals, and text without content.

Not covered: refusals (abstention.py) and questions (check_worthiness.py).
"""

from __future__ import annotations

import re

__all__ = ["is_small_talk", "lacks_content"]

_TALK = re.compile(
    r"""^\W*(?:
      (?:hi|hello|hey|greetings|good\ (?:luck|morning|afternoon|evening|day)|(?:best|kind)\ regards|welcome|cheers
        |congratulations|goodbye|bye)(?:\ (?:there|all|everyone|again|back))?\ *(?:[!,.]|$)
    | (?:(?:many\ |no\ )?thanks|thank\ you|you['’]re\ welcome)\b
    | (?:sure|certainly|absolutely|of\ course|(?:great|good|excellent|interesting)\ question|okay|ok|alright|no\ problem
        |got\ it|understood|my\ pleasure|happy\ to\ help)\W*$
    | (?:that|this)(?:\ i|['’])s\ an?\ (?:\w+\ )?question\W*$
    | (?:sure|certainly|absolutely|okay|of\ course)\W+(?:here|i|let|happy)\b
    | (?:i|we)\ hope\ (?:this|that|it|you)\b | hope\ (?:this|that)\b | let\ (?:me|us)\ know\b | feel\ free\b
    | please\ (?:let\ me|feel\ free|do\ not\ hesitate|don['’]t\ hesitate|clarify|be\ aware\W*$|note\W*$)\b
    | (?:please\ )?(?:don['’]t|do\ not)\ hesitate\b
    | here\ you\ (?:go|are)\b | let['’]?s\ (?:see|begin|start|think|look|go|break|dive|take|find)\b
    | (?:i|we)\ (?:will|can|would\ be|am|are|['’]ll|['’]d\ be|['’]m|['’]re)\ (?:also\ |now\ )?
        (?:happy|glad|here|pleased|help\ you|assist\ you|try\ to|do\ my\ best|summari[sz]e|explain|list|describe)\b
    | is\ there\ anything\ else\b
    | if\ you\ (?:have|need|want|would\ like|['’]d\ like|require)\b.*\b(?:ask|let\ me|know|help|feel\ free)\b
    | (?:my\ )?apologies\b | (?:i['’]?m\ |i\ am\ |we\ are\ |we['’]re\ )?(?:so\ |very\ |truly\ |terribly\ )?sorry
        (?:\ (?:for|about|to\ hear)\b[^,;:–—]*|\ (?:again|everyone))?\W*$
    | i\ (?:deeply\ |sincerely\ )?apologi[sz]e\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_ASSISTANT = re.compile(
    r"^\W*(?:i['’]?m|i am) an? (?:\w+ )?(?:ai|artificial intelligence|(?:large )?language model|(?:virtual )?assistant)\b"
    r"|^\W*as an? (?:\w+ )?(?:ai|artificial intelligence|(?:large )?language model|(?:virtual )?assistant)\b[^,]*\W*$"
    r"|^\W*(?:i|we) (?:\w+ly |really |just )?(?:love|like|prefer|wish|wonder|enjoy|hope)\b",
    re.IGNORECASE,
)
# Where to ask instead: "Please consult your doctor.", "You should see a lawyer.", "Check the official website."
_WHO = r"(?:doctor|physician|pharmacist|professional|specialist|expert|lawyer|attorney|advis[eo]r|accountant|therapist)s?"
_WHERE = (
    r"(?:official|original|latest|reliable|reputable|other|more|relevant|trusted|primary|up-to-date|appropriate|local"
    r"|healthcare|medical|legal|tax|financial|qualified|licensed)"
)
_REFERRAL = re.compile(
    rf"""^\W*(?:(?:please|so|therefore|however|but|and|in\ that\ case|for\ (?:more|further)\ \w+),?\ )*
    (?:(?:you|one)\ (?:should|can|could|may|might|must|need\ to|will\ need\ to|would\ need\ to|may\ want\ to|ought\ to)
        \ (?:\w+\ )?
      | (?:i|we)(?:['’]d|\ would|\ can)?\ (?:\w+ly\ )?(?:recommend|suggest|advise|encourage)
        \ (?:that\ you\ |you\ (?:to\ )?)?
      | try(?:\ to)?\ | it(?:\ i|['’])s\ (?:\w+\ )?(?:best|advisable|important|recommended)\ to\s)?
    (?:consult|see|ask|contact|check|visit|refer|seek|speak|talk|look|search|read)(?:ing)?
    \ (?:(?:with|to|at|for|in|on|up|out)\ )*(?:an?\ |the\ |your\ |their\ |its\ )?(?:\w+(?:['’]s)?\ )?
    (?:{_WHERE}\ (?:\w+\ )?
        (?:sources?|websites?|sites?|documents?|documentation|authorit(?:y|ies)|page|advice|help|professionals?|{_WHO})
      | {_WHO} | (?:professional|medical|legal)\ (?:advice|help) | librar(?:y|ies)|librarian|internet|websites?)\b
    (?:\ (?:for|to|about|on|before|if|when|or|and|in)\b[^,;\d]*)?\W*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
# Words that an announcement consists of; a sentence of these alone has no content.
_EMPTY = re.compile(
    r"""
    a|about|above|all|also|an|and|answer|answered|answering|answers|any|anything|are|as|at|based|be|been|below
    |breakdown|by|can|content|context|detail|details|document|documents|each|everything|examples|explain
    |explained|explanation|fact|facts|few|first|following|follows|for|from|give|given|here|here's|how|i|i'd
    |i'll|i've|in|info|information|into|is|it|it's|item|items|its|just|let|let's|list|lists
    |me|more|my|next|now|of|ok|okay|on|one|or|our|out|outline|outlined|overall|overview|passage|passages|please
    |points|provide|provided|question|questions|reply|response|result|results|several|so
    |something|step|steps|summarise|summarize|summary|text|that|the|their|then|there|these|they|thing|things|this
    |those|to|us|various|was|we|well|were|what|which|why|will|with|would|you|your
    """,
    re.VERBOSE,
)
_OF_ANNOUNCEMENTS = re.compile(
    r"two|three|four|five|six|seven|eight|nine|ten|short|quick|brief|main|full|key|some|point|example|look|simple|detailed|concise"
)
_COPULA = re.compile(
    r"^\W*(?:the |an? )?(\w[\w ]{0,60}?) (?:is|are|was|were|means|equals) (?:just |simply |always )?(?:the |an? )?"
    r"(\w[\w ]*?)\W*$"
)
# A longer run of Latin letters is no word.
_LONGEST_WORD = 60


_ANNOUNCEMENT = re.compile(
    r"^\W*(?:(?:here|below|following) (?:is|are)|here['’]s|the following|these are)\b.*:\W*$", re.I | re.S
)


def is_small_talk(sentence: str) -> bool:
    """Whether a sentence is talk about the conversation or the speaker, an announcement, or a referral to someone else.

    >>> is_small_talk("Here are three facts:"), is_small_talk("Hello Kitty is a character by Sanrio.")
    (True, False)
    """
    return (
        _TALK.match(sentence) is not None
        or _ASSISTANT.match(sentence) is not None
        or _REFERRAL.match(sentence) is not None
        or (sentence.rstrip("* _")[-1:] == ":" and _ANNOUNCEMENT.match(sentence) is not None)
        or lacks_content(sentence)
    )


def lacks_content(sentence: str) -> bool:
    """Whether a sentence has no word that says something: an announcement, a tautology, or one character over and over.

    >>> lacks_content("The answer is as follows."), lacks_content("Things are things."), lacks_content("The answer is 12.")
    (True, True, False)
    """
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)?", sentence.lower())
    if not words:
        return True
    announces = sentence.rstrip("* _").endswith(":") or words[0] in ("here", "here's", "here’s", "below")
    if all(
        _EMPTY.fullmatch(word)
        or (announces and _OF_ANNOUNCEMENTS.fullmatch(word))
        or (len(word) > _LONGEST_WORD and word.isascii())
        for word in words
    ):
        # "It is." and "One" may be replies to a question.
        return announces or len(words) > 2 or max(map(len, words)) > _LONGEST_WORD
    if len(words) > 4 and len(set(words)) == 1:
        return True
    if len(sentence) > _LONGEST_WORD and len(set(sentence.lower())) <= 3:
        return True
    tautology = _COPULA.match(sentence.lower()) if len(words) <= 12 else None
    return tautology is not None and tautology[1] == tautology[2]
