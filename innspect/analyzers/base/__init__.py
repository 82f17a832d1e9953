"""What every method is: one flow, its arguments, its facts."""
