# The look-up page.

copy = Copy
copied = Copied

lookup-listed = { $subject } has been listed in { $zones } since { $since }, because { $cause }.
lookup-listed-plainly = { $subject } is listed in { $zones }.
lookup-listed-by-source = { $subject } has been listed in { $zones } since { $since }, because it is on the list “{ $source }”, which we carry.
lookup-was-listed = { $subject } is not listed any more. It was listed until { $ended }.
lookup-not-listed = { $subject } is not listed here.
lookup-never-listed = { $subject } is not listed here, and never was.
lookup-other-list = { $subject } is not listed here. Your message names another list: { $lists }.
lookup-zones = { $count } lists
lookup-cover = The listing covers { $listed }, which includes { $subject }.
lookup-widened = This list has the whole network { $network } in the place of { $subject }.
lookup-neighbour = { $listed } is listed, and this list has the whole network { $network } in its place, which includes { $subject }.
lookup-neighbour-link = How the listing of { $listed } ends
lookup-everywhere = All our public name servers have had the removal since { $time }.
lookup-cache = Receiving servers may remember an answer for { $duration }.
lookup-stale = Your message names our list, but this address is not listed now. The server that refused your mail still has an old answer, and will soon ask us again.
lookup-again = Look up something else
lookup-field-error = Please enter an address such as 192.0.2.1, a domain such as example.com, or paste the whole bounce message.

cause-relay = it delivered a stranger’s test message
cause-input = it accepted a stranger’s test message, which another server then delivered
cause-output = it delivers the mail that open relays accept from strangers
cause-proxy = it forwards connections for strangers
cause-form = a web form on it lets strangers send mail to anybody
cause-unconfirmed = somebody reported that it delivers mail for strangers
cause-spamsource = it sent mail to an address that never asked for mail
cause-dynamic = it is in a range of dynamic addresses, which usually has no mail servers
cause-netblock = its whole network is listed
cause-manual = an operator of this list has listed it
cause-notest = its owner does not want it to be tested
cause-spam = it is advertised in unwanted mail
cause-other = of the reason “{ $reason }”

removal-first-repair = Fix the cause first, then press the button.
removal-how = How to fix it
removal-button-after-retest = It is closed. Test again.
removal-button-on-request = Remove it from the list
removal-button-owner-of-range = Ask for the removal
removal-button-reviewed = Ask for a review
removal-button-with-last-input = Ask for a review
removal-button-by-owner = End the listing
removal-button-none = Ask a question
removal-after-retest = We send the same messages again at once. If your server refuses all of them, it is removed, typically after three minutes. Free, without an account or a form.
removal-on-request = It is removed at once. Free, without an account or a form. If the cause remains, it is listed again, and the next removal takes longer.
removal-owner-of-range = You show that it is yours: by a command on the server, a DNS record, or a code by mail. The next page says how. Then it is removed.
removal-reviewed = A person decides about this listing: you get an answer within two days and a decision within seven. Free, without an account.
removal-with-last-input = It is removed as soon as the last of the servers whose mail it delivers is removed. If that is wrong, ask a person to look at it.
removal-by-owner = The owner has asked for this listing, and can end it: show that the server is yours, and the listing ends.
removal-none = This listing cannot be ended early. It ends automatically at the time that is shown in the details below.
removal-later = Next removal possible: { $time }
removal-open = There is an open request about this address already. You may make one of your own; nothing is tested or removed twice.
removal-reasons = This is about: { $reasons }

source-heading = Listed by { $source }
source-text = We carry the list “{ $source }” of another publisher. A removal here ends the listing in our lists only. As long as { $source } keeps its entry, other servers will go on refusing your mail, so ask there too.
source-lookup = Look it up at { $source }
source-removal = Removal from { $source }

proof-heading = What happened
proof-text = On { $time } we received a test message that { $subject } had accepted from us and delivered, although neither sender nor recipient belongs to it. Anybody could send mail through it in the same way.
proof-text-output = On { $time } we received a test message that { $input } had accepted from us. { $output } delivered it, although neither sender nor recipient belongs to either server.
proof-test = Kind of message
proof-codes = Replies of the server
proof-link = See the full record
proof-more = { $count ->
    [one] { $count } more kind of message
   *[other] { $count } more kinds of messages
}
proof-more-text = Some servers refuse an ordinary message, but deliver one whose address is written in an unusual way. These were delivered too:
inputs-heading = Servers whose mail it delivers
inputs-text = These servers accept mail from strangers and pass it on to this one:
lookup-test-repetition = The holder of this address has it tested every { $count } days, until { $until } at the latest. These tests list nobody.

