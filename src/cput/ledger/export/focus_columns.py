"""The columns of a FOCUS 1.2 cost and usage dataset that cput writes, with their types and nullability.

FinOps Open Cost and Usage Specification 1.2, https://focus.finops.org/focus-specification/v1-2/. All 21 mandatory
columns are here, and the conditional and recommended ones whose condition a ledger meets. Left out, because a ledger
has nothing of the kind: commitment discounts, invoices, regions and zones, price lists (SKU columns and unit prices),
a second currency, types of accounts. Columns of our own follow, with the prefix ``x_``.
"""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """A column's type. Decimals have nine places: nano-dollars, exactly."""

    STRING = "String"
    DECIMAL = "Decimal"
    DATETIME = "Date/Time"
    JSON = "JSON"
    INTEGER = "Integer"
    BOOLEAN = "Boolean"


class Column(NamedTuple):
    """One column."""

    name: str
    """Column ID."""
    kind: Kind
    """Its type."""
    nullable: bool = True
    """Whether a row may leave it empty."""


FOCUS = (
    Column("BilledCost", Kind.DECIMAL, nullable=False),
    Column("BillingAccountId", Kind.STRING, nullable=False),
    Column("BillingAccountName", Kind.STRING),
    Column("BillingCurrency", Kind.STRING, nullable=False),
    Column("BillingPeriodEnd", Kind.DATETIME, nullable=False),
    Column("BillingPeriodStart", Kind.DATETIME, nullable=False),
    Column("CapacityReservationId", Kind.STRING),
    Column("CapacityReservationStatus", Kind.STRING),
    Column("ChargeCategory", Kind.STRING, nullable=False),
    Column("ChargeClass", Kind.STRING),
    Column("ChargeDescription", Kind.STRING),
    Column("ChargeFrequency", Kind.STRING, nullable=False),
    Column("ChargePeriodEnd", Kind.DATETIME, nullable=False),
    Column("ChargePeriodStart", Kind.DATETIME, nullable=False),
    Column("ConsumedQuantity", Kind.DECIMAL),
    Column("ConsumedUnit", Kind.STRING),
    Column("ContractedCost", Kind.DECIMAL, nullable=False),
    Column("EffectiveCost", Kind.DECIMAL, nullable=False),
    Column("InvoiceIssuerName", Kind.STRING, nullable=False),
    Column("ListCost", Kind.DECIMAL, nullable=False),
    Column("PricingCategory", Kind.STRING),
    Column("PricingQuantity", Kind.DECIMAL),
    Column("PricingUnit", Kind.STRING),
    Column("ProviderName", Kind.STRING, nullable=False),
    Column("PublisherName", Kind.STRING, nullable=False),
    Column("ResourceId", Kind.STRING),
    Column("ResourceName", Kind.STRING),
    Column("ResourceType", Kind.STRING),
    Column("ServiceCategory", Kind.STRING, nullable=False),
    Column("ServiceName", Kind.STRING, nullable=False),
    Column("ServiceSubcategory", Kind.STRING, nullable=False),
    Column("SubAccountId", Kind.STRING),
    Column("SubAccountName", Kind.STRING),
    Column("Tags", Kind.JSON),
)
OURS = (
    Column("x_AttemptNumber", Kind.INTEGER),
    Column("x_AvoidedCost", Kind.DECIMAL),
    Column("x_CacheReadTokens", Kind.INTEGER),
    Column("x_CacheWriteTokens", Kind.INTEGER),
    Column("x_CallId", Kind.STRING),
    Column("x_ChargeBasis", Kind.STRING),
    Column("x_CountedBy", Kind.STRING),
    Column("x_CputUsefulTokens", Kind.INTEGER),
    Column("x_EngineName", Kind.STRING),
    Column("x_EngineSeconds", Kind.DECIMAL),
    Column("x_EpisodeId", Kind.STRING),
    Column("x_ExternalKey", Kind.STRING),
    Column("x_FinishReason", Kind.STRING),
    Column("x_InputTokens", Kind.INTEGER),
    Column("x_ItemId", Kind.STRING),
    Column("x_ModelName", Kind.STRING),
    Column("x_OutputTokens", Kind.INTEGER),
    Column("x_PolicyName", Kind.STRING),
    Column("x_PriceVersion", Kind.STRING),
    Column("x_ReasoningTokens", Kind.INTEGER),
    Column("x_Role", Kind.STRING),
    Column("x_RunId", Kind.STRING),
    Column("x_ServiceTier", Kind.STRING),
    Column("x_UsageComplete", Kind.BOOLEAN),
    Column("x_Verdict", Kind.STRING),
    Column("x_WhyIncomplete", Kind.STRING),
    Column("x_WorkloadName", Kind.STRING),
)
COLUMNS = FOCUS + OURS
NAMES = tuple(column.name for column in COLUMNS)
PLACES = 9
"""Decimal places of a Decimal column."""
