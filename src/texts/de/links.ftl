# Die Seite der Links.

footer-links = Verweise
links-title = Verweise
links-english = Die Seiten und die Bemerkungen dazu gibt es bisher nur auf Englisch.
links-lead = Seiten anderer über offene Relays, und die Listen anderer Betreiber. Manche gibt es nicht mehr: Sie stehen hier, weil alte Dokumente und Einstellungen sie noch nennen.
links-testers = Testdienste und Testprogramme
links-standards = Standards und Empfehlungen
links-history = Geschichte
links-help = Hilfe zu Ihrem Server
links-software = Programme
links-closed = eingestellt
links-closed-since = eingestellt seit { $date }
links-lists = Listen anderer Betreiber
links-lists-text = Aus der Liste eines anderen Betreibers können wir nichts entfernen: Prüfen Sie Ihre Adresse auf dessen eigener Seite. Entfernen Sie eine eingestellte Liste aus den Einstellungen Ihres Mailservers, denn sie antwortet nicht mehr oder führt jeden auf.
links-look-up = Prüfen
links-remove = Austragen
