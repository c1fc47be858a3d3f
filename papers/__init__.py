"""
What a holder has in hand: tickets as PDF, their codes as QR, entries for calendars.

Drawing is pure: plain values go in, bytes come out, and nothing is read but fonts and a template.
The room imports no other, so that whoever has something to draw may use it.
"""
