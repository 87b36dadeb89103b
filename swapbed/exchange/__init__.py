"""Templates and records on their way from one installation to another, whole and checked by hashes."""
