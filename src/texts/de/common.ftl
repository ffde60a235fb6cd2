# Texte, die alle Seiten haben.

layout-skip = Zum Inhalt springen
layout-language = Sprache
layout-notice = Hinweis
layout-all-notices = Alle Hinweise
layout-about = Über diese Liste
layout-not-reviewed = Diese Übersetzung wurde noch nicht von einer Person mit deutscher Muttersprache geprüft.
layout-operator = Betrieben von { $operator }.

footer-home = Nachschlagen

time-just-now = gerade eben
time-in-a-moment = in einem Augenblick
time-ago = { $unit ->
    [minute] { $count ->
        [one] vor { $count } Minute
       *[other] vor { $count } Minuten
    }
    [hour] { $count ->
        [one] vor { $count } Stunde
       *[other] vor { $count } Stunden
    }
    [day] { $count ->
        [one] vor { $count } Tag
       *[other] vor { $count } Tagen
    }
    [month] { $count ->
        [one] vor { $count } Monat
       *[other] vor { $count } Monaten
    }
   *[year] { $count ->
        [one] vor { $count } Jahr
       *[other] vor { $count } Jahren
    }
}
time-in = { $unit ->
    [minute] { $count ->
        [one] in { $count } Minute
       *[other] in { $count } Minuten
    }
    [hour] { $count ->
        [one] in { $count } Stunde
       *[other] in { $count } Stunden
    }
    [day] { $count ->
        [one] in { $count } Tag
       *[other] in { $count } Tagen
    }
    [month] { $count ->
        [one] in { $count } Monat
       *[other] in { $count } Monaten
    }
   *[year] { $count ->
        [one] in { $count } Jahr
       *[other] in { $count } Jahren
    }
}
time-for = { $unit ->
    [second] { $count ->
        [one] { $count } Sekunde
       *[other] { $count } Sekunden
    }
    [minute] { $count ->
        [one] { $count } Minute
       *[other] { $count } Minuten
    }
    [hour] { $count ->
        [one] { $count } Stunde
       *[other] { $count } Stunden
    }
    [day] { $count ->
        [one] { $count } Tag
       *[other] { $count } Tage
    }
    [month] { $count ->
        [one] { $count } Monat
       *[other] { $count } Monate
    }
   *[year] { $count ->
        [one] { $count } Jahr
       *[other] { $count } Jahre
    }
}

error-not-found = Diese Seite gibt es nicht
error-not-found-advice = Der Link ist vielleicht abgeschnitten oder veraltet. Schlagen Sie die Adresse auf der Startseite noch einmal nach.
error-method = Diese Seite lässt sich so nicht aufrufen
error-method-advice = Gehen Sie zurück und benutzen Sie die Schaltfläche oder das Formular der Seite.
error-too-many = Zu viele Anfragen
error-too-many-advice = Damit die Liste für alle erreichbar bleibt, sind Anfragen aus einem Netz begrenzt. Es geht nichts verloren.
error-again = Bitte warten Sie { $duration } und versuchen Sie es dann erneut.
error-too-long = Dieser Text ist zu lang
error-too-long-advice = Fügen Sie nur den Teil der Fehlermeldung ein, der den Grund der Ablehnung nennt.
error-forbidden = Diese Anfrage wurde abgelehnt
error-forbidden-advice = Sie scheint von einer anderen Website zu kommen. Öffnen Sie die Seite hier und benutzen Sie die Schaltfläche.
error-conflict = Inzwischen hat sich etwas geändert
error-conflict-advice = Gehen Sie zurück und laden Sie die Seite neu, um den aktuellen Stand zu sehen.
error-invalid = Die Eingabe war nicht lesbar
error-invalid-advice = Bitte prüfen Sie Ihre Eingabe.
error-unavailable = Der Dienst antwortet gerade nicht
error-unavailable-advice = Es wurde nichts geändert. Bitte versuchen Sie es gleich noch einmal.
error-home = Zur Startseite
