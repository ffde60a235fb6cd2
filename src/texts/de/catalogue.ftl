# Die Seite der Relay-Tests, und warum andere Tests etwas anderes melden.

tests-title = Relay-Tests
tests-lead = Um herauszufinden, ob ein Mailserver Mail für Fremde weiterleitet, schicken wir ihm Nachrichten, die an uns selbst gerichtet sind. Kommt eine an, ist der Server ein offenes Relay. Eine Antwort 250 allein führt zu keinem Eintrag.
tests-english = Was über jeden Test bekannt ist, gibt es bisher nur auf Englisch.
tests-off = Dieser Server testet keine Rechner im Internet.
tests-rules = Regeln der Tests
tests-rule-provocation = Kein Rechner wird ohne Anlass getestet: eine Nachricht von ihm oder die Bitte seines Eigentümers. Netze werden niemals abgesucht.
tests-rule-pace = Eine Sitzung nach der anderen, mit Pausen. Kein Rechner wird öfter als einmal in 24 Stunden getestet, außer auf Wunsch seines Eigentümers.
tests-rule-harm = Es werden keine Passwörter probiert und keine Adressen geraten. Produkte, denen ein Test schon geschadet hat, bekommen ihn nicht.
tests-rule-own = Jede Nachricht sagt, wer warum testet und wie man sich ausnehmen lässt. Alle gehen an unseren eigenen Server.
tests-rule-opt-out = Sie können sich jederzeit { $opt-out }.
opt-out-link = von den Tests ausnehmen lassen
tests-catalogue = Die Testnachrichten
tests-catalogue-hint = { $count ->
    [one] Eine Form
   *[other] { $count } Formen
 } von Umschlägen, die offene Relays der letzten Jahrzehnte zugestellt haben. Ein geschlossener Server lehnt sie alle ab.
tests-since = Bekannt seit
tests-not-run = Wird von diesem Server nicht gesendet
tests-placeholders = In Klammern: u, unser Empfänger; d, unsere Domain; s, unser Absender; e, eine zweite Domain von uns; R, der Name des getesteten Servers; L, eine Domain, deren Mail er empfängt; I, seine Adresse.
tests-contact = Kontakt zu Tests
tests-tries = Was er versucht
tests-delivered-by = Server, von denen Versionen ihn zugestellt haben
tests-delivered-by-more = { $count ->
    [one] Ein weiterer
   *[other] { $count } weitere
 }
tests-delivered-by-none = Von keinem Produkt ist bekannt, dass es ihn zugestellt hat.
tests-testers = Andere Tests, die ihn senden
tests-tester-number = { $tester } (Nr. { $number })
tests-swaks = Mit swaks selbst senden
tests-swaks-none = swaks kann diese Form nicht senden.
tests-swaks-hint = Bevor Sie einen swaks-Befehl ausführen: mail.example.com (192.0.2.25) steht für Ihren Server, der die Mail von example.com empfängt; you@example.net für ein Postfach von Ihnen bei einem anderen Anbieter, dessen Server 198.51.100.9 ist; example.org für eine zweite Domain von Ihnen. Ersetzen Sie alle. Als zugestellt gilt nur eine Nachricht, die ankommt.
tests-others-closed = Warum meldet ein anderer Test, mein Server sei geschlossen?
tests-others-closed-text = Ein Test kann Ihren Server als geschlossen melden, obwohl er eine Nachricht für uns zugestellt hat. Ein Server nimmt jede Form für sich an oder lehnt sie ab, und keine zwei Tests senden dieselben Formen. Viele beurteilen nur die Antwort, kommen von der falschen Adresse oder hören vor der Form auf, die Ihr Server zustellt.
tests-others-open = … und warum meldet ein anderer Test, er sei offen?
tests-others-open-text = Ein Test, der eine Antwort 250 als Zustellung zählt, meldet Server als offen, die jeden Empfänger annehmen und die Nachricht dann verwerfen oder zurückschicken. Hier wird ein Server nicht eingetragen, der keine unserer Nachrichten zugestellt hat.
tests-others-works = Wie er arbeitet
tests-others-answer = Warum sein Ergebnis abweichen kann
