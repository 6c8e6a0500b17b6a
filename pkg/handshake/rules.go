package handshake

import (
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
)

var rules = []finding.Rule{
	{ID: "tls-handshake-failed", Title: "The TLS handshake failed", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "The two ends came to no TLS session: no common version, suite or group, a daemon without an identity or with a bad " +
			"tls_priority, or something that is not TLS. libvirt sends no alert; the other end sees the connection end.",
		LibvirtMessages: []string{msgTerminated, msgNoSuite, msgUnexpected, msgAlert, msgPullError,
			"authentication failed: TLS handshake failed {error}"},
		Remedy: "virt-pki priority STRING, for the tls_priority of both ends; journalctl -u libvirtd, for the daemon's reason",
		Good:   "both ends speak TLS 1.2 or 1.3", Bad: "a client of TLS 1.2 only and a daemon of TLS 1.3 only",
		Source: "virNetTLSSessionHandshake"},
	{ID: "no-answer-in-time", Title: "The other end does not answer", Severity: finding.Error, Effect: finding.NoEffect,
		Text:   "libvirt knows no time limit: against a silent listener, or a daemon that has reached max_clients, virsh waits for ever.",
		Remedy: "virt-admin srv-clients-info libvirtd, for the number of clients",
		Good:   "an answer within the limit", Bad: "a listener that says nothing", Source: "virNetTLSSessionHandshake"},
	{ID: "server-refused", Title: "The daemon refused the client", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text: "TLS stood, and the daemon closed the connection without the confirmation byte. The client learns no reason: no " +
			"certificate, unknown CA, expired, revoked, wrong purpose, or a name that is not on tls_allowed_dn_list.",
		LibvirtMessages: []string{msgNoByte, msgWrongByte},
		Remedy:          "journalctl -u libvirtd, for the line \"Certificate check failed\"; virt-pki preflight with the daemon's files",
		Good:            "the daemon sends 0x01", Bad: "the daemon closes the connection", Source: "virNetClientSetTLSSession",
		DependsOn: []string{"client-certificate-not-sent", "no-client-identity", "client-key-not-supported"}},
	{ID: "confirmation-wrong", Title: "The server confirms with something else", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "After the handshake libvirt's daemon sends one byte 0x01. Something else listens there.",
		LibvirtMessages: []string{msgWrongByte},
		Remedy:          "ss -tlnp, for what listens on the port",
		Good:            "0x01", Bad: "an HTTP answer", Source: "virNetClientSetTLSSession"},
	{ID: "tls-session-tickets", Title: "The server sends session tickets", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "libvirt's daemon sends none, and libvirt's client up to 11.x takes one for the missing confirmation byte; 12.8 waits on.",
		LibvirtMessages: []string{msgNoByteYet},
		Remedy:          "ss -tlnp, for what listens on the port",
		Good:            "no ticket", Bad: "a TLS 1.3 server that sends tickets only", Source: "virNetClientSetTLSSession"},
	{ID: "client-key-not-supported", Title: "The daemon takes no signatures of the client's key", Severity: finding.Error,
		Effect: finding.RefusesPeer,
		Text:   "The daemon's tls_priority leaves out the signature algorithms of the client's key; GnuTLS then sends no certificate.",
		Remedy: "virt-pki issue client NAME --key ecdsa-p256",
		Good:   "an ECDSA key and a daemon with NORMAL", Bad: "an Ed25519 key and a daemon with -SIGN-EDDSA-ED25519",
		Source: "GnuTLS lib/auth/cert.c"},
	{ID: "peer-certificate-not-parseable", Title: "The peer's certificate could not be judged", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "Go's crypto/tls refuses certificates that GnuTLS takes: RSA keys below 1024 bits, RSA-PSS and Ed448 keys, and some " +
			"encodings. The connection could not be made from here; what libvirt would do with it is not known.",
		Remedy: "virt-pki check --cert-file FILE --ca-file FILE --role server, with the peer's file",
		Good:   "a certificate that crypto/x509 reads", Bad: "a certificate with a negative serial number", Source: "this program"},
	{ID: "tls-not-checked", Title: "What GnuTLS does with this tls_priority could be checked", Severity: finding.Error, Effect: finding.NoEffect,
		Text: "virt-pki makes handshakes with Go's TLS, which has not all that GnuTLS has. Where that decides, virt-pki-gnutls makes them with " +
			"the GnuTLS of this machine. It was not there, or failed: so it is not known what libvirt would do.",
		Remedy: gnutls.Build, Good: "virt-pki-gnutls beside virt-pki, and libgnutls", Bad: "tls_priority=NORMAL:-GROUP-ALL:%2BGROUP-X448 without virt-pki-gnutls",
		Source: "this program"},
	{ID: "tls-other-gnutls", Title: "The handshake was made by the GnuTLS that the verdict is for", Severity: finding.Warning, Effect: finding.NoEffect,
		Text: "virt-pki-gnutls uses the library of the machine it runs on. A verdict for another libvirt (--libvirt) means another GnuTLS, " +
			"in which a tls_priority can have other algorithms.",
		Remedy: "run it where that libvirt is, or judge for the libvirt that is here (--libvirt)", Good: "--libvirt 9.0 with GnuTLS 3.7.9",
		Bad: "--libvirt 12.8 with GnuTLS 3.7.9", Source: "this program"},
	{ID: "peer-certificate-not-importable", Title: "GnuTLS cannot read the peer's certificate", Severity: finding.Error, Effect: finding.RefusesPeer,
		Text:            "Go reads this certificate, but GnuTLS does not.",
		LibvirtMessages: []string{"Unable to verify TLS peer: {error}"},
		Remedy:          "virt-pki issue server NAME (or client NAME)",
		Good:            "a certificate that GnuTLS imports", Bad: "a certificate with an empty dNSName", Source: "GnuTLS gnutls_x509_crt_import"},
}

// Rules gives the rules of this package. The slice is the caller's.
func Rules() []finding.Rule { return append([]finding.Rule(nil), rules...) }

func handshakeRule(id string) finding.Rule { return finding.Named(rules, id) }
