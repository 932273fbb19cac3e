"""Days of the town in German, French and Chinese."""

from .world import PLACES, THINGS

_DE = {
    "days": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
    "rain": "Es regnete den ganzen Morgen.", "snow": "Schnee lag auf allen Dächern.", "wind": "Der Wind kam vom Meer.",
    "sun": "Die Sonne schien über der Stadt.", "fog": "Nebel stand über dem Fluss.",
}  # fmt: skip
_FR = {
    "days": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
    "rain": "Il pleuvait depuis le matin.", "snow": "La neige couvrait les toits.", "wind": "Le vent venait de la mer.",
    "sun": "Le soleil brillait sur la ville.", "fog": "Le brouillard cachait la rivière.",
}  # fmt: skip
_ZH = {
    "days": "一二三四五六日",
    "rain": "早上一直下雨。", "snow": "屋顶上都是雪。", "wind": "海上吹来大风。", "sun": "阳光照着小城。", "fog": "河上起了雾。",
}  # fmt: skip

# What one sees on the way, whole, because genders and measure words differ.
_DE_SIGHTS = ("Ein alter Esel", "Ein müder Soldat", "Eine graue Katze", "Ein kleines Mädchen", "Eine gelbe Kutsche", "Ein fremder Maler",
              "Eine hungrige Möwe", "Ein stiller Mönch", "Ein krummer Zaun", "Eine vergessene Leiter", "Ein weißes Pferd", "Ein junger Geiger")  # fmt: skip
_DE_SPOTS = ("stand am Brunnen", "wartete unter dem Bogen", "saß auf der Treppe", "lag im Schatten der Mauer", "war hinter der Kirche zu sehen")
_FR_SIGHTS = ("Un vieil âne", "Un soldat fatigué", "Une chatte grise", "Une petite fille", "Une charrette jaune", "Un peintre étranger",
              "Une mouette affamée", "Un moine silencieux", "Une échelle oubliée", "Un cheval blanc", "Un jeune violoniste", "Une oie boiteuse")  # fmt: skip
_FR_SPOTS = ("attendait sous l'arche", "était près de la fontaine", "se tenait au coin de la rue", "restait à l'ombre du mur", "bloquait l'escalier")
_ZH_SIGHTS = ("一头老驴", "一个疲倦的士兵", "一只灰猫", "一个小女孩", "一辆黄色的马车", "一位陌生的画家", "一只饥饿的海鸥", "一位安静的和尚",
              "一把被忘记的梯子", "一匹白马", "一个年轻的琴师", "一群鹅", "一只风筝", "一个卖糖的老人")  # fmt: skip
_ZH_SPOTS = ("井边有", "拱门下有", "台阶上有", "墙的阴影里有", "教堂后面有", "柳树中间有", "街角有", "窗子下面有")


def german(chance, day):
    hero, maker = day.hero, day.maker
    she, wanted, own = ("sie" if hero.she else "er"), THINGS[maker.makes].de, THINGS[hero.makes].de
    lines = [
        chance.choice((f"Am {_DE['days'][day.weekday]} brauchte {hero.en} {wanted}.",
                       f"{hero.en} ist {hero.trade_de} und suchte am {_DE['days'][day.weekday]} {wanted}.")),
        _DE[day.weather],
        f"{capital(THINGS[maker.makes].de)} gibt es nur bei {maker.en}, {PLACES[maker.home].de_at}.",
    ]  # fmt: skip
    if day.trip[1:]:
        lines.append(f"Also ging {she} " + ", dann ".join(PLACES[p].de_to for p in day.trip[1:]) + ".")
    if day.met:
        lines.append(f"{capital(PLACES[day.met.home].de_at)} stand {day.met.en} und sagte: „Guten Tag, {hero.en}!“")
    if chance.yes(50):
        lines.append(f"{chance.choice(_DE_SIGHTS)} {chance.choice(_DE_SPOTS)}.")
    if day.sold_out:
        lines.append(f"„Heute habe ich nichts mehr“, sagte {maker.en}. „Komm morgen wieder.“")
    else:
        lines.append(f"{hero.en} gab {maker.en} {own} und bekam {wanted}.")
        lines.append(chance.choice(("Am Abend waren beide zufrieden.", f"Am Abend war {hero.en} wieder {PLACES[hero.home].de_at}.")))
    return " ".join(lines)


