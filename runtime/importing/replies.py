"""What someone wrote themselves in a mail, and what they answered: quotes, headers of other mails and signatures apart.

Line by line, so that a long mail takes time in proportion. Libraries that do this by one expression for all (such as
mail-parser-reply) take a list item, or "Tak for i dag", for the beginning of a signature, and own words with it.
"""

from __future__ import annotations

import re

WROTE = (
    r"wrote|schrieb|a écrit|a ecrit|escribió|escribio|ha scritto|schreef|escreveu|skrev|napisał(?:\(?a\)?)?|"
    r"napsal(?:\(a\))?|kirjoitti|írta|yazdı|написал(?:\(?а\)?)?|пишет"
)
ATTRIBUTION = re.compile(rf".{{0,300}}(?<!\w)(?:{WROTE})(?!\w).{{0,200}}:\s*$", re.IGNORECASE)
BEGINS = re.compile(
    r"\s*(?:On|Am|Le|El|Il|Op|Em|Den|Dnia|W dniu|Dne|Il giorno|пн|вт|ср|чт|пт|сб|вс|"
    r"\d{1,4}[-./]\d|.+<[^<>\s]+@[^<>\s]+>)"
)
LONGEST = 400  # characters of an attribution
SEPARATOR = re.compile(
    r"\s*(?:-{2,}\s*(?:Original Message|Original-Nachricht|Ursprüngliche Nachricht|Message d'origine|Mensaje original|"
    r"Messaggio originale|Oorspronkelijk bericht|Mensagem original|Oprindelig meddelelse|Исходное сообщение)\s*-{2,}|"
    r"_{20,})\s*$",
    re.IGNORECASE,
)
FORWARDED = re.compile(
    r"\s*(?:-{3,}\s*(?:Forwarded message|Weitergeleitete Nachricht|Message transféré|Mensaje reenviado|"
    r"Messaggio inoltrato|Doorgestuurd bericht|Mensagem encaminhada)[^\n]{0,80}-{3,}|"
    r"(?:Begin forwarded message|Anfang der weitergeleiteten Nachricht|Début du message réexpédié)\s*:)\s*$",
    re.IGNORECASE,
)
HEADER = re.compile(
    r"\s*\*?(From|Von|De|Da|Van|Fra|Från|От|Sent|Gesendet|Envoyé|Enviado(?: el)?|Inviato|Verzonden|Sendt|Skickat|"
    r"Date|Datum|Fecha|Data|Дата|To|An|À|Para|A|Aan|Til|Till|Кому|Subject|Betreff|Objet|Asunto|Oggetto|Onderwerp|"
    r"Assunto|Emne|Ämne|Тема|Cc)\s?:\*?\s",
    re.IGNORECASE,
)
SENDER = frozenset("from von de da van fra från от".split())
HEADER_LINES, HEADERS = 8, 3  # of so many lines, so many are a header of a mail
SIGNATURE = re.compile(r"\s*(?:--|—|__)\s*$")
DEVICE = re.compile(
    r"\s*(?:Sent from (?:my|Mail for|Outlook|Yahoo|Proton)|Get Outlook for|Von meinem .{1,40} gesendet|Gesendet mit |"
    r"Diese Nachricht wurde von meinem|Envoyé de (?:mon|ma) |Enviado desde mi |Inviato da(?:l mio)? |"
    r"Verzonden vanaf mijn |Enviado do meu |Sendt fra min |Skickat från min |Отправлено с ).{0,80}$",
    re.IGNORECASE,
)
GOODBYE = re.compile(
    r"\s*(?:(?:kind|best|warm|many|with)?\s?(?:kind )?regards|best|all the best|cheers|sincerely|yours(?: \w+)?|"
    r"many thanks|"
    r"thanks|thank you|love|mit freundlichen grüßen|(?:viele|liebe|beste|herzliche|schöne) grüße|grüße|gruß|lg|vg|mfg|"
    r"cordialement|bien à (?:vous|toi)|amicalement|bises|saludos(?: cordiales)?|un saludo|un abrazo|atentamente|"
    r"cordiali saluti|saluti|met vriendelijke groet(?:en)?|groet(?:en|jes)?|atenciosamente|abraços|"
    r"(?:med )?venlig(?:e)? hilsen(?:er)?|mvh|hälsningar|с уважением|pozdrawiam)\s*[,.!]?\s*$",
    re.IGNORECASE,
)
AFTER_GOODBYE, NAME_LENGTH = 8, 60  # lines that may follow, characters of each


def split_mail(text: str) -> tuple[str, str, bool]:
    """What the writer wrote, what they answered, and whether something was forwarded."""
    own: list[str] = []
    quoted: list[str] = []
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    place, forwarded = 0, False
    while place < len(lines):
        line = lines[place]
        if line.lstrip().startswith((">", "|>")):
            quoted.append(line.lstrip().lstrip("|> "))
        elif size := _attribution(lines, place):
            place += size
            continue
        elif FORWARDED.match(line) or SEPARATOR.match(line) or _is_header(lines, place):
            rest = lines[place:]
            forwarded = any(FORWARDED.match(one) for one in rest[:1])
            quoted += [one.lstrip("> ") for one in rest if not (HEADER.match(one) or SEPARATOR.match(one))]
            break
        else:
            own.append(line)
        place += 1
    return "\n".join(without_signature(own)).strip(), "\n".join(quoted).strip(), forwarded


def _attribution(lines: list[str], place: int) -> int:
    """How many lines from here on say who wrote what follows, none if they do not; it must be quoted, or stand last."""
    if not BEGINS.match(lines[place][:LONGEST]):
        return 0
    for size in (1, 2, 3):
        joined = " ".join(line.strip() for line in lines[place : place + size])
        if len(joined) > LONGEST:
            return 0
        if ATTRIBUTION.match(joined):
            behind = next((line for line in lines[place + size : place + size + 4] if line.strip()), ">")
            return size if behind.lstrip().startswith(">") else 0
    return 0


def _is_header(lines: list[str], place: int) -> bool:
    first = HEADER.match(lines[place])
    if first is None or first[1].casefold() not in SENDER:
        return False
    return sum(bool(HEADER.match(line)) for line in lines[place : place + HEADER_LINES]) >= HEADERS


def without_signature(lines: list[str]) -> list[str]:
    """The lines up to a signature: behind a line of two hyphens, a device's own, or a goodbye with a name."""
    for place, line in enumerate(lines):
        if SIGNATURE.match(line):
            lines = lines[:place]
            break
    lines = [line for line in lines if not DEVICE.match(line)]
    filled = [place for place, line in enumerate(lines) if line.strip()]
    for number, place in enumerate(filled[-AFTER_GOODBYE:]):
        behind = filled[-AFTER_GOODBYE:][number + 1 :]
        if GOODBYE.match(lines[place]) and all(len(lines[one].strip()) <= NAME_LENGTH for one in behind):
            return lines[:place]
    return lines
