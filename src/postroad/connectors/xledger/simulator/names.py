"""The vocabulary of a believable Swedish company. Each tuple is drawn from at random; weights are repetitions."""

from __future__ import annotations

FIRST_NAMES = (
    "Åsa", "Björn", "Örjan", "Märta", "Göran", "Sölve", "Håkan", "Ylva", "Linnéa", "Jörgen", "Karin", "Erik", "Anders",
    "Maja", "Oskar", "Ebba", "Nils", "Saga", "Viggo", "Astrid", "Torbjörn", "Kerstin", "Zoé", "André", "Siân", "Łukasz",
)  # fmt: skip
LAST_NAMES = (
    "Sjöberg", "Åkesson", "Lindström", "Öberg", "Hägg", "Bergström", "Nyström", "Ekblad", "Söderlund", "Wikström",
    "Johansson", "Karlsson", "Håkansson", "af Ekenstam", "Von Döbeln", "O'Brien", "Lundqvist", "Björk", "Malmö-Nilsson",
)  # fmt: skip
COMPANIES = ("Nordvik Group AB", "Nordvik Teknik AB", "Nordvik Umeå AB", "Nordvik Kiruna AB", "Nordvik Malmö AB")
PROJECTS = (
    "Ombyggnad Västra kajen", "Driftstöd", "Förstudie tågdepå", "Införande av nytt ekonomisystem", "Underhåll linje 4",
    'Kvarteret "Älgen"', "Gruvventilation, etapp 2", "Kundportal\tfas 1", "Elnät Ångermanland", "Utbildning & stöd",
    "R&D: sensorer <inomhus>", "Jour/beredskap", "Fjärrvärme Öresund", "Vägbelysning \\ mätning",
)  # fmt: skip
ACTIVITIES = (
    "Konsultation", "Projektledning", "Utveckling", "Felsökning", "Möte", "Restid", "Semester", "Sjukfrånvaro",
    "Föräldraledighet", "Dokumentation", "Säljstöd", "Internt",
)  # fmt: skip
TIME_TYPES = ("Normaltid", "Övertid 1", "Övertid 2", "Restid", "Frånvaro", "Beredskap")
STATUSES = ("Preliminary", "Submitted", "Approved", "Posted")
TEXTS = (
    None, None, None, "", "Avstämning med kund", "Byte av fläkt i hus 3", "Åtgärdat fel i rapporten; se ärende 4711",
    'Möte om "smarta" mätare', "Restid Luleå–Kiruna t/r", "Felsökning\nnatt", "Genomgång av avtal 🙂", "dok. & test",
    "Förbättringar i gränssnittet efter användarnas önskemål under våren", "<b>brådskande</b>", "sökväg C:\\temp\\nytt",
)  # fmt: skip
HOURS = (
    ("8.00",) * 8 + ("7.50",) * 4 + ("4.00", "2.00", "1.50", "0.50", "0.25", "6.75", "3.25", "10.00", "0.00", "-1.50")
)
RATES = ("985.50", "1250.00", "1100.00", "875.00", "1425.75", "0.00", None, "1050.00", "1320.125")
COSTS = ("512.40", "610.00", "488.15", "730.25", None)
