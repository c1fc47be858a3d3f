"""
Currencies that prices can be in: the active codes of ISO 4217, with their minor units.

Source: ISO 4217 list one ("current currency & funds codes") as kept by SIX, the maintenance
agency, in the edition of January 2026. Left out is what nobody pays a ticket in: funds codes,
bond market units, metals, the code for tests and the one for no currency. A code that is withdrawn
moves out of this list; events that have it stay as they are.
"""

from __future__ import annotations

from decimal import Decimal

_BY_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD "
        "CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL "
        "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN "
        "PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP "
        "SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}
#: Digits after the point, by code: how many minor units make one is ten to that power.
DIGITS = {code: digits for digits, codes in _BY_DIGITS.items() for code in codes.split()}


def amount_of(minor: int, currency: str) -> Decimal:
    """Return an amount of minor units in units of its currency, with as many digits as it has."""
    return Decimal(minor).scaleb(-DIGITS.get(currency, 2))
