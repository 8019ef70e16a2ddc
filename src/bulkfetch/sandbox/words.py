"""The words that made-up records are made of."""

# ruff: noqa: SIM905  (word lists are easier to read as running text)

FIRST = (
    "Patricia José Zoë Łukasz Søren Nguyễn Aïcha Björn Chloé Dmitri Émile Fátima Günther Håkon "
    "Ingrid João Katarzyna Liam Māra Noël Olena Priya Renée Şirin Tomáš Ursula Věra Wei Ximena "
    "Yūki Ana Ben Carol David Eva"
).split()
LAST = (
    "Boyle Müller Nováková O'Brien García Østergård Şahin Kowalski Dvořák Ångström Brontë Curie "
    "Delacroix Eriksson Ferreira Gödel Håkansson Ibáñez Jørgensen Kılıç Lefèvre Muñoz Nakamura "
    "Orbán Petrović Quiñones Rossi Schäfer Tanaka Ulvæus Varga Weiß 李 山田 Žižek"
).split()
COMPANY = (
    "Acme|Äther Systems|Blue Harbor|Červený & syn|Delta Freight|Évolution|Fjord Data|Grüne Energie|"
    "Hollow Oak|Île de Verre|Jade Trading|Kraków Steel|Lumière|Mañana Foods|Nordlys|Ocean Parts"
).split("|")
FORM = ("Ltd", "GmbH", "Inc.", "S.A.", "s.r.o.", "AB", "LLC", '"Holding" AG', "Co., Ltd.")
TITLE = ("Manager", "Buyer", "CEO", "CTO", "Engineer", "Head of Sales", "Analyst", "Owner", "")
SOURCE = (
    "Cold Call",
    "Web Form",
    "Trade Show",
    "Partner",
    "Advertisement",
    "Employee Referral",
    "",
)
STATE = ("Contacted", "Not Contacted", "Lost Lead", "Junk Lead", "Pre-Qualified", "")
INDUSTRY = ("Retail", "Energy", "Banking", "Logistics", "Education", "Food, Drink", "Health", "")
CITY = ("Zürich", "São Paulo", "Kraków", "München", "Chennai", "Malmö", "İzmir", "東京", "Austin")
LAND = ("Switzerland", "Brazil", "Poland", "Germany", "India", "Sweden", "Türkiye", "Japan", "USA")
STREET = ("Main Street", "Rue de l'Église", "Königsallee", "Calle Mayor", "Storgatan", "Nad Řekou")
PHRASE = (
    "asked for an offer",
    'said "call me next week"',
    "wants three licences",
    "n'a pas répondu",
    "hat 20 % Rabatt",
    "prefers e-mail",
    "met at the fair",
    "budget; approved",
    "下週再聯絡",
)
