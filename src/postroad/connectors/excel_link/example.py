"""The project that `postroad init --example excel_link` writes: it reads the simulator until it is told otherwise."""

from __future__ import annotations

from postroad.connectors.excel_link.simulator.addresses import DEFAULT_PORT, TABLES, path

SEED = 1

POSTROAD_YAML = """\
# Tables that exist only as export links, into a data lake in this folder.
project: links
lake: ./lake
database: sqlite:///postroad.db
connections:
  links:
    connector: excel_link
    time_zone: Europe/Stockholm         # of the times in the files, which name none
    tables:
      employee_groups:
        link: secret://EMPLOYEE_GROUPS_LINK
        key: [Owner, Code]
        columns: {Owner: text, Code: int, Description: text}
      employment_types:
        link: secret://EMPLOYMENT_TYPES_LINK
        key: [Owner, Code]
        columns: {Owner: text, Code: int, Description: text}
      cost_categories:
        link: secret://COST_CATEGORIES_LINK
        key: [Owner, Code]
        columns: {Owner: text, Code: text, Description: text, Created: datetime, Modified: datetime}
      project_cost_setups:
        link: secret://PROJECT_COST_SETUPS_LINK
        key: [Object, Object Value, Cost Element, Date From]
        columns: {Object: text, Object Value: text, Cost Element: text, Date From: date, Cur: text, Rate: decimal}
      cost_element_per_time_type:
        link: secret://COST_ELEMENT_PER_TIME_TYPE_LINK
        key: [Time Type, Project Cost Element]
        columns:
          Time Type: text
          Project Cost Element: text
          Cost Factor: decimal
          Created: datetime
          Modified: datetime
      part_time_employees:              # one link per subsidiary; the column `link` names it, # needs quotes
        links:
          holding: secret://PART_TIME_EMPLOYEES_HOLDING_LINK
          north: secret://PART_TIME_EMPLOYEES_NORTH_LINK
          south: secret://PART_TIME_EMPLOYEES_SOUTH_LINK
          coast: secret://PART_TIME_EMPLOYEES_COAST_LINK
          inc: secret://PART_TIME_EMPLOYEES_INC_LINK
        # A link cannot be made for an empty table, so some companies have a row of that day.
        parameters: {d_date_from-ne: 1999-12-31}
        key: ["Employee #", Date From]
        columns:
          Owner: text
          "Employee #": {type: int, as: employee_number}
          "Work Schedule #": {type: text, as: work_schedule_number}
          Employee Name: text
          Work Schedule Name: text
          Date From: date
          Date To: date
      financial_results:                # one walk per month; the column `period` names it
        link: secret://FINANCIAL_RESULTS_LINK
        parameters: {r_period-er: "{xledger_period}"}
        periods: last 3 months
        key: [Owner, "Account #", "Cost Center #"]
        columns:
          Owner: text
          Account Name: text
          "Account #": {type: int, as: account}
          Cost Center Name: text
          "Cost Center #": {type: int, as: cost_center}
          Period: {type: text, as: period_name}
          Amount in USD: decimal
          Amount in SEK: decimal
"""

LINKS_YAML = """\
sync:
  - from: links
    entities:
      - employee_groups
      - employment_types
      - cost_categories
      - project_cost_setups
      - cost_element_per_time_type
      - part_time_employees
      - financial_results
"""

README = """\
# Tables behind links

Start the simulator in one terminal:

    postroad simulate excel_link

and in another one, in this folder:

    postroad run
    postroad status
    postroad query "select link, count(*) from links.part_time_employees group by 1 order by 1"

Run again whenever you like: a file that did not change costs one short request. For real links open each table where it
is shown, make an export link for Excel, and put it into `.env` under the name that stands there. The simulator's links
are no secrets; real ones are: whoever has one reads the table.

To read these tables beside another system's, make one project of both examples: `postroad init` takes several
`--example`. Or copy the connection `links` into that project's `postroad.yaml`, `flows/links.yaml` into its `flows`,
and the lines of `.env` into its `.env`.
"""


def variable(table: str) -> str:
    """The variable that holds the link of a table."""
    return f"{table.replace('.', '_').upper()}_LINK"


def _dot_env() -> str:
    lines = ["# The simulator's links. Put the real ones in their place; the columns and keys stand in postroad.yaml."]
    host = f"http://127.0.0.1:{DEFAULT_PORT}"
    return "\n".join([*lines, *(f"{variable(table)}='{host}{path(SEED, 0, table)}'" for table in TABLES), ""])


EXAMPLE = {
    "postroad.yaml": POSTROAD_YAML,
    "flows/links.yaml": LINKS_YAML,
    ".env": _dot_env(),
    "README.md": README,
}
