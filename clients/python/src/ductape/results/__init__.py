"""What the API answers, as frozen dataclasses: times are aware `datetime` in UTC, durations whole ms."""
