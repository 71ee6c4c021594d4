"""The peers that only the extra `bench` installs: imported where they are there, and only then."""
