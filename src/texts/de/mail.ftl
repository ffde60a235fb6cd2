# Mail zu Anfragen. Jede hat einen Betreff und einen Text; Links stehen in eigenen Zeilen.

mail-code-subject = Code zum Nachweis, dass { $subject } Ihnen gehört
mail-code-text =
    Jemand bittet die Sperrliste { $site }, { $subject } auszutragen, und gibt an, dafür verantwortlich zu sein.

    Wenn das stimmt, öffnen Sie diese Seite und drücken Sie den Knopf. Der Link gilt 24 Stunden und nur einmal:

    { $link }

    Wenn Sie nichts davon wissen, tun Sie nichts: Ohne diesen Code geschieht nichts.

mail-confirm-subject = Bestätigen Sie Ihre Adresse für Anfrage { $number }
mail-confirm-text =
    Diese Adresse wurde für Nachrichten zur Anfrage angegeben, { $subject } bei { $site } auszutragen.

    Um sie zu erhalten, öffnen Sie diese Seite und drücken Sie den Knopf. Der Link gilt 24 Stunden:

    { $link }

    Wenn Sie sie nicht angegeben haben, tun Sie nichts: Sie erhalten dann keine weitere Mail dazu.

mail-answer-subject = Ihre Anfrage, { $subject } auszutragen
mail-answer-text =
    Ihre Nachricht hat die Anfrage { $number } eröffnet, { $subject } auszutragen.

    Diese Seite zeigt den Stand und was Sie als Nächstes tun können. Geben Sie den Link nicht weiter, denn er ist der einzige Schlüssel zur Anfrage:

    { $link }

mail-change-subject = { $subject }: { $change }
mail-change-text =
    { $what }

    Die Seite der Anfrage { $number } zeigt die Einzelheiten und was Sie als Nächstes tun können:

    { $link }

mail-footer =
    --{" "}
    Anfrage { $number } bei { $site }
    Um keine Mail mehr dazu zu erhalten, öffnen Sie diese Seite und drücken Sie den Knopf:
    { $unsubscribe }

mail-granted = ausgetragen
mail-granted-what = { $subject } wurde ausgetragen. Mailserver, die sich den Eintrag gemerkt haben, vergessen ihn in wenigen Minuten.
mail-failed = der Test fand ein offenes Relay
mail-failed-what = Der Test von { $subject } hat eine Nachricht zugestellt; der Eintrag bleibt daher. Schließen Sie das Relay und testen Sie erneut.
mail-blocked = der Test wurde blockiert
mail-blocked-what = { $subject } hat den Tester abgewiesen. Das zeigt nicht, ob es weiterleitet. Der Eintrag bleibt vorerst.
mail-waiting = Wartezeit
mail-waiting-what = Der Test von { $subject } war nicht eindeutig. Wenn keine Testnachricht ankommt, wird es am Ende der Wartezeit ausgetragen.
mail-delayed = Austragung zu einem späteren Zeitpunkt
mail-delayed-what = { $subject } wird später ausgetragen, weil auf eine frühere Austragung ein neuer Eintrag folgte.
mail-review = ein Mensch entscheidet
mail-review-what = Ein Mensch entscheidet über { $subject }: Sie erhalten in zwei Tagen eine Antwort und in sieben eine Entscheidung.
mail-suspended = bis zur Entscheidung nicht veröffentlicht
mail-suspended-what = Über { $subject } hat niemand rechtzeitig entschieden. Der Eintrag wird nicht veröffentlicht, bis ein Mensch entscheidet.
mail-refused = Anfrage abgelehnt
mail-refused-what = Die Anfrage, { $subject } auszutragen, wurde abgelehnt.
mail-ended = nicht mehr gelistet
mail-ended-what = { $subject } ist aus den Gründen Ihrer Anfrage nicht mehr gelistet.
mail-reply = Sie haben eine Antwort
mail-reply-what = Ein Betreiber hat auf Ihre Anfrage zu { $subject } geantwortet:
mail-listed-again = wieder gelistet
mail-listed-again-what = { $subject } ist wieder gelistet.
