# Tests, um die Inhaber von Adressen bitten, und die Erhebung.

footer-test = Server testen

selftest-title = Den eigenen Mailserver testen
selftest-lead = Sehen Sie, was Ihr Mailserver tut, wenn ein Fremder ihn bittet, E-Mail zuzustellen. Wir senden { $count } Formen von Testnachrichten; Sie lesen jedes Ergebnis mit der Sitzung und was zu ändern ist. Dafür wird niemand eingetragen.
selftest-off = Dieser Server testet zurzeit keine Hosts.
selftest-field = Adresse des Mailservers
selftest-hint = Eine IP-Adresse, zum Beispiel 192.0.2.1. Die nächste Seite sagt, wie Sie zeigen, dass es Ihre ist.
selftest-own = Sie sind unter { $address }.
selftest-own-known = Weil diese Adresse eingetragen oder gemeldet ist, beginnt ihr Test sofort.
selftest-repeat = Wiederholen
selftest-repeat-never = nur einmal
selftest-repeat-days = alle { $count } Tage
selftest-repeat-hint = Ändert sich ein Ergebnis, erfahren Sie es, wenn Sie auf der nächsten Seite eine Mailadresse angeben. Jeder, der zeigt, dass die Adresse seine ist, kann die Wiederholung beenden.
selftest-submit = Testen
selftest-rules = Was geschieht
selftest-rule-proof = Sie zeigen durch einen DNS-Eintrag oder eine Mail an postmaster, dass die Adresse Ihre ist. Eine Anfrage von der Adresse selbst genügt nur, wenn sie eingetragen oder gemeldet ist, denn sonst würden Mieter und VPN-Nutzer testen, was nicht ihres ist.
selftest-rule-limits = Ein Test je Stunde und drei am Tag für eine Adresse, und zehn Adressen am Tag für die Nachweise einer Zone.
selftest-rule-result = Wir sagen zu jeder Form, ob eine Nachricht zugestellt wurde oder nicht. Ein Test zeigt nicht, dass ein Server keine Fehler hat.
selftest-rule-lists = Der Test trägt niemanden ein oder aus. Widersprüche gelten, und Formen, die alte Server angehalten haben, werden nicht gesendet.
selftest-rule-own = Einen Server im eigenen Netz testen Sie dort mit orbsd relay probe.

ticket-test-title = Test von { $subject }
test-state-needs-proof = Zeigen Sie, dass { $subject } Ihre Adresse ist
test-state-needs-proof-text = Wählen Sie einen der Wege unten. Der Test beginnt, sobald wir den Nachweis sehen.
test-state-delayed = { $subject } wird getestet werden
test-state-delayed-text = Eine Grenze ist zurzeit erreicht: ein Test je Stunde, drei am Tag und zehn Adressen am Tag für eine Zone.
test-state-testing = { $subject } wird getestet
test-state-testing-text = Jedes Ergebnis erscheint unten, sobald es da ist.
test-state-blocked = { $subject } weist unseren Tester ab
test-state-blocked-text = Der Server hat uns abgewiesen, bevor ein Empfänger genannt war. Das zeigt nichts über andere Absender. Lassen Sie unseren Tester zu und testen Sie dann noch einmal.
test-state-failed = { $subject } hat E-Mail für einen Fremden zugestellt
test-state-failed-text = Mindestens eine Testnachricht wurde zugestellt. Sie ist unten markiert, mit dem, was zu ändern ist. Für diesen Test wurde niemand eingetragen.
test-state-tested = { $subject } hat keine der Testnachrichten zugestellt
test-state-tested-text = Bisher wurde keine Nachricht dieses Tests zugestellt. Eine angenommene Nachricht kann noch 14 Tage lang eintreffen; diese Seite zeigt es dann.
test-state-withdrawn = Dieser Test ist beendet
test-state-withdrawn-text = Sie können jederzeit um einen neuen bitten.
step-test-failed = Eine Nachricht wurde zugestellt
step-test-withdrawn = Beendet
step-tested = Keine Nachricht wurde zugestellt
test-again = Noch einmal testen
test-again-at = Nächster Test möglich: { $time }
test-transcript = Die ganze Sitzung lesen
test-repetition = Wiederholung
test-repetition-on = Der Test wird bis { $until } alle { $count } Tage wiederholt, mit Zustimmung des Inhabers der Adresse.
test-repetition-end = Wiederholung beenden
test-repetition-start = Alle { $count } Tage wiederholen
test-repetition-text = Ändert sich ein Ergebnis, erfahren Sie es per Mail, wenn Sie unten eine Adresse bestätigen. Jeder, der zeigt, dass die Adresse seine ist, kann die Wiederholung beenden.

