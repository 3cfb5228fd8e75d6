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

COUNTRIES = {
    "SE": "Sverige", "NO": "Norge", "DE": "Tyskland", "FI": "Finland", "DK": "Danmark", "FR": "Frankrike",
    "GB": "Storbritannien", "US": "USA", "CI": "Côte d'Ivoire", "IE": "Éire",
}  # fmt: skip
PHONE_PREFIXES = ("+46", "+47", "+49", "+358", "+45", "+33", "+44", "+1", "+225", "00353")
CURRENCIES = {
    "SEK": "Svenska kronor", "NOK": "Norska kronor", "EUR": "Euro", "USD": "US-dollar", "GBP": "Brittiska pund",
    "DKK": "Danska kronor", "JPY": "Yen", "KWD": "Kuwaitiska dinarer",
}  # fmt: skip
MONTHS = (
    "januari", "februari", "mars", "april", "maj", "juni", "juli", "augusti", "september", "oktober", "november",
    "december",
)  # fmt: skip
CLIENTS = (
    "Älvsbyns Bröd & Kondis AB", "Gruvbolaget Malmfälten AB", 'Restaurang "Sjökrogen"', "Kommunförbundet Norrbotten",
    "O'Leary Consulting Ltd", "Göteborgs Rör\t& Plåt", "Bröderna Håkansson HB", "Müller & Söhne GmbH", "株式会社北",
    "Fjällvind 🏔 Energi", "Region Västerbotten", "Snickeri C:\\Trä", "Ångström <R&D>", "Lidingö Tandvård",
)  # fmt: skip
STREETS = (
    "Storgatan", "Kungsgatan", "Älvvägen", "Hamngatan 3, box", "c/o Öberg, Torget", "Malmvägen", "Rue de l'Église",
    "Königstraße", 'Kv. "Björken"', "Industrivägen",
)  # fmt: skip
TOWNS = (
    ("972 31", "Luleå", 1), ("111 22", "Stockholm", 1), ("903 26", "Umeå", 1), ("981 31", "Kiruna", 1),
    ("211 20", "Malmö", 1), ("0150", "Oslo", 2), ("01067", "Dresden", 3), ("00100", "Helsinki", 4), ("", "Göteborg", 1),
    (None, "Kista", 0),
)  # fmt: skip
"""Zip code, town, and the place of the country in `COUNTRIES`, counted from 1."""
REFERENCES = (None, None, "", "Åsa Sjöberg", "PO 0001234", "ref. 4711/b", "inköp@kund.example", 'att: "Lasse"')
EMPLOYEE_GROUPS = ("Konsulter", "Administration", "Ledning", "Timanställda", "Underkonsulter", "Praktikanter")
PROJECT_GROUPS = ("Interna projekt", "Kundprojekt", "Drift & förvaltning", "Forskning", "Avslutade")
POSITIONS = ("Konsult", "Seniorkonsult", "Ekonom", "Projektledare", "Tekniker", "VD", "Controller")
FLEXI_CODES = ("Ja", "Nej", "Norr", "Söder", "Öst/Väst", "", 'Särskild "avi"', None)
TAX_RULES = ("Moms 25 %", "Moms 12 %", "Moms 6 %", "Momsfri", "Omvänd skattskyldighet", "EU-varor")
SOURCES = ("Kundfaktura", "Leverantörsfaktura", "Lön", "Bank", "Manuell verifikation", "Import")
ACCOUNTS = {
    "1010": "Utvecklingsutgifter", "1220": "Inventarier", "1510": "Kundfordringar", "1630": "Skattekonto",
    "1930": "Bank", "2081": "Aktiekapital", "2440": "Leverantörsskulder", "2611": "Utgående moms 25 %",
    "2641": "Ingående moms", "2710": "Personalskatt", "2920": "Semesterlöneskuld", "3010": "Försäljning tjänster",
    "3041": "Försäljning EU", "3740": "Öres- och kronutjämning", "4010": "Inköp varor", "4600": "Underkonsulter",
    "5010": "Lokalhyra", "5410": "Förbrukningsinventarier", "5800": "Resekostnader", "6212": "Mobiltelefon",
    "6540": "IT-tjänster", "6570": "Bankavgifter", "7010": "Löner tjänstemän", "7210": "Löner kollektiv",
    "7385": "Fri bil", "7510": "Arbetsgivaravgifter", "7690": "Övrig personal", "8310": "Ränteintäkter",
    "8410": "Räntekostnader", "8910": "Skatt", "1510A": "Kundfordringar, tvistiga", "0999": "Observationskonto",
}  # fmt: skip
ACCOUNTS_IN_ENGLISH = tuple(None if place % 9 == 4 else f"Account {code}" for place, code in enumerate(ACCOUNTS))
ACCOUNT_GROUPS = (
    "Tillgångar", "Eget kapital och skulder", "Intäkter", "Varor", "Lokaler", "Övriga kostnader", "Personal",
    "Finansiellt",
)  # fmt: skip
