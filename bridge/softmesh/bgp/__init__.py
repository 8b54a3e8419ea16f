"""What the network says: attribute 23, ExaBGP's JSON, the Adj-RIB-In, the hook, our announcements."""
