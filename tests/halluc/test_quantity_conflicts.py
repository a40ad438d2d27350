"""A claim that states another number, amount, date or time than its evidence is found, however either is written."""

import pytest

from halluc.quantities import normalize_quantities, quantity_conflicts

# (evidence, what is the same in another writing, what is something else)
RESTATEMENTS = (
    ("The satellite weighs 3,420 kilograms.", "It weighs 3420 kg.", "It weighs 4320 kg."),
    ("The satellite weighs 3,420 kilograms.", "It weighs 3.42 tonnes.", "It weighs 34.2 tonnes."),
    ("The satellite weighs 3,420 kilograms.", "It weighs about 3.4 metric tons.", "It weighs about 4.3 metric tons."),
    ("It was signed on 5 March 2021.", "It was signed on 2021-03-05.", "It was signed on 2021-05-03."),
    ("It was signed on 2021-03-05.", "It was signed on March 5, 2021.", "It was signed on May 3, 2021."),
    ("It was signed on March 5th, 2021.", "It was signed on 5 March.", "It was signed on 6 March."),
    ("It was signed on 5 Mar 2021.", "It was signed in 2021.", "It was signed in 2012."),
    ("It was signed on 25/12/2021.", "It was signed on the 25th of December 2021.", "It was signed on 24 December 2021."),
    ("Insurance took 18 percent.", "Insurance took 18%.", "Insurance took 80%."),
    ("Insurance took 18%.", "Insurance took 18 per cent.", "Insurance took 0.18 per cent."),
    ("Insurance took eighteen percent.", "Insurance took 18 %.", "Insurance took 19 %."),
    ("Twelve people came.", "12 people came.", "20 people came."),
    ("There were 21 ships.", "There were twenty-one ships.", "There were twenty-two ships."),
    ("There were 250 seats.", "There were two hundred and fifty seats.", "There were two hundred and fifteen seats."),
    ("The city has 1.2 million inhabitants.", "It has 1,200,000 inhabitants.", "It has 12 million inhabitants."),
    ("The city has 1,204,318 inhabitants.", "It has 1.2 million inhabitants.", "It has 1.4 million inhabitants."),
    ("The city has 98,750 inhabitants.", "It has nearly 100,000 inhabitants.", "It has nearly 10,000 inhabitants."),
    ("The ticket costs 5 euros.", "The ticket costs €5.", "The ticket costs €50."),
    ("The ticket costs EUR 5.00.", "The ticket costs five euros.", "The ticket costs nine euros."),
    ("The fine is 1,250 euros.", "The fine is €1250.", "The fine is 1,250,000 euros."),
    ("The fine is 1,250,000 euros.", "The fine is €1.25m.", "The fine is 1,250 euros."),
    ("Sales were $5.3 million.", "Sales were 5.3 million dollars.", "Sales were $5.3 billion."),
    ("Sales were $5.3bn.", "Sales were US$5.3 billion.", "Sales were US$53 billion."),
    ("Profit was 610,000 dollars.", "Profit was $610k.", "Profit was $61k."),
    ("Profit was 610,000 dollars.", "Profit was 0.61 million USD.", "Profit was 0.61 billion USD."),
    ("The rent is £1,150.50 a month.", "The rent is 1150.50 pounds.", "The rent is 1510.50 pounds."),
    ("It was −12 degrees Celsius.", "It was -12 °C.", "It was 12 °C."),
    ("It was minus 12 °C.", "It was −12°C.", "It was −21°C."),
    ("It was 12 °C.", "It was 12 degrees Celsius.", "It was minus 12 degrees Celsius."),
    ("Water boils at 100 °C.", "Water boils at 212 °F.", "Water boils at 112 °F."),
    ("The run is 1.5 km long.", "The run is 1500 m long.", "The run is 150 m long."),
    ("The run is 1,500 metres long.", "The run is 1.5 kilometers long.", "The run is 15 kilometers long."),
    ("The tunnel is 12 kilometres long.", "The 12-km tunnel opened.", "The 21-km tunnel opened."),
    ("The tower is 330 metres high.", "The tower is 330 m high.", "The tower is 303 m high."),
    ("The race is 5 miles long.", "The race is 8 km long.", "The race is 5 km long."),
    ("The plot has 2 hectares.", "The plot has 20,000 square meters.", "The plot has 2,000 square meters."),
    ("The lake covers 50 km².", "The lake covers 50 square kilometres.", "The lake covers 50 square miles."),
    ("Take 20 mg a day.", "Take 20 milligrams a day.", "Take 20 grams a day."),
    ("Take 0.5 g a day.", "Take 500 mg a day.", "Take 50 mg a day."),
    ("Take a 500-mg tablet.", "Take a tablet of 500 milligrams.", "Take a tablet of 250 milligrams."),
    ("The tank holds 1.5 litres.", "The tank holds 1500 ml.", "The tank holds 150 ml."),
    ("The limit is 60 km/h.", "The limit is 60 kilometres per hour.", "The limit is 60 mph."),
    ("The plant yields 1.2 GW.", "The plant yields 1200 megawatts.", "The plant yields 120 megawatts."),
    ("It uses 2,500 kWh.", "It uses 2.5 MWh.", "It uses 25 MWh."),
    ("It lasted 90 minutes.", "It lasted 1.5 hours.", "It lasted 2.5 hours."),
    ("It lasted 72 hours.", "It lasted three days.", "It lasted six days."),
    ("It lasted 3 years.", "It lasted 36 months.", "It lasted 30 months."),
    ("Its design life is 15 years.", "It has a 15-year design life.", "It has a 12-year design life."),
    ("It opens at 5:30 PM.", "It opens at 17:30.", "It opens at 5:30 AM."),
    ("It opens at 17:30.", "It opens at 5:30 p.m.", "It opens at 7:30 p.m."),
    ("It is open 9:0-14:0.", "It is open from 9 am to 2 pm.", "It is open from 9 am to 4 pm."),
    ("It is open from 11 AM to 5 PM.", "It is open 11:00-17:00.", "It is open 11:00-15:00."),
    ("The price is $5-10.", "The price is 5 to 10 dollars.", "The price is 5 to 100 dollars."),
    ("Between 5 and 10 percent fail.", "5-10% fail.", "5-20% fail."),
    ("Turnover was 3\u202f420\u202f000 euros.", "Turnover was 3.42 million euros.", "Turnover was 34.2 million euros."),
    ("The price is 1.250,50 euros.", "The price is €1,250.50.", "The price is €125.50."),
    ("The drive is 2 TB.", "The drive is 2000 GB.", "The drive is 200 GB."),
    ("The chip runs at 3.2 GHz.", "The chip runs at 3,200 MHz.", "The chip runs at 2,300 MHz."),
    ("The rate rose by 50 basis points.", "It rose by 0.5 percentage points.", "It rose by 5 percentage points."),
    ("The war began in 1914.", "In 1914 the war began.", "In 1941 the war began."),
    ("It has 24 Ku-band transponders.", "It carries twenty-four transponders.", "It carries twenty-six transponders."),
    ("The trial had 1,204 patients.", "The trial had 1204 patients.", "The trial had 1402 patients."),
    ("The shares cost CHF 40.", "The shares cost 40 Swiss francs.", "The shares cost 40 euros."),
    ("The grant is 2 billion yen.", "The grant is ¥2 billion.", "The grant is ¥2 million."),
)  # fmt: skip


