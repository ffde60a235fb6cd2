# The pages about the lists. A key that another language lacks has this text there.

footer-lists = Use this list
footer-policy = Policy
footer-tests = Relay tests
footer-open-relay = What is an open relay?
footer-opt-out = Opt out of tests
footer-notices = Notices
footer-status = Status
footer-privacy = Privacy

pages-only-english = So far, this page is in English only.

lists-title = Use this list
lists-lead = Free for everybody. No account. Choose a list to see its codes and the settings for your mail server.
lists-none = No list is served yet.
lists-choose-refuse = To refuse mail
lists-choose-score = As one sign among several
lists-choose-ignore = For information only

list-title = Use { $zone }
list-for = What it is for
list-for-default-refuse = Refusing mail of the hosts that it lists, while the client is still connected.
list-for-default-score = Scoring mail of the hosts that it lists, together with other signs.
list-for-default-ignore = Information. It is not made for decisions about mail.
list-not-for = What it is not for
list-not-for-default = Your own users who log in, headers of relayed messages, web sites, and firewalls. A listing says nothing about the people who use a host.
list-codes = Codes
list-codes-hint = An answer is an address in 127.0.0.0/8, and each stands for a reason. Match these codes and not every answer, because a code may be added later.
list-code = Code
list-reason = Reason
list-meaning = Meaning
list-ends = Ends after
list-days = { $count ->
    [one] one day
   *[other] { $count } days
}
list-ends-never = when a person removes it
list-bitmask = The last octet of each code is a bit mask: test the bit, not the number.
list-digest = The names in this list are digests of mail addresses or files, one label each. Programs compute the digest and look it up.
list-ending = This list ends on { $day }: from then on it lists nothing. Please remove it from your settings before that day.
list-ignore = There are no settings for mail servers here, because no mail should be refused or scored because of this list.
list-try = Try it first
list-try-hint = Two names show whether a list works. Ask for both, and again from time to time:
list-try-listed = is always listed, with every code.
list-try-unlisted = is never listed. If it ever is, stop using the list: it is broken, or its name has a new owner.
list-resolver = Ask through your own resolver
list-resolver-hint = A public resolver hides who asks, so its users share one limit, and some operators answer it with errors. Run a resolver on your mail server or beside it. Everybody may query this list directly; please do not forward to a public resolver.
list-resolver-restricted = This list answers only known clients. Ask its operator for access.
list-cache = Receivers may remember an answer for { $listed }, and the absence of one for { $unlisted }.
list-recipes = Settings
list-recipes-hint = Each block was run with the real program before this version was released. Replace 198.51.100.25, example.com and postmaster with what you want to let through.
list-postmaster = Please keep your postmaster address reachable (RFC 6471 section 2.2.2): a host that is listed by mistake needs a way to tell you.
list-opensmtpd-dnsbl = The filter filter-dnsbl of OpenSMTPD is not described here, because it was not tested with this list.
list-contact = Questions about this list
list-other = All lists

recipe-use = Use the list
recipe-allow = Let one sender through
recipe-exempt = Exempt one recipient
recipe-other = Without enhdnsbl
recipe-down = If the list is down

