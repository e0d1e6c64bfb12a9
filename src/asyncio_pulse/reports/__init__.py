"""Reports: what governed processes did, for people (text) and for programs (JSON)."""
