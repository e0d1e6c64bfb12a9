"""Reports of governed processes, for people (text) and for programs (JSON)."""