repair-heading = How to fix it
repair-relay = The mistake is in the settings of the mail server: it accepts mail from anybody to anybody.
repair-input = The mistake is in the settings of this mail server: it accepts mail from anybody, and passes it on to another server of yours.
repair-relay-1 = Let only your own network and users who have logged in send mail to other domains. In Postfix this is smtpd_relay_restrictions, in Exim the ACL for RCPT, in Exchange the receive connector.
repair-relay-2 = Check that mail for other domains is refused from outside with a permanent error (5xx), also in the unusual forms above.
repair-restart = Reload or restart the mail server, and then press the button.
repair-output = The mistake is in the settings of the servers that pass their mail on to this one.
repair-output-1 = Fix each of the servers named above.
repair-output-2 = Or stop delivering their mail.
repair-proxy = A program on this machine forwards connections from anybody to anywhere.
repair-proxy-1 = Find the proxy (SOCKS, HTTP CONNECT, a router with remote access, or malware), and close it to the outside.
repair-proxy-2 = Block outgoing connections to port 25 for everything but your mail server.
repair-form = A web form on this machine sends mail to any recipient that the visitor chooses.
repair-form-1 = Let the form send to fixed recipients alone, or remove it.
repair-form-2 = Remove line breaks from everything that the form puts into a header.
repair-spam = Unsolicited mail came from this address.
repair-spam-1 = Look for a hacked account, a hacked website or malware that sends mail, and stop it.
repair-spam-2 = Change the passwords of the accounts that were misused.
repair-spam-3 = If it is a mailing list: write only to people who have confirmed that they want it.
repair-dynamic = The address itself is probably fine, but its name looks like that of a home connection.
repair-dynamic-1 = Send your mail through the outgoing server of your provider.
repair-dynamic-2 = Or, if this is a mail server with a fixed address: ask your provider to set a reverse DNS name of your own, such as mail.example.com, that resolves to this address.

other-list-heading = Where to go now
other-list-unknown = We know nothing about this list but its name. Ask the administrator of the server that refused your mail.
other-list-dead = This list has been closed. Only the server that refused your mail can help: its administrator should stop using the list.
other-list-lookup = Look it up at { $list }
other-list-removal = Removal from { $list }

meanings-heading = What else the refusal can mean
meanings-other-list = It was another list. Paste the whole bounce message below: we tell you which one, and where its removal page is.
meanings-other-address = It was another address. Mail servers are listed, not computers or phones: look up the address that the bounce message names.
meanings-own-rules = The receiving server has rules of its own. Only its administrator can change them; write to postmaster at its domain from another mail account.
meanings-cache = It was listed until a moment ago. Receiving servers may remember an answer for { $duration }; then send the message again.

bounce-heading = What your message says
bounce-host = Refused by
bounce-zones = Lists that it names
bounce-others = If you mean another address of the message:

visitor-heading = Who are you?
visitor-owner = I run this server
visitor-owner-text = Fix the cause as described above, then press the button. The next page shows each step as it happens, and when each of our name servers has the removal. If you are stuck, write to us there: a person answers within two days.
visitor-sender = I only send mail
visitor-sender-text = You have done nothing wrong, and you cannot fix it yourself. Send this to the person who runs your mail server:
visitor-sender-forward = Our mail is refused because our mail server { $subject } is listed in { $zones }. This page says why, how to fix it, and how to get it removed (free, a few minutes): { $url }
visitor-previous = I got this address from somebody else
visitor-previous-text = The listing is about what the address did before. If your server refuses mail from strangers, press the button: it is tested as it is now, and what its former user did does not count.
visitor-previous-other = The listing is about what the address did before. Use the button at the top of this page, and tell us on the next page that the address is yours now.
visitor-receiver = I receive mail, and this list blocks some that I want
visitor-receiver-text = Your server decides what it refuses. You can let one sender through and keep the list. If the listing is wrong, tell us: we look at every report.
visitor-receiver-allow = How to let one sender through ({ $zone })
visitor-receiver-report = Report a wrong listing: { $contact }

details-heading = Details for administrators
details-codes = Answer in DNS
details-texts = Text in DNS
details-reason = Reason “{ $reason }”
details-rule = Rule
details-since = since { $time }
details-until = ends by itself { $time }
details-covered = by the listing of { $listed }
details-network-listed = as the whole network { $network }
details-source = from { $source }
details-host-name = Reverse name
details-confirmed = The name resolves to this address.
details-unconfirmed = The name does not resolve to this address.
details-no-host-name = none
details-network = Network
details-caches = Caches
details-dig = What mail servers see
details-timeline = What happened so far

event-listed = Listed: { $reason }
event-renewed = Listing renewed: { $reason }
event-removed = Removed: { $reason }
event-expired = Ended by itself: { $reason }
event-held = Removal granted, cannot be listed again for a while: { $reason }
event-exempted = Exempted from all lists
event-hold-ended = May be listed again
