# Die Seite einer Adresse.

copy = Kopieren
copied = Kopiert

lookup-listed = { $subject } ist seit { $since } in { $zones } gelistet, weil { $cause }.
lookup-listed-plainly = { $subject } ist in { $zones } gelistet.
lookup-listed-by-source = { $subject } ist seit { $since } in { $zones } gelistet, weil der Eintrag in der Liste „{ $source }“ steht, die wir übernehmen.
lookup-was-listed = { $subject } ist nicht mehr gelistet. Der Eintrag bestand bis { $ended }.
lookup-not-listed = { $subject } ist hier nicht gelistet.
lookup-never-listed = { $subject } ist hier nicht gelistet und war es nie.
lookup-other-list = { $subject } ist hier nicht gelistet. Ihre Fehlermeldung nennt eine andere Liste: { $lists }.
lookup-zones = { $count } Listen
lookup-cover = Der Eintrag umfasst { $listed }, und { $subject } gehört dazu.
lookup-widened = Diese Liste führt anstelle von { $subject } das ganze Netz { $network }.
lookup-neighbour = { $listed } ist gelistet. Diese Liste führt an dessen Stelle das ganze Netz { $network }, zu dem { $subject } gehört.
lookup-neighbour-link = Wie der Eintrag von { $listed } endet
lookup-everywhere = Alle unsere öffentlichen Nameserver haben die Entfernung seit { $time } übernommen.
lookup-cache = Empfangende Server können sich eine Antwort { $duration } lang merken.
lookup-stale = Ihre Fehlermeldung nennt unsere Liste, aber diese Adresse ist zurzeit nicht gelistet. Der Server, der Ihre E-Mail abgelehnt hat, kennt noch eine alte Antwort und fragt bald erneut nach.
lookup-again = Etwas anderes nachschlagen
lookup-field-error = Bitte geben Sie eine Adresse wie 192.0.2.1 oder eine Domain wie example.com ein, oder fügen Sie die ganze Fehlermeldung ein.

cause-relay = der Server eine Testnachricht eines Dritten zugestellt hat
cause-input = der Server eine Testnachricht eines Dritten angenommen hat, die dann ein anderer Server zugestellt hat
cause-output = der Server E-Mail zustellt, die offene Relays von Dritten annehmen
cause-proxy = der Server Verbindungen für Dritte weiterleitet
cause-form = Dritte über ein Webformular darauf E-Mail an beliebige Empfänger senden können
cause-unconfirmed = jemand gemeldet hat, dass der Server E-Mail für Dritte zustellt
cause-spamsource = von dort E-Mail an eine Adresse kam, die nie um E-Mail gebeten hat
cause-dynamic = die Adresse in einem dynamisch vergebenen Bereich liegt, in dem es üblicherweise keine Mailserver gibt
cause-netblock = das gesamte Netz gelistet ist
cause-manual = der Betreiber dieser Liste den Eintrag vorgenommen hat
cause-notest = der Inhaber keine Tests wünscht
cause-spam = in unerwünschter E-Mail dafür geworben wird
cause-other = der Grund „{ $reason }“ vorliegt

removal-first-repair = Beheben Sie zuerst die Ursache, dann klicken Sie auf die Schaltfläche.
removal-how = Anleitung
removal-button-after-retest = Das Relay ist geschlossen. Erneut testen.
removal-button-on-request = Von der Liste entfernen
removal-button-owner-of-range = Entfernung beantragen
removal-button-reviewed = Prüfung beantragen
removal-button-with-last-input = Prüfung beantragen
removal-button-by-owner = Eintrag beenden
removal-button-none = Eine Frage stellen
removal-after-retest = Wir senden sofort dieselben Nachrichten noch einmal. Lehnt Ihr Server alle ab, wird er entfernt, meist nach drei Minuten. Kostenlos, ohne Konto und ohne Formular.
removal-on-request = Der Eintrag wird sofort entfernt. Kostenlos, ohne Konto und ohne Formular. Bleibt die Ursache bestehen, entsteht er erneut, und die nächste Entfernung dauert länger.
removal-owner-of-range = Sie weisen nach, dass die Adresse Ihnen gehört: durch einen Befehl auf dem Server, einen DNS-Eintrag oder einen Code per E-Mail. Die nächste Seite erklärt, wie. Danach wird der Eintrag entfernt.
removal-reviewed = Über diesen Eintrag entscheidet ein Mensch: Sie erhalten innerhalb von zwei Tagen eine Antwort und innerhalb von sieben Tagen eine Entscheidung. Kostenlos und ohne Konto.
removal-with-last-input = Der Eintrag wird entfernt, sobald der letzte der Server entfernt ist, deren E-Mail hier zugestellt wird. Wenn das falsch ist, bitten Sie um eine Prüfung.
removal-by-owner = Der Inhaber hat um diesen Eintrag gebeten und kann ihn beenden: Weisen Sie nach, dass der Server Ihnen gehört, und der Eintrag endet.
removal-none = Niemand kann diesen Eintrag vorzeitig beenden. Er endet von selbst zu dem Zeitpunkt, der unten in den Einzelheiten steht.
removal-later = Nächste Entfernung möglich: { $time }
removal-open = Zu dieser Adresse gibt es bereits einen offenen Antrag. Sie können einen eigenen stellen; nichts wird doppelt getestet oder entfernt.
removal-reasons = Es geht um: { $reasons }