@pytest.mark.parametrize(("evidence", "same", "other"), RESTATEMENTS)
def test_a_restatement_has_no_conflict_and_another_value_has_one(evidence, same, other):
    assert quantity_conflicts(evidence, same) == []
    conflicts = quantity_conflicts(evidence, other)
    assert conflicts
    for conflict in conflicts:
        assert any(character.isalnum() for character in other[conflict.start : conflict.end])
    # The writing on either side does not matter.
    assert quantity_conflicts(normalize_quantities(evidence), normalize_quantities(same)) == []
    assert quantity_conflicts(normalize_quantities(evidence), normalize_quantities(other))


def test_a_conflict_names_the_characters_of_the_claim_and_what_the_evidence_has_instead():
    claim = "The fine is 1,250,000 euros and it is due in 2024."
    fine, year = quantity_conflicts("The fine of €1,250 is due on 3 May 2023; the fee is 20 euros.", claim)
    assert claim[fine.start : fine.end] == "1,250,000 euros"
    assert fine.evidence == ("1250 euros", "20 euros")
    assert (claim[year.start : year.end], year.dimension) == ("2024", "year")
    assert fine.reliable
    assert year.reliable


@pytest.mark.parametrize(
    "claim",
    [
        "It is open seven days a week and 24 hours a day.",
        "It is rated 3 out of 5 stars.",
        "Here is a summary in 80 words:",
        "12. Preheat the oven.",
        "It has two doors [14], one lock [2, 3].",
        "No number at all.",
    ],
)
def test_what_is_no_quantity_of_the_subject_has_no_conflict(claim):
    assert quantity_conflicts("It has a rating of 3 stars.", claim) == []


def test_counts_and_spans_of_time_are_not_reliable_conflicts():
    evidence = "Ann, Ben and Cy built 40 boats between 1990 and 1997."
    assert [conflict.reliable for conflict in quantity_conflicts(evidence, "They built 45 boats in seven years.")] == [
        False,
        False,
    ]
