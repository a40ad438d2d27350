"""English phrases of abstaining and of hedging, as regular expressions for `halluc.claims.abstention`.

Abstaining clauses are matched from their beginning, after words such as "Sorry, ...": somebody else who "did not know" or
"said that he was not sure" does not abstain. Other languages are in foreign_phrases.py.
"""

from __future__ import annotations

import re

__all__ = [
    "ABSTAINING",
    "AS_AN_AI",
    "COURTESY",
    "DOUBT",
    "GUESS",
    "GUESS_AFTER",
    "HEDGE",
    "LEAD",
]

_ADV = (
    r"(?:(?:really|honestly|simply|just|truly|quite|currently|actually|personally|also|still|entirely|absolutely|fully"
    r"|completely|totally|even|exactly|unfortunately|sadly|regrettably|definitively|definitely|accurately|reliably"
    r"|confidently|certainly|always|be\ able\ to|in\ good\ conscience|100\ ?%|very|too|yet|at\ all|responsibly|safely"
    r"|clearly|explicitly|specifically|directly|necessarily|necessary|otherwise|either|so)\ )*"
)
_I = r"(?:i|we)"
_NOT = r"(?:\ not|n['’]?t|\ never)"
_SOURCE = (
    r"(?:(?:the|this|that|these|those|any|your|my|both|either|neither|each|all|what|of)\ )*"
    r"(?:(?:given|provided|above|supplied|retrieved|available|cited|quoted|following|attached|reference|input|supporting"
    r"|search|source|supplied|knowledge|training|original|entire|whole|current|first|second|two|three)\ )*"
    r"(?:passages?|context|texts?|articles?|documents?|paragraphs?|excerpts?|sources?|materials?|snippets?|extracts?"
    r"|information|content|evidence|references?|data|results|knowledge|questions?|stor(?:y|ies)|pages?|conversation"
    r"|database|base|files?|prompt|cutoff|documentation)"
    r"(?:(?:\ that)?\ (?:given|provided|above|supplied|here|available|in\ question|at\ hand|i\ have|i\ was\ given|i\ read"
    r"|you\ (?:have\ )?(?:gave|given|provided|shared|supplied)|(?:was|were)\ (?:given|provided|supplied)|to\ me))*"
)
_MATTER = r"(?:information|info|mention|details?|answers?|indication|context|clues?|facts?|specifics)"
_TRACE = r"(?:data|evidence|records?|references?|way|proof|basis|statement|reason|source|discussion|word|hint)"
_REPLYING = (
    r"(?:answer|provide|help|say|tell|confirm|determine|verify|find|assist|give|predict|identify|recall|remember|locate"
    r"|comment|be\ (?:sure|certain|of\ (?:help|assistance))|offer|share|access|know|guess|speculate|respond|reply|name"
    r"|infer"
    r"|conclude|establish|discuss|engage|fulfil[l]?|comply|disclose|reveal|do\ that|see|state|specify|make\ (?:a\ guess"
    r"|that"
    r"|this|an?\ (?:\w+\ )?(?:guess|claim|statement|prediction))|come\ up\ with|think\ of|place|supply|figure|work\ out"
    r"|decide"
    r"|advise|mislead|venture|put\ a|pinpoint|deduce|extract|complete|risk|hazard|take\ a\ guess|present|deliver)"
)
_SPEAKING = (
    r"(?:say|mention|provide|contain|specify|state|tell|give|include|answer|indicate|have|cover|list|describe|discuss"
    r"|address|reveal|disclose|explain|identify|name|clarify|offer|support|help|show|make|refer|report|record|supply"
    r"|present|touch|go\ into|detail|note|define|elaborate|allow|suffice|appear|seem|extend|reach|speak|note)"
)
_SAID = (
    r"(?:known|clear|specified|mentioned|stated|given|provided|available|disclosed|found|included|covered|listed|answered"
    r"|contained|recorded|discussed|described|indicated|addressed|explained|supplied|present|shown|named|said|reported"
    r"|identified|defined|revealed|written|documented|noted|referenced|answerable|determinable|enough|sufficient|public"
    r"|something\ (?:that\ )?(?:i|we)|a\ question\ (?:i|we)|within\ (?:my|the\ scope)|for\ me\ to|certain|ascertainable"
    r"|apparent|evident|obvious|there|here|in\ there|up\ to\ date|publicly\ known|possible\ (?:for\ me\ )?to)"
)
# What may follow "is not stated" or "cannot be found" in an abstention: nothing, or where it is missing; not an object.
_AFTER = (
    rf"(?=\W*$|\W*[.;,:]|\ (?:in|from|within|by|based|according|given|using|with|without|on|to)\ (?:\w+\ ){{0,2}}?"
    rf"(?:{_SOURCE}|me|us|my|it|this|that|any)\b|\ (?:to\ me|anywhere|here|at\ all|at\ this\ (?:time|point)|yet|exactly"
    r"|whether|who|whom|whose|what|when|where|which|why|how|if|for\ (?:certain|sure|this|that)|about|because|since"
    r"|as\ the"
    r"|and\ (?:i|we|it|so)|with\ certainty|precisely|definitively|either|enough)\b)"
)

