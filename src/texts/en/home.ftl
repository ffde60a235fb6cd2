# The home page.

home-title = is my mail server listed?
home-heading = Was your mail refused?
home-tagline = This list names mail servers that deliver mail for strangers, and other sources of unwanted mail. Find out why a server is listed, and have it removed.
home-field = Address, domain, or paste the whole bounce message
home-field-hint = For example 192.0.2.1. You can paste a bounce message as it is, in any language.
home-submit = Look up
home-free = Free. No account.
home-this-device = Look up the address of this device
home-this-device-hint = It is hardly ever the address of your mail server.
