r"""Phrases of abstaining and of hedging in other languages than English, as regular expressions.

Matched from the beginning of a clause, after words such as "Leider ..."; see abstention_phrases.py for English. Spaces are
written `\ `, since the patterns are verbose.
"""

from __future__ import annotations

import re

__all__ = ["ABSTAINING", "BUT", "GUESS", "GUESS_AFTER", "LEAD"]

_LANGUAGES: dict[str, dict[str, str]] = {
    "German": {
        "lead": r"""
            leider|es\ tut\ mir\ (?:sehr\ )?leid|tut\ mir\ (?:sehr\ )?leid|entschuldigung|entschuldige|sorry
            |tja|ehrlich\ gesagt|also|hm+|nun|nein(?=[,.;])|laut\ (?:dem\ )?text|auf\ basis\ [^,]*?
            |aufgrund\ [^,]*?|dazu|dass?|das|hierzu|darüber|diese\ frage|die\ antwort
        """,
        "abstaining": r"""
            (?:ich\ )?wei(?:ß|ss)\ (?:es\ |das\ |ich\ )*(?:leider\ |wirklich\ |ehrlich\ gesagt\ |auch\ )*nicht
            |(?:ich\ )?wei(?:ß|ss)\ (?:ich\ )?(?:leider\ )?nichts|(?:ich\ habe\ |hab\ |habe\ ich\ )?(?:leider\s
            |absolut\ |überhaupt\ )*keine?\ (?:ahnung|idee|angaben?|information(?:en)?|antwort|auskunft
            |schimmer|plan|hinweise?|daten|kenntnis(?:se)?)\b(?!\ ist\b)|(?:ich\ )?(?:bin
            |habe)\ (?:ich\ )?(?:mir\ )?(?:leider\ |da\ |dazu\ |darüber\ )*(?:nicht\ sicher|unsicher|überfragt
            |keine)|(?:ich\ )?(?:kann|könnte|konnte|möchte|will|werde|darf)\ (?:ich\ )?(?:\w+\ ){0,5}?(?:nicht
            |keine?n?)\ (?:\w+\ ){0,3}?(?:sagen|beantworten|antworten|helfen|beurteilen|raten|spekulieren
            |finden|geben|bestimmen|feststellen|anstellen|weiterhelfen|mutmaßen|machen|erinnern|nennen|äußern)
            |(?:der\ |die\ |das\ |den\ |aus\ dem\ |im\ |in\ (?:dem|den|der)\ )?(?:\w+en\ )?(?:text|abschnitt
            |passage|kontext|dokumente?n?|artikel|quellen?)\ (?:\w+\ ){0,5}?(?:nicht|nichts|keine?n?
            |keinerlei)\b|(?:geht|steht|ist|wird|lässt|gibt|liegen|liegt|sind|findet
            |finden)\ (?:\w+\ ){0,6}?(?:nicht|nichts|keine?)\b(?:\ \w+){0,6}?\ ?(?:hervor|text|bekannt
            |angegeben|erwähnt|genannt|enthalten|darüber|dazu|sagen|bestimmen|beantworten|information(?:en)?
            |angaben|kontext|vor|fest)\b|(?:es\ |das\ )?(?:ist\ )?(?:mir\ )?(?:leider\ )?(?:unbekannt|unklar
            |ungewiss|nicht\ (?:bekannt|angegeben|erwähnt|bestimmbar|beantwortbar|verfügbar|ersichtlich
            |sicher))\W*$|k(?:\.\ ?)?a\.?\W*$|keine\W*angaben?|weiß\ der\ (?:geier|himmel|teufel)
        """,
        "guess": r"""
            ich\ (?:glaube|denke|vermute|schätze|meine|nehme\ an|würde\ sagen|tippe\ auf)|vielleicht|vermutlich
            |wahrscheinlich|möglicherweise|eventuell|wohl|meines\ wissens|soweit\ ich\ weiß|könnte\ (?:es\ )?
        """,
        "but": r"aber|jedoch|allerdings",
    },
    "French": {
        "lead": r"""
            désolée?|je\ suis\ (?:vraiment\ )?désolée?|malheureusement|pardon|excusez-moi|honnêtement
            |franchement|eh\ bien|hélas|non(?=[,.;])|d['’]après\ [^,]*?|selon\ [^,]*?|mais|à\ vrai\ dire
        """,
        "abstaining": r"""
            (?:je\ )?n['’]en\ sais\ rien|(?:je\ |j['’])?(?:ne\ |n['’])?(?:le\ |en\ )?(?:sais
            |sait)\ (?:vraiment\ |malheureusement\ )?pas|je\ l['’]ignore|j['’]ignore|je\ ne\ (?:le\ )?sais\b
            |(?:je\ n['’](?:en\ )?ai\ )?aucune\ (?:idée|information|réponse|mention|donnée)|je\ n['’]ai\ (?:pas
            |aucune?)\ (?:\w+\ |d['’]|l['’]|la\ |de\ |cette\ |suffisamment\ d['’])*(?:idée|information|réponse
            |donnée|élément)s?|pas\ (?:la\ moindre\ idée|d['’]idée|sûre?|certaine?|mentionné|précisé
            |assez\ d['’]information)|je\ ne\ suis\ pas\ (?:\w+\ )?(?:sûre?|certaine?|en\ mesure)
            |je\ ne\ (?:peux|saurais|pourrais|souhaite|veux|vais|préfère)\ (?:pas\ )?(?:\w+\ ){0,3}?(?:répondre
            |dire|deviner|spéculer|aider|confirmer|déterminer|donner|vous|fournir|me\ prononcer)
            |(?:je\ )?préfère\ ne\ pas|je\ ne\ (?:me\ souviens|trouve|connais|vois)\ pas|impossible\ (?:à
            |de)\ (?:\w+\ )?(?:dire|déterminer|savoir|répondre)|(?:le|la|les|ce|cette|ces|aucun)\ (?:texte
            |passage|contexte|document|article|extrait|source)s?\ (?:fourni\w*\ )?(?:ne|n['’])(?:\s
            |)(?:\w+\ ){0,4}?(?:pas|rien|aucune?)\b|(?:l['’]information|la\ réponse|cette\ (?:information
            |question)|cela|ce|ceci|c['’]|elle|il)\ ?(?:ne|n['’])\ ?(?:est|figure|se\ trouve|peut|apparaît
            |sont)\ (?:\w+\ ){0,3}?pas\ (?:\w+\ ){0,2}?(?:mentionnée?|précisée?|dans\ le|indiquée?|fournie?
            |disponible|connue?|clair|être|possible)|(?:il\ )?n['’]y\ a\ (?:pas|aucune?)\ (?:d['’]
            |assez\ d['’])?(?:informations?|réponse|mention|données?)|rien\ (?:dans\ le\ (?:texte|passage)
            |n['’]indique|n['’]est)|inconnue?\W*$|(?:c['’]est\ )?(?:inconnu|incertain|pas\ clair
            |indéterminé)\W*$|information\ (?:non\ disponible|indisponible|insuffisante?|manquante)
            |non\ (?:précisé|mentionné|spécifié|disponible|communiqué|indiqué)\w*\W*$|sans\ réponse\W*$
        """,
        "guess": r"""
            je\ (?:crois|pense|suppose|dirais|présume|devine)(?:\ que|\ qu['’])?|peut-être|probablement
            |sans\ doute|il\ me\ semble|à\ mon\ avis|possiblement|c['’]est\ peut-être|vraisemblablement
        """,
        "but": r"mais|cependant|toutefois",
    },
    "Spanish": {
        "lead": r"""
            lo\ siento(?:\ mucho)?|perdona|perdón|disculpa|disculpe|lamentablemente|desafortunadamente
            |desgraciadamente|sinceramente|la\ verdad(?:\ es\ que)?|pues|bueno|no(?=[,.;])|según\ [^,]*?|pero
            |yo|honestamente
        """,
        "abstaining": r"""
            no\ (?:lo\ |la\ |me\ |te\ |se\ lo\ )*(?:sé|se\W*$|sabría|conozco|recuerdo|acuerdo
            |puedo\ (?:\w+\ ){0,2}?(?:responder|decir|ayudar|adivinar|confirmar|contestar|determinar|dar
            |proporcionar|saber|asegurar)\w*|podría\ decir\w*|quiero\ (?:adivinar|especular)
            |voy\ a\ (?:adivinar|especular)|encuentro)\b|ni\ (?:idea|la\ menor\ idea|la\ más\ mínima\ idea)
            |(?:no\ tengo\ )(?:ni\ |la\ |ninguna?\ |esa\ |suficiente\ |más\ |acceso|menor\ )*(?:idea
            |información|respuesta|datos|a\ )|no\ estoy\ (?:\w+\ )?segur[oa]|no\ (?:es|está
            |se)\ (?:\w+\ ){0,2}?(?:posible|menciona|sabe\b(?!\ que)|especifica|indica|puede\ (?:determinar
            |saber|responder)|claro|especificado|mencionad[oa]|disponible|dice|proporciona|encuentra)
            |prefiero\ no|sin\ (?:idea|información|respuesta|datos)\W*$|(?:el|la|los|las|este|esta|ningún
            |ninguno\ de\ los)\ (?:texto|pasaje|contexto|documento|artículo|fragmento|fuente|información
            |respuesta|pregunta)s?\ (?:proporcionad\w+\ )?(?:no|nada)\b|no\ hay\ (?:\w+\ )?(?:información|datos
            |respuesta|mención|suficiente|detalles)|nada\ en\ el\ (?:texto|pasaje)|(?:es\ )?(?:desconocid[oa]
            |incierto|imposible\ (?:de\ )?(?:saber|decir)\w*|no\ (?:especificado|mencionado|disponible|aplica
            |consta)|se\ desconoce)\W*(?:$|en\ el)|se\ desconoce|desconozco|ignoro
            |información\ (?:no\ disponible|insuficiente)
        """,
        "guess": r"""
            (?:yo\ )?(?:creo|pienso|supongo|diría|sospecho|me\ parece)(?:\ que)?|quizás?|tal\ vez|probablemente
            |posiblemente|a\ lo\ mejor|puede\ (?:que|ser)|en\ mi\ opinión|seguramente
        """,
        "but": r"pero|sin\ embargo|aunque",
    },
    "Italian": {
        "lead": r"""
            mi\ dispiace|purtroppo|scusa|scusi|spiacente|onestamente|sinceramente|beh|no(?=[,.;])
            |secondo\ [^,]*?|ma|io|in\ base\ a\w*\ [^,]*?
        """,
        "abstaining": r"""
            (?:io\ )?non\ (?:lo\ |la\ |ne\ |mi\ |ci\ |te\ lo\ )*(?:so|saprei|conosco|ricordo
            |posso\ (?:\w+\ ){0,2}?(?:rispondere|dire|aiutare|indovinare|confermare|determinare|fornire|saperlo
            |stabilire)\w*|voglio\ (?:indovinare|speculare)|trovo|sono\ (?:\w+\ )?(?:sicur[oa]|cert[oa]
            |in\ grado)|ho\ (?:\w+\ ){0,3}?(?:idea|informazioni|risposta|dati))\b|nessuna\ (?:idea|informazione
            |risposta|menzione)|preferisco\ non|(?:boh|mah)\W*$|non\ (?:è|sono|viene|si|c['’]è|ci\ sono
            |vi\ sono)\ (?:\w+\ ){0,3}?(?:specificat\w|menzionat\w|noto|nota|chiaro|possibile|disponibil\w
            |informazion\w|indicat\w|rispost\w|fornit\w|dice|sa\b|nel\ testo|dati)|(?:il|lo|la|l['’]|i|le
            |questo|nessun)\ ?(?:testo|brano|passaggio|contesto|documento|articolo|fonte|informazione|risposta
            |domanda)\w?\ (?:fornit\w\ )?non\b|nulla\ nel\ testo|(?:è\ )?(?:sconosciut[oa]|incerto|ignoto
            |non\ (?:specificato|menzionato|disponibile|noto|pervenuto))\W*$|impossibile\ (?:da\ )?(?:dire
            |determinare|sapere|stabilire)|informazion[ei]\ (?:non\ disponibil\w|insufficient\w)|ignoro
        """,
        "guess": r"""
            (?:io\ )?(?:credo|penso|suppongo|direi|immagino|presumo|mi\ sembra|ritengo)(?:\ che)?|forse
            |probabilmente|può\ darsi|magari|secondo\ me|possibilmente|potrebbe\ essere
        """,
        "but": r"ma|però|tuttavia",
    },
    "Portuguese": {
        "lead": r"""
            desculpe|desculpa|lamento|sinto\ muito|infelizmente|honestamente|sinceramente|bem|não(?=[,.;])
            |segundo\ [^,]*?|de\ acordo\ com\ [^,]*?|com\ base\ n\w*\ [^,]*?|mas
        """,
        "abstaining": r"""
            (?:eu\ )?não\ (?:o\ |a\ |me\ |lhe\ |te\ )*(?:sei|saberia|conheço|lembro|recordo
            |posso\ (?:\w+\ ){0,2}?(?:responder|dizer|ajudar|adivinhar|confirmar|determinar|fornecer)\w*
            |consigo\ (?:\w+\ ){0,2}?(?:responder|dizer|ajudar|determinar|encontrar|lembrar)\w*
            |quero\ (?:adivinhar|especular)|vou\ (?:adivinhar|especular)|encontrei|faço\ (?:a\ (?:menor
            |mínima)\ )?(?:ideia|idéia)|tenho\ (?:\w+\ ){0,3}?(?:certeza|ideia|informaç\w+|resposta|dados
            |acesso)|estou\ (?:\w+\ )?(?:cert[oa]|segur[oa]))\b|nenhuma\ (?:ideia|informação|resposta|menção)
            |sem\ (?:ideia|informaç\w+|resposta)\W*$|prefiro\ não|sei\ lá|não\ (?:é|está|são|há|foi|se
            |existe\w*)\ (?:\w+\ ){0,3}?(?:mencionad\w|especificad\w|possível|claro|disponíve\w|informaç\w+
            |sabe|conhecid\w|dados|resposta|no\ texto|fornecid\w|menção)|(?:o|a|os|as|este|esta
            |nenhum)\ (?:texto|passagem|trecho|contexto|documento|artigo|fonte|informação|resposta
            |pergunta)s?\ (?:fornecid\w+\ )?não\b|nada\ no\ texto|(?:é\ )?(?:desconhecid[oa]|incerto
            |não\ (?:especificado|mencionado|disponível|informado|consta))\W*$|impossível\ (?:de\ )?(?:dizer
            |determinar|saber)|informaç\w+\ (?:não\ disponíve\w|insuficiente\w?|indisponíve\w)|desconheço|ignoro
        """,
        "guess": r"""
            (?:eu\ )?(?:acho|creio|penso|suponho|diria|acredito|imagino|presumo)(?:\ que)?|talvez|provavelmente
            |possivelmente|quem\ sabe|na\ minha\ opinião|pode\ ser(?:\ que)?|se\ não\ me\ engano
        """,
        "but": r"mas|porém|contudo",
    },
    "Dutch": {
        "lead": r"""
            sorry|helaas|het\ spijt\ me|eerlijk\ gezegd|tja|nou|nee|volgens\ [^,]*?|op\ basis\ van\ [^,]*?|maar
            |excuses
        """,
        "abstaining": r"""
            (?:ik\ )?(?:weet|wist)\ (?:het|dat|dit|ik)\ (?:\w+\ ){0,2}?niet|dat\ weet\ ik\ (?:\w+\ ){0,2}?niet
            |weet\ (?:ik\ )?(?:het\ )?niet|(?:ik\ heb\ |heb\ )?(?:absoluut\ |echt\ )?geen\ (?:idee|flauw\ idee
            |informatie|antwoord|gegevens)\b|ik\ (?:ben|weet)\ (?:\w+\ ){0,3}?niet\ (?:\w+\ )?(?:zeker|wie|wat
            |wanneer|waar|hoe|of|welke)|(?:ik\ ben\ )?niet\ (?:zeker|vermeld|bekend|gegeven|genoemd
            |beschikbaar)|ik\ (?:kan|zou|wil|ga|durf)\ (?:\w+\ ){0,5}?(?:niet|geen|liever\ niet)\b|ik\ (?:gok
            |raad|zeg)\ liever\ niet|(?:dat|dit|het|er)\ (?:staat|wordt|is|blijkt|kan)\ (?:\w+\ ){0,4}?(?:niet
            |geen)\ (?:\w+\ ){0,3}?(?:tekst|vermeld|genoemd|bekend|duidelijk|gegeven|informatie|beschikbaar
            |context|passage|bepaald|gezegd|mogelijk)|(?:de|het|deze|dit|in\ de
            |uit\ de)\ (?:gegeven\ )?(?:tekst|passage|context|document\w*|artikel|bron\w*|informatie|antwoord
            |vraag)\ (?:\w+\ ){0,4}?(?:niet|niets|geen)\b|er\ (?:is|staat
            |wordt)\ (?:\w+\ ){0,3}?(?:geen\ (?:informatie|antwoord|vermelding)|niets)|(?:het\ is\s
            |dat\ is\ )?(?:onbekend|onduidelijk|onzeker|niet\ (?:bekend|duidelijk|te\ zeggen))\W*$|geen\ idee
            |joost\ mag\ het\ weten
        """,
        "guess": r"""
            ik\ (?:denk|geloof|vermoed|gok|neem\ aan|meen|schat)(?:\ dat)?|misschien|waarschijnlijk|mogelijk
            |vermoedelijk|wellicht|volgens\ mij|ik\ zou\ zeggen
        """,
        "but": r"maar|echter",
    },
    "Swedish, Danish, Norwegian": {
        "lead": r"""
            tyvärr|desværre|dessverre|beklager|undskyld|förlåt|ledsen|sorry|nej|men|enligt\ [^,]*?
            |ifølge\ [^,]*?
        """,
        "abstaining": r"""
            (?:jag|jeg)\ (?:vet|ved|kan|är|er|har|känner|kjenner)\ (?:\w+\ ){0,3}?(?:inte|ikke|ingen)\b|(?:det
            |dette)\ (?:vet|ved|framgår|fremgår|står|nämns|nevnes|nævnes|är|er|går)\ (?:jag|jeg\s
            |\w+\ ){0,3}?\ ?(?:inte|ikke)\b|(?:vet|ved)\ (?:inte|ikke)|ingen\ (?:aning|anelse|idé|ide
            |information|informasjon|svar)\b|(?:texten|teksten|passagen|kontexten|konteksten|artikeln
            |artiklen)\ (?:\w+\ ){0,3}?(?:inte|ikke|ingen\w*|inget)|(?:okänt|ukendt|ukjent|oklart|uklart
            |uvisst)\W*$
        """,
        "guess": r"""
            (?:jag|jeg)\ (?:tror|antar|antager|gissar|gætter|gjetter|tænker|tenker)(?:\ att|\ at)?|kanske
            |kanskje|måske|troligen|sannolikt|formentlig|sannsynligvis|förmodligen|muligvis
        """,
        "but": r"men",
    },
    "Polish": {
        "lead": r"niestety|przepraszam|przykro\ mi|szczerze\ mówiąc|nie(?=[,.;])|ale|według\ [^,]*?",
        "abstaining": r"""
            nie\ (?:wiem|znam|pamiętam|jestem\ (?:\w+\ )?pew\w+|mogę\ (?:\w+\ )*?(?:odpowiedzieć|powiedzieć
            |pomóc|stwierdzić)|mam\ (?:\w+\ ){0,2}?(?:pojęcia|informacji|danych)|potrafię|chcę\ zgadywać|podano
            |wiadomo|określono|ma\ (?:\w+\ ){0,2}?(?:informacji|wzmianki))\b|brak\ (?:informacji|danych
            |odpowiedzi)|(?:tekst|fragment|dokument|artykuł|kontekst)\ (?:\w+\ ){0,3}?nie\b
            |w\ tekście\ (?:\w+\ ){0,2}?nie\b|(?:nieznan[yea]|niewiadom[yea]|niejasne)\W*$|wolę\ nie|odmawiam
        """,
        "guess": r"""
            (?:myślę|sądzę|uważam|przypuszczam|wydaje\ mi\ się|zgaduję)(?:,?\ że)?|może|prawdopodobnie|chyba
            |być\ może
        """,
        "but": r"ale|jednak",
    },
    "Russian, Ukrainian": {
        "lead": r"""
            к\ сожалению|извините|извини|простите|прости|увы|честно\ говоря|если\ честно|на\ жаль|вибачте
            |нет(?=[,.;])|ну|но|я|согласно\ [^,]*?|по\ тексту|исходя\ из\ [^,]*?
        """,
        "abstaining": r"""
            (?:я\ )?(?:этого\ |точно\ |даже\ |сам\w*\ |к\ сожалению,?\ |правда\ )*не\ (?:знаю|уверена?|помню
            |могу\ (?:\w+\ ){0,3}?(?:ответить|сказать|помочь|подтвердить|определить|найти|дать)|владею
            |располагаю|имею|в\ курсе|хочу\ (?:гадать|угадывать)|буду\ (?:гадать|угадывать|отвечать)
            |упоминается|указано|сказано|ясно|известно|определено|впевнен\w*|можу|пам['’]ятаю|нашёл|нашел
            |указан\w*|упомянут\w*|говорится|скажу)\b|понятия\ не\ имею|без\ понятия
            |не\ имею\ (?:ни\ малейшего\ )?(?:понятия|представления|информации)|затрудняюсь|(?:это\ |ответ\s
            |дата\ )?(?:мне\ )?(?:неизвестн[оаы]|неясно|непонятно|невідомо|невозможно\ (?:\w+\ )?(?:определить
            |сказать|ответить|установить))|(?:у\ меня\ )?нет\ (?:\w+\ ){0,2}?(?:информации|данных|ответа
            |сведений|упоминани\w|идей)|информаци[яи]\ (?:отсутству\w+|не)|недостаточно\ (?:информации|данных)
            |(?:в\ )?(?:данн\w+\ |предоставленн\w+\ |эт\w+\ )?(?:текст\w*|отрыв\w*|контекст\w*|документ\w*
            |стать\w*|источник\w*)\ (?:\w+\ ){0,4}?(?:не|ничего|нет)\b|предпочитаю\ не|предпочёл\ бы\ не
            |воздержусь|отказываюсь|нічого|хз\W*$
        """,
        "guess": r"""
            (?:я\ )?(?:думаю|полагаю|считаю|предполагаю|думаю,\ что|вважаю)(?:,?\ что)?|возможно|может\ быть
            |наверное|вероятно|скорее\ всего|кажется|мне\ кажется|по-моему|пожалуй|можливо
        """,
        "but": r"но|однако|але",
    },
    "Chinese": {
        "lead": r"""
            抱歉|对不起|對不起|不好意思|很遗憾|很遺憾|遗憾的是|非常抱歉|很抱歉|真抱歉|说实话|老实说|其实|我们|我們
            |我|目前|这个|這個|这|這|但是|根据[^，。]*?|根據[^，。]*?
            |作为[^，。]*?|对此|對此|关于[^，。]*?|真的|也|并|還|还
        """,
        "abstaining": r"""
            (?:并|也|真的|还|確實|确实)*(?:不知道|不清楚|不确定|不確定|不了解|不晓得|不曉得|不记得|不記得|不太清楚
            |不太确定|不太確定|不明白|不得而知|没(?:有)?(?:听说过
            |任何(?:信息|头绪)|头绪|相关(?:信息|资料|内容)|足够(?:的)?信息|把握|找到|信息|答案|概念|提到|提及|说明
            |想法)|沒(?:有)?(?:聽說過|任何|頭緒|相關|足夠|把握
            |找到|資訊|答案|提到|提及|說明)|无法(?:\w{0,6})?(?:回答|确定|提供|判断|得知|回应|确认|告知|知道|猜测
            |推断|给出|查|帮)|無法(?:\w{0,6})?(?:回答
            |確定|提供|判斷|得知|回應|確認|告知|知道|猜測|推斷)|不能(?:回答|确定|確定|提供|猜|透露|告诉)|不想(?:猜
            |回答|瞎猜|妄)|不愿(?:猜|回答)|不願(?:猜|回答)
            |不便(?:回答|透露)|拒绝回答|難以|难以(?:回答|确定|判断))|未知|不详|不詳|未提及|未说明|未提供|未知道
            |无可奉告|暂无(?:信息|资料|答案)?|无(?:相关)?(?:信息|答案
            |资料)|(?:文|文章|文本|原文|段落|上下文|资料|資料|材料|文档|文檔|该段|本文|文本中|篇章)(?:中|里|裡
            |内)?(?:并|並|也|都)?(?:没有|沒有|未|没|沒
            |不)(?:有)?(?:提|说|說|给|給|包含|涉及|写|寫|指出|明确|相关)
        """,
        "guess": r"""
            (?:我)?(?:想|认为|認為|觉得|覺得|猜|估计|估計|相信|推测|推測)(?:是)?|可能|也许|也許|或许|或許|大概
            |应该是|應該是|恐怕|好像|似乎|据我所知|據我所知
        """,
        "but": r"但是|但|不过|不過|然而",
    },
    "Japanese": {
        "lead": r"""
            申し訳ありませんが|申し訳ございませんが|申し訳ありません|申し訳ございません|すみませんが|すみません
            |ごめんなさい|残念ながら|残念ですが|正直|実は|私には|私は|それは|その|この|いいえ
            |さあ|えっと|うーん|恐れ入りますが|ちょっと|よく|まったく|全く|全然|さっぱり|はっきり
        """,
        "abstaining": r"""
            (?:\w*?(?:は|が|も|を|について(?:は)?|に関して(?:は)?)、?)?(?:ちょっと|よく|まったく|全く|全然|さっぱり
            |はっきり)?(?:わか|分か|解)(?:り(?:ませ
            |かね)|らな|んない)\w*|(?:\w*?(?:は|が|も|を))?(?:知り(?:ませ)\w*|知らな\w*|存じ(?:ませ|上げませ)\w*
            |不明(?:です|だ|である)?$
            |お?答え(?:でき|られ|しかね|いたしかね)(?:ませ|な|ま)\w*|回答(?:でき|しかね|を控え|は控え)\w*
            |確か(?:では|じゃ)(?:あり|な)\w*|自信(?:が|は)(?:あり
            |な)\w*|確信(?:が|は)(?:あり|な|持て)\w*|推測(?:は|を)(?:控え|避け|した)\w*|覚えて(?:い)?(?:ま|な)\w*
            |判断(?:でき|がつき)(?:ませ|な)\w*
            |特定(?:でき)(?:ませ|な)\w*|見当(?:が|も)つ(?:き|か)\w*)|\w*?(?:本文|文章|テキスト|文脈|資料|記事|文書
            |文中|与えられた情報|提供された\w+?
            |情報)\w*?(?:は|が|も|には|から|に|では)\w*?(?:ません|ない|おりません|できない|ありませんでした)$
            |(?:該当|関連)?(?:する)?情報(?:が|は)(?:あり
            |見つかり|ござい)ません|不明$|回答不能$|情報なし$|(?:言及|記載)(?:が|は|されて)\w*(?:ない|ません)
        """,
        "guess": r"たぶん|多分|おそらく|恐らく|もしかすると|もしかしたら|ひょっとすると|きっと",
        "guess_after": r"と(?:思い|思う|考え)\w*|かもしれ\w*|でしょう|だろう|はず(?:です|だ)|気がし\w*",
        "but": r"ですが|しかし|でも|けれども|けど|だけど",
    },
    "Korean": {
        "lead": r"""
            죄송합니다만|죄송하지만|죄송합니다|미안하지만|미안합니다|안타깝게도|유감스럽게도|솔직히|저는|나는|그건
            |그것은|글쎄요|아니요|음+
        """,
        "abstaining": r"""
            (?:\w+\ ){0,4}?(?:잘\ |전혀\ )?(?:모르\w*|모릅니다|몰라\w*|몰랐\w*|알\ 수\ (?:가\ )?없\w*|알지\ 못\w*
            |확실하지\ 않\w*
            |확신(?:할\ 수\ 없|이\ 없|하지\ 못)\w*|(?:답변|대답|답)\w*\ (?:드릴\ 수\ |할\ 수\ |수\ )?(?:없|못)\w*
            |기억(?:나지\ 않|이\ 안)\w*
            |(?:언급|명시|기재|나와|제공|포함)\w*\ (?:있지\ )?(?:않|없)\w*|정보가\ (?:없|부족)\w*|알려지지\ 않\w*
            |추측하(?:지|고\ 싶지)\ 않\w*)|불명
            |미상|알\ 수\ 없음|정보\ 없음
        """,
        "guess": r"아마(?:도)?|제\ 생각에(?:는)?|내\ 생각에(?:는)?|혹시|어쩌면",
        "guess_after": r"것\ 같\w*|(?:일|할)지도\ 모\w*|듯(?:합니다|해요)?|것입니다|겁니다|거예요",
        "but": r"하지만|그러나|그렇지만",
    },
    "Arabic": {
        "lead": r"""
            عذر[اً]+|عذرًا|عفو[اً]+|آسفة?|أنا\ آسفة?|للأسف|معذرة|أعتذر|بصراحة|في\ الحقيقة|أنا|لكن
            |وفق[اً]+\ [^،]*?|حسب\ [^،]*?|بناءً?\ على\ [^،]*?
        """,
        "abstaining": r"""
            (?:أنا\ )?لا\ (?:أعرف|أدري|أعلم|أستطيع|يمكنني|أملك|أتذكر|أريد\ (?:التخمين|أن\ أخمن)|تتوفر|توجد|يوجد
            |يتوفر|يمكن\ (?:تحديد|معرفة|الإجابة)|يذكر|تذكر|فكرة|نعرف|نعلم)|(?:ليس|ليست)\ (?:لدي|لديّ|لدى|عندي
            |هناك|واضح|معروف|مذكور|في\ النص)\w*|لست\ (?:متأكد|واثق|على\ علم)\w*|لم\ (?:أسمع|أجد|يذكر|يُذكر|تذكر
            |ترد|يرد|أتمكن)|غير\ (?:معروف|واضح|مذكور|متأكد|محدد|متاح|متوفر|معلوم)\w*|(?:النص|المقطع|السياق
            |المستند|المقال|الفقرة|الوثيقة|المستندات|الوثائق)\ (?:المقدم\w?\ )?(?:لا|لم)\b|أفضل\ (?:عدم|ألا)
            |ما\ (?:أعرف|أدري|بعرف)|مجهول\w*$|لا\ (?:توجد|يوجد)\ (?:أي\ )?(?:معلومات|إجابة|ذكر)|أرفض|أمتنع
        """,
        "guess": r"""
            (?:أنا\ )?(?:أعتقد|أظن|أخمن|أرى|أتوقع)(?:\ أنه?ا?)?|ربما|لعل\w*|من\ المحتمل|على\ الأرجح|قد\ (?:يكون
            |تكون)|في\ رأيي|يبدو
        """,
        "but": r"لكن|ولكن|ولكنني",
    },
    "Turkish": {
        "lead": r"""
            üzgünüm|maalesef|ne\ yazık\ ki|özür\ dilerim|kusura\ bakmayın|açıkçası|hayır|ama|ben|bunu
            |bu\ soruyu|bu\ konuda|bu\ soruya
        """,
        "abstaining": r"""
            (?:\w+\ ){0,3}?(?:bilmiyorum|bilmiyoruz|bilemiyorum|bilemem|emin\ değilim|hatırlamıyorum
            |fikrim\ yok|bilgim\ yok|bilgi\ yok\w*|cevaplayamam|cevaplayamıyorum|yanıtlayamam|yanıtlayamıyorum
            |yanıt\ veremem|cevap\ veremem|söyleyemem|bilinmiyor|belirtilmemiş\w*|belirtilmiyor|bahsedilmiyor
            |yer\ almıyor|bulunmuyor|tahmin\ etmek\ istemiyorum|mevcut\ değil|belli\ değil)\W*$|bilinmiyor
            |bilinmeyen\W*$
        """,
        "guess": r"sanırım|galiba|belki|muhtemelen|bence|herhalde|tahminimce|zannedersem",
        "but": r"ama|fakat|ancak",
    },
    "others": {
        "lead": r"""
            bohužel|promiňte|valitettavasti|anteeksi|δυστυχώς|συγγνώμη|λυπάμαι|סליחה|מצטער|לצערי|क्षमा\ करें
            |माफ़\ कीजिए|माफ\ कीजिए|xin\ lỗi|rất\ tiếc|maaf|îmi\ pare\ rău|din\ păcate|sajnos|elnézést|ขอโทษ
            |متأسفم|متاسفم|ببخشید|متأسفانه
        """,
        "abstaining": r"""
            (?:to\ )?nevím|nejsem\ si\ jist\w*|nemám\ (?:tušení|ponětí)|netuším|neznám\w*\W*$|text\ to\ neuvádí
            |(?:minä\ )?en\ (?:tiedä|ole\ varma|osaa\ sanoa|muista)|ei\ (?:aavistustakaan|hajuakaan|tietoa)
            |tuntematon\W*$|(?:εγώ\ )?δεν\ (?:ξέρω|γνωρίζω|είμαι\ σίγουρ\w+|έχω\ ιδέα|μπορώ\ να)|άγνωστο
            |το\ κείμενο\ δεν|(?:אני\ )?(?:לא\ (?:יודע|יודעת|בטוח|בטוחה|זוכר)|אין\ לי\ (?:מושג|מידע))
            |לא\ (?:ידוע|צוין|מוזכר)|הטקסט\ לא|(?:मुझे\ |मैं\ )?(?:\S+\ ){0,3}?(?:नहीं\ (?:पता|मालूम|जानता
            |जानती|जानते)|(?:पता|मालूम)\ नहीं|यकीन\ नहीं|उत्तर\ नहीं\ दे|जानकारी\ नहीं)|अज्ञात
            |(?:tôi\ )?không\ (?:biết|chắc|rõ|có\ thông\ tin|thể\ trả\ lời)|văn\ bản\ không|(?:saya\s
            |aku\ )?(?:tidak|nggak|gak|tak)\ (?:tahu|yakin|ingat|dapat\ menjawab|bisa\ menjawab|ada\ informasi
            |disebutkan|diketahui)|teks\ tidak|(?:eu\ )?nu\ (?:știu|stiu|sunt\ sigur\w*|am\ (?:nicio\ idee|idee
            |informații)|pot\ răspunde|este\ menționat)|habar\ n-am|necunoscut\W*$|textul\ nu|nem\ (?:tudom
            |vagyok\ biztos|emlékszem|ismert|derül\ ki)|fogalmam\ sincs|ismeretlen\W*$|a\ szöveg\ nem|(?:ฉัน|ผม
            |ดิฉัน)?ไม่(?:รู้|ทราบ|แน่ใจ)|(?:من\ )?(?:نمی[‌\ ]?دانم|نمیدانم|مطمئن\ نیستم|اطلاعی\ ندارم|نامشخص
            |نامعلوم)
        """,
        "guess": r"""
            myslím(?:,?\ že)?|možná|asi|luulen(?:,?\ että)?|ehkä|νομίζω(?:\ ότι)?|ίσως|אני\ חושב(?:ת)?|אולי
            |मुझे\ लगता\ है|शायद|tôi\ nghĩ(?:\ là)?|có\ lẽ|có\ thể|saya\ (?:kira|pikir|rasa)|mungkin
            |cred(?:\ că)?|poate|probabil|azt\ hiszem|talán|szerintem|ฉันคิดว่า|อาจจะ|فکر\ می[‌\ ]?کنم|شاید
        """,
        "but": r"však|mutta|αλλά|אבל|लेकिन|nhưng|tapi|tetapi|dar|însă|แต่|اما|ولی",
    },
}


