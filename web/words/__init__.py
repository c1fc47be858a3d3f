"""Translations, a folder for each language and in it a catalogue for each group of pages."""
