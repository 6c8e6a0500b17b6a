// Package uri reads libvirt connection URIs as libvirt reads them.
//
// Call [Parse] first. What it returns says which driver and transport a URI means, the host and port that are really
// used, the name that is sent to the daemon, the files, sockets and command lines that follow from it, and, as findings,
// what in the URI is without effect or does not mean what it seems to. An [Error] is a URI that libvirt refuses, with
// libvirt's exact words.
//
// [ParseReference] is the bare grammar (virURIParse): RFC 3986 in the reading of libxml2, which is not that of net/url.
//
// The package looks at no file, no environment and no network: who calls, from where, which libvirt.conf and which
// LIBVIRT_DEFAULT_URI are in [Options]. Where libvirt decides by looking for a file (user or system credentials,
// sockets of modular daemons), the candidates are given in order, and a function that tells whether a file exists is
// asked for.
//
// Followed are virConnectOpenInternal, virURIParse, virURIResolveAlias, doRemoteOpen and virNetClientNewSSH; confirmed
// against libvirt 9.0.0, 11.3.0 and 12.8.0 (libxml2 2.9.14 to 2.15).
package uri