recipe-postfix-use = Create both files, even if they are empty. smtpd_relay_restrictions, which Postfix has by default, keep strangers from relaying.
recipe-postfix-allow = The file has an address or a prefix on each line. Reload Postfix after a change.
recipe-postfix-exempt = Postfix reads the file at a reload.
recipe-postfix-down = Postfix logs a warning and accepts the mail.
recipe-postscreen-use = postscreen looks the client up before a mail server process takes care of it. Set postscreen_dnsbl_reply_map if you want to hide the name of a list.
recipe-postscreen-allow = The same file as for Postfix.
recipe-postscreen-exempt = postscreen decides before it knows the recipient, so that no recipient can be exempt. Use the settings for Postfix instead.
recipe-postscreen-down = postscreen counts the list as not matching.
recipe-exim-use = The statement refuses a listed client and tells it the text of the list, which has the address of the page about it.
recipe-exim-allow = The list has addresses and prefixes, separated by colons. It may be empty.
recipe-exim-exempt = The list has addresses with wildcards, separated by colons.
recipe-exim-down = Exim accepts the mail. With +defer_unknown it would defer it instead.
recipe-sendmail-use = Build sendmail.cf again, and restart sendmail.
recipe-sendmail-allow = Run makemap hash /etc/mail/access < /etc/mail/access after a change.
recipe-sendmail-exempt = A friend gets mail from listed clients, too; delay_checks makes this possible.
recipe-sendmail-other = FEATURE(dnsbl) matches every code of the list.
recipe-sendmail-down = sendmail accepts the mail. With t as the fourth argument of enhdnsbl it would defer it instead.
recipe-rspamd-use = rspamd adds the weight to the score of a message. It refuses a message whose score reaches its reject limit, which is 15 by default.
recipe-rspamd-allow = Addresses and prefixes, as a list.
recipe-rspamd-exempt = A regular expression between slashes, or a whole address.
recipe-rspamd-down = rspamd goes on without the list. It queries the test points itself, and ignores a list that fails them.
recipe-spamassassin-use = SpamAssassin has to know your own servers (internal_networks), because it looks up the host that delivered to them.
recipe-spamassassin-allow = A second rule takes the points back.
recipe-spamassassin-exempt = A third rule takes the points back if the message is for that recipient.
recipe-spamassassin-down = SpamAssassin goes on without the list.
recipe-opensmtpd-use = OpenSMTPD asks rspamd through the package opensmtpd-filter-rspamd. Set rspamd up first, with the settings above; it decides.
recipe-opensmtpd-allow = In rspamd, as above.
recipe-opensmtpd-exempt = In rspamd, as above.
recipe-opensmtpd-down = rspamd goes on without the list, and OpenSMTPD accepts the mail.
recipe-haraka-use = The plugin dns-list is part of Haraka. It queries the test points before it uses a list, and matches every code.
recipe-haraka-allow = A plugin of your own, which lets its addresses pass before dns-list looks them up.
recipe-haraka-exempt = Haraka refuses the client before it knows the recipient, so that no recipient can be exempt.
recipe-haraka-down = Haraka disables the list until the next check of the test points, and accepts the mail.
recipe-postfix-domain-use = Postfix looks up the domain of the envelope sender. Create both files, even if they are empty.
recipe-postfix-domain-allow = The file has a domain of the sender on each line.
recipe-postfix-domain-exempt = Postfix reads the file at a reload.
recipe-postfix-domain-down = Postfix logs a warning and accepts the mail.
recipe-exim-domain-use = Exim looks up the domain of the envelope sender.
recipe-exim-domain-allow = The list has domains, separated by colons. It may be empty.
recipe-exim-domain-exempt = The list has addresses with wildcards, separated by colons.
recipe-exim-domain-down = Exim accepts the mail. With +defer_unknown it would defer it instead.
recipe-rspamd-domain-use = rspamd looks up the domains of links in a message and the domain of the envelope sender, and adds the weight to the score.
recipe-rspamd-domain-allow = Sender addresses, or domains after an @.
recipe-rspamd-domain-exempt = A regular expression between slashes, or a whole address.
recipe-rspamd-domain-down = rspamd goes on without the list.
recipe-spamassassin-domain-use = SpamAssassin looks up the domains of links in a message (its plugin URIDNSBL, which is on by default).
recipe-spamassassin-domain-allow = A second rule takes the points back for a sender.
recipe-spamassassin-domain-exempt = A third rule takes the points back if the message is for that recipient.
recipe-spamassassin-domain-down = SpamAssassin goes on without the list.
recipe-rspamd-hash-use = For a list of digests of mail addresses in lower case: rspamd computes the digests of the sender, of the address for replies, and of the addresses in the text of a message, and adds the weight to the score.
recipe-rspamd-hash-allow = Sender addresses, or domains after an @.
recipe-rspamd-hash-exempt = A regular expression between slashes, or a whole address.
recipe-rspamd-hash-down = rspamd goes on without the list.
recipe-spamassassin-hash-use = For a list of digests of mail addresses in lower case: SpamAssassin computes the digests of the sender, of the address for replies, and of the addresses in the text of a message. Its plugin HashBL is off by default.
recipe-spamassassin-hash-allow = A second rule takes the points back for a sender.
recipe-spamassassin-hash-exempt = A third rule takes the points back if the message is for that recipient.
recipe-spamassassin-hash-down = SpamAssassin goes on without the list.
recipe-unbound-use = Unbound answers queries for the listed names with NXDOMAIN. Ask the operator of the list for the file, which the server writes as an export of the format rpz, and fetch it regularly.
recipe-unbound-allow = Put the first block above the other rpz block: the first one that matches wins.
recipe-unbound-exempt = A resolver does not know recipients.
recipe-unbound-down = Unbound keeps its last copy of the file.

policy-title = Policy

