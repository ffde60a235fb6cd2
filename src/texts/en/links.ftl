# The page of links.

footer-links = Links
links-title = Links
links-english = The pages and the remarks about them are in English only so far.
links-lead = Pages of others about open relays, and the lists of other operators. Some have ended: they are here because old documents and settings still name them.
links-testers = Testers
links-standards = Standards and recommendations
links-history = History
links-help = Help with your server
links-software = Software
links-closed = closed
links-closed-since = closed since { $date }
links-lists = Lists of other operators
links-lists-text = We cannot remove anything from a list of another operator: look your address up on its own page. Remove a closed list from the settings of your mail server, since it answers nothing, or lists everybody.
links-look-up = Look up
links-remove = Removal
