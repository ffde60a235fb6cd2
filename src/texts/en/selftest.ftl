# Tests that the holders of addresses ask for, and the survey.

footer-test = Test your server

selftest-title = Test your mail server
selftest-lead = See what your mail server does when a stranger asks it to deliver mail. We send it { $count } forms of test messages, and you read each result with the session and what to change. Nobody is listed for it.
selftest-off = This server tests no hosts at the moment.
selftest-field = Address of the mail server
selftest-hint = An IP address, such as 192.0.2.1. The page after this one says how to show that it is yours.
selftest-own = You are at { $address }.
selftest-own-known = Because that address is listed or nominated, its test starts at once.
selftest-repeat = Repeat it
selftest-repeat-never = only once
selftest-repeat-days = every { $count } days
selftest-repeat-hint = You are told when a result changes, if you give a mail address on the next page. Anybody who shows that the address is theirs can end it.
selftest-submit = Test it
selftest-rules = What happens
selftest-rule-proof = You show by a DNS record or a mail to postmaster that the address is yours. A request from the address is enough only if it is listed or nominated, because tenants and VPN exits would otherwise test what is not theirs.
selftest-rule-limits = One test an hour and three a day for an address, and ten addresses a day for the proofs of a zone.
selftest-rule-result = We say of each form whether a message was delivered or not. A test does not show that a server is free of mistakes.
selftest-rule-lists = The test lists and delists nobody. Opt-outs hold, and forms that have stopped old servers are not sent.
selftest-rule-own = To test a server in your own network, run orbsd relay probe there.

ticket-test-title = Test of { $subject }
test-state-needs-proof = Show that { $subject } is yours
test-state-needs-proof-text = Choose one of the ways below. The test begins as soon as we see the proof.
test-state-delayed = { $subject } will be tested
test-state-delayed-text = A limit is reached for the moment: one test an hour, three a day, and ten addresses a day for a zone.
test-state-testing = { $subject } is being tested
test-state-testing-text = Each result appears below as it comes.
test-state-blocked = { $subject } refuses our tester
test-state-blocked-text = It refused us before a recipient was named, which shows nothing about other senders. Let our tester connect, then test again.
test-state-failed = { $subject } delivered mail for a stranger
test-state-failed-text = At least one test message was delivered. It is marked below, with what to change. Nobody was listed for this test.
test-state-tested = { $subject } delivered none of the test messages
test-state-tested-text = No message of this test was delivered so far. An accepted message can still arrive for 14 days; this page shows it then.
test-state-withdrawn = This test has ended
test-state-withdrawn-text = You can ask for another one at any time.
step-test-failed = A message was delivered
step-test-withdrawn = Ended
step-tested = No message was delivered
test-again = Test again
test-again-at = Next test possible: { $time }
test-transcript = Read the whole session
test-repetition = Repetition
test-repetition-on = The test is repeated every { $count } days until { $until }, with the consent of the holder of the address.
test-repetition-end = End the repetition
test-repetition-start = Repeat every { $count } days
test-repetition-text = You are told by mail when a result changes, if you confirm an address below. Anybody who shows that the address is theirs can end it.

mail-test-failed = a test delivered a message
mail-test-failed-what = A test message was delivered by { $subject } in the test that you asked for. Nobody was listed for it. The page shows which form it was, and what to change.
mail-test-blocked = the test was blocked
mail-test-blocked-what = { $subject } refused the tester in the test that you asked for, which shows nothing about other senders.
mail-test-tested = a test delivered no message
mail-test-tested-what = { $subject } delivered none of the messages in the test that you asked for.
mail-test-delayed = the test has to wait
mail-test-delayed-what = The test of { $subject } begins later, because a daily limit is reached.

footer-survey = Survey
survey-title = Survey
survey-lead = What our tests found in each month, by kind of message and by family of mail servers. Hosts are tested only after evidence or at the wish of their holders, so this is not a picture of all mail servers. It has no addresses.
survey-none = No test has ended yet.
survey-total = { $tested } tests, of which { $delivered } delivered a message
survey-classes = By kind of message
survey-families = By mail server
survey-name = Kind
survey-family = Family
survey-tested = Tests
survey-delivered = Delivered
survey-other = others
survey-unknown = not recognised

trace-heading = This message was handed over by { $subject }
trace-unknown = The headers do not show which host handed over the message
trace-text = Of the “Received” lines, only those that your own servers wrote are sure. This is the host that gave them the message. Everything below that line can be forged by the sender.
trace-chain = The way of the message, the last hop first
trace-own = Written by your own servers
trace-handed = Handed over here
trace-unproved = Not proved: the sender could have written it
trace-private = Nothing of the message is stored.
trace-own-field = Your own servers
trace-own-hint = Addresses or ranges of servers that forward mail to you, separated by spaces: their lines count as yours.
trace-again = Trace again
test-contact-text = We write when a result changes, and for nothing else.
test-confirm-text = News about the test of { $subject } will be sent to this address.

mail-test-code-text =
    A person asks { $site } to test whether { $subject } delivers mail for strangers, and says that they are responsible for it. The test lists nobody.

    If that is so, open this page and press the button. The link is valid for 24 hours and works once:

    { $link }

    If you know nothing of it, do nothing: without this code nothing happens.

mail-test-confirm-text =
    This address was given for news about the test of { $subject } at { $site }.

    To receive them, open this page and press the button. The link is valid for 24 hours:

    { $link }

    If you did not give it, do nothing: you will get no further mail about it.
