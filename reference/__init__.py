"""What is written from the code and never by hand: ``make reference`` writes it, a unit test holds it fresh."""
