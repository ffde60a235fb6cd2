#!/usr/bin/perl
# A policy service for Postfix: permits relaying for clients that have logged in recently. Postfix starts it (see master.cf) and
# sends the attributes of each recipient. Arguments: the zone, and the code of its log-ins.
use strict;
use warnings;
use Socket qw(AF_INET AF_INET6 inet_ntoa inet_pton);

my ($zone, $code) = @ARGV;
$| = 1;

# Whether DNS has the address in the zone. Without an answer the client has not logged in.
sub has_logged_in {
    my ($address) = @_;
    my $labels;
    if (my $ip4 = inet_pton(AF_INET, $address)) {
        $labels = join '.', reverse unpack 'C4', $ip4;
    } elsif (my $ip6 = inet_pton(AF_INET6, $address)) {
        $labels = join '.', reverse split //, unpack 'H32', $ip6;
    } else {
        return 0;
    }
    my (undef, undef, undef, undef, @found) = gethostbyname "$labels.$zone.";
    return grep { inet_ntoa($_) eq $code } @found;
}

my %attributes;
while (my $line = <STDIN>) {
    chomp $line;
    if ($line =~ /^([^=]+)=(.*)$/) {
        $attributes{$1} = $2;
        next;
    }
    my $action = has_logged_in($attributes{client_address} // '') ? 'OK' : 'DUNNO';
    print "action=$action\n\n";
    %attributes = ();
}
