package uri

// Transport is how the bytes reach the daemon.
type Transport string

// The transports of libvirt's remote driver, and Client for what needs none.
const (
	TLS     Transport = "tls"
	TCP     Transport = "tcp"
	Unix    Transport = "unix"
	SSH     Transport = "ssh"
	LibSSH  Transport = "libssh"
	LibSSH2 Transport = "libssh2"
	Ext     Transport = "ext"
	// Client is a driver that runs inside the client: no daemon is asked (test:///default, esx://host/).
	Client Transport = "client"
)

// transports are the words after the + of a scheme (remoteDriverTransport).
var transports = []Transport{TLS, Unix, SSH, LibSSH2, LibSSH, Ext, TCP}

// Networked reports whether the transport is aimed at a host.
func (t Transport) Networked() bool { return t != Unix && t != Ext && t != Client && t != "" }

// ssh reports whether a remote command carries the stream.
func (t Transport) ssh() bool { return t == SSH || t == LibSSH || t == LibSSH2 }

// The ports where the URI names none. The ssh binary is given none: it decides itself.
const (
	PortTLS = 16514
	PortTCP = 16509
	PortSSH = 22
)

// Mode says which daemon's socket is meant.
type Mode string

// The modes of the parameter mode and of remote_mode.
const (
	ModeAuto   Mode = "auto"
	ModeLegacy Mode = "legacy"
	ModeDirect Mode = "direct"
)

// Proxy is the program that carries the stream on the far side of ssh.
type Proxy string

// The proxies of the parameter proxy and of remote_proxy.
const (
	ProxyAuto   Proxy = "auto"
	ProxyNetcat Proxy = "netcat"
	ProxyNative Proxy = "native"
)

// HostKeyVerification is known_hosts_verify of libssh and libssh2.
type HostKeyVerification string

// The ways to treat a host key.
const (
	VerifyNormal HostKeyVerification = "normal" // ask
	VerifyAuto   HostKeyVerification = "auto"   // store an unknown one, refuse a changed one
	VerifyIgnore HostKeyVerification = "ignore" // take any
)
