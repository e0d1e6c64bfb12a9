"""Programs with a fixed amount of work, which `harmless` runs with plain Python and governed."""
