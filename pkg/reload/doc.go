// Package reload says how a daemon takes up new credentials, and whether it has.
//
// [Decide] tells from a daemon's configuration whether virt-admin's server-update-tls reads its files or only a restart does, and
// with which command. [WhatIsServed] connects to the daemon and compares the certificate that it shows with the files.
//
// The package runs no command and opens no connection: the configuration comes parsed, and connections are handed in. What
// server-update-tls reads is virNetServerUpdateTlsFiles's choice: the default places, whatever the configuration names. It was
// confirmed with libvirt 9.0.0, 11.3.0 and 12.8.0.
package reload
