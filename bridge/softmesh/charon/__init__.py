"""What strongSwan has and does, over VICI."""
