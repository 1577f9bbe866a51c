"""The work of the shop."""

from celery import shared_task
from flask import current_app


@shared_task
def receipt(number: int) -> str:
    """Send the receipt of an order."""
    print(f"receipt of order {number} sent")
    return f"receipt {number}"


@shared_task
def sales_report(country: str, days: int = 1) -> dict[str, object]:
    """Add up the sales of a country."""
    print(f"adding up {days} days of {country}")
    return {"country": country, "days": days, "currency": current_app.config["CURRENCY"]}