LEAD = re.compile(
    rf"""^\W*(?:(?:
      (?:i['’]?m\ |i\ am\ |we['’]re\ |we\ are\ )?(?:so\ |very\ |truly\ |terribly\ )?(?:sorry|afraid)
        (?:,?\ (?:to\ say|that|but|about\ that))*
    | my\ apologies | apologies | i\ apologi[sz]e(?:\ (?:but|that|for\ (?:the|any)\ \w+))* | forgive\ me | pardon
    | unfortunately | regrettably | sadly | honestly | frankly | truthfully | actually | alas | sincerely
    | to\ be\ (?:\w+\ )?(?:honest|frank|fair|clear|truthful) | in\ all\ honesty | in\ truth | truth\ be\ told | tbh | imo
    | i(?:['’]?m|\ am)\ (?:just\ |only\ )?an?\ (?:\w+\ )?(?:ai|(?:large\ )?language|assistant
        |chatbot)[^,.;]*?(?:,\ (?:and|so)|\ and|\ so|,)(?=\ (?:i\b|do|don|can|am|have)) | well | h+m+ | um+ | uh+ | oh
        | ah+ | er+m* | okay | ok | (?:yeah|yes|yep|no|nope|nah)(?=[,.;:!]) | oops | ugh | wow | gosh | man | look
    | and | so | but | or | because | since | however | although | though | even\ though | while | whereas | thus
        | therefore
    | as\ an?\ (?:\w+\ )?(?:ai|artificial|(?:large\ )?language|assistant|digital|virtual|chat)[^,]*,
    | (?:based|going|relying|judging|looking|depending)\ (?:only\ |solely\ |purely\ |just\ )?(?:on|by|from|at)\ {_SOURCE}
        (?:\ (?:alone|only|itself))?
    | (?:according\ to|from|given|in|with|per|within|after\ (?:reading|reviewing|checking))\ (?:only\ |just\ )?{_SOURCE}
        (?:\ (?:alone|only|itself))?
    | (?:the\ )?(?:short\ |final\ |my\ )?(?:answer|response|reply)\ ?(?::|is\ that|is:) | a:
    | at\ (?:the\ moment|this\ (?:time|point)|present) | currently | right\ now | as\ of\ (?:now|yet)
        | as\ far\ as\ i\ (?:can\ (?:tell|see)|know)
    | it\ (?:seems|appears|looks\ like|sounds\ like)(?:\ that)? | i\ (?:must|have\ to|will|should|need\ to)\ (?:say
        |admit|confess)(?:\ that)?
    | i\ (?:admit|confess|regret\ to\ (?:say|inform\ you)|think|believe|guess|would\ say|notice|see)(?:\ that)?
        | i['’]?d\ say | also | apparently
    )(?:[\s,.;:!?–—-]+|$))+""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words before the clause proper: interjections, apologies, "As an AI, ...", "Based on the passage, ..."."""

ABSTAINING = re.compile(
    rf"""(?:
    # the speaker does not know
      (?:am\ (?:un|not\ )able\ to|cannot)\ \w+ | (?:do|does)\ not\ have\ (?:the\ (?:ability|capability|capacity)|access
        |enough)\b | {_I}\ {_ADV}(?:do|did|can|could|would|will){_NOT}\ {_ADV}(?:know|recall|remember|wish\ to|care\ to
        |dare\ to
        |want\ to\ (?:guess|speculate|answer|say|mislead|give|make|risk|comment|be\ wrong)|feel\ (?:comfortable
        |confident|qualified|able)
        |have\ (?:\w+['’]?\w*\ ){{0,3}}?(?:information|info|idea|answers?|knowledge|data|access|details?|clue
        |capability|ability|context
            |facts?|enough|sufficient|records?|evidence|source|internet|means|expertise|experience|way|opinion|insight
        |certainty|comment)
        |understand|(?:see|find|spot|notice)\ (?:it|that|this|any|anything|the|an?|where|who|what|which|mention|enough)
        |(?:think|believe)\ (?:{_SOURCE}|that\ {_SOURCE}|it|that|this|the\ answer|there)\ (?:\w+\ )?(?:says?|mentions?
        |tells?|is|was|states?|specif\w+|{_SAID}))\b
    | {_I}\ {_ADV}(?:can\ ?not|can['’]?t|cant|could{_NOT}|(?:am|are|was|were)(?:{_NOT})?\ {_ADV}(?:un)?able\ to
        |will{_NOT}|won['’]?t|would{_NOT}|shan['’]t
        |(?:am|are|was|were)\ {_ADV}unable\ to|(?:am|are){_NOT}\ {_ADV}(?:going|willing|allowed|permitted|authori[sz]ed
        |equipped|prepared
            |qualified|programmed|designed|comfortable|in\ (?:a|any)\ position|at\ liberty)(?:\ to|\ with)?
        |hesitate\ to|would\ hesitate\ to
        |should{_NOT}|must{_NOT}|may{_NOT}|failed\ to|fail\ to)\ {_ADV}(?:{_REPLYING}|\w+ing)\b
    | i\ {_ADV}(?:can\ ?not|can['’]?t|am\ {_ADV}(?:unable|not\ {_ADV}(?:able|capable|equipped|designed|programmed
        |trained|intended))(?:\ to|\ of)?)\ \w | i['’]?m\ {_ADV}(?:unable|not\ {_ADV}(?:able|capable|equipped|designed
        |programmed|trained|intended))(?:\ to|\ of)?\ \w
    | i(?:['’]?m|\ am)\ {_ADV}(?:unable\ to|not\ {_ADV}(?:able\ to|going\ to|willing\ to|allowed\ to|permitted\ to
        |in\ a\ position\ to|qualified\ to|equipped\ to
        |programmed\ to|comfortable))\ {_ADV}(?:{_REPLYING}|\w+ing)\b
    | we(?:['’]?re)\ {_ADV}(?:unable\ to|not\ {_ADV}able\ to)\ {_ADV}{_REPLYING}\b
    | (?:{_I}['’]?(?:m|re)|i\ am|we\ are|i\ was|we\ were)\ {_ADV}(?:not\ {_ADV}(?:sure|certain|aware|familiar|positive
        |confident|knowledgeable|informed
        |(?:the\ right|an?\ )\w*\ ?(?:person|expert))|unsure|unaware|uncertain|unfamiliar|clueless|stumped|at\ a\ loss
        |in\ the\ dark
        |blanking|drawing\ a\ blank|lost|no\ expert|ignorant|stuck|baffled|puzzled|missing\ (?:the|some|that|this))\b
    | i\ (?:do\ not|don['’]t)\ {_ADV}(?:have|possess)\ (?:an?|any|the|access|personal|real|my)\b
    | {_I}\ {_ADV}(?:have|['’]ve|had)\ {_ADV}(?:no|zero|not\ (?:the|an?|any)|never|absolutely\ no|insufficient
        |not\ enough|little|limited|nothing\ to)\b
        (?=.{{0,60}}?\b(?:information|info|idea|way|answers?|knowledge|data|access|clue|comment|records?|context
        |details?|heard|come\ across|seen|faintest|foggiest
        |slightest|means|memory|recollection|evidence|opinion|mention|guess|go\ on|say|add|familiarity|certainty
        |learned|studied)\b)
    | i['’]ve\ (?:never\ (?:heard|come|seen|learned)|no\ (?:idea|clue|information)|got\ (?:no\ (?:idea|clue)|nothing))\b
    | {_I}\ (?:have{_NOT}|haven['’]t)\ (?:got\ )?(?:an?y?\ (?:clue|idea|information|answer|data)|the\ (?:faintest
        |foggiest|slightest|answer|information)|a\b|heard|come\ across|been\ (?:given|told|provided)|enough|found|seen
        |learned)
    | {_I}\ {_ADV}(?:lack|miss)\ (?:\w+\ ){{0,3}}(?:information|idea|knowledge|data|access|context|details?|clue|facts?
        |expertise|ability)\b
    | (?:{_I}(?:['’]d|\ would|\ will|['’]ll)?\ {_ADV})(?:need|require)\ (?:\w+\ ){{0,2}}(?:information|context|details?
        |data|specifics|clarification|to\ (?:know|see)\ more)\b
    | {_I}(?:['’]d|\ would)?\ {_ADV}(?:rather|prefer|choose|chose|opt|elect)\ {_ADV}(?:not|to\ (?:not|abstain|decline
        |refrain|skip|pass)|n['’]t)\b
    | {_I}(?:['’]d|\ would)\ (?:only\ |just\ |merely\ )?be\ (?:only\ |just\ |merely\ )?(?:guessing|speculating
        |making\ (?:it|that|something)\ up)\b
    | {_I}\ (?:must|will|would|have\ to|['’]d|['’]ll|am\ going\ to|need\ to|shall|wish\ to
        |want\ to)?\ ?{_ADV}(?:like\ to\ |rather\ )?
        (?:respectfully\ |politely\ )?(?:abstain|decline|refuse|refrain|give\ up|skip|pass(?=\W*$|\ on\b))\b
    | i['’](?:d|ll)\ (?:have\ to\ |rather\ |like\ to\ )?(?:abstain|decline|refuse|refrain|skip|pass(?=\W*$|\ on\b))\b
    | {_I}\ (?:(?:found|find|see|saw)\ (?:no|nothing|neither)|know\ (?:nothing|little)|have\ nothing)\b(?!\ (?:but
        |more\ than)\b)
    | {_I}\ (?:couldn['’]?t|could\ not|can['’]?t|cannot)\ (?:find|see|locate|answer|say|tell)\b
    | (?:do|did){_NOT}\ {_ADV}(?:know|remember|recall|have\ (?:any|enough|that|the)|ask\ me)\b
    | (?:i\ )?(?:dunno|idk|dk|wouldn['’]t\ know|couldn['’]t\ (?:say|tell)(?:\ you)?|can(?:['’]?t|not)\ (?:say|tell
        |recall|remember|answer|help|be\ sure))\b
    | (?:i['’]m\ )?(?:un|not\ )able\ to\ {_ADV}{_REPLYING}\b | can(?:\ ?not|['’]t)\ {_ADV}{_REPLYING}\b
        | could{_NOT}\ {_ADV}{_REPLYING}\b
    | (?:absolutely\ |really\ |i\ have\ |honestly\ )?(?:no|not\ an?|zero|without\ a|haven['’]t\ an?)\ (?:idea|clue
        |earthly|answer|comment|guess|opinion)\b(?!\ \w+s\b)(?=\W*$|\W+(?:what|who|when|where|why|how|which|whether
        |about|on|at|here|sorry|found|given|provided|available|available|in|is\ (?:given|provided|available|found
        |possible)|was\ (?:given|found)|can\ be|really|honestly|tbh|whatsoever|mate|man|i\b)\b)
    | not\ (?:the\ (?:faintest|foggiest|slightest)|an?y?\ (?:clue|idea))\b
    # idioms
    | (?:(?:it|that)\ )?beats\ (?:me|us)\b | search\ me\b | (?:you['’]ve\ |you\ )?got\ me\b(?=\W*$|\W*\ (?:there|on
        |stumped|beat)\b)
    | your\ guess\ is\ as\ good\b | (?:god|heaven|goodness|lord|who)\ (?:only\ )?knows\b(?=\W*$|\ (?:who|what|when
        |where|why|how|if)\b)
    | (?:pass|skip|next|no\ comment|hard\ pass|i\ pass|no\ answer|tbd|null|nil\ response|blank)\W*$
    | (?:don['’]t|do\ not)\ ask\ me\b | how\ (?:would|should|could|am)\ i\ (?:supposed\ to\ )?know\b
        | anyone['’]s\ guess\b | it['’]s\ anyone['’]s\ guess\b
    | (?:it|the\ (?:name|answer|date|year))\ (?:escapes|eludes)\ me\b | (?:that|it|this|the\ answer)(?:['’]s|\ is
        |\ remains)\ (?:still\ )?an?\ (?:complete\ |total\ )?mystery\ to\ me\b
    | (?:it['’]s\ |that['’]s\ )?(?:not\ (?:one\ )?(?:something\ )?(?:that\ )?i\ (?:know|can)|above\ my\ pay\ grade
        |news\ to\ me|greek\ to\ me|over\ my\ head)\b
    | my\ (?:mind|memory)(?:['’]s|\ is|\ has\ gone|\ went)\ (?:gone\ )?(?:a\ )?(?:blank|hazy|fuzzy|failing)\b
    | (?:that|this|it|the\ (?:question|topic|answer|subject))(?:['’]s|\ is|\ goes|\ falls|\ lies
        |\ was)\ {_ADV}(?:outside|beyond|not\ within|out\ of|above)\ (?:of\ )?(?:the\ (?:scope|limits?|bounds?|range
        |extent)\ (?:of\ )?)?
        (?:my|our|what\ (?:i|we)|{_SOURCE})\b
    | my\ (?:knowledge|training|data|information|memory|expertise|records|sources|database|capabilit\w+)(?:\ (?:base
        |data|set|cutoff))*\ {_ADV}(?:do|does|did|is|are|only|has|have|lacks?|ends?|stops?|goes|was|were)\b
    | (?:any|an?|my)\ (?:answer|response|guess|reply|number|name)(?:\ (?:i|that|from|would|at
        |here)\b[^,;]*)?\ would\ (?:only\ |just\ |merely\ )?be\ (?:an?\ |pure\ |mere\ |only\ |just\ )*(?:guess|speculat
        |fabricat|invent|unreliab)
    | (?:anything|whatever)\ (?:that\ )?(?:i|we)\ (?:said|say|told|wrote|could|might|would)\b[^,;]*\ (?:guess|speculat
        |fabricat|invent)
    | (?:it\ (?:would\ be|is|['’]s)|that\ would\ be)\ (?:better\ |best\ |safer\ |irresponsible\ |wrong\ |unwise\s
        |inappropriate\ |pure\ |mere\ |just\ )+(?:of\ me\ )?(?:for\ me\ )?(?:not\ )?(?:to\ )?(?:guess|speculat|answer
        |say|invent|give)
    | (?:better|best)\ not\ to\ (?:guess|speculate|say)\b
    # the sources do not say
    | (?:{_SOURCE})\ {_ADV}(?:do|does|did){_NOT}\ {_ADV}(?:{_SPEAKING})\b
    | {_SOURCE}\ {_ADV}(?:says?|said|contains?|gives?|provides?|offers?|has|have|had|makes?|includes?|mentions?|holds?
        |tells?)\ (?:us\ |me\ )?(?:nothing|no|not|neither|little|insufficient|none|only\ limited)\b(?!\ (?:one|body
        |longer)\b)
    | {_SOURCE}\ {_ADV}(?:fails?\ to|neglects?\ to|omits?|lacks?|(?:is|are|remains?)\ {_ADV}(?:silent|unclear
        |insufficient|ambiguous|too\ (?:vague|short|limited)|inconclusive|irrelevant|unrelated|incomplete|missing
        |unanswerable
        |not\ {_ADV}(?:clear|enough|sufficient|specific|relevant|related|conclusive|answerable|detailed|helpful))|(?:is
        |are)n['’]t\ {_ADV}(?:clear|enough|sufficient|specific|relevant|detailed|answerable|helpful)|leaves?\ (?:it
        |this|that|the\ question)\ (?:open|unanswered|unclear))\b
    | (?:nothing|none|neither|no\ (?:part|sentence|passage|document|source|paragraph|text|line)|nowhere
        |not\ one)\ (?:(?:in|of|from|within|among)\ )?(?:{_SOURCE}\ )?
        (?:{_ADV})(?:says?|mentions?|answers?|indicates?|states?|tells?|specif\w+|provides?|gives?|contains?|suggests?
        |addresses|address|explains?|reveals?|shows?|helps?|is\ (?:said|stated|mentioned|known|written|given|found|here
        |there)|was\ (?:said|found|mentioned)|(?:in|of)\ {_SOURCE}(?:\ (?:do|does|is|are|says?|mentions?|answers?))?)\b
    | (?:nothing|nowhere)\ (?:is|was|about|on|in|relevant|found|here)\b(?!\ particular)(?=[^.]{{0,60}}\b(?:{_SOURCE}
        |said|stated|mentioned|known|written|given|found|answer)\b)
    | there(?:['’]s|\ is|\ are|\ was|\ were|\ exists?|\ seems\ to\ be|\ appears\ to\ be)(?:n['’]t|\ not|\ simply|\ just
        |\ currently|\ also|\ unfortunately)*\ (?:any\ |no\ |enough\ |sufficient\ |insufficient\ |nothing\ |not\s
        |specific\ |further\ |clear\ |relevant\ |direct\ |explicit\ |definitive\ |such\ |a\ |an\ |little\ |limited\s
        |too\ )+
        (?:{_MATTER}\b|{_TRACE}\b(?=\W*$|\ (?:in\ {_SOURCE}|provided|given|available|here|to\ {_ADV}(?:say|tell|know
        |determine|answer|verify|confirm|be\ (?:sure|certain))|of\ knowing|that\ answers|about\ this|on\ this
        |for\ (?:me|this|that)))|(?:in|about|on|here|that|to\ go\ on)\b)
    | there(?:['’]s|\ is)\ (?:insufficient|not\ enough|no)\ \w+\ (?:in|from)\ {_SOURCE}
    # fragments
    | (?:n\ ?/\ ?a|n\.a\.|not\ applicable|unknown|unsure|uncertain|unclear|unanswerable|undetermined|unspecified
        |undisclosed|unavailable|indeterminate|inconclusive|undefined|unidentified|unstated|unlisted)\W*$
    | (?:currently\ |presently\ |largely\ |still\ )?(?:unknown|unclear|uncertain|unspecified|unanswerable)\ (?:from|in
        |based|given|to\ (?:me|us)|at)\b
    | not\ {_ADV}(?:sure|certain|positive|aware)\b(?=\W*$|\W+(?:sorry|about|who|what|when|where|why|how|which|if
        |whether|here|i|on|at|of\ (?:the|that)|to\ be|tbh|honestly|really)\b)
    | not\ {_ADV}(?:{_SAID})(?=\W*$|\ (?:in|by|from|within|on|to)\ (?:{_SOURCE}|me|us)\b|\ (?:here|anywhere|at\ this
        |yet|about)\b)
    | not\ (?:in|from|within|part\ of)\ {_SOURCE}\W*$ | not\ (?:that\ i(?:['’]m|\ am)?\ (?:know|aware)|my\ (?:area
        |field|expertise))\b
    | (?:not\ enough|insufficient|inadequate|limited|incomplete|too\ little|no|not\ any|missing|lack\ of|lacking
        |lacks)\ (?:(?:relevant|further|specific|sufficient|such|direct|explicit|clear|additional|matching|definitive
        |useful|reliable|background|available|provided|given)\ )*
        (?:{_MATTER}|{_TRACE})\b(?=\W*$|\W+(?:to|is|was|are|in|on|about|available|found|given|provided|regarding|for
        |of\ (?:this|that|it|the)|from|that\ (?:answers|would)|exists|concerning|can\ be|could\ be|here|whatsoever)\b)
    | (?:the\ |relevant\ |any\ |requested\ |specific\ |sufficient\ )*(?:{_MATTER}|{_TRACE})\ (?:is\ |are\ |was\s
        |were\ )?(?:currently\ )?(?:not\ (?:{_SAID}|in\ {_SOURCE})|unavailable|missing|lacking|withheld
        |insufficient)\b(?=\W*$|\ (?:in|from|within|to\ (?:me|us|answer|determine|say)|by|for|here|at)\b)
    | (?:it|this|that|which)\ (?:do|does|did){_NOT}\ {_ADV}(?:say|specify|mention|tell|state|indicate|give|provide
        |answer|appear)\b(?=\W*$|\ (?:in|who|what|when|where|why|how|which|that|if|whether|about|anywhere|the|it|this
        |any|us|me|to)\b)
    # the matter is not known, or cannot be told
    | (?:it|this|that|which|(?:the\ |an?\ |any\ |your\ |this\ |that\ )(?:\w+\ ){{0,2}}?(?:answers?|information|info
        |details?|question|query|request)(?:\ \w+){{0,6}}?)
        (?:['’]s|\ is|\ are|\ was|\ were|\ remains?|\ has\ been|\ have\ been|\ isn['’]t|\ aren['’]t|\ wasn['’]t
        |\ hasn['’]t\ been)\ {_ADV}(?:unknown|unclear|uncertain|unanswerable|unspecified|undetermined|undisclosed
        |unavailable|missing|lacking|indeterminate
        |not\ {_ADV}(?:{_SAID})|(?<=n['’]t\ )(?:{_SAID}))(?=\W*$|\W*[.;,:]|\ (?!as\b|of\b|until\b|before\b)\w)
    | (?P<world>(?!(?:he|she|they|who|people)\b)(?:\w[\w'’-]*\ ){{0,12}}?(?:is|are|was|were|remains?|['’]s|['’]re|being
        |stays?|has\ been|have\ been)\ {_ADV}(?:(?:largely|currently|presently)\ )?
        (?:unknown|unclear|unanswerable|unspecified|undetermined|undisclosed|unavailable|indeterminate
        |not\ {_ADV}(?:{_SAID})){_AFTER}
    | (?!(?:he|she|they|who|people)\b)(?:\w[\w'’-]*\ ){{0,12}}?(?:is|are|was|were|has|have|do|does
        |did)n['’]t\ (?:been\ )?{_ADV}(?:{_SAID}){_AFTER}
    | (?!(?:he|she|they|who|people)\b)(?:\w[\w'’-]*\ ){{0,12}}?(?:has
        |have)\ not\ {_ADV}(?:been\ )?{_ADV}(?:{_SAID}){_AFTER}
    )
    | (?:it|this|that|the\ answer|the\ \w+\ information|{_SOURCE})(?:['’]s|\ is|\ was|\ isn['’]t
        |\ wasn['’]t)(?:\ not)?\ (?:not\ )?(?:in|part\ of|within)\ {_SOURCE}\W*$
    | (?:\w[\w'’-]*\ ){{0,12}}?(?:can(?:\ ?not|['’]?t)|could{_NOT})\ {_ADV}be\ {_ADV}(?:answered|determined|known
        |verified|found|confirmed|inferred|established|deduced|derived|concluded|ascertained|identified|located|given
        |provided|retrieved|stated|said|computed|calculated|resolved|extracted){_AFTER}
    | (?:it['’]?s\ |it\ is\ |it\ would\ be\ |this\ is\ |that['’]s\ |that\ is\ )?{_ADV}(?:hard|impossible|difficult
        |not\ (?:really\ )?possible|tough|tricky|too\ early)\ (?:for\ me\ )?to\ {_ADV}(?:say|tell|know|determine|answer
        |be\ (?:sure|certain)|guess|predict|give|confirm|verify|infer|provide)\b(?!\ (?:no|goodbye)\b)
    | (?:the|this|your|that)\ question\ (?:is|can|cannot|could|has|does|remains|requires
        |asks\ for\ information)\ {_ADV}(?:not|unanswerable|unclear|unanswered|ambiguous|cannot|too|no|n['’]t)\b
    | (?:nobody|no\ one|no-one|none\ of\ us)\ {_ADV}(?:can\ )?(?:knows?|say|tell)\b(?=\W*$|\ (?:for|who|what|when|where
        |why|how|which|the\ answer|exactly|that|yet|if|whether|with)\b)
    | (?:little|nothing|not\ much)\ is\ known\b
    | (?:the\ )?(?:model|assistant|system|ai|bot|chatbot)\ (?:cannot|can['’]t|is\ unable|is\ not\ able|does\ not\ know
        |doesn['’]t\ know)\b
    # more is needed
    | without\ (?:\w+\ ){{0,2}}(?:information|context|details?|data|knowing|specifics|access)\b
    | (?:more|further|additional|other|extra)\ (?:\w+\ )?(?:information|context|details?|data|specifics
        |clarification)\ (?:is|are|would\ be|will\ be)?\ ?(?:\w+\ )?(?:needed|required|necessary)\b
    | (?:could|can|would|will|might)\ you\ (?:please\ |kindly\ |perhaps\ )?(?:clarify|rephrase|elaborate
        |be\ (?:a\ (?:bit|little)\ )?more|explain\ what|tell\ me\ (?:more|which|what\ you)|say\ more
        |(?:provide|specify|give|share|supply|offer|add)\ (?:me\ )?(?:\w+\ ){{0,3}}(?:information|context|details?|data
        |specifics|which|what|who|clarification|document|text|passage))\b
    | (?:please|kindly)\ (?:clarify|rephrase|elaborate|be\ more|specify|(?:provide|give|share|supply
        |add)\ (?:me\ )?(?:with\ )?(?:\w+\ ){{0,2}}(?:more|further|additional|some|the|your
        |a)?\ ?(?:\w+\ )?(?:information|context|details|question|specifics|clarification|document|text|passage)\b)
    | (?:what|which|who)\ (?:\w+\ )?(?:do|are)\ you\ (?:mean|mean\ by|referring|talking|asking)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""A clause that gives no answer, from its beginning."""

AS_AN_AI = re.compile(
    r"^\W*(?:[^,]{0,40},\ )?(?:but\ )?as\ an?\ (?:\w+\ )?(?:ai|artificial|(?:large\ )?language\ model|assistant"
    r"|chatbot)[^,]{0,40},"
    r"\ i(?:\ (?:\w+\ )?(?:do|am|have|can)(?:\ ?not|n['’]t)|['’]m\ not|\ can['’]t|\ lack|\ have\ no)\b",
    re.IGNORECASE | re.VERBOSE,
)
"""A model that says what it cannot do or does not have."""

DOUBT = re.compile(
    r"\bnot\ (?:\w+\ )?(?:sure|certain|positive|confident)\b|\b(?:unsure|uncertain)\b|\b(?:could|might"
    r"|may)\ be\ (?:wrong|mistaken)\b"
    r"|\bquote\ me\b|\bfor\ (?:sure|certain)\b|\bexactly\b|\bonly\ guessing\b|\bjust\ guessing\b|\bcorrect\ me\b"
    r"|\b(?:know|say|tell|idea|clue)\W*$",
    re.IGNORECASE | re.VERBOSE,
)
"""Marks an abstaining clause, beside an answer, as doubt about it ("Paris, but I'm not sure")."""

GUESS = re.compile(
    r"""^\W*(?:(?:
      i(?:\ (?:would|['’]d|might|can\ only|could|do|also|personally|still|really|honestly|vaguely))?['’]?d?\ (?:\w+ly\s
        |just\ |only\ )?
        (?:think|believe|guess|suppose|suspect|assume|reckon|imagine|figure|feel|say|bet|recall|remember|gather|presume
        |venture|lean\ towards?|go\ with)
        (?:\ that\b)?(?:\ (?:it['’]s|it\ is|it\ was|the\ answer\ is)\ (?:probably|likely|perhaps|possibly)\b)?
    | i['’]?m\ (?:leaning\ towards?|inclined\ to\ (?:say|think)|guessing|thinking|only\ guessing|just\ guessing
        |(?:fairly|pretty|quite|reasonably|almost|rather|somewhat)\ (?:sure|certain|confident)|\d+\ ?%\ (?:sure
        |certain))(?:\ that\b)?
    | i\ am\ (?:leaning\ towards?|inclined\ to\ (?:say|think)|guessing|(?:fairly|pretty|quite|reasonably|almost|rather
        |somewhat)\ (?:sure|certain|confident))(?:\ that\b)?
    | (?:if\ (?:i\ (?:had|have)\ to|forced\ to|pressed\ to)\ (?:guess|choose|say|pick|answer|venture\ a\ guess)
        |if\ (?:i\ (?:remember|recall)\ (?:correctly|rightly|right|well)|memory\ serves(?:\ me)?(?:\ (?:right|well
        |correctly))?|i['’]?m\ not\ mistaken|i\ am\ not\ mistaken)|iirc|afaik)
    | (?:as|so)\ far\ as\ i\ (?:know|can\ (?:tell|remember|recall|see)|remember|recall|am\ aware)
        | to\ (?:the\ best\ of\ )?my\ knowledge
    | (?:my\ |a\ |just\ a\ |at\ a\ |wild\ |best\ |an\ educated\ |educated\ |only\ a\ )+(?:guess|hunch|bet|impression
        |estimate|assumption|hypothesis|feeling|understanding)(?:\ (?:is|was|would\ be|would\ have\ been))?(?:\ that\b)?
    | (?:in\ my\ (?:\w+\ )?(?:opinion|view|experience|estimation)|imho|imo|from\ memory|off\ the\ top\ of\ my\ head
        |to\ me)
    | (?:perhaps|maybe|probably|possibly|presumably|supposedly|arguably|conceivably|(?:most|very|quite)\ (?:likely
        |probably)|likely|apparently)
    | (?:don['’]t|do\ not)\ quote\ me(?:\ on\ (?:this|that|it))? | i\ (?:could|may|might)\ be\ (?:wrong
        |mistaken)(?:\ (?:here|about\ this|on\ this))?
    )(?:[\s,:;–—-]+(?:but|and|though)?\s*|[\s.!?…]*$))+""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words of a guess before what is guessed: "I think that ...", "My guess is ...", "Maybe ..."."""

GUESS_AFTER = re.compile(
    r"""[\s,;(–—-]+(?:i\ (?:think|believe|guess|suppose|suspect|assume|reckon|imagine|presume|bet|recall|would\ (?:say
        |guess))|i['’]d\ (?:say|guess)
    |if\ (?:i\ (?:remember|recall)\ (?:correctly|rightly|right|well)|memory\ serves(?:\ me)?(?:\ (?:right|well
        |correctly))?|i['’]?m\ not\ mistaken|i\ am\ not\ mistaken)
    |iirc|afaik|(?:as|so)\ far\ as\ i\ (?:know|can\ tell|remember|recall)|to\ (?:the\ best\ of\ )?my\ knowledge
        |in\ my\ (?:\w+\ )?(?:opinion|view)|imho|imo
    |maybe|perhaps|probably|possibly|presumably|most\ likely|at\ a\ guess|just\ a\ guess|but\ (?:don['’]t
        |do\ not)\ quote\ me(?:\ on\ (?:this|that|it))?
    |(?:but|though|although)\ i\ (?:could|may|might)\ be\ (?:wrong|mistaken)|or\ so\ i\ (?:think|believe|hear
        |am\ told))\)?(?=[.!?…)\s]*$)""",
    re.IGNORECASE | re.VERBOSE,
)
"""Words of a guess after what is guessed: "..., I think."."""

# Upper-case May is a month; "could be" is a hedge and "could read at three" is not.
HEDGE = re.compile(
    r"\b(?:may|might|possibly|[Pp]ossibly|[Pp]erhaps|[Mm]aybe|[Pp]robably|[Pp]resumably|[Ss]upposedly|[Aa]llegedly"
    r"|[Rr]eportedly|[Cc]onceivably|could (?:be|have)|seems? to|appears? to|[Mm]ost likely"
    r"|(?:is|are|was|were|['’]s) (?:un)?likely|(?:is|are|was|were|['’]s) (?:\w+ )?(?:said|thought|believed"
    r"|rumou?red) (?:to|that)"
    r"|[Ss]ome (?:people )?(?:say|believe|think|claim)|not (?:\w+ )?(?:sure|certain)|[Ii]t is (?:possible|likely"
    r"|probable|plausible|conceivable) that|a (?:good |fair )?chance that"
    r"|or (?:maybe|perhaps|possibly)|must have been)\b"
)
"""Marks, anywhere in a statement, that something may be true rather than that it is."""

COURTESY = re.compile(
    r"""^\W*(?:
      please\b | you\ (?:can|could|may|might|should|will\ need\ to|would\ need\ to)\ (?:\w+\ )?(?:try|ask|check|look
        |find|search|consult|contact|refer|visit|see|want)
    | try\b | feel\ free | if\ you\ (?:have|need|want|would|could|can|provide|give|share|like|tell)\b | let\ me\ know
        | maybe\ (?:ask|try|check|look)\b | perhaps\ you\ (?:can|could|should)\b
    | i(?:\ would|\ can|['’]d)?\ (?:recommend|suggest|advise|encourage)\b | is\ there\ anything | for\ (?:more|further
        |the\ (?:most|latest))\b
    | i(?:['’]?m|\ am)\ (?:not\ )?(?:just\ )?an?\b | i(?:['’]ve|\ have)?\ never\b | i(?:['’]ll|\ will)\ have\ to\b
        | (?:can|could|would|will)\ you\ | (?:can|could|may|shall|how\ (?:can|may))\ i\ (?:help|assist)
        | my\ (?:purpose|role|function|goal)\ is\ to | i(?:['’]?m|\ am)\ (?:just\ |only\ )?an?\ (?:\w+\ )?(?:ai
        |(?:large\ )?language\ model|assistant) | i\ hope | i\ will\ (?:try|look)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
"""Accompanies an abstention without answering: where to look instead, offers of help."""