source-heading = Gelistet von { $source }
source-text = Wir übernehmen die Liste „{ $source }“ eines anderen Herausgebers. Eine Entfernung hier gilt nur für unsere Listen. Solange der Eintrag bei { $source } besteht, lehnen andere Server Ihre E-Mail weiterhin ab: Wenden Sie sich auch dorthin.
source-lookup = Bei { $source } nachschlagen
source-removal = Entfernung aus { $source }

proof-heading = Was geschehen ist
proof-text = Am { $time } haben wir eine Testnachricht erhalten, die { $subject } von uns angenommen und zugestellt hat, obwohl weder Absender noch Empfänger dazugehören. Auf demselben Weg könnte jeder E-Mail darüber senden.
proof-text-output = Am { $time } haben wir eine Testnachricht erhalten, die { $input } von uns angenommen hat. { $output } hat sie zugestellt, obwohl weder Absender noch Empfänger zu einem der beiden Server gehören.
proof-test = Art der Nachricht
proof-codes = Antworten des Servers
proof-link = Vollständige Aufzeichnung ansehen
proof-more = { $count ->
    [one] { $count } weitere Art von Nachricht
   *[other] { $count } weitere Arten von Nachrichten
}
proof-more-text = Manche Server lehnen eine gewöhnliche Nachricht ab, stellen aber eine zu, deren Adresse ungewöhnlich geschrieben ist. Auch diese wurden zugestellt:
inputs-heading = Server, deren E-Mail hier zugestellt wird
inputs-text = Diese Server nehmen E-Mail von Dritten an und geben sie an diesen weiter:
lookup-test-repetition = Der Inhaber dieser Adresse lässt sie alle { $count } Tage testen, längstens bis { $until }. Durch diese Tests wird niemand gelistet.

repair-heading = So beheben Sie die Ursache
repair-relay = Der Fehler liegt in den Einstellungen des Mailservers: Er nimmt E-Mail von jedem an jeden an.
repair-input = Der Fehler liegt in den Einstellungen dieses Mailservers: Er nimmt E-Mail von jedem an und gibt sie an einen anderen Ihrer Server weiter.
repair-relay-1 = Erlauben Sie nur Ihrem eigenen Netz und angemeldeten Benutzern, E-Mail an andere Domains zu senden. In Postfix ist das smtpd_relay_restrictions, in Exim die ACL für RCPT, in Exchange der Empfangsconnector.
repair-relay-2 = Prüfen Sie, ob E-Mail an andere Domains von außen dauerhaft abgelehnt wird (5xx), auch in den oben genannten ungewöhnlichen Schreibweisen.
repair-restart = Laden Sie die Einstellungen neu oder starten Sie den Mailserver neu, und klicken Sie dann auf die Schaltfläche.
repair-output = Der Fehler liegt in den Einstellungen der Server, die ihre E-Mail an diesen weitergeben.
repair-output-1 = Beheben Sie den Fehler auf jedem der oben genannten Server.
repair-output-2 = Oder stellen Sie deren E-Mail nicht mehr zu.
repair-proxy = Ein Programm auf diesem Rechner leitet Verbindungen von jedem überallhin weiter.
repair-proxy-1 = Suchen Sie den Proxy (SOCKS, HTTP CONNECT, ein Router mit Fernzugriff oder Schadsoftware) und machen Sie ihn von außen unerreichbar.
repair-proxy-2 = Sperren Sie ausgehende Verbindungen zu Port 25 für alles außer Ihrem Mailserver.
repair-form = Ein Webformular auf diesem Rechner sendet E-Mail an jeden Empfänger, den ein Besucher angibt.
repair-form-1 = Lassen Sie das Formular nur an feste Empfänger senden, oder entfernen Sie es.
repair-form-2 = Entfernen Sie Zeilenumbrüche aus allem, was das Formular in eine Kopfzeile setzt.
repair-spam = Von dieser Adresse kam E-Mail, um die niemand gebeten hat.
repair-spam-1 = Suchen Sie nach einem gehackten Konto, einer gehackten Website oder Schadsoftware, die E-Mail sendet, und schalten Sie sie ab.
repair-spam-2 = Ändern Sie die Passwörter der missbrauchten Konten.
repair-spam-3 = Falls es ein Newsletter ist: Schreiben Sie nur Personen, die ihre Anmeldung bestätigt haben.
repair-dynamic = Mit der Adresse selbst ist vermutlich alles in Ordnung, aber ihr Name sieht aus wie der eines Privatanschlusses.
repair-dynamic-1 = Senden Sie Ihre E-Mail über den Postausgangsserver Ihres Providers.
repair-dynamic-2 = Oder, falls dies ein Mailserver mit fester Adresse ist: Bitten Sie Ihren Provider, einen eigenen Reverse-DNS-Namen einzutragen, etwa mail.example.com, der auf diese Adresse auflöst.

