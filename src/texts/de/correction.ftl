# Korrekturen der Wissenssammlung, und die Seite ihrer Anfragen.

correction-hint = Schreiben Sie uns, was falsch ist und wie es richtig ist. Sie brauchen kein Konto. Ein Mensch liest es, prüft es an der Quelle und antwortet auf einer Seite, deren Adresse nur Sie haben.
correction-entry = Worum es geht
correction-entry-all = Die ganze Seite
correction-version = Version (freiwillig)
correction-text = Was falsch ist und wie es richtig ist
correction-source = Quelle (freiwillig)
correction-source-hint = Ein Dokument, ein Änderungsprotokoll, oder wie Sie es auf Ihrem eigenen Server herausgefunden haben. Bitte schreiben Sie keine Passwörter.
correction-send = Korrektur senden
correction-title = Korrektur zu { $product }
correction-review = Ihre Korrektur zu { $product }
correction-review-text = Ein Mensch liest sie und prüft sie an der Quelle. Sie müssen nichts tun. Die Antwort erscheint auf dieser Seite.
correction-granted = Ihre Korrektur zu { $product } wurde angenommen
correction-granted-text = Vielen Dank. Die Wissenssammlung ändert sich mit ihrer nächsten Version.
correction-refused = Ihre Korrektur zu { $product } wurde nicht angenommen
correction-refused-text = Der Grund steht unten im Gespräch. Mit einer weiteren Quelle können Sie eine neue senden.
correction-withdrawn = Sie haben Ihre Korrektur zu { $product } zurückgezogen
correction-withdrawn-text = Es wurde nichts geändert. Sie können jederzeit eine neue senden.
correction-step-granted = Angenommen
correction-step-refused = Nicht angenommen
correction-contact-text = Freiwillig. Wir schreiben, wenn sich die Korrektur ändert oder beantwortet ist. Die Mailadresse wird zusammen mit dieser Anfrage gelöscht.
correction-about = Seite
correction-confirm-text = Nachrichten über Ihre Korrektur der Seite über { $product } werden an diese Adresse gesendet. Wenn Sie nicht darum gebeten haben, schließen Sie diese Seite: Dann geschieht nichts.

mail-correction-confirm-text =
    Diese Adresse wurde für Nachrichten über die Korrektur { $number } der Seite über { $subject } bei { $site } angegeben.

    Um sie zu erhalten, öffnen Sie diese Seite und drücken Sie die Schaltfläche. Der Link gilt 24 Stunden:

    { $link }

    Wenn Sie die Adresse nicht angegeben haben, tun Sie nichts: Sie bekommen dann keine weitere Mail darüber.

mail-correction-granted = Korrektur angenommen
mail-correction-granted-what = Ihre Korrektur der Seite über { $subject } wurde angenommen. Vielen Dank.
mail-correction-refused = Korrektur nicht angenommen
mail-correction-refused-what = Ihre Korrektur der Seite über { $subject } wurde nicht angenommen. Den Grund nennt die Seite unten.
mail-correction-reply = Sie haben eine Antwort
mail-correction-reply-what = Ein Betreiber hat auf Ihre Korrektur der Seite über { $subject } geantwortet:
mail-correction-changed = Ihre Korrektur hat sich geändert
mail-correction-changed-what = Ihre Korrektur der Seite über { $subject } hat sich geändert.
