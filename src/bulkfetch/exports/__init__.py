"""Whole exports: what is asked of Zoho for a module, page after page, and what becomes of it."""
