"""The small sample's generator: a little town, told in four languages, with its sums, programs and records."""
