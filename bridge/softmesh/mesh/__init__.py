"""What ought to exist: softwires, tunnel selection, admission, trust."""
