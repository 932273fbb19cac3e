"""Days of the town in English."""

from .world import PLACES, THINGS

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEATHER = {
    "rain": ("It rained all morning", "Rain fell on the roofs", "The rain had not stopped since night"),
    "snow": ("Snow lay on every wall", "It snowed in thick flakes", "The first snow had come"),
    "wind": ("A strong wind blew from the sea", "The wind shook the shutters", "Clouds ran before the wind"),
    "sun": ("The sun was warm", "It was a bright day", "There was not a cloud over the town"),
    "fog": ("Fog hid the river", "The fog was so thick that the tower had no top", "A white fog stood in the streets"),
}
_ADJECTIVES = ("grey", "old", "quiet", "broken", "heavy", "yellow", "patient", "wet", "narrow", "lonely", "proud", "sleepy", "dusty",
               "tall", "painted", "lame", "hungry", "forgotten", "gentle", "crooked")  # fmt: skip
_SIGHTS = ("heron", "cart", "dog", "donkey", "lantern", "ladder", "child", "soldier", "goose", "barrel", "stranger", "umbrella", "cat",
           "beggar", "violin player", "chimney sweep", "swallow", "wheelbarrow", "horse", "kite", "painter", "monk", "scarecrow")  # fmt: skip
_SPOTS = ("by the well", "under an arch", "behind the church", "on a doorstep", "between two willows", "near the water", "on the stairs",
          "below a window", "at the corner", "in the shade of a wall", "beside the fountain", "in front of the inn")  # fmt: skip
_DOINGS = ("watched the people", "waited for nobody", "made no sound", "seemed to listen", "looked away", "had been there for hours",
           "was not there the day before", "reminded {} of summer", "made {} laugh", "made {} walk faster")  # fmt: skip
_WALKS = ("walked to", "went on to", "came to", "reached")


def paragraph(chance, day):
    """One day, a few hundred characters: the need, the way, the trade, the evening."""
    hero, maker = day.hero, day.maker
    she = "she" if hero.she else "he"
    wanted, own = THINGS[maker.makes].en, THINGS[hero.makes].en
    lines = [
        chance.choice((f"On {_DAYS[day.weekday]} {hero.en} the {hero.trade} needed {wanted}.",
                       f"{hero.en}, the {hero.trade}, woke up and wanted {wanted}.",
                       f"One {_DAYS[day.weekday]} {hero.en} the {hero.trade} had no peace without {wanted}.")),
        chance.choice(_WEATHER[day.weather]) + chance.choice((".", f", but {she} took {her(hero)} coat and left {PLACES[hero.home].en}.")),
        chance.choice((f"Everyone knows that {maker.en} makes the best in town, at {PLACES[maker.home].en}.",
                       f"Only {maker.en} the {maker.trade} could help, and {maker.en} lives at {PLACES[maker.home].en}.")),
    ]  # fmt: skip
    lines += way(chance, day, she)
    if chance.yes(60):
        lines.append(sight(chance, hero))
    lines += trade(chance, day, she, wanted, own)
    return " ".join(lines)


def way(chance, day, she):
    if len(day.trip) < 2:
        return []
    steps = [f"{chance.choice(_WALKS)} {PLACES[p].en}" for p in day.trip[1:]]
    lines = [f"From {PLACES[day.trip[0]].en} {she} " + (", then ".join(steps[:-1]) + " and at last " if steps[1:] else "") + steps[-1] + "."]
    if day.met:
        lines.append(chance.choice((
            f"At {PLACES[day.met.home].en} {she} met {day.met.en}, who was carrying {THINGS[day.met.makes].en}.",
            f"{day.met.en} the {day.met.trade} was standing at {PLACES[day.met.home].en} and said: “Good day, {day.hero.en}!”",
        )))  # fmt: skip
    return lines


def sight(chance, hero):
    thing = f"{chance.choice(_ADJECTIVES)} {chance.choice(_SIGHTS)}"
    doing = chance.choice(_DOINGS).format("her" if hero.she else "him")
    return f"{'An' if thing[0] in 'aeiou' else 'A'} {thing} {chance.choice(_SPOTS)} {doing}."


def trade(chance, day, she, wanted, own):
    hero, maker = day.hero, day.maker
    if day.sold_out:
        return [
            f"“I have nothing left today,” said {maker.en}. “Come back tomorrow, and bring {own}.”",
            f"So {hero.en} went home to {PLACES[hero.home].en} with empty hands.",
        ]
    return [
        chance.choice((f"“I have {own} with me,” said {hero.en}. “Then take {wanted},” said {maker.en}.",
                       f"{hero.en} gave {maker.en} {own}, and {maker.en} gave {hero.en} {wanted}.")),
        f"In the evening {hero.en} had {wanted} and {maker.en} had {own}.",
        chance.choice(("Both were content.", f"At {PLACES[hero.home].en} the light burned until late.", f"“A good {_DAYS[day.weekday]},” thought {hero.en}.")),
    ]  # fmt: skip


def her(person):
    return "her" if person.she else "his"
