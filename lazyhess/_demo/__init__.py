"""What ``python -m lazyhess`` runs: two real problems, from data to numbers that can be checked."""