other-list-heading = Wohin Sie sich jetzt wenden können
other-list-unknown = Von dieser Liste kennen wir nur den Namen. Fragen Sie den Administrator des Servers, der Ihre E-Mail abgelehnt hat.
other-list-dead = Diese Liste gibt es nicht mehr. Helfen kann nur der Server, der Ihre E-Mail abgelehnt hat: Sein Administrator sollte die Liste nicht mehr abfragen.
other-list-lookup = Bei { $list } nachschlagen
other-list-removal = Entfernung aus { $list }

meanings-heading = Was die Ablehnung sonst bedeuten kann
meanings-other-list = Es war eine andere Liste. Fügen Sie unten die ganze Fehlermeldung ein: Wir sagen Ihnen, welche es war und wo Sie die Entfernung beantragen.
meanings-other-address = Es war eine andere Adresse. Gelistet werden Mailserver, nicht Computer oder Smartphones: Schlagen Sie die Adresse nach, die die Fehlermeldung nennt.
meanings-own-rules = Der empfangende Server hat eigene Regeln. Nur sein Administrator kann sie ändern; schreiben Sie von einem anderen E-Mail-Konto an postmaster unter seiner Domain.
meanings-cache = Der Eintrag bestand bis eben. Empfangende Server können sich eine Antwort { $duration } lang merken. Senden Sie die Nachricht danach noch einmal.

bounce-heading = Was in Ihrer Fehlermeldung steht
bounce-host = Abgelehnt von
bounce-zones = Genannte Listen
bounce-others = Falls Sie eine andere Adresse der Fehlermeldung meinen:

visitor-heading = Wer sind Sie?
visitor-owner = Ich betreibe diesen Server
visitor-owner-text = Beheben Sie die Ursache wie oben beschrieben, dann klicken Sie auf die Schaltfläche. Die folgende Seite zeigt jeden Schritt, sobald er geschieht, und wann jeder unserer Nameserver die Entfernung übernommen hat. Wenn Sie nicht weiterkommen, schreiben Sie uns dort: Sie erhalten innerhalb von zwei Tagen eine persönliche Antwort.
visitor-sender = Ich möchte nur E-Mail versenden
visitor-sender-text = Sie haben nichts falsch gemacht und können es nicht selbst beheben. Senden Sie diesen Text an die Person, die Ihren Mailserver betreibt:
visitor-sender-forward = Unsere E-Mail wird abgelehnt, weil unser Mailserver { $subject } in { $zones } gelistet ist. Hier steht, warum, wie man die Ursache behebt und wie man den Eintrag entfernen lässt (kostenlos, wenige Minuten): { $url }
visitor-previous = Ich habe diese Adresse von jemand anderem übernommen
visitor-previous-text = Der Eintrag betrifft, was die Adresse früher getan hat. Wenn Ihr Server E-Mail von Dritten ablehnt, klicken Sie auf die Schaltfläche: Er wird in seinem jetzigen Zustand getestet, und was der frühere Nutzer getan hat, zählt nicht.
visitor-previous-other = Der Eintrag betrifft, was die Adresse früher getan hat. Benutzen Sie die Schaltfläche oben auf dieser Seite und schreiben Sie uns auf der nächsten Seite, dass die Adresse jetzt Ihnen gehört.
visitor-receiver = Ich empfange E-Mail, und diese Liste blockiert erwünschte Nachrichten
visitor-receiver-text = Ihr Server entscheidet, was er ablehnt. Sie können einen einzelnen Absender durchlassen und die Liste behalten. Wenn der Eintrag falsch ist, melden Sie ihn uns: Wir sehen uns jede Meldung an.
visitor-receiver-allow = So lassen Sie einen einzelnen Absender durch ({ $zone })
visitor-receiver-report = Falschen Eintrag melden: { $contact }

details-heading = Einzelheiten für Administratoren
details-codes = Antwort im DNS
details-texts = Text im DNS
details-reason = Grund „{ $reason }“
details-rule = Regel
details-since = seit { $time }
details-until = endet von selbst { $time }
details-covered = durch den Eintrag { $listed }
details-network-listed = als ganzes Netz { $network }
details-source = von { $source }
details-host-name = Reverse-DNS-Name
details-confirmed = Der Name löst auf diese Adresse auf.
details-unconfirmed = Der Name löst nicht auf diese Adresse auf.
details-no-host-name = keiner
details-network = Netz
details-caches = DNS-Cache
details-dig = Was Mailserver sehen
details-timeline = Was bisher geschah

event-listed = Gelistet: { $reason }
event-renewed = Eintrag erneuert: { $reason }
event-removed = Entfernt: { $reason }
event-expired = Von selbst beendet: { $reason }
event-held = Entfernung gewährt, vorerst kein neuer Eintrag: { $reason }
event-exempted = Von allen Listen ausgenommen
event-hold-ended = Kann wieder gelistet werden
