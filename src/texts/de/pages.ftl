# Die Seiten über die Listen: Navigation und Titel. Alles andere ist bisher englisch.

footer-lists = Diese Liste verwenden
footer-policy = Regeln
footer-tests = Relay-Tests
footer-open-relay = Was ist ein offenes Relay?
footer-opt-out = Von Tests ausnehmen
footer-notices = Meldungen
footer-status = Betriebsstatus
footer-privacy = Datenschutz
pages-only-english = Diese Seite gibt es bisher nur auf Englisch.
lists-title = Diese Liste verwenden
list-title = { $zone } verwenden
policy-title = Regeln
opt-out-title = Von Relay-Tests ausnehmen lassen
open-relay-title = Was ist ein offenes Relay?
notices-title = Meldungen
status-title = Betriebsstatus
privacy-title = Datenschutz
