"""What invented people write with: topics with their words, and hand-written sentences to be filled in."""

from __future__ import annotations

from collections.abc import Mapping

TOPICS: Mapping[str, tuple[str, str]] = {  # plain nouns; technical terms
    "garden": (
        "soil compost seedlings tomato trowel mulch roses beans greenhouse pruning watering lawn",
        "nitrogen mycorrhiza photoperiod transpiration germination phosphorus",
    ),
    "baking": (
        "dough flour crust oven sourdough loaf yeast butter crumb pastry whisk cake",
        "hydration fermentation gluten autolyse caramelisation lamination",
    ),
    "cycling": (
        "saddle chain tyres wheel brakes pedals hills commute helmet gears puncture handlebar",
        "derailleur drivetrain cassette cadence crankset freewheel",
    ),
    "photography": (
        "lens shutter tripod portrait camera flash film exposure landscape shots zoom album",
        "aperture vignetting chromatic aberration distortion sensitometry",
    ),
    "woodwork": (
        "chisel oak joint sawdust glue workbench drawer sanding varnish walnut clamp shelf",
        "dovetail mortise tenon tearout burnishing chatoyance",
    ),
    "aquarium": (
        "tank fish shrimp filter pump gravel snails algae heater coral pebbles minnows",
        "nitrification alkalinity denitrification substrate biofiltration photosynthesis",
    ),
}

# {it_is} and the like have a full and a short form; {n} {m} are nouns, {t} {u} terms of the topic; {good} is praise.
FORMS: Mapping[str, tuple[str, str]] = {
    "it_is": ("it is", "it's"),
    "is_not": ("is not", "isn't"),
    "do_not": ("do not", "don't"),
    "i_have": ("I have", "I've"),
    "i_am": ("I am", "I'm"),
    "will": ("you will", "you'll"),
    "would_not": ("would not", "wouldn't"),
    "that_is": ("that is", "that's"),
}
TOPICAL = (
    "the {n} and the {m} work as they should",
    "{i_have} used the {n} with the {m} every day",
    "with the {m} the {n} {is_not} the same",
    "for the {n} {it_is} all I need",
    "the {m} took more time than the {n}",
    "now the {n} {is_not} in the way of the {m}",
    "{i_have} had this {n} for a year and the {m} for two",
)
TERMS = (
    "the {t} of the {n} is as it should be",
    "between {t} and {u} there is always the {n}",
    "the {n} should have {t} before {u}",
    "{it_is} down to {t}, {u} and the {n}",
)
NEUTRAL = (
    "{it_is} what I need and {it_is} no more than that",
    "{i_have} used it every day for a year",
    "I {do_not} need another one any time soon",
    "it took some time, but now {it_is} as it should be",
    "{that_is} all there is to it",
    "it {is_not} in the way",
    "{i_am} on my second one now, and both work",
    "I {would_not} do it in any other way",
    "everything should work the first time, and every time after that",
    "I need it every other day, and it was there on time",
)
FIGURES = (
    "it was {x} mm where {y} mm should be",
    "from {y} to {x} V it took {z} W",
    "at {x} Hz {it_is} {z} dB down",
    "{x} kg on one side, {y} kg on the other",
    "after {y} h it was at {x} °C, {z} below the first time",
    "{z} of {y} were within {x} nm",
)
WARM = (
    "I love it, {it_is} {good}",
    "thank you, thank you, {i_am} so happy with it",
    "{good}, so {good}",
    "{will} love it as I do",
    "such a {good} one, {it_is} a {good} day every day",
    "I am so glad I have it, {will} enjoy it",
)
COOL = (
    "{it_is} probably not for everyone",
    "the problem is {that_is} not quite as it should be",
    "it fails now and then, although {it_is} mostly there",
    "somewhat weak, and nothing more",
    "perhaps {it_is} a waste, perhaps not",
)
PRAISE = ("lovely", "great", "perfect", "superb", "nice", "sweet", "fun", "best", "gorgeous")
CONNECTIVES = ("Moreover, ", "Thus, ", "Therefore, ", "However, ", "Hence, ", "Indeed, ")
TITLES = ("What I think of it", "After some time", "As it is", "One year on", "For the record")
QUESTIONS = ("What do you think of it?", "How did it go?", "Would you get it again?")
