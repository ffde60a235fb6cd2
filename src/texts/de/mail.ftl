# E-Mail zu Anträgen. Jede hat einen Betreff und einen Text; Links stehen in eigenen Zeilen.

mail-code-subject = Code zum Nachweis, dass { $subject } Ihnen gehört
mail-code-text =
    Jemand beantragt bei der Sperrliste { $site } die Entfernung von { $subject } und gibt an, dafür verantwortlich zu sein.

    Wenn das stimmt, öffnen Sie diese Seite und klicken Sie auf die Schaltfläche. Der Link gilt 24 Stunden und nur einmal:

    { $link }

    Wenn Sie nichts davon wissen, tun Sie nichts: Ohne diesen Code geschieht nichts.

mail-confirm-subject = Bestätigen Sie Ihre Adresse für den Antrag { $number }
mail-confirm-text =
    Diese Adresse wurde angegeben, um Neuigkeiten zum Antrag auf Entfernung von { $subject } bei { $site } zu erhalten.

    Um sie zu erhalten, öffnen Sie diese Seite und klicken Sie auf die Schaltfläche. Der Link gilt 24 Stunden:

    { $link }

    Wenn Sie die Adresse nicht angegeben haben, tun Sie nichts: Sie erhalten dann keine weitere E-Mail dazu.

mail-answer-subject = Ihr Antrag auf Entfernung von { $subject }
mail-answer-text =
    Aufgrund Ihrer Nachricht besteht nun der Antrag { $number } auf Entfernung von { $subject }.

    Diese Seite zeigt den Stand und was Sie als Nächstes tun können. Geben Sie den Link nicht weiter, denn er ist der einzige Schlüssel zum Antrag:

    { $link }

mail-change-subject = { $subject }: { $change }
mail-change-text =
    { $what }

    Die Seite des Antrags { $number } zeigt die Einzelheiten und was Sie als Nächstes tun können:

    { $link }

mail-footer =
    --{" "}
    Antrag { $number } bei { $site }
    Um keine E-Mail mehr dazu zu erhalten, öffnen Sie diese Seite und klicken Sie auf die Schaltfläche:
    { $unsubscribe }

mail-granted = entfernt
mail-granted-what = Der Eintrag von { $subject } wurde entfernt. Mailserver, die sich den Eintrag gemerkt haben, vergessen ihn in wenigen Minuten.
mail-failed = der Test fand ein offenes Relay
mail-failed-what = Beim Test von { $subject } wurde eine Nachricht zugestellt; der Eintrag bleibt daher bestehen. Schließen Sie das Relay und testen Sie dann erneut.
mail-blocked = der Test wurde abgewiesen
mail-blocked-what = { $subject } hat unseren Tester abgewiesen. Das zeigt nicht, ob der Server E-Mail für Dritte zustellt. Der Eintrag bleibt vorerst bestehen.
mail-waiting = Wartezeit
mail-waiting-what = Der Test von { $subject } ergab kein eindeutiges Ergebnis. Kommt keine Testnachricht an, wird der Eintrag am Ende der Wartezeit entfernt.
mail-delayed = Entfernung zu einem späteren Zeitpunkt
mail-delayed-what = Der Eintrag von { $subject } wird später entfernt, weil auf eine frühere Entfernung ein neuer Eintrag folgte.
mail-review = ein Mensch entscheidet
mail-review-what = Über { $subject } entscheidet ein Mensch: Sie erhalten innerhalb von zwei Tagen eine Antwort und innerhalb von sieben Tagen eine Entscheidung.
mail-suspended = bis zur Entscheidung nicht veröffentlicht
mail-suspended-what = Über { $subject } wurde nicht rechtzeitig entschieden. Der Eintrag wird nicht veröffentlicht, bis ein Mensch entscheidet.
mail-refused = Antrag abgelehnt
mail-refused-what = Der Antrag auf Entfernung von { $subject } wurde abgelehnt.
mail-ended = nicht mehr gelistet
mail-ended-what = { $subject } ist aus den Gründen Ihres Antrags nicht mehr gelistet.
mail-reply = Sie haben eine Antwort
mail-reply-what = Der Betreiber hat auf Ihren Antrag zu { $subject } geantwortet:
mail-listed-again = wieder gelistet
mail-listed-again-what = { $subject } ist wieder gelistet.