mail-test-failed = ein Test hat eine Nachricht zugestellt
mail-test-failed-what = { $subject } hat in dem Test, um den Sie gebeten haben, eine Testnachricht zugestellt. Dafür wurde niemand eingetragen. Die Seite zeigt, welche Form es war und was zu ändern ist.
mail-test-blocked = der Test wurde abgewiesen
mail-test-blocked-what = { $subject } hat in dem Test, um den Sie gebeten haben, den Tester abgewiesen. Das zeigt nichts über andere Absender.
mail-test-tested = ein Test hat keine Nachricht zugestellt
mail-test-tested-what = { $subject } hat in dem Test, um den Sie gebeten haben, keine der Nachrichten zugestellt.
mail-test-delayed = der Test muss warten
mail-test-delayed-what = Der Test von { $subject } beginnt später, weil eine Tagesgrenze erreicht ist.

footer-survey = Erhebung
survey-title = Erhebung
survey-lead = Was unsere Tests in jedem Monat fanden, nach Art der Nachricht und nach Familie der Mailserver. Getestet wird nur nach Belegen oder auf Wunsch der Inhaber; es ist also kein Bild aller Mailserver. Adressen sind nicht enthalten.
survey-none = Noch ist kein Test zu Ende.
survey-total = { $tested } Tests, von denen { $delivered } eine Nachricht zustellten
survey-classes = Nach Art der Nachricht
survey-families = Nach Mailserver
survey-name = Art
survey-family = Familie
survey-tested = Anzahl
survey-delivered = Zugestellt
survey-other = andere
survey-unknown = nicht erkannt

trace-heading = Diese Nachricht wurde von { $subject } übergeben
trace-unknown = Die Kopfzeilen zeigen nicht, welcher Host die Nachricht übergab
trace-text = Von den Zeilen „Received“ sind nur die sicher, die Ihre eigenen Server geschrieben haben. Dies ist der Host, der ihnen die Nachricht gab. Alles unter dieser Zeile kann der Absender gefälscht haben.
trace-chain = Der Weg der Nachricht, die letzte Station zuerst
trace-own = Von Ihren eigenen Servern geschrieben
trace-handed = Hier übergeben
trace-unproved = Nicht bewiesen: der Absender kann es geschrieben haben
trace-private = Von der Nachricht wird nichts gespeichert.
trace-own-field = Ihre eigenen Server
trace-own-hint = Adressen oder Bereiche von Servern, die Ihnen E-Mail weiterleiten, durch Leerzeichen getrennt: ihre Zeilen zählen als Ihre.
trace-again = Noch einmal verfolgen
test-contact-text = Wir schreiben, wenn sich ein Ergebnis ändert, und aus keinem anderen Grund.
test-confirm-text = Nachrichten über den Test von { $subject } werden an diese Adresse gesendet.

mail-test-code-text =
    Jemand bittet { $site } zu testen, ob { $subject } E-Mail für Fremde zustellt, und sagt, dafür verantwortlich zu sein. Der Test trägt niemanden ein.

    Wenn das stimmt, öffnen Sie diese Seite und drücken Sie den Knopf. Der Link gilt 24 Stunden und nur einmal:

    { $link }

    Wenn Sie davon nichts wissen, tun Sie nichts: Ohne diesen Code geschieht nichts.

mail-test-confirm-text =
    Diese Adresse wurde für Nachrichten über den Test von { $subject } bei { $site } angegeben.

    Um sie zu erhalten, öffnen Sie diese Seite und drücken Sie den Knopf. Der Link gilt 24 Stunden:

    { $link }

    Wenn Sie sie nicht angegeben haben, tun Sie nichts: Sie bekommen keine weitere Mail darüber.
