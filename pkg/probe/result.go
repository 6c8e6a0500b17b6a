package probe

import (
	"fmt"
	"time"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// A Result is what a connection attempt came to.
type Result struct {
	// URI is the text as given, Target what libvirt makes of it (the zero value when it refuses it).
	URI    string  `json:"uri"`
	Target uri.URI `json:"-"`
	// Outcome is finding.Connected when the daemon answered the open.
	Outcome finding.Outcome `json:"outcome"`
	// Cause is the ID of the rule that says why not; empty when connected.
	Cause string `json:"cause,omitempty"`
	// LibvirtMessage is what virsh would print, without its "error: "; empty when connected, and where virsh would wait
	// for ever.
	LibvirtMessage string `json:"libvirt_message,omitempty"`
	Server         Server `json:"server"`
	// Identity is the file of the client's certificate that was sent, one of several from libvirt 11.10 on; empty: none was.
	Identity string `json:"identity,omitempty"`
	// Stages are the steps that were taken, in order.
	Stages []Stage `json:"stages"`
	// Findings are the cause, what else was seen, and what the URI holds.
	Findings []finding.Finding `json:"findings"`
	// Transcript is what the TLS handshake saw; nil without TLS.
	Transcript *handshake.Transcript `json:"-"`
}

// Server is what is known of the other end.
type Server struct {
	// Address is the address that was connected to: an IP address with port, or a socket's path.
	Address string `json:"address,omitempty"`
	// Hostname is what the daemon says of itself.
	Hostname string `json:"hostname,omitempty"`
	// URI is the daemon's own choice, asked for where the client named none.
	URI string `json:"uri,omitempty"`
	// Libvirt is the daemon's version.
	Libvirt string `json:"libvirt,omitempty"`
	// TLS, Suite and Group describe the session, Signature is the algorithm of the daemon's signature where it is known.
	// Engine says who made the session: go, or gnutls and its version.
	TLS       string `json:"tls,omitempty"`
	Suite     string `json:"suite,omitempty"`
	Group     string `json:"group,omitempty"`
	Signature string `json:"signature,omitempty"`
	Engine    string `json:"engine,omitempty"`
	// DN, Issuer, NotBefore and NotAfter are of the server's certificate, names as GnuTLS prints them.
	DN        string     `json:"dn,omitempty"`
	Issuer    string     `json:"issuer,omitempty"`
	NotBefore *time.Time `json:"not_before,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	// HostKey is the fingerprint of the SSH host key, for libssh and libssh2.
	HostKey string `json:"host_key,omitempty"`
	// Auth lists what the daemon asks for: none, sasl, polkit.
	Auth []string `json:"auth,omitempty"`
	// Mechanisms are the SASL mechanisms the daemon offers.
	Mechanisms []string `json:"mechanisms,omitempty"`
}

// The stages.
const (
	StageSettings    = "settings"
	StageURI         = "uri"
	StageCredentials = "own-certificate"
	StageResolve     = "resolve"
	StageConnect     = "connect"
	StageLogin       = "login"
	StageCommand     = "command"
	StageTLS         = "tls"
	StagePeer        = "peer"
	StageByte        = "byte"
	StageAuth        = "auth"
	StageOpen        = "open"
	StageInfo        = "info"
	StageClose       = "close"
)

// A Stage is one step, with what it took and why it failed.
type Stage struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
	Err      string        `json:"error,omitempty"`
}

// An UnsupportedError says that a URI is fine but leads to no libvirt daemon.
type UnsupportedError struct {
	URI       string
	Transport uri.Transport
}

// Error says why.
func (e *UnsupportedError) Error() string {
	if e.Transport == uri.Client {
		return fmt.Sprintf("URI %q: its driver runs inside the client: there is no daemon to verify", e.URI)
	}
	return fmt.Sprintf("URI %q: transport %s is not one that can be verified", e.URI, e.Transport)
}

// Hints says what can be done instead.
func (e *UnsupportedError) Hints() []string {
	return []string{"name a transport and a host, as in test+tls://localhost/default"}
}
