"""What the nemesis does to a site: an act for each kind of fault in its catalogue."""
