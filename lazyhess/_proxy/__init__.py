"""What a user indexes: requests, planned, answered and kept."""
