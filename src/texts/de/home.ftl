# Die Startseite.

home-title = Ist mein Mailserver gelistet?
home-heading = Wurde Ihre E‑Mail abgelehnt?
home-tagline = Diese Liste nennt Mailserver, die E-Mail für Dritte zustellen, und andere Quellen unerwünschter E-Mail. Hier erfahren Sie, warum ein Server gelistet ist, und können ihn entfernen lassen.
home-field = Adresse, Domain oder die ganze Fehlermeldung
home-field-hint = Zum Beispiel 192.0.2.1. Sie können eine Fehlermeldung einfügen, wie sie ist, in jeder Sprache.
home-submit = Nachschlagen
home-free = Kostenlos. Ohne Konto.
home-this-device = Die Adresse dieses Geräts nachschlagen
home-this-device-hint = Das ist fast nie die Adresse Ihres Mailservers.
