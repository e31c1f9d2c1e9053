"""espeak-ng's symbols of six languages as the 39 phones of data/speech: the nearest by lips, as its README says."""

from __future__ import annotations

from collections import Counter

Marks = list[tuple[int, str]]
"""Start in samples and symbol, in time order."""

STOPS = frozenset(("P", "T", "K", "B", "D", "G", "CH", "JH"))

_COMMON = """
p=P b=B t=T d=D k=K g=G f=F v=V s=S z=Z S=SH Z=ZH T=TH D=DH h=HH x=HH C=HH m=M n=N N=NG l=L r=R j=Y w=W tS=CH dZ=JH
ts=T+S dz=D+Z pF=P+F ts2=T+S t2=T z2=Z t#=T ?=T t[=T d[=D n-=N n_=N w#=W w2=W r-=R ss=S n^=N+Y l^=L+Y J^=Y R=R R2=R *=R **=R
i=IY i:=IY I=IH I#=IH I2=IH I3=IH I^=IH e=EH e:=EY e-=EH E=EH E:=EH E2=EH E#=EH a=AA a-=AA a#=AH aa=AA A=AA A:=AA
O=AO O:=AO O2=AO o=AO o:=OW 0=AA U=UH u=UW u:=UW u"=UW V=AH @=AH @-=AH @2=AH @5=AH @L=AH+L 3=AH 3:=ER 8=AO
y=UW y:=UW y-=UW Y=ER Y:=ER W=ER A~=AA O~=AO E~=AE W~=AH
aI=AY aI2=AY EI=EY eI=EY oI=OY OI=OY OY=OY aU=AW oU=OW
&=AH &~=AA u~=UW i~=IY EU=EH+UW iU=IY+UW c=K J=Y L=L x2=HH @U=OW o@=OW+AH Y@=UW+AH E-=EH u-=UW s.=S s#=S s2=S a:=AA
"""
_ENGLISH = """
a=AE 0=AO i@=IY+AH i@3=IH+AH e@=EH+AH A@=AA O@=AO o@=AO U@=UH+AH aI@=AY+AH aI3=AY+ER VR=AH+R IR=AH+R
"""
_AMERICAN = _ENGLISH + "aa=AE 0=AA 3=ER i@3=IH+R e@=EH+R A@=AA+R O@=AO+R o@=AO+R U@=UH+R"
_OWN = {
    "en-us": _AMERICAN,
    "en": _ENGLISH,
    "de": "r=HH R=HH UR=UH+AH",
    "fr": "r=HH e=EY e-=EY",
    "es": "B=V Q=G **=D *=D",
    "it": "r=D R=D *=D I=IY U=UW",
    "ru": "y=IH ja=Y+AA ju=Y+UW",
}
_SILENT = frozenset(("_", "_:"))
_DROPPED = frozenset(("_!", "_|", ";", ""))
"""Breaks of 25 ms before vowels and the glides of soft consonants: they belong to the phone before them."""
_TAPS = frozenset(("r", "R", "R2", "*", "**"))
_SHORT_FIRST = frozenset(("T", "P", "D", "Y"))
_FIRST_SHARE, _SHORT_FIRST_SHARE, _LONGEST_BURST_S = 0.55, 0.3, 0.025


def _table(own: str) -> dict[str, tuple[str, ...]]:
    entries = (entry.rsplit("=", 1) for entry in f"{_COMMON} {own}".split())
    return {symbol: tuple(phones.split("+")) for symbol, phones in entries}


_TABLES = {language: _table(own) for language, own in _OWN.items()}


def lookup(symbol: str, language: str) -> tuple[str, ...] | None:
    """Phones of a symbol in a language or voice of espeak ("de", "en-us"); None when there are none."""
    table = _TABLES.get(language) or _TABLES[language[:2]]
    return table.get(symbol) or table.get(symbol.rstrip(";"))


def phones_of(marks: Marks, language: str, length: int, rate_hz: int) -> tuple[list[tuple[int, str]], Counter[str]]:
    """Start in samples and name of each phone of a sentence of ``length`` samples; and a count of the symbols without a phone.

    A symbol without a phone keeps its own name with a question mark. Marks of foreign words switch the table until they end.
    """
    named: list[tuple[int, str]] = []
    unmapped: Counter[str] = Counter()
    spoken = language
    for k, (at, symbol) in enumerate(marks):
        end, following = marks[k + 1] if k + 1 < len(marks) else (length, "")
        if symbol.startswith("("):
            spoken = symbol.strip("()") if symbol.strip("()") in _TABLES else language
            spoken = language if spoken[:2] == language[:2] else spoken
        elif symbol in _SILENT:
            named.append((at, "SIL"))
        elif symbol == "@-" and following in _TAPS and spoken != "fr":
            named.append((at, (lookup(following, spoken) or ("R",))[0]))
        elif symbol not in _DROPPED:
            names = lookup(symbol, spoken)
            if names is None:
                unmapped[f"{spoken} {symbol}"] += 1
                names = (f"{symbol}?",)
            named.append((at, names[0]))
            if len(names) > 1:
                share = int((end - at) * (_SHORT_FIRST_SHARE if names[0] in _SHORT_FIRST else _FIRST_SHARE))
                burst = int(_LONGEST_BURST_S * rate_hz)
                named.append((at + (min(share, burst) if names[0] in STOPS else share), names[1]))
    return [one for k, one in enumerate(named) if not k or one[1] != named[k - 1][1]], unmapped
