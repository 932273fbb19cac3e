"""Days of the town as JSON records."""

import json

from .world import PEOPLE, THINGS


def trip(day):
    return {
        "day": day.number,
        "weather": day.weather,
        "person": {"name": day.hero.en, "trade": day.hero.trade, "home": day.hero.home},
        "route": day.trip,
        "met": day.met.en if day.met else None,
        "trade": None if day.sold_out else {"gave": day.hero.makes, "got": day.maker.makes, "with": day.maker.en},
    }


def ledger(chance, number):
    """Someone's accounts, with the right total."""
    person = chance.choice(PEOPLE)
    items = [{"item": t, "count": chance.between(1, 5), "price": THINGS[t].price} for t in chance.sample(sorted(THINGS), 3)]
    total = sum(i["count"] * i["price"] for i in items)
    return {"ledger": number, "owner": person.en, "name": person.zh, "items": items, "total": total, "paid": chance.yes(50)}


def document(chance, day):
    record = trip(day) if chance.yes(70) else ledger(chance, day.number)
    return json.dumps(record, indent=2 if chance.yes(60) else None, ensure_ascii=False) + "\n"
