"""The modules that every org has, with their fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bulkfetch.sandbox.org.specs import FieldSpec, ModuleSpec

SOURCES = ("Cold Call", "Web Form", "Trade Show", "Partner", "Advertisement", "Employee Referral")
USERS = "users"  # where owners are; no module of its own to the outside

# Name, colon and type, text where there is none; `>` leads a lookup to its module.
_FIELDS: Mapping[str, str] = {
    "Leads": "First_Name Last_Name Email:email Phone:phone Company Designation "
    "Lead_Source:picklist Lead_Status:picklist Industry:picklist Annual_Revenue:currency "
    "No_of_Employees:integer Rating:picklist Email_Opt_Out:boolean Street:textarea City Country "
    "Description:textarea Score:formula Record_Image:profileimage Resume:fileupload",
    "Contacts": "First_Name Last_Name Email:email Phone:phone Account_Name:lookup>Accounts "
    "Title Date_of_Birth:date Mailing_City Description:textarea Interests:multiselectpicklist",
    "Accounts": "Account_Name Phone:phone Website:website Industry:picklist Employees:integer "
    "Annual_Revenue:currency Billing_City Parent_Account:lookup>Accounts Open_Deals:rollup_summary",
    "Deals": "Deal_Name Account_Name:lookup>Accounts Contact_Name:lookup>Contacts Amount:currency "
    "Stage:picklist Closing_Date:date Probability:percent Expected_Revenue:formula",
    "Events": "Event_Title Venue All_day:boolean Start_DateTime:datetime End_DateTime:datetime "
    "What_Id:multi_module_lookup>Accounts Description:textarea Participants:multiselectlookup "
    "Recurring_Activity:RRULE",
    "Tasks": "Subject Due_Date:date Status:picklist Priority:picklist "
    "What_Id:multi_module_lookup>Accounts Closed_Time:datetime",
    "Calls": "Subject Call_Type:picklist Call_Start_Time:datetime Call_Duration_in_seconds:integer "
    "Who_Id:lookup>Contacts CTI_Entry:boolean",
    "Campaigns": "Campaign_Name Type:picklist Status:picklist Start_Date:date Num_sent:bigint",
    "Products": "Product_Name Product_Code Unit_Price:currency Qty_in_Stock:double "
    "Product_Active:boolean",
    "Cases": "Subject Status:picklist Account_Name:lookup>Accounts Comments:subform "
    "Case_Number:autonumber",
    USERS: "first_name last_name full_name email:email role",
}
_VALUES = {
    "Lead_Source": SOURCES,
    "Lead_Status": ("Contacted", "Not Contacted", "Lost Lead", "Junk Lead", "Pre-Qualified"),
    "Industry": ("Retail", "Energy", "Banking", "Logistics", "Education", "Food, Drink", "Health"),
    "Rating": ("Acquired", "Active", "Market Failed", "Shutdown"),
    "Stage": ("Qualification", "Needs Analysis", "Closed Won", "Closed Lost"),
    "Interests": ("Boats", "Cars; used", "Trains"),
}
# Listed as available, refused in practice.
_REFUSED = (
    "CTI_Entry", "Email_Analytics", "Email_Template_Analytics", "Functions__s",
    "Email_Sentiment", "Locking_Information__s",
)  # fmt: skip
_NOT_FOR_BULK = ("Notes", "Attachments", "Emails")

_OWNERS = tuple(
    FieldSpec(name, "ownerlookup", module=USERS, filled=1.0)
    for name in ("Owner", "Created_By", "Modified_By")
)
TIMES = (
    FieldSpec("Created_Time", "datetime", filled=1.0),
    FieldSpec("Modified_Time", "datetime", filled=1.0),
)
# Exported though the metadata does not tell it, as a few real columns are.
_UNLISTED = FieldSpec("Change_Log_Time__s", "datetime", filled=0.5, listed=False)
# Told of by no metadata, exported only by name.
_CONVERTED = FieldSpec("$converted", "boolean", filled=1.0, listed=False, selected=False)
_TAG = FieldSpec("Tag", "text", filled=0.2)

NAMES = tuple(name for name in _FIELDS if name != USERS) + _NOT_FOR_BULK + _REFUSED


def module(name: str) -> ModuleSpec | None:
    """Return a standard module; None where no standard module is called so."""
    if name in _NOT_FOR_BULK:
        return ModuleSpec(records=0, fields=(FieldSpec("Title"),), exportable=False)
    if name in _REFUSED:
        return ModuleSpec(records=0, exportable=False, fields_known=False)
    if name not in _FIELDS:
        return None
    fields = tuple(_field(word) for word in _FIELDS[name].split())
    if name == USERS:
        return ModuleSpec(records=5, fields=fields, timed=False, api_supported=False)
    more = (_CONVERTED,) if name == "Leads" else ()
    views = {"5725767000000087501": None} if name == "Leads" else {}
    return ModuleSpec(fields=(*fields, *_OWNERS, _TAG, _UNLISTED, *more), views=views)


def merged(name: str, told: ModuleSpec | None) -> ModuleSpec:
    """Return what a module is: the standard one where there is one, with what was told of it."""
    base = module(name)
    if told is None or base is None or told.only_fields:
        return told or base or ModuleSpec()
    own = {each.api_name: each for each in (*base.fields, *told.fields)}
    return replace(told, fields=tuple(own.values()), views={**base.views, **told.views})


def _field(word: str) -> FieldSpec:
    name, _, kind = word.partition(":")
    kind, _, target = kind.partition(">")
    made = FieldSpec(name, kind or "text", values=_VALUES.get(name, ()))  # type: ignore[arg-type]  # as in _FIELDS
    return replace(made, module=target or None, exportable=name != "CTI_Entry")