opt-out-title = Opt out of relay tests
opt-out-lead = You can ask us never to test your mail servers.
opt-out-effect = What it does
opt-out-effect-stop = No test of the address or range begins, and a test that runs stops before its next message.
opt-out-effect-listing = A listing that exists stays until it ends by itself: a host that cannot be tested cannot show that it is closed. If you want to be delisted, let it be tested first, then opt out.
opt-out-effect-public = The list notest publishes the opt-out. It is information, and not a reason to refuse mail.
opt-out-who = Who may ask
opt-out-who-text = The person or organisation that is responsible for the address or range: the owner of the server, or the holder of the network as its registry names it. Tell us how we can see that.
opt-out-how = How to ask
opt-out-how-text = Write to us from an address of the domain of the server or of the network, and name the address or range.
opt-out-end = How long it lasts
opt-out-end-text = An opt-out has no end of its own. It lasts until you write to us again, or until somebody who proves control of the address or range asks for its removal from notest in the look-up. A new holder can end it in the same way.
opt-out-no-contact = The operator has not named a contact for tests yet. Please use the contact of a list: { $lists }

open-relay-title = What is an open relay?
open-relay-lead = A mail server that accepts mail from anybody to anybody. A closed one accepts mail only to its own users, or from them.
open-relay-why = Why it matters
open-relay-why-abuse = Strangers send spam and fraud through it. Receivers see your server as the sender, and refuse all of your mail.
open-relay-why-cost = Your queue fills with their bounces, your traffic grows, and complaints come to you.
open-relay-why-fast = Spammers find it within hours, and your reputation takes weeks to recover. Closing it takes minutes.
open-relay-how = How it happens
open-relay-how-networks = The server trusts too many addresses, such as a whole network, or the address of a firewall or container gateway in front of it, behind which every client looks local.
open-relay-how-sender = The server believes that mail from one of its own addresses is from its own users. A client can write any sender.
open-relay-how-forms = The server understands old forms of addresses, such as user%domain, and delivers to the second domain.
open-relay-how-login = Somebody guessed the password of a user. Such a server is not an open relay, but looks the same to receivers.
open-relay-fix = How to close it
open-relay-fix-list = Name the addresses from which mail may be sent to the outside, one by one, and only those of your own hosts.
open-relay-fix-login = Let your users log in (SMTP AUTH, port 587 or 465, with TLS).
open-relay-fix-refuse = Refuse all other recipients permanently, with 550 and not with 451 or 454: a temporary refusal keeps the listing for five days, because it does not say what the server will do later.
open-relay-fix-test = Then { $lookup } and press the button. The forms that were delivered before are tried first; typically the test takes three minutes.
open-relay-lookup = look your address up
open-relay-catalogue = All { $tests } are public.
open-relay-tests = test messages

notices-title = Notices
notices-lead = What has gone wrong, what is planned, and what has changed.
notices-none = There are no notices.
notices-feed = Subscribe (Atom)
notices-current = Now
notices-planned = Planned
notices-over = Over
notices-since = Since
notices-until = Until
notices-about = About

status-title = Status
status-up = All lists answer and are up to date.
status-down = The lists answer, but are not updated: changes are refused at the moment.
status-lists = Lists
status-zone = List
status-serial = Serial
status-changed = Last change
status-changed-unknown = earlier
status-mirrors = Mirrors
status-mirrors-none = none configured
status-mirrors-current = { $current } of { $all } current
status-lag = the slowest is { $duration } behind
status-started = The server started
status-time = Time of the server
status-json = For programs: the same as JSON, with the header Accept: application/json.
status-figures = Figures
status-figures-entries = Entries by list
status-course = The last 30 days
status-course-text = { $zone }: at most { $most } entries; { $listed } subjects were listed and { $delisted } delisted.
status-course-table = { $zone }, day by day
status-course-day = Day (UTC)
status-course-entries = Entries
status-course-listed = Listed
status-course-delisted = Delisted or ended
status-course-unknown = not counted
status-figures-caption = { $zone }: { $count ->
    [one] one entry
   *[other] { $entries } entries
}
status-figures-removals = { $count ->
    [one] One subject was delisted by a decision in the last 30 days. What ended by itself does not count.
   *[other] { $number } subjects were delisted by a decision in the last 30 days. What ended by itself does not count.
}
status-figures-none = The figures are being counted.
status-figures-age = Counted
status-ends = ends on { $day }

privacy-title = Privacy
privacy-lead = What this server keeps, why, who sees it, and for how long. The site sets no cookies, loads nothing from other hosts, and has no accounts.
privacy-what = What is kept
privacy-why = Why
privacy-who = Who sees it
privacy-long = How long
privacy-erasable = Erased on request
privacy-yes = yes
privacy-no = no
privacy-rights = Your rights
privacy-rights-text = You may ask what is stored about you, have it corrected, and have it erased where no duty keeps it.
privacy-controller = Responsible for this server