def french(chance, day):
    hero, maker = day.hero, day.maker
    she, wanted, own = ("elle" if hero.she else "il"), THINGS[maker.makes].fr, THINGS[hero.makes].fr
    lines = [
        chance.choice((f"Ce {_FR['days'][day.weekday]}, {hero.en} voulait {wanted}.",
                       f"Un {_FR['days'][day.weekday]}, {hero.en}, {hero.trade_fr} de la ville, cherchait {wanted}.")),
        _FR[day.weather],
        f"C'est {maker.en} qu'il faut voir, tout près {PLACES[maker.home].fr_from}.",
    ]  # fmt: skip
    if day.trip[1:]:
        lines.append(f"Alors {she} alla " + ", puis ".join(PLACES[p].fr_to for p in day.trip[1:]) + ".")
    if day.met:
        lines.append(f"Près {PLACES[day.met.home].fr_from}, {day.met.en} lui dit : « Bonjour, {hero.en} ! »")
    if chance.yes(50):
        lines.append(f"{chance.choice(_FR_SIGHTS)} {chance.choice(_FR_SPOTS)}.")
    if day.sold_out:
        lines.append(f"« Je n'ai plus rien aujourd'hui, dit {maker.en}. Reviens demain. »")
    else:
        lines.append(f"{hero.en} donna {own} et reçut {wanted}.")
        lines.append(chance.choice(("Le soir, tous deux étaient contents.", f"Le soir, {hero.en} rentra {PLACES[hero.home].fr_to}.")))
    return " ".join(lines)


def chinese(chance, day):
    hero, maker = day.hero, day.maker
    she, wanted, own = ("她" if hero.she else "他"), THINGS[maker.makes].zh, THINGS[hero.makes].zh
    lines = [
        chance.choice((f"星期{_ZH['days'][day.weekday]}，{hero.trade_zh}{hero.zh}想要{wanted}。",
                       f"{hero.zh}是{hero.trade_zh}。星期{_ZH['days'][day.weekday]}，{she}需要{wanted}。")),
        _ZH[day.weather],
        chance.choice((f"大家都知道，{maker.zh}住在{PLACES[maker.home].zh}，那里的{wanted}最好。",
                       f"只有{PLACES[maker.home].zh}的{maker.trade_zh}{maker.zh}有{wanted}。")),
    ]  # fmt: skip
    if day.trip[1:]:
        lines.append(f"{she}从{PLACES[day.trip[0]].zh}出发，" + "，再".join(f"走到{PLACES[p].zh}" for p in day.trip[1:]) + "。")
    if day.met:
        lines.append(f"{she}在{PLACES[day.met.home].zh}遇见了{day.met.trade_zh}{day.met.zh}。{day.met.zh}说：“你好，{hero.zh}！”")
    if chance.yes(50):
        lines.append(f"{chance.choice(_ZH_SPOTS)}{chance.choice(_ZH_SIGHTS)}。")
    if day.sold_out:
        lines.append(f"{maker.zh}说：“今天没有了，请明天再来。”{hero.zh}只好回家。")
    else:
        lines.append(f"{hero.zh}把{own}给了{maker.zh}，{maker.zh}把{wanted}给了{hero.zh}。")
        lines.append(chance.choice(("两个人都很高兴。", f"晚上，{hero.zh}回到了{PLACES[hero.home].zh}。")))
    return "".join(lines)


def capital(text):
    return text[0].upper() + text[1:]