def _of_all_languages(kind: str) -> str:
    return "|".join(f"(?:{patterns[kind]})" for patterns in _LANGUAGES.values() if kind in patterns)


# Japanese and Chinese have no spaces between words.
_NO_SPACES = r"[\u3040-\u9fff]"
_END_OF_WORD = rf"(?!\w(?<!{_NO_SPACES}))"

LEAD = re.compile(
    rf"^\W*(?:(?:{_of_all_languages('lead')})(?:[\s,.;:!،、，。–—-]+|(?<={_NO_SPACES})|$))+", re.IGNORECASE | re.VERBOSE
)
"""Words before the clause proper."""

ABSTAINING = re.compile(_of_all_languages("abstaining"), re.IGNORECASE | re.VERBOSE)
"""A clause that gives no answer, from its beginning."""

GUESS = re.compile(rf"^\W*(?:{_of_all_languages('guess')}){_END_OF_WORD}[\s,:،、，]*", re.IGNORECASE | re.VERBOSE)
"""Words of a guess before what is guessed."""

GUESS_AFTER = re.compile(rf"(?:{_of_all_languages('guess_after')})(?=\W*$)", re.IGNORECASE | re.VERBOSE)
"""Words of a guess after what is guessed."""

BUT = re.compile(
    rf"[\s,;.،、，；–—-]+(?:{_of_all_languages('but')}){_END_OF_WORD}[,،、，]?\s*|(?<=[\u3040-\u30ff])が、",
    re.IGNORECASE | re.VERBOSE,
)
"""Where a sentence may switch between abstaining and answering."""
