"""Who writes in a language that is not served, told from texts that pass by: of each person only the start is held."""

from __future__ import annotations

from collections.abc import Callable

from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.profile.language import LOOKED_AT, TEXTS, Languages, language_of


class ForeignTally:
    """Which of the people whose texts pass by write in a language that not every part of a bundle serves, as codes.
    `most` people are looked at, the first ones, and `passed_over` says whether there were more."""

    def __init__(self, languages: Languages, most: int = 10_000) -> None:
        self._unserved, self._needed, self.most = languages.unserved, bool(languages.named()), most
        self._starts: dict[str, list[str]] = {}  # the first texts of a person, none once their language is told
        self._passed: dict[str, int] = {}  # texts by person
        self._languages: dict[str, str] = {}
        self.passed_over = False

    def passing(self, one: Interaction) -> Interaction:
        """Look at what was written here, and give it on."""
        before = self._passed.get(one.person, 0)
        if self._needed and (before or len(self._passed) < self.most):
            self._passed[one.person] = before + 1
            if one.person not in self._languages:
                self._begins(one)
        elif self._needed:
            self.passed_over = True
        return one

    def found(self, texts: Callable[[str], int]) -> dict[str, str]:
        """People and the code of their language, where what passed by is most of the `texts` that they have."""
        for person in list(self._starts):
            self._tell(person)
        told = ((person, count, self._languages[person]) for person, count in self._passed.items())
        foreign = ((person, count, code) for person, count, code in told if code and self._unserved(code))
        return {person: code for person, count, code in foreign if 2 * count > texts(person)}

    def _begins(self, one: Interaction) -> None:
        start = self._starts.setdefault(one.person, [])
        start.append(clean_text(one.output)[:LOOKED_AT])
        if len(start) == TEXTS or sum(map(len, start)) > LOOKED_AT:
            self._tell(one.person)

    def _tell(self, person: str) -> None:
        self._languages[person] = language_of(self._starts.pop(person))
