"""Joins the native core, the policies and the event loops."""
