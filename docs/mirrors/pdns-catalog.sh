# In place of the zones' blocks.
pdnsutil create-secondary-zone catalog.orbs.example 192.0.2.1:53
pdnsutil set-kind catalog.orbs.example consumer
