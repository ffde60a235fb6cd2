# The page of the relay tests, and why other testers report something else.

tests-title = Relay tests
tests-lead = To find out whether a mail server relays mail for strangers, we send it messages that are addressed to ourselves. If one arrives, the server is an open relay. A reply of 250 alone lists no host.
tests-english = What is known of each test is in English only so far.
tests-off = This server does not test hosts on the Internet.
tests-rules = Rules of the tests
tests-rule-provocation = No host is tested without a cause: a message from it, or the request of its owner. No network is ever scanned.
tests-rule-pace = One session at a time, with pauses. No host is tested more than once in 24 hours, except by claims of its owner.
tests-rule-harm = No passwords are tried, and no addresses are guessed. Products that a test has harmed before do not get it.
tests-rule-own = Each message says who tests and why, and how to opt out. All go to our own server.
tests-rule-opt-out = You can { $opt-out } at any time.
opt-out-link = opt out of the tests
tests-catalogue = The test messages
tests-catalogue-hint = { $count ->
    [one] One form
   *[other] { $count } forms
 } of envelopes that open relays of the last decades have delivered. A closed server refuses all of them.
tests-since = Known since
tests-not-run = Not sent by this server
tests-placeholders = In braces: u, our recipient; d, our domain; s, our sender; e, a second domain of ours; R, the name of the tested server; L, a domain that it hosts; I, its address.
tests-contact = Contact about tests
tests-tries = What it tries
tests-delivered-by = Servers of which versions delivered it
tests-delivered-by-more = { $count ->
    [one] One more
   *[other] { $count } more
 }
tests-delivered-by-none = No product is known to have delivered it.
tests-testers = Other testers that send it
tests-tester-number = { $tester } (no. { $number })
tests-swaks = Send it yourself with swaks
tests-swaks-none = swaks cannot send this form.
tests-swaks-hint = Before you run a swaks command: mail.example.com (192.0.2.25) is your server, which hosts example.com; you@example.net is a mailbox of yours at another provider, whose server is 198.51.100.9; example.org is a second domain of yours. Replace them all. Only a message that arrives counts as delivered.
tests-others-closed = Why does another tester say that I am closed?
tests-others-closed-text = A tester can report that your server is closed although it delivered a message for us. A server passes or refuses each form on its own, and no two testers send the same forms. Many also stop at the reply, from the wrong address, or before the form that your server delivers.
tests-others-open = … and why does another tester say that I am open?
tests-others-open-text = A tester that counts a reply of 250 as a delivery reports servers as open that accept every recipient and then drop or bounce the message. Here a server that did not deliver any of our messages is not listed.
tests-others-works = How it works
tests-others-answer = Why its result can differ
