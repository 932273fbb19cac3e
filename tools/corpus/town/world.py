"""Who lives where and makes what, and what a day brings. Facts never change, so a model can learn them."""

from collections import namedtuple

# Words by language: en; de_to, de_at ("zum Hafen", "am Hafen"); fr, fr_to, fr_from; zh. Things in German: accusative.
Place = namedtuple("Place", "en de_to de_at fr fr_to fr_from zh near")
Thing = namedtuple("Thing", "en de fr zh emoji price")
Person = namedtuple("Person", "en zh she trade trade_de trade_fr trade_zh home makes likes")

PLACES = {
    "mill": Place("the mill", "zur Mühle", "an der Mühle", "le moulin", "au moulin", "du moulin", "磨坊", ("bridge", "orchard")),
    "harbour": Place("the harbour", "zum Hafen", "am Hafen", "le port", "au port", "du port", "港口", ("market", "landing")),
    "tower": Place("the tower", "zum Turm", "am Turm", "la tour", "à la tour", "de la tour", "钟楼", ("market", "gate")),
    "orchard": Place("the orchard", "zum Obstgarten", "im Obstgarten", "le verger", "au verger", "du verger", "果园", ("mill", "school")),
    "school": Place("the school", "zur Schule", "an der Schule", "l'école", "à l'école", "de l'école", "学校", ("orchard", "market")),
    "forge": Place("the forge", "zur Schmiede", "an der Schmiede", "la forge", "à la forge", "de la forge", "铁匠铺", ("gate", "bridge")),
    "landing": Place("the landing", "zur Anlegestelle", "an der Anlegestelle", "le quai", "au quai", "du quai", "渡口", ("harbour", "bridge")),
    "gate": Place("the gate", "zum Tor", "am Tor", "la porte", "à la porte", "de la porte", "城门", ("tower", "forge")),
    "market": Place("the market", "zum Markt", "auf dem Markt", "le marché", "au marché", "du marché", "市场", ("harbour", "tower", "school")),
    "bridge": Place("the bridge", "zur Brücke", "auf der Brücke", "le pont", "au pont", "du pont", "桥头", ("mill", "forge", "landing")),
}  # fmt: skip

THINGS = {
    "bread": Thing("a loaf of bread", "das Brot", "le pain", "面包", "🍞", 2),
    "fish": Thing("a silver fish", "den Fisch", "le poisson", "鱼", "🐟", 4),
    "clock": Thing("a small clock", "die Uhr", "l'horloge", "钟", "⏰", 30),
    "apples": Thing("a basket of apples", "den Apfelkorb", "le panier de pommes", "一篮苹果", "🍎", 3),
    "book": Thing("a blue book", "das Buch", "le livre", "书", "📘", 12),
    "knife": Thing("a sharp knife", "das Messer", "le couteau", "刀", "🔪", 9),
    "rope": Thing("a long rope", "das Seil", "la corde", "绳子", "🪢", 5),
    "lamp": Thing("a brass lamp", "die Lampe", "la lampe", "灯", "🏮", 15),
    "medicine": Thing("a bottle of medicine", "die Medizin", "le remède", "药", "💊", 8),
    "chair": Thing("an oak chair", "den Stuhl", "la chaise", "椅子", "🪑", 20),
}

PEOPLE = [
    Person("Mara", "玛拉", True, "baker", "Bäckerin", "boulangère", "面包师", "mill", "bread", "apples"),
    Person("Tomas", "托马斯", False, "fisherman", "Fischer", "pêcheur", "渔夫", "harbour", "fish", "bread"),
    Person("Ines", "伊内斯", True, "clockmaker", "Uhrmacherin", "horlogère", "钟表匠", "tower", "clock", "book"),
    Person("Jonas", "约纳斯", False, "gardener", "Gärtner", "jardinier", "园丁", "orchard", "apples", "knife"),
    Person("Lena", "莱娜", True, "teacher", "Lehrerin", "institutrice", "老师", "school", "book", "lamp"),
    Person("Emil", "埃米尔", False, "smith", "Schmied", "forgeron", "铁匠", "forge", "knife", "fish"),
    Person("Rosa", "罗莎", True, "ferrywoman", "Fährfrau", "batelière", "摆渡人", "landing", "rope", "chair"),
    Person("Otto", "奥托", False, "lamplighter", "Laternenanzünder", "allumeur", "点灯人", "gate", "lamp", "medicine"),
    Person("Nadia", "娜迪亚", True, "doctor", "Ärztin", "médecin", "医生", "market", "medicine", "clock"),
    Person("Viktor", "维克多", False, "carpenter", "Tischler", "menuisier", "木匠", "bridge", "chair", "rope"),
]
MAKER = {p.makes: p for p in PEOPLE}

WEATHER = ("rain", "snow", "wind", "sun", "fog")

# trip: places walked, home first. met: who stood where they live, on the way, or None. sold_out: no trade today.
Day = namedtuple("Day", "number weekday weather hero maker trip met sold_out")


def path(start, end):
    """The shortest way between two places, by breadth-first search."""
    before, queue = {start: None}, [start]
    for place in queue:
        for near in PLACES[place].near:
            if near not in before:
                before[near] = place
                queue.append(near)
    steps = [end]
    while steps[-1] != start:
        steps.append(before[steps[-1]])
    return steps[::-1]


def day(chance, number):
    """What happens on a day: someone needs something and walks to whoever makes it."""
    hero = chance.choice(PEOPLE)
    wanted = hero.likes if chance.yes(60) else chance.choice([t for t in THINGS if t != hero.makes])
    maker = MAKER[wanted]
    trip = path(hero.home, maker.home)
    between = [p for p in PEOPLE if p.home in trip[1:-1]]
    met = chance.choice(between) if between and chance.yes(70) else None
    return Day(number, number % 7, chance.choice(WEATHER), hero, maker, trip, met, chance.yes(20))
